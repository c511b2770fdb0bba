"""CPU of the gate for one point select, beside HAProxy in TCP mode on the same machine.

Two mysqlds, a gate in front of both, HAProxy in front of one; sysbench `oltp_point_select` in the
text protocol with 8 connections goes through one and the other in turn. Counted is user and system
time of the proxy's process for each query. The last line is JSON.

    python benchmarks/gate_cpu.py [--queries 60000] [--rounds 5] [--prepared]
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards

from mitosis_routing.table import TableRule
from mysqld import Mysqld, free_port

ROWS = 10_000
CONNECTIONS = 8
WHOLE = "whole"
"""Database on the first mysqld with all rows, for HAProxy, which cannot tell shards apart."""
CREATE = (
    "CREATE TABLE sbtest1 (id INT NOT NULL PRIMARY KEY, k INT NOT NULL DEFAULT 0, "
    "c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY k_1 (k))"
)
FAST = ("--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0")
TEXT = "-".join("12345678901" for _ in range(10))


class HaProxy:
    def __init__(self, server: Mysqld) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="haproxy-")
        config = Path(self._folder.name) / "haproxy.cfg"
        config.write_text(
            "global\n nbthread 1\n"
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 10m\n timeout server 10m\n"
            f"listen mysql\n bind 127.0.0.1:{self.port}\n server one 127.0.0.1:{server.port}\n"
        )
        self.process = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(config)])
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        sys.exit("haproxy does not listen")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._folder.cleanup()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
        cursor.executemany("INSERT INTO sbtest1 VALUES (%s, %s, %s, %s)", rows)


def sysbench(port: int, database: str, queries: int, prepared: bool) -> float:
    """Run the queries; return how many there were in a second."""
    begun = time.monotonic()
    done = subprocess.run(
        [
            "sysbench",
            "oltp_point_select",
            "--mysql-host=127.0.0.1",
            f"--mysql-port={port}",
            f"--mysql-user={USER}",
            f"--mysql-password={PASSWORD}",
            f"--mysql-db={database}",
            "--tables=1",
            f"--table-size={ROWS}",
            f"--threads={CONNECTIONS}",
            f"--events={queries}",
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
    return queries / (time.monotonic() - begun)


def measure(
    pid: int, port: int, database: str, queries: int, prepared: bool
) -> tuple[float, float]:
    """Microseconds of CPU for one query, and queries in a second."""
    before = cpu_seconds(pid)
    rate = sysbench(port, database, queries, prepared)
    return (cpu_seconds(pid) - before) / queries * 1e6, rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prepared", action="store_true")
    given = parser.parse_args()
    if missing := [name for name in ("haproxy", "sysbench") if not shutil.which(name)]:
        sys.exit(f"not installed: {', '.join(missing)}; Debian has packages of these names")
    rules = (TableRule("sbtest1", sharding_key="id"),)
    gate_us: list[float] = []
    haproxy_us: list[float] = []
    with (
        Shards(2, rules, options=FAST) as shards,
        GateProcess(shards.table(), shards.users()) as gate,
    ):
        load(gate, shards.servers[0])
        haproxy = HaProxy(shards.servers[0])
        try:
            warm = given.queries // 4
            sysbench(haproxy.port, WHOLE, warm, given.prepared)
            sysbench(gate.port, KEYSPACE, warm, given.prepared)
            for _ in range(given.rounds):
                cost, rate = measure(
                    haproxy.process.pid, haproxy.port, WHOLE, given.queries, given.prepared
                )
                haproxy_us.append(cost)
                print(f"haproxy {cost:6.1f} us of CPU, {rate:8.0f} queries/s")
                cost, rate = measure(gate.pid, gate.port, KEYSPACE, given.queries, given.prepared)
                gate_us.append(cost)
                print(f"gate    {cost:6.1f} us of CPU, {rate:8.0f} queries/s")
        finally:
            haproxy.close()
    ratio = statistics.median(gate_us) / statistics.median(haproxy_us)
    print(
        json.dumps(
            {
                "benchmark": "gate_cpu",
                "protocol": "prepared" if given.prepared else "text",
                "haproxy_us": round(statistics.median(haproxy_us), 1),
                "gate_us": round(statistics.median(gate_us), 1),
                "ratio": round(ratio, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
