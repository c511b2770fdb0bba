"""What the planner knows of the tables of a keyspace: columns in their order, and views.

The executor loads it from one shard's information_schema (`from_rows`); a table that is not in it
does not exist as far as the planner is concerned.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mitosis_gate.planner.table_keys import UniqueKey


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    """COLUMN_TYPE of information_schema, lower case: `bigint unsigned`, `varchar(64)`."""
    collation: str = ""
    """Empty for columns that are not text."""
    pad_space: bool = False
    """Whether `'a' = 'a '` under the collation (PAD_ATTRIBUTE of information_schema.COLLATIONS)."""
    nullable: bool = False
    auto_increment: bool = False
    declared: str = ""
    """COLUMN_TYPE as it stands there: the case of ENUM and SET members matters."""


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: tuple[Column, ...]
    view: bool = False
    definition: str = ""
    """Of a view: what SHOW CREATE VIEW says; empty when nobody has asked, or it was not told."""
    unique_keys: tuple[UniqueKey, ...] = ()

    def column(self, name: str) -> Column | None:
        """Column names do not depend on case."""
        wanted = name.lower()
        return next((c for c in self.columns if c.name.lower() == wanted), None)

    def index(self, name: str) -> int:
        """Position of a column, -1 when there is none."""
        wanted = name.lower()
        return next((i for i, c in enumerate(self.columns) if c.name.lower() == wanted), -1)


@dataclass(frozen=True, slots=True)
class Schema:
    tables: Mapping[str, Table] = field(default_factory=dict)
    """By name; table names depend on case, as on Linux."""
    version: int = 0
    """Rises with each load that found a difference."""


QUERY = b"""\
SELECT c.TABLE_NAME, c.COLUMN_NAME, c.COLUMN_TYPE, IFNULL(c.COLLATION_NAME, ''),
 IFNULL(k.PAD_ATTRIBUTE, '') = 'PAD SPACE', c.IS_NULLABLE = 'YES', c.EXTRA LIKE '%auto_increment%',
 t.TABLE_TYPE <> 'BASE TABLE'
FROM information_schema.COLUMNS c
JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
LEFT JOIN information_schema.COLLATIONS k ON k.COLLATION_NAME = c.COLLATION_NAME
WHERE c.TABLE_SCHEMA = DATABASE() ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION"""
"""Run on a connection whose database is the keyspace; its rows are what `from_rows` takes."""
VIEWS = b"SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()"
"""The names for which SHOW CREATE VIEW gives what `from_rows` takes as definitions."""


def from_rows(
    rows: Iterable[tuple[bytes | str | int | None, ...]],
    version: int = 0,
    definitions: Mapping[str, str] | None = None,
    keys: Mapping[str, tuple[UniqueKey, ...]] | None = None,
) -> Schema:
    """Make a schema of the rows of QUERY, values as text (bytes or str) or numbers."""
    columns: dict[str, list[Column]] = {}
    views: set[str] = set()
    for row in rows:
        table, name, kind, collation, pad, nullable, auto, view = (_text(value) for value in row)
        columns.setdefault(table, []).append(
            Column(name, kind.lower(), collation, pad == "1", nullable == "1", auto == "1", kind)
        )
        if view == "1":
            views.add(table)
    told = definitions or {}
    tables = {
        name: Table(
            name, tuple(found), name in views, told.get(name, ""), (keys or {}).get(name, ())
        )
        for name, found in columns.items()
    }
    for name in told.keys() - columns.keys():  # a view over something that is gone has no columns
        tables[name] = Table(name, (), True, told[name])
    return Schema(tables, version)


def _text(value: bytes | str | int | None) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
