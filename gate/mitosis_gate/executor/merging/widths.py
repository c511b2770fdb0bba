"""Binary rows of one shard in the widths that the columns of another one have; pure.

A whole number that is computed comes as INT when MySQL puts its rows into a temporary table, and as
BIGINT when it does not: which of the two depends on the rows that a shard has. As text both look
alike, in binary rows they have other sizes.
"""

from collections.abc import Callable, Sequence

from mitosis_gate.errors import ShardsDisagree
from mitosis_gate.executor.merging.rows import FIXED_BYTES, BinaryRows, Raw
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.packets import Column

Fit = Callable[[Sequence[bytes]], list[bytes]]


def fitting(own: Sequence[Column], wanted: Sequence[Column]) -> Fit | None:
    """What makes rows with columns `own` those of `wanted`; None when they are."""
    changed = {
        place: (FIXED_BYTES[column.type], not column.flags & c.FLAG_UNSIGNED)
        for place, (mine, column) in enumerate(zip(own, wanted, strict=True))
        if FIXED_BYTES.get(mine.type) != FIXED_BYTES.get(column.type)
    }
    if not changed:
        return None
    before, after = BinaryRows(own), BinaryRows(wanted)
    places = range(len(wanted))

    def fit(rows: Sequence[bytes]) -> list[bytes]:
        if not rows:
            return []
        columns = before.leading(rows, len(own))
        for place, (size, is_signed) in changed.items():
            columns[place] = [_sized(value, size, is_signed) for value in columns[place]]
        return [after.pack(values, places) for values in zip(*columns, strict=True)]

    return fit


def _sized(value: Raw, size: int, is_signed: bool) -> Raw:
    if value is None:
        return None
    number = int.from_bytes(value, "little", signed=is_signed)
    try:
        return number.to_bytes(size, "little", signed=is_signed)
    except OverflowError:
        raise ShardsDisagree(
            f"a shard answers with {number}, and the first shard's column has {size} bytes: write "
            "CAST(... AS SIGNED) around the expression"
        ) from None
