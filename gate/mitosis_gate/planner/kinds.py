"""How the values of an expression can be brought into order outside of MySQL.

Numbers come as they are. Dates and times, ENUM, SET and BIT are asked for as numbers, TIMESTAMP as
the moment it stands for. Text is asked for as WEIGHT_STRING(), whose bytes have the order of the
collation; under a collation that pads with spaces it is filled up to the length of the column, so
that `'a'` and `'a '` are equal. FLOAT is asked for as DOUBLE, because its text has six digits only.
What is not known here for certain (JSON, geometry, text of which the collation is not seen) cannot
be merged and is left to MySQL.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from mitosis_gate.planner.lexer import BadSql, Kind, Token
from mitosis_gate.planner.parse import tree_of
from mitosis_gate.planner.plan import Compare
from mitosis_gate.planner.pulling import base_type
from mitosis_gate.planner.schema import Column
from mitosis_gate.planner.statement import Span, Statement


@dataclass(frozen=True, slots=True)
class Form:
    """SQL around an expression that makes it a sort key."""

    compare: Compare
    before: bytes = b""
    after: bytes = b""
    longest: int = 0
    """Characters of a text whose length is known; 0: numbers, or not known."""

    @property
    def is_plain(self) -> bool:
        """The value itself is the key."""
        return not self.before


_RAW = Form(Compare.NUMBER)
_AS_NUMBER = Form(Compare.NUMBER, b"(", b")+0")
_AS_DOUBLE = Form(Compare.NUMBER, b"(", b")+0e0")
_MOMENT = Form(Compare.NUMBER, b"UNIX_TIMESTAMP(", b")")
_BINARY = Form(Compare.BYTES)
_FORMS = {
    **dict.fromkeys("tinyint smallint mediumint int bigint decimal".split(), _RAW),
    **dict.fromkeys("year bit enum set time date datetime".split(), _AS_NUMBER),
    **dict.fromkeys("float double".split(), _AS_DOUBLE),
    **dict.fromkeys("binary varbinary tinyblob blob mediumblob longblob".split(), _BINARY),
    "timestamp": _MOMENT,
}
_TEXTS = frozenset("char varchar tinytext text mediumtext longtext".split())
_LENGTH = re.compile(r"\((\d+)\)")
_LONGEST_PADDED = 255

_NUMERIC_CALLS = frozenset(
    "YEAR MONTH DAY DAYOFMONTH DAYOFWEEK DAYOFYEAR WEEKDAY HOUR MINUTE SECOND WEEK WEEKOFYEAR "
    "QUARTER YEARWEEK TO_DAYS TO_SECONDS UNIX_TIMESTAMP LENGTH CHAR_LENGTH OCTET_LENGTH "
    "BIT_LENGTH ABS SIGN FLOOR CEIL CEILING ROUND SQRT CRC32 DATEDIFF ISNULL LOCATE INSTR FIELD "
    "FIND_IN_SET ASCII ORD COUNT SUM AVG BIT_AND BIT_OR BIT_XOR".split()
)
_WITH_CASE = frozenset({"UPPER", "LOWER", "UCASE", "LCASE"})
_PREDICATES = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.And, exp.Or, exp.Not, exp.Is, exp.In,
    exp.Between, exp.Like, exp.NullSafeEQ,
)  # fmt: skip
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.IntDiv)

Resolve = Callable[[tuple[str, ...]], Column | None]
"""From the parts of a name to the column it surely means."""


def form_of_column(column: Column) -> Form | None:
    base = base_type(column)
    if base in _TEXTS and column.collation:
        found = _LENGTH.search(column.type)
        length = int(found[1]) if found else 0
        if not column.pad_space:
            return Form(Compare.BYTES, b"WEIGHT_STRING(", b")", length)
        if 0 < length <= _LONGEST_PADDED:
            return Form(Compare.BYTES, b"WEIGHT_STRING(", b" AS CHAR(%d))" % length, length)
        return None
    return _FORMS.get(base)


def name_of(statement: Statement, span: Span) -> tuple[str, ...]:
    """The parts of a name, when the tokens are nothing else."""
    first, last = span
    tokens = statement.tokens[first:last]
    if len(tokens) % 2 == 0 or not all(t.is_name for t in tokens[::2]):
        return ()
    if any(t.text != "." or t.kind is not Kind.MARK for t in tokens[1::2]):
        return ()
    return tuple(t.text for t in tokens[::2])


def call_of(statement: Statement, span: Span) -> tuple[str, Span]:
    """Name and arguments of a function, when the tokens are nothing else."""
    first, last = span
    if last - first >= 3 and statement.word(first) and statement.is_mark(first + 1, "("):
        if statement.closing(first + 1) == last:
            return statement.word(first), (first + 2, last - 1)
    return "", (first, first)


def form_of(statement: Statement, span: Span, resolve: Resolve) -> Form | None:
    """How to make a sort key of the expression in `span`; None when that is not certain."""
    names = name_of(statement, span)
    if names:
        column = resolve(names)
        return form_of_column(column) if column else None
    function, inner = call_of(statement, span)
    if function in _NUMERIC_CALLS:
        return _RAW
    if function == "DATE":
        return _AS_NUMBER
    if function in ("MIN", "MAX"):
        return form_of_extreme(statement, inner, resolve)
    if function in _WITH_CASE:
        form = form_of(statement, inner, resolve) if name_of(statement, inner) else None
        is_text = form is not None and form.before.startswith(b"WEIGHT") and form.after == b")"
        return form if is_text else None
    return _RAW if _is_number(_tree(statement, span), resolve) else None


def form_of_extreme(statement: Statement, inner: Span, resolve: Resolve) -> Form | None:
    """The form of MIN() or MAX(). Those of ENUM and SET compare as text, not by number."""
    names = name_of(statement, inner)
    if not names:
        return _RAW if _is_number(_tree(statement, inner), resolve) else None
    column = resolve(names)
    if column is None or base_type(column) in ("enum", "set", "timestamp", "bit", "year"):
        return None
    return form_of_column(column)


def is_number(statement: Statement, span: Span, resolve: Resolve) -> bool:
    """Whether the value is a number for certain."""
    form = form_of(statement, span, resolve)
    return form is not None and form is _RAW


def _tree(statement: Statement, span: Span) -> exp.Expr | None:
    select = Token(Kind.WORD, "SELECT", word="SELECT")
    try:
        tree = tree_of((select, *statement.tokens[span[0] : span[1]]), statement.literals)
    except BadSql:
        return None
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1:
        return None
    node = tree.expressions[0]
    return node if isinstance(node, exp.Expr) else None


def _is_number(node: exp.Expr | None, resolve: Resolve) -> bool:
    if node is None:
        return False
    if isinstance(node, exp.Paren | exp.Neg):
        return _is_number(node.this, resolve)
    if isinstance(node, _ARITHMETIC):  # of a text as well it makes a number
        sides = (node.this, node.expression)
        return all(isinstance(s, exp.Literal) or _is_number(s, resolve) for s in sides)
    if isinstance(node, _PREDICATES):
        return not any(isinstance(n, exp.Query) for n in node.walk())
    if isinstance(node, exp.Coalesce):
        return all(_is_number(part, resolve) for part in (node.this, *node.expressions))
    if isinstance(node, exp.Count | exp.Sum | exp.Avg):
        return True
    if isinstance(node, exp.Column) and not node.args.get("catalog"):
        names = (node.table, node.name) if node.table else (node.name,)
        column = resolve(names)
        numeric = (_RAW, _AS_DOUBLE)
        return column is not None and form_of_column(column) in numeric
    return False
