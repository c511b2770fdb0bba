"""INSERT and REPLACE: read from the tokens, because their frame is simple and their rows are many.

Rows go to the shards of their keys: see `rows`. The key of a row is known when it is a literal or a
parameter; anything else a server computes first: see `computed`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mitosis_gate.planner.changes import every_shard, hint_place, quoted
from mitosis_gate.planner.computed import (
    computed_rule,
    has_subquery,
    reference_rule,
    subquery_rule,
)
from mitosis_gate.planner.copies import copy_rule
from mitosis_gate.planner.effects import Effects, effects_of, refusal_for_many
from mitosis_gate.planner.insert_frame import Insert, read_insert
from mitosis_gate.planner.keys import Halt
from mitosis_gate.planner.layout import Layout, Living, Place
from mitosis_gate.planner.lexer import Kind
from mitosis_gate.planner.pins import KeyReader, Literal, Slot
from mitosis_gate.planner.plan import Flag, OneShard, OneShardAs, Plan, Refuse, Wrote
from mitosis_gate.planner.refusals import key_changed, refuse
from mitosis_gate.planner.rewrite import Template, cut, joined, render
from mitosis_gate.planner.rows import Frame, Row, RowsRule, missing_key, number_column, unnumbered
from mitosis_gate.planner.rules import Fixed, Point, Rule
from mitosis_gate.planner.schema import Column
from mitosis_gate.planner.statement import Span, Statement


def insert_rule(statement: Statement) -> Rule:
    effects = effects_of(statement.tokens)
    if effects.refusal is not None:
        return Fixed(effects.refusal)
    layout = statement.layout
    flags = effects.flags | Flag.WRITE
    if layout.single and not layout.has_sharded:
        return Fixed(layout.one(0, flags))
    insert = read_insert(statement)
    place = layout.target(insert.database, insert.table)
    if not isinstance(place, Place):
        raise Halt(place)
    refusal = _refused(insert, place, layout, effects)
    if refusal is not None:
        return Fixed(refusal)
    if layout.single and place.living is not Living.SHARDED:
        return Fixed(layout.one(0, flags))
    if insert.query is not None:
        columns = _columns(insert, place)
        if layout.single and _index(columns, place.key_name) < 0:
            return _missing(place, layout, flags)
        if layout.single:
            return Fixed(layout.one(0, flags))
        return copy_rule(statement, insert, columns, place, effects, flags)
    if not layout.single and has_subquery(statement.tokens):
        rule = subquery_rule(statement, insert, place.table, flags)
        return Fixed(rule) if isinstance(rule, Refuse) else rule
    if place.living is Living.SHARDED:
        return _rows(statement, insert, place, flags)
    if place.living is Living.REFERENCE:
        return _reference(statement, insert, place, effects, flags)
    return Fixed(layout.one(layout.first, flags))


def _refused(insert: Insert, place: Place, layout: Layout, effects: Effects) -> Refuse | None:
    if place.living is Living.SYSTEM:
        return refuse("MySQL's own tables are not written through the gate")
    if place.table.view and place.table.name not in layout.whole_views:
        below = layout.below.get(place.table.name)
        if below is None:
            return refuse(f"{place.table.name} is a view: write to its table")
        if any(column.auto_increment for column in below.table.columns):
            return refuse(
                f"rows of {below.table.name} get their AUTO_INCREMENT numbers from the gate: "
                f"insert them there, not into the view {place.table.name}"
            )
    if any(place.is_key(name) for name in insert.updated):
        return key_changed(place.key_name)
    return None if layout.single else refusal_for_many(effects)


def _columns(insert: Insert, place: Place) -> list[str]:
    if insert.columns:
        return insert.columns
    if not insert.columns and insert.rows and not any(insert.rows):
        return []
    return [column.name for column in place.table.columns]


def _index(columns: Sequence[str], name: str) -> int:
    wanted = name.lower()
    return next((i for i, column in enumerate(columns) if column.lower() == wanted), -1)


def _missing(place: Place, layout: Layout, flags: Flag) -> Rule:
    """No row says its key: only a single shard can take what MySQL makes of that."""
    column = place.table.columns[place.key_index]
    if column.auto_increment and layout.single:
        return Fixed(layout.one(0, flags))
    return Fixed(missing_key(place))


def _rows(statement: Statement, insert: Insert, place: Place, flags: Flag) -> Rule:
    """Rows for a sharded table, or for a reference table whose numbers the gate gives."""
    layout = statement.layout
    columns = _columns(insert, place)
    for number, row in enumerate(insert.rows, 1):
        if len(row) != len(columns):
            text = f"Column count doesn't match value count at row {number}"
            return Fixed(Refuse(1136, "21S01", text))
    is_sharded = place.living is Living.SHARDED
    auto = (
        None if layout.single else next((c for c in place.table.columns if c.auto_increment), None)
    )
    generates_key = auto is not None and place.is_key(auto.name)
    index = _index(columns, place.key_name) if is_sharded else -1
    if is_sharded and index < 0 and not generates_key:
        if layout.single:
            return _missing(place, layout, flags)
        return computed_rule(statement, insert, columns, place, auto, flags) or Fixed(
            missing_key(place)
        )
    keys: list[Slot] = []
    for row in insert.rows if is_sharded and not generates_key else ():
        slot = _slot(statement, row[index])
        if slot is None and not layout.single:
            computed = computed_rule(statement, insert, columns, place, auto, flags)
            return computed or Fixed(missing_key(place))
        if slot is None:
            keys.clear()  # whatever the other keys are, the only shard has all rows
            break
        keys.append(slot)
    utf8 = statement.variant.utf8
    column = number_column(auto) if auto is not None else None
    if auto is not None and column is None:
        return Fixed(unnumbered(place, auto))
    numbers = KeyReader(column, utf8, stored=True) if column is not None else None
    reader = KeyReader(place.key, utf8, stored=True) if place.key is not None else None
    frame = _frame(statement, insert, place, keys, auto, columns)
    if isinstance(frame, Refuse) and auto is not None:
        return computed_rule(statement, insert, columns, place, auto, flags) or Fixed(frame)
    odd = any(slot.negative or slot.introducer for slot in keys)
    plain = () if odd else tuple(slot.index for slot in keys)
    uncut = frame if isinstance(frame, Refuse) else None
    cut = frame if isinstance(frame, Frame) else None
    rule: Rule
    rows = RowsRule(layout, place, reader, auto, numbers, cut, flags, tuple(keys), plain, uncut)
    rule = rows
    if len(keys) == 1 and auto is None and reader is not None:
        rule = Point(layout, reader, keys[0], rows)
    if not is_sharded or not _lists_nothing(insert, layout):
        return rule
    if isinstance(frame, Refuse):
        return Fixed(refuse(f"name the columns: {frame.message.removeprefix('[gate] ')}"))
    last = len(statement.tokens)
    return Listed(rule, joined((*_listed(statement, insert, columns, last),)))


def _lists_nothing(insert: Insert, layout: Layout) -> bool:
    """Whether the order of the table's columns says which value is the key."""
    return insert.columns is None and any(insert.rows) and not layout.single


