"""INSERT and REPLACE ... SELECT: inside the shards when each row stays where it is read, else the
rows pass through the gate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from mitosis_gate.planner.changes import every_shard, hint_place
from mitosis_gate.planner.effects import Effects
from mitosis_gate.planner.insert_frame import Insert
from mitosis_gate.planner.keyed import share_locks
from mitosis_gate.planner.keys import (
    Reading,
    Source,
    common_root,
    hash_alike,
    pin_of,
    sharded,
)
from mitosis_gate.planner.layout import Layout, Living, Place
from mitosis_gate.planner.parse import tree_of
from mitosis_gate.planner.pins import KeyReader, Literal, OneOf, Pin, Slot
from mitosis_gate.planner.plan import (
    CopyRows,
    Flag,
    OneShard,
    Part,
    Plan,
    Refuse,
    Scatter,
    SplitWrite,
    Wrote,
)
from mitosis_gate.planner.queries import query_rule
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.rewrite import Template, copied, joined, render
from mitosis_gate.planner.rows import missing_key
from mitosis_gate.planner.rules import Fixed, Routed, Rule
from mitosis_gate.planner.statement import Statement
from mitosis_routing.hashing import KeyColumn


def copy_rule(
    statement: Statement,
    insert: Insert,
    columns: Sequence[str],
    place: Place,
    effects: Effects,
    flags: Flag,
) -> Rule:
    """`columns`: those that get values. Only for keyspaces of several shards."""
    layout = statement.layout
    assert insert.query is not None
    first, last = insert.query
    query = replace(statement, tokens=statement.tokens[first:last])
    tree = tree_of(query.tokens, statement.literals)
    reading = Reading(layout, statement.database, statement.variant.utf8)
    reading.read(tree)
    livings = {s.place.living for s in reading.sources}
    if Living.SYSTEM in livings:
        return Fixed(refuse("MySQL's own tables cannot be used in a statement that writes"))
    numbered = any(c.auto_increment for c in place.table.columns)
    through = _through_the_gate(statement, insert, place, len(columns))
    if place.living is Living.SHARDED:
        if not numbered and _index(columns, place.key_name) < 0:
            return Fixed(missing_key(place))
        if numbered:
            return CopyRule(layout, None, None, (), through, flags, -1)
        pin, source = _target_pin(statement, columns, place, tree, reading)
        if pin is None:
            return CopyRule(layout, None, None, (), through, flags, -1)
        pins = (pin, *(pin_of(s, layout.everything) for s in sharded(reading.sources)))
        inside = Routed(layout, flags, pins, Living.UNSHARDED in livings, None, None)
        alone = query_rule(query) if _keeps_shard(source, reading.sources) else None
        whole = copied(statement, 0, len(statement.tokens))
        return CopyRule(layout, inside, alone, whole, through, flags, hint_place(statement, 0))
    if Living.SHARDED in livings:
        return CopyRule(layout, None, None, (), through, flags, -1)
    if place.living is Living.UNSHARDED:
        return Fixed(layout.one(layout.first, flags))
    if Living.UNSHARDED in livings or tree.args.get("limit") or numbered:
        return CopyRule(layout, None, None, (), through, flags, -1)
    return Fixed(every_shard(place.table.name, effects, layout, flags))


@dataclass(frozen=True, slots=True)
class Through:
    """A statement whose rows pass through the gate: see `plan.CopyRows`."""

    select: Template
    locked: Template
    before: Template
    after: Template
    columns: int
    wrote: Wrote
    refusal: Refuse | None = None


@dataclass(frozen=True, slots=True)
class CopyRule:
    layout: Layout
    inside: Routed | None
    """Which shards it reads from and writes to; None: that cannot be told."""
    alone: Rule | None
    """The rule of the SELECT by itself, when its rows are written where they are read."""
    whole: Template
    through: Through
    flags: Flag
    hint_at: int

    cacheable = True

    def bind(self, literals: Sequence[Literal]) -> Plan:
        plan = self.inside.bind(literals) if self.inside is not None else None
        if plan is not None and not isinstance(plan, Scatter):
            return plan
        if plan is not None and self.alone is not None:
            read = self.alone.bind(literals)
            if isinstance(read, Scatter | OneShard):
                text = render(self.whole, literals)
                shards = read.shards if isinstance(read, Scatter) else (read.shard,)
                parts = tuple(Part(shard, text) for shard in shards)
                return SplitWrite(parts, Wrote.COPY, self.flags, hint_at=self.hint_at)
        through = self.through
        if through.refusal is not None:
            return through.refusal
        return CopyRows(
            render(through.select, literals),
            render(through.locked, literals),
            render(through.before, literals),
            render(through.after, literals),
            through.columns,
            through.wrote,
            self.flags,
        )

    def slots(self) -> frozenset[int]:
        deciding = self.inside.slots() if self.inside is not None else frozenset()
        return deciding | (self.alone.slots() if self.alone is not None else frozenset())


def _keeps_shard(source: Source | None, sources: Sequence[Source]) -> bool:
    """Whether each row that is read has the key of the table that decides where it is read."""
    root = common_root(sharded(sources))
    return root is not None and source is not None and root in source.leaders()


def _through_the_gate(statement: Statement, insert: Insert, place: Place, columns: int) -> Through:
    assert insert.query is not None
    first, last = insert.query
    tail = copied(statement, last, len(statement.tokens))
    wrote = Wrote.UPSERT if insert.updated else Wrote.INSERT
    if statement.words[0] == "REPLACE":
        wrote = Wrote.REPLACE
    locks = share_locks(statement, first, last)
    return Through(
        copied(statement, first, last),
        copied(statement, first, last, locks or ()),
        joined((*copied(statement, 0, first), b" VALUES ")),
        joined((b" ", *tail)) if tail else (),
        columns,
        wrote,
        _refused_tail(statement, last, place),
    )


_NO_NAMES = frozenset(
    "ON DUPLICATE KEY UPDATE NULL DEFAULT TRUE FALSE AND OR XOR NOT IS DIV MOD CASE WHEN THEN ELSE "
    "END IN BETWEEN LIKE INTERVAL DAY HOUR MINUTE SECOND MONTH YEAR AS".split()
)


def _refused_tail(statement: Statement, first: int, place: Place) -> Refuse | None:
    """ON DUPLICATE KEY UPDATE may name only the target: the tables that were read are gone."""
    table = place.table
    for at in range(first, len(statement.tokens)):
        token = statement.tokens[at]
        if not token.is_name or token.word in _NO_NAMES or statement.is_mark(at + 1, "("):
            continue
        qualifies = statement.is_mark(at + 1, ".")
        known = token.text == table.name if qualifies else table.column(token.text) is not None
        if not known:
            return refuse(
                "ON DUPLICATE KEY UPDATE of INSERT ... SELECT may name only columns of "
                f"{table.name}, whose new values are VALUES(column), when the rows pass through "
                f"the gate: {token.text} is not one"
            )
    return None


def _index(columns: Sequence[str], name: str) -> int:
    wanted = name.lower()
    return next((i for i, column in enumerate(columns) if column.lower() == wanted), -1)


def _target_pin(
    statement: Statement, columns: Sequence[str], place: Place, tree: exp.Expr, reading: Reading
) -> tuple[Pin | None, Source | None]:
    """Which shards the written rows belong to, and the source whose keys they have; None: they can
    belong to any."""
    index = _index(columns, place.key_name)
    block = reading.block
    if block is None or not isinstance(tree, exp.Select):
        return None, None
    item = _item(tree, index, len(columns))
    if isinstance(item, exp.Literal):
        reader = KeyReader(_key(place), statement.variant.utf8, stored=True)
        return OneOf(statement.layout, reader, (Slot(int(item.this)),)), None
    source, name = None, ""
    if isinstance(item, exp.Column):
        source, name = reading.source_of(item, block), item.name
    elif isinstance(item, exp.Star) and len(block.aliases) == len(block.sources) == 1:
        source = block.sources[0]
        names = source.place.table.columns
        name = names[index].name if len(names) == len(columns) else ""
    if source is None or not source.place.is_key(name):
        return None, None
    if not hash_alike(source.place.key, place.key):
        return None, None
    return pin_of(source, statement.layout.everything), source


def _item(tree: exp.Select, index: int, count: int) -> exp.Expr | None:
    """The expression of the list that becomes a column; the star itself for `SELECT *`."""
    items = tree.expressions
    if len(items) == 1 and isinstance(items[0], exp.Star):
        return items[0]
    if len(items) != count or any(item.is_star for item in items):
        return None
    item: exp.Expr = items[index].unalias()
    return item


def _key(place: Place) -> KeyColumn:
    assert place.key is not None
    return place.key
