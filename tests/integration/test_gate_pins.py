"""A keyspace of one shard without sharding keys: all that leaves something on a connection."""

from collections.abc import Iterator
from typing import Any

import mysql.connector
import pymysql
import pytest
from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from pymysql.constants import CLIENT
from waiting import wait_until

pytestmark = pytest.mark.mysql

NOT_DURABLE = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
PROCEDURES = (
    "CREATE PROCEDURE two_results(IN n INT, OUT doubled INT) BEGIN "
    "SELECT id FROM things WHERE id <= n; SELECT COUNT(*) AS many FROM things; "
    "SET doubled = 2 * n; END",
    "CREATE PROCEDURE hides() BEGIN SET @hidden = 'here'; "
    "CREATE TEMPORARY TABLE IF NOT EXISTS secret (a INT); INSERT INTO secret VALUES (1); END",
)


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(1, rules=(), options=NOT_DURABLE) as running:
        running.run("CREATE TABLE things (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(30))")
        for procedure in PROCEDURES:
            running.run(procedure)
        yield running


@pytest.fixture(scope="module")
def gate(shards: Shards) -> Iterator[GateProcess]:
    with GateProcess(shards.table(), shards.users()) as running:
        yield running


@pytest.fixture
def connection(gate: GateProcess, shards: Shards) -> Iterator[Any]:
    shards.run("DELETE FROM things")
    shards.run("ALTER TABLE things AUTO_INCREMENT = 1")
    shards.run("INSERT INTO things (name) VALUES ('one'), ('two'), ('three')")
    opened = gate.connect(client_flag=CLIENT.MULTI_STATEMENTS)
    yield opened
    if opened.open:
        opened.close()
    wait_until("nothing is kept", lambda: not pinned_sessions(gate), seconds=60)


def ask(connection: Any, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall())


def refused(connection: Any, statement: str) -> tuple[int, str]:
    with pytest.raises(pymysql.MySQLError) as error:
        ask(connection, statement)
    code, text = error.value.args
    return code, text


def pinned_sessions(gate: GateProcess) -> dict[str, float]:
    found = {}
    for line in gate.metrics().splitlines():
        name, _, count = line.rpartition(" ")
        if name.startswith("mitosis_gate_pinned_sessions{") and float(count):
            found[name.split('"')[1]] = float(count)
    return found


def wait_for_pins(gate: GateProcess, expected: dict[str, float]) -> None:
    """The gate looks at what a statement left after it has passed the answer on."""
    wait_until(f"pins are {expected}", lambda: pinned_sessions(gate) == expected, seconds=60)


def test_a_temporary_table_belongs_to_its_session(gate: GateProcess, connection: Any) -> None:
    ask(connection, "CREATE TEMPORARY TABLE mine AS SELECT id FROM things")
    wait_for_pins(gate, {"temporary table": 1})
    with gate.connect() as stranger:
        for _ in range(3):
            assert refused(stranger, "SELECT * FROM mine")[0] == 1146
            assert len(ask(connection, "SELECT * FROM mine")) == 3
    assert refused(connection, "CREATE TEMPORARY TABLE bad (a INT, a INT)")[0] == 1060
    connection.close()
    wait_until("it is let go", lambda: not pinned_sessions(gate), seconds=60)
    with gate.connect() as stranger:
        assert refused(stranger, "SELECT * FROM mine")[0] == 1146


def test_a_temporary_table_that_was_not_made_keeps_nothing(
    gate: GateProcess, connection: Any
) -> None:
    assert refused(connection, "CREATE TEMPORARY TABLE bad (a INT, a INT)")[0] == 1060
    assert ask(connection, "SHOW ERRORS") == [("Error", 1060, "Duplicate column name 'a'")]
    wait_for_pins(gate, {})


def test_locked_tables_are_kept_until_they_are_unlocked(gate: GateProcess, connection: Any) -> None:
    ask(connection, "LOCK TABLES things WRITE")
    wait_for_pins(gate, {"locked tables": 1})
    ask(connection, "INSERT INTO things (name) VALUES ('four')")
    ask(connection, "UNLOCK TABLES")
    wait_for_pins(gate, {})
    with gate.connect() as stranger:
        assert len(ask(stranger, "SELECT * FROM things")) == 4


