"""The frame of INSERT and REPLACE: table, columns, rows or query, and what follows them.

Read from the tokens, because sqlglot does not know all of its forms and is slow for many rows.
"""

from dataclasses import dataclass, field

from mitosis_gate.planner.lexer import BadSql
from mitosis_gate.planner.statement import Span, Statement


@dataclass(slots=True)
class Insert:
    """The frame of a statement; places are indexes of its tokens."""

    database: str
    table: str
    columns: list[str] | None = None
    rows: list[list[Span]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    """The whole of each row, parentheses included; the assignments of SET."""
    is_set: bool = False
    target_end: int = 0
    """The place behind the table and its partitions."""
    columns_end: int = -1
    """The place of the `)` behind the list of columns; -1: there is no list."""
    rows_end: int = 0
    """Where rows or query end, and ON DUPLICATE KEY UPDATE or nothing follows."""
    query: Span | None = None
    updated: list[str] = field(default_factory=list)
    """Columns that ON DUPLICATE KEY UPDATE assigns."""


_MODIFIERS = frozenset({"LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"})
_QUERY_WORDS = frozenset({"SELECT", "WITH", "TABLE"})


class _Reader:
    """Walks over the tokens of one INSERT."""

    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self._tokens = statement.tokens
        self._at = 1

    def read(self) -> Insert:
        """Raise BadSql when the frame is not that of an INSERT or REPLACE."""
        while self._word() in _MODIFIERS:
            self._at += 1
        insert = self._target()
        if self._word() == "PARTITION":
            self._at += 1
            self._closing()
        insert.target_end = self._at
        if self._mark("(") and not self._query_ahead():
            insert.columns = self._names()
            insert.columns_end = self._at - 1
        self._source(insert)
        self._tail(insert)
        return insert

    def _target(self) -> Insert:
        name = self._name()
        if not self._mark("."):
            return Insert(self._statement.database, name)
        self._at += 1
        return Insert(name, self._name())

    def _source(self, insert: Insert) -> None:
        word = self._word()
        if word in ("VALUES", "VALUE"):
            self._at += 1
            insert.rows = self._rows(insert.spans)
        elif word == "SET":
            self._at += 1
            self._assignments(insert)
        elif word in _QUERY_WORDS or self._mark("("):
            end = self._tail_start()
            insert.query = (self._at, end)
            self._at = end
        else:
            raise BadSql("VALUES, SET or SELECT is missing")
        insert.rows_end = self._at

    def _rows(self, spans: list[Span]) -> list[list[Span]]:
        rows = []
        while True:
            begin = self._at
            if self._word() == "ROW":
                self._at += 1
            start = self._at
            end = self._closing()
            rows.append(list(self._statement.parts(start + 1, end - 1)))
            ends_with_comma = rows[-1] and self._statement.is_mark(end - 2, ",")
            if ends_with_comma or any(first == last for first, last in rows[-1]):
                raise BadSql("a value is missing")
            spans.append((begin, end))
            if not self._mark(","):
                return rows
            self._at += 1

    def _assignments(self, insert: Insert) -> None:
        """`SET a = 1, b = 2`: one row."""
        end = self._tail_start()
        insert.is_set = True
        insert.spans = [(self._at, end)]
        insert.columns, row = [], []
        for first, last in self._statement.parts(self._at, end):
            name, value = self._assignment(first, last)
            insert.columns.append(name)
            row.append((value, last))
        insert.rows = [row]
        self._at = end

    def _tail(self, insert: Insert) -> None:
        if self._word() == "AS":
            self._at += 1
            self._name()
            if self._mark("("):
                self._closing()
        if self._word() == "ON":
            self._at += 4  # ON DUPLICATE KEY UPDATE
            for first, last in self._statement.parts(self._at, len(self._tokens)):
                insert.updated.append(self._assignment(first, last)[0])
            self._at = len(self._tokens)
        if self._at != len(self._tokens):
            raise BadSql("something follows that is not understood")

    def _assignment(self, first: int, last: int) -> tuple[str, int]:
        """The column, without its table, and where the value begins."""
        place = first
        while place + 1 < last and self._statement.is_mark(place + 1, "."):
            place += 2
        if place >= last or not self._tokens[place].is_name:
            raise BadSql("a column name is missing")
        if not (
            self._statement.is_mark(place + 1, "=") or self._statement.is_mark(place + 1, ":=")
        ):
            raise BadSql("`=` is missing")
        return self._tokens[place].text, place + 2

    def _names(self) -> list[str]:
        start = self._at
        end = self._closing()
        names = []
        for _, last in self._statement.parts(start + 1, end - 1):
            if not self._tokens[last - 1].is_name:
                raise BadSql("the list of columns is not understood")
            names.append(self._tokens[last - 1].text)
        return names

    def _closing(self) -> int:
        """Step over a pair of parentheses; return the place behind it."""
        self._at = self._statement.closing(self._at)
        return self._at

    def _query_ahead(self) -> bool:
        place = self._at
        while self._statement.is_mark(place, "("):
            place += 1
        return self._statement.word(place) in _QUERY_WORDS

    def _tail_start(self) -> int:
        """Where ON DUPLICATE KEY UPDATE begins, or the end."""
        for place in range(self._at, len(self._tokens)):
            words = (self._statement.word(place), self._statement.word(place + 1))
            if words == ("ON", "DUPLICATE"):
                return place
            if words[0] == "AS" and self._statement.word(place + 2) == "ON":
                return place
        return len(self._tokens)

    def _name(self) -> str:
        if self._at >= len(self._tokens) or not self._tokens[self._at].is_name:
            raise BadSql("the name of the table is missing")
        self._at += 1
        return self._tokens[self._at - 1].text

    def _word(self) -> str:
        return self._statement.word(self._at)

    def _mark(self, text: str) -> bool:
        return self._statement.is_mark(self._at, text)


def read_insert(statement: Statement) -> Insert:
    """Raise BadSql when the frame is not that of an INSERT or REPLACE."""
    return _Reader(statement).read()
