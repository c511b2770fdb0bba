"""INSERT and REPLACE: read from the tokens, because their frame is simple and their rows are many.

All rows of one statement must belong to one shard. The key of a row is known when it is a literal
or a parameter; for anything else nobody knows the shard before a server has computed it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from sqlglot import exp

from mitosis_gate.planner.changes import every_shard
from mitosis_gate.planner.effects import Effects, effects_of, refusal_for_many
from mitosis_gate.planner.insert_frame import Insert, read_insert
from mitosis_gate.planner.keys import Halt, Reading, hash_alike, pin_of, sharded
from mitosis_gate.planner.layout import Layout, Living, Place
from mitosis_gate.planner.lexer import Kind
from mitosis_gate.planner.parse import tree_of
from mitosis_gate.planner.pins import (
    KeyReader,
    Literal,
    OneOf,
    Param,
    Pin,
    Slot,
    is_plain_number,
)
from mitosis_gate.planner.plan import Flag, Plan, Refuse
from mitosis_gate.planner.refusals import key_changed, refuse
from mitosis_gate.planner.rules import Fixed, Point, Routed, Rule
from mitosis_gate.planner.schema import Column
from mitosis_gate.planner.statement import Span, Statement
from mitosis_routing.hashing import Doubt, KeyColumn, KeyKind, slot_of


def insert_rule(statement: Statement) -> Rule:
    effects = effects_of(statement.tokens)
    if effects.refusal is not None:
        return Fixed(effects.refusal)
    layout = statement.layout
    flags = effects.flags | Flag.WRITE
    if layout.single and not layout.has_sharded:
        return Fixed(layout.one(0, flags))
    insert = read_insert(statement)
    place = layout.place(insert.database, insert.table)
    if not isinstance(place, Place):
        raise Halt(place)
    refusal = _refused(insert, place, layout, effects)
    if refusal is not None:
        return Fixed(refusal)
    if layout.single and place.living is not Living.SHARDED:
        return Fixed(layout.one(0, flags))
    if insert.query is not None:
        return _from_query(statement, insert, place, effects, flags)
    if not layout.single and _has_subquery(statement):
        return Fixed(
            refuse("a subquery among the values is not supported: read first, then write literals")
        )
    if place.living is Living.SHARDED:
        return _sharded(statement, insert, place, flags)
    if place.living is Living.REFERENCE:
        return _reference(statement, insert, place, effects, flags)
    return Fixed(layout.one(layout.first, flags))


def _refused(insert: Insert, place: Place, layout: Layout, effects: Effects) -> Refuse | None:
    if place.living is Living.SYSTEM:
        return refuse("MySQL's own tables are not written through the gate")
    if place.table.view:
        return refuse(f"{place.table.name} is a view: write to its table")
    if any(place.is_key(name) for name in insert.updated):
        return key_changed(place.key_name)
    return None if layout.single else refusal_for_many(effects)


def _has_subquery(statement: Statement) -> bool:
    return any(t.word in ("SELECT", "TABLE") for t in statement.tokens)


def _columns(insert: Insert, place: Place) -> list[str]:
    if insert.columns:
        return insert.columns
    if insert.columns == [] and all(not row for row in insert.rows):
        return []
    return [column.name for column in place.table.columns]


def _index(columns: Sequence[str], name: str) -> int:
    wanted = name.lower()
    return next((i for i, column in enumerate(columns) if column.lower() == wanted), -1)


def _missing_key(place: Place) -> Refuse:
    column = place.table.columns[place.key_index]
    if column.auto_increment:
        return _generated(place)
    return refuse(
        f"Column '{place.key_name}' cannot be null: it is the sharding key of "
        f"{place.table.name}, so each row must give it a value",
        1048,
    )


def _generated(place: Place) -> Refuse:
    return refuse(
        f"Column '{place.key_name}' is the sharding key of {place.table.name}: its value must be "
        "in the statement, AUTO_INCREMENT cannot make it",
        1048,
    )


def _sharded(statement: Statement, insert: Insert, place: Place, flags: Flag) -> Rule:
    columns = _columns(insert, place)
    index = _index(columns, place.key_name)
    if index < 0:
        return Fixed(_missing_key(place))
    slots: list[Slot] = []
    for row in insert.rows:
        if len(row) != len(columns):
            return Fixed(refuse("Column count doesn't match value count", 1136))
        value = _value(statement, row[index], place)
        if isinstance(value, Slot):
            slots.append(value)
        elif not statement.layout.single:
            return Fixed(value)
    reader = KeyReader(_key(place), statement.variant.utf8, stored=True)
    odd = any(slot.negative or slot.introducer for slot in slots)
    plain = () if odd else tuple(slot.index for slot in slots)
    rule = InsertRule(statement.layout, place, reader, tuple(slots), flags, plain)
    return Point(statement.layout, reader, slots[0], rule) if len(slots) == 1 else rule


def _value(statement: Statement, span: Span, place: Place) -> Slot | Refuse:
    tokens = statement.tokens[span[0] : span[1]]
    last = tokens[-1] if tokens else None
    if last is not None and last.kind is Kind.LITERAL:
        if len(tokens) == 1:
            return Slot(last.slot)
        if len(tokens) == 2 and tokens[0].text == "-":
            return Slot(last.slot, negative=True)
        if len(tokens) == 2 and tokens[0].text.lower() in ("_binary", "_utf8mb4"):
            return Slot(last.slot, introducer=tokens[0].text.lower())
    if len(tokens) == 1 and tokens[0].word == "NULL":
        return _missing_key(place)
    return refuse(
        f"the value of the sharding key {place.key_name} must be a literal or a parameter, not an "
        "expression or DEFAULT: the gate cannot know the shard otherwise",
    )


def _key(place: Place) -> KeyColumn:
    assert place.key is not None
    return place.key


@dataclass(frozen=True, slots=True)
class InsertRule:
    """Rows with their keys in literals: all must belong to one shard."""

    layout: Layout
    place: Place
    reader: KeyReader
    keys: tuple[Slot, ...]
    flags: Flag

    plain: tuple[int, ...]
    """Places of the keys in the literals; empty when one has a sign or an introducer."""

    cacheable = True

    def bind(self, literals: Sequence[Literal]) -> Plan:
        """Rows with one key are usual and many: look at each different literal once."""
        layout, digits = self.layout, self.reader.digits
        mask = 0
        for literal in {literals[index] for index in self.plain}:
            if not is_plain_number(literal, digits):
                return self._row_by_row(literals)
            mask |= layout.bits[crc32(literal) & layout.slots_mask]
        if not mask or mask & (mask - 1):
            return self._row_by_row(literals)
        return layout.one(mask.bit_length() - 1, self.flags)

    def _row_by_row(self, literals: Sequence[Literal]) -> Plan:
        layout, owners = self.layout, self.layout.owners
        shard = -1
        for row, slot in enumerate(self.keys, 1):
            key = self.reader.read(literals[slot.index], slot)
            if isinstance(key, Doubt):
                if layout.single and key is not Doubt.TRAILING_SPACE:
                    continue
                return _doubtful(self.place, key, row)
            if key == b"0" and self._column.auto_increment:
                return _generated(self.place)
            owner = owners[slot_of(key, layout.slots)]
            if owner != shard >= 0:
                return self._several(shard, owner)
            shard = owner
        return layout.one(max(shard, 0), self.flags)

    def slots(self) -> frozenset[int]:
        return frozenset(slot.index for slot in self.keys)

    @property
    def _column(self) -> Column:
        return self.place.table.columns[self.place.key_index]

    def _several(self, one: int, other: int) -> Refuse:
        return refuse(
            f"the rows of this statement belong to several shards ({self.layout.name_of(one)} and "
            f"{self.layout.name_of(other)} at least), which would not be atomic and is not "
            f"supported: insert rows of one {self.place.key_name} at a time"
        )


def _doubtful(place: Place, doubt: Doubt, row: int) -> Refuse:
    key, name = place.key_name, place.table.name
    if doubt is Doubt.NULL:
        return _missing_key(place)
    if doubt is Doubt.NO_ROW and place.key is not None and place.key.kind is KeyKind.INTEGER:
        return refuse(f"Out of range value for column '{key}' at row {row}", 1264)
    if doubt is Doubt.NO_ROW:
        return refuse(f"Data too long for column '{key}' at row {row}", 1406)
    if doubt is Doubt.TRAILING_SPACE:
        return refuse(
            f"the value of {key} at row {row} ends with a space, which the collation of {name} "
            "does not tell from the value without it: leave out the space, or use the collation "
            "utf8mb4_0900_bin"
        )
    return refuse(
        f"it is not certain what MySQL stores for the sharding key {key} at row {row}: write the "
        "value in the type of the column, and text in utf8mb4"
    )


def _reference(
    statement: Statement, insert: Insert, place: Place, effects: Effects, flags: Flag
) -> Rule:
    plan = every_shard(place.table.name, effects, statement.layout, flags)
    auto = next((c for c in place.table.columns if c.auto_increment), None)
    if isinstance(plan, Refuse) or auto is None:
        return Fixed(plan)
    columns = _columns(insert, place)
    index = _index(columns, auto.name)
    slots = []
    for row in insert.rows:
        tokens = statement.tokens[slice(*row[index])] if 0 <= index < len(row) else ()
        if len(tokens) != 1 or tokens[0].kind is not Kind.LITERAL:
            return Fixed(_explicit(place, auto))
        slots.append(tokens[0].slot)
    return ExplicitNumbers(plan, tuple(slots), _explicit(place, auto))


def _explicit(place: Place, column: Column) -> Refuse:
    return refuse(
        f"each shard would number the rows of reference table {place.table.name} by itself: give "
        f"{column.name} a value in the statement"
    )


@dataclass(frozen=True, slots=True)
class ExplicitNumbers:
    """A plan for rows whose AUTO_INCREMENT column has a value other than NULL and 0."""

    plan: Plan
    numbers: tuple[int, ...]
    refusal: Refuse

    cacheable = True

    def bind(self, literals: Sequence[Literal]) -> Plan:
        for index in self.numbers:
            literal = literals[index]
            text = literal if isinstance(literal, bytes) else _text_of(literal)
            if not text.strip(b"'\" +-.0"):
                return self.refusal
        return self.plan

    def slots(self) -> frozenset[int]:
        return frozenset(self.numbers)


def _text_of(parameter: Param) -> bytes:
    value = parameter.value
    if value is None:
        return b""
    return value if isinstance(value, bytes) else str(value).encode()


# INSERT ... SELECT


def _from_query(
    statement: Statement, insert: Insert, place: Place, effects: Effects, flags: Flag
) -> Rule:
    layout = statement.layout
    if layout.single:
        if _index(_columns(insert, place), place.key_name) < 0:
            return Fixed(_missing_key(place))
        return Fixed(layout.one(0, flags))
    assert insert.query is not None
    tokens = statement.tokens[slice(*insert.query)]
    tree = tree_of(tokens, statement.literals)
    reading = Reading(layout, statement.database, statement.variant.utf8)
    reading.read(tree)
    livings = {s.place.living for s in reading.sources}
    if Living.SYSTEM in livings:
        return Fixed(refuse("MySQL's own tables cannot be used in a statement that writes"))
    if place.living is Living.SHARDED:
        target = _target_pin(statement, insert, place, tree, reading)
        if isinstance(target, Refuse):
            return Fixed(target)
        pins = (target, *(pin_of(s, layout.everything) for s in sharded(reading.sources)))
        return Routed(layout, flags, pins, Living.UNSHARDED in livings, None, _elsewhere(place))
    if Living.SHARDED in livings:
        return Fixed(_elsewhere(place))
    if place.living is Living.UNSHARDED:
        return Fixed(layout.one(layout.first, flags))
    if Living.UNSHARDED in livings or tree.args.get("limit"):
        return Fixed(_elsewhere(place))
    if any(c.auto_increment for c in place.table.columns):
        return Fixed(_elsewhere(place))
    return Fixed(every_shard(place.table.name, effects, layout, flags))


def _elsewhere(place: Place) -> Refuse:
    return refuse(
        f"INSERT ... SELECT into {place.table.name} is supported only when all rows that it reads "
        "and writes are on one shard: give the sharding keys as literals, or read first and write "
        "then"
    )


def _target_pin(
    statement: Statement, insert: Insert, place: Place, tree: exp.Expr, reading: Reading
) -> Pin | Refuse:
    """Which shards the written rows belong to."""
    columns = _columns(insert, place)
    index = _index(columns, place.key_name)
    if index < 0:
        return _missing_key(place)
    block = reading.block
    if block is None or not isinstance(tree, exp.Select):
        return _elsewhere(place)
    item = _item(tree, index, len(columns))
    if isinstance(item, exp.Literal):
        reader = KeyReader(_key(place), statement.variant.utf8, stored=True)
        return OneOf(statement.layout, reader, (Slot(int(item.this)),))
    source, name = None, ""
    if isinstance(item, exp.Column):
        source, name = reading.source_of(item, block), item.name
    elif isinstance(item, exp.Star) and len(block.aliases) == len(block.sources) == 1:
        source = block.sources[0]
        names = source.place.table.columns
        name = names[index].name if len(names) == len(columns) else ""
    if source is None or not source.place.is_key(name):
        return _elsewhere(place)
    if not hash_alike(source.place.key, place.key):
        return _elsewhere(place)
    return pin_of(source, statement.layout.everything)


def _item(tree: exp.Select, index: int, count: int) -> exp.Expr | None:
    """The expression of the list that becomes a column; the star itself for `SELECT *`."""
    items = tree.expressions
    if len(items) == 1 and isinstance(items[0], exp.Star):
        return items[0]
    if len(items) != count or any(item.is_star for item in items):
        return None
    item: exp.Expr = items[index].unalias()
    return item
