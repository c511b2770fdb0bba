"""Where the clauses of a SELECT and the tables of its FROM stand, found in the tokens alone.

This is what edits are made from, and it also reads statements whose tree is not understood. It
judges nothing: a SELECT of a form that it does not know raises BadSql.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mitosis_gate.planner.lexer import BadSql, Kind
from mitosis_gate.planner.statement import Span, Statement

_MODIFIERS = frozenset(
    "ALL DISTINCT DISTINCTROW HIGH_PRIORITY STRAIGHT_JOIN SQL_SMALL_RESULT SQL_BIG_RESULT "
    "SQL_BUFFER_RESULT SQL_NO_CACHE SQL_CALC_FOUND_ROWS".split()
)
_ENDS = frozenset({"UNION", "EXCEPT", "INTERSECT"})
_CLAUSES = ("FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "INTO", "FOR", "LOCK")
_JOINING = frozenset("JOIN INNER CROSS LEFT RIGHT NATURAL STRAIGHT_JOIN ON".split())
_NO_ALIAS = frozenset(
    "JOIN INNER CROSS LEFT RIGHT FULL NATURAL STRAIGHT_JOIN OUTER ON USING USE FORCE IGNORE "
    "PARTITION AS SET".split()
)


@dataclass(frozen=True, slots=True)
class TableRef:
    """A table named in a FROM clause; all places are those of tokens."""

    first: int
    last: int
    """Behind its name."""
    database: str
    name: str
    alias: str
    aliased: bool
    partition: Span
    """With the word PARTITION; empty when no partitions are chosen."""
    hints: tuple[Span, ...]
    nullable: bool
    """May be on the inner side of an outer join."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The condition behind an ON."""

    span: Span
    left: bool
    """Of a LEFT JOIN: it binds only the tables it brings."""
    table: int
    """Index of the first table that the join brings."""


@dataclass(slots=True)
class Block:
    """One SELECT without what follows a UNION; spans are of the clauses' contents."""

    at: int
    """Of the word SELECT."""
    first: int
    """Of the first item, behind DISTINCT and the like."""
    end: int
    modifiers: frozenset[str] = frozenset()
    spans: dict[str, Span] = field(default_factory=dict)
    items: tuple[Span, ...] = ()
    tables: tuple[TableRef, ...] = ()
    joins: tuple[Joined, ...] = ()
    outer: bool = False
    """Its FROM has a join of which it is not certain which side may be missing."""
    opaque: bool = False
    """Its FROM has a derived table or a table function too."""
    natural: bool = False

    def span(self, clause: str) -> Span:
        return self.spans.get(clause, (self.end, self.end))

    def has(self, clause: str) -> bool:
        return clause in self.spans

    def start_of(self, clause: str) -> int:
        """The place of the clause's first word."""
        return self.spans[clause][0] - (2 if clause in ("GROUP", "ORDER") else 1)


def blocks_of(statement: Statement) -> list[Block]:
    """All SELECTs of the statement, in the order of their first words."""
    return [
        block_at(statement, place)
        for place, token in enumerate(statement.tokens)
        if token.word == "SELECT" and not statement.is_mark(place - 1, ".")
    ]


def block_at(statement: Statement, at: int) -> Block:
    first = at + 1
    while statement.word(first) in _MODIFIERS:
        first += 1
    block = Block(at, first, len(statement.tokens))
    block.modifiers = frozenset(statement.word(p) for p in range(at + 1, first))
    starts: list[tuple[str, int, int]] = []
    place = first
    while place < len(statement.tokens):
        if statement.is_mark(place, "("):
            place = statement.closing(place)
            continue
        word = statement.word(place)
        if statement.is_mark(place, ")") or (word in _ENDS and not _is_part(statement, place)):
            break
        if word in _CLAUSES and _begins(statement, place, word):
            starts.append((word, place, place + (2 if word in ("GROUP", "ORDER") else 1)))
        place += 1
    block.end = place
    for number, (word, _, content) in enumerate(starts):
        end = starts[number + 1][1] if number + 1 < len(starts) else place
        if word in block.spans:
            raise BadSql(f"it has {word} twice")
        block.spans[word] = (content, end)
    block.items = tuple(statement.parts(first, starts[0][1] if starts else place))
    if block.has("FROM"):
        _read_from(statement, block)
    return block


def _is_part(statement: Statement, place: int) -> bool:
    return place > 0 and statement.is_mark(place - 1, ".")


def _begins(statement: Statement, place: int, word: str) -> bool:
    if _is_part(statement, place):
        return False
    following = statement.word(place + 1)
    if word in ("GROUP", "ORDER"):
        return following == "BY" and statement.word(place - 1) != "FOR"
    if word == "FOR":
        return following in ("UPDATE", "SHARE")
    return word != "LOCK" or following == "IN"


def _read_from(statement: Statement, block: Block) -> None:
    found: list[TableRef] = []
    joins: list[Joined] = []
    first, last = block.span("FROM")
    block.outer = outer = _has_right_or_nested_outer(statement, first, last)
    expecting, nullable, brought = True, False, 0
    place = first
    while place < last:
        token = statement.tokens[place]
        if not expecting:
            if token.word == "ON":
                end = _end_of_condition(statement, place + 1, last)
                joins.append(Joined((place + 1, end), nullable, brought))
                place = end
                continue
            if statement.is_mark(place, "("):
                place = statement.closing(place)
                continue
            if statement.is_mark(place, ",") or token.word in ("JOIN", "STRAIGHT_JOIN"):
                expecting = not _is_part(statement, place)
                nullable = _is_left(statement, place)
                brought = len(found)
            block.natural |= token.word in ("NATURAL", "USING")
            place += 1
        elif statement.is_mark(place, "("):
            if statement.word(place + 1) in ("SELECT", "WITH", "VALUES", "TABLE"):
                block.opaque = True
                place, expecting = statement.closing(place), False
            else:
                place += 1
        elif token.word == "LATERAL":
            place += 1
        elif token.is_name and statement.is_mark(place + 1, "("):
            block.opaque = True
            place, expecting = statement.closing(place + 1), False
        elif token.is_name:
            ref = _table(statement, place, outer or nullable)
            found.append(ref)
            expecting = False
            place = _behind(statement, ref)
        else:
            raise BadSql("its FROM is not understood")
    block.tables = tuple(found)
    block.joins = tuple(joins)


