"""What may run twice, or on a replica, without anybody noticing."""

import pytest

from mitosis_gate.planner.purity import is_pure


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT 1",
        b"SELECT name, COUNT(*) FROM users WHERE user_id IN (1, 2) GROUP BY name",
        b"WITH x AS (SELECT 1) SELECT * FROM x",
        b"(SELECT a FROM t) UNION (SELECT b FROM u) ORDER BY 1",
        b"SELECT ST_AsText(POINT(1, 2)), SUBSTRING('a' FROM 1 FOR 2)",
    ],
)
def test_reads_of_known_functions_are_pure(sql: bytes) -> None:
    assert is_pure(sql)


@pytest.mark.parametrize(
    "sql",
    [
        b"INSERT INTO users VALUES (1)",
        b"SELECT * FROM users FOR UPDATE",
        b"SELECT * FROM users FOR SHARE",
        b"SELECT * FROM users LOCK IN SHARE MODE",
        b"SELECT pay(1)",
        b"SELECT `count`(1)",
        b"SELECT shop.now()",
        b"SELECT GET_LOCK('a', 1)",
        b"SELECT SLEEP(1)",
        b"SELECT @a",
        b"SELECT @@version",
        b"SELECT 1 INTO @a",
        b"SELECT SQL_CALC_FOUND_ROWS * FROM users",
        b"CALL p()",
        b"SELECT 'not closed",
        b"",
    ],
)
def test_everything_else_is_not(sql: bytes) -> None:
    assert not is_pure(sql)
