"""Statements full of quotes and comments: cut as MySQL cuts them, planned without an exception."""

import pytest
from keyspaces import SCHEMA, routing_table
from lexer_fuzz import run

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import OneShard, Refuse

INPUTS = 20_000
LARGE = 10 << 20


def test_no_statement_is_cut_wrongly() -> None:
    assert run(1, INPUTS) == []


HUGE = {
    "a string": b"'" + b"x" * LARGE + b"'",
    "quotes in a string": b"'" + b"''" * (LARGE // 2) + b"'",
    "escapes in a string": b"'" + b"\\'" * (LARGE // 2) + b"'",
    "invalid UTF-8": b"'" + b"\xff\xc3" * (LARGE // 2) + b"'",
    "hexadecimal": b"0x" + b"41" * (LARGE // 2),
    "a string in hexadecimal": b"x'" + b"41" * (LARGE // 2) + b"'",
    "digits": b"1" * LARGE,
    "strings side by side": b"'a' " * (LARGE // 4),
    "a comment": b"/*" + b"*" * LARGE + b"*/ 'a'",
    "comments": b"/**/" * (LARGE // 4) + b"'a'",
    "an endless string": b"'" + b"x" * LARGE,
    "an endless comment": b"/*" + b"x" * LARGE,
    "an endless name": b"`" + b"x" * LARGE,
    "zeros": b"\0" * LARGE,
    "signs": b"-" * LARGE,
    "open comments": b"/*!" * (LARGE // 3),
    "parentheses": b"(" * LARGE,
    "question marks": b"?" * LARGE,
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_statements_get_a_plan(name: str) -> None:
    planner = Planner(SCHEMA, routing_table(4))
    plan = planner.route(b"SELECT name FROM users WHERE user_id = 7 AND name = " + HUGE[name])
    assert isinstance(plan, OneShard | Refuse)


def test_a_huge_value_is_routed() -> None:
    planner = Planner(SCHEMA, routing_table(4))
    sql = b"UPDATE users SET name = %s WHERE user_id = 7" % HUGE["quotes in a string"]
    assert isinstance(planner.route(sql), OneShard)


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT name FROM users WHERE user_id = 7 --- 1",
        b"SELECT name FROM users WHERE user_id = 7 --\x7f OR 1",
        b"SELECT name FROM users WHERE user_id = 7 --",
    ],
)
def test_a_comment_begins_where_mysql_says(sql: bytes) -> None:
    """Not the minus before it, and a control character behind `--` is enough."""
    plan = Planner(SCHEMA, routing_table(4)).route(sql)
    assert isinstance(plan, OneShard) == (b"---" not in sql)


@pytest.mark.parametrize("name", [b"1e", b"0_1", b"1e5x", "\u2028x".encode(), "\u00a0".encode()])
def test_an_odd_name_is_no_value(name: bytes) -> None:
    """sqlglot reads some of them as numbers; what stands there is a column for MySQL."""
    planner = Planner(SCHEMA, routing_table(4))
    plan = planner.route(b"SELECT 5, name FROM users WHERE user_id = " + name)
    assert not isinstance(plan, OneShard)
