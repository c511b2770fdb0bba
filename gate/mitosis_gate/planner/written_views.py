"""Views that can be written over several shards: rows of one table, without aggregates.

Each shard has the view, so a shard that gets a write on it does what one server would: its columns,
its conditions and WITH CHECK OPTION are MySQL's own. The gate only finds the shards, as it does for
the table below: by the column of the view that is the table's sharding key. A view that shows the
key not at all, or twice, is not written, nor is one with more in it than one table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mitosis_gate.planner.effects import AGGREGATES, calls
from mitosis_gate.planner.keys import Halt
from mitosis_gate.planner.layout import Layout, Living, Place
from mitosis_gate.planner.lexer import BadSql
from mitosis_gate.planner.outline import block_at, blocks_of
from mitosis_gate.planner.schema import Column, Table
from mitosis_gate.planner.statement import Span, Statement
from mitosis_gate.planner.views import definition_of

_MORE = ("GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "INTO", "FOR", "LOCK")
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class WrittenView:
    place: Place
    """As that of a table with the columns of the view."""
    below: Place
    """That of the table whose rows it shows."""


def written_views(layout: Layout) -> Mapping[str, WrittenView]:
    found = {}
    for name, view in layout.views.items():
        try:
            written = _written(layout, view)
        except (Halt, BadSql):
            continue
        if written is not None:
            found[name] = written
    return found


def _written(layout: Layout, view: Table) -> WrittenView | None:
    read = _below(layout, view, 0)
    if read is None:
        return None
    below, columns = read
    shown = [column.name.lower() if column else "" for column in columns]
    pairs = zip(view.columns, columns, strict=True)
    own = tuple(replace(base, name=column.name) if base else column for column, base in pairs)
    table = replace(view, columns=own)
    if below.living is Living.REFERENCE:
        return WrittenView(Place(Living.REFERENCE, below.database, table), below)
    if below.living is not Living.SHARDED or shown.count(below.key_name.lower()) != 1:
        return None
    index = shown.index(below.key_name.lower())
    name = view.columns[index].name
    place = Place(Living.SHARDED, below.database, table, below.key, name, index)
    return WrittenView(place, below)


def _below(
    layout: Layout, view: Table, depth: int
) -> tuple[Place, tuple[Column | None, ...]] | None:
    """The table below a view, and which of its columns each of the view's is, if it is one."""
    body, _ = definition_of(layout, view)
    blocks = blocks_of(body)
    if depth > _DEEPEST or len(blocks) != 1 or body.tokens[0].word != "SELECT":
        return None
    block = block_at(body, 0)
    is_plain = not (block.modifiers or block.opaque or block.joins or any(map(block.has, _MORE)))
    if not is_plain or block.end != len(body.tokens) or len(block.tables) != 1:
        return None
    if calls(body.tokens, AGGREGATES) or any(token.word == "OVER" for token in body.tokens):
        return None
    ref = block.tables[0]
    if len(block.items) != len(view.columns):
        return None
    names = [_column_of(body, span) for span in block.items]
    lower = (
        layout.views.get(ref.name) if (ref.database or layout.keyspace) == layout.keyspace else None
    )
    if lower is None:
        place = layout.place(ref.database or layout.keyspace, ref.name)
        if not isinstance(place, Place) or place.table.view:
            return None
        return place, tuple(place.table.column(name) if name else None for name in names)
    found = _below(layout, lower, depth + 1)
    if found is None:
        return None
    place, columns = found
    shown = [column.name.lower() for column in lower.columns]
    return place, tuple(
        columns[shown.index(name.lower())] if name.lower() in shown else None for name in names
    )


def _column_of(body: Statement, span: Span) -> str:
    """The column that an item is, with any qualifier and alias; empty for an expression."""
    first, last = span
    if last - first > 2 and body.word(last - 2) == "AS":
        last -= 2
    place = first
    while place + 2 < last and body.tokens[place].is_name and body.is_mark(place + 1, "."):
        place += 2
    return body.tokens[place].text if place + 1 == last and body.tokens[place].is_name else ""
