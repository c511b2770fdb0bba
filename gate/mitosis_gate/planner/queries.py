"""Statements that read: from the tree and the sources to a rule."""

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from mitosis_gate.planner.effects import (
    VARIABLE_SET,
    Effects,
    effects_of,
    refusal_for_many,
)
from mitosis_gate.planner.finishing import finish_rule
from mitosis_gate.planner.keys import (
    Reading,
    Source,
    common_root,
    pin_of,
    sharded,
)
from mitosis_gate.planner.layout import Layout, Living
from mitosis_gate.planner.lexer import BadSql, Kind, Token
from mitosis_gate.planner.parse import tree_of
from mitosis_gate.planner.pins import AllOf, OneOf
from mitosis_gate.planner.plan import (
    AnyShard,
    ConnectionId,
    Flag,
    OneShard,
    Plan,
    Refuse,
    UnknownTable,
)
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.rules import (
    Fixed,
    Mapped,
    Point,
    Routed,
    Rule,
    Several,
    Unpinned,
    any_shard,
)
from mitosis_gate.planner.several import Later, several_of
from mitosis_gate.planner.show import figures_of_all
from mitosis_gate.planner.statement import Statement


def query_rule(statement: Statement) -> Rule:
    """A statement that only reads: SELECT, WITH, TABLE, VALUES, or one of them in parentheses."""
    own = _connection_id(statement)
    if own is not None:
        return Fixed(own)
    effects = effects_of(statement.tokens)
    if effects.refusal is not None:
        return Fixed(effects.refusal)
    layout = statement.layout
    flags = effects.flags | _locking(statement)
    if layout.single:
        return Fixed(layout.one(0, flags))
    if effects.variable_set:
        reads = replace(statement, tokens=_without_into(statement.tokens))
        inner = _rule_of(reads, replace(effects, variable_set=False), flags)
        return Mapped(inner, _where_variables_are_set)
    return _rule_of(statement, effects, flags)


