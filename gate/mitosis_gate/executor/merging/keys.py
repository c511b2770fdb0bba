"""Values to keys that Python compares as MySQL compares the values.

A key that sorts upwards stands for each value: numbers are negated for DESC, strings inverted. NULL
is below everything, so that for DESC it is above: an infinity among numbers, which MySQL does not
know, and the string that nothing is below of among strings.
"""

from collections.abc import Callable, Sequence
from functools import partial

from mitosis_gate.errors import InternalError
from mitosis_gate.executor.merging.rows import Format, Raw
from mitosis_gate.executor.merging.values import Reader, negated, number_reader
from mitosis_gate.planner.plan import Compare, SortKey
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.packets import Column

_BINARY_CHARSET = 63
_LOWEST, _HIGHEST = float("-inf"), float("inf")
_INVERTED = bytes(range(255, -1, -1))
_PAST_ALL = "\u0100"

BatchKeys = Callable[[list[Raw]], Sequence[object]]
"""From the values of one column in a batch to their keys."""


def key_maker(key: SortKey, column: Column, binary: bool) -> BatchKeys:
    if key.compare is Compare.NUMBER:
        reader = number_reader(column, binary)
        null = _HIGHEST if key.descending else _LOWEST
        return partial(_number_keys, reader, key.descending, null)
    if column.charset != _BINARY_CHARSET and column.type != c.TYPE_NULL:
        raise InternalError(f"column '{column.name}' is text, whose bytes tell no order")
    return _descending_strings if key.descending else _ascending_strings


def _number_keys(
    reader: Reader, descending: bool, null: float, values: list[Raw]
) -> Sequence[object]:
    try:
        numbers = list(map(reader, values))  # type: ignore[arg-type]
    except (TypeError, AttributeError):  # there are NULLs
        numbers = [null if v is None else reader(v) for v in values]
        return [n if n is null else negated(n) for n in numbers] if descending else numbers
    return list(map(negated, numbers)) if descending else numbers


def _ascending_strings(values: list[Raw]) -> Sequence[object]:
    return [b"" if v is None else b"\x01" + v for v in values]


def _descending_strings(values: list[Raw]) -> Sequence[object]:
    """Of two strings of which one begins with the other the longer comes first: a character that
    is past all inverted bytes ends each."""
    return [
        _PAST_ALL + _PAST_ALL if v is None else v.translate(_INVERTED).decode("latin1") + _PAST_ALL
        for v in values
    ]


class Keys:
    """Reads the keys of a batch of rows; a key is a tuple, or the only value of it."""

    def __init__(
        self, order: Sequence[SortKey], columns: Sequence[Column], rows: Format, binary: bool
    ) -> None:
        self._rows = rows
        self._places = [key.column for key in order]
        self._makers = [key_maker(key, columns[key.column], binary) for key in order]
        self._leading = max(self._places, default=-1) + 1

    def of(self, rows: Sequence[bytes]) -> Sequence[object]:
        if not self._makers:
            return [()] * len(rows)
        values = self._rows.leading(rows, self._leading)
        made = [make(values[at]) for make, at in zip(self._makers, self._places, strict=True)]
        return made[0] if len(made) == 1 else list(zip(*made, strict=True))

    def peeled(self, rows: Sequence[bytes]) -> tuple[Sequence[object], list[bytes]]:
        """Keys and rows without their first column, which is the whole key."""
        values, rest = self._rows.peeled(rows)
        return self._makers[0](values), rest
