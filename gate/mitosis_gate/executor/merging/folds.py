"""What becomes of one column when the rows of a group become one; pure.

NULLs count for nothing, as in MySQL's aggregate functions.
"""

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mitosis_gate.errors import MysqlError
from mitosis_gate.executor.merging.keys import BatchKeys, key_maker
from mitosis_gate.executor.merging.rows import Raw
from mitosis_gate.executor.merging.values import (
    INTEGERS,
    Number,
    Reader,
    Writer,
    added,
    mean,
    number_reader,
    number_writer,
)
from mitosis_gate.planner.plan import Fold, Out, SortKey
from mitosis_gate.wire.packets import Column

_ALL_BITS = (1 << 64) - 1
Values = Sequence[Sequence[Raw]]
"""For each column of the shards' rows, the values of a batch."""


class Accumulator:
    """What becomes of one column. `add` gets the rows `start` to `end` of a batch, and which of
    them, in `firsts`, show a value of the DISTINCT aggregates for the first time."""

    def add(self, values: Values, start: int, end: int, firsts: Sequence[int]) -> None:
        raise NotImplementedError

    def result(self) -> Raw:
        raise NotImplementedError


class First(Accumulator):
    def __init__(self, column: int) -> None:
        self._column = column
        self._value: Raw = None
        self._is_set = False

    def add(self, values: Values, start: int, end: int, firsts: Sequence[int]) -> None:
        if not self._is_set:
            self._is_set = True
            self._value = values[self._column][start]

    def result(self) -> Raw:
        return self._value


class Sum(Accumulator):
    """SUM, and COUNT, which is 0 of nothing."""

    def __init__(
        self,
        column: int,
        read: Reader,
        write: Writer,
        is_count: bool,
        is_distinct: bool,
    ) -> None:
        self._column = column
        self._read = read
        self._write = write
        self._total: Number | None = 0 if is_count else None
        self._is_distinct = is_distinct

    def add(self, values: Values, start: int, end: int, firsts: Sequence[int]) -> None:
        column = values[self._column]
        wanted = [column[n] for n in firsts] if self._is_distinct else column[start:end]
        read = self._read
        numbers = [read(v) for v in wanted if v is not None]
        if numbers:
            self._total = added(numbers if self._total is None else [self._total, *numbers])

    @property
    def total(self) -> Number | None:
        return self._total

    def result(self) -> Raw:
        return None if self._total is None else self._write(self._total)


class CountDistinct(Accumulator):
    def __init__(self, inputs: Sequence[int], write: Writer) -> None:
        self._inputs = inputs
        self._write = write
        self._count = 0

    def add(self, values: Values, start: int, end: int, firsts: Sequence[int]) -> None:
        columns = [values[at] for at in self._inputs]
        self._count += sum(all(column[n] is not None for column in columns) for n in firsts)

    def result(self) -> Raw:
        return self._write(self._count)


class Average(Accumulator):
    def __init__(self, total: Sum, count: Sum, sum_scale: int, scale: int, write: Writer) -> None:
        self._sum = total
        self._count = count
        self._scales = sum_scale, scale
        self._write = write

    def add(self, values: Values, start: int, end: int, firsts: Sequence[int]) -> None:
        self._sum.add(values, start, end, firsts)
        self._count.add(values, start, end, firsts)

    def result(self) -> Raw:
        total, count = self._sum.total, self._count.total
        if total is None or not count:
            return None
        return self._write(mean(total, int(count), *self._scales))


class Extreme(Accumulator):
    """MIN and MAX. `order` makes keys of which the lowest is wanted."""

    def __init__(self, column: int, compared: int, order: BatchKeys) -> None:
        self._column = column
        self._compared = compared
        self._order = order
        self._key: Any = None
        self._value: Raw = None

    def add(self, values: Values, start: int, end: int, firsts: Sequence[int]) -> None:
        compared = values[self._compared]
        there = [n for n in range(start, end) if compared[n] is not None]
        if not there:
            return
        keys: Sequence[Any] = self._order([compared[n] for n in there])
        lowest = min(range(len(there)), key=keys.__getitem__)
        if self._value is None or keys[lowest] < self._key:
            self._key = keys[lowest]
            self._value = values[self._column][there[lowest]]

    def result(self) -> Raw:
        return self._value


