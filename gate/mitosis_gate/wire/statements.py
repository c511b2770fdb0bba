"""COM_STMT_EXECUTE: where its parameters are, and what some of them are worth.

A prepared statement for one shard is passed on in its binary form. Read are only the types, which a
backend that has not seen them must be told again, and the values that decide the route. For several
shards all values are written as SQL literals; no value can end its literal early, because every
quote and backslash in it is escaped and the gate serves no character set or SQL mode in which they
could be read otherwise.
"""

import functools
import math
import struct
from collections.abc import Callable, Mapping, Sequence

from mitosis_gate.errors import InternalError, MalformedPacket, WrongArguments
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import lenenc, lenenc_bytes, read_int, read_lenenc, read_lenenc_bytes

Value = int | float | bytes | None
_HEAD = 10  # command, statement id, flags, iteration count
_CURSORS = 0x07
_FLAGS = tuple(bytes((n,)) for n in range(256))
_FIXED: Mapping[int, tuple[int, str, str]] = {
    c.TYPE_TINY: (1, "<b", "<B"),
    c.TYPE_BOOL: (1, "<b", "<B"),
    c.TYPE_SHORT: (2, "<h", "<H"),
    c.TYPE_YEAR: (2, "<h", "<H"),
    c.TYPE_LONG: (4, "<i", "<I"),
    c.TYPE_INT24: (4, "<i", "<I"),
    c.TYPE_LONGLONG: (8, "<q", "<Q"),
    c.TYPE_FLOAT: (4, "<f", "<f"),
    c.TYPE_DOUBLE: (8, "<d", "<d"),
}
_DATES = frozenset({c.TYPE_DATE, c.TYPE_DATETIME, c.TYPE_TIMESTAMP})
_BLOBS = frozenset({c.TYPE_TINY_BLOB, c.TYPE_MEDIUM_BLOB, c.TYPE_LONG_BLOB, c.TYPE_BLOB})
_DECIMALS = frozenset({c.TYPE_DECIMAL, c.TYPE_NEWDECIMAL})


