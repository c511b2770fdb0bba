"""Short answers of several shards, whole, to the rows of one answer; pure.

What depends on the statement's recipe and on the columns alone is made once and kept.
"""

from collections.abc import Sequence
from itertools import chain

from mitosis_gate.executor.merging.groups import groups_of, makers_of, outs_of
from mitosis_gate.executor.merging.keys import Keys
from mitosis_gate.executor.merging.ordered import Run, next_rows
from mitosis_gate.executor.merging.rows import BinaryRows, Format, TextRows
from mitosis_gate.planner.plan import Fold, Recipe
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import frames, lenenc, lenenc_bytes, read_lenenc

_MOST_KEPT = 1000
_EOF_BYTES, _OK_BYTES = 9, 11
"""The packet behind the rows, with its header, when it tells nothing but status and warnings."""


class Whole:
    """What becomes of answers that begin with `head`, by `recipe`."""

    __slots__ = (
        "_binary",
        "_columns",
        "_is_count",
        "_is_total",
        "_keys",
        "_makers",
        "_places",
        "_rows",
        "_sort_bytes",
        "head",
        "recipe",
    )

    def __init__(self, recipe: Recipe, head: bytes, binary: bool, sort_bytes: int) -> None:
        definitions = definitions_of(head)
        self.recipe = recipe
        self._columns = [packets.column(d) for d in definitions]
        shown = visible(definitions, recipe)
        self.head = frames((lenenc(len(shown)), *shown), 1)
        """Columns as the client sees them, framed, and the number of the packet that follows."""
        self._rows: Format = BinaryRows(self._columns) if binary else TextRows()
        self._keys = Keys(recipe.order, self._columns, self._rows, binary)
        self._binary = binary
        self._sort_bytes = sort_bytes
        is_folded = recipe.groups is not None
        self._makers = makers_of(recipe, self._columns, binary) if is_folded else []
        self._places = [out.column for out in outs_of(recipe, self._columns)]
        self._is_total = recipe.groups == 0 and not recipe.order
        """All rows become one, and none is looked at more than once."""
        folds = [out.fold for out in recipe.columns]
        self._is_count = folds == [Fold.COUNT] and len(definitions) == 1 and not binary

    def merged(self, batches: Sequence[list[bytes]]) -> list[bytes]:
        """The rows of the answer from the rows of each shard."""
        recipe = self.recipe
        if recipe.order:
            rows = self._ordered(batches)
        else:
            rows = list(chain.from_iterable(batches))
            if self._is_total and len(rows) > 1:
                rows = [self._total(rows)]
            elif recipe.groups is not None:
                rows = self._grouped([()] * len(rows), rows)
        if recipe.limit is not None:
            return rows[recipe.offset : recipe.offset + recipe.limit]
        return rows

    def _ordered(self, batches: Sequence[list[bytes]]) -> list[bytes]:
        hidden = self.recipe.hidden if self.recipe.groups is None else 0
        runs = []
        for batch in filter(None, batches):
            run = Run()
            run.is_over = True
            run.put(self._keys.of(batch), self._rows.without(batch, hidden) if hidden else batch)
            runs.append(run)
        keys, rows = next_rows(runs) if runs else ([], [])
        return rows if self.recipe.groups is None else self._grouped(keys, rows)

    def _grouped(self, keys: Sequence[object], rows: Sequence[bytes]) -> list[bytes]:
        groups = groups_of(
            self.recipe, self._columns, self._rows, self._binary, self._sort_bytes, self._makers
        )
        finished = groups.add(keys, rows) if rows else []
        return finished + groups.end()

    def _total(self, rows: Sequence[bytes]) -> bytes:
        if self._is_count:  # a number that is never NULL, with its length in front
            return lenenc_bytes(b"%d" % sum([int(row[1:]) for row in rows]))
        values = self._rows.leading(rows, len(self._columns))
        results = []
        for make in self._makers:
            accumulator = make()
            accumulator.add(values, 0, len(rows), ())
            results.append(accumulator.result())
        return self._rows.pack(results, self._places)


class Wholes:
    """Those that were made, by recipe and head."""

    def __init__(self, sort_bytes: int) -> None:
        self._sort_bytes = sort_bytes
        self._known: dict[tuple[int, bytes, bool], Whole] = {}

    def of(self, recipe: Recipe, head: bytes, binary: bool) -> Whole:
        """Recipes are told apart by identity: to compare two of them would cost more than a merge,
        and plans of one shape share theirs."""
        key = (id(recipe), head, binary)
        found = self._known.get(key)
        if found is None or found.recipe is not recipe:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            found = self._known[key] = Whole(recipe, head, binary, self._sort_bytes)
        return found


def visible(definitions: Sequence[bytes], recipe: Recipe) -> Sequence[bytes]:
    """The columns that the client sees."""
    if recipe.columns:
        return [definitions[out.column] for out in recipe.columns]
    return definitions[recipe.hidden :]


def rows_of(answer: bytes, start: int, keeps_eof: bool) -> list[bytes]:
    """The rows of a whole answer, whose first one would begin at `start`.

    It ended well and with nothing to tell, and came in one piece, so that no row has two packets.
    """
    end = len(answer) - (_EOF_BYTES if keeps_eof else _OK_BYTES)
    rows = []
    at = start
    while at < end:
        begin = at + 4
        at = begin + (answer[at] | answer[at + 1] << 8 | answer[at + 2] << 16)
        rows.append(answer[begin:at])
    return rows


def head_of(answer: bytes, keeps_eof: bool) -> bytes:
    """What comes before the rows of a whole answer: the columns, and the EOF packet behind them."""
    count, _ = read_lenenc(answer, 4)
    at = 4 + answer[0]
    for _ in range(count + keeps_eof):
        at += 4 + (answer[at] | answer[at + 1] << 8 | answer[at + 2] << 16)
    return answer[:at]


def definitions_of(head: bytes) -> list[bytes]:
    """Column definitions, from what `head_of` gives."""
    count, _ = read_lenenc(head, 4)
    at = 4 + head[0]
    found = []
    for _ in range(count):
        begin = at + 4
        at = begin + (head[at] | head[at + 1] << 8 | head[at + 2] << 16)
        found.append(head[begin:at])
    return found
