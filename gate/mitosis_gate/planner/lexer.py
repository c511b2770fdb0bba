"""The words and literals of a statement, as MySQL reads them in its default SQL mode.

One expression, SHAPE, is the only judge of where a literal or a comment begins and ends, for the
cached way as well as for the slow one. It works on bytes and needs a character set in which no byte
below 0x80 is part of a longer character; others are refused before they reach this module. The
SQL modes that change the rules (ANSI_QUOTES, NO_BACKSLASH_ESCAPES) are refused in SET.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

_NAME = rb"[\w$\x80-\xff]"
_NUMBER = rb"(?:0x[0-9A-Fa-f]++|(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?\d++)?+)(?![\w$.\x80-\xff])"
_STRING = rb"""(?:[xXbBnN]?'(?:[^'\\]|\\.|'')*+'|"(?:[^"\\]|\\.|"")*+")"""
_COMMENT = rb"--(?=[\x00-\x20\x7f])[^\n\x00]*+|#[^\n\x00]*+|/\*(?!!)(?:(?!\*/).)*+\*/"
_TEXT = (
    rb"(?:(?![xXbBnN]')[A-Za-z_$@\x80-\xff][\w$@.\x80-\xff]*+"  # names, also dotted, and @variables
    rb"|[^'\"`\w$@.\x80-\xff\-/#?\x00]++"
    rb"|`[^`]*+`"
    rb"|-(?!-[\x00-\x20\x7f])"  # of `--- x` only the first is an operator
    rb"|/(?!\*)|/\*!\d*+"  # what is inside an executable comment is code
    rb"|\.(?!\d)|" + _COMMENT + rb"|(?!" + _NUMBER + rb")\d++"  # names such as 1a and 1a.5
    rb"(?:[A-Za-z_$\x80-\xff][\w$.\x80-\xff]*+)?+"
    rb")*+"
)
_PLAIN = rb"(?:" + _NUMBER + rb"|" + _STRING + rb")"
_SEVERAL = _PLAIN + rb"(?:\s*+,\s*+" + _PLAIN + rb")*+"
_LIST = (
    rb"(?<=\()(?:"
    rb"(?:(?<=[^\w$@.\x80-\xff][iI][nN] \()|(?<=[^\w$@.\x80-\xff][iI][nN]\())"
    + _SEVERAL + rb"(?=\s*+\))"
    rb"|(?:(?<=[^\w$@.\x80-\xff][iI][nN] \(\()|(?<=[^\w$@.\x80-\xff][iI][nN]\(\())"
    + _SEVERAL + rb"(?:\s*+\)\s*+,\s*+\(\s*+" + _SEVERAL + rb")*+(?=\s*+\)\s*+\))"
    rb")"
)  # fmt: skip
"""All literals of `IN (1, 2)`, or of `IN ((1, 2), (3, 4))`, as one: their number makes no shape."""
_SHAPE = re.compile(
    rb"(" + _TEXT + rb")(" + _LIST + rb"|" + _NUMBER + rb"|" + _STRING + rb"|\?|.+)", re.DOTALL
)
_ITEM = re.compile(_PLAIN, re.DOTALL)

END = b"\x00"
"""Put behind a statement, so that each text is followed by something."""
split = _SHAPE.split
"""`split(sql + END)` gives `'', text, literal, '', text, literal, ..., ''`: see `Shape`.

The last literal is END itself; anything longer is what no rule matched, such as a quote that is
never closed.
"""
MAX_LITERALS = 2_000_000
"""Of one statement, the second argument of `split`: cutting more would take seconds."""


def items_of(literal: bytes) -> list[bytes]:
    """The literals of a list, row by row."""
    return _ITEM.findall(literal)


@dataclass(frozen=True, slots=True)
class Shape:
    """A statement cut into what must be equal for two statements to share a plan, and the rest."""

    texts: tuple[bytes, ...]
    """One more than there are literals: `texts[i]` stands before `literals[i]`."""
    literals: list[bytes]


class BadSql(ValueError):
    """MySQL would not read it either, or reads it in a way that this lexer does not know."""


def shape_of(sql: bytes) -> Shape:
    parts = split(sql + END, MAX_LITERALS)
    if len(parts) > 3 * MAX_LITERALS:
        raise BadSql(f"it has more than {MAX_LITERALS} values; send it in parts")
    texts, rest = tuple(parts[1::3]), parts[-2]
    if b"*/*" in sql and _may_end_in_a_star(texts, rest):
        raise BadSql("a `*` follows `*/` in a statement with `/*!`: put a space between them")
    if rest != END:
        raise BadSql("a quote, a name in backticks or a comment is not closed, or a byte is zero")
    return Shape(texts, parts[2:-2:3])


def _may_end_in_a_star(texts: Sequence[bytes], rest: bytes) -> bool:
    """Whether the `/*` of `*/*` may be none: MySQL ends an executed comment (`/*! */`) with the
    first `*/`, which is not known here. `rest`: a comment that is not closed, maybe."""
    is_open = rest.startswith(b"/*") and texts[-1].endswith(b"*")
    return any(b"/*!" in t for t in texts) and (is_open or any(b"*/*" in t for t in texts))