class Execution:
    """One COM_STMT_EXECUTE, and what a backend may need that does not stand in it."""

    __slots__ = ("_bound_at", "_values_at", "has_types", "parameters", "payload", "types")

    def __init__(
        self, payload: bytes, parameters: int, types: bytes, bound_at: int, values_at: int
    ) -> None:
        self.payload = payload
        self.parameters = parameters
        """With query attributes there are more than the statement has."""
        self.types = types
        """The block of types (and names), also when the client did not send it this time."""
        self._bound_at = bound_at
        self._values_at = values_at
        self.has_types = values_at != bound_at + 1

    @property
    def nulls(self) -> bytes:
        return self.payload[self._bound_at - (self.parameters + 7) // 8 : self._bound_at]

    @property
    def values(self) -> bytes:
        return self.payload[self._values_at :]

    @property
    def wants_cursor(self) -> bool:
        return bool(self.payload[5] & c.CURSOR_READ_ONLY)

    def pack(self, number: int, with_types: bool, with_cursor: bool = False) -> bytes:
        """The payload for a backend that knows the statement as `number`."""
        payload = self.payload
        flags = payload[5] & ~_CURSORS | (c.CURSOR_READ_ONLY if with_cursor else 0)
        start = b"\x17" + number.to_bytes(4, "little") + _FLAGS[flags]
        if not self.parameters or with_types == self.has_types:
            return start + payload[6:]
        head, values = payload[6 : self._bound_at], payload[self._values_at :]
        if with_types:
            return b"".join((start, head, b"\x01", self.types, values))
        return b"".join((start, head, b"\x00", values))


def execution(payload: bytes, parameters: int, names: bool, known_types: bytes | None) -> Execution:
    """Read the packet. `names`: CLIENT_QUERY_ATTRIBUTES; `known_types`: those sent before."""
    size = len(payload)
    if size < _HEAD:
        raise MalformedPacket("COM_STMT_EXECUTE ends before its parameters")
    at = _HEAD
    count = parameters
    if names and (parameters or payload[5] & c.PARAMETER_COUNT_AVAILABLE):
        count, at = read_lenenc(payload, at)
        if count < parameters or count > 0xFFFF:
            raise WrongArguments("Incorrect number of parameters of a prepared statement")
    if not count:
        return Execution(payload, 0, b"", at, at)
    bound_at = at + (count + 7) // 8
    if bound_at >= size:
        raise MalformedPacket("COM_STMT_EXECUTE ends before its parameters")
    if payload[bound_at]:
        values_at = _types_end(payload, bound_at + 1, count, names)
        return Execution(payload, count, payload[bound_at + 1 : values_at], bound_at, values_at)
    if known_types is None:
        raise WrongArguments("the types of the parameters were never sent")
    return Execution(payload, count, known_types, bound_at, bound_at + 1)


def _types_end(payload: bytes, at: int, count: int, names: bool) -> int:
    for _ in range(count):
        _, at = read_int(payload, at, 2)
        if names:
            _, at = read_lenenc_bytes(payload, at)
    return at


@functools.lru_cache(maxsize=1024)
def _types(block: bytes, count: int, names: bool) -> tuple[tuple[int, bool], ...]:
    found = []
    at = 0
    for _ in range(count):
        kind, at = read_int(block, at, 2)
        found.append((kind & 0xFF, bool(kind & 0x8000)))
        if names:
            _, at = read_lenenc_bytes(block, at)
    return tuple(found)


def values(
    sent: Execution, wanted: Sequence[int], names: bool, long_data: Mapping[int, bytes]
) -> list[Value]:
    """The parameters with these ascending indexes; `long_data` came in packets of its own."""
    found: list[Value] = []
    if not wanted:
        return found
    kinds = _types(sent.types, sent.parameters, names)
    nulls, data = sent.nulls, sent.values
    at = 0
    for index in range(wanted[-1] + 1):
        value: Value = None
        if index in long_data:
            value = long_data[index]
        elif not nulls[index // 8] >> index % 8 & 1:
            value, at = _value(data, at, *kinds[index])
        if index in wanted:
            found.append(value)
    return found


def _value(data: bytes, at: int, kind: int, unsigned: bool) -> tuple[Value, int]:
    fixed = _FIXED.get(kind)
    if fixed is not None:
        size, signed_form, unsigned_form = fixed
        if at + size > len(data):
            raise MalformedPacket("a parameter of COM_STMT_EXECUTE is cut off")
        form = unsigned_form if unsigned else signed_form
        number: int | float = struct.unpack_from(form, data, at)[0]
        return number, at + size
    if kind == c.TYPE_NULL:
        return None, at
    value, at = read_lenenc_bytes(data, at)
    if kind in _DATES:
        return _read(_date, value), at
    if kind == c.TYPE_TIME:
        return _read(_time, value), at
    return value, at


def _read(how: Callable[[bytes], str], value: bytes) -> bytes:
    try:
        return how(value).encode()
    except struct.error as exc:
        raise MalformedPacket("a date or time of COM_STMT_EXECUTE is cut off") from exc


def _date(value: bytes) -> str:
    year, month, day = struct.unpack_from("<HBB", value) if value else (0, 0, 0)
    text = f"{year:04}-{month:02}-{day:02}"
    if len(value) > 4:
        text += " {:02}:{:02}:{:02}".format(*struct.unpack_from("<BBB", value, 4))
    if len(value) > 7:
        text += ".{:06}".format(*struct.unpack_from("<I", value, 7))
    return text


def _time(value: bytes) -> str:
    if not value:
        return "00:00:00"
    negative, days, hours, minutes, seconds = struct.unpack_from("<BIBBB", value)
    text = f"{'-' if negative else ''}{days * 24 + hours:02}:{minutes:02}:{seconds:02}"
    if len(value) > 8:
        text += ".{:06}".format(*struct.unpack_from("<I", value, 8))
    return text


def literals(
    sent: Execution, count: int, names: bool, long_data: Mapping[int, bytes], utf8: bool
) -> list[bytes]:
    """The first `count` parameters as SQL; `utf8`: the client writes in utf8mb4."""
    found = values(sent, range(count), names, long_data)
    if not count:
        return []
    kinds = _types(sent.types, sent.parameters, names)
    return [literal_of(value, kinds[index][0], utf8) for index, value in enumerate(found)]


def unsigned(sent: Execution, names: bool) -> list[bool]:
    """Which parameters are of an unsigned type."""
    return [is_unsigned for _, is_unsigned in _types(sent.types, sent.parameters, names)]


def literal_of(value: Value, kind: int, utf8: bool = True) -> bytes:
    """SQL text that means to MySQL what a bound value of that type means."""
    if value is None:
        return b"NULL"
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise WrongArguments("a bound number is not finite, and SQL cannot write it")
        text = repr(value)
        return (text if "e" in text else text + "e0").encode()
    if kind in _DECIMALS and _is_decimal(value):
        return value if b"." in value else value + b"."
    if kind in _DATES or kind == c.TYPE_TIME:
        return _temporal(value, kind)
    if kind in _BLOBS or (utf8 and not _is_utf8(value)):
        return b"_binary" + quoted(value)
    return quoted(value)


def _is_decimal(value: bytes) -> bool:
    digits = value.removeprefix(b"-")
    return digits.replace(b".", b"", 1).isdigit() and digits[:1].isdigit()


def _temporal(value: bytes, kind: int) -> bytes:
    """A date that is partly zero stands as text: MySQL takes no typed literal of it."""
    if kind == c.TYPE_TIME:
        return b"TIME'" + value + b"'"
    if value[:4] == b"0000" or value[5:7] == b"00" or value[8:10] == b"00":
        return b"'" + value + b"'"
    return (b"TIMESTAMP'" if len(value) > 10 else b"DATE'") + value + b"'"


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def quoted(value: bytes) -> bytes:
    """A string literal; NUL is escaped because the gate reads none in statements."""
    if b"'" in value or b"\\" in value or b"\0" in value:
        value = value.replace(b"\\", b"\\\\").replace(b"'", b"\\'").replace(b"\0", b"\\0")
    return b"'" + value + b"'"


def binary_row(columns: Sequence[packets.Column], row: bytes) -> bytes:
    """A text row of a small answer of the gate's own as the execution of a statement has it."""
    fields = packets.read_text_row(row)
    nulls = bytearray((len(fields) + 9) // 8)
    parts = []
    for place, (column, value) in enumerate(zip(columns, fields, strict=True)):
        if value is None:
            nulls[(place + 2) // 8] |= 1 << (place + 2) % 8
        elif column.type in _FIXED:
            size, signed_form, unsigned_form = _FIXED[column.type]
            if column.type in (c.TYPE_FLOAT, c.TYPE_DOUBLE):
                parts.append(struct.pack(signed_form, float(value)))
            else:
                parts.append((int(value) & ((1 << 8 * size) - 1)).to_bytes(size, "little"))
        elif column.type in _DATES or column.type == c.TYPE_TIME:
            raise InternalError(f"the gate makes no binary rows with type {column.type}")
        else:
            parts.append(lenenc_bytes(value))
    return b"\0" + bytes(nulls) + b"".join(parts)


def long_data(payload: bytes) -> tuple[int, int, bytes]:
    """COM_STMT_SEND_LONG_DATA: statement, parameter, bytes."""
    number, at = read_int(payload, 1, 4)
    parameter, at = read_int(payload, at, 2)
    return number, parameter, payload[at:]


def pack_long_data(number: int, parameter: int, data: bytes) -> bytes:
    return b"\x18" + number.to_bytes(4, "little") + parameter.to_bytes(2, "little") + data


def pack_execution(number: int) -> bytes:
    """COM_STMT_EXECUTE of a statement without parameters."""
    return b"\x17" + number.to_bytes(4, "little") + b"\0" + (1).to_bytes(4, "little")


def pack_fetch(number: int, rows: int) -> bytes:
    return b"\x1c" + number.to_bytes(4, "little") + rows.to_bytes(4, "little")


def query_text(payload: bytes) -> bytes:
    """The statement of a COM_QUERY that may carry query attributes."""
    count, at = read_lenenc(payload, 1)
    _, at = read_lenenc(payload, at)
    if count == 0:
        return payload[at:]
    if count > 0xFFFF:
        raise MalformedPacket("too many query attributes")
    nulls_at = at
    at += (count + 7) // 8
    bound, at = read_int(payload, at, 1)
    if not bound:
        raise MalformedPacket("query attributes without types")
    types_end = _types_end(payload, at, count, names=True)
    kinds = _types(payload[at:types_end], count, names=True)
    rest = payload[types_end:]
    end = 0
    for index, (kind, unsigned) in enumerate(kinds):
        if not payload[nulls_at + index // 8] >> index % 8 & 1:
            _, end = _value(rest, end, kind, unsigned)
    return rest[end:]


def pack_query(sql: bytes, names: bool) -> bytes:
    return (b"\x03" + lenenc(0) + lenenc(1) if names else b"\x03") + sql
