"""Writes of which nobody knows the shards, or what they write, before some values are computed.

The gate computes nothing. It asks a server for the values, in a SELECT of its own with the
session's settings, and puts what it hears as literals in their places; what comes out is planned
like any write. So only values that a SELECT computes as a write does may be asked for: none that
names a column of the row, and none that a write would refuse. Values that are subqueries are read
in the transaction of the write, with locks, when a server has judged the whole statement.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mitosis_gate.planner.effects import AGGREGATES, calls, effects_of
from mitosis_gate.planner.insert_frame import Insert
from mitosis_gate.planner.keyed import share_locks
from mitosis_gate.planner.layout import Place
from mitosis_gate.planner.lexer import BadSql, Kind, Token
from mitosis_gate.planner.pins import Literal
from mitosis_gate.planner.plan import ColumnDefault, ComputedWrite, Flag, Refuse
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.rewrite import Template, copied, cut, joined, render
from mitosis_gate.planner.rules import Fixed, Rule
from mitosis_gate.planner.schema import Column, Table
from mitosis_gate.planner.statement import Span, Statement

_COUNTS = frozenset({"ROW_COUNT", "FOUND_ROWS"})


@dataclass(frozen=True, slots=True)
class _Hole:
    """A computed value goes where the tokens from `first` to before `last` stand."""

    first: int
    last: int
    ask: Template | ColumnDefault
    before: bytes = b""
    """What makes room for a value that the row does not have."""


@dataclass(frozen=True, slots=True)
class ComputedRule:
    asks: tuple[Template | ColumnDefault, ...]
    pieces: tuple[Template, ...]
    flags: Flag
    reads: bool = False

    cacheable = True

    def bind(self, literals: Sequence[Literal], mask: int = 0) -> ComputedWrite:
        """`mask` is of no interest: the shards are known when the values are."""
        return ComputedWrite(
            tuple(
                ask if isinstance(ask, ColumnDefault) else render(ask, literals)
                for ask in self.asks
            ),
            tuple(render(piece, literals) for piece in self.pieces),
            self.flags,
            self.reads,
        )

    def slots(self) -> frozenset[int]:
        return frozenset()


def computed_rule(
    statement: Statement,
    insert: Insert,
    columns: Sequence[str],
    place: Place,
    auto: Column | None,
    flags: Flag,
) -> Rule | None:
    """The rule for rows whose keys or numbers are not all literals; None: they are.

    `columns`: those that the rows have values for. `auto`: the AUTO_INCREMENT column, if the gate
    gives its numbers.
    """
    holes: list[_Hole] = []
    names = [name.lower() for name in columns]
    key = place.key_name.lower()
    is_numbered = auto is not None and auto.name.lower() == key
    key_at = names.index(key) if key in names else -1
    auto_at = names.index(auto.name.lower()) if auto and auto.name.lower() in names else -1
    default = ColumnDefault(place.table.name, place.key_name)
    below = statement.layout.below.get(place.table.name)
    if below is not None:
        default = ColumnDefault(below.table.name, below.key_name, place.table.name)
    for row in insert.rows:
        for at in sorted({key_at, auto_at} - {-1}):
            first, last = row[at]
            if not _is_told(statement, row[at]):
                holes.append(_Hole(first, last, _ask(statement, row[at])))
            elif at == key_at and not is_numbered and statement.word(first) == "DEFAULT":
                holes.append(_Hole(first, last, default))
    makes_room = key_at < 0 and bool(key) and not is_numbered
    if makes_room:
        holes += _room(statement, insert, place, default)
    if not holes:
        return None
    extra = _listed(statement, insert, place, columns) if makes_room else None
    return _fixed(_rule(statement, place.table, holes, flags, extra))


def reference_rule(statement: Statement, insert: Insert, table: Table, flags: Flag) -> Rule | None:
    """The rule for rows of a reference table with values that differ from server to server."""
    holes = [
        _Hole(*span, _ask(statement, span))
        for row in insert.rows
        for span in row
        if effects_of(statement.tokens[slice(*span)]).differs_by_server
    ]
    behind = effects_of(statement.tokens[insert.rows_end :])
    if not holes or behind.differs_by_server:
        return None
    return _fixed(_rule(statement, table, holes, flags, None))


def _fixed(rule: ComputedRule | Refuse) -> Rule:
    return Fixed(rule) if isinstance(rule, Refuse) else rule


def subquery_rule(
    statement: Statement, insert: Insert, table: Table, flags: Flag
) -> "ComputedRule | Refuse":
    """The rule for rows with values that are read from tables."""
    if has_subquery(statement.tokens[insert.rows_end :]):
        return refuse(
            "a subquery in ON DUPLICATE KEY UPDATE is not supported: read first, then write "
            "literals"
        )
    spans = [span for row in insert.rows for span in row]
    found = _reading(statement, [s for s in spans if has_subquery(statement.tokens[slice(*s)])])
    if isinstance(found, Refuse):
        return found
    return _rule(statement, table, found, flags, None)


def assigning_rule(
    statement: Statement, table: Table, values: Sequence[Span], flags: Flag
) -> "ComputedRule | Refuse | None":
    """The rule for an UPDATE that assigns what it reads from tables; None: it does not."""
    found = _reading(statement, [s for s in values if has_subquery(statement.tokens[slice(*s)])])
    if isinstance(found, Refuse):
        return found
    return _rule(statement, table, found, flags, None) if found else None


def has_subquery(tokens: Sequence[Token]) -> bool:
    return any(token.word in ("SELECT", "TABLE") for token in tokens)


def _reading(statement: Statement, spans: Sequence[Span]) -> list[_Hole] | Refuse:
    """Holes whose values are read under locks, as a write of one server reads."""
    holes = []
    for span in spans:
        locks = share_locks(statement, *span)
        if locks is None:
            return refuse(
                "UNION, WITH and TABLE in a value that is read over several shards are not "
                "supported: read first, then write literals"
            )
        holes.append(_Hole(*span, copied(statement, *span, locks)))
    return holes


def names_column(tokens: Sequence[Token], table: Table) -> str:
    """The first column of the table that an expression names, or an empty string."""
    for at, token in enumerate(tokens):
        following = tokens[at + 1].text if at + 1 < len(tokens) else ""
        if token.is_name and following != "(" and table.column(token.text) is not None:
            return token.text
    return ""


def _is_told(statement: Statement, span: Span) -> bool:
    """Whether it is a literal, or a word that stands for a value by itself."""
    tokens = statement.tokens[slice(*span)]
    if not tokens:
        return True  # no value at all: whoever reads literals says so
    last = tokens[-1]
    if len(tokens) == 1:
        return last.kind is Kind.LITERAL or last.word in ("NULL", "DEFAULT")
    signed = tokens[0].text == "-" or tokens[0].text.lower() in ("_binary", "_utf8mb4")
    return len(tokens) == 2 and last.kind is Kind.LITERAL and signed


def _ask(statement: Statement, span: Span) -> Template:
    return cut(statement, *span)


def _room(
    statement: Statement, insert: Insert, place: Place, default: ColumnDefault
) -> Iterator[_Hole]:
    """Behind the values of each row: the value of a key that it does not have."""
    for (_, last), row in zip(insert.spans, insert.rows, strict=True):
        if insert.is_set:
            yield _Hole(last, last, default, b", " + _quoted(place.key_name) + b" = ")
        else:
            yield _Hole(last - 1, last - 1, default, b", " if row else b"")


def _listed(
    statement: Statement, insert: Insert, place: Place, columns: Sequence[str]
) -> tuple[int, bytes] | None:
    """Where the name of the key is put among those of the columns."""
    if insert.is_set:
        return None
    name = _quoted(place.key_name)
    if insert.columns_end < 0:  # INSERT INTO t VALUES (): there is no list
        return insert.target_end, b" (" + name + b")"
    return insert.columns_end, b", " + name if columns else name


def _rule(
    statement: Statement,
    table: Table,
    holes: Sequence[_Hole],
    flags: Flag,
    extra: tuple[int, bytes] | None,
) -> ComputedRule | Refuse:
    """`extra`: text to put before a token that stands before all holes."""
    if b"/*!" in statement.sql:
        return refuse(
            "an executable comment (/*! */) stands in a write of which a server must compute "
            "values: leave the comment out"
        )
    reads = has_subquery([t for h in holes for t in statement.tokens[h.first : h.last]])
    for hole in holes:
        refusal = _refused(statement.tokens[hole.first : hole.last], table)
        if refusal is not None:
            return refusal
    pieces: list[Template] = []
    at, lead = 0, b""
    before = statement.sql[: statement.tokens[0].start]
    head: Template = (before,) if b"gate:" in before.lower() else ()
    if extra is not None:
        at, text = extra
        head = (*head, *cut(statement, 0, at), text)
        lead = b" "
    for hole in sorted(holes, key=lambda h: h.first):
        end = hole.first
        text = hole.before or b" "
        pieces.append(joined((*head, lead, *cut(statement, at, end), text)))
        at, lead, head = hole.last, b" ", ()
    pieces.append(joined((b" ", *cut(statement, at, len(statement.tokens)))))
    asks = tuple(hole.ask for hole in sorted(holes, key=lambda h: h.first))
    return ComputedRule(asks, tuple(pieces), flags, reads)


def _refused(tokens: Sequence[Token], table: Table) -> Refuse | None:
    """Why the value of an expression cannot be asked for apart from its INSERT."""
    depth = 0
    for token in tokens:
        if token.kind is Kind.MARK:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            if depth < 0:
                raise BadSql("a parenthesis is not opened")
    if has_subquery(tokens):
        return _refused_read(tokens)
    name = names_column(tokens, table)
    if name:
        return refuse(
            f"a value that decides the shard of a row names the column {name}, whose value only "
            "the shard knows: write the value itself"
        )
    if calls(tokens, AGGREGATES):
        return Refuse(1111, "HY000", "Invalid use of group function")
    if any(token.word == "OVER" for token in tokens):
        return refuse("window functions cannot stand in VALUES: use INSERT ... SELECT")
    effects = effects_of(tokens)
    asked = calls(tokens, _COUNTS) or next(
        (t.text for t in tokens if t.text.lower().endswith(("_count", "insert_id"))
         and t.kind is Kind.VARIABLE), ""
    )  # fmt: skip
    if asked or _sets_last_id(tokens):
        return refuse(
            f"{asked or 'LAST_INSERT_ID(value)'} in a value that decides the shard of a row is not "
            "supported: SELECT it first"
        )
    return effects.refusal


def _refused_read(tokens: Sequence[Token]) -> Refuse | None:
    """All else the server judges, which prepares the whole statement first."""
    effects = effects_of(tokens)
    if effects.flags & Flag.LAST or _sets_last_id(tokens):
        return refuse("LAST_INSERT_ID() beside a subquery in a value: SELECT it first")
    return effects.refusal


def _sets_last_id(tokens: Sequence[Token]) -> bool:
    places = (at for at, token in enumerate(tokens) if token.word == "LAST_INSERT_ID")
    return any([t.text for t in tokens[at + 1 : at + 3]] != ["(", ")"] for at in places)


def _quoted(name: str) -> bytes:
    return b"`" + name.encode().replace(b"`", b"``") + b"`"
