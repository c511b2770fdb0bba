"""Throughput of one gate process beside HAProxy, and what each adds to latency at half load.

Gate and HAProxy (one thread) have one core for themselves, in turn; mysqld and sysbench share the
other. Point selects by key, 8 connections: first as fast as they go, then at half the rate that the
slower of the two reached, straight to mysqld as well. The last line is JSON.

    python benchmarks/latency.py [--seconds 10] [--rounds 3]
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from gate_cpu import CONNECTIONS, FAST, ROWS, WHOLE, load
from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from peers import HaProxy, missing_programs

from mitosis_routing.table import TableRule

PROXY_CORE, OTHER_CORE = 0, 1
RATE = re.compile(r"transactions:\s+\d+\s+\((?P<rate>[\d.]+) per sec")
P99 = re.compile(r"99th percentile:\s+(?P<ms>[\d.]+)")


def sysbench(port: int, database: str, seconds: int, rate: int = 0) -> tuple[float, float]:
    """Events in a second, and the 99th percentile of their latency in milliseconds."""
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
            f"--time={seconds}",
            "--events=0",
            "--percentile=99",
            "--rand-type=uniform",
            "--db-ps-mode=disable",
            f"--rate={rate}",
            "run",
        ],
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {OTHER_CORE}),
    )
    found, slow = RATE.search(done.stdout), P99.search(done.stdout)
    if done.returncode or found is None or slow is None:
        sys.exit(f"sysbench failed:\n{done.stdout}{done.stderr}")
    return float(found["rate"]), float(slow["ms"])


def pin(pid: int, core: int) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if missing := missing_programs("haproxy", "sysbench"):
        sys.exit(missing)
    if (os.cpu_count() or 1) < 2:
        sys.exit("needs two cores: one for the proxy, one for what is around it")
    rules = (TableRule("sbtest1", sharding_key="id"),)
    with (
        Shards(2, rules, options=FAST) as shards,
        GateProcess(shards.table(), shards.users()) as gate,
        HaProxy(shards.servers[0]) as haproxy,
    ):
        server = shards.servers[0]
        load(gate, server)
        ways = {
            "direct": (server.port, WHOLE),
            "haproxy": (haproxy.port, WHOLE),
            "gate": (gate.port, KEYSPACE),
        }
        for name in ways:
            sysbench(*ways[name], seconds=2)
        for one in shards.servers:
            pin(one.pid, OTHER_CORE)
        pin(gate.pid, PROXY_CORE)
        pin(haproxy.pid, PROXY_CORE)
        rates: dict[str, list[float]] = {"haproxy": [], "gate": []}
        for _ in range(given.rounds):
            for name, found in rates.items():
                found.append(sysbench(*ways[name], seconds=given.seconds)[0])
                print(f"{name:8} {found[-1]:8.0f} statements/s")
        fastest = {name: statistics.median(found) for name, found in rates.items()}
        half = int(min(fastest.values()) / 2)
        slow: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, found in slow.items():
                found.append(sysbench(*ways[name], seconds=given.seconds, rate=half)[1])
                print(f"{name:8} p99 {found[-1]:6.2f} ms at {half} statements/s")
        p99 = {name: statistics.median(found) for name, found in slow.items()}
    print(
        json.dumps(
            {
                "benchmark": "latency",
                "haproxy_per_second": round(fastest["haproxy"]),
                "gate_per_second": round(fastest["gate"]),
                "throughput_to_haproxy": round(fastest["gate"] / fastest["haproxy"], 2),
                "half_load_per_second": half,
                **{f"p99_{name}_ms": round(ms, 2) for name, ms in p99.items()},
                "p99_added_ms": round(p99["gate"] - p99["direct"], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
