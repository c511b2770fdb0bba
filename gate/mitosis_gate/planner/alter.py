"""ALTER TABLE: what it may do to a table whose sharding key says where each row is."""

from collections.abc import Sequence

from mitosis_gate.planner.definitions import definition_of, differing_default, key_facts
from mitosis_gate.planner.keys import hash_alike
from mitosis_gate.planner.layout import Living, Place
from mitosis_gate.planner.lexer import BadSql, Token
from mitosis_gate.planner.pictures import Picture, picture_of
from mitosis_gate.planner.plan import Ddl, DdlVerb, Plan, Refuse
from mitosis_gate.planner.pulling import base_type
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.statement import Span, Statement
from mitosis_gate.planner.table_names import Names, place_of, refused_name, shards_for
from mitosis_gate.planner.unique_keys import NewKeys, judged


def alter_table(statement: Statement) -> Plan:
    names = Names(statement, 1)
    if not names.skip("TABLE"):
        raise BadSql("TABLE is missing")
    name = names.name()
    layout = statement.layout
    place = place_of(layout, name)
    tables = [name]
    reroutes = False
    made: tuple[Picture, ...] = ()
    keys = NewKeys(statement)
    keys.know(place.table)
    for part in statement.parts(names.at, len(statement.tokens)):
        refusal = _refused_action(statement, place, part)
        if refusal is not None:
            return refusal
        keys.add_action(part)
        reroutes |= _reroutes(statement, place, part)
        renamed = _new_name(statement, part)
        if renamed:
            made = (picture_of(renamed, place),)
            tables.append(renamed)
            refusal = refused_name(layout, place, renamed)
            if refusal is not None:
                return refusal
    gone = (picture_of(name, place),) if made else ()
    shards = shards_for(layout, place.living)
    plan = Ddl(DdlVerb.ALTER_TABLE, tuple(tables), shards, (), made, gone, reroutes)
    return judged(plan, name, place.key_name, keys)


def _reroutes(statement: Statement, place: Place, part: Span) -> bool:
    """Whether a gate that does not know of it would plan statements wrongly, and no shard refuse
    them: another type of a key or of what rows are ordered by, another order of the columns, or a
    column that gets numbers. Columns and keys that come or go are not among them."""
    tokens = statement.tokens[part[0] : part[1]]
    words = frozenset(t.word for t in tokens)
    action = statement.word(part[0])
    if action in ("CHANGE", "CONVERT") or "AUTO_INCREMENT" in words and action == "ADD":
        return True
    if action == "RENAME":
        return statement.word(part[0] + 1) == "COLUMN"
    if action != "MODIFY":
        return False
    at = part[0] + (2 if statement.word(part[0] + 1) == "COLUMN" else 1)
    definition = definition_of(statement, (at, part[1]))
    column = place.table.column(definition.name) if definition else None
    if definition is None or column is None or place.is_key(column.name):
        return True
    kind = base_type(column)
    is_number = not column.collation and kind == definition.type.partition("(")[0].split()[0]
    return (
        not is_number
        or bool(words & {"FIRST", "AFTER"})
        or definition.has("AUTO_INCREMENT") != column.auto_increment
    )


def _new_name(statement: Statement, part: Span) -> str:
    at = part[0]
    if statement.word(at) != "RENAME" or statement.word(at + 1) in ("COLUMN", "INDEX", "KEY"):
        return ""
    names = Names(statement, at + 1)
    if not names.skip("TO"):
        names.skip("AS")
    return names.name()


_WHOLE_PARTS = frozenset({"EXCHANGE", "DISCARD", "IMPORT"})


def _refused_action(statement: Statement, place: Place, part: Span) -> Refuse | None:
    action = statement.word(part[0])
    layout = statement.layout
    if action in _WHOLE_PARTS:
        return refuse(f"ALTER TABLE ... {action} works on files of a server: it is not supported")
    tokens = statement.tokens[part[0] : part[1]]
    if place.living is Living.SHARDED:
        return _refused_for_sharded(statement, place, action, part, tokens)
    if place.living is Living.REFERENCE and not layout.single:
        refusal = differing_default(statement, part, place.table.name)
        if refusal is not None:
            return refusal
    default = layout.default_key.lower()
    named = place.table.name in layout.rules
    if default and not named and action in ("ADD", "CHANGE", "RENAME"):
        if any(t.is_name and t.text.lower() == default for t in tokens):
            return refuse(
                f"with a column {layout.default_key} the table {place.table.name} would count as "
                "sharded, but its rows are on one shard: make a new table and copy the rows"
            )
    return None


def _refused_for_sharded(
    statement: Statement,
    place: Place,
    action: str,
    part: Span,
    tokens: Sequence[Token],
) -> Refuse | None:
    for at, token in enumerate(tokens):
        option = at + 1 < len(tokens) and tokens[at + 1].text == "="
        is_new = action == "ADD" and not statement.layout.single
        if is_new and (token.word == "SERIAL" or (token.word == "AUTO_INCREMENT" and not option)):
            return refuse(
                f"a new AUTO_INCREMENT column would number the rows that {place.table.name} has on "
                "each shard from 1: make a new table and copy the rows with INSERT ... SELECT"
            )
    if action == "CONVERT" and place.key is not None and place.key.length:
        return refuse(
            f"CONVERT TO would change the collation of the sharding key {place.key_name}: MODIFY "
            "the other columns one by one"
        )
    if action not in ("DROP", "RENAME", "CHANGE", "MODIFY", "ALTER"):
        return None
    at = part[0] + 1
    if statement.word(at) in ("INDEX", "KEY", "PRIMARY", "CONSTRAINT", "FOREIGN", "CHECK"):
        return None
    if statement.word(at) == "COLUMN":
        at += 1
    name = statement.tokens[at] if at < part[1] else None
    if name is None or not (name.is_name and place.is_key(name.text)):
        return None
    if action == "MODIFY":
        return _refused_modification(statement, place, (at, part[1]))
    return refuse(
        f"column {place.key_name} is the sharding key of {place.table.name}: it cannot be dropped, "
        "renamed or changed, because it says where each row is"
    )


def _refused_modification(statement: Statement, place: Place, part: Span) -> Refuse | None:
    """A wider type of the same kind hashes alike and is allowed."""
    definition = definition_of(statement, part)
    if definition is None:
        raise BadSql("the definition of the column is missing")
    facts = key_facts(definition, "")
    if isinstance(facts, str):
        return refuse(f"column {place.key_name} is the sharding key: {facts}")
    if not hash_alike(facts, place.key):
        return refuse(
            f"column {place.key_name} is the sharding key: in another type its values would hash "
            "to other shards"
        )
    if not definition.has("NOT", "NULL"):
        return refuse(f"column {place.key_name} is the sharding key and must stay NOT NULL: say so")
    return None
