"""Throughput of one gate process beside HAProxy, and what each adds to latency.

Point selects by key, 8 connections, one mysqld behind everything. Throughput: gate and HAProxy (one
thread) have a core for themselves, in turn; mysqld and sysbench share the other. A whole core of a
proxy is more than these can use on theirs, so it gets a fixed share: as fast as it goes. Latency:
all share both cores, at half of what then goes through the gate. The scheduler's time slices would
be all that is seen, so everything has the same real-time priority; and no core sleeps, because to
wake one up takes a virtual machine up to milliseconds: each has a process that spins while nothing
else wants it. The last line is JSON.

    python benchmarks/latency.py [--seconds 10] [--rounds 3] [--share 0.2]
"""

import argparse
import contextlib
import functools
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from gate_cpu import CONNECTIONS, FAST, ROWS, WHOLE, load
from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from peers import HaProxy, missing_programs

from mitosis_routing.table import TableRule

PROXY_CORE, OTHER_CORE = {0}, {1}
BOTH_CORES = PROXY_CORE | OTHER_CORE
PRIORITY = 10
PERIOD_MICROSECONDS = 10_000
CGROUPS = Path("/sys/fs/cgroup")
RATE = re.compile(r"transactions:\s+\d+\s+\((?P<rate>[\d.]+) per sec")
P99 = re.compile(r"99th percentile:\s+(?P<ms>[\d.]+)")


def sysbench(
    port: int, database: str, seconds: int, cores: set[int], priority: int = 0, rate: int = 0
) -> tuple[float, float]:
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
        preexec_fn=functools.partial(prefer, cores, priority),
    )
    found, slow = RATE.search(done.stdout), P99.search(done.stdout)
    if done.returncode or found is None or slow is None:
        sys.exit(f"sysbench failed:\n{done.stdout}{done.stderr}")
    return float(found["rate"]), float(slow["ms"])


def prefer(cores: set[int], priority: int, task: int = 0) -> None:
    """Where a task runs, and its real-time priority; 0: none."""
    os.sched_setaffinity(task, cores)
    policy = os.SCHED_FIFO if priority else os.SCHED_OTHER
    os.sched_setscheduler(task, policy, os.sched_param(priority))


def prefer_all(pids: Iterable[int], cores: set[int], priority: int = 0) -> None:
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            prefer(cores, priority, int(task.name))


@contextlib.contextmanager
def share_of_core(pid: int, share: float) -> Iterator[None]:
    """Let a process have this share of a core and no more."""
    first = CGROUPS / "cpu" / "cpu.shares"  # of version 1
    root = first.parent if first.exists() else CGROUPS
    folder = root / f"mitosis-benchmark-{pid}"
    quota = round(share * PERIOD_MICROSECONDS)
    folder.mkdir()
    try:
        if first.exists():
            (folder / "cpu.cfs_period_us").write_text(str(PERIOD_MICROSECONDS))
            (folder / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (folder / "cpu.max").write_text(f"{quota} {PERIOD_MICROSECONDS}")
        (folder / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        (root / "cgroup.procs").write_text(str(pid))
        folder.rmdir()


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keep both cores from sleeping, without taking anything from who wants them."""
    spinning = [
        subprocess.Popen(
            [sys.executable, "-c", "while True: pass"],
            preexec_fn=functools.partial(yield_all, cores),
        )
        for cores in (PROXY_CORE, OTHER_CORE)
    ]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def yield_all(cores: set[int]) -> None:
    os.sched_setaffinity(0, cores)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.2, help="of a core, for throughput")
    given = parser.parse_args()
    if missing := missing_programs("haproxy", "sysbench"):
        sys.exit(missing)
    if (os.cpu_count() or 1) < 2:
        sys.exit("needs two cores: one for the proxy, one for what is around it")
    if os.geteuid():
        sys.exit("needs root: for shares of a core and real-time priorities")
    rules = (TableRule("sbtest1", sharding_key="id"),)
    with (
        Shards(1, rules, options=FAST) as shards,
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
        for way in ways.values():
            sysbench(*way, seconds=2, cores=OTHER_CORE)
        servers = [one.pid for one in shards.servers]
        prefer_all(servers, OTHER_CORE)
        proxies = {"haproxy": haproxy.pid, "gate": gate.pid}
        prefer_all(proxies.values(), PROXY_CORE)
        rates: dict[str, list[float]] = {name: [] for name in proxies}
        for _ in range(given.rounds):
            for name, found in rates.items():
                with share_of_core(proxies[name], given.share):
                    found.append(sysbench(*ways[name], given.seconds, OTHER_CORE)[0])
                print(f"{name:8} {found[-1]:8.0f} statements/s with {given.share} of a core")
        fastest = {name: statistics.median(found) for name, found in rates.items()}
        prefer_all([*servers, *proxies.values()], BOTH_CORES, PRIORITY)
        slow: dict[str, list[float]] = {name: [] for name in ways}
        with awake():
            most = sysbench(*ways["gate"], given.seconds, BOTH_CORES, PRIORITY)[0]
            half = int(most / 2)
            print(f"gate     {most:8.0f} statements/s where all share both cores")
            for _ in range(given.rounds):
                for name, found in slow.items():
                    found.append(
                        sysbench(*ways[name], given.seconds, BOTH_CORES, PRIORITY, half)[1]
                    )
                    print(f"{name:8} p99 {found[-1]:6.2f} ms at {half} statements/s")
        p99 = {name: statistics.median(found) for name, found in slow.items()}
    print(
        json.dumps(
            {
                "benchmark": "latency",
                "haproxy_per_second": round(fastest["haproxy"]),
                "gate_per_second": round(fastest["gate"]),
                "throughput_to_haproxy": round(fastest["gate"] / fastest["haproxy"], 2),
                "share_of_core": given.share,
                "p99_at_per_second": half,
                **{f"p99_{name}_ms": round(ms, 2) for name, ms in p99.items()},
                "p99_added_ms": round(p99["gate"] - p99["direct"], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
