"""DDL: on which shards it runs, and what would break the hash contract."""

from mitosis_gate.planner.alter import alter_table
from mitosis_gate.planner.definitions import (
    definition_of,
    differing_default,
    refused_table,
    table_collation,
)
from mitosis_gate.planner.keys import Halt
from mitosis_gate.planner.layout import Layout, Living, Place
from mitosis_gate.planner.lexer import BadSql, Kind
from mitosis_gate.planner.pictures import Picture, are_alike, picture_of, picture_of_new
from mitosis_gate.planner.plan import Ddl, DdlVerb, Flag, Plan, Refuse, UnknownTable, ViewNamed
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.statement import Statement
from mitosis_gate.planner.table_names import (
    Names,
    living_of,
    place_of,
    refused_name,
    shards_for,
)
from mitosis_gate.planner.unique_keys import NewKeys, judged
from mitosis_gate.planner.view_ddl import view_plan, view_word

PROGRAMS = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT"})
_ACCOUNTS = frozenset({"USER", "ROLE"})
_MAINTENANCE = frozenset({"ANALYZE", "OPTIMIZE", "CHECK", "REPAIR"})


def ddl_plan(statement: Statement) -> Plan:
    if view_word(statement):
        return view_plan(statement)
    verb, what = statement.words[0], _object(statement)
    layout = statement.layout
    if what in ("DATABASE", "SCHEMA"):
        return refuse("databases are keyspaces: create, change or delete a Keyspace resource")
    if what in _ACCOUNTS:
        return refuse("users are those of the keyspace: change spec.users of the Keyspace")
    if what in PROGRAMS:
        return _program(layout)
    if verb == "RENAME":
        return _rename(statement)
    if verb == "TRUNCATE" or verb in _MAINTENANCE:
        return _whole_tables(statement)
    if what == "TABLE":
        plans = {"CREATE": _create_table, "ALTER": alter_table, "DROP": _whole_tables}
        return plans[verb](statement)
    if what == "INDEX":
        return _index(statement)
    raise BadSql(f"{verb} {what or 'of this'} is unknown here")


def _object(statement: Statement) -> str:
    """TABLE, INDEX ...: what the statement makes, changes or removes."""
    kinds = {"TABLE", "INDEX", "DATABASE", "SCHEMA"} | PROGRAMS | _ACCOUNTS
    for token in statement.tokens[1:12]:
        if token.word in kinds:
            return token.word
        if token.kind is Kind.MARK and token.text == "(":
            break
    return "TABLE" if statement.words[0] in ("TRUNCATE", "RENAME") else ""


def _program(layout: Layout) -> Plan:
    if layout.single and not layout.has_sharded:
        return Ddl(DdlVerb.OTHER, (), (0,))
    return refuse(
        "procedures, functions, triggers and events are not supported in a keyspace with sharded "
        "tables: they would see the rows of one shard only"
    )


# DROP, TRUNCATE, ANALYZE ...: whole tables


_VERBS = {"DROP": DdlVerb.DROP_TABLE, "TRUNCATE": DdlVerb.TRUNCATE_TABLE}


def _whole_tables(statement: Statement) -> Plan:
    verb = statement.words[0]
    names = Names(statement, 1)
    if names.skip("TEMPORARY"):
        return _temporary(statement)
    for word in ("NO_WRITE_TO_BINLOG", "LOCAL", "TABLE", "TABLES"):
        names.skip(word)
    spared = names.skip("IF", "EXISTS")
    tables = [names.name()]
    while statement.is_mark(names.at, ","):
        names.at += 1
        tables.append(names.name())
    places = [_existing(statement.layout, name, spared) for name in tables]
    livings = {p.living for p in places if p is not None}
    if len(livings) > 1 and Living.UNSHARDED in livings and not statement.layout.single:
        return refuse(f"{verb} an unsharded table and the others in statements of their own")
    living = next(iter(livings), Living.SHARDED)
    shards = shards_for(statement.layout, living)
    kind = _VERBS.get(verb, DdlVerb.MAINTAIN)
    gone: tuple[Picture, ...] = ()
    if kind is DdlVerb.DROP_TABLE:
        found = zip(tables, places, strict=True)
        gone = tuple(picture_of(name, place) for name, place in found if place is not None)
    return Ddl(kind, tuple(tables), shards, gone=gone)


def _existing(layout: Layout, name: str, spared: bool) -> Place | None:
    place = layout.place(layout.keyspace, name)
    if isinstance(place, Place):
        return place
    if spared and isinstance(place, UnknownTable | ViewNamed):
        return None
    raise Halt(place)


def _temporary(statement: Statement) -> Plan:
    layout = statement.layout
    if layout.single:
        return layout.one(0, Flag.WRITE | Flag.PINS)
    return refuse("temporary tables are not supported in a keyspace of several shards")


