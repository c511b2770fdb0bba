"""What stands in the select list of a pull, so that each value arrives exactly as it is stored.

A value travels as text and is stored in a column of the same type. Four kinds would change:

- FLOAT: its text has six digits. As DOUBLE it is written in full, and back it is the same FLOAT.
- TIMESTAMP: its text depends on the time zone, and an hour of each autumn has two meanings.
  `UNIX_TIMESTAMP(column)` is what is stored; added to a DATETIME it becomes the text in UTC.
- text in other character sets than those of Unicode in UTF-8: on the way to another character set
  some become something else. As bytes they stay what they are.
- JSON: a DECIMAL, a date or bytes in a document, which only functions put there, would become a
  DOUBLE or a string. A document that is not the same when its text is read again, in its text and
  in its size, is sent as `NO_JSON`, which a JSON column refuses.
"""

from mitosis_gate.planner.schema import Column

_UTF8 = frozenset({"", "utf8mb4", "utf8mb3", "utf8", "ascii", "binary"})
NO_JSON = b"?"
_EPOCH = b"TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(%s) SECOND"

_DOCUMENT = b"CAST(%s AS CHAR CHARACTER SET utf8mb4)"
_SAME_DOCUMENT = (
    b"IF(%(j)s IS NULL OR (CAST(%(text)s AS BINARY) = CAST(%(again)s AS BINARY)"
    b" AND JSON_STORAGE_SIZE(JSON_ARRAY(%(j)s)) = JSON_STORAGE_SIZE(JSON_ARRAY(%(parsed)s))),"
    b" %(text)s, '" + NO_JSON + b"')"
)


def expression(column: Column, qualifier: bytes = b"") -> bytes:
    """SQL that reads `column`; `qualifier`: name of the table in the statement, unquoted."""
    name = quoted(column.name.encode())
    if qualifier:
        name = quoted(qualifier) + b"." + name
    kind = base_type(column)
    if kind == "float" or (kind == "double" and "(" in column.type):
        return b"CAST(" + name + b" AS DOUBLE)"
    if kind == "timestamp":
        return _EPOCH % name
    if kind == "json":
        return _checked_document(name)
    if charset(column) not in _UTF8:
        return b"CAST(" + name + b" AS BINARY)"
    return name


def _checked_document(name: bytes) -> bytes:
    text = _DOCUMENT % name
    parsed = b"CAST(" + text + b" AS JSON)"
    return _SAME_DOCUMENT % {
        b"j": name,
        b"text": text,
        b"parsed": parsed,
        b"again": _DOCUMENT % parsed,
    }


def base_type(column: Column) -> str:
    """`decimal` of `decimal(10,2) unsigned`."""
    return column.type.partition("(")[0].partition(" ")[0]


def charset(column: Column) -> str:
    """Of a text column; empty for others."""
    return column.collation.partition("_")[0]


def quoted(name: bytes) -> bytes:
    return b"`" + name.replace(b"`", b"``") + b"`"