def test_a_procedure_answers_with_all_its_results(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CALL two_results(2, @doubled); SELECT @doubled")
        found = [list(cursor.fetchall())]
        while cursor.nextset():
            found.append(list(cursor.fetchall()) if cursor.description else [])
    assert found == [[(1,), (2,)], [(3,)], [], [(4,)]]
    assert ask(connection, "SELECT @doubled") == [(4,)]


@pytest.mark.filterwarnings("ignore:Call to deprecated function stored_results")
def test_a_driver_calls_a_procedure(gate: GateProcess, connection: Any) -> None:
    with (
        mysql.connector.connect(
            host="127.0.0.1",
            port=gate.port,
            user=USER,
            password=PASSWORD,
            database=KEYSPACE,
            use_pure=True,
        ) as opened,
        opened.cursor() as cursor,
    ):
        assert tuple(cursor.callproc("two_results", (1, 0))) == (1, 2)
        results = [rows.fetchall() for rows in cursor.stored_results()]
        assert results == [[(1,)], [(3,)]]


def test_what_a_procedure_hides_reaches_nobody_else(gate: GateProcess, connection: Any) -> None:
    ask(connection, "SET @hidden = 'before'")
    ask(connection, "CALL hides()")
    wait_for_pins(gate, {"procedure": 1})
    assert ask(connection, "SELECT @hidden") == [("here",)]
    assert ask(connection, "SELECT * FROM secret") == [(1,)]
    with gate.connect() as stranger:
        assert ask(stranger, "SELECT @hidden") == [(None,)]
        assert refused(stranger, "SELECT * FROM secret")[0] == 1146
    ask(connection, "SET @hidden = 'before'")
    assert ask(connection, "SELECT @hidden") == [("before",)]


def test_a_last_id_of_its_own_is_not_that_of_others(gate: GateProcess, connection: Any) -> None:
    ask(connection, "INSERT INTO things (name) VALUES ('four'), ('five')")
    with gate.connect() as stranger:
        ask(stranger, "INSERT INTO things (name) VALUES ('six')")
        assert ask(connection, "SELECT LAST_INSERT_ID()") == [(4,)]
        assert ask(stranger, "SELECT LAST_INSERT_ID()") == [(6,)]
        ask(stranger, "INSERT INTO things (name) VALUES (LAST_INSERT_ID())")
        assert ask(stranger, "SELECT name FROM things WHERE id = LAST_INSERT_ID()") == [("6",)]
    assert ask(connection, "SELECT LAST_INSERT_ID() AS id, ROW_COUNT()") == [(4, -1)]


def test_diagnostics_are_read_into_variables(connection: Any) -> None:
    refused(connection, "SELECT nope FROM things")
    ask(connection, "GET DIAGNOSTICS @n = NUMBER")
    ask(connection, "GET DIAGNOSTICS CONDITION 1 @code = MYSQL_ERRNO, @text = MESSAGE_TEXT")
    assert ask(connection, "SELECT @n, @code") == [(1, 1054)]


def test_settings_are_no_reason_to_keep_a_connection(gate: GateProcess, connection: Any) -> None:
    for statement in (
        "SET sql_mode = 'TRADITIONAL', time_zone = '+02:00', group_concat_max_len = 5000",
        "SET NAMES latin1",
        "SET @a = 1, @b = 'two'",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SELECT @c := 3",
        "SELECT name INTO @d FROM things WHERE id = 1",
    ):
        ask(connection, statement)
        wait_for_pins(gate, {})
    assert ask(connection, "SELECT @a, @c, @d, @@time_zone") == [(1, 3, "one", "+02:00")]
    with gate.connect() as stranger:
        for _ in range(3):
            row = ask(stranger, "SELECT @a, @b, @c, @d, @@time_zone, @@group_concat_max_len")[0]
            assert row == (None, None, None, None, "SYSTEM", 1024)


def test_a_large_variable_stays_where_it_is(gate: GateProcess, connection: Any) -> None:
    ask(connection, "SELECT @large := REPEAT('x', 100000)")
    wait_for_pins(gate, {"user variable": 1})
    assert ask(connection, "SELECT LENGTH(@large)") == [(100000,)]
    ask(connection, "SELECT @large := 'small'")
    assert ask(connection, "SELECT @large") == [("small",)]
    wait_for_pins(gate, {})
