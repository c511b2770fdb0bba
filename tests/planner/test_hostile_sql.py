"""Whatever the bytes are: a plan or a refusal, never an exception, and no quadratic time."""

import random
import time

import pytest
from keyspaces import KEYSPACES, SCHEMA
from planner_cases import all_statements

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.lexer import BadSql, shape_of, tokens_of
from mitosis_gate.planner.plan import Batch, EveryShard, Merge, OneShard, Refuse, Scatter

TABLE = KEYSPACES["four shards"]
PIECES = [
    *(b"'", b'"', b"`", b"\\", b"--", b"-- ", b"#", b"/*", b"*/", b"/*!", b"/*!80000 ", b";"),
    *(b"\0", b"\xff", b"\xc3", "é".encode(), b"\n", b"(", b")", b"@", b"@@", b"?", b"{", b"."),
    *(b"1", b"0x", b"x'", b"b'1'", b"N'", b"_utf8mb4", b"e5", b"NULL", b" OR ", b"||", b":=", b","),
    *(b" UNION SELECT * FROM users ", b" FOR UPDATE", b" LIMIT 1", b"SELECT ", b" FROM orders "),
]


def mutated(sql: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(sql) + 1)
        if chance.random() < 0.6:
            sql = sql[:at] + chance.choice(PIECES) + sql[at:]
        else:
            sql = sql[:at] + sql[at + chance.randrange(1, 12) :]
    return sql


@pytest.mark.parametrize("seed", range(2))
def test_mutated_statements_never_raise_and_have_one_plan(seed: int) -> None:
    chance = random.Random(seed)
    cached, uncached = Planner(SCHEMA, TABLE), Planner(SCHEMA, TABLE, cache_bytes=0)
    known = all_statements()
    for _ in range(600):
        sql = mutated(chance.choice(known), chance)
        expected = uncached.route(sql)
        assert [cached.route(sql) for _ in range(3)] == [expected] * 3, sql
        cached.prepare(sql)


@pytest.mark.parametrize(
    "sql",
    [
        b"ALTER TABLE users DROP",
        b"ALTER TABLE users MODIFY COLUMN",
        b"ALTER TABLE users ADD CONSTRAINT, CHANGE, ADD (, UNIQUE",
        b"ALTER TABLE users CHANGE a, ADD UNIQUE INDEX",
        b"CREATE UNIQUE INDEX ON users",
        b"CREATE TABLE users (user_id INT NOT NULL, PRIMARY, UNIQUE (), CONSTRAINT)",
        b"TABLE  UNION SELECT * FROM users uses",
    ],
)
def test_statements_that_end_too_early_never_raise(sql: bytes) -> None:
    Planner(SCHEMA, TABLE).route(sql)


def test_random_bytes_never_raise() -> None:
    chance, planner = random.Random(7), Planner(SCHEMA, TABLE)
    for _ in range(600):
        planner.route(chance.randbytes(chance.randrange(40)))
        planner.route(b"SELECT " + b"".join(chance.choices(PIECES, k=chance.randrange(12))))


def test_texts_and_literals_are_the_whole_statement() -> None:
    chance = random.Random(8)
    known = all_statements()
    for _ in range(800):
        sql = mutated(chance.choice(known), chance)
        try:
            shape = shape_of(sql)
            tokens = tokens_of(shape)
        except BadSql:
            continue
        parts = [p for pair in zip(shape.texts, [*shape.literals, b""], strict=True) for p in pair]
        assert b"".join(parts) == sql
        assert all(sql[t.start : t.end] for t in tokens)


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT * FROM users WHERE user_id = 1 AND name = '" + b"x" * 10_000_000 + b"'",
        b"SELECT * FROM users WHERE user_id = 1 AND name = '" + b"''" * 2_000_000 + b"'",
        b"SELECT * FROM users WHERE user_id = 1 AND name = '" + b"\\'" * 2_000_000,
        b"SELECT " + b"a" * 5_000_000,
        b"SELECT " + b"`a` " * 200_000,
        b"SELECT " + b"-" * 1_000_000,
        b"SELECT /*" + b"*" * 5_000_000,
        b"/* " * 500_000,
        b"SELECT " + b"1" * 3_000_000 + b"x",
        b"SELECT '" + b"/" * 5_000_000,
    ],
    ids=range(10),
)
def test_long_statements_take_linear_time(sql: bytes) -> None:
    planner = Planner(SCHEMA, TABLE)
    begin = time.process_time()
    planner.route(sql)
    assert time.process_time() - begin < 8


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT * FROM users WHERE user_id = " + b"(" * 20_000 + b"1" + b")" * 20_000,
        b"SELECT * FROM users WHERE " + b"NOT " * 20_000 + b"user_id = 1",
        b"SELECT * FROM users WHERE user_id = 1" + b" AND user_id = 1" * 5_000,
        b"SELECT * FROM users WHERE user_id = 1" + b" OR user_id = 42" * 5_000,
        b"SELECT name" + b" + 1" * 5_000 + b" FROM users WHERE user_id = 1",
        b"SELECT 1 FROM users" + b" UNION SELECT 1 FROM users" * 1_000,
        b"SELECT * FROM " + b"(SELECT * FROM " * 1_000 + b"users" + b") t" * 1_000,
        b"SELECT * FROM users WHERE name = " + b"CONCAT(" * 5_000 + b"1" + b")" * 5_000,
        b"INSERT INTO users VALUES (1, " + b"(" * 20_000 + b"1" + b")" * 20_000 + b")",
        b"SELECT * FROM users" + b", users" * 1_000,
    ],
    ids=range(10),
)
def test_deep_statements_are_answered(sql: bytes) -> None:
    plan = Planner(SCHEMA, TABLE).route(sql)
    assert isinstance(plan, OneShard | Scatter | Merge | Refuse)


def test_no_value_can_become_a_statement() -> None:
    """What stands in quotes is one literal, so it decides nothing but its own slot."""
    planner = Planner(SCHEMA, TABLE)
    expected = planner.route(b"UPDATE users SET name = 'x' WHERE user_id = 1")
    for value in ("'; DROP TABLE users; --", "\\", "\\'", "x' OR '1'='1", "/*! */", "`", "\0", "é"):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'").encode()
        plan = planner.route(b"UPDATE users SET name = '" + escaped + b"' WHERE user_id = 1")
        assert plan == expected, value


def test_a_quote_left_open_never_hides_a_second_statement() -> None:
    planner = Planner(SCHEMA, TABLE)
    for sql in (
        b"SELECT * FROM users WHERE user_id = 1 AND name = ''; DELETE FROM users",
        b"SELECT * FROM users WHERE user_id = 1 /* ; */; DELETE FROM users",
        b"SELECT * FROM users WHERE user_id = 1 -- x\n; DELETE FROM users",
    ):
        assert isinstance(planner.route(sql), Batch)
    for sql in (
        b"SELECT * FROM users WHERE user_id = 1 AND name = '; DELETE FROM users",
        b"SELECT * FROM users WHERE user_id = 1 /* ; DELETE FROM users",
    ):
        assert not isinstance(planner.route(sql), Batch | EveryShard)
