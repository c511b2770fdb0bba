"""Rows a second of LOAD DATA LOCAL through the gate to four shards, against one mysqld directly.

    python benchmarks/load_data.py [--rows 400000] [--rounds 3] [--shards 4] [--megabytes 0]

The same file is loaded in turn, so that the ratio holds on a busy machine too. CPU is that of the
gate's process. With `--megabytes`, one more quoted file of that size goes through the gate, written
while it is read, and the gate's memory is watched. The last line is JSON.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from gates import GateProcess, Shards

from mitosis_routing.table import TableRule
from mysqld import Mysqld

CREATE = (
    "CREATE TABLE sbtest1 (id INT NOT NULL PRIMARY KEY, k INT NOT NULL DEFAULT 0, "
    "c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '')"
)
OPTIONS = (
    "--innodb-flush-log-at-trx-commit=0",
    "--skip-log-bin",
    "--local-infile=ON",
    "--innodb-buffer-pool-size=512M",
    "--innodb-redo-log-capacity=512M",
)
PLAIN = ""
QUOTED = "FIELDS TERMINATED BY ',' ENCLOSED BY '\"'"


def write_file(path: Path, rows: int, quoted: bool) -> None:
    c, pad = "x" * 119, "y" * 57
    with path.open("w") as file:
        for n in range(1, rows + 1):
            fields = (str(n), str(n % 97), c, pad)
            file.write('"' + '","'.join(fields) + '"\n' if quoted else "\t".join(fields) + "\n")


class Streamed:
    """A file that is written while it is read, and the gate's memory meanwhile."""

    def __init__(self, path: Path, size: int, gate: GateProcess) -> None:
        self.path = path
        self.resident_before = self.resident_at_most = gate.resident_bytes()
        self._size = size
        self._gate = gate
        os.mkfifo(path)

    def __enter__(self) -> Self:
        self._writer = threading.Thread(target=self._write)
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.join()

    def _write(self) -> None:
        c, pad = "x" * 119, "y" * 57
        written = number = 0
        with self.path.open("wb") as file:
            while written < self._size:
                rows = "".join(
                    f'"{n}","{n % 97}","{c}","{pad}"\n' for n in range(number + 1, number + 5001)
                ).encode()
                number += 5000
                file.write(rows)
                written += len(rows)
                self.resident_at_most = max(self.resident_at_most, self._gate.resident_bytes())


def load(connection: Any, path: Path, options: str) -> float:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE TABLE sbtest1")
        started = time.perf_counter()
        cursor.execute(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE sbtest1 {options}")
        return time.perf_counter() - started


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--megabytes", type=int, default=0)
    arguments = parser.parse_args()
    rules = (TableRule("sbtest1", "id"),)
    found: dict[str, Any] = {"benchmark": "load_data", "rows": arguments.rows}
    with (
        tempfile.TemporaryDirectory() as folder,
        Shards(arguments.shards, rules, options=OPTIONS) as shards,
        Mysqld(options=OPTIONS) as plain,
        GateProcess(shards.table(), shards.users()) as gate,
    ):
        plain.query("CREATE DATABASE shop")
        with (
            plain.connect(database="shop", autocommit=True, local_infile=True) as direct,
            gate.connect(local_infile=True) as through,
        ):
            for connection in (direct, through):
                with connection.cursor() as cursor:
                    cursor.execute(CREATE)
            for name, options in (("plain", PLAIN), ("quoted", QUOTED)):
                path = Path(folder) / name
                write_file(path, arguments.rows, bool(options))
                seconds: dict[str, list[float]] = {"direct": [], "gate": []}
                before = cpu_seconds(gate.pid)
                for _ in range(arguments.rounds):
                    seconds["direct"].append(load(direct, path, options))
                    seconds["gate"].append(load(through, path, options))
                cpu = (cpu_seconds(gate.pid) - before) / arguments.rounds / arguments.rows
                rates = {n: arguments.rows / statistics.median(s) for n, s in seconds.items()}
                ratio = rates["gate"] / rates["direct"]
                print(
                    f"{name:8} direct {rates['direct']:10,.0f} rows/s, gate {rates['gate']:10,.0f} "
                    f"rows/s ({ratio:.2f}), {cpu * 1e6:.2f} us of gate CPU a row"
                )
                found[name] = {
                    "direct_rows_per_second": round(rates["direct"]),
                    "gate_rows_per_second": round(rates["gate"]),
                    "ratio": round(ratio, 3),
                    "gate_cpu_us_per_row": round(cpu * 1e6, 3),
                }
            if arguments.megabytes:
                size = arguments.megabytes << 20
                with Streamed(Path(folder) / "streamed", size, gate) as streamed:
                    load(through, streamed.path, QUOTED)
                before, most = streamed.resident_before >> 10, streamed.resident_at_most >> 10
                print(
                    f"{arguments.megabytes} MiB with quotes: the gate had {before} KiB before, "
                    f"{most} at most, {gate.resident_bytes() >> 10} afterwards"
                )
                found["streamed_megabytes"] = arguments.megabytes
                found["gate_resident_bytes_at_most"] = streamed.resident_at_most
        found["gate_resident_bytes"] = gate.resident_bytes()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
