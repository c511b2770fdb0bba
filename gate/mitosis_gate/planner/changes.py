"""UPDATE and DELETE: from the tree and the sources to a rule."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from mitosis_gate.planner.computed import ComputedRule, assigning_rule
from mitosis_gate.planner.effects import Effects, calls, effects_of, refusal_for_many
from mitosis_gate.planner.keyed import KeyedRule, joined_rule, keyed_rule
from mitosis_gate.planner.keys import Block, Reading, Source, common_root, pin_of, sharded
from mitosis_gate.planner.layout import Layout, Living
from mitosis_gate.planner.lexer import BadSql, Kind
from mitosis_gate.planner.moves import move_rule
from mitosis_gate.planner.parse import tree_of
from mitosis_gate.planner.pins import AllOf, Literal, OneOf, Pin
from mitosis_gate.planner.plan import (
    EveryShard,
    Flag,
    LimitedWrite,
    Part,
    Plan,
    Refuse,
    Scatter,
    SplitWrite,
    Wrote,
)
from mitosis_gate.planner.queries import query_rule
from mitosis_gate.planner.refusals import key_changed, refuse
from mitosis_gate.planner.rewrite import Template, copied, joined, render
from mitosis_gate.planner.rules import Fixed, Point, Routed, Rule, Several
from mitosis_gate.planner.statement import Statement


def with_rule(statement: Statement) -> Rule:
    """A statement that begins with common table expressions."""
    return change_rule(statement) if _writes(statement) else query_rule(statement)


def hint_place(statement: Statement, verb: int) -> int:
    """Where an optimizer hint can be put, counted from the first token; -1 when there is one."""
    start, end = statement.tokens[0].start, statement.tokens[verb].end
    return -1 if statement.sql[end:].lstrip().startswith(b"/*+") else end - start


def quoted(name: bytes) -> bytes:
    return b"`" + name.replace(b"`", b"``") + b"`"


def _writes(statement: Statement) -> bool:
    """Whether UPDATE or DELETE follows the common table expressions."""
    depth = 0
    for token in statement.tokens:
        if token.kind is Kind.MARK:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        elif depth == 0 and token.word in ("SELECT", "TABLE", "VALUES"):
            return False
        elif depth == 0 and token.word in ("UPDATE", "DELETE"):
            return True
    return False


def change_rule(statement: Statement) -> Rule:
    effects = effects_of(statement.tokens)
    if effects.refusal is not None:
        return Fixed(effects.refusal)
    layout = statement.layout
    flags = effects.flags | Flag.WRITE
    first = statement.words[0]
    if layout.single and (first == "DELETE" or not layout.has_sharded):
        return Fixed(layout.one(0, flags))
    tree = tree_of(statement.tokens, statement.literals)
    if not isinstance(tree, exp.Update | exp.Delete):
        return Fixed(refuse("its syntax is unknown here", 1064))
    reading = Reading(layout, statement.database, statement.variant.utf8, writes=True)
    block = reading.read(tree)
    assert block is not None
    refusal = _refused_change(tree, block, layout, len(reading.sources))
    if layout.single:
        return Fixed(refusal or layout.one(0, flags))
    refusal = refusal_for_many(effects) or refusal
    if refusal is not None:
        return _moving_rule(statement, tree, block, refusal, reading.sources, flags)
    return _writing_rule(statement, tree, block, reading.sources, effects, flags)


def _moving_rule(
    statement: Statement,
    tree: exp.Update | exp.Delete,
    block: Block,
    refusal: Refuse,
    sources: Sequence[Source],
    flags: Flag,
) -> Rule:
    """The rule for an UPDATE that assigns the sharding key; else the refusal."""
    only = block.sources[0] if len(sources) == 1 and len(block.aliases) == 1 else None
    if only is None or not isinstance(tree, exp.Update) or only.place.table.view:
        return Fixed(refusal)
    if tree.args.get("with_"):
        return Fixed(refusal)
    if refusal != key_changed(only.place.key_name):
        return Fixed(refusal)
    return move_rule(statement, only, _clauses(statement), flags) or Fixed(refusal)


def _refused_change(
    tree: exp.Update | exp.Delete, block: Block, layout: Layout, sources: int
) -> Refuse | None:
    for source in block.sources:
        name = source.place.table.name
        if not source.place.table.view or name in layout.whole_views:
            continue
        if name not in layout.written_views:
            return refuse(f"{name} is a view: write to its table")
        if sources > 1:
            table = layout.below[name].table.name
            return refuse(
                f"{name} is a view, which over several shards is written by itself only: write to "
                f"{table} where other tables take part"
            )
    for assignment in tree.expressions if isinstance(tree, exp.Update) else ():
        column = assignment.this if isinstance(assignment, exp.EQ) else None
        if not isinstance(column, exp.Column):
            return refuse("its SET is not understood", 1064)
        for source in _assigned(column, block):
            if source.place.is_key(column.name):
                return key_changed(source.place.key_name)
            known = source.place.table.column(column.name)
            if source.place.table.view and known is not None and known.auto_increment:
                table = layout.below[source.place.table.name].table.name
                return refuse(
                    f"{column.name} has the AUTO_INCREMENT numbers of {table}: write them there, "
                    f"not in the view {source.place.table.name}"
                )
    return None


def _assigned(column: exp.Column, block: Block) -> list[Source]:
    """The sources that an assignment may change: all that have the column, when it is not said."""
    if column.table:
        found = block.aliases.get(column.table)
        return [found] if found is not None else []
    return [s for s in block.sources if s.place.table.column(column.name)]


def _writing_rule(
    statement: Statement,
    tree: exp.Update | exp.Delete,
    block: Block,
    sources: Sequence[Source],
    effects: Effects,
    flags: Flag,
) -> Rule:
    layout = statement.layout
    changed = _changed(tree, block)
    livings = {s.place.living for s in changed}
    if Living.SYSTEM in {s.place.living for s in sources}:
        return Fixed(refuse("MySQL's own tables cannot be used in a statement that writes"))
    if Living.REFERENCE in livings:
        write = _reference_write(tree, sources, changed, effects, layout, flags)
        early = _early(statement, tree, block, flags) if isinstance(write, Refuse) else None
        return early if isinstance(early, ComputedRule) else Fixed(early or write)
    if not sharded(sources):
        return Fixed(layout.one(layout.first, flags))
    spread: Refuse | Several | None = _not_spread(statement, block, sources, changed, flags)
    if spread is not None:
        spread = (
            _early(statement, tree, block, flags)
            or _by_keys(statement, tree, block, flags)
            or _joined_by_keys(statement, tree, block, changed, flags)
            or spread
        )
    routed = Routed(
        layout,
        flags,
        tuple(pin_of(source, layout.everything) for source in sharded(sources)),
        any(s.place.living is Living.UNSHARDED for s in sources),
        _root_pin(sources, layout),
        spread,
    )
    rule = ChangeRule(
        routed,
        copied(statement, 0, len(statement.tokens)),
        Wrote.DELETE if isinstance(tree, exp.Delete) else Wrote.UPDATE,
        hint_place(statement, _verb(statement)),
        _limit(statement, changed),
        _renumbered(tree, changed),
    )
    return _point(layout, rule) or rule


def _only(tree: exp.Update | exp.Delete, block: Block) -> Source | None:
    """The table of a statement that changes one and joins it with none."""
    alone = len(block.sources) == 1 and len(block.aliases) == 1
    return block.sources[0] if alone and not tree.args.get("with_") else None


def _early(
    statement: Statement, tree: exp.Update | exp.Delete, block: Block, flags: Flag
) -> ComputedRule | Refuse | None:
    """The rule for assigned subqueries, which are read first; None when there are none."""
    only = _only(tree, block)
    if only is None or not isinstance(tree, exp.Update):
        return None
    places = _clauses(statement)
    behind = (places[word] for word in ("WHERE", "ORDER", "LIMIT") if word in places)
    last = min(behind, default=len(statement.tokens))
    values = []
    for start, end in statement.parts(places["SET"] + 1, last):
        at = next(p for p in range(start, end) if statement.tokens[p].text in ("=", ":="))
        values.append((at + 1, end))
    return assigning_rule(statement, only.place.table, values, flags)


def _by_keys(
    statement: Statement, tree: exp.Update | exp.Delete, block: Block, flags: Flag
) -> KeyedRule | None:
    only = _only(tree, block)
    if only is None:
        return None
    names = [assignment.this.name for assignment in tree.expressions]
    is_update = isinstance(tree, exp.Update)
    return keyed_rule(
        statement,
        only,
        _clauses(statement),
        _verb(statement),
        names if is_update else (),
        Wrote.UPDATE if is_update else Wrote.DELETE,
        flags,
    )


def _joined_by_keys(
    statement: Statement,
    tree: exp.Update | exp.Delete,
    block: Block,
    changed: Sequence[Source],
    flags: Flag,
) -> KeyedRule | None:
    """The rule for a write on one of several tables whose new values are of that table alone."""
    if len(set(changed)) != 1 or len(block.aliases) == 1 or block.odd_join:
        return None
    if tree.args.get("with_"):
        return None
    target, places, end = changed[0], _clauses(statement), len(statement.tokens)
    at = 1
    while statement.word(at) in _MODIFIERS:
        at += 1
    names: list[str] = []
    if isinstance(tree, exp.Update):
        tables = (at, places["SET"])
        names = [assignment.this.name for assignment in tree.expressions]
        for number, assignment in enumerate(tree.expressions):
            others = names[:number] + names[number + 1 :]
            if not _is_of(target, assignment.expression, block, others):
                return None
    elif statement.word(at) == "FROM":
        using = next((p for p in range(at, end) if statement.word(p) == "USING"), end)
        tables = (using + 1, places.get("WHERE", end))
    else:
        tables = (places["FROM"] + 1, places.get("WHERE", end))
    return joined_rule(statement, target, tables, places, names, flags)


def _is_of(target: Source, value: exp.Expr, block: Block, others: Sequence[str]) -> bool:
    """Whether a value is made of one row of the target, and of none of the columns of `others`,
    which the statement changes as well."""
    if next(value.find_all(exp.Query), None) is not None:
        return False
    for column in value.find_all(exp.Column):
        if column.name.lower() in (name.lower() for name in others):
            return False
        if column.table and column.table != target.alias:
            return False
        if not column.table and (
            len(block.aliases) != len(block.sources) or _assigned(column, block) != [target]
        ):
            return False
    return True


_MODIFIERS = frozenset({"LOW_PRIORITY", "QUICK", "IGNORE"})


def _root_pin(sources: Sequence[Source], layout: Layout) -> Pin | None:
    root = common_root(sharded(sources))
    return pin_of(root, layout.everything) if root is not None else None


def _point(layout: Layout, rule: "ChangeRule") -> Point | None:
    """The quick form, when one literal decides: all sources have the same single pin."""
    pins = [p.pins for p in rule.routed.pins if isinstance(p, AllOf)]
    if rule.routed.unsharded or len(pins[0]) != 1 or any(p != pins[0] for p in pins):
        return None
    only = pins[0][0]
    if not isinstance(only, OneOf) or len(only.choices) != 1:
        return None
    return Point(layout, only.reader, only.choices[0], rule)


def _verb(statement: Statement) -> int:
    """The place of UPDATE or DELETE, which common table expressions may precede."""
    depth = 0
    for place, token in enumerate(statement.tokens):
        if token.kind is Kind.MARK:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        elif depth == 0 and token.word in ("UPDATE", "DELETE"):
            return place
    raise BadSql("UPDATE or DELETE is missing")


_COUNTS = frozenset({"ROW_COUNT", "FOUND_ROWS"})


def _not_spread(
    statement: Statement,
    block: Block,
    sources: Sequence[Source],
    changed: Sequence[Source],
    flags: Flag,
) -> Refuse | None:
    """Why the statement must not be repeated on several shards; None if it can be."""
    divided = sharded(sources)
    key = divided[0].place.key_name
    if any(s.place.living is Living.UNSHARDED for s in sources):
        return refuse(
            "a sharded and an unsharded table cannot take part in one write over several shards: "
            f"add WHERE {key} = ... with a key of shard {statement.layout.name_of(0)}, or read "
            "first and write then"
        )
    if common_root(divided) is None:
        return _not_colocated(divided)
    view = divided[0].place.table.name
    if view in statement.layout.below and {"ORDER", "LIMIT"} <= set(_clauses(statement)):
        return refuse(
            f"ORDER BY with LIMIT in a write on the view {view} over several shards is not "
            f"supported: write to {statement.layout.below[view].table.name}"
        )
    if block.odd_join:
        return refuse(
            f"{block.odd_join} in a write over several shards is not supported: write it as JOIN "
            f"or LEFT JOIN, or add WHERE {key} = ..."
        )
    if flags & Flag.LAST and (counts := calls(statement.tokens, _COUNTS)):
        return refuse(f"{counts}() in a write over several shards: SELECT it first")
    return None


def _not_colocated(sources: Sequence[Source]) -> Refuse:
    names = ", ".join(dict.fromkeys(s.place.table.name for s in sources))
    keys = " and ".join(dict.fromkeys(f"{s.alias}.{s.place.key_name}" for s in sources))
    return refuse(
        f"the rows of {names} that this write brings together can lie on different shards: "
        f"join them on their sharding keys ({keys}) by =, or read first and write then"
    )


def _renumbered(tree: exp.Update | exp.Delete, changed: Sequence[Source]) -> tuple[str, str] | None:
    """The AUTO_INCREMENT column that the statement assigns."""
    for assignment in tree.expressions if isinstance(tree, exp.Update) else ():
        for source in changed:
            column = source.place.table.column(assignment.this.name)
            if column is not None and column.auto_increment:
                return source.place.table.name, column.name
    return None


@dataclass(frozen=True, slots=True)
class Limit:
    """LIMIT of a write: the statement before and behind its number, and the rows it means."""

    before: Template
    slot: int
    after: Template
    chosen: Template
    """SELECT of the slots of those rows; empty without ORDER BY, when any rows will do."""


def _limit(statement: Statement, changed: Sequence[Source]) -> Limit | None:
    places = _clauses(statement)
    at = places.get("LIMIT")
    if at is None:
        return None
    tokens = statement.tokens
    if at + 2 != len(tokens) or tokens[at + 1].kind is not Kind.LITERAL:
        raise BadSql("LIMIT wants one number at the end")
    chosen = _chosen(statement, places, changed[0]) if "ORDER" in places else ()
    before = joined((*copied(statement, 0, at + 1), b" "))
    return Limit(before, tokens[at + 1].slot, (), chosen)


def _clauses(statement: Statement) -> dict[str, int]:
    """Where the clauses of the statement itself begin."""
    found: dict[str, int] = {}
    depth = 0
    for place in range(_verb(statement) + 1, len(statement.tokens)):
        token = statement.tokens[place]
        if token.kind is Kind.MARK:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        elif depth == 0 and token.word in ("FROM", "SET", "WHERE", "ORDER", "LIMIT"):
            found.setdefault(token.word, place)
    return found


_BEFORE_TABLE = frozenset({"LOW_PRIORITY", "QUICK", "IGNORE", "FROM"})


def _chosen(statement: Statement, places: dict[str, int], source: Source) -> Template:
    """`SELECT slot FROM table WHERE ... ORDER BY ... LIMIT n FOR UPDATE`."""
    first = _verb(statement) + 1
    while statement.word(first) in _BEFORE_TABLE:
        first += 1
    rest = min(places.get("WHERE", places["ORDER"]), places["ORDER"])
    last = places.get("SET", rest)
    slots = statement.layout.slots
    key = quoted(source.alias.encode()) + b"." + quoted(source.place.key_name.encode())
    head = b"SELECT CRC32(" + key + b") MOD %d AS slot FROM " % slots
    common = copied(statement, 0, _verb(statement))
    return joined(
        (
            *common,
            b" " + head if common else head,
            *copied(statement, first, last),
            b" ",
            *copied(statement, rest, len(statement.tokens)),
            b" FOR UPDATE",
        )
    )


@dataclass(frozen=True, slots=True)
class ChangeRule:
    """UPDATE or DELETE of sharded tables: to one shard as it is, to several in one transaction."""

    routed: Routed
    text: Template
    wrote: Wrote
    hint_at: int
    limit: Limit | None
    renumbers: tuple[str, str] | None

    cacheable = True

    @property
    def flags(self) -> Flag:
        return self.routed.flags

    def bind(self, literals: Sequence[Literal]) -> Plan:
        plan = self.routed.bind(literals)
        if not isinstance(plan, Scatter):
            return plan
        limit = self.limit
        if limit is not None:
            number = literals[limit.slot]
            return LimitedWrite(
                plan.shards,
                render(limit.before, literals),
                int(number) if isinstance(number, bytes) and number.isdigit() else 0,
                render(limit.after, literals),
                render(limit.chosen, literals),
                self.wrote,
                plan.flags,
                self.hint_at,
            )
        text = render(self.text, literals)
        return SplitWrite(
            tuple(Part(shard, text) for shard in plan.shards),
            self.wrote,
            plan.flags,
            hint_at=self.hint_at,
            renumbers=self.renumbers,
        )

    def slots(self) -> frozenset[int]:
        return self.routed.slots()


def _changed(tree: exp.Update | exp.Delete, block: Block) -> list[Source]:
    """The sources that the statement writes to; all of its FROM when that is not certain."""
    if isinstance(tree, exp.Delete):
        names = [t.name for t in tree.args.get("tables") or ()]
        if tree.args.get("using"):
            names = [tree.this.name]
        found = [s for s in block.sources if s.alias in names or s.place.table.name in names]
        return found or block.sources
    found = [
        source
        for assignment in tree.expressions
        if isinstance(assignment.this, exp.Column)
        for source in _assigned(assignment.this, block)
    ]
    return found or block.sources


def _reference_write(
    tree: exp.Expr,
    sources: Sequence[Source],
    changed: Sequence[Source],
    effects: Effects,
    layout: Layout,
    flags: Flag,
) -> Refuse | EveryShard:
    name = next(s for s in changed if s.place.living is Living.REFERENCE).place.table.name
    if any(s.place.living is not Living.REFERENCE for s in sources):
        return refuse(
            f"reference table {name} is whole on every shard: write to it without other tables"
        )
    if tree.args.get("limit"):
        return refuse(f"LIMIT could choose other rows on each shard: {name} is a reference table")
    return every_shard(name, effects, layout, flags)


def every_shard(name: str, effects: Effects, layout: Layout, flags: Flag) -> Refuse | EveryShard:
    """Write to a reference table, if all copies will be the same."""
    if effects.differs_by_server:
        return refuse(
            f"{effects.differs_by_server} has another value on each shard, and reference table "
            f"{name} must be the same on all: compute the value first and write it as a literal"
        )
    if layout.broken:
        return refuse(layout.broken)
    return EveryShard(layout.everywhere, flags | Flag.CLOCK)
