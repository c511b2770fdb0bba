"""User variables that a statement has set on a connection, read back to be data of the session.

Set again as `@name = literal` they are what they were: numbers of the same kind, text in the same
character set and collation, bytes.
"""

from collections.abc import Mapping, Sequence

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.wire import charsets, packets
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.statements import quoted

_NUMBERS = frozenset({c.TYPE_LONGLONG, c.TYPE_NEWDECIMAL, c.TYPE_LONG})
LONGEST_BYTES = 64 << 10
"""Of a value that is kept; longer ones stay where they are."""


def quoted_name(name: str) -> bytes:
    return b"@`" + name.encode().replace(b"`", b"``") + b"`"


async def read_variables(
    connection: BackendConnection, names: Sequence[str]
) -> Mapping[str, bytes]:
    """The variables (names without `@`) as SQL that sets them anew."""
    asked = b", ".join(
        b"%b, COLLATION(%b), HEX(CONVERT(%b USING utf8mb4))" % ((quoted_name(n),) * 3)
        for n in names
    )
    result = await connection.query(b"SELECT " + asked)
    row = result.values()[0]
    found = {}
    for place, name in enumerate(names):
        value, collation, text = row[3 * place : 3 * place + 3]
        kind = packets.column(result.columns[3 * place])
        found[name] = _literal(kind, value, collation or b"", text or b"")
    return found


def _literal(kind: packets.Column, value: bytes | None, collation: bytes, text: bytes) -> bytes:
    if value is None:
        return b"NULL"
    if kind.type in _NUMBERS:
        if kind.type == c.TYPE_NEWDECIMAL and b"." not in value:
            return value + b"."
        return value
    if kind.type == c.TYPE_DOUBLE:
        return value if b"e" in value else value + b"e0"
    if kind.charset == charsets.BINARY_ID or collation == b"binary":
        return b"_binary" + quoted(value)
    charset = collation.partition(b"_")[0]
    written = b"_utf8mb4 0x" + text if text else b"_utf8mb4''"
    if charset != b"utf8mb4":
        written = b"CONVERT(%b USING %b)" % (written, charset)
    return b"%b COLLATE %b" % (written, collation)
