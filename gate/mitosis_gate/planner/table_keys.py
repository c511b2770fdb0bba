"""The unique keys that tables have, as information_schema tells them."""

from collections.abc import Iterable
from dataclasses import dataclass

PRIMARY = "PRIMARY"
"""Name of the primary key."""


@dataclass(frozen=True, slots=True)
class UniqueKey:
    name: str
    """Empty while MySQL has not given it one."""
    parts: tuple[str, ...]
    """In SQL: `a`, `a(10)` for a prefix, `(lower(a))` for an expression."""
    columns: tuple[str, ...]
    """Those of the parts that are a column with its whole value."""


QUERY = b"""\
SELECT TABLE_NAME, INDEX_NAME, IFNULL(COLUMN_NAME, ''), IFNULL(SUB_PART, ''), IFNULL(EXPRESSION, '')
FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"""
"""Run on a connection whose database is the keyspace; its rows are what `from_rows` takes."""


def from_rows(
    rows: Iterable[tuple[bytes | str | int | None, ...]],
) -> dict[str, tuple[UniqueKey, ...]]:
    """The keys of each table, from the rows of QUERY, values as text (bytes or str) or numbers."""
    parts: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in rows:
        table, name, column, prefix, expression = (_text(value) for value in row)
        text = f"({expression})" if expression else f"{column}({prefix})" if prefix else column
        parts.setdefault((table, name), []).append((text, "" if prefix else column))
    found: dict[str, tuple[UniqueKey, ...]] = {}
    for (table, name), told in parts.items():
        columns = tuple(column for _, column in told if column)
        key = UniqueKey(name, tuple(text for text, _ in told), columns)
        found[table] = (*found.get(table, ()), key)
    return found


def _text(value: bytes | str | int | None) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