def _rename(statement: Statement) -> Plan:
    names = Names(statement, 1)
    if not (names.skip("TABLE") or names.skip("TABLES")):
        raise BadSql("RENAME is for tables")
    layout = statement.layout
    tables: list[str] = []
    shards: set[tuple[int, ...]] = set()
    moved: dict[str, Place | None] = {}
    """What each name stands for after the renames so far; None: for nothing any more."""
    left: set[str] = set()
    while True:
        old = names.name()
        if not names.skip("TO"):
            raise BadSql("TO is missing")
        new = names.name()
        place = moved.get(old) or place_of(layout, old)
        refusal = refused_name(layout, place, new)
        if refusal is not None:
            return refusal
        moved[old], moved[new] = None, place
        left.add(old)
        tables.extend((old, new))
        shards.add(shards_for(layout, place.living))
        if not statement.is_mark(names.at, ","):
            break
        names.at += 1
    if len(shards) > 1:
        return refuse("RENAME an unsharded table and the others in statements of their own")
    return _renamed(layout, tuple(tables), next(iter(shards)), moved, left)


def _renamed(
    layout: Layout,
    tables: tuple[str, ...],
    shards: tuple[int, ...],
    moved: dict[str, Place | None],
    left: set[str],
) -> Plan:
    """While it goes from shard to shard, a name stands for one table here and another there: that
    does no harm as long as both are planned alike."""
    gone: list[Picture] = []
    made: list[Picture] = []
    for name, place in moved.items():
        before = layout.place(layout.keyspace, name)
        if place is None:
            if isinstance(before, Place):
                gone.append(picture_of(name, before))
            continue
        made.append(picture_of(name, place))
        if not isinstance(before, Place) or name not in left:
            continue
        if not are_alike(picture_of(name, before)[1], made[-1][1]):
            return refuse(
                f"{name} would stand for another kind of table (columns, their order, sharding key "
                "or AUTO_INCREMENT) while rows are written to it: RENAME the old one first and the "
                "new one in a statement of its own"
            )
    return Ddl(DdlVerb.RENAME_TABLE, tables, shards, made=tuple(made), gone=tuple(gone))


def _index(statement: Statement) -> Plan:
    for at, token in enumerate(statement.tokens):
        if token.word == "ON":
            name = Names(statement, at + 1).name()
            verb = DdlVerb.DROP_INDEX if statement.words[0] == "DROP" else DdlVerb.CREATE_INDEX
            place = place_of(statement.layout, name)
            plan = Ddl(verb, (name,), shards_for(statement.layout, place.living))
            keys = NewKeys(statement)
            if "UNIQUE" in statement.words:
                keys.know(place.table)
                keys.add_index(at)
            return judged(plan, name, place.key_name, keys)
    raise BadSql("ON and the name of the table are missing")


# CREATE TABLE


def _create_table(statement: Statement) -> Plan:
    names = Names(statement, 1)
    if names.skip("TEMPORARY"):
        return _temporary(statement)
    if not names.skip("TABLE"):
        raise BadSql("TABLE is missing")
    spared = names.skip("IF", "NOT", "EXISTS")
    name = names.name()
    layout = statement.layout
    exists = spared and name in layout.schema.tables
    keys = NewKeys(statement)
    like = _like(statement, names)
    if like:
        return _create_like(layout, name, like, keys, exists)
    if not statement.is_mark(names.at, "("):
        return _create_as(layout, name)
    end = statement.closing(names.at)
    parts = list(statement.parts(names.at + 1, end - 1))
    options = statement.tokens[end:]
    if any(t.word in ("SELECT", "TABLE", "WITH") for t in options):
        return _create_as(layout, name)
    definitions = [d for part in parts if (d := definition_of(statement, part))]
    rule = layout.rule_of(name, tuple(d.name for d in definitions))
    if isinstance(rule, Refuse):
        return rule
    if rule.sharding_key:
        refusal = refused_table(statement, rule, definitions, parts, options)
        if refusal is not None:
            return refusal
    if rule.reference and not layout.single:
        refusal = differing_default(statement, (names.at, end), name)
        if refusal is not None:
            return refusal
    made = picture_of_new(name, rule, definitions, table_collation(options))
    shards = shards_for(layout, living_of(rule))
    plan = Ddl(DdlVerb.CREATE_TABLE, (name,), shards, made=(made,))
    keys.add_elements(parts)
    return judged(plan, name, rule.sharding_key, keys, exists)


def _like(statement: Statement, names: Names) -> str:
    at = names.at + (1 if statement.is_mark(names.at, "(") else 0)
    return Names(statement, at + 1).name() if statement.word(at) == "LIKE" else ""


def _create_like(layout: Layout, name: str, like: str, keys: NewKeys, exists: bool) -> Plan:
    place = place_of(layout, like)
    refusal = refused_name(layout, place, name)
    if refusal is not None:
        return refusal
    made = (picture_of(name, place),)
    plan = Ddl(DdlVerb.CREATE_TABLE, (name,), shards_for(layout, place.living), made=made)
    keys.copy(place.table)
    return judged(plan, name, place.key_name, keys, exists)


def _create_as(layout: Layout, name: str) -> Plan:
    if layout.single and not layout.has_sharded:
        return Ddl(DdlVerb.CREATE_TABLE, (name,), (0,))
    return refuse(
        "CREATE TABLE ... SELECT is not supported: CREATE TABLE with its columns, then INSERT ... "
        "SELECT"
    )
