"""The files of statements and plans in `tests/planner/cases/`.

A file says its keyspace in a comment (a name of `keyspaces.KEYSPACES`), then holds statements, each
followed by `--> ` and the plan in one line. A statement that has several lines ends at its plan.
"""

from collections.abc import Iterator
from pathlib import Path

CASES = Path(__file__).parents[1] / "planner" / "cases"


def read_cases(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield keyspace, statement and expected plan."""
    keyspace, lines = "", []
    for line in path.read_text().splitlines():
        if line.startswith("-- keyspace: "):
            keyspace = line.removeprefix("-- keyspace: ")
        elif line.startswith("--> "):
            yield keyspace, "\n".join(lines), line.removeprefix("--> ")
            lines = []
        elif line.strip() and not line.startswith("-- title: "):
            lines.append(line)
    assert not lines, f"{path.name} ends without a plan"


def all_statements() -> list[bytes]:
    return [sql.encode() for path in sorted(CASES.glob("*.sql")) for _, sql, _ in read_cases(path)]
