"""The warnings that several servers have about one statement, as one server would tell them; pure.

A warning about a row is told by the server that has the row. What is about the statement itself is
told by each of them, and counts once: deprecated words, and literals that are no number where one
is compared with numbers, which a server converts once and not for each row.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from mitosis_gate.executor import merge
from mitosis_gate.planner.lexer import BadSql, Kind, Token, items_of, shape_of, tokens_of, unquoted

Told = tuple[bytes, int, str]
"""Level, code and text of a warning, as SHOW WARNINGS gives them."""

_TRUNCATED = 1292
_VALUE = re.compile(r": '(.*)'\Z", re.DOTALL)
_COMPARES = frozenset({"=", "<", ">", "<=", ">=", "<>", "!=", "<=>"})
_QUOTES = (b"'", b'"')
_LONGEST = 1 << 16
"""Of a statement whose literals are looked for."""


def told(row: Sequence[bytes | None]) -> Told:
    """A row of SHOW WARNINGS."""
    level, code, text = (value or b"" for value in row)
    return level, int(code), text.decode(errors="replace")


class Warned:
    """For one statement: fed with the warnings of one server after the other."""

    def __init__(self, sql: bytes) -> None:
        self._sql = sql
        self._compared: Counter[str] | None = None
        self._before: Counter[Told] = Counter()

    def new(self, told: Sequence[Told]) -> list[Told]:
        """Those that no server has told before."""
        once = self._told_once(told)
        skipped = once & self._before
        self._before |= once
        kept = []
        for warning in told:
            if skipped[warning]:
                skipped[warning] -= 1
            else:
                kept.append(warning)
        return kept

    def _told_once(self, told: Sequence[Told]) -> Counter[Told]:
        """How many of each warning are about the statement."""
        once: Counter[Told] = Counter()
        for warning, count in Counter(told).items():
            _, code, text = warning
            if code in merge.ABOUT_TEXT:
                once[warning] = count
            elif code == _TRUNCATED and (value := _VALUE.search(text)):
                once[warning] = min(count, self._literals()[value[1]])
        return once

    def _literals(self) -> Counter[str]:
        if self._compared is None:
            self._compared = Counter(_compared(self._sql))
        return self._compared


def _compared(sql: bytes) -> Iterator[str]:
    """The texts that a statement compares with something, each as often as it does."""
    if len(sql) > _LONGEST:
        return
    try:
        shape = shape_of(sql)
        tokens = tokens_of(shape)
    except BadSql:
        return
    for place, token in enumerate(tokens):
        if token.kind is Kind.LITERAL and _is_compared(tokens, place):
            for item in items_of(shape.literals[token.slot]):
                if item[:1] in _QUOTES:
                    yield unquoted(item).decode(errors="replace")


def _is_compared(tokens: Sequence[Token], place: int) -> bool:
    around = tokens[max(place - 1, 0) : place + 2]
    if any(token.kind is Kind.MARK and token.text in _COMPARES for token in around):
        return True
    return place > 1 and tokens[place - 1].text == "(" and tokens[place - 2].word == "IN"
