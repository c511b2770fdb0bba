"""From the value of a sharding key to its slot.

`slot = crc32(b) mod slots` with zlib's crc32 (IEEE), where `b` is the text that MySQL hashes in
`CRC32(column)`. The same routing is therefore computable inside MySQL as `CRC32(column) MOD slots`,
which copying and verification rely on. A change here moves rows: it is a new version of the
contract. `tests/routing/vectors.json` freezes it, and a real mysqld confirms the vectors.

`key_bytes` gives `b` for a value as a client wrote it. It answers only where it knows for certain
what MySQL makes of the value; for everything else it says so, and nobody may guess a slot.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum, StrEnum
from zlib import crc32

DEFAULT_SLOTS = 4096
MAX_SLOTS = 65536


class KeyKind(StrEnum):
    """How MySQL turns a column of the sharding key into the bytes it hashes."""

    INTEGER = "integer"
    """Plain decimal, no sign for positives, no leading zeros: TINYINT to BIGINT, signed or not."""
    TEXT = "text"
    """The characters in utf8mb4; the column must have a binary or `_bin` collation."""
    BINARY = "binary"
    """The bytes themselves: BINARY, VARBINARY."""
    DATE = "date"
    """`YYYY-MM-DD`."""
    DATETIME = "datetime"
    """`YYYY-MM-DD hh:mm:ss[.ffffff]` with as many decimals as the column declares."""


def is_slot_count(slots: int) -> bool:
    """Whether `slots` is a power of two from 1 to MAX_SLOTS."""
    return 1 <= slots <= MAX_SLOTS and slots & (slots - 1) == 0


def slot_of(key: bytes, slots: int) -> int:
    """Return the slot of a key in the bytes that `KeyKind` says; `slots` is a power of two."""
    return crc32(key) & (slots - 1)


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """What decides the bytes of a sharding key column besides the value."""

    kind: KeyKind
    length: int = 0
    """Characters of TEXT, bytes of BINARY; 0: no limit known."""
    fixed: bool = False
    """CHAR, which loses trailing spaces, or BINARY, which is filled up with zeros."""
    pad_space: bool = False
    """TEXT whose collation takes `'a'` and `'a '` for equal, though they hash apart."""
    last_character: int = 0x10FFFF
    """The highest code point that the character set of TEXT can hold."""
    low: int = -(1 << 63)
    high: int = (1 << 64) - 1
    decimals: int = 0
    """Of a DATETIME."""


class Doubt(Enum):
    """Why a value has no bytes to hash."""

    NULL = "null"
    """No row has it as its key, and none can be stored with it."""
    NO_ROW = "noRow"
    """Too long or out of range: no row can equal it; stored, MySQL would change or refuse it."""
    UNSURE = "unsure"
    """MySQL may compare or convert it in a way that is not certain from here."""
    TRAILING_SPACE = "trailingSpace"
    """Would be stored in a column that takes `'a'` and `'a '` for equal: two slots, one key."""


_INTEGERS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64}
_TYPE = re.compile(r"(\w+)(?:\((\d+)\))?((?: \w+)*)\Z")
_LAST_CHARACTERS = {"utf8mb4": 0x10FFFF, "utf8mb3": 0xFFFF, "utf8": 0xFFFF, "ascii": 0x7F}
"""Character sets whose bytes are those of utf8mb4, as far as they go."""


def key_column(column_type: str, collation: str = "", pad_space: bool = True) -> KeyColumn | str:
    """Facts of a column that is a sharding key, or a clause that says why it cannot be one.

    `column_type` is COLUMN_TYPE of information_schema: `bigint unsigned`, `varchar(64)`.
    """
    found = _TYPE.match(column_type.lower().strip())
    if not found:
        return f"its type {column_type} cannot be hashed: use an integer, VARCHAR or VARBINARY"
    name, size, attributes = found[1], int(found[2] or 0), found[3].split()
    if name in _INTEGERS:
        return _integer_column(_INTEGERS[name], attributes)
    if name in ("char", "varchar"):
        return _text_column(name, size or 1, collation, pad_space)
    if name in ("binary", "varbinary"):
        return KeyColumn(KeyKind.BINARY, length=size or 1, fixed=name == "binary")
    if name == "date":
        return KeyColumn(KeyKind.DATE)
    if name == "datetime":
        return KeyColumn(KeyKind.DATETIME, decimals=size)
    return (
        f"its type {name.upper()} cannot be hashed the same way everywhere: use an integer, "
        "CHAR, VARCHAR, BINARY, VARBINARY, DATE or DATETIME"
    )


def _integer_column(bits: int, attributes: list[str]) -> KeyColumn | str:
    if "zerofill" in attributes:
        return "MySQL would hash its leading zeros: leave out ZEROFILL"
    if "unsigned" in attributes:
        return KeyColumn(KeyKind.INTEGER, low=0, high=(1 << bits) - 1)
    return KeyColumn(KeyKind.INTEGER, low=-(1 << (bits - 1)), high=(1 << (bits - 1)) - 1)


def _text_column(name: str, size: int, collation: str, pad_space: bool) -> KeyColumn | str:
    if collation == "binary":
        return KeyColumn(KeyKind.BINARY, length=size, fixed=name == "char")
    if not collation.endswith("_bin"):
        return (
            f"under its collation {collation} different spellings are equal, and would hash apart: "
            "add CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin to the column"
        )
    last = _LAST_CHARACTERS.get(collation.split("_")[0])
    if last is None:
        return f"its collation {collation} is not of utf8mb4: use utf8mb4_0900_bin"
    return KeyColumn(
        KeyKind.TEXT, size, fixed=name == "char", pad_space=pad_space, last_character=last
    )


Value = int | float | bytes | None
"""A literal or parameter: whole number, FLOAT/DOUBLE, text or bytes in utf8mb4, NULL."""


def key_bytes(value: Value | Decimal, column: KeyColumn, *, stored: bool) -> bytes | Doubt:
    """Bytes to hash for a value that is `stored` in the column, or else compared with it by `=`."""
    if value is None:
        return Doubt.NULL
    if column.kind is KeyKind.INTEGER:
        return _integer_key(value, column)
    if not isinstance(value, bytes):
        return Doubt.UNSURE  # MySQL would convert the column, row by row
    if column.kind is KeyKind.TEXT:
        return _text_key(value, column, stored)
    if column.kind is KeyKind.BINARY:
        return _binary_key(value, column, stored)
    if column.kind is KeyKind.DATE:
        return _date_key(value)
    return _datetime_key(value, column.decimals)


_WHOLE = re.compile(rb" *[+-]?\d{1,30} *\Z")
_EXACT_FLOAT = float(1 << 53)


def _integer_key(value: int | float | bytes | Decimal, column: KeyColumn) -> bytes | Doubt:
    if isinstance(value, bytes):
        if not _WHOLE.match(value):
            return Doubt.UNSURE
        value = int(value)
    elif isinstance(value, float):
        if not -_EXACT_FLOAT < value < _EXACT_FLOAT or not value.is_integer():
            return Doubt.UNSURE
        value = int(value)
    elif isinstance(value, Decimal):
        if value != value.to_integral_value():
            return Doubt.UNSURE
        value = int(value)
    if not column.low <= value <= column.high:
        return Doubt.NO_ROW
    return b"%d" % value


def decimal_of(text: bytes) -> Decimal | None:
    """The value of a literal such as `42.0`; None when it is no exact number."""
    try:
        return Decimal(text.decode("ascii")) if len(text) <= 80 else None
    except (InvalidOperation, UnicodeDecodeError):
        return None


def _text_key(value: bytes, column: KeyColumn, stored: bool) -> bytes | Doubt:
    if value.endswith(b" "):
        if column.fixed and (stored or column.pad_space):
            value = value.rstrip(b" ")
        elif column.fixed:
            return Doubt.NO_ROW
        elif column.pad_space and stored:
            return Doubt.TRAILING_SPACE
        elif column.pad_space:
            value = value.rstrip(b" ")
    characters = len(value)
    if not value.isascii():
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return Doubt.UNSURE
        if ord(max(text)) > column.last_character:
            return Doubt.UNSURE
        characters = len(text)
    return Doubt.NO_ROW if 0 < column.length < characters else value


def _binary_key(value: bytes, column: KeyColumn, stored: bool) -> bytes | Doubt:
    if 0 < column.length < len(value):
        return Doubt.NO_ROW
    if column.fixed and len(value) < column.length:
        return value.ljust(column.length, b"\0") if stored else Doubt.NO_ROW
    return value


_DATE = re.compile(rb"\d{4}-\d\d-\d\d\Z")
_DATETIME = re.compile(rb"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?)?\Z")


def _date_key(value: bytes) -> bytes | Doubt:
    if not _DATE.match(value):
        return Doubt.UNSURE
    try:
        date.fromisoformat(value.decode())
    except ValueError:
        return Doubt.UNSURE
    return value


def _datetime_key(value: bytes, decimals: int) -> bytes | Doubt:
    found = _DATETIME.match(value)
    if not found:
        return Doubt.UNSURE
    day, time, fraction = found[1], found[2] or b"00:00:00", (found[3] or b"").rstrip(b"0")
    if len(fraction) > decimals:
        return Doubt.UNSURE  # MySQL rounds or truncates, as its mode says
    try:
        datetime.fromisoformat(f"{day.decode()} {time.decode()}")
    except ValueError:
        return Doubt.UNSURE
    text: bytes = day + b" " + time
    return text + b"." + fraction.ljust(decimals, b"0") if decimals else text
