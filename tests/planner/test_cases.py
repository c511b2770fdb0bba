"""Pairs of a statement and its plan, from the files in `cases/`: see `planner_cases`."""

import pytest
from keyspaces import KEYSPACES, SCHEMA
from planner_cases import CASES, printed_write, read_cases
from printed_reads import printed_read

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import (
    AnyShard,
    Assignment,
    Batch,
    ConnectionId,
    Ddl,
    Empty,
    EveryShard,
    Flag,
    GateShow,
    Kill,
    OneShard,
    OwnVariables,
    Plan,
    Processes,
    Refuse,
    Scatter,
    SetStatement,
    SetTransaction,
    TextDeallocate,
    TextExecute,
    TextPrepare,
    Together,
    TransactionControl,
    UnknownTable,
    Use,
)


def printed(plan: Plan) -> str:
    shown = printed_write(plan) or printed_read(plan, printed)
    if shown is not None:
        return shown
    match plan:
        case OneShard(shard, flags):
            return f"shard {shard}{_flags(flags)}"
        case AnyShard(shards, flags):
            return f"any of {_list(shards)}{_flags(flags)}"
        case Scatter(shards, flags):
            return f"scatter {_list(shards)}{_flags(flags)}"
        case EveryShard(shards, flags):
            return f"every {_list(shards)}{_flags(flags)}"
        case Ddl(verb, tables, shards, warnings):
            warned = "".join(f"; warns {code}: {text}" for code, text in warnings)
            return f"ddl {verb} {_list(tables)} on {_list(shards)}{warned}"
        case TransactionControl() | SetTransaction() | Use() | Kill() | ConnectionId():
            return repr_of(plan)
        case OwnVariables(columns, is_shown):
            asked = ", ".join(f"{name} as {title}" for title, name in columns)
            return f"own {'shown ' if is_shown else ''}{asked}"
        case SetStatement(assignments):
            return "set " + "; ".join(_assignment(a) for a in assignments)
        case GateShow(what, full):
            return f"shown by the gate: {'full ' if full else ''}{what}"
        case Processes(template):
            return f"over the sessions of the gates: {b'{}'.join(template).decode()}"
        case Together(shards, _, sums):
            return f"together {_list(shards)} sum {', '.join(sorted(sums))}"
        case Batch(statements):
            return "batch " + " | ".join(s.decode().strip() for s in statements)
        case TextPrepare(name, sql, variable):
            return f"prepare {name}: {sql.decode() or '@' + variable}"
        case TextExecute(name, values):
            return f"execute {name}" + (f" with @{', @'.join(values)}" if values else "")
        case TextDeallocate(name):
            return f"deallocate {name}"
        case Empty(has_comment):
            return "empty, with a comment" if has_comment else "empty"
        case UnknownTable(database, name):
            return f"unknown table {database}.{name}"
        case Refuse(code, sqlstate, message):
            return f"{code} ({sqlstate}) {message}"


def repr_of(plan: TransactionControl | SetTransaction | Use | Kill | ConnectionId) -> str:
    """The fields that are not empty."""
    values = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
    told = [f"{k}={v}" for k, v in values.items() if v not in ("", None) and v is not False]
    return f"{type(plan).__name__} {' '.join(told)}".strip()


def _flags(flags: Flag) -> str:
    return "".join(f" {f.name.lower()}" for f in Flag if f.name and f in flags)


def _list(items: tuple[object, ...]) -> str:
    return ",".join(str(i) for i in items)


def _assignment(assignment: Assignment) -> str:
    evaluated = "" if assignment.literal else " (to be evaluated)"
    return f"{assignment.kind}: {assignment.sql.decode()}{evaluated}"


WARM = {name: Planner(SCHEMA, table) for name, table in KEYSPACES.items()}
PLANNERS = {name: Planner(SCHEMA, table) for name, table in KEYSPACES.items()}
ALL = [
    pytest.param(*case, id=f"{path.stem}-{number}")
    for path in sorted(CASES.glob("*.sql"))
    for number, case in enumerate(read_cases(path), 1)
]


@pytest.mark.parametrize(("keyspace", "sql", "expected"), ALL)
def test_statement_has_this_plan(keyspace: str, sql: str, expected: str) -> None:
    assert printed(PLANNERS[keyspace].route(sql.encode())) == expected


@pytest.mark.parametrize(("keyspace", "sql", "expected"), ALL)
def test_statement_has_the_same_plan_from_the_cache(keyspace: str, sql: str, expected: str) -> None:
    plans = [printed(WARM[keyspace].route(sql.encode())) for _ in range(4)]
    assert plans == [expected] * 4


def test_there_are_hundreds_of_cases() -> None:
    assert len(ALL) > 400
