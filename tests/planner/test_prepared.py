"""Prepared statements: which parameters decide, and where an execution goes."""

import pytest
from keyspaces import KEYSPACES, SCHEMA

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import (
    AnyShard,
    Merge,
    NumberedWrite,
    OneShard,
    Refuse,
    Scatter,
    Value,
)

PLANNER = Planner(SCHEMA, KEYSPACES["four shards"])


@pytest.mark.parametrize(
    ("sql", "parameters", "needed"),
    [
        ("SELECT * FROM users WHERE user_id = ?", 1, (0,)),
        ("SELECT ?, name FROM users WHERE name = ? AND user_id = ? LIMIT ?", 4, (2,)),
        ("SELECT * FROM users WHERE user_id = 1 AND name = ?", 1, ()),
        ("SELECT * FROM users WHERE user_id = '?' AND name = ?", 1, ()),
        ("SELECT * FROM users WHERE name = ?", 1, ()),
        ("SELECT * FROM users WHERE user_id IN (?, 5, ?)", 2, (0, 1)),
        ("SELECT * FROM users u JOIN orders o USING (user_id) WHERE o.user_id = ?", 1, (0,)),
        ("INSERT INTO orders VALUES (?, ?, ?)", 3, (1,)),
        ("INSERT INTO orders VALUES (?, ?, ?), (?, ?, ?)", 6, (1, 4)),
        ("INSERT INTO tariffs VALUES (?, ?)", 2, (0,)),
        ("UPDATE users SET name = ? WHERE user_id = ?", 2, (1,)),
        ("SELECT ?", 1, ()),
        ("SELECT 1 /* ? */ -- ?", 0, ()),
        ("BEGIN", 0, ()),
    ],
)
def test_parameters_that_decide(sql: str, parameters: int, needed: tuple[int, ...]) -> None:
    prepared = PLANNER.prepare(sql.encode())
    assert (prepared.parameters, prepared.needed) == (parameters, needed)
    assert isinstance(prepared.describe, AnyShard)


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (42, "42"),
        (-42, "-42"),
        (42.0, "42"),
        (b"42", "'42'"),
        (b" 42", "' 42'"),
        (None, "99999999999999999999999"),
        (2**63, "9223372036854775808"),
        (b"x", "'x'"),
        (42.5, "42.5"),
    ],
)
def test_a_parameter_routes_as_the_literal_does(value: Value, literal: str) -> None:
    prepared = PLANNER.prepare(b"SELECT * FROM users WHERE user_id = ?")
    text = PLANNER.route(f"SELECT * FROM users WHERE user_id = {literal}".encode())
    plan = prepared.route((value,))
    if isinstance(text, Scatter):  # as its text twin it is planned again
        assert isinstance(plan, Merge) and plan.shards == text.shards
    else:
        assert plan == text


def test_each_execution_is_planned_anew() -> None:
    prepared = PLANNER.prepare(b"INSERT INTO users (user_id, name) VALUES (?, ?)")
    plans = [prepared.route((key,)) for key in (1, 42, None, 2**64, b"x", 1)]
    kinds = [type(plan) for plan in plans]
    assert kinds == [OneShard, OneShard, Refuse, Refuse, Refuse, OneShard]
    assert plans[0] == plans[-1] != plans[1]


def test_values_may_lead_to_several_shards() -> None:
    prepared = PLANNER.prepare(b"SELECT * FROM users WHERE user_id IN (?, ?)")
    assert isinstance(prepared.route((1, 1)), OneShard)
    plan = prepared.route((1, 42))
    assert isinstance(plan, Merge) and plan.shards == (0, 3)


def test_binary_parameters_are_keys_as_they_are() -> None:
    prepared = PLANNER.prepare(b"SELECT * FROM tokens WHERE token = ?")
    literal = PLANNER.route(b"SELECT * FROM tokens WHERE token = 0xFF00")
    assert prepared.route((b"\xff\x00",)) == literal


def test_numbers_of_reference_tables_come_from_the_sequence() -> None:
    prepared = PLANNER.prepare(b"INSERT INTO tariffs VALUES (?, 1.5)")
    for number, wanted in ((7, (0, 7)), (None, (1, 0)), (0, (1, 0)), (b"0", (1, 0))):
        plan = prepared.route((number,))
        assert isinstance(plan, NumberedWrite)
        assert plan.rows.wanted(keep_zeros=False) == wanted


def test_a_refusal_is_known_at_prepare() -> None:
    for sql in (
        b"SELECT count(*) FROM nothing WHERE x = 'a",
        b"UPDATE users SET user_id = user_id + 1",
    ):
        assert isinstance(PLANNER.prepare(sql).describe, Refuse)
