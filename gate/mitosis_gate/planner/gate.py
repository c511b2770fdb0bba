"""What the gate itself answers: GATE SHOW, SHOW PROCESSLIST and information_schema.PROCESSLIST."""

from mitosis_gate.planner.lexer import Kind
from mitosis_gate.planner.plan import GateShow, Plan, Processes, Shown
from mitosis_gate.planner.refusals import not_understood
from mitosis_gate.planner.statement import Statement

_BY_GATE = tuple(s for s in Shown if s is not Shown.PROCESSLIST)
_SCHEMA, _TABLE = "information_schema", "processlist"


def gate_plan(statement: Statement) -> Plan:
    """GATE SHOW SESSIONS and its like."""
    what = statement.word(2)
    if statement.word(1) == "SHOW" and what in _BY_GATE and len(statement.tokens) == 3:
        return GateShow(Shown(what))
    known = ", ".join(f"GATE SHOW {name}" for name in _BY_GATE)
    return not_understood(f"the gate knows {known} and GATE EXPLAIN [ANALYZE]")


def process_list(statement: Statement) -> Plan | None:
    """SHOW [FULL] PROCESSLIST; None: it is another SHOW."""
    full = statement.word(1) == "FULL"
    at = 2 if full else 1
    if statement.word(at) != "PROCESSLIST" or len(statement.tokens) != at + 1:
        return None
    return GateShow(Shown.PROCESSLIST, full)


def processes_plan(statement: Statement) -> Plan | None:
    """A SELECT from information_schema.PROCESSLIST; None: it names no such table."""
    parts = [b""]
    done = 0
    for start, end in _places(statement):
        parts[-1] += statement.sql[done : statement.tokens[start].start]
        parts.append(b"" if _has_alias(statement, end) else b" AS PROCESSLIST")
        done = statement.tokens[end - 1].end
    if len(parts) == 1:
        return None
    parts[-1] += statement.sql[done:]
    return Processes(tuple(parts))


def _places(statement: Statement) -> list[tuple[int, int]]:
    """Where the table is named: from token, to token."""
    found = []
    tokens = statement.tokens
    for place, token in enumerate(tokens):
        if (
            token.is_name
            and token.text.lower() == _SCHEMA
            and statement.is_mark(place + 1, ".")
            and place + 2 < len(tokens)
            and tokens[place + 2].text.lower() == _TABLE
        ):
            found.append((place, place + 3))
    return found


def _has_alias(statement: Statement, at: int) -> bool:
    if at >= len(statement.tokens):
        return False
    token = statement.tokens[at]
    return (
        token.word == "AS"
        or token.kind is Kind.QUOTED
        or (token.kind is Kind.WORD and token.word not in _FOLLOWERS)
    )


_FOLLOWERS = frozenset(
    "WHERE GROUP ORDER LIMIT HAVING UNION JOIN INNER LEFT RIGHT CROSS NATURAL STRAIGHT_JOIN ON "
    "USING FOR INTO WINDOW EXCEPT INTERSECT USE FORCE IGNORE".split()
)
