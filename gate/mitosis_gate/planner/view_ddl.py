"""CREATE, ALTER and DROP VIEW in keyspaces of several shards.

A view is made on every shard, or on the one shard that has the unsharded tables when it names any.
What could not be read over several shards afterwards is refused at once.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from mitosis_gate.planner.effects import effects_of
from mitosis_gate.planner.keys import Halt
from mitosis_gate.planner.layout import Layout, Living, Place
from mitosis_gate.planner.lexer import BadSql
from mitosis_gate.planner.plan import Ddl, DdlVerb, Flag, Plan, Refuse, UnknownTable
from mitosis_gate.planner.queries import query_rule
from mitosis_gate.planner.refusals import not_understood, refuse
from mitosis_gate.planner.statement import Statement
from mitosis_gate.planner.table_names import Names
from mitosis_gate.planner.views import (
    are_unsharded,
    body_behind,
    definers_function,
    read,
    tables_of,
    tables_of_view,
    with_views,
)

_VERBS = {
    "CREATE": DdlVerb.CREATE_VIEW,
    "ALTER": DdlVerb.ALTER_VIEW,
    "DROP": DdlVerb.DROP_VIEW,
}
_OTHER_THINGS = frozenset(
    "TABLE INDEX PROCEDURE FUNCTION TRIGGER EVENT USER ROLE DATABASE SCHEMA AS".split()
)
_LONGEST_START = 32


def view_word(statement: Statement) -> int:
    """The place of the word VIEW in a statement that makes, changes or drops views; else 0."""
    if statement.words[0] not in _VERBS:
        return 0
    for place, token in enumerate(statement.tokens[1:_LONGEST_START], 1):
        if token.word == "VIEW":
            return place
        if token.word in _OTHER_THINGS:
            return 0
    return 0


def view_plan(statement: Statement) -> Plan:
    """The plan of a statement that has a `view_word`."""
    verb = _VERBS[statement.words[0]]
    if statement.layout.single:
        return Ddl(verb, (), (0,))
    names = Names(statement, view_word(statement) + 1)
    if verb is DdlVerb.DROP_VIEW:
        return _dropped(statement, names)
    names.skip("IF", "NOT", "EXISTS")
    at = names.at
    name = names.name()
    query = replace(statement, tokens=statement.tokens[slice(*body_behind(statement, at))])
    layout = statement.layout
    tables = tables_of(query)
    shards = _shards_for(layout, tables)
    refusal = None if are_unsharded(tables) else _refused(name, query)
    if refusal is not None:
        return refusal
    known = _is_view(layout, name)
    if known and _shards_of(layout, name) != shards:
        return refuse(
            f"view {name} is over tables that are stored in another way: DROP VIEW {name}, then "
            "make it anew"
        )
    made = ((name, _picture(query.text(0, len(query.tokens)))),)
    return Ddl(verb, (name,), shards, made=made, reroutes=known)


def _refused(name: str, query: Statement) -> Plan | None:
    """Why a view of this query could not be read over several shards."""
    function = definers_function(query)
    if function:
        return refuse(
            f"{function} in a view tells about its definer, and over several shards there is none: "
            "take it out of the view"
        )
    if effects_of(query.tokens).flags & (Flag.LAST | Flag.PINS):
        return refuse(
            f"view {name} would tell about a connection, and over several shards there are "
            "several: take that out of the view"
        )
    plan = _read_as_table(query)
    if isinstance(plan, UnknownTable):
        return plan
    if isinstance(plan, Refuse):
        why = plan.message.removeprefix("[gate] ")
        return replace(plan, message=f"[gate] view {name} could not be read: {why}")
    if _locks(plan):
        return refuse(
            f"view {name} would lock rows, which over several shards is done only for tables: take "
            "FOR UPDATE or FOR SHARE out of the view"
        )
    return None


def _read_as_table(query: Statement) -> Plan:
    text = b"SELECT * FROM (" + query.text(0, len(query.tokens)) + b") AS v"
    reading = read(text, query.layout, query.variant)
    try:
        return (with_views(reading, query_rule) or query_rule(reading)).bind(reading.literals)
    except BadSql as exc:
        return not_understood(str(exc))


def _locks(plan: Plan) -> bool:
    return bool(getattr(plan, "flags", Flag.NONE) & Flag.LOCKS)


def _shards_for(layout: Layout, tables: Sequence[Place]) -> tuple[int, ...]:
    livings = {place.living for place in tables}
    if Living.SYSTEM in livings:
        raise Halt(
            refuse(
                "a view of MySQL's own tables would tell about one shard only: put the SELECT in "
                "the program"
            )
        )
    return (layout.first,) if Living.UNSHARDED in livings else layout.everywhere


def _shards_of(layout: Layout, name: str) -> tuple[int, ...] | None:
    """None: its tables are not there any more."""
    if name in layout.whole_views:
        return (layout.first,)
    try:
        return _shards_for(layout, tables_of_view(layout, name))
    except (Halt, BadSql):
        return None


def _dropped(statement: Statement, names: Names) -> Plan:
    layout = statement.layout
    spared = names.skip("IF", "EXISTS")
    views = [names.name()]
    while statement.is_mark(names.at, ","):
        names.at += 1
        views.append(names.name())
    found = set()
    for name in views:
        if _is_view(layout, name):
            found.add(_shards_of(layout, name))
        elif name not in layout.schema.tables and not spared:
            return UnknownTable(layout.keyspace, name)
    if spared and len(found) != 1:
        found = {layout.everywhere}
    if None in found:
        if not spared:
            return refuse("the tables of the view are not there any more: DROP VIEW IF EXISTS")
        found = {layout.everywhere}
    if len(found) > 1:
        return refuse("DROP views over unsharded tables and the others in statements of their own")
    shards = next(iter(found), None) or layout.everywhere
    known = [layout.schema.tables[name] for name in views if _is_view(layout, name)]
    gone = tuple((view.name, _picture(view.definition.encode())) for view in known)
    return Ddl(DdlVerb.DROP_VIEW, tuple(views), shards, gone=gone)


def _is_view(layout: Layout, name: str) -> bool:
    return name in layout.views or name in layout.whole_views


def _picture(text: bytes) -> str:
    """What gates keep in mind of a view, as `planner.pictures` has it for tables: of another text
    nobody knows whether it means the same."""
    return f"view {hashlib.sha256(text).hexdigest()[:16]}"
