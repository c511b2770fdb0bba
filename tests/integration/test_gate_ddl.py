"""DDL over several shards: half-done changes, other gates, and rows that must not be misplaced."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pymysql
import pytest
from gates import KEYSPACE, GateProcess, Shards
from waiting import wait_until

from mitosis_routing.hashing import slot_of
from mitosis_routing.table import UniqueKeys

pytestmark = pytest.mark.mysql

OPTIONS = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
JOBS = "SELECT COUNT(*) FROM mitosis.ddl_jobs WHERE state <> 'done'"


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2, options=OPTIONS) as running:
        yield running


@pytest.fixture
def gate(shards: Shards) -> Iterator[GateProcess]:
    with GateProcess(shards.table(), shards.users()) as running:
        with running.connect() as connection:
            ask(connection, "DROP TABLE IF EXISTS users, orders")
            ask(connection, "CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(100))")
        yield running


def ask(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def columns(shards: Shards) -> list[list[str]]:
    rows = shards.rows("SHOW COLUMNS FROM users")
    return [[row[0] for row in shard] for shard in rows]


def on(shards: Shards, index: int, statement: str) -> None:
    """Behind the gates' back."""
    with shards.servers[index].connect(database=KEYSPACE) as connection:
        ask(connection, statement)


def test_a_half_done_change_goes_on_where_it_stopped(gate: GateProcess, shards: Shards) -> None:
    on(shards, 1, "INSERT INTO users VALUES (1, NULL)")
    change = "ALTER TABLE users MODIFY name VARCHAR(50) NOT NULL, ADD COLUMN age INT"
    with gate.connect() as connection:
        with pytest.raises(pymysql.MySQLError) as error:
            ask(connection, change)
        assert error.value.args[0] == 1430
        assert "is done on shop-0-32; failed on shop-32-64" in error.value.args[1]
        assert "repeat the same statement" in error.value.args[1]
        assert [len(c) for c in columns(shards)] == [3, 2]
        assert shards.servers[0].query(JOBS) == [(1,)]
    on(shards, 1, "UPDATE users SET name = ''")
    with GateProcess(shards.table(), shards.users()) as other, other.connect() as connection:
        ask(connection, change)
    assert [len(c) for c in columns(shards)] == [3, 3]
    assert shards.servers[0].query(JOBS) == [(0,)]


def test_a_shard_that_may_have_the_change_is_asked_again(gate: GateProcess, shards: Shards) -> None:
    change = "ALTER TABLE users ADD COLUMN age INT"
    progress = '{"done": ["shop-0-32"], "unknown": ["shop-32-64"], "tables": ["users"]}'
    for index in (0, 1):
        on(shards, index, change)
    shards.servers[0].query(
        "INSERT INTO mitosis.ddl_jobs (statement, state, progress, owner) "
        "VALUES (%s, 'running', %s, 'a gate that died')",
        change,
        progress,
    )
    with gate.connect() as connection:
        ask(connection, change)
        with pytest.raises(pymysql.MySQLError) as error:
            ask(connection, change)
        assert error.value.args[0] == 1060, "the job is over: this is a new one"
    assert shards.servers[0].query(JOBS) == [(0,)]


def test_a_change_that_no_shard_takes_leaves_nothing(gate: GateProcess, shards: Shards) -> None:
    with gate.connect() as connection:
        with pytest.raises(pymysql.MySQLError) as error:
            ask(connection, "ALTER TABLE users DROP COLUMN nothing")
        assert error.value.args[0] == 1091
    assert shards.servers[0].query(JOBS) == [(0,)]


def test_tables_that_differ_afterwards_are_told(gate: GateProcess, shards: Shards) -> None:
    on(shards, 1, "ALTER TABLE users ADD KEY by_name (name)")
    with gate.connect() as connection:
        with pytest.raises(pymysql.MySQLError) as error:
            ask(connection, "ALTER TABLE users ADD COLUMN age INT")
        assert error.value.args[0] == 1430
        assert "users is not the same on shop-0-32 and shop-32-64" in error.value.args[1]


def test_other_gates_see_a_change_soon(gate: GateProcess, shards: Shards) -> None:
    late = ("--schema-check-seconds=3600",)
    with (
        GateProcess(shards.table(), shards.users(), *late) as other,
        gate.connect() as here,
        other.connect() as there,
    ):
        ask(there, "INSERT INTO users VALUES (1, 'x')")
        ask(here, "ALTER TABLE users ADD COLUMN age INT FIRST")
        wait_until(
            "the other gate knows the column",
            lambda: ask(there, "REPLACE INTO users VALUES (30, 1, 'x')") == [],
            seconds=60,
        )


def test_rows_are_not_misplaced_by_a_gate_that_does_not_know_of_a_change(
    gate: GateProcess, shards: Shards
) -> None:
    """Behind the gates' back the key moves to another place among the columns."""
    late = ("--schema-check-seconds=3600",)
    with GateProcess(shards.table(), shards.users(), *late) as other, other.connect() as there:
        ask(there, "INSERT INTO users VALUES (1, '1')")
        for index in (0, 1):
            on(shards, index, "ALTER TABLE users MODIFY name VARCHAR(100) FIRST")
        with there.cursor() as cursor:
            for user in range(2, 40):
                cursor.execute(f"INSERT INTO users VALUES ({user}, '{100 - user}')")
            cursor.execute("INSERT INTO users VALUES (50, '1'), (51, '2'), (52, '3'), (53, '4')")
    for index, found in enumerate(shards.rows("SELECT user_id, name FROM users")):
        for user, name in found:
            assert slot_of(str(user).encode(), 64) // 32 == index
            assert user in (1, 50, 51, 52, 53) or int(name) == 100 - user
    assert sum(len(found) for found in shards.rows("SELECT 1 FROM users")) == 43