class Kind(IntEnum):
    WORD = 1
    """A name or keyword without quotes."""
    QUOTED = 2
    """A name in backticks, `text` without them."""
    LITERAL = 3
    """`slot` is its place in `Shape.literals`."""
    VARIABLE = 4
    """`@name` or `@@name`, with the signs; just `@` when a quoted name follows."""
    MARK = 5
    """Punctuation and operators."""


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str
    slot: int = -1
    start: int = 0
    """Offset in the statement; `end` is behind the last byte."""
    end: int = 0
    word: str = ""
    """The keyword in upper case; empty for anything but a WORD."""

    @property
    def is_name(self) -> bool:
        return self.kind is Kind.WORD or self.kind is Kind.QUOTED


_TOKEN = re.compile(
    rb"(?P<space>[\x00-\x20]+|" + _COMMENT + rb")|(?P<open>/\*!\d*)|(?P<close>\*/)"
    rb"|(?P<variable>@@?[\w$.\x80-\xff]*)|(?P<word>" + _NAME + rb"+)"
    rb"|`(?P<quoted>[^`]*(?:``[^`]*)*)`"
    rb"|(?P<mark>:=|<=>|<<|>>|<=|>=|<>|!=|\|\||&&|->>|->|.)",
    re.DOTALL,
)
MAX_TOKENS = 400_000
"""More would keep all other sessions waiting for seconds."""
_TOO_MANY = f"it has more than {MAX_TOKENS} words and signs; send it in parts"
_EXECUTED_UP_TO = 80400
"""Executable comments of a later version are not read by every server this gate stands before."""


def tokens_of(shape: Shape) -> list[Token]:
    """Raise BadSql when an executable comment cannot be judged, or a name is not UTF-8."""
    found: list[Token] = []
    at = 0
    inside = False
    for slot, text in enumerate(shape.texts):
        last = slot == len(shape.literals)
        inside = _tokens_of_text(text + b" " if last else text, at, inside, found)
        at += len(text)
        if not last:
            if len(found) >= MAX_TOKENS:
                raise BadSql(_TOO_MANY)
            literal = shape.literals[slot]
            end = at + len(literal)
            found.append(Token(Kind.LITERAL, _shown(literal), slot, at, end))
            at = end
    if inside:
        raise BadSql("a comment is not closed")
    return found


def _shown(literal: bytes) -> str:
    return literal.decode("utf-8", "replace") if len(literal) <= 64 else ""


def _tokens_of_text(text: bytes, at: int, inside: bool, found: list[Token]) -> bool:
    """Add the tokens of one text; return whether it ends inside an executable comment."""
    for match in _TOKEN.finditer(text):
        name = match.lastgroup
        if name == "space":
            continue
        if len(found) >= MAX_TOKENS:
            raise BadSql(_TOO_MANY)
        start, end = at + match.start(), at + match.end()
        if name == "open":
            version = match["open"][3:]
            if inside or len(version) not in (0, 5, 6) or int(version or 0) > _EXECUTED_UP_TO:
                raise BadSql("a comment with /*! is nested or of a version that is not known here")
            inside = True
        elif name == "close" and inside:
            inside = False
        elif name == "quoted":
            quoted = _text(match["quoted"]).replace("``", "`")
            found.append(Token(Kind.QUOTED, quoted, -1, start, end))
        else:
            kind, shown = _KINDS.get(name or "", Kind.MARK), _text(match[0])
            word = shown.upper() if kind is Kind.WORD else ""
            found.append(Token(kind, shown, -1, start, end, word))
    return inside


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as exc:
        raise BadSql("a name is not in UTF-8") from exc


_KINDS = {"word": Kind.WORD, "variable": Kind.VARIABLE, "mark": Kind.MARK}


def statements_of(sql: bytes, tokens: Sequence[Token]) -> tuple[bytes, ...]:
    """The statements between `;`, empty ones left out."""
    cuts = [t for t in tokens if t.kind is Kind.MARK and t.text == ";"]
    starts = [0, *(t.end for t in cuts)]
    ends = [*(t.start for t in cuts), len(sql)]
    inhabited = [
        (start, end)
        for start, end in zip(starts, ends, strict=True)
        if any(start <= t.start < end for t in tokens)
    ]
    return tuple(sql[start:end] for start, end in inhabited)


_ESCAPES = {b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a"}
_ESCAPED = re.compile(rb"\\(.)|''", re.DOTALL)
_ESCAPED_DOUBLE = re.compile(rb'\\(.)|""', re.DOTALL)


def unquoted(literal: bytes) -> bytes:
    """The value of a string literal in either kind of quotes."""
    quote, body = literal[:1], literal[1:-1]
    if b"\\" not in body and quote not in body:
        return body
    rule = _ESCAPED if quote == b"'" else _ESCAPED_DOUBLE
    return rule.sub(lambda m: _unescaped(m[1]) if m[1] is not None else quote, body)


def _unescaped(character: bytes) -> bytes:
    if character in b"%_":
        return b"\\" + character  # kept for LIKE
    return _ESCAPES.get(character, character)