def _listed(
    statement: Statement, insert: Insert, columns: Sequence[str], last: int
) -> Iterator[bytes | int]:
    """The statement up to a token, with the list of columns that it does not have."""
    names = b", ".join(quoted(name.encode()) for name in columns)
    yield from cut(statement, 0, insert.target_end)
    yield b" (" + names + b") "
    yield from cut(statement, insert.target_end, last)


@dataclass(frozen=True, slots=True)
class Listed:
    """Of an INSERT without a list of columns: the list by which the shard was found is sent along.

    Another gate may have changed the table since its columns were read. By name each value still
    goes where it was meant to, or the shard says that there is no such column.
    """

    inner: Rule
    text: Template

    @property
    def cacheable(self) -> bool:
        return self.inner.cacheable

    def bind(self, literals: Sequence[Literal]) -> Plan:
        plan = self.inner.bind(literals)
        if type(plan) is OneShard:
            return OneShardAs(plan.shard, plan.flags, render(self.text, literals))
        return plan

    def slots(self) -> frozenset[int]:
        return self.inner.slots()


def _auto(place: Place) -> Column | None:
    return next((c for c in place.table.columns if c.auto_increment), None)


def _slot(statement: Statement, span: Span) -> Slot | None:
    """A value that is nothing but a literal."""
    tokens = statement.tokens[span[0] : span[1]]
    last = tokens[-1] if tokens else None
    if last is not None and last.kind is Kind.LITERAL:
        if len(tokens) == 1:
            return Slot(last.slot)
        if len(tokens) == 2 and tokens[0].text == "-":
            return Slot(last.slot, negative=True)
        if len(tokens) == 2 and tokens[0].text.lower() in ("_binary", "_utf8mb4"):
            return Slot(last.slot, introducer=tokens[0].text.lower())
    return None


