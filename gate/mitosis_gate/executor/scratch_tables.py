"""SQL about the tables that a statement has on the merge server, and literals for it; pure.

A column there has the type, the collation and the nullability that it has on the shards, so that
MySQL compares, computes and converts as it would there. Keys, defaults and generation are left out:
whether the statement is valid was judged by a shard.
"""

import re
from collections.abc import Sequence

from mitosis_gate.errors import NotSupported
from mitosis_gate.planner.plan import Pull
from mitosis_gate.planner.pulling import base_type, charset, quoted
from mitosis_gate.planner.schema import Column
from mitosis_gate.wire import charsets, packets
from mitosis_gate.wire import constants as c

_NUMBERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year"})
_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_BYTES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_EXACT = frozenset(
    {
        c.TYPE_DECIMAL,
        c.TYPE_NEWDECIMAL,
        c.TYPE_TINY,
        c.TYPE_SHORT,
        c.TYPE_LONG,
        c.TYPE_INT24,
        c.TYPE_LONGLONG,
        c.TYPE_YEAR,
    }
)
_INEXACT = frozenset({c.TYPE_FLOAT, c.TYPE_DOUBLE})
_HARMLESS = re.compile(rb"[ -&(-\[\]-~]*\Z")
"""ASCII without quotes and backslashes: between quotes it means itself under every sql_mode."""
NOTHING = Column("nothing", "tinyint", nullable=True)
"""The column of a pull whose rows are only counted."""


def columns_of(pull: Pull) -> tuple[Column, ...]:
    return tuple(pull.table.columns[i] for i in pull.columns) or (NOTHING,)


def create(pull: Pull, temporary: bool, database: bytes = b"") -> bytes:
    kind = b"CREATE TEMPORARY TABLE " if temporary else b"CREATE TABLE "
    name = quoted(pull.name.encode())
    if database:
        name = quoted(database) + b"." + name
    columns = b", ".join(_column(column) for column in columns_of(pull))
    return kind + name + b" (" + columns + b") ENGINE=InnoDB"


def _column(column: Column) -> bytes:
    parts = [quoted(column.name.encode()), (column.declared or column.type).encode()]
    if column.collation:
        parts.append(b"COLLATE " + column.collation.encode())
    parts.append(b"NULL" if column.nullable else b"NOT NULL")
    return b" ".join(parts)


def insert(pull: Pull, rows: int) -> bytes:
    """To be prepared; a parameter is the text of a value, as bytes."""
    # MySQL makes JSON of text only
    values = [
        b"CONVERT(? USING utf8mb4)" if base_type(column) == "json" else b"?"
        for column in columns_of(pull)
    ]
    row = b"(" + b",".join(values) + b")"
    return b"INSERT INTO " + quoted(pull.name.encode()) + b" VALUES " + b",".join([row] * rows)


def key_values(column: Column, table: str, most: int) -> bytes | None:
    """A SELECT of the distinct values of a column of a scratch table that `key_literals` takes.

    None when values of its type have no literals that compare as the column does.
    """
    kind = base_type(column)
    name = quoted(column.name.encode())
    if kind in _NUMBERS:
        shown = name
    elif kind in _TEXTS or kind in _BYTES:
        shown = b"HEX(" + name + b")"
    else:
        return None
    source = quoted(table.encode())
    return b"SELECT DISTINCT %s FROM %s WHERE %s IS NOT NULL LIMIT %d" % (shown, source, name, most)


def key_literals(column: Column, values: Sequence[bytes]) -> bytes:
    """The values of `key_values`, as the inside of an IN list."""
    kind = base_type(column)
    if kind in _NUMBERS:
        return b",".join(values)
    if kind in _BYTES:
        return b",".join(b"x'" + value + b"'" for value in values)
    introducer = b"_" + charset(column).encode() + b" x'"
    return b",".join(introducer + value + b"'" for value in values)


def value_literal(definition: bytes, value: bytes | None) -> bytes:
    """SQL text of a value that a shard computed."""
    if value is None:
        return b"NULL"
    column = packets.column(definition)
    if column.type in _EXACT:
        return value
    if column.type in _INEXACT:
        return value if b"e" in value else value + b"e0"
    charset = charsets.by_id(column.charset)
    if charset is None:
        raise NotSupported(
            f"the answer in character set {column.charset} cannot be used further: "
            "SET character_set_results = utf8mb4"
        )
    introducer = b"_" + charset.name.encode()
    if _HARMLESS.match(value):
        return introducer + b"'" + value + b"'"
    return introducer + b" x'" + value.hex().encode() + b"'"