def _without_into(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """The statement as if INTO @a, @b did not stand in it."""
    for place, token in enumerate(tokens):
        if token.word == "INTO" and tokens[place + 1].kind is Kind.VARIABLE:
            end = place + 1
            while end < len(tokens) and (
                tokens[end].kind in (Kind.VARIABLE, Kind.QUOTED) or tokens[end].text == ","
            ):
                end += 1
            return tokens[:place] + tokens[end:]
    return tokens


def _where_variables_are_set(plan: Plan) -> Plan:
    """On one server, which then says what they are."""
    return plan if isinstance(plan, OneShard | AnyShard | Refuse | UnknownTable) else VARIABLE_SET


def _rule_of(statement: Statement, effects: Effects, flags: Flag) -> Rule:
    layout = statement.layout
    if not any(t.word in ("FROM", "TABLE", "JOIN") for t in statement.tokens):
        return _without_tables(layout, effects, flags)
    try:
        tree = tree_of(statement.tokens, statement.literals)
        if not isinstance(tree, exp.Query):
            raise BadSql("its syntax is unknown here")
        reading = Reading(layout, statement.database, statement.variant.utf8)
        reading.read(tree)
    except BadSql as exc:
        return _unread_rule(statement, effects, flags, exc)
    if not reading.sources:
        return _without_tables(layout, effects, flags)
    return _reading_rule(statement, tree, reading.sources, effects, flags)


def _unread_rule(statement: Statement, effects: Effects, flags: Flag, exc: BadSql) -> Rule:
    """For a SELECT whose tree is not understood: its tables are found, its keys are not."""
    layout = statement.layout
    refusal = refusal_for_many(effects)
    if refusal is not None:
        return Fixed(refusal)
    rule = finish_rule(statement, (), flags)
    if isinstance(rule, Refuse):
        return Fixed(rule)
    livings = {pull.place.living for pull in rule.pulls}
    if not livings:
        raise exc
    if Living.SHARDED in livings:
        return Unpinned(layout, several_of(statement, flags, {}))
    if Living.UNSHARDED in livings or flags & Flag.LOCKS:
        return Fixed(layout.one(layout.first, flags))
    return Fixed(any_shard(layout.everywhere, flags))


def _connection_id(statement: Statement) -> ConnectionId | None:
    """`SELECT CONNECTION_ID() [[AS] name]`, which no server can answer."""
    tokens = statement.tokens
    if len(tokens) not in (4, 5, 6) or statement.words[:2] != ("SELECT", "CONNECTION_ID"):
        return None
    if not (statement.is_mark(2, "(") and statement.is_mark(3, ")")):
        return None
    if len(tokens) == 6 and tokens[4].word != "AS":
        return None
    if len(tokens) == 4:
        return ConnectionId(statement.text(1, 4).decode())
    return ConnectionId(tokens[-1].text) if tokens[-1].is_name else None


def _locking(statement: Statement) -> Flag:
    """FOR UPDATE, FOR SHARE or LOCK IN SHARE MODE, anywhere: a needless flag does no harm."""
    for place, token in enumerate(statement.tokens):
        if token.word == "FOR" and statement.word(place + 1) in ("UPDATE", "SHARE"):
            return Flag.LOCKS
        if token.word == "LOCK" and statement.word(place + 1) == "IN":
            return Flag.LOCKS
    return Flag.NONE


def _without_tables(layout: Layout, effects: Effects, flags: Flag) -> Rule:
    if effects.named_locks:
        return Fixed(layout.one(layout.first, flags | Flag.OUTSIDE))
    return Fixed(any_shard(layout.everywhere, flags))


def _reading_rule(
    statement: Statement,
    tree: exp.Expr,
    sources: Sequence[Source],
    effects: Effects,
    flags: Flag,
) -> Rule:
    layout = statement.layout
    refusal = refusal_for_many(effects)
    if refusal is not None:
        return Fixed(refusal)
    figures = figures_of_all(statement)
    if figures is not None:
        return Fixed(figures)
    system = _of_servers(sources, tree)
    if isinstance(system, Refuse):
        return Fixed(system)
    livings = {s.place.living for s in sources}
    if Living.SHARDED in livings:
        return routed(layout, sources, flags, Later(statement, flags))
    if Living.UNSHARDED in livings:
        return Fixed(layout.one(layout.first, flags))
    if Living.REFERENCE in livings and flags & Flag.LOCKS:
        return Fixed(layout.one(layout.first, flags))  # all sessions lock the same copy
    if Living.REFERENCE in livings:
        return Fixed(any_shard(layout.everywhere, flags))
    return Fixed(any_shard((layout.first,), flags | Flag.OUTSIDE))


_COUNTING_COLUMNS = frozenset(
    "table_rows avg_row_length data_length max_data_length index_length data_free auto_increment "
    "create_time update_time checksum cardinality".split()
)
_METADATA = frozenset(
    "tables columns statistics schemata key_column_usage table_constraints check_constraints "
    "referential_constraints views routines parameters triggers events character_sets collations "
    "collation_character_set_applicability engines plugins keywords partitions "
    "columns_extensions tables_extensions schemata_extensions st_geometry_columns "
    "column_privileges schema_privileges table_privileges user_privileges".split()
)


def _of_servers(sources: Sequence[Source], tree: exp.Expr) -> Refuse | None:
    """Why MySQL's own tables cannot be read here: each server counts for itself."""
    names = [s.place for s in sources if s.place.living is Living.SYSTEM]
    for place in names:
        name = place.table.name.lower()
        if place.database != "information_schema" or name not in _METADATA:
            return refuse(
                f"{place.database}.{name} has other content on each shard: ask a shard directly, "
                "or a table of information_schema that describes tables and columns"
            )
        if name in ("tables", "partitions", "statistics"):
            counting = _names_counts(tree)
            if counting:
                return refuse(
                    f"{counting} of information_schema.{name} is different on each shard: name the "
                    "columns that describe the table"
                )
    return None


def _names_counts(tree: exp.Expr) -> str:
    for column in tree.find_all(exp.Column):
        if isinstance(column.this, exp.Star):
            return "`*`"
        if column.name.lower() in _COUNTING_COLUMNS:
            return str(column.name.upper())
    for select in tree.find_all(exp.Select):
        if any(isinstance(e, exp.Star) for e in select.expressions):
            return "`*`"
    return ""


def routed(
    layout: Layout, sources: Sequence[Source], flags: Flag, spread: Refuse | Several
) -> Point | Routed:
    """The rule for a statement with sharded tables."""
    divided = sharded(sources)
    pins = [pin_of(source, layout.everything) for source in divided]
    root = common_root(divided)
    rule = Routed(
        layout,
        flags,
        tuple(pins),
        any(s.place.living is Living.UNSHARDED for s in sources),
        pin_of(root, layout.everything) if root else None,
        spread,
    )
    return _point(layout, rule, pins[0]) or rule


def _point(layout: Layout, rule: Routed, pin: AllOf) -> Point | None:
    """The quick form, when one literal decides: all sources have the same single pin."""
    same = all(p.pins == pin.pins for p in rule.pins if isinstance(p, AllOf))
    if rule.unsharded or not same or len(pin.pins) != 1:
        return None
    only = pin.pins[0]
    if not isinstance(only, OneOf) or len(only.choices) != 1:
        return None
    slot = only.choices[0]
    if slot.many or slot.typed:
        return None
    return Point(layout, only.reader, slot, rule)
