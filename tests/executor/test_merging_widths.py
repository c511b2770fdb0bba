"""Binary rows of shards that tell the same number in different widths."""

import pytest

from mitosis_gate.errors import ShardsDisagree
from mitosis_gate.executor.merging.rows import BinaryRows
from mitosis_gate.executor.merging.widths import fitting
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.packets import Column

NAME = Column("name")
NARROW = Column("n", c.TYPE_LONG, 63)
WIDE = Column("n", c.TYPE_LONGLONG, 63)
NARROW_UNSIGNED = Column("n", c.TYPE_LONG, 63, flags=c.FLAG_UNSIGNED)
WIDE_UNSIGNED = Column("n", c.TYPE_LONGLONG, 63, flags=c.FLAG_UNSIGNED)


def row(column: Column, number: int | None, name: bytes | None = b"x") -> bytes:
    size = 4 if column.type == c.TYPE_LONG else 8
    is_signed = not column.flags & c.FLAG_UNSIGNED
    value = None if number is None else number.to_bytes(size, "little", signed=is_signed)
    return BinaryRows([NAME, column, NAME]).pack([name, value, b"y"], range(3))


@pytest.mark.parametrize("number", [0, 5, -7, 2**31 - 1, -(2**31), None])
@pytest.mark.parametrize(("own", "wanted"), [(NARROW, WIDE), (WIDE, NARROW)])
def test_a_number_keeps_its_value_in_another_width(
    number: int | None, own: Column, wanted: Column
) -> None:
    fit = fitting([NAME, own, NAME], [NAME, wanted, NAME])
    assert fit is not None
    assert fit([row(own, number), row(own, 1, None)]) == [row(wanted, number), row(wanted, 1, None)]
    assert fit([]) == []


def test_numbers_without_sign_have_none_afterwards() -> None:
    fit = fitting([NAME, NARROW_UNSIGNED, NAME], [NAME, WIDE_UNSIGNED, NAME])
    assert fit is not None
    assert fit([row(NARROW_UNSIGNED, 2**32 - 1)]) == [row(WIDE_UNSIGNED, 2**32 - 1)]


def test_a_number_without_room_is_no_answer() -> None:
    fit = fitting([NAME, WIDE, NAME], [NAME, NARROW, NAME])
    assert fit is not None
    with pytest.raises(ShardsDisagree, match="2147483648"):
        fit([row(WIDE, 2**31)])


def test_rows_that_look_alike_stay_as_they_are() -> None:
    assert fitting([NAME, WIDE], [NAME, WIDE_UNSIGNED]) is None
    assert fitting([Column("t", c.TYPE_BLOB)], [Column("t", c.TYPE_LONG_BLOB)]) is None