def _end_of_condition(statement: Statement, place: int, last: int) -> int:
    while place < last:
        if statement.is_mark(place, "("):
            place = statement.closing(place)
            continue
        joining = statement.word(place) in _JOINING and not _is_part(statement, place)
        if joining and not statement.is_mark(place + 1, "("):  # LEFT(...) is a function
            break
        if statement.is_mark(place, ",") or statement.is_mark(place, ")"):
            break
        place += 1
    return place


def _has_right_or_nested_outer(statement: Statement, first: int, last: int) -> bool:
    words = {statement.word(p) for p in range(first, last)}
    nested = any(
        statement.is_mark(p, "(")
        and statement.word(p + 1) not in ("SELECT", "WITH")
        and statement.word(p - 1) in ("FROM", "JOIN", "STRAIGHT_JOIN", "")
        for p in range(first, last)
    )
    return bool(words & {"RIGHT", "FULL"}) or (nested and "LEFT" in words)


def _is_left(statement: Statement, place: int) -> bool:
    return "LEFT" in (statement.word(place - 1), statement.word(place - 2))


def _table(statement: Statement, place: int, nullable: bool) -> TableRef:
    tokens = statement.tokens
    first, database, name = place, "", tokens[place].text
    place += 1
    if statement.is_mark(place, "."):
        database, name = name, _name_behind(statement, place)
        place += 2
    last = place
    partition = (place, place)
    if statement.word(place) == "PARTITION":
        partition = (place, statement.closing(place + 1))
        place = partition[1]
    alias, aliased = name, False
    if statement.word(place) == "AS":
        alias, aliased, place = _name_behind(statement, place), True, place + 2
    elif place < len(tokens) and _is_alias(statement, place):
        alias, aliased, place = tokens[place].text, True, place + 1
    hints = tuple(_hints(statement, place))
    return TableRef(first, last, database, name, alias, aliased, partition, hints, nullable)


def _name_behind(statement: Statement, place: int) -> str:
    """Raise BadSql where the statement ends with `.` or AS."""
    if place + 1 == len(statement.tokens):
        raise BadSql(f"nothing follows `{statement.tokens[place].text}`")
    return statement.tokens[place + 1].text


def _is_alias(statement: Statement, place: int) -> bool:
    token = statement.tokens[place]
    if token.kind is Kind.QUOTED:
        return True
    if token.kind is not Kind.WORD or token.word in _NO_ALIAS or token.word in _ENDS:
        return False
    return not (token.word in _CLAUSES and _begins(statement, place, token.word))


def _hints(statement: Statement, place: int) -> Iterator[Span]:
    while statement.word(place) in ("USE", "FORCE", "IGNORE"):
        start = place
        while not statement.is_mark(place, "("):
            place += 1
            if place >= len(statement.tokens):
                raise BadSql("its index hint is not understood")
        place = statement.closing(place)
        yield start, place


def _behind(statement: Statement, ref: TableRef) -> int:
    if ref.hints:
        return ref.hints[-1][1]
    place = max(ref.last, ref.partition[1])
    if ref.aliased:
        place += 2 if statement.word(place) == "AS" else 1
    return place


def table_statements(statement: Statement) -> Iterator[TableRef]:
    """The tables of `TABLE name`, which stands where a SELECT can stand."""
    for place, token in enumerate(statement.tokens):
        if token.word != "TABLE" or _is_part(statement, place):
            continue
        before = statement.word(place - 1) if place else ""
        opens = place == 0 or statement.is_mark(place - 1, "(") or statement.is_mark(place - 1, ")")
        if not opens and before not in ("UNION", "ALL", "DISTINCT", "EXCEPT", "INTERSECT"):
            continue
        if place + 1 < len(statement.tokens) and statement.tokens[place + 1].is_name:
            ref = _table(statement, place + 1, nullable=True)
            yield TableRef(
                ref.first, ref.last, ref.database, ref.name, ref.name, True, (0, 0), (), True
            )


def hidden_names(statement: Statement) -> list[tuple[str, int, int]]:
    """Names of common table expressions, each with the places from and to which it holds."""
    found = []
    for place, token in enumerate(statement.tokens):
        if token.word != "WITH" or _is_part(statement, place):
            continue
        recursive = statement.word(place + 1) == "RECURSIVE"
        at = place + 2 if recursive else place + 1
        end = _end_of_query(statement, place)
        while at < end and statement.tokens[at].is_name:
            name = statement.tokens[at].text
            at += 1
            if statement.is_mark(at, "("):
                at = statement.closing(at)
            if statement.word(at) != "AS":
                break
            body = at + 1
            at = statement.closing(body)
            found.append((name, body if recursive else at, end))
            if not statement.is_mark(at, ","):
                break
            at += 1
    return found


def _end_of_query(statement: Statement, place: int) -> int:
    while place < len(statement.tokens):
        if statement.is_mark(place, "("):
            place = statement.closing(place)
        elif statement.is_mark(place, ")"):
            return place
        else:
            place += 1
    return place
