"""Session variables of the gate itself: the servers do not know them, or not what they are.

SET takes them among others. They are answered in `SELECT @@name [AS alias], ...` that asks for
nothing else, and in `SHOW VARIABLES LIKE 'name'`; anywhere else the server says that it knows no
such variable.
"""

import re
from collections.abc import Mapping, Sequence

from mitosis_gate.planner.lexer import Kind, Token, unquoted
from mitosis_gate.planner.plan import Assignment, OwnVariables, Refuse, SetClass
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.statement import Statement

OWN: Mapping[str, tuple[str, ...]] = {
    "transaction_mode": ("atomic", "single", "multi"),
    "gate_scatter": ("allow", "warn", "deny"),
    "gate_key_update": ("refuse", "move"),
    "gate_read_from": ("primary", "replica"),
    "gate_gtids": (),
    "gate_statement_seconds": (),
    "resultset_metadata": ("FULL", "NONE"),
}
"""The values of each, the usual one first; no values: a number of seconds."""
_METADATA = {"full": b"FULL", "1": b"FULL", "none": b"NONE", "0": b"NONE"}
_SCOPES = frozenset({"", "session", "local"})


def judged(name: str, value: bytes, plain: str) -> Assignment | Refuse:
    """`plain`: the value without quotes."""
    wanted = plain.lower()
    if value.upper() == b"DEFAULT":
        return Assignment(name, b"", SetClass.OWN)
    if name == "gate_gtids":
        return _token(name, plain)
    if name == "resultset_metadata":
        return _metadata(name, plain)
    choices = OWN[name]
    if (choices and wanted not in choices) or (not choices and not _is_seconds(wanted)):
        told = ", ".join(choices) or "a number of seconds"
        return refuse(
            f"Variable '{name}' can't be set to the value of '{plain}': it takes {told}", 1231
        )
    return Assignment(name, wanted.encode(), SetClass.OWN)


def _metadata(name: str, plain: str) -> Assignment | Refuse:
    """MySQL's own, but it is the gate that obeys it."""
    value = _METADATA.get(plain.lower())
    if value is None:
        return Refuse(1231, "42000", f"Variable '{name}' can't be set to the value of '{plain}'")
    return Assignment(name, value, SetClass.OWN)


_TOKEN = re.compile(r"(?:[a-z0-9*][a-z0-9-]*=(?:\?|[0-9a-z_:, -]+)(?:;|$))*", re.IGNORECASE)


def _token(name: str, plain: str) -> Assignment | Refuse:
    """What `SELECT @@gate_gtids` said in another session; parts of it reach servers as GTIDs."""
    if not _TOKEN.fullmatch(plain):
        return refuse(
            f"Variable '{name}' can't be set to the value of '{plain}': give what SELECT "
            "@@gate_gtids said in the session whose writes this one is to see",
            1231,
        )
    return Assignment(name, plain.encode(), SetClass.OWN)


def _is_seconds(text: str) -> bool:
    whole, _, part = text.partition(".")
    return whole.isdigit() and len(whole) < 8 and (not part or part.isdigit())


def asked(statement: Statement) -> OwnVariables | Refuse | None:
    """The plan of a statement that asks for variables of the gate."""
    if statement.words[0] != "SELECT":
        return _shown(statement)
    selected = _selected(statement)
    if selected is None:
        names = (_name(token) for token in statement.tokens)
        if name := next(filter(None, names), None):
            return refuse(
                f"@@{name} is the gate's own variable: ask for it by itself (SELECT @@{name})"
            )
    return selected


def _selected(statement: Statement) -> OwnVariables | None:
    if len(statement.tokens) < 2 or statement.tokens[1].kind is not Kind.VARIABLE:
        return None
    columns = []
    for first, last in statement.parts(1, len(statement.tokens)):
        name = _name(statement.tokens[first])
        if name is None:
            return None
        title = _title(statement.tokens[first:last])
        if title is None:
            return None
        columns.append((title, name))
    return OwnVariables(tuple(columns))


def _title(tokens: Sequence[Token]) -> str | None:
    """Of a column: a variable, and maybe an alias."""
    match [t.word for t in tokens[1:-1]], tokens[-1]:
        case [], last if len(tokens) == 1 or last.is_name:
            return last.text
        case ["AS"], last if last.is_name:
            return last.text
    return None


def _name(token: Token) -> str | None:
    if token.kind is not Kind.VARIABLE or not token.text.startswith("@@"):
        return None
    scope, _, name = token.text[2:].lower().rpartition(".")
    return name if name in OWN and scope in _SCOPES else None


def _shown(statement: Statement) -> OwnVariables | None:
    words = [t.word for t in statement.tokens]
    if len(words) > 1 and words[1] in ("SESSION", "LOCAL"):
        del words[1]
    if words[:3] != ["SHOW", "VARIABLES", "LIKE"] or len(words) != 4:
        return None
    token = statement.tokens[-1]
    if token.kind is not Kind.LITERAL:
        return None
    literal = statement.literals[token.slot]
    name = unquoted(literal).decode("utf-8", "replace").lower().replace("\\_", "_")
    if name not in OWN:
        return None
    return OwnVariables((("Variable_name", name), ("Value", name)), is_shown=True)
