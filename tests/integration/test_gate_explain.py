"""Hints, gate_scatter, EXPLAIN over shards and GATE EXPLAIN, through a real gate."""

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from gates import GateProcess, Shards

pytestmark = pytest.mark.mysql

DENIED = "this statement needs 2 shards, and"


@pytest.fixture(scope="module")
def gate() -> Iterator[GateProcess]:
    with Shards(2) as shards, GateProcess(shards.table(), shards.users()) as gate:
        with gate.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(64))")
            for n in range(1, 41):
                cursor.execute(f"INSERT INTO users VALUES ({n}, 'name {n % 3}')")
        yield gate


@pytest.fixture
def cursor(gate: GateProcess) -> Iterator[Any]:
    with gate.connect() as connection, connection.cursor() as cursor:
        yield cursor


def asked(cursor: Any, statement: str) -> list[tuple[Any, ...]]:
    cursor.execute(statement)
    return list(cursor.fetchall())


def refused(cursor: Any, statement: str) -> str:
    with pytest.raises(pymysql.MySQLError) as caught:
        cursor.execute(statement)
    return str(caught.value.args[1])


def shard_names(cursor: Any) -> list[str]:
    message = refused(cursor, "/*gate: shard=nowhere */ SELECT 1")
    return message.partition("there are ")[2].split(", ")


def test_a_plan_is_shown_as_a_table(cursor: Any) -> None:
    rows = asked(cursor, "GATE EXPLAIN SELECT name, COUNT(*) FROM users GROUP BY name LIMIT 2")
    assert [column[0] for column in cursor.description] == [
        "step",
        "kind",
        "shards",
        "query",
        "rows",
        "ms",
    ]
    one, other = shard_names(cursor)
    assert rows[0][:3] == ("1", "read", f"{one}, {other}") and "WEIGHT_STRING" in rows[0][3]
    assert rows[1][1] == "merge in order, one row for each group, skip 0, stop after 2"
    assert {row[4:] for row in rows} == {(None, None)}


def test_analyze_carries_the_plan_out_and_counts(cursor: Any) -> None:
    rows = asked(cursor, "GATE EXPLAIN ANALYZE SELECT * FROM users ORDER BY name")
    reads = [row for row in rows if row[1] == "read"]
    assert [row[2] for row in reads] == shard_names(cursor)
    assert sum(row[4] for row in reads) == rows[-1][4] == 40
    assert all(row[5] > 0 for row in (*reads, rows[-1]))
    one = asked(cursor, "GATE EXPLAIN ANALYZE SELECT * FROM users WHERE user_id = 1")
    assert [row[1] for row in one] == ["forward to one shard", "the whole statement"]
    assert one[0][4] == 1 and asked(cursor, "SELECT 1") == [(1,)]


def test_analyze_writes_nothing(cursor: Any) -> None:
    statement = "DELETE FROM users WHERE user_id IN (1, 2)"
    assert "SELECT only" in refused(cursor, f"GATE EXPLAIN ANALYZE {statement}")
    assert [row[1] for row in asked(cursor, f"GATE EXPLAIN {statement}")][0] == "write"
    assert asked(cursor, "SELECT COUNT(*) FROM users") == [(40,)]


def test_errors_of_the_statement_are_errors_of_its_explanation(cursor: Any) -> None:
    assert "doesn't exist" in refused(cursor, "GATE EXPLAIN SELECT * FROM nothing")
    assert "user_id" in refused(cursor, "GATE EXPLAIN INSERT INTO users VALUES (NULL, 'a')")


def test_explain_of_several_shards_says_whose_plan_it_is(cursor: Any) -> None:
    rows = asked(cursor, "EXPLAIN SELECT * FROM users ORDER BY name")
    assert "users" in str(rows)
    warnings = asked(cursor, "SHOW WARNINGS")
    assert any("one of 2 shards" in text for _, _, text in warnings), warnings


def test_a_hint_chooses_the_shard(cursor: Any) -> None:
    counts = [
        asked(cursor, f"/*gate: shard={name} */ SELECT COUNT(*) FROM users")[0][0]
        for name in shard_names(cursor)
    ]
    assert sum(counts) == 40 and 0 < counts[0] < 40


def test_a_session_can_do_without_several_shards(gate: GateProcess) -> None:
    with gate.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET gate_scatter = 'deny'")
        assert DENIED in refused(cursor, "SELECT COUNT(*) FROM users")
        assert DENIED in refused(cursor, "/*gate: timeout=5 */ SELECT COUNT(*) FROM users")
        assert DENIED in refused(cursor, "DELETE FROM users")
        assert asked(cursor, "SELECT COUNT(*) FROM users WHERE user_id = 1") == [(1,)]
        assert asked(cursor, "/*gate: scatter=allow */ SELECT COUNT(*) FROM users") == [(40,)]
        cursor.execute("SET gate_scatter = 'warn'")
        assert asked(cursor, "SELECT COUNT(*) FROM users") == [(40,)]
        assert "several shards" in asked(cursor, "SHOW WARNINGS")[0][2]


def test_a_hint_ends_a_statement_in_time_and_only_that_one(cursor: Any) -> None:
    shard = shard_names(cursor)[0]
    tables = ", ".join(f"users t{n}" for n in range(20))
    slow = f"/*gate: shard={shard}, timeout=0.5 */ SELECT SUM(t0.user_id) FROM {tables}"
    assert "maximum statement execution time" in refused(cursor, slow)
    assert asked(cursor, "SELECT @@gate_statement_seconds")[0][0] in ("0", 0)
    assert asked(cursor, "SELECT SLEEP(1) FROM users WHERE user_id = 1") == [(0,)]
