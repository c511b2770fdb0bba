"""From tokens to a syntax tree in which each literal is the number of its slot.

sqlglot only reads; nothing that it writes is ever sent. It gets a text made for it, without
comments and values: literals stand as their slot numbers, so a tree never holds a client's value,
and the operators that it reads otherwise than MySQL are spelled out.
"""

import logging
from collections.abc import Sequence

import sqlglot
from sqlglot import exp

from mitosis_gate.planner.lexer import BadSql, Kind, Token

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

_SPELLED = {"||": "OR", "&&": "AND"}
_MODIFIERS = {
    "UPDATE": frozenset({"LOW_PRIORITY", "IGNORE"}),
    "DELETE": frozenset({"LOW_PRIORITY", "QUICK", "IGNORE"}),
}


def tree_of(tokens: Sequence[Token], literals: Sequence[bytes]) -> exp.Expr:
    """Raise BadSql when it is not SELECT, UPDATE or DELETE of a form that is understood."""
    text = " ".join(_words(tokens, literals))
    try:
        tree = sqlglot.parse_one(text, read="mysql")
    except RecursionError:
        raise
    except Exception as exc:  # sqlglot raises what it happens to meet
        raise BadSql(_near(exc)) from exc
    if not isinstance(tree, exp.Query | exp.Update | exp.Delete):
        raise BadSql("its syntax is unknown here")
    return tree


def _words(tokens: Sequence[Token], literals: Sequence[bytes]) -> list[str]:
    modifiers = _MODIFIERS.get(tokens[0].word, frozenset())
    words: list[str] = []
    for place, token in enumerate(tokens):
        if token.kind is Kind.LITERAL:
            if words and words[-1] == ".":
                raise BadSql("a value cannot stand behind a dot")
            words.append(_marker(token, literals))
        elif token.kind is Kind.QUOTED or _is_odd(token):
            words.append("`" + token.text.replace("`", "``") + "`")
        elif token.kind is Kind.MARK:
            if token.text in "{\\":
                raise BadSql(f"`{token.text}` has a meaning that is not known here")
            words.append(_SPELLED.get(token.text, token.text))
        elif token.kind is Kind.VARIABLE and not token.text.isprintable():
            raise BadSql("the name of a variable has signs that are not understood here")
        elif not (0 < place < 4 and token.word in modifiers):
            words.append(token.text)
    return words


def places_of(tokens: Sequence[Token], literals: Sequence[bytes]) -> dict[int, int]:
    """Where in the text that the tree of a SELECT was read from each token begins.

    The nodes of a tree know their places in that text: `meta["start"]`.
    """
    found, at = {}, 0
    for place, word in enumerate(_words(tokens, literals)):
        found[at] = place
        at += len(word) + 1
    return found


def _is_odd(token: Token) -> bool:
    """A name that sqlglot reads otherwise: `1e` as a number, one with U+2028 as two words."""
    return token.kind is Kind.WORD and (token.text[0].isdigit() or not token.text.isascii())


def _marker(token: Token, literals: Sequence[bytes]) -> str:
    first = literals[token.slot][:2]
    if first[:1] in b"'\"xXbBnN" or first == b"0x":
        return f"'{token.slot}'"
    return str(token.slot)


def _near(exc: Exception) -> str:
    errors = getattr(exc, "errors", None)
    if errors and isinstance(errors[0], dict):
        near = str(errors[0].get("highlight", ""))[:40]
        return f"its syntax is unknown here, near `{near}`"
    return "its syntax is unknown here"
