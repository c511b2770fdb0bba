"""PREPARE, EXECUTE and DEALLOCATE PREPARE as text: the gate keeps the statement and plans it anew
for each execution, so that it may go to other shards each time."""

from mitosis_gate.planner.lexer import BadSql, Kind, unquoted
from mitosis_gate.planner.plan import Plan, TextDeallocate, TextExecute, TextPrepare
from mitosis_gate.planner.statement import Statement


def prepare_plan(statement: Statement) -> Plan:
    """`PREPARE name FROM 'text' | @variable`"""
    name = _name(statement, 1)
    if statement.word(2) != "FROM":
        raise BadSql("PREPARE wants a name and FROM")
    variable, at = _variable(statement, 3)
    if variable:
        plan = TextPrepare(name, variable=variable)
    else:
        token = statement.tokens[3] if len(statement.tokens) > 3 else None
        if token is None or token.kind is not Kind.LITERAL:
            raise BadSql("PREPARE wants a text or a user variable")
        literal = statement.literals[token.slot]
        if literal[:1] not in (b"'", b'"'):
            raise BadSql("PREPARE wants a text or a user variable")
        plan = TextPrepare(name, unquoted(literal))
        at = 4
    _end(statement, at)
    return plan


def execute_plan(statement: Statement) -> Plan:
    """`EXECUTE name [USING @a, @b]`"""
    name = _name(statement, 1)
    values: list[str] = []
    at = 2
    if statement.word(2) == "USING":
        while True:
            variable, at = _variable(statement, at + 1)
            if not variable:
                raise BadSql("EXECUTE ... USING wants user variables")
            values.append(variable)
            if not statement.is_mark(at, ","):
                break
    _end(statement, at)
    return TextExecute(name, tuple(values))


def deallocate_plan(statement: Statement) -> Plan:
    """`DEALLOCATE PREPARE name`, `DROP PREPARE name`"""
    if statement.word(1) != "PREPARE":
        raise BadSql("DEALLOCATE wants PREPARE and a name")
    name = _name(statement, 2)
    _end(statement, 3)
    return TextDeallocate(name)


def _name(statement: Statement, place: int) -> str:
    if place >= len(statement.tokens) or not statement.tokens[place].is_name:
        raise BadSql("the name of the prepared statement is missing")
    return statement.tokens[place].text.lower()


def _variable(statement: Statement, place: int) -> tuple[str, int]:
    """The name of a user variable without `@`, and the place behind it; empty: it is none."""
    tokens = statement.tokens
    if place >= len(tokens) or tokens[place].kind is not Kind.VARIABLE:
        return "", place
    name = tokens[place].text[1:]
    if not name and place + 1 < len(tokens) and tokens[place + 1].kind is Kind.QUOTED:
        return tokens[place + 1].text.lower(), place + 2
    return ("", place) if name.startswith("@") else (name.lower(), place + 1)


def _end(statement: Statement, place: int) -> None:
    if place != len(statement.tokens):
        raise BadSql(f"`{statement.tokens[place].text[:20]}` is not expected there")
