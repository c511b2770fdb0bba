"""What a statement with Flag.PINS leaves on its connection, by name, and which of it ends there.

Read from the text when such a statement runs, which is rare: the plan says only that there is
something.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mitosis_gate.planner.lexer import BadSql, Kind, Token, shape_of, tokens_of

USER_LOCK = "user lock"
USER_VARIABLE = "user variable"
TEMPORARY_TABLE = "temporary table"
LOCKED_TABLES = "locked tables"
PROCEDURE = "procedure"
HANDLER = "handler"
STATEMENT = "statement"
"""Nothing that has a better name."""
_BY_FIRST_WORD = {
    "LOCK": LOCKED_TABLES,
    "CALL": PROCEDURE,
    "HANDLER": HANDLER,
    "CREATE": TEMPORARY_TABLE,
    "DROP": TEMPORARY_TABLE,
}
_ASKING = frozenset({"IS_FREE_LOCK", "IS_USED_LOCK"})


@dataclass(frozen=True, slots=True)
class Pinning:
    reasons: tuple[str, ...] = ()
    """What it leaves; empty for one that only asks or only ends something."""
    ends: str = ""
    """The reason that may be over after it."""
    variables: tuple[str, ...] = ()
    """The user variables that it sets, in lower case without `@`."""
    sets_any: bool = False
    """It may set others too: a procedure."""
    sets_last_id: bool = False
    """It calls LAST_INSERT_ID(value)."""
    is_diagnostics: bool = False
    """GET DIAGNOSTICS: what it asked about must stay as it is."""
    locks: tuple[bytes, ...] = ()
    """Names of the user locks that it takes, as literals."""
    has_unknown_lock: bool = False
    """It takes a user lock whose name is computed."""
    releases_all: bool = False


def pinning_of(sql: bytes) -> Pinning:
    """Read a statement that the planner has understood and flagged."""
    try:
        shape = shape_of(sql)
        tokens = tokens_of(shape)
    except BadSql:
        return Pinning((STATEMENT,))
    first = tokens[0].word if tokens else ""
    if first == "UNLOCK":
        return Pinning(ends=LOCKED_TABLES)
    if first in _BY_FIRST_WORD:
        return Pinning((_BY_FIRST_WORD[first],), sets_any=first == "CALL")
    reasons: list[str] = []
    variables = _set_variables(tokens)
    if variables:
        reasons.append(USER_VARIABLE)
    sets_last_id = any(
        t.word == "LAST_INSERT_ID"
        and _is_call(tokens, place)
        and tokens[min(place + 2, len(tokens) - 1)].text != ")"
        for place, t in enumerate(tokens)
    )
    called = {t.word for place, t in enumerate(tokens) if _is_call(tokens, place)}
    locks = [
        shape.literals[tokens[place + 2].slot] if tokens[place + 2].kind is Kind.LITERAL else b""
        for place, token in enumerate(tokens)
        if token.word == "GET_LOCK" and _is_call(tokens, place) and place + 2 < len(tokens)
    ]
    if locks:
        reasons.append(USER_LOCK)
    releases = called & {"RELEASE_LOCK", "RELEASE_ALL_LOCKS"}
    if not reasons and not releases and not called & _ASKING and not sets_last_id:
        reasons.append(STATEMENT)
    return Pinning(
        tuple(reasons),
        USER_LOCK if releases else "",
        variables,
        False,
        sets_last_id,
        first == "GET",
        tuple(name for name in locks if name),
        b"" in locks or b"?" in locks,
        "RELEASE_ALL_LOCKS" in called and not locks,
    )


def _set_variables(tokens: Sequence[Token]) -> tuple[str, ...]:
    """Those before `:=`, behind INTO, and in GET DIAGNOSTICS before `=`."""
    found = []
    is_diagnostics = bool(tokens) and tokens[0].word == "GET"
    is_into = False
    for place, token in enumerate(tokens):
        if token.word == "INTO":
            is_into = True
        elif token.kind is Kind.VARIABLE and not token.text.startswith("@@"):
            name, after = token.text[1:], place + 1
            if not name and after < len(tokens) and tokens[after].kind is Kind.QUOTED:
                name, after = tokens[after].text, after + 1
            sign = tokens[after].text if after < len(tokens) else ""
            if is_into or sign == ":=" or (is_diagnostics and sign == "="):
                found.append(name.lower())
        elif token.text != "," and token.kind is not Kind.QUOTED:
            is_into = False
    return tuple(dict.fromkeys(found))


def _is_call(tokens: Sequence[Token], place: int) -> bool:
    return (
        tokens[place].kind is Kind.WORD
        and place + 1 < len(tokens)
        and tokens[place + 1].text == "("
    )