_WHOLE_KEYWORDS = frozenset({"NULL", "DEFAULT"})


def _frame(
    statement: Statement,
    insert: Insert,
    place: Place,
    keys: Sequence[Slot],
    auto: Column | None,
    columns: Sequence[str],
) -> Frame | Refuse:
    """Cut the statement into what is before, in and behind its rows."""
    if b"/*!" in statement.sql:
        return refuse(
            "an executable comment (/*! */) stands in an INSERT whose rows the gate must send to "
            "several shards or number: leave the comment out"
        )
    at = _index(columns, auto.name) if auto is not None else -1
    adds = auto is not None and at < 0
    rows = []
    for place_of_row, (values, span) in enumerate(zip(insert.rows, insert.spans, strict=True)):
        key = keys[place_of_row] if keys else None
        if auto is None:
            rows.append(Row(cut(statement, *span), key=key))
            continue
        row = _added(statement, insert, span, auto, key) if adds else None
        row = row or _numbered_row(statement, values[at], span, key)
        if row is None:
            return unnumbered(place, auto)
        rows.append(row)
    start = insert.spans[0][0]
    head = cut(statement, 0, start)
    if adds and auto is not None and not insert.is_set:
        head = _head_with(statement, insert, auto, start)
    is_listed = place.living is Living.SHARDED and _lists_nothing(insert, statement.layout)
    if is_listed:
        head = tuple(_listed(statement, insert, columns, start))
    tail = cut(statement, insert.rows_end, len(statement.tokens))
    return Frame(
        joined((*head, b" ")),
        tuple(rows),
        joined((b" ", *tail)) if tail else (),
        _wrote(statement, insert),
        hint_place(statement, 0),
        is_listed,
    )


def _wrote(statement: Statement, insert: Insert) -> Wrote:
    if statement.words[0] == "REPLACE":
        return Wrote.REPLACE
    return Wrote.UPSERT if insert.updated else Wrote.INSERT


def _head_with(statement: Statement, insert: Insert, auto: Column, start: int) -> Template:
    """What stands before the rows, with the AUTO_INCREMENT column added to the columns."""
    name = quoted(auto.name.encode())
    end = insert.columns_end
    if end < 0:  # INSERT INTO t VALUES (): without a list of columns no row has values
        values = start - 1
        return joined((*cut(statement, 0, values), b" (" + name + b") VALUES"))
    comma = b", " if insert.columns else b""
    before, after = cut(statement, 0, end), cut(statement, end, start)
    return joined((*before, comma + name, *after))


def _added(statement: Statement, insert: Insert, span: Span, auto: Column, key: Slot | None) -> Row:
    """A row that does not have the AUTO_INCREMENT column yet."""
    first, last = span
    if insert.is_set:
        comma = b", " if first < last else b""
        before = (*cut(statement, first, last), comma + quoted(auto.name.encode()) + b" = ")
        return Row(joined(before), key=key)
    comma = b", " if insert.columns else b""
    return Row(joined((*cut(statement, first, last - 1), comma)), after=(b")",), key=key)


def _numbered_row(statement: Statement, value: Span, span: Span, key: Slot | None) -> Row | None:
    slot = _slot(statement, value)
    tokens = statement.tokens[value[0] : value[1]]
    if slot is None and not (len(tokens) == 1 and tokens[0].word in _WHOLE_KEYWORDS):
        return None
    before = cut(statement, span[0], value[0])
    after = cut(statement, value[1], span[1])
    return Row(joined((*before, b" ")), cut(statement, *value), joined((b" ", *after)), slot, key)


def _reference(
    statement: Statement, insert: Insert, place: Place, effects: Effects, flags: Flag
) -> Rule:
    plan = every_shard(place.table.name, effects, statement.layout, flags)
    if isinstance(plan, Refuse):
        return reference_rule(statement, insert, place.table, flags) or Fixed(plan)
    if _auto(place) is None:
        return Fixed(plan)
    return _rows(statement, insert, place, plan.flags)
