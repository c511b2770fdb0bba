"""One statement on its way to a rule: its shape and tokens, and the session's variant."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mitosis_gate.planner.layout import Layout
from mitosis_gate.planner.lexer import BadSql, Kind, Token
from mitosis_gate.planner.plan import Variant

Span = tuple[int, int]
"""Tokens of a statement: from, to (not included)."""


@dataclass(frozen=True, slots=True)
class Statement:
    sql: bytes
    tokens: tuple[Token, ...]
    literals: tuple[bytes, ...]
    layout: Layout
    variant: Variant

    @property
    def database(self) -> str:
        """The database of names that do not say theirs."""
        return self.variant.database or self.layout.keyspace

    @property
    def words(self) -> tuple[str, ...]:
        """The first keywords, in upper case; shorter than four when other tokens come earlier."""
        return tuple(t.word for t in self.tokens[:4])

    def starting(self, place: int) -> "Statement":
        """The statement inside, from a token on."""
        return replace(self, tokens=self.tokens[place:])

    @property
    def literals_before(self) -> int:
        """How many literals stand before the first token: those of EXPLAIN, for example."""
        return min((t.slot for t in self.tokens if t.slot >= 0), default=len(self.literals))

    def text(self, first: int, last: int) -> bytes:
        """The bytes from token `first` to before token `last`."""
        if first >= last:
            return b""
        return self.sql[self.tokens[first].start : self.tokens[last - 1].end]

    def is_mark(self, place: int, text: str) -> bool:
        if place >= len(self.tokens):
            return False
        token = self.tokens[place]
        return token.kind is Kind.MARK and token.text == text

    def word(self, place: int) -> str:
        return self.tokens[place].word if place < len(self.tokens) else ""

    def parts(self, first: int, last: int) -> Iterator[Span]:
        """What stands between commas that are in no parentheses; nothing for no tokens."""
        depth, start = 0, first
        for place in range(first, last):
            token = self.tokens[place]
            if token.kind is Kind.MARK:
                depth += {"(": 1, ")": -1}.get(token.text, 0)
                if token.text == "," and depth == 0:
                    yield start, place
                    start = place + 1
        if start < last:
            yield start, last

    def closing(self, at: int) -> int:
        """The place behind the parenthesis that closes the one at `at`; BadSql without one."""
        if not self.is_mark(at, "("):
            raise BadSql("`(` is missing")
        depth = 0
        for place in range(at, len(self.tokens)):
            token = self.tokens[place]
            if token.kind is Kind.MARK:
                depth += {"(": 1, ")": -1}.get(token.text, 0)
                if depth == 0:
                    return place + 1
        raise BadSql("`)` is missing")
