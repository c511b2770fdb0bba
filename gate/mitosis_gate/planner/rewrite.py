"""Texts made of a client's statement: splices into its bytes, once for a shape.

A template keeps the bytes of the shape and the numbers of its literals. What a client puts into a
literal is copied, quotes included, to where a literal of the shape stands, and the shape's own
lexer decided where that literal ends: so no value can become anything but the literal it was.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from mitosis_gate.planner.lexer import BadSql, Kind, Token
from mitosis_gate.planner.pins import Literal
from mitosis_gate.planner.statement import Statement

Template = tuple[bytes | int, ...]
"""Bytes to send as they are; a number stands for the literal of that slot."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Put `text` in the place of the statement's bytes from `start` to `end`; just before `start`
    when both are the same. Neither may lie inside a literal."""

    start: int
    end: int
    text: Template = ()


def insertion(at: int, text: bytes | Template) -> Edit:
    return Edit(at, at, (text,) if isinstance(text, bytes) else text)


def replacement(statement: Statement, first: int, last: int, text: bytes | Template) -> Edit:
    """Put `text` in the place of the tokens from `first` to before `last`, at least one."""
    tokens = statement.tokens
    return Edit(
        tokens[first].start,
        tokens[last - 1].end,
        (text,) if isinstance(text, bytes) else text,
    )


def copied(statement: Statement, first: int, last: int, edits: Iterable[Edit] = ()) -> Template:
    """The text of the tokens from `first` to before `last`, with `edits` that lie in it."""
    if first >= last:
        return ()
    tokens = statement.tokens
    return _spliced(statement, tokens[first].start, tokens[last - 1].end, edits)


def cut(statement: Statement, first: int, last: int) -> Template:
    """As `copied` without edits, in time that grows with the tokens asked for: rows are many."""
    if first >= last:
        return ()
    sql = statement.sql
    pieces: list[bytes | int] = []
    at = statement.tokens[first].start
    for token in statement.tokens[first:last]:
        if token.kind is Kind.LITERAL:
            pieces.append(sql[at : token.start])
            pieces.append(token.slot)
            at = token.end
    pieces.append(sql[at : statement.tokens[last - 1].end])
    return joined(pieces)


def edited(statement: Statement, edits: Iterable[Edit]) -> Template:
    """The whole statement with `edits`, in any order; BadSql when they overlap."""
    return _spliced(statement, 0, statement.tokens[-1].end, edits)


def _spliced(statement: Statement, start: int, end: int, edits: Iterable[Edit]) -> Template:
    literals = [
        token
        for token in statement.tokens
        if token.kind is Kind.LITERAL and start <= token.start and token.end <= end
    ]
    literals.reverse()
    pieces: list[bytes | int] = []
    at = start
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        if edit.start < at or edit.end > end:
            raise BadSql("what would have to be rewritten overlaps")
        pieces.extend(_between(statement, at, edit.start, literals))
        pieces.extend(edit.text)
        at = edit.end
    pieces.extend(_between(statement, at, end, literals))
    return joined(pieces)


def _between(
    statement: Statement, start: int, end: int, literals: list[Token]
) -> Iterable[bytes | int]:
    """The bytes from `start` to `end`; takes the literals up to there from the end of the list."""
    at = start
    while literals and literals[-1].start < end:
        token = literals.pop()
        if token.start >= start:
            yield statement.sql[at : token.start]
            yield token.slot
            at = token.end
    yield statement.sql[at:end]


def joined(pieces: Iterable[bytes | int]) -> Template:
    """The same template with neighbouring bytes put together."""
    found: list[bytes | int] = []
    for is_text, group in groupby(pieces, key=lambda piece: isinstance(piece, bytes)):
        if is_text:
            found.append(b"".join(piece for piece in group if isinstance(piece, bytes)))
        else:
            found.extend(group)
    return tuple(piece for piece in found if piece != b"")


def render(template: Template, literals: Sequence[Literal]) -> bytes:
    """The text with these literals; a parameter that is not a literal yet stays a `?`."""
    if len(template) == 1 and isinstance(template[0], bytes):
        return template[0]
    return b"".join(
        piece if isinstance(piece, bytes) else _written(literals[piece]) for piece in template
    )


def _written(literal: Literal) -> bytes:
    return literal if isinstance(literal, bytes) else b"?"
