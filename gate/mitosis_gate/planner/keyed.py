"""UPDATE and DELETE whose rows only a read over several shards can find.

A subquery of which the rows lie anywhere cannot be sent along to the shards. So the rows are found
first, by a SELECT of their primary keys with the same conditions, which is planned and finished as
any other: it locks the rows that are to change with FOR UPDATE and what its subqueries read with
FOR SHARE, as the write of one server does. Then each shard gets the statement with the keys of its
own rows in the place of the conditions. Subqueries that are assigned are read before: see
`computed`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mitosis_gate.planner.effects import reads_the_clock
from mitosis_gate.planner.keys import Source
from mitosis_gate.planner.layout import Layout, Living
from mitosis_gate.planner.outline import block_at, table_statements
from mitosis_gate.planner.pins import Literal
from mitosis_gate.planner.plan import Flag, KeyedWrite, Wrote
from mitosis_gate.planner.pulling import quoted
from mitosis_gate.planner.rewrite import Edit, Template, copied, insertion, joined, render
from mitosis_gate.planner.schema import Table
from mitosis_gate.planner.statement import Span, Statement
from mitosis_gate.planner.table_keys import PRIMARY

_SETS = frozenset({"UNION", "EXCEPT", "INTERSECT"})
_INEXACT = ("float", "double", "real", "timestamp", "bit")
"""Types of which a literal may not be the value itself."""
_MODIFIERS = frozenset({"LOW_PRIORITY", "QUICK", "IGNORE"})
_BEFORE_TABLE = _MODIFIERS | {"FROM"}


@dataclass(frozen=True, slots=True)
class KeyedRule:
    """Plans for several shards."""

    layout: Layout
    chosen: Template
    before: Template
    keys: tuple[bytes, ...]
    wrote: Wrote
    flags: Flag
    reads_clock: bool
    limit: int
    is_divided: bool

    def bind(self, literals: Sequence[Literal], mask: int) -> KeyedWrite:
        shards = self.layout.shards_of(mask) if self.is_divided else (self.layout.first,)
        return KeyedWrite(
            shards,
            render(self.chosen, literals),
            render(self.before, literals),
            self.keys,
            self.wrote,
            self.reads_clock,
            self.limit,
            self.flags,
        )


def keyed_rule(
    statement: Statement,
    target: Source,
    places: dict[str, int],
    verb: int,
    assigned: Sequence[str],
    wrote: Wrote,
    flags: Flag,
) -> KeyedRule | None:
    """None: this cannot be done. `places`: where the clauses begin; `assigned`: columns of SET."""
    table = target.place.table
    key = _primary_key(table)
    rest = min((places[word] for word in ("WHERE", "ORDER", "LIMIT") if word in places), default=-1)
    changed = {name.lower() for name in assigned}
    if verb or rest < 0 or not key or changed.intersection(name.lower() for name in key):
        return None
    if target.place.living not in (Living.SHARDED, Living.UNSHARDED) or flags & Flag.LAST:
        return None
    if any(token.word == "SELECT" for token in statement.tokens[:rest]):
        return None
    locks = share_locks(statement, rest, len(statement.tokens))
    if locks is None:
        return None
    layout = statement.layout
    slot, keys = _shown(layout, target, key)
    first = 1
    while statement.word(first) in _BEFORE_TABLE:
        first += 1
    chosen = joined(
        (
            b"SELECT " + slot + b" AS slot, " + b", ".join(keys) + b" FROM ",
            *copied(statement, first, places.get("SET", rest)),
            b" ",
            *copied(statement, rest, len(statement.tokens), locks),
            b" FOR UPDATE",
        )
    )
    return KeyedRule(
        layout,
        chosen,
        copied(statement, 0, rest),
        keys,
        wrote,
        flags,
        reads_the_clock(statement.tokens),
        0 if "LIMIT" in places else 1 << 62,
        target.place.living is Living.SHARDED,
    )


def joined_rule(
    statement: Statement,
    target: Source,
    tables: Span,
    places: dict[str, int],
    assigned: Sequence[str],
    flags: Flag,
) -> KeyedRule | None:
    """As `keyed_rule`, for one of several tables that are joined; `tables`: where they stand."""
    table = target.place.table
    key = _primary_key(table)
    changed = {name.lower() for name in assigned}
    if not key or changed.intersection(name.lower() for name in key):
        return None
    if target.place.living not in (Living.SHARDED, Living.UNSHARDED) or flags & Flag.LAST:
        return None
    locks = share_locks(statement, 1, len(statement.tokens))
    if locks is None or "ORDER" in places or "LIMIT" in places or target.nullable:
        return None
    end = len(statement.tokens)
    where = places.get("WHERE", end)
    slot, keys = _shown(statement.layout, target, key)
    chosen = joined(
        (
            b"SELECT DISTINCT " + slot + b" AS slot, " + b", ".join(keys) + b" FROM ",
            *copied(statement, *tables, [e for e in locks if _is_in(statement, e, tables)]),
            b" ",
            *copied(
                statement, where, end, [e for e in locks if _is_in(statement, e, (where, end))]
            ),
            b" FOR UPDATE",
        )
    )
    at = 1
    while statement.word(at) in _MODIFIERS:
        at += 1
    name = quoted(target.place.database.encode()) + b"." + quoted(table.name.encode())
    name += b" AS " + quoted(target.alias.encode()) + b" "
    is_update = "SET" in places
    verb = copied(statement, 0, at)
    values = copied(statement, places["SET"], where) if is_update else ()
    return KeyedRule(
        statement.layout,
        chosen,
        joined((*verb, b" " if is_update else b" FROM ", name, *values)),
        keys,
        Wrote.UPDATE if is_update else Wrote.DELETE,
        flags,
        reads_the_clock(statement.tokens),
        1 << 62,
        target.place.living is Living.SHARDED,
    )


def _is_in(statement: Statement, edit: Edit, span: Span) -> bool:
    first, last = span
    if first >= last:
        return False
    return statement.tokens[first].start <= edit.start <= statement.tokens[last - 1].end


def _shown(layout: Layout, target: Source, key: Sequence[str]) -> tuple[bytes, tuple[bytes, ...]]:
    """SQL of the slot of a row, and of its primary key."""
    alias = quoted(target.alias.encode())
    slot = b"0"
    if target.place.living is Living.SHARDED:
        name = quoted(target.place.key_name.encode())
        slot = b"CRC32(" + alias + b"." + name + b") MOD %d" % layout.slots
    return slot, tuple(alias + b"." + quoted(name.encode()) for name in key)


def _primary_key(table: Table) -> tuple[str, ...]:
    """Its columns; none when they do not tell a row for certain."""
    key = next((key for key in table.unique_keys if key.name == PRIMARY), None)
    if key is None or len(key.columns) != len(key.parts):
        return ()
    columns = [table.column(name) for name in key.columns]
    if any(column is None or column.type.startswith(_INEXACT) for column in columns):
        return ()
    return key.columns


def share_locks(statement: Statement, first: int, last: int) -> list[Edit] | None:
    """FOR SHARE at the end of each SELECT among these tokens; None where it cannot stand."""
    if any(first <= ref.first < last for ref in table_statements(statement)):
        return None
    if any(token.word in _SETS or token.word == "WITH" for token in statement.tokens[first:last]):
        return None
    return list(_share_locks(statement, first, last))


def _share_locks(statement: Statement, first: int, last: int) -> Iterator[Edit]:
    for place in range(first, last):
        if statement.word(place) != "SELECT" or statement.is_mark(place - 1, "."):
            continue
        block = block_at(statement, place)
        if not (block.has("FOR") or block.has("LOCK")) and block.has("FROM"):
            end = min(block.end, last)  # ON DUPLICATE KEY UPDATE may follow
            yield insertion(statement.tokens[end - 1].end, b" FOR SHARE")
