"""Rows in both formats: values of the first columns, and rows without them."""

import random
import struct

import pytest

from mitosis_gate.executor.merging.rows import BinaryRows, Raw, TextRows
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.packets import Column

INTEGER, STRING = Column("n", c.TYPE_LONGLONG), Column("s")
COLUMNS = [INTEGER, STRING, STRING, INTEGER, STRING, INTEGER, STRING, STRING, INTEGER, STRING]


def values(dice: random.Random, nulls: float, long: float) -> list[Raw]:
    def value(column: Column) -> Raw:
        if dice.random() < nulls:
            return None
        if column is INTEGER:
            return struct.pack("<q", dice.randrange(1 << 40))
        return b"x" * (dice.choice((251, 70_000)) if dice.random() < long else dice.randrange(9))

    return [value(column) for column in COLUMNS]


@pytest.mark.parametrize("nulls", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("long", [0.0, 0.1])
@pytest.mark.parametrize("rows", [TextRows(), BinaryRows(COLUMNS)])
def test_rows_are_what_was_packed(rows: TextRows | BinaryRows, nulls: float, long: float) -> None:
    dice = random.Random(7)
    made = [values(dice, nulls, long) for _ in range(50)]
    every = list(range(len(COLUMNS)))
    packed = [rows.pack(row, every) for row in made]
    for count in (1, 3, len(COLUMNS)):
        assert rows.leading(packed, count) == [[row[n] for row in made] for n in range(count)]
    for hidden in (0, 1, 2, 9):
        expected = [rows.pack(row[hidden:], every[hidden:]) for row in made]
        assert rows.without(packed, hidden) == expected
    first, rest = rows.peeled(packed)
    assert first == [row[0] for row in made]
    assert rest == rows.without(packed, 1)
