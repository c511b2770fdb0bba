"""What statements cost that the merge server finishes: CPU of each process, and time to the answer.

    python benchmarks/finish.py [--rows 10000] [--rounds 5]

Two shards. `join`: two tables of `--rows` rows each, joined by a column that is no sharding key,
all pulled. `lookup`: one row of one table, whose key finds its rows in the other: the second pull
asks for that key only. `small`: the same with tables of ten rows. The last line is JSON, medians.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from gates import GateProcess, Shards
from merge_servers import MergeServer

from mitosis_routing.table import TableRule

RULES = tuple(TableRule(name, "id") for name in ("left_side", "right_side", "ten", "tens"))
CREATE = (
    "CREATE TABLE {name} (id BIGINT PRIMARY KEY, other BIGINT, name VARCHAR(64), "
    "price DECIMAL(10,2), KEY (other))"
)
STATEMENTS = {
    "join": "SELECT COUNT(*), SUM(a.price * b.price) FROM left_side a JOIN right_side b "
    "ON a.other = b.other",
    "lookup": "SELECT b.name FROM left_side a JOIN right_side b ON b.other = a.other "
    "WHERE a.id = 77",
    "small": "SELECT COUNT(*), SUM(a.price * b.price) FROM ten a JOIN tens b ON a.other = b.other",
}
REPEATS = {"join": 1, "lookup": 50, "small": 50}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fill(gate: GateProcess, rows: int) -> None:
    with gate.connect() as connection, connection.cursor() as cursor:
        counts = {"left_side": rows, "right_side": rows, "ten": 10, "tens": 10}
        for name, count in counts.items():
            cursor.execute(CREATE.format(name=name))
            for start in range(0, count, 1000):
                values = ",".join(
                    f"({n}, {n * 7 % count}, 'name of {n}', {n % 100}.25)"
                    for n in range(start, min(start + 1000, count))
                )
                cursor.execute(f"INSERT INTO {name} VALUES {values}")


def measured(connection: Any, statement: str, repeats: int, pids: Mapping[str, int]) -> Any:
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    started = time.perf_counter()
    with connection.cursor() as cursor:
        for _ in range(repeats):
            cursor.execute(statement)
            cursor.fetchall()
    seconds = time.perf_counter() - started
    used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    return {
        "ms": seconds / repeats * 1e3,
        **{f"{name}_cpu_ms": value / repeats * 1e3 for name, value in used.items()},
    }


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / (1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with MergeServer() as merge, Shards(2, RULES) as shards:
        idle = resident_mib(merge.pid)
        with GateProcess(shards.table(), shards.users(), merge.option) as gate:
            fill(gate, given.rows)
            pids = {"gate": gate.pid, "merge": merge.pid}
            result: dict[str, Any] = {"rows": given.rows, "merge_idle_mib": round(idle, 1)}
            with gate.connect() as connection:
                for name, statement in STATEMENTS.items():
                    measured(connection, statement, 3, pids)
                    rounds = [
                        measured(connection, statement, REPEATS[name], pids)
                        for _ in range(given.rounds)
                    ]
                    for key in rounds[0]:
                        median = statistics.median(found[key] for found in rounds)
                        result[f"{name}_{key}"] = round(median, 2)
                    print(name, {k: v for k, v in result.items() if k.startswith(name)})
            result["merge_after_mib"] = round(resident_mib(merge.pid), 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
