"""SELECTs over several shards that need all their rows in one place: pull them there, run it there.

Each place where a table is named becomes a pull of its own: the columns that the statement mentions
anywhere, the rows that its sharding keys and its plain conditions leave. In the text these places
name the pulled tables; all else stays as the client wrote it, so that MySQL itself computes joins,
subqueries, windows, ROLLUP, collations and errors.

What is pulled may be more than is needed, never less: see `pushing` for the conditions that go to
the shards. They are evaluated again at the end.

Not done, and refused: what would tell about the scratch server instead of the shards (files, named
locks, replication waits, ROW_COUNT(), FOUND_ROWS()), MySQL's own tables beside others, full-text
search (its index is the shards'), and SKIP LOCKED, NOWAIT and OF in locking clauses. What tells
about the session (`CURRENT_USER()`, `DATABASE()`, `@@variables`) is asked of a shard first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mitosis_gate.planner import pulling
from mitosis_gate.planner.effects import VARIABLE_SET
from mitosis_gate.planner.keys import Halt, Source, pin_of
from mitosis_gate.planner.layout import Layout, Living, Place
from mitosis_gate.planner.lexer import Kind
from mitosis_gate.planner.outline import (
    Block,
    TableRef,
    blocks_of,
    hidden_names,
    table_statements,
)
from mitosis_gate.planner.pins import AnyOf, Literal, Pin
from mitosis_gate.planner.plan import Finish, Flag, Lookup, Pull, Refuse
from mitosis_gate.planner.pushing import Named, Scope, conditions_on, equal_columns
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.rewrite import (
    Edit,
    Template,
    copied,
    edited,
    joined,
    render,
    replacement,
)
from mitosis_gate.planner.statement import Statement

_SESSION = frozenset(
    {"CURRENT_USER", "USER", "SESSION_USER", "SYSTEM_USER", "CURRENT_ROLE", "DATABASE", "SCHEMA"}
)
_ABOUT_SERVERS = frozenset(
    "LOAD_FILE ROW_COUNT FOUND_ROWS MASTER_POS_WAIT SOURCE_POS_WAIT WAIT_FOR_EXECUTED_GTID_SET "
    "PS_CURRENT_THREAD_ID PS_THREAD_ID ROLES_GRAPHML UUID_SHORT".split()
)
_MOST_TABLES = 400
_LAST_ID = frozenset({"last_insert_id", "identity"})
_OF_THE_LAST = frozenset({"warning_count", "error_count", "insert_id"})


@dataclass(frozen=True, slots=True)
class PullRule:
    name: str
    place: Place
    columns: tuple[int, ...]
    pin: Pin | None
    """Which shards can have rows that matter; None: one shard has them all."""
    text: Template
    where: bool
    tail: bytes
    lookups: tuple[Lookup, ...]

    def bind(self, layout: Layout, literals: Sequence[Literal]) -> Pull:
        mask = 1 << layout.first if self.pin is None else self.pin.mask(literals)
        shards = layout.shards_of(mask)
        text = render(self.text, literals)
        table = self.place.table
        return Pull(
            self.name, table, self.columns, shards, text, self.where, self.tail, self.lookups
        )


@dataclass(frozen=True, slots=True)
class FinishRule:
    """A statement whose rows are pulled to one place; `text` has -1, -2 ... for the values."""

    layout: Layout
    pulls: tuple[PullRule, ...]
    text: Template
    values: tuple[bytes, ...]
    flags: Flag

    def bind(self, literals: Sequence[Literal], mask: int) -> Finish:
        text: list[bytes | int] = []
        for piece in self.text:
            if isinstance(piece, int) and piece < 0:
                text.append(-1 - piece)
            else:
                text.append(render((piece,), literals))
        pulls = tuple(pull.bind(self.layout, literals) for pull in self.pulls)
        return Finish(pulls, joined(text), self.values, self.flags)


def finish_rule(
    statement: Statement, sources: Sequence[Source], flags: Flag
) -> FinishRule | Refuse:
    """The rule for a SELECT; `sources` are empty when its tree is not understood.

    Raises Halt for a table that does not exist, BadSql for a form that is not known.
    """
    blocks = blocks_of(statement)
    refusal = _refusal(statement, blocks)
    if refusal is not None:
        return refusal
    named = _named(statement, blocks)
    if isinstance(named, Refuse):
        return named
    if len(named) > _MOST_TABLES:
        return refuse(
            f"it names tables in {len(named)} places, and over several shards {_MOST_TABLES} are "
            "supported: send it in parts"
        )
    edits = list(_names_without_database(statement, named))
    values: list[bytes] = []
    edits.extend(_values(statement, values))
    edits.extend(_unlocked(statement, blocks))
    pulls, more = _pulls(statement, named, sources)
    text = edited(statement, [*edits, *more])
    return FinishRule(statement.layout, pulls, text, tuple(values), flags)


# What cannot be finished elsewhere


def _refusal(statement: Statement, blocks: Sequence[Block]) -> Refuse | None:
    tokens = statement.tokens
    for place, token in enumerate(tokens):
        call = statement.is_mark(place + 1, "(")
        if token.kind is Kind.VARIABLE and token.text[:2] == "@@":
            if token.text[2:].lower().rpartition(".")[2] in _OF_THE_LAST or token.text == "@@":
                return refuse(
                    f"{token.text} tells about the statement before, which one shard answered: "
                    "read it in a SELECT of its own"
                )
        elif token.word in _ABOUT_SERVERS and call:
            return refuse(
                f"{token.word}() in a statement over several shards has no one server to tell "
                "about: call it in a SELECT of its own"
            )
        elif token.word == "LAST_INSERT_ID" and call and not statement.is_mark(place + 2, ")"):
            return refuse("LAST_INSERT_ID(value) can be set only in a statement for one shard")
        elif token.word == "MATCH" and call:
            return refuse(
                "full-text search needs the index of one shard: add the sharding key to WHERE"
            )
    for block in blocks:
        if "SQL_CALC_FOUND_ROWS" in block.modifiers:
            return refuse(
                "SQL_CALC_FOUND_ROWS over several shards is not supported: send a second SELECT "
                "with COUNT(*)"
            )
        if block.has("INTO"):
            return VARIABLE_SET  # INTO a file is refused before
        if _lock_of(statement, block) is None:
            return refuse(
                "OF, NOWAIT and SKIP LOCKED over several shards are not supported: add the "
                "sharding key to WHERE"
            )
    return None


def _lock_of(statement: Statement, block: Block) -> bytes | None:
    """What a pull of the block's tables ends in; None when it cannot be put there."""
    if block.has("LOCK"):
        return b" FOR SHARE"
    if not block.has("FOR"):
        return b""
    first, last = block.span("FOR")
    return b" FOR " + statement.text(first, last) if last - first == 1 else None


