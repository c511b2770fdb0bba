"""What a statement says about sharding keys, and which shards that leaves.

A pin is made once for a shape and evaluated for each statement of that shape: it turns the
literals of the statement into a bit mask of shards.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeGuard
from zlib import crc32

from mitosis_gate.planner.layout import Layout
from mitosis_gate.planner.lexer import items_of, unquoted
from mitosis_gate.planner.plan import Value
from mitosis_routing.hashing import (
    Doubt,
    KeyColumn,
    KeyKind,
    decimal_of,
    key_bytes,
    slot_of,
)


@dataclass(frozen=True, slots=True)
class Param:
    """What an execution of a prepared statement puts in the place of a `?`."""

    value: Value


Literal = bytes | Param
"""A literal as the client wrote it, or a bound parameter. A `?` that is not bound is `b"?"`."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A literal that is compared with, or stored in, a sharding key."""

    index: int
    negative: bool = False
    introducer: str = ""
    """`_binary` or `_utf8mb4` when it stands before the literal."""
    many: bool = False
    """It stands in `IN (...)`, where the literal can be a whole list."""
    width: int = 1
    column: int = 0
    """Of a list of rows: how many values a row has, and which of them is meant."""
    typed: str = ""
    """`date`, `datetime` or `integer`: what it is made of by CAST, or by DATE and TIMESTAMP."""

    def items(self, literal: Literal) -> Sequence[Literal]:
        """The literals that are meant in a list."""
        if not isinstance(literal, bytes) or (self.width == 1 and b"," not in literal):
            return (literal,)
        found = items_of(literal)
        return found[self.column :: self.width] if len(found) % self.width == 0 else (b"?",)


def is_plain_number(literal: Literal, digits: int) -> TypeGuard[bytes]:
    """Whether it is the very text to hash: decimal, no sign, no leading zero, in range."""
    return (
        type(literal) is bytes
        and len(literal) < digits
        and literal.isdigit()
        and literal[0] != _ZERO
    )


_ZERO = b"0"[0]
_TYPED = {
    "date": re.compile(rb"\d{4}-\d\d-\d\d"),
    "datetime": re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"),
}


