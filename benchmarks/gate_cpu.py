"""CPU of the gate for a query, beside HAProxy (TCP mode), MySQL Router and Vitess in the same run.

All stand in front of the same mysqld, one thread each, and take sysbench's load with 8 connections
in turn. Counted is user and system time of the proxy's process for each event of sysbench. The last
line is JSON.

    python benchmarks/gate_cpu.py [--workload point|range|read_write] [--prepared] [--rounds 5]
                                  [--events N] [--router] [--vitess]

`point` reads by key in a keyspace of two shards; the others stay in a keyspace of one: `range`
reads 100 rows, `read_write` is a transaction of `oltp_read_write`. Vitess takes part in `point`:
its vtgate stands in front of two vttablets, whose time is told apart.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

import pymysql
from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from peers import HaProxy, Router, cpu_seconds, missing_programs
from peers_vitess import Vitess

from mitosis_routing.table import TableRule
from mysqld import Mysqld

ROWS = 10_000
CONNECTIONS = 8
VITESS = "vitess"
WHOLE = "whole"
"""Database on the first mysqld with all rows, for proxies that cannot tell shards apart."""
CREATE = (
    "CREATE TABLE sbtest1 (id INT NOT NULL PRIMARY KEY, k INT NOT NULL DEFAULT 0, "
    "c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY k_1 (k))"
)
FAST = ("--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0")
TEXT = "-".join("12345678901" for _ in range(10))
BATCH = 500


@dataclass(frozen=True)
class Workload:
    shards: int
    events: int
    words: tuple[str, ...]
    """sysbench's script and its options."""


WORKLOADS = {
    "point": Workload(2, 60_000, ("oltp_point_select",)),
    "range": Workload(
        1,
        30_000,
        (
            "oltp_read_only",
            "--point-selects=0",
            "--simple-ranges=1",
            "--sum-ranges=0",
            "--order-ranges=0",
            "--distinct-ranges=0",
            "--skip-trx=on",
            "--range-size=100",
        ),
    ),
    "read_write": Workload(1, 3_000, ("oltp_read_write",)),
}


@dataclass
class Proxy:
    name: str
    pid: int
    port: int
    database: str
    costs: list[float] = field(default_factory=list)
    """Microseconds of CPU for an event, one figure for each round."""
    helpers: tuple[int, ...] = ()
    """Processes that work for it beside mysqld."""
    helpers_costs: list[float] = field(default_factory=list)

    @property
    def cost(self) -> float:
        return statistics.median(self.costs)


