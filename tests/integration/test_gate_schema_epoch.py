"""What a gate does while its picture of the schema is not the one in force: two gates, one changes
tables, the other one goes on with statements."""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from gates import KEYSPACE, RULES, GateProcess, Shards
from waiting import wait_until

from mitosis_routing.hashing import slot_of
from mitosis_routing.table import TableRule

pytestmark = pytest.mark.mysql

OPTIONS = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
LATE = ("--schema-check-seconds=3600",)
"""Only the epoch tells of changes."""


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2, (*RULES, TableRule("spare", "user_id")), options=OPTIONS) as running:
        yield running


@pytest.fixture(scope="module")
def gates(shards: Shards) -> Iterator[tuple[GateProcess, GateProcess]]:
    with (
        GateProcess(shards.table(), shards.users(), *LATE) as one,
        GateProcess(shards.table(), shards.users(), *LATE) as other,
    ):
        yield one, other


@pytest.fixture
def here(gates: tuple[GateProcess, GateProcess]) -> Iterator[Any]:
    """A connection to the gate that changes tables."""
    with gates[0].connect() as connection:
        ask(connection, "DROP TABLE IF EXISTS users, orders, spare")
        ask(connection, "CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(100))")
        yield connection


@pytest.fixture
def there(gates: tuple[GateProcess, GateProcess], here: Any) -> Iterator[Any]:
    """A connection to the other gate, which has used the table."""
    with gates[1].connect() as connection:
        ask(connection, "REPLACE INTO users VALUES (1, 'x'), (2, 'y'), (3, 'z')")
        yield connection


def ask(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def jobs(connection: Any) -> list[dict[str, Any]]:
    with connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute("GATE SHOW DDL")
        return list(cursor.fetchall())


def misplaced(shards: Shards) -> list[bytes]:
    return [
        key
        for index, found in enumerate(shards.rows("SELECT CAST(user_id AS BINARY) FROM users"))
        for (key,) in found
        if slot_of(bytes(key), 64) // 32 != index
    ]


class Writer:
    """Writes rows through a gate, one after the other, until it is stopped."""

    def __init__(self, gate: GateProcess, statement: str) -> None:
        self._gate = gate
        self._statement = statement
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.written = 0
        self.errors: set[int] = set()

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        numbers = itertools.cycle(range(100, 900))
        with self._gate.connect() as connection:
            while not self._stop.is_set():
                try:
                    ask(connection, self._statement.format(next(numbers)))
                    self.written += 1
                except pymysql.MySQLError as exc:
                    self.errors.add(exc.args[0])


# statements that were planned under an older schema


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO users VALUES (10, 'x', 5)",
        "INSERT INTO users VALUES (11, 'x', 5), (12, 'y', 6), (13, 'z', 7), (14, 'z', 8)",
        "SELECT age FROM users WHERE age > 1 ORDER BY age LIMIT 1",
        "UPDATE users SET age = 3 WHERE age = 4",
        "INSERT INTO users (age, user_id) SELECT age, user_id + 100 FROM users WHERE user_id = 1",
    ],
)
def test_a_new_column_can_be_used_at_once_through_another_gate(
    here: Any, there: Any, statement: str
) -> None:
    ask(there, "BEGIN")
    ask(there, "SELECT name FROM users WHERE user_id = 1")
    ask(there, "COMMIT")
    ask(here, "ALTER TABLE users ADD COLUMN age INT")
    ask(there, statement)


def test_so_can_it_inside_a_transaction_and_by_a_prepared_statement(here: Any, there: Any) -> None:
    ask(there, "SET @id = 20, @name = 'x'")
    ask(here, "ALTER TABLE users ADD COLUMN age INT")
    ask(there, "PREPARE anew FROM 'INSERT INTO users VALUES (?, ?, 1)'")
    ask(there, "BEGIN")
    ask(there, "INSERT INTO users VALUES (21, 'x', 5)")
    ask(there, "EXECUTE anew USING @id, @name")
    ask(there, "COMMIT")
    assert ask(there, "SELECT age FROM users WHERE user_id IN (20, 21) ORDER BY 1") == [(1,), (5,)]


def test_an_error_that_is_right_is_told_as_mysql_tells_it(there: Any, shards: Shards) -> None:
    for statement, number in (
        ("SELECT nothing FROM users WHERE user_id = 1", 1054),
        ("INSERT INTO users VALUES (1, 'x', 5)", 1136),
        ("SELECT 1 FROM nowhere", 1146),
    ):
        with pytest.raises(pymysql.MySQLError) as error:
            ask(there, statement)
        assert error.value.args[0] == number
        assert ask(there, "SELECT name FROM users WHERE user_id = 1") == [("x",)]
    with pytest.raises(pymysql.MySQLError):
        ask(there, "SELECT nothing FROM users WHERE user_id = 1")
    told = ask(there, "SHOW WARNINGS")
    assert told == [("Error", 1054, "Unknown column 'nothing' in 'field list'")]


def test_a_renamed_table_is_found_at_once_through_another_gate(here: Any, there: Any) -> None:
    ask(here, "RENAME TABLE users TO orders")
    assert ask(there, "SELECT COUNT(*) FROM orders") == [(3,)]
    with pytest.raises(pymysql.MySQLError) as error:
        ask(there, "SELECT name FROM users WHERE user_id = 1")
    assert error.value.args[0] == 1146


# changes that no shard would notice