@dataclass(frozen=True, slots=True)
class KeyReader:
    """Turns the literal of a slot into the bytes to hash."""

    column: KeyColumn
    utf8: bool
    """Whether the client writes in utf8mb4."""
    stored: bool = False

    @property
    def digits(self) -> int:
        """Whole numbers with fewer digits are in the range of the column; 0: it is no number."""
        return len(str(self.column.high)) if self.column.kind is KeyKind.INTEGER else 0

    def read(self, literal: Literal, slot: Slot) -> bytes | Doubt:
        value = self._typed(literal, slot) if slot.typed else self._value(literal, slot)
        return value if isinstance(value, Doubt) else self._key(value, slot.negative)

    def _key(self, value: Value | Decimal, negative: bool) -> bytes | Doubt:
        if not negative:
            return key_bytes(value, self.column, stored=self.stored)
        if isinstance(value, int | float | Decimal):
            return key_bytes(-value, self.column, stored=self.stored)
        return Doubt.NULL if value is None else Doubt.UNSURE

    def _value(self, literal: Literal, slot: Slot) -> Value | Decimal | Doubt:
        if isinstance(literal, Param):
            if isinstance(literal.value, bytes) and self.column.kind is not KeyKind.BINARY:
                return self._text(literal.value, slot)
            return literal.value
        first = literal[:1]
        if first in b"'\"":
            return self._text(unquoted(literal), slot)
        if first in b"xX" or literal[:2] == b"0x":
            return self._hexadecimal(literal)
        if literal.isdigit():
            return int(literal) if len(literal) <= 80 else Doubt.UNSURE
        if first in b"bBnN?" or b"e" in literal or b"E" in literal:
            return Doubt.UNSURE
        number = decimal_of(literal)
        return Doubt.UNSURE if number is None else number

    def _typed(self, literal: Literal, slot: Slot) -> Value | Decimal | Doubt:
        """Only what a CAST, or DATE and TIMESTAMP before a literal, leave as it is."""
        text = literal.value if isinstance(literal, Param) else literal
        if slot.typed == "integer":
            if self.column.kind is not KeyKind.INTEGER or slot.negative:
                return Doubt.UNSURE
            if isinstance(text, int) and 0 <= text < 2**63:
                return text
            plain = isinstance(text, bytes) and text.isdigit() and len(text) < 19
            return int(text) if plain and isinstance(text, bytes) else Doubt.UNSURE
        if not isinstance(text, bytes):
            return Doubt.UNSURE
        value = text if isinstance(literal, Param) else text[1:-1]
        kinds = {"date": (KeyKind.DATE, KeyKind.DATETIME), "datetime": (KeyKind.DATETIME,)}
        fits = _TYPED[slot.typed].fullmatch(value) and self.column.kind in kinds[slot.typed]
        return value if fits else Doubt.UNSURE

    def _text(self, value: bytes, slot: Slot) -> bytes | Doubt:
        if value.isascii() or slot.introducer:
            return value
        if self.column.kind is KeyKind.TEXT:
            return value if self.utf8 else Doubt.UNSURE
        if self.column.kind is KeyKind.BINARY and self.utf8 and _is_utf8(value):
            return value
        return Doubt.UNSURE

    def _hexadecimal(self, literal: bytes) -> bytes | Doubt:
        if self.column.kind not in (KeyKind.TEXT, KeyKind.BINARY):
            return Doubt.UNSURE
        digits = literal[2:] if literal[:1] == b"0" else literal[2:-1]
        try:
            return bytes.fromhex(digits.rjust(len(digits) + len(digits) % 2, b"0").decode())
        except ValueError:
            return Doubt.UNSURE


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


class Pin(Protocol):
    """A condition that rows must meet to matter."""

    def mask(self, literals: Sequence[Literal]) -> int:
        """Shards on which such rows can be; 0: there are none anywhere."""

    def slots(self) -> frozenset[int]:
        """Which literals it looks at."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """The key equals one of the literals."""

    layout: Layout
    reader: KeyReader
    choices: tuple[Slot, ...]

    def mask(self, literals: Sequence[Literal]) -> int:
        found = 0
        owner_bits, slots_mask, digits = (
            self.layout.bits,
            self.layout.slots_mask,
            self.reader.digits,
        )
        for slot in self.choices:
            one = literals[slot.index]
            for literal in slot.items(one) if slot.many else (one,):
                if is_plain_number(literal, digits) and not slot.negative:
                    found |= owner_bits[crc32(literal) & slots_mask]
                    continue
                key = self.reader.read(literal, slot)
                if isinstance(key, bytes):
                    found |= 1 << self.layout.owners[slot_of(key, self.layout.slots)]
                elif key is Doubt.UNSURE:
                    return self.layout.everything
        return found

    def slots(self) -> frozenset[int]:
        return frozenset(slot.index for slot in self.choices)


@dataclass(frozen=True, slots=True)
class AllOf:
    """All the pins hold; without any, every shard is left."""

    everything: int
    pins: tuple[Pin, ...]

    def mask(self, literals: Sequence[Literal]) -> int:
        left = self.everything
        for pin in self.pins:
            left &= pin.mask(literals)
        return left

    def slots(self) -> frozenset[int]:
        return frozenset().union(*(pin.slots() for pin in self.pins))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of the pins holds."""

    pins: tuple[Pin, ...]

    def mask(self, literals: Sequence[Literal]) -> int:
        left = 0
        for pin in self.pins:
            left |= pin.mask(literals)
        return left

    def slots(self) -> frozenset[int]:
        return frozenset().union(*(pin.slots() for pin in self.pins))