def load(gate: GateProcess, server: Mysqld) -> None:
    with gate.connect(autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(CREATE)
        for number in range(1, ROWS + 1):
            cursor.execute(
                f"INSERT INTO sbtest1 VALUES ({number}, {number % 97}, '{TEXT}', 'pad-{number}')"
            )
    server.query(f"CREATE DATABASE {WHOLE}")
    server.query(f"GRANT ALL ON {WHOLE}.* TO {USER}@'%'")
    with server.connect(database=WHOLE) as connection, connection.cursor() as cursor:
        cursor.execute(CREATE)
        rows = [(n, n % 97, TEXT, f"pad-{n}") for n in range(1, ROWS + 1)]
        for start in range(0, ROWS, BATCH):
            cursor.executemany(
                "INSERT INTO sbtest1 VALUES (%s, %s, %s, %s)", rows[start : start + BATCH]
            )


def sysbench(
    words: Sequence[str], port: int, database: str, events: int, prepared: bool = False
) -> float:
    """Run the events; return how many there were in a second."""
    begun = time.monotonic()
    done = subprocess.run(
        [
            "sysbench",
            *words,
            "--mysql-host=127.0.0.1",
            f"--mysql-port={port}",
            f"--mysql-user={USER}",
            f"--mysql-password={PASSWORD}",
            f"--mysql-db={database}",
            "--mysql-ignore-errors=1213,1205,1062",
            "--tables=1",
            f"--table-size={ROWS}",
            f"--threads={CONNECTIONS}",
            f"--events={events}",
            "--time=0",
            "--rand-type=uniform",
            f"--db-ps-mode={'auto' if prepared else 'disable'}",
            "run",
        ],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"sysbench failed:\n{done.stdout}{done.stderr}")
    return events / (time.monotonic() - begun)


def measure(proxy: Proxy, words: Sequence[str], events: int, prepared: bool) -> None:
    before, helped = cpu_seconds(proxy.pid), sum(map(cpu_seconds, proxy.helpers))
    rate = sysbench(words, proxy.port, proxy.database, events, prepared)
    proxy.costs.append((cpu_seconds(proxy.pid) - before) / events * 1e6)
    proxy.helpers_costs.append((sum(map(cpu_seconds, proxy.helpers)) - helped) / events * 1e6)
    print(f"{proxy.name:8} {proxy.costs[-1]:7.1f} us of CPU, {rate:8.0f} events/s")


def with_vitess(stack: ExitStack, shards: Shards) -> Proxy:
    vitess = stack.enter_context(Vitess(shards.servers, VITESS, {"sbtest1": "id"}, CREATE))
    with (
        pymysql.connect(
            host="127.0.0.1", port=vitess.port, user=USER, database=VITESS, autocommit=True
        ) as connection,
        connection.cursor() as cursor,
    ):
        for start in range(1, ROWS + 1, BATCH):
            rows = (
                f"({n}, {n % 97}, '{TEXT}', 'pad-{n}')"
                for n in range(start, min(start + BATCH, ROWS + 1))
            )
            cursor.execute(f"INSERT INTO sbtest1 (id, k, c, pad) VALUES {', '.join(rows)}")
    tablets = tuple(tablet.pid for tablet in vitess.tablets)
    return Proxy(vitess.name, vitess.pid, vitess.port, VITESS, helpers=tablets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=WORKLOADS, default="point")
    parser.add_argument("--events", type=int, help="events of sysbench in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prepared", action="store_true")
    parser.add_argument("--router", action="store_true", help="beside MySQL Router, too")
    parser.add_argument("--vitess", action="store_true", help="beside Vitess, too; only for point")
    given = parser.parse_args()
    if missing := missing_programs("haproxy", "sysbench"):
        sys.exit(missing)
    if given.vitess and given.workload != "point":
        sys.exit("--vitess goes with --workload point")
    workload = WORKLOADS[given.workload]
    events = given.events or workload.events
    rules = (TableRule("sbtest1", sharding_key="id"),)
    with ExitStack() as stack:
        shards = stack.enter_context(Shards(workload.shards, rules, options=FAST))
        gate = stack.enter_context(GateProcess(shards.table(), shards.users()))
        server = shards.servers[0]
        load(gate, server)
        peers = [HaProxy(server), *([Router(server)] if given.router else [])]
        for peer in peers:
            stack.enter_context(peer)
        proxies = [Proxy(p.name, p.pid, p.port, WHOLE) for p in peers]
        if given.vitess:
            proxies.append(with_vitess(stack, shards))
        proxies.append(Proxy("gate", gate.pid, gate.port, KEYSPACE))
        for proxy in proxies:
            sysbench(workload.words, proxy.port, proxy.database, events // 4, given.prepared)
        for _ in range(given.rounds):
            for proxy in proxies:
                measure(proxy, workload.words, events, given.prepared)
    ours = proxies[-1]
    print(
        json.dumps(
            {
                "benchmark": "gate_cpu",
                "workload": given.workload,
                "protocol": "prepared" if given.prepared else "text",
                **{f"{p.name}_us": round(p.cost, 1) for p in proxies},
                **{f"to_{p.name}": round(ours.cost / p.cost, 2) for p in proxies[:-1]},
                **{
                    f"beside_{p.name}_us": round(statistics.median(p.helpers_costs), 1)
                    for p in proxies
                    if p.helpers
                },
            }
        )
    )


if __name__ == "__main__":
    main()
