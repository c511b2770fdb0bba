"""The rows of each group, from all shards, become one row; pure.

Rows come in the order of their groups, so that one group is open at a time and costs as much as its
accumulators, however many rows it has. A group of one row goes out as it came: what the shard says
is right for the rows that it has.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

from mitosis_gate.errors import ResultTooLarge
from mitosis_gate.executor.merging.folds import Accumulator, Maker, maker_of
from mitosis_gate.executor.merging.keys import key_maker
from mitosis_gate.executor.merging.rows import Format, Raw
from mitosis_gate.planner.plan import Fold, Out, Recipe, SortKey
from mitosis_gate.wire.packets import Column

_NO_KEY = object()


class Resorted:
    """Finished rows in another order than that of their groups: all are kept, or the first ones."""

    def __init__(
        self,
        order: Sequence[SortKey],
        columns: Sequence[Column],
        binary: bool,
        wanted: int | None,
        limit_bytes: int,
    ) -> None:
        """`wanted`: no more rows than these are asked for."""
        self._makers = [(k.column, key_maker(k, columns[k.column], binary)) for k in order]
        self._wanted = wanted
        self._limit_bytes = limit_bytes
        self._rows: list[tuple[Any, bytes]] = []
        self._bytes = 0

    def add(self, values: Sequence[Raw], row: bytes) -> None:
        key = tuple([make([values[at]])[0] for at, make in self._makers])
        self._rows.append((key, row))
        self._bytes += len(row)
        if self._wanted is not None and len(self._rows) > 2 * self._wanted + 1000:
            self._sort()
            del self._rows[self._wanted :]
            self._bytes = sum(len(row) for _, row in self._rows)
        if self._bytes > self._limit_bytes:
            raise ResultTooLarge(
                f"sorting the groups of this statement takes more than {self._limit_bytes} bytes "
                "in the gate: add LIMIT, or raise --max-sort-bytes"
            )

    def _sort(self) -> None:
        self._rows.sort(key=_first)

    def rows(self) -> list[bytes]:
        self._sort()
        return [row for _, row in self._rows]


def _first(pair: tuple[Any, bytes]) -> Any:
    return pair[0]


class Groups:
    """Fed with the merged rows of all shards, gives the rows of the answer."""

    def __init__(
        self,
        recipe: Recipe,
        columns: Sequence[Column],
        rows: Format,
        binary: bool,
        resorted: Resorted | None = None,
        makers: Sequence[Maker] = (),
    ) -> None:
        """`makers`: what `makers_of` gives, when that is known."""
        assert recipe.groups is not None
        self._columns = columns
        self._rows = rows
        self._resorted = resorted
        self._hidden = recipe.hidden
        self._keys = len(recipe.order)
        self._group_keys = recipe.groups
        self._value_keys = recipe.groups + recipe.values if recipe.values else 0
        outs = outs_of(recipe, columns)
        self._makers = makers or makers_of(recipe, columns, binary)
        self._places = [out.column for out in outs]
        self._is_suffix = self._places == list(range(recipe.hidden, len(columns)))
        """What goes out is what a shard's row ends in."""
        self._is_distinct = (
            self._is_suffix
            and resorted is None
            and recipe.groups > 0
            and all(out.fold is Fold.FIRST for out in outs)
        )
        self._last_group: object = _NO_KEY
        self._last_value: object = _NO_KEY
        self._single: bytes | None = None
        """The open group has this row only, so far."""
        self._first: list[Raw] = [None] * len(columns)
        self._open: list[Accumulator] = []

    def add(self, keys: Sequence[Any], rows: Sequence[bytes]) -> list[bytes]:
        """Return the rows of the groups that are complete now."""
        groups = self._prefixes(keys, self._group_keys)
        starts = _changes(groups, self._last_group)
        self._last_group = groups[-1]
        if self._is_distinct:
            chosen = [rows[n] for n in starts]
            return self._rows.without(chosen, self._hidden) if chosen else []
        firsts: list[int] = []
        if self._value_keys:
            distinct = self._prefixes(keys, self._value_keys)
            firsts = _changes(distinct, self._last_value)
            self._last_value = distinct[-1]
        values = self._rows.leading(rows, len(self._columns))
        finished: list[bytes] = []
        begins = set(starts)
        for start, end in pairwise(sorted({0, *starts, len(rows)})):
            if start in begins:
                finished += self._closed()
            self._take(rows, values, start, end, firsts)
        return finished

    def end(self) -> list[bytes]:
        """Return the last rows; none may be added afterwards."""
        if self._group_keys == 0 and self._last_group is _NO_KEY:
            self._open = self._accumulators()
        finished = self._closed()
        return finished if self._resorted is None else self._resorted.rows()

    def _prefixes(self, keys: Sequence[Any], size: int) -> Sequence[Any]:
        if size == self._keys:
            return keys
        return [key[:size] for key in keys] if size else [()] * len(keys)

    def _accumulators(self) -> list[Accumulator]:
        return [make() for make in self._makers]

    def _take(
        self,
        rows: Sequence[bytes],
        values: Sequence[Sequence[Raw]],
        start: int,
        end: int,
        firsts: Sequence[int],
    ) -> None:
        if not self._open:
            single, self._single = self._single, None
            if single is None:
                self._first = [column[start] for column in values]
                if end - start == 1 and not self._value_keys:
                    self._single = rows[start]
                    return
            self._open = self._accumulators()
            if single is not None:
                alone = [[value] for value in self._first]
                for column in self._open:
                    column.add(alone, 0, 1, ())
        inside = firsts[bisect_left(firsts, start) : bisect_left(firsts, end)]
        for column in self._open:
            column.add(values, start, end, inside)

    def _closed(self) -> list[bytes]:
        """The row of the open group, if there is one, and it goes out at once."""
        values = self._first
        if self._single is not None:
            if self._is_suffix:
                row = self._rows.without([self._single], self._hidden)[0]
            else:
                row = self._rows.pack([values[at] for at in self._places], self._places)
            self._single = None
        elif self._open:
            results = [column.result() for column in self._open]
            self._open = []
            row = self._rows.pack(results, self._places)
            for at, result in zip(self._places, results, strict=True):
                values[at] = result
        else:
            return []
        if self._resorted is None:
            return [row]
        self._resorted.add(values, row)
        return []


def outs_of(recipe: Recipe, columns: Sequence[Column]) -> tuple[Out, ...]:
    return recipe.columns or tuple(map(Out, range(recipe.hidden, len(columns))))


def makers_of(recipe: Recipe, columns: Sequence[Column], binary: bool) -> list[Maker]:
    """What folds the columns of the answer, for a result with these columns."""
    return [maker_of(out, columns, binary) for out in outs_of(recipe, columns)]


def groups_of(
    recipe: Recipe,
    columns: Sequence[Column],
    rows: Format,
    binary: bool,
    sort_bytes: int,
    makers: Sequence[Maker] = (),
) -> Groups:
    """What folds the rows of a result with these columns."""
    resorted = None
    if recipe.resort:
        wanted = None if recipe.limit is None else recipe.offset + recipe.limit
        resorted = Resorted(recipe.resort, columns, binary, wanted, sort_bytes)
    return Groups(recipe, columns, rows, binary, resorted, makers)


def _changes(keys: Sequence[Any], last: object) -> list[int]:
    """Where a key is another than the one before."""
    before = chain((last,), keys)
    return [n for n, (key, old) in enumerate(zip(keys, before, strict=False)) if key != old]