def _unlocked(statement: Statement, blocks: Sequence[Block]) -> Iterator[Edit]:
    for block in blocks:
        for clause in ("FOR", "LOCK"):
            if block.has(clause):
                first, last = block.span(clause)
                yield replacement(statement, first - 1, last, b"")


# Tables


def _named(statement: Statement, blocks: Sequence[Block]) -> list[Named] | Refuse:
    """Each place that names a table, and none that names a common table expression."""
    hidden = hidden_names(statement)
    scopes = []
    found = []
    for block in blocks:
        scope = Scope(block)
        scopes.append(scope)
        for number, ref in enumerate(block.tables):
            named = _judged(statement, ref, hidden)
            if isinstance(named, Refuse):
                return named
            if named is None:
                scope.opaque = True
                continue
            one = Named(ref, named, scope, number)
            scope.named.append(one)
            found.append(one)
    for ref in table_statements(statement):
        named = _judged(statement, ref, hidden)
        if isinstance(named, Refuse):
            return named
        if named is not None:
            found.append(Named(ref, named, None, 0))
    for scope in scopes:
        scope.parent = _enclosing(scope, scopes)
    return sorted(found, key=lambda n: n.ref.first)


def _enclosing(scope: Scope, scopes: Sequence[Scope]) -> Scope | None:
    """The SELECT whose columns it can use too: not one in whose FROM it stands."""
    around = [
        other
        for other in scopes
        if other.block.at < scope.block.at < other.block.end and other is not scope
    ]
    if not around:
        return None
    inner = max(around, key=lambda other: other.block.at)
    first, last = inner.block.span("FROM")
    return None if first <= scope.block.at < last else inner


def _judged(
    statement: Statement, ref: TableRef, hidden: Sequence[tuple[str, int, int]]
) -> Place | Refuse | None:
    if not ref.database:
        if any(name == ref.name and first <= ref.first < last for name, first, last in hidden):
            return None
        if ref.name.upper() == "DUAL" and statement.tokens[ref.first].kind is Kind.WORD:
            return None
    place = statement.layout.place(ref.database or statement.database, ref.name)
    if not isinstance(place, Place):
        raise Halt(place)
    if place.living is Living.SYSTEM:
        return refuse(
            f"{place.database}.{ref.name} is each server's own: it cannot be joined with tables "
            "of several shards"
        )
    return place


def _pulls(
    statement: Statement, named: Sequence[Named], sources: Sequence[Source]
) -> tuple[tuple[PullRule, ...], list[Edit]]:
    mentioned = _mentioned(statement)
    said = any(one.ref.database for one in named)
    seen = {name: 1 for name, _, _ in hidden_names(statement)} if said else {}
    rules: dict[Named, PullRule] = {}
    edits: list[Edit] = []
    weights: dict[Named, tuple[bool, int]] = {}
    for one in named:
        name = one.place.table.name
        seen[name] = seen.get(name, 0) + 1
        scratch = name if seen[name] == 1 else f"{name}#{seen[name]}"
        conditions = conditions_on(statement, one)
        pin = _pin(statement.layout, one, sources)
        rules[one] = _pull(statement, one, scratch, pin, conditions, mentioned)
        narrowed = len(conditions) + 2 * (pin is not None and bool(pin.slots()))
        weights[one] = (one.ref.nullable, -narrowed)
        edits.extend(_renamed(statement, one, scratch))
    order = sorted(named, key=lambda n: weights[n])
    places = {one: number for number, one in enumerate(order)}
    lookups: dict[Named, list[Lookup]] = {}
    for one, column, other, other_column in equal_columns(statement, named):
        if places[other] < places[one]:
            found = Lookup(places[other], other_column, column)
            if found not in lookups.setdefault(one, []):
                lookups[one].append(found)
    rules = {one: replace(rule, lookups=tuple(lookups.get(one, ()))) for one, rule in rules.items()}
    return tuple(rules[one] for one in order), edits


