"""Rows of the text and of the binary protocol, many at a time.

A batch is a list of payloads. Values are read column by column over the whole batch, from the
left, so that each step is a comprehension over bytes and no function is called for a row: the
columns that a merge needs stand at the left, hidden ones first.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Protocol

from mitosis_gate.wire import constants as c
from mitosis_gate.wire.codec import lenenc_bytes, read_lenenc
from mitosis_gate.wire.packets import Column

Raw = bytes | None
"""A value as it stands in the row, without its length; None is NULL."""
_NULL = 0xFB
_MOST_REMEMBERED = 4096
FIXED_BYTES = {
    c.TYPE_TINY: 1,
    c.TYPE_SHORT: 2,
    c.TYPE_YEAR: 2,
    c.TYPE_LONG: 4,
    c.TYPE_INT24: 4,
    c.TYPE_LONGLONG: 8,
    c.TYPE_FLOAT: 4,
    c.TYPE_DOUBLE: 8,
}
"""Bytes of the types of fixed size in binary rows; all others carry their length."""


class Format(Protocol):
    """How the rows of one result are written; made for its column definitions."""

    def leading(self, rows: Sequence[bytes], count: int) -> list[list[Raw]]:
        """The values of the first `count` columns: for each column those of all rows."""

    def without(self, rows: Sequence[bytes], hidden: int) -> list[bytes]:
        """The rows without their first `hidden` columns."""

    def peeled(self, rows: Sequence[bytes]) -> tuple[list[Raw], list[bytes]]:
        """The values of the first column, and the rows without it."""

    def pack(self, values: Sequence[Raw], columns: Sequence[int]) -> bytes:
        """A row of `values`; `columns` are the places of their definitions."""


class TextRows:
    """Each value is a string with its length in front; NULL is one byte."""

    def leading(self, rows: Sequence[bytes], count: int) -> list[list[Raw]]:
        found = []
        starts = [0] * len(rows)
        for _ in range(count):
            begins, ends = _spans(rows, starts)
            found.append(_between(rows, begins, ends))
            starts = ends
        return found

    def without(self, rows: Sequence[bytes], hidden: int) -> list[bytes]:
        starts = [0] * len(rows)
        for _ in range(hidden):
            starts = _spans(rows, starts)[1]
        return [row[at:] for row, at in zip(rows, starts, strict=True)]

    def peeled(self, rows: Sequence[bytes]) -> tuple[list[Raw], list[bytes]]:
        sizes = list(map(itemgetter(0), rows))
        if max(sizes) >= _NULL:
            return self.leading(rows, 1)[0], self.without(rows, 1)
        values: list[Raw] = [row[1 : size + 1] for row, size in zip(rows, sizes, strict=True)]
        return values, [row[size + 1 :] for row, size in zip(rows, sizes, strict=True)]

    def pack(self, values: Sequence[Raw], columns: Sequence[int]) -> bytes:
        return b"".join([b"\xfb" if v is None else lenenc_bytes(v) for v in values])


class BinaryRows:
    """A zero byte, a bit for each column that is NULL (from the third bit on), then the values.

    Without its first columns a row is the same bytes with the bits moved down. Few different sets
    of NULLs occur in a result: the moved ones are remembered.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._sizes = [FIXED_BYTES.get(column.type, 0) for column in columns]
        self._bits_end = 1 + (len(columns) + 9) // 8
        self._moved: dict[tuple[bytes, int], bytes] = {}

    def leading(self, rows: Sequence[bytes], count: int) -> list[list[Raw]]:
        found = []
        absent = self._absent(rows, count)
        starts = [self._bits_end] * len(rows)
        for column in range(count):
            begins, starts = self._column(rows, starts, column, absent[column])
            found.append(_between(rows, begins, starts))
        return found

    def without(self, rows: Sequence[bytes], hidden: int) -> list[bytes]:
        if not hidden:
            return list(rows)
        absent = self._absent(rows, hidden)
        starts = [self._bits_end] * len(rows)
        for column in range(hidden):
            starts = self._column(rows, starts, column, absent[column])[1]
        heads = [self._head(row[: self._bits_end], hidden) for row in rows]
        return [head + row[at:] for head, row, at in zip(heads, rows, starts, strict=True)]

    def peeled(self, rows: Sequence[bytes]) -> tuple[list[Raw], list[bytes]]:
        return self.leading(rows, 1)[0], self.without(rows, 1)

    def _absent(self, rows: Sequence[bytes], count: int) -> list[list[int]]:
        """For each of the first columns: in which rows it is NULL; empty: in none."""
        end = self._bits_end
        zeros = bytes(end)
        if all([row.startswith(zeros) for row in rows]):
            return [[]] * count
        nulls = [int.from_bytes(row[1:end], "little") for row in rows]
        marks = [[bits & 4 << column for bits in nulls] for column in range(count)]
        return [mark if any(mark) else [] for mark in marks]

    def _column(
        self, rows: Sequence[bytes], starts: list[int], column: int, absent: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """As `_spans`."""
        fixed = self._sizes[column]
        if not absent:
            if fixed:
                return starts, [at + fixed for at in starts]
            return _spans(rows, starts)
        begins, ends = [], []
        for row, at, gone in zip(rows, starts, absent, strict=True):
            size, begin = (-1, at + 1) if gone else (fixed, at) if fixed else read_lenenc(row, at)
            begins.append(begin)
            ends.append(begin + size)
        return begins, ends

    def _head(self, bits: bytes, hidden: int) -> bytes:
        head = self._moved.get((bits, hidden))
        if head is None:
            if len(self._moved) > _MOST_REMEMBERED:
                self._moved.clear()
            moved = int.from_bytes(bits[1:], "little") >> 2 >> hidden << 2
            head = b"\0" + moved.to_bytes((len(self._sizes) - hidden + 9) // 8, "little")
            self._moved[bits, hidden] = head
        return head

    def pack(self, values: Sequence[Raw], columns: Sequence[int]) -> bytes:
        bits = 0
        parts = [b""]
        for place, (value, column) in enumerate(zip(values, columns, strict=True)):
            if value is None:
                bits |= 4 << place
            else:
                parts.append(value if self._sizes[column] else lenenc_bytes(value))
        parts[0] = b"\0" + bits.to_bytes((len(values) + 9) // 8, "little")
        return b"".join(parts)


def _spans(rows: Sequence[bytes], starts: list[int]) -> tuple[list[int], list[int]]:
    """Where the strings that begin at `starts` have their first byte, and where they end.

    A NULL of the text protocol ends before it begins.
    """
    sizes = [row[at] for row, at in zip(rows, starts, strict=True)]
    if max(sizes) < _NULL:
        begins = [at + 1 for at in starts]
        return begins, [at + size for at, size in zip(begins, sizes, strict=True)]
    begins, ends = [], []
    for row, at in zip(rows, starts, strict=True):
        size, begin = (-1, at + 2) if row[at] == _NULL else read_lenenc(row, at)
        begins.append(begin)
        ends.append(begin + size)
    return begins, ends


def _between(rows: Sequence[bytes], begins: list[int], ends: list[int]) -> list[Raw]:
    return [
        row[at:end] if at <= end else None for row, at, end in zip(rows, begins, ends, strict=True)
    ]