def warnings_of(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    """What SHOW WARNINGS tells of a statement; its OK counts as many."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        count = cursor.warning_count
    told = ask(connection, "SHOW WARNINGS")
    assert count == len(told)
    return told


def apart(key: str, table: str) -> tuple[str, int, str]:
    return (
        "Warning",
        1503,
        f"[gate] {key} of {table} does not contain the sharding key user_id: it is unique only "
        "within a shard; with user_id among its columns it is unique over all shards",
    )


def test_a_unique_key_without_the_sharding_key_is_made_with_a_warning(
    gate: GateProcess, shards: Shards
) -> None:
    with gate.connect() as connection, gate.connect() as other:
        assert warnings_of(
            connection,
            "CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, user_id BIGINT NOT NULL, "
            "mail VARCHAR(64) UNIQUE, UNIQUE KEY short (mail(10), id), UNIQUE (mail, user_id), "
            "UNIQUE KEY low ((LOWER(mail))))",
        ) == [
            apart("UNIQUE KEY (mail)", "orders"),
            apart("UNIQUE KEY short (mail(10), id)", "orders"),
            apart("UNIQUE KEY low ((LOWER(mail)))", "orders"),
        ]
        assert ask(connection, "SELECT @@warning_count") == [(3,)]
        assert ask(other, "SHOW WARNINGS") == []
        ask(connection, "DROP TABLE users")
        assert warnings_of(connection, "CREATE TABLE users LIKE orders") == [
            apart("UNIQUE KEY low ((lower(`mail`)))", "users"),
            apart("UNIQUE KEY mail (mail)", "users"),
            apart("UNIQUE KEY short (mail(10), id)", "users"),
        ]
        assert warnings_of(connection, "ALTER TABLE users ADD COLUMN age INT") == []
        ask(connection, "INSERT INTO users (user_id, mail) VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        found = [row for shard in shards.rows("SELECT id FROM users") for row in shard]
        assert len(set(found)) == 3, "numbers of the sequence are unique over all shards"
        assert warnings_of(connection, "CREATE UNIQUE INDEX i ON users (age)") == [
            apart("UNIQUE KEY i (age)", "users")
        ]


def test_a_change_that_goes_on_warns_like_one_that_did_not_stop(
    gate: GateProcess, shards: Shards
) -> None:
    change = "ALTER TABLE users ADD UNIQUE by_name (name)"
    on(shards, 1, "INSERT INTO users VALUES (1, 'a'), (2, 'a')")
    with gate.connect() as connection:
        with pytest.raises(pymysql.MySQLError) as error:
            ask(connection, change)
        assert error.value.args[0] == 1430
        assert [row[1] for row in ask(connection, "SHOW WARNINGS")] == [1430]
        on(shards, 1, "DELETE FROM users")
        assert warnings_of(connection, change) == [apart("UNIQUE KEY by_name (name)", "users")]


def test_a_unique_key_without_the_sharding_key_is_refused_when_the_keyspace_wants_it(
    gate: GateProcess, shards: Shards
) -> None:
    with gate.connect() as connection:
        ask(connection, "ALTER TABLE users ADD UNIQUE by_name (name)")
    table = replace(shards.table(), unique_keys=UniqueKeys.STRICT)
    with GateProcess(table, shards.users()) as strict, strict.connect() as connection:
        for statement, key in (
            (
                "CREATE TABLE orders (id SERIAL, user_id BIGINT NOT NULL)",
                "UNIQUE KEY (id) of orders",
            ),
            ("CREATE TABLE orders LIKE users", "UNIQUE KEY by_name (name) of orders"),
            ("CREATE UNIQUE INDEX i ON users (name)", "UNIQUE KEY i (name) of users"),
            ("ALTER TABLE users ADD age INT UNIQUE", "UNIQUE KEY (age) of users"),
        ):
            with pytest.raises(pymysql.MySQLError) as error:
                ask(connection, statement)
            assert error.value.args[0] == 1503
            assert key in error.value.args[1]
        ask(connection, "ALTER TABLE users ADD age INT, ADD UNIQUE (age, user_id)")
        note = "CREATE TABLE IF NOT EXISTS users (user_id INT PRIMARY KEY, name INT UNIQUE)"
        levels = [row[:2] for row in warnings_of(connection, note)]
        assert levels == [("Note", 1050), ("Warning", 1503)], "it does nothing, so it may run"
    assert [len(c) for c in columns(shards)] == [3, 3]
    assert shards.rows("SHOW TABLES") == [[("users",)]] * 2
    assert shards.servers[0].query(JOBS) == [(0,)]


def test_what_every_shard_warns_of_is_told_once(gate: GateProcess) -> None:
    with gate.connect() as connection:
        unknown = [("Note", 1051, "Unknown table 'shop.orders'")]
        assert warnings_of(connection, "DROP TABLE IF EXISTS orders") == unknown
        told = warnings_of(connection, "CREATE TABLE orders (user_id INT(5) PRIMARY KEY)")
        assert [row[:2] for row in told] == [("Warning", 1681)]
