"""CPU, memory and first row of the gate when it merges the sorted rows of four shards.

    python benchmarks/merge.py [--rows 2000000] [--rounds 3] [--counts 2000] [--only-counts]

Rows have 190 bytes, as those of sysbench. The client reads and looks for the end only. Counted is
user and system time of the gate's process. The last line is JSON.
"""

import argparse
import json
import os
import socket
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from gates import GateProcess, Shards

from mitosis_routing.table import TableRule

SHARDS = 4
STORED = 50_000
"""Rows of each shard; a larger result repeats them, sorted by what is not stored."""
CREATE = (
    "CREATE TABLE sbtest1 (id INT NOT NULL PRIMARY KEY, k INT NOT NULL DEFAULT 0, "
    "c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '')"
)
FILL = (
    "INSERT INTO sbtest1 WITH RECURSIVE n AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM n "
    "WHERE i + 1 < {count}) SELECT i * {shards} + {shard}, i % 97, REPEAT('x', 119), "
    "REPEAT('y', 57) FROM n"
)
RULES = (TableRule("sbtest1", "id"), TableRule("times", reference=True))
FAST = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", "--cte-max-recursion-depth=9999999")
END = b"\xfe\x00\x00\x02\x00"
"""The EOF packet behind the rows; the one behind the columns comes within HEAD_BYTES."""
HEAD_BYTES = 1000
FIRST_ROWS = 200


class Reader:
    """A client that takes a result as it comes and only looks for its end."""

    def __init__(self, gate: GateProcess) -> None:
        self._connection = gate.connect()
        self._socket: socket.socket = self._connection._sock  # type: ignore[attr-defined]
        self._socket.settimeout(120)

    def read(self, sql: str) -> tuple[float, int]:
        """Return the seconds to the first row and the bytes of the answer."""
        payload = b"\x03" + sql.encode()
        started = time.perf_counter()
        self._socket.sendall(len(payload).to_bytes(3, "little") + b"\0" + payload)
        first = 0.0
        total = 0
        tail = b""
        while total < HEAD_BYTES or not tail.endswith(END):
            data = self._socket.recv(1 << 20)
            if not data:
                sys.exit("the gate closed the connection")
            if not total and data[4:5] == b"\xff":
                sys.exit(data[5:].decode(errors="replace"))
            total += len(data)
            if not first and total > HEAD_BYTES:
                first = time.perf_counter() - started
            tail = (tail + data)[-16:]
        return first, total

    def close(self) -> None:
        self._connection.close()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(shards: Shards, gate: GateProcess) -> None:
    with gate.connect() as connection, connection.cursor() as cursor:
        cursor.execute(CREATE)
        cursor.execute("CREATE TABLE times (n INT NOT NULL PRIMARY KEY)")
    for number, server in enumerate(shards.servers):
        fill = FILL.format(count=STORED, shards=SHARDS, shard=number)
        with server.connect(database="shop", autocommit=True) as connection:
            with connection.cursor() as cursor:
                cursor.execute(fill)
                for n in range(1000):
                    cursor.execute(f"INSERT INTO times VALUES ({n})")


def result_of(rows: int) -> str:
    """A statement that gives about so many rows in the order of the primary key."""
    times = max(1, rows // (SHARDS * STORED))
    if times == 1:
        return f"SELECT id, k, c, pad FROM sbtest1 WHERE id < {rows} ORDER BY id"
    return (
        "SELECT STRAIGHT_JOIN s.id, k, c, pad FROM sbtest1 s FORCE INDEX FOR ORDER BY (PRIMARY) "
        f"JOIN times t ON t.n < {times} ORDER BY s.id"
    )


def rows_of(rows: int) -> int:
    times = max(1, rows // (SHARDS * STORED))
    return min(rows, SHARDS * STORED) * times


def highest_memory(gate: GateProcess, work: Any) -> int:
    """Resident bytes of the gate at most while `work` runs."""
    highest = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.is_set():
            highest = max(highest, gate.resident_bytes())
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return highest


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with (
        Shards(SHARDS, RULES, options=FAST) as shards,
        GateProcess(shards.table(), shards.users()) as gate,
    ):
        load(shards, gate)
        if options.only_counts:
            counts = count_cpu(gate, options.counts)
            return {"benchmark": "merge", "shards": SHARDS, "count_cpu_us": counts}
        reader = Reader(gate)
        memory = {}
        for rows in (10_000, 100_000, options.rows):
            sql = result_of(rows)
            memory[rows_of(rows)] = round(highest_memory(gate, lambda: reader.read(sql)) / 1e6, 1)  # noqa: B023
        speeds = []
        for _ in range(options.rounds):
            before = cpu_seconds(gate.pid)
            reader.read(result_of(options.rows))
            speeds.append(rows_of(options.rows) / (cpu_seconds(gate.pid) - before))
        firsts = [reader.read(result_of(FIRST_ROWS))[0] * 1000 for _ in range(50)]
        first_of_many = [reader.read(result_of(SHARDS * STORED))[0] * 1000 for _ in range(5)]
        counts = count_cpu(gate, options.counts)
        reader.close()
    return {
        "benchmark": "merge",
        "shards": SHARDS,
        "ordered_rows_per_cpu_second": round(max(speeds)),
        "memory_mb_by_rows": memory,
        "first_row_ms": round(statistics.median(firsts), 2),
        "first_row_of_many_ms": round(statistics.median(first_of_many), 2),
        "count_cpu_us": counts,
    }


def count_cpu(gate: GateProcess, counts: int) -> float:
    best = 0.0
    with gate.connect() as connection, connection.cursor() as cursor:
        for round_number in range(4):
            before = cpu_seconds(gate.pid)
            for _ in range(counts):
                cursor.execute("SELECT COUNT(*) FROM sbtest1 WHERE id < 0")
            spent = (cpu_seconds(gate.pid) - before) / counts * 1e6
            if round_number:  # the first one opens connections
                best = min(best or spent, spent)
    return round(best, 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--counts", type=int, default=2000)
    parser.add_argument("--only-counts", action="store_true", help="nothing but count_cpu_us")
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
