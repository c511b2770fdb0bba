"""Which conditions of a SELECT go to the shards with the pull of one of its tables.

A condition goes along if it stands, joined by AND to the rest, in WHERE or in the ON of a join that
drops the rows otherwise, and compares columns of that one table with literals. Rows that fail it
cannot be in the answer, unless the table is on the inner side of an outer join: there a row that is
not found is an answer too, so only the ON of that join counts. An equality of columns of two tables
that stands in such a place lets one be looked up by the values of the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mitosis_gate.planner.layout import Place
from mitosis_gate.planner.lexer import Kind
from mitosis_gate.planner.outline import Block, TableRef
from mitosis_gate.planner.pulling import base_type
from mitosis_gate.planner.rewrite import Template, copied
from mitosis_gate.planner.schema import Column
from mitosis_gate.planner.statement import Span, Statement

_MARKS = frozenset({"=", "<=>", "<", ">", "<=", ">=", "<>", "!=", "(", ")", ",", "-", "+"})
_WORDS = frozenset(
    {"IN", "BETWEEN", "AND", "OR", "NOT", "LIKE", "IS", "NULL", "TRUE", "FALSE", "ESCAPE"}
)
_TYPED = frozenset({"DATE", "TIME", "TIMESTAMP"})
_OPENING = frozenset({"IN", "AND", "OR", "NOT"})
_WHOLE = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
_SAME_TEXT = frozenset({"char", "varchar", "date", "datetime", "decimal", "binary", "varbinary"})


@dataclass(eq=False, slots=True)
class Scope:
    """A SELECT and the tables of the keyspace that its FROM names."""

    block: Block
    named: list["Named"] = field(default_factory=list)
    opaque: bool = False
    """It also names something whose columns are not known."""
    parent: "Scope | None" = None
    """The SELECT whose columns it can use too."""

    def __post_init__(self) -> None:
        self.opaque = self.block.opaque


@dataclass(eq=False, slots=True)
class Named:
    """A place in a statement that names a table."""

    ref: TableRef
    place: Place
    scope: Scope | None
    """None: it stands in no FROM but in `TABLE name`."""
    number: int
    """Index in the tables of the FROM."""

    def column(self, name: str) -> Column | None:
        return self.place.table.column(name)


def conditions_on(statement: Statement, one: Named) -> list[Template]:
    """Conditions on columns of this one table, as the statement has them."""
    return [
        copied(statement, *span) for span in _spans(statement, one) if _only(statement, span, one)
    ]


def _spans(statement: Statement, one: Named) -> Iterator[Span]:
    if one.scope is None or one.scope.block.outer:
        return
    block = one.scope.block
    if not one.ref.nullable and block.has("WHERE"):
        yield from conjuncts(statement, *block.span("WHERE"))
    for join in block.joins:
        if not join.left and not one.ref.nullable:
            yield from conjuncts(statement, *join.span)
        elif join.left and one.number >= join.table and _brought(block, join.table) == 1:
            if one.number == join.table:
                yield from conjuncts(statement, *join.span)


def _brought(block: Block, first: int) -> int:
    """How many tables the join brings whose first is `first`."""
    later = [join.table for join in block.joins if join.table > first]
    return (min(later) if later else len(block.tables)) - first


def conjuncts(statement: Statement, first: int, last: int) -> Iterator[Span]:
    """The parts that AND joins; the whole when OR or XOR joins it."""
    if first < last and statement.is_mark(first, "(") and statement.closing(first) == last:
        yield from conjuncts(statement, first + 1, last - 1)
        return
    depth, between, start = 0, 0, first
    found: list[Span] = []
    for place in range(first, last):
        token = statement.tokens[place]
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind is Kind.MARK else 0
        depth += {"CASE": 1, "END": -1}.get(token.word, 0)
        if depth:
            continue
        if token.word in ("OR", "XOR") or token.text == "||":
            yield first, last
            return
        if token.word == "BETWEEN":
            between += 1
        elif token.word == "AND" or token.text == "&&":
            if between and token.word == "AND":
                between -= 1
                continue
            found.append((start, place))
            start = place + 1
    found.append((start, last))
    for span in found:
        if len(found) > 1 and statement.is_mark(span[0], "("):
            yield from conjuncts(statement, *span)
        else:
            yield span


def _only(statement: Statement, span: Span, one: Named) -> bool:
    place, last = span
    columns = 0
    while place < last:
        token = statement.tokens[place]
        operand = _operand(statement, place, last)
        if operand and (len(operand) > 1 or _resolved(operand, one.scope) is not None):
            if _resolved(operand, one.scope) is not one:
                return False
            columns += 1
            place += 2 * len(operand) - 1
            continue
        if token.kind is Kind.WORD:
            call = statement.is_mark(place + 1, "(")
            typed = token.word in _TYPED and statement.tokens[place + 1].kind is Kind.LITERAL
            if not typed and (token.word not in _WORDS or (call and token.word not in _OPENING)):
                return False
        elif token.kind is Kind.MARK:
            if token.text not in _MARKS:
                return False
        elif token.kind is not Kind.LITERAL:
            return False
        place += 1
    return columns > 0


def _operand(statement: Statement, place: int, last: int) -> tuple[str, ...]:
    """The parts of the name that begins at `place`: column, or table and column."""
    tokens = statement.tokens
    if place >= last or not tokens[place].is_name:
        return ()
    names = [tokens[place].text]
    while place + 2 < last + 1 and statement.is_mark(place + 1, "."):
        if place + 2 >= len(tokens) or not tokens[place + 2].is_name:
            return ()
        names.append(tokens[place + 2].text)
        place += 2
    if statement.is_mark(place + 1, "(") and place + 1 < last and tokens[place].kind is Kind.WORD:
        return ()
    return tuple(names)


def _resolved(names: tuple[str, ...], scope: Scope | None) -> Named | None:
    """The table that a column surely belongs to, in this SELECT itself."""
    if scope is None:
        return None
    if len(names) == 1:
        if scope.opaque:
            return None
        having = [one for one in scope.named if one.column(names[0])]
        return having[0] if len(having) == 1 else None
    if len(names) != 2:
        return None
    called = [one for one in scope.named if one.ref.alias == names[0]]
    sure = len(called) == 1 and called[0].column(names[1])
    return called[0] if sure else None


def equal_columns(
    statement: Statement, named: Sequence[Named]
) -> Iterator[tuple[Named, str, Named, str]]:
    """Yield (table, column, other, its column): only rows of `table` matter whose column equals
    that of some row of the other."""
    scopes = {id(one.scope): one.scope for one in named if one.scope is not None}
    for scope in scopes.values():
        block = scope.block
        if block.outer:
            continue
        if block.has("WHERE"):
            for span in conjuncts(statement, *block.span("WHERE")):
                yield from _pairs(statement, span, scope, None)
        for join in block.joins:
            for span in conjuncts(statement, *join.span):
                only = join.table if join.left else None
                if only is None or _brought(block, only) == 1:
                    yield from _pairs(statement, span, scope, only)


def _pairs(
    statement: Statement, span: Span, scope: Scope, only: int | None
) -> Iterator[tuple[Named, str, Named, str]]:
    """`only`: the equality binds just the table of that number, in the ON of a LEFT JOIN."""
    sides = _sides(statement, span)
    if sides is None:
        return
    for mine, other in (sides, sides[::-1]):
        one = _resolved(mine, scope)
        by = _resolved(other, scope) or _outer(other, scope)
        if one is None or by is None or one is by:
            continue
        bound = one.number == only if only is not None else not one.ref.nullable
        backwards = only is None and by.scope is scope and by.ref.nullable
        if bound and not backwards and _comparable(one.column(mine[-1]), by.column(other[-1])):
            yield one, mine[-1], by, other[-1]


def _outer(names: tuple[str, ...], scope: Scope) -> Named | None:
    """The table of a SELECT around it, for a name that says its table."""
    if (
        len(names) != 2
        or any(t.alias == names[0] for t in scope.block.tables)
        or scope.block.opaque
    ):
        return None
    while scope.parent is not None:
        scope = scope.parent
        if any(t.alias == names[0] for t in scope.block.tables):
            return _resolved(names, scope)
        if scope.block.opaque:
            return None
    return None


def _sides(statement: Statement, span: Span) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    first, last = span
    left = _operand(statement, first, last)
    middle = first + 2 * len(left) - 1
    if not left or not statement.is_mark(middle, "="):
        return None
    right = _operand(statement, middle + 1, last)
    if not right or middle + 2 * len(right) != last:
        return None
    return left, right


def _comparable(one: Column | None, other: Column | None) -> bool:
    """Whether a value of the one, written as a literal, is compared like the column itself."""
    if one is None or other is None:
        return False
    kinds = base_type(one), base_type(other)
    if kinds[0] in _WHOLE and kinds[1] in _WHOLE:
        return True
    return kinds[0] in _SAME_TEXT and one.type == other.type and one.collation == other.collation
