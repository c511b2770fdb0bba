"""UPDATE and DELETE: from the tree and the sources to a rule."""

from collections.abc import Sequence

from sqlglot import exp

from mitosis_gate.planner.effects import Effects, effects_of, refusal_for_many
from mitosis_gate.planner.keys import Block, Reading, Source, sharded
from mitosis_gate.planner.layout import Layout, Living
from mitosis_gate.planner.lexer import Kind
from mitosis_gate.planner.parse import tree_of
from mitosis_gate.planner.plan import EveryShard, Flag, Refuse
from mitosis_gate.planner.queries import query_rule, routed
from mitosis_gate.planner.refusals import key_changed, refuse
from mitosis_gate.planner.rules import Fixed, Rule
from mitosis_gate.planner.statement import Statement


def with_rule(statement: Statement) -> Rule:
    """A statement that begins with common table expressions."""
    return change_rule(statement) if _writes(statement) else query_rule(statement)


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
    reading = Reading(layout, statement.database, statement.variant.utf8)
    block = reading.read(tree)
    assert block is not None
    refusal = _refused_change(tree, block, reading.sources)
    if refusal is None and not layout.single:
        refusal = refusal_for_many(effects)
    if refusal is not None:
        return Fixed(refusal)
    if layout.single:
        return Fixed(layout.one(0, flags))
    return _writing_rule(tree, block, reading.sources, effects, layout, flags)


def _refused_change(
    tree: exp.Update | exp.Delete, block: Block, sources: Sequence[Source]
) -> Refuse | None:
    for source in block.sources:
        if source.place.table.view and source.place.living is Living.UNSHARDED:
            return refuse(f"{source.place.table.name} is a view: write to its table")
    for assignment in tree.expressions if isinstance(tree, exp.Update) else ():
        column = assignment.this if isinstance(assignment, exp.EQ) else None
        if not isinstance(column, exp.Column):
            return refuse("its SET is not understood", 1064)
        for source in _assigned(column, block):
            if source.place.is_key(column.name):
                return key_changed(source.place.key_name)
    return None


def _assigned(column: exp.Column, block: Block) -> list[Source]:
    """The sources that an assignment may change: all that have the column, when it is not said."""
    if column.table:
        found = block.aliases.get(column.table)
        return [found] if found is not None else []
    return [s for s in block.sources if s.place.table.column(column.name)]


def _writing_rule(
    tree: exp.Update | exp.Delete,
    block: Block,
    sources: Sequence[Source],
    effects: Effects,
    layout: Layout,
    flags: Flag,
) -> Rule:
    changed = _changed(tree, block)
    livings = {s.place.living for s in changed}
    if Living.SYSTEM in {s.place.living for s in sources}:
        return Fixed(refuse("MySQL's own tables cannot be used in a statement that writes"))
    if Living.REFERENCE in livings:
        return Fixed(_reference_write(tree, sources, changed, effects, layout, flags))
    if not sharded(sources):
        return Fixed(layout.one(layout.first, flags))
    key = sharded(sources)[0].place.key_name
    spread = refuse(
        "a write that touches several shards would not be atomic and is not supported: add "
        f"WHERE {key} = ... and write to one shard at a time"
    )
    return routed(layout, sources, flags, spread)


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
    name = changed[0].place.table.name
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