def _pin(layout: Layout, one: Named, sources: Sequence[Source]) -> Pin | None:
    if one.place.living is not Living.SHARDED:
        return None
    pins = [pin_of(s, layout.everything) for s in sources if s.at == one.ref.last - 1]
    return (
        AnyOf(tuple(pins)) if pins else AnyOf((pin_of(Source(one.place, ""), layout.everything),))
    )


def _pull(
    statement: Statement,
    one: Named,
    scratch: str,
    pin: Pin | None,
    conditions: Sequence[Template],
    mentioned: frozenset[str] | None,
) -> PullRule:
    table = one.place.table
    columns = tuple(
        number
        for number, column in enumerate(table.columns)
        if mentioned is None or column.name.lower() in mentioned
    )
    columns = columns or (max(one.place.key_index, 0),)
    alias = one.ref.alias.encode()
    listed = b", ".join(pulling.expression(table.columns[n], alias) for n in columns)
    start = (
        b"SELECT " + listed + b" FROM " + pulling.quoted(statement.layout.keyspace.encode())
        + b"." + pulling.quoted(table.name.encode())
    )  # fmt: skip
    pieces: list[bytes | int] = [start]
    if one.ref.partition[0] < one.ref.partition[1]:
        pieces += [b" ", *copied(statement, *one.ref.partition)]
    if alias != table.name.encode():
        pieces += [b" AS ", pulling.quoted(alias)]
    for number, condition in enumerate(conditions):
        pieces += [b" AND (" if number else b" WHERE (", *condition, b")"]
    tail = (_lock_of(statement, one.scope.block) or b"") if one.scope else b""
    return PullRule(scratch, one.place, columns, pin, joined(pieces), bool(conditions), tail, ())


def _renamed(statement: Statement, one: Named, scratch: str) -> Iterator[Edit]:
    ref = one.ref
    name = pulling.quoted(scratch.encode())
    if not ref.aliased and scratch != ref.alias:
        name += b" AS " + pulling.quoted(ref.alias.encode())
    last = max(ref.last, ref.partition[1])
    yield replacement(statement, ref.first, last, name)
    for first, behind in ref.hints:
        yield replacement(statement, first, behind, b"")


# The text


def _mentioned(statement: Statement) -> frozenset[str] | None:
    """Names that may be columns, in lower case; None: all columns may be needed."""
    names = set()
    for place, token in enumerate(statement.tokens):
        if token.is_name:
            names.add(token.text.lower())
            if token.word in ("NATURAL", "TABLE"):
                return None
        elif token.kind is Kind.MARK and token.text == "*" and place:
            before = statement.tokens[place - 1]
            if before.text in (",", ".") or before.word in _BEFORE_STAR:
                return None
    return frozenset(names)


_BEFORE_STAR = frozenset(
    "SELECT ALL DISTINCT DISTINCTROW HIGH_PRIORITY STRAIGHT_JOIN SQL_SMALL_RESULT SQL_BIG_RESULT "
    "SQL_BUFFER_RESULT SQL_NO_CACHE".split()
)


def _names_without_database(statement: Statement, named: Sequence[Named]) -> Iterator[Edit]:
    """`shop.orders.total` becomes `orders.total`."""
    taken = {place for one in named for place in range(one.ref.first, one.ref.last)}
    tokens = statement.tokens
    databases = {statement.layout.keyspace}
    for place, token in enumerate(tokens):
        if place in taken or not token.is_name or token.text not in databases:
            continue
        if statement.is_mark(place - 1, ".") if place else False:
            continue
        if statement.is_mark(place + 1, ".") and statement.is_mark(place + 3, "."):
            yield replacement(statement, place, place + 2, b"")


def _values(statement: Statement, values: list[bytes]) -> Iterator[Edit]:
    """Put numbers in the places of what only a shard can tell, and add that to `values`."""
    tokens = statement.tokens
    for place, token in enumerate(tokens):
        last = place
        if token.kind is Kind.VARIABLE and token.text[:2] == "@@":
            if token.text[2:].lower().rpartition(".")[2] not in _LAST_ID:
                last = place + 1
        elif token.word in _SESSION and not (place and statement.is_mark(place - 1, ".")):
            if statement.is_mark(place + 1, "(") and statement.is_mark(place + 2, ")"):
                last = place + 3
            elif token.word == "CURRENT_USER" and not statement.is_mark(place + 1, "."):
                last = place + 1
        if last > place:
            expression = statement.text(place, last)
            if expression not in values:
                values.append(expression)
            yield replacement(statement, place, last, (-1 - values.index(expression),))