class Bits(Accumulator):
    def __init__(
        self,
        column: int,
        combine: Callable[[int, int], int],
        neutral: int,
        read: Reader,
        write: Writer,
    ) -> None:
        self._column = column
        self._combine = combine
        self._bits = neutral
        self._read = read
        self._write = write

    def add(self, values: Values, start: int, end: int, firsts: Sequence[int]) -> None:
        for value in values[self._column][start:end]:
            if value is not None:
                self._bits = self._combine(self._bits, int(self._read(value)))

    def result(self) -> Raw:
        return self._write(self._bits)


class BitStrings(Accumulator):
    """BIT_AND and its like of binary strings, which must be of one length."""

    def __init__(self, column: int, combine: Callable[[int, int], int]) -> None:
        self._column = column
        self._combine = combine
        self._bits: Raw = None

    def add(self, values: Values, start: int, end: int, firsts: Sequence[int]) -> None:
        for value in values[self._column][start:end]:
            if value is None:
                continue
            if self._bits is None:
                self._bits = value
                continue
            if len(value) != len(self._bits):
                raise MysqlError(
                    3513, "HY000", "Binary operands of bitwise operators must be of equal length"
                )
            both = self._combine(int.from_bytes(self._bits), int.from_bytes(value))
            self._bits = both.to_bytes(len(value))

    def result(self) -> Raw:
        return self._bits


_COMBINES = {
    Fold.BIT_AND: (operator.and_, _ALL_BITS),
    Fold.BIT_OR: (operator.or_, 0),
    Fold.BIT_XOR: (operator.xor, 0),
}


Maker = Callable[[], Accumulator]
"""A new one for each group."""


def maker_of(out: Out, columns: Sequence[Column], binary: bool) -> Maker:
    column = columns[out.column]
    match out.fold:
        case Fold.FIRST:
            return partial(First, out.column)
        case Fold.COUNT | Fold.SUM:
            return _sum(out.column, columns, binary, out.fold is Fold.COUNT)
        case Fold.SUM_DISTINCT:
            read = number_reader(columns[out.inputs[0]], binary)
            return partial(Sum, out.inputs[0], read, number_writer(column, binary), False, True)
        case Fold.COUNT_DISTINCT:
            return partial(CountDistinct, out.inputs, number_writer(column, binary))
        case Fold.AVG:
            return _average(out, columns, binary)
        case Fold.MIN | Fold.MAX:
            compared = out.inputs[0] if out.inputs else out.column
            key = SortKey(compared, out.compare, out.fold is Fold.MAX)
            return partial(Extreme, out.column, compared, key_maker(key, columns[compared], binary))
    combine, neutral = _COMBINES[out.fold]
    if column.type not in INTEGERS:
        return partial(BitStrings, out.column, combine)
    read, write = number_reader(column, binary), number_writer(column, binary)
    return partial(Bits, out.column, combine, neutral, read, write)


def _sum(column: int, columns: Sequence[Column], binary: bool, is_count: bool) -> Callable[[], Sum]:
    definition = columns[column]
    read, write = number_reader(definition, binary), number_writer(definition, binary)
    return partial(Sum, column, read, write, is_count, False)


def _average(out: Out, columns: Sequence[Column], binary: bool) -> Maker:
    total, count = out.inputs
    scales = columns[total].decimals, columns[out.column].decimals
    write = number_writer(columns[out.column], binary)
    sums = _sum(total, columns, binary, False)
    counts = _sum(count, columns, binary, True)
    return lambda: Average(sums(), counts(), *scales, write)