def test_a_gate_that_saw_nothing_of_a_table_that_came_back_misplaces_no_row(
    here: Any, there: Any, shards: Shards
) -> None:
    """'012' is 12 to a BIGINT and itself to VARBINARY: the other shard, for all of these."""
    ask(here, "DROP TABLE users")
    ask(here, "CREATE TABLE users (user_id VARBINARY(20) PRIMARY KEY, name VARCHAR(100))")
    for number in range(10, 50):
        ask(there, f"INSERT INTO users (user_id, name) VALUES ('{number:03}', 'x')")
    assert misplaced(shards) == []
    assert sum(len(found) for found in shards.rows("SELECT 1 FROM users")) == 40


def test_nor_does_one_that_writes_all_the_time(
    gates: tuple[GateProcess, GateProcess], here: Any, there: Any, shards: Shards
) -> None:
    with Writer(gates[1], "REPLACE INTO users (user_id, name) VALUES ('{:06}', 'x')") as writer:
        wait_until("the table is in use", lambda: writer.written > 50, seconds=60)
        ask(here, "DROP TABLE users")
        ask(here, "CREATE TABLE users (user_id VARBINARY(20) PRIMARY KEY, name VARCHAR(100))")
        before = writer.written
        wait_until("rows are written", lambda: writer.written > before + 200, seconds=60)
    assert writer.errors <= {1146}
    assert misplaced(shards) == []
    assert sum(len(found) for found in shards.rows("SELECT 1 FROM users")) > 200


def test_statements_wait_while_the_key_gets_another_type(
    gates: tuple[GateProcess, GateProcess], here: Any, there: Any, shards: Shards
) -> None:
    beyond = (1 << 63) + 5
    change = "ALTER TABLE users MODIFY user_id BIGINT UNSIGNED NOT NULL"
    changing = threading.Thread(target=ask, args=(here, change))
    with gates[0].connect() as watching:
        changing.start()
        wait_until(
            "the change is announced",
            lambda: jobs(watching)[0]["state"] == "announced",
            seconds=60,
        )
        with Writer(gates[1], "REPLACE INTO users VALUES ({}, 'x')") as writer:
            changing.join()
            ask(there, f"INSERT INTO users VALUES ({beyond}, 'far')")
            assert ask(there, f"SELECT name FROM users WHERE user_id = {beyond}") == [("far",)]
            wait_until("rows are written", lambda: writer.written > 20, seconds=60)
        assert writer.errors == set()
        job = jobs(watching)[0]
    assert job["statement"] == change and job["state"] == "done" and job["error"] == ""
    assert job["shards"] == "shop-0-32: done, shop-32-64: done"
    assert misplaced(shards) == []


def test_a_name_does_not_change_hands_in_one_statement_if_that_misplaces_rows(here: Any) -> None:
    ask(here, "CREATE TABLE orders (user_id VARBINARY(20) PRIMARY KEY, name VARCHAR(100))")
    with pytest.raises(pymysql.MySQLError) as error:
        ask(here, "RENAME TABLE users TO spare, orders TO users")
    assert error.value.args[0] == 1235
    assert "RENAME the old one first" in error.value.args[1]


def test_a_job_whose_gate_died_makes_nobody_wait(there: Any, shards: Shards) -> None:
    progress = '{"done": [], "unknown": [], "tables": ["users"], "announced": 1}'
    shards.servers[0].query(
        "INSERT INTO mitosis.ddl_jobs (statement, state, progress, owner) "
        "VALUES ('ALTER TABLE users ADD x INT', 'running', %s, 'a gate that died')",
        progress,
    )
    shards.servers[0].query("UPDATE mitosis.schema_epoch SET epoch = epoch + 1")
    assert ask(there, "SELECT name FROM users WHERE user_id = 1") == [("x",)]
    assert jobs(there)[0]["state"] == "stopped"
    ask(there, "ALTER TABLE users ADD x INT")
    assert jobs(there)[0]["state"] == "done"


def test_a_failed_job_is_shown_with_its_error(here: Any, there: Any, shards: Shards) -> None:
    with shards.servers[1].connect(database=KEYSPACE) as behind:
        ask(behind, "ALTER TABLE users ADD COLUMN age INT")
    with pytest.raises(pymysql.MySQLError):
        ask(here, "ALTER TABLE users ADD COLUMN age INT")
    job = jobs(there)[0]
    assert job["state"] == "failed"
    assert job["shards"] == "shop-0-32: done, shop-32-64: waits"
    assert "1060" in job["error"] and "shop-32-64" in job["error"]


# numbers of AUTO_INCREMENT columns


def test_after_truncate_two_gates_begin_at_1_and_give_no_number_twice(
    shards: Shards, here: Any, there: Any
) -> None:
    ask(here, "CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, user_id BIGINT NOT NULL)")
    insert = "INSERT INTO orders (user_id) VALUES ({})"
    for user in range(5):
        ask(here, insert.format(user))
        ask(there, insert.format(user))
    old = ids(shards)
    assert len(old) == len(set(old)) == 10 and max(old) > 1000, "each gate has a block of its own"
    ask(here, "TRUNCATE TABLE orders")
    for user in range(700):  # more than was left of the first block, so the old one would be met
        ask(here, insert.format(user))
        ask(there, insert.format(user))
    found = ids(shards)
    assert len(found) == len(set(found)) == 1400
    assert min(found) == 1


def ids(shards: Shards) -> list[int]:
    return [row[0] for found in shards.rows("SELECT id FROM orders") for row in found]
