"""What a session keeps and answers by itself, through a real gate, as MySQL would."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import mysql.connector
import pymysql
import pytest
from gates import (
    KEYSPACE,
    PASSWORD,
    READER,
    READER_PASSWORD,
    USER,
    GateProcess,
    Shards,
)
from mysql.connector.constants import ClientFlag
from pymysql.constants import CLIENT
from waiting import wait_until

from mitosis_routing.hashing import slot_of

pytestmark = pytest.mark.mysql

NOT_DURABLE = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
SCHEMA = (
    "CREATE TABLE users (user_id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(50) NOT NULL, "
    "born DATETIME, worth DECIMAL(20,4), photo BLOB)",
    "CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(50))",
)
USERS = range(1, 21)


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2, options=NOT_DURABLE) as running:
        for statement in SCHEMA:
            running.run(statement)
        yield running


@pytest.fixture(scope="module")
def gate(shards: Shards) -> Iterator[GateProcess]:
    with GateProcess(shards.table(), shards.users()) as running:
        yield running


@pytest.fixture
def rows(shards: Shards) -> None:
    """Users 1 to 20, each on its shard, and two countries."""
    for place, server in enumerate(shards.servers):
        mine = ", ".join(
            f"({n}, 'user {n}', '2020-01-{n:02} 10:00:00', {n}.25, 0x00FF{n:02X})"
            for n in USERS
            if home(n) == place
        )
        with server.connect(database=KEYSPACE, autocommit=True) as direct:
            ask(direct, "DELETE FROM users")
            ask(direct, f"INSERT INTO users VALUES {mine}")
            ask(direct, "REPLACE INTO countries VALUES ('DE', 'Germany'), ('FR', 'France')")


@pytest.fixture
def connection(gate: GateProcess, rows: None) -> Iterator[Any]:
    with gate.connect() as opened:
        yield opened


@pytest.fixture
def several(gate: GateProcess, rows: None) -> Iterator[Any]:
    """Of a client that may send several statements in one text."""
    with gate.connect(client_flag=CLIENT.MULTI_STATEMENTS) as opened:
        yield opened


@pytest.fixture
def prepared(gate: GateProcess, rows: None) -> Iterator[Any]:
    with driver(gate) as opened, opened.cursor(prepared=True) as cursor:
        yield cursor


def driver(gate: GateProcess, **settings: Any) -> Any:
    return mysql.connector.connect(
        host="127.0.0.1",
        port=gate.port,
        user=USER,
        password=PASSWORD,
        database=KEYSPACE,
        autocommit=True,
        use_pure=True,
        **settings,
    )


def home(user_id: int) -> int:
    return slot_of(str(user_id).encode(), 64) // 32


def one_of(shard: int) -> int:
    return next(n for n in USERS if home(n) == shard)


def ask(connection: Any, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall())


def refused(connection: Any, statement: str) -> tuple[int, str]:
    with pytest.raises(pymysql.MySQLError) as error:
        ask(connection, statement)
    code, text = error.value.args
    return code, text


# prepared statements of several shards


def test_a_prepared_read_of_all_shards_gives_the_rows_with_their_types(prepared: Any) -> None:
    prepared.execute(
        "SELECT user_id, name, born, worth, photo FROM users WHERE user_id <= ?", (len(USERS),)
    )
    found = sorted(prepared.fetchall())
    assert [row[0] for row in found] == list(USERS)
    _, name, born, worth, photo = found[4]
    assert (name, born, worth) == ("user 5", datetime(2020, 1, 5, 10), Decimal("5.2500"))
    assert bytes(photo) == b"\x00\xff\x05"


@pytest.mark.parametrize(
    ("condition", "value", "count"),
    [
        ("name = ?", "user 7", 1),
        ("name = ?", "it's \\ nothing", 0),
        ("born >= ?", datetime(2020, 1, 15, 10), 6),
        ("worth > ?", Decimal("18.25"), 2),
        ("worth < ?", 3.5, 3),
        ("photo = ?", b"\x00\xff\x09", 1),
        ("user_id > -?", 5, 20),
        ("name <=> ?", None, 0),
    ],
)
def test_values_of_all_types_mean_the_same_on_every_shard(
    prepared: Any, condition: str, value: Any, count: int
) -> None:
    prepared.execute(f"SELECT user_id FROM users WHERE {condition}", (value,))
    assert len(prepared.fetchall()) == count


def test_a_prepared_statement_goes_where_its_values_lead(prepared: Any) -> None:
    """The same statement, once for one shard and once for two."""
    one, other = one_of(0), one_of(1)
    for wanted in ((one, one), (one, other), (other, other), (other, one)):
        prepared.execute("SELECT user_id FROM users WHERE user_id IN (?, ?)", wanted)
        assert sorted({n for (n,) in prepared.fetchall()}) == sorted(set(wanted))


def test_columns_keep_the_names_they_were_prepared_with(prepared: Any) -> None:
    prepared.execute("SELECT user_id, ?, name AS called FROM users", ("x",))
    rows = prepared.fetchall()
    assert len(rows) == len(USERS) and {row[1] for row in rows} == {"x"}
    assert [column[0] for column in prepared.description] == ["user_id", "?", "called"]


def test_no_value_can_leave_its_quotes(prepared: Any, connection: Any) -> None:
    for text in ("' OR 1=1 -- ", "\\' OR 1=1 -- ", "\\", "'", '"', "\0'", "é' OR '1'='1"):
        prepared.execute("SELECT user_id FROM users WHERE name = ?", (text,))
        assert prepared.fetchall() == []
    prepared.execute("SET @said = ?", ("it's \\ a 'quote'",))
    prepared.execute("SELECT @said FROM countries WHERE code = ?", ("DE",))
    assert prepared.fetchall() == [("it's \\ a 'quote'",)]


def test_a_prepared_statement_of_the_gate_answers_in_binary(prepared: Any) -> None:
    prepared.execute("SELECT CONNECTION_ID() AS id")
    ((number,),) = prepared.fetchall()
    assert isinstance(number, int) and number > 0


# several statements in one text


def results(connection: Any, text: str) -> list[Any]:
    """What each statement gave: its rows, or the count of changed rows."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(text)
        while True:
            found.append(list(cursor.fetchall()) if cursor.description else cursor.rowcount)
            if not cursor.nextset():
                return found


def test_each_statement_of_a_text_is_answered(several: Any) -> None:
    one, other = one_of(0), one_of(1)
    assert results(
        several,
        f"SELECT user_id FROM users WHERE user_id = {one}; "
        f"UPDATE users SET name = 'a;b' WHERE user_id = {other};"
        f"SELECT name FROM users WHERE user_id = {other} /* ; */; "
        "SET @x = 7; SELECT @x; SELECT 1 FROM countries WHERE code = 'no';"
        "SELECT code FROM countries ORDER BY code;",
    ) == [[(one,)], 1, [("a;b",)], 0, [(7,)], [], [("DE",), ("FR",)]]


def test_a_text_ends_at_its_first_error(several: Any) -> None:
    user = one_of(0)
    with several.cursor() as cursor:
        cursor.execute(
            f"UPDATE users SET name = 'done' WHERE user_id = {user}; SELECT * FROM missing; "
            f"UPDATE users SET name = 'never' WHERE user_id = {user}"
        )
        with pytest.raises(pymysql.ProgrammingError) as error:
            cursor.nextset()
    assert error.value.args[0] == 1146
    assert ask(several, f"SELECT name FROM users WHERE user_id = {user}") == [("done",)]


def test_a_transaction_in_one_text_is_one(several: Any, connection: Any) -> None:
    user = one_of(1)
    assert results(
        several,
        f"BEGIN; UPDATE users SET name = 'x' WHERE user_id = {user}; "
        f"SELECT name FROM users WHERE user_id = {user}; ROLLBACK; "
        f"SELECT name FROM users WHERE user_id = {user}",
    ) == [0, 1, [("x",)], 0, [(f"user {user}",)]]


def test_a_scatter_in_the_middle_of_a_text(several: Any) -> None:
    first, second, third = results(
        several, "SELECT 1; SELECT user_id FROM users; SELECT 'last' FROM countries LIMIT 1"
    )
    assert (first, third) == ([(1,)], [("last",)])
    assert sorted(second) == [(n,) for n in USERS]


def test_long_results_of_a_text_are_counted_through(gate: GateProcess, several: Any) -> None:
    """More packets than one byte can count, in both ways of ending rows."""
    series = "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 700) "
    text = f"{series} SELECT n FROM s; {series} SELECT n FROM s; SELECT 2"
    for given in (results(several, text), None):
        if given is not None:
            assert [len(part) for part in given] == [700, 700, 1]
    with driver(gate, client_flags=[ClientFlag.MULTI_STATEMENTS]) as opened:
        with opened.cursor() as cursor:
            cursor.execute(text)
            counts = [len(rows) for _, rows in cursor.fetchsets()]
    assert counts == [700, 700, 1]


def test_several_statements_must_be_asked_for(gate: GateProcess, rows: None) -> None:
    with gate.connect() as plain:
        code, text = refused(plain, "SELECT 1;\nSELECT 2, 'x'")
        assert code == 1064
        assert text.endswith("near 'SELECT 2, 'x'' at line 2")
        assert ask(plain, "SELECT 3;") == [(3,)]


# change of user


def test_another_user_begins_anew_on_the_same_connection(gate: GateProcess, rows: None) -> None:
    user = one_of(0)
    with driver(gate) as opened:
        one_row(opened, "SELECT 1")
        execute(opened, "SET @x = 5, sql_mode = 'TRADITIONAL'")
        opened.start_transaction()
        execute(opened, f"UPDATE users SET name = 'lost' WHERE user_id = {user}")
        opened.cmd_change_user(READER, READER_PASSWORD, KEYSPACE)
        who, mode, variable, name = one_row(
            opened,
            f"SELECT CURRENT_USER(), @@sql_mode, @x, name FROM users WHERE user_id = {user}",
        )
        assert who.startswith(READER)
        assert "TRADITIONAL" not in mode
        assert (variable, name) == (None, f"user {user}")
        with pytest.raises(mysql.connector.Error) as error:
            execute(opened, f"UPDATE users SET name = 'no' WHERE user_id = {user}")
        assert error.value.errno == 1142
        opened.cmd_change_user(USER, PASSWORD, KEYSPACE)
        execute(opened, f"UPDATE users SET name = 'yes' WHERE user_id = {user}")


def test_a_wrong_password_ends_the_connection(gate: GateProcess, rows: None) -> None:
    opened = driver(gate)
    with pytest.raises(mysql.connector.Error) as error:
        opened.cmd_change_user(READER, "not the password", KEYSPACE)
    assert error.value.errno == 1045
    with pytest.raises(mysql.connector.Error):
        one_row(opened, "SELECT 1")
    opened.close()


def one_row(connection: Any, statement: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        (row,) = cursor.fetchall()
        found: tuple[Any, ...] = row
        return found


def execute(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


# what the statement before left


def crowded(gate: GateProcess) -> None:
    """Somebody else takes the connections that were used last, on both shards."""
    with gate.connect() as other:
        for user in (one_of(0), one_of(1)):
            ask(other, "UPDATE users SET name = 'crowd' WHERE user_id = %s", user)
            ask(other, "SELECT user_id FROM users WHERE user_id = %s", user)


@pytest.mark.parametrize("is_taken", [False, True], ids=["kept", "taken"])
def test_the_count_of_rows_is_that_of_the_statement_before(
    gate: GateProcess, connection: Any, is_taken: bool
) -> None:
    user = one_of(0)
    ask(connection, f"UPDATE users SET name = 'new' WHERE user_id IN ({user}, -1)")
    if is_taken:
        crowded(gate)
    with connection.cursor() as cursor:
        cursor.execute("SELECT ROW_COUNT(), ROW_COUNT() + 1 AS more")
        assert [column[0] for column in cursor.description] == ["ROW_COUNT()", "more"]
        assert cursor.fetchall() == ((1, 2),)
    ask(connection, f"SELECT name FROM users WHERE user_id = {user}")
    if is_taken:
        crowded(gate)
    assert ask(connection, "SELECT ROW_COUNT()") == [(-1,)]


def test_counts_after_statements_of_several_shards(connection: Any) -> None:
    ask(connection, "SELECT user_id FROM users")
    assert ask(connection, "SELECT FOUND_ROWS(), ROW_COUNT()") == [(len(USERS), -1)]
    ask(connection, "UPDATE users SET name = CONCAT(name, '!') WHERE user_id <= 5")
    assert ask(connection, "SELECT ROW_COUNT()") == [(5,)]
    ask(connection, "BEGIN")
    assert ask(connection, "SELECT ROW_COUNT()") == [(0,)]
    ask(connection, "ROLLBACK")


def test_found_rows_are_those_without_the_limit(gate: GateProcess, connection: Any) -> None:
    ask(connection, "SELECT SQL_CALC_FOUND_ROWS code FROM countries LIMIT 1")
    crowded(gate)
    assert ask(connection, "SELECT FOUND_ROWS()") == [(2,)]
    code, text = refused(connection, "SELECT SQL_CALC_FOUND_ROWS user_id FROM users LIMIT 3")
    assert code == 1235 and "COUNT(*)" in text


def test_the_last_id_is_told_to_every_shard(gate: GateProcess, connection: Any) -> None:
    ask(connection, "SELECT LAST_INSERT_ID(17)")
    crowded(gate)
    for user in (one_of(0), one_of(1)):
        crowded(gate)
        assert ask(
            connection, f"SELECT LAST_INSERT_ID() AS id FROM users WHERE user_id = {user}"
        ) == [(17,)]
    with gate.connect() as other:
        assert ask(other, "SELECT LAST_INSERT_ID()") == [(0,)]


DIVISION = "SELECT user_id, 1 / 0 FROM users WHERE user_id "


@pytest.mark.parametrize("is_taken", [False, True], ids=["kept", "taken"])
def test_warnings_of_one_shard_are_shown(
    gate: GateProcess, connection: Any, is_taken: bool
) -> None:
    ask(connection, DIVISION + f"= {one_of(0)}")
    if is_taken:
        crowded(gate)
    assert ask(connection, "SHOW WARNINGS") == [("Warning", 1365, "Division by 0")]
    assert ask(connection, "SHOW COUNT(*) WARNINGS") == [(1,)]
    assert ask(connection, "SELECT @@warning_count") == [(1,)]
    assert ask(connection, "SHOW WARNINGS") == []


def test_warnings_of_several_shards_are_shown_together(connection: Any) -> None:
    for _ in range(2):
        rows = ask(connection, DIVISION + "<= 4")
        assert len(rows) == 4
        assert ask(connection, "SHOW WARNINGS") == [("Warning", 1365, "Division by 0")] * 4
        assert (
            ask(connection, "SHOW WARNINGS LIMIT 1, 2") == [("Warning", 1365, "Division by 0")] * 2
        )
        assert ask(connection, "SHOW COUNT(*) WARNINGS") == [(4,)]
        assert ask(connection, "SHOW ERRORS") == []
        assert ask(connection, "SELECT @@warning_count, @@error_count AS e") == [(4, 0)]


def test_errors_of_the_gate_and_of_shards_are_shown(connection: Any) -> None:
    code, text = refused(connection, "SELECT missing FROM users WHERE user_id = 1")
    assert ask(connection, "SHOW ERRORS") == [("Error", code, text)]
    code, text = refused(connection, "SET sql_log_bin = 0")
    assert ask(connection, "SHOW WARNINGS") == [("Error", code, text)]
    assert ask(connection, "SHOW COUNT(*) ERRORS") == [(1,)]
    ask(connection, "SET wait_timeout = 100")
    ((level, _, text),) = ask(connection, "SHOW WARNINGS")
    assert level == "Warning" and "wait_timeout" in text
    ask(connection, "SET @x = 1")
    assert ask(connection, "SHOW WARNINGS") == []


def test_counts_in_a_text_of_several_statements(several: Any) -> None:
    user = one_of(0)
    found = results(
        several,
        f"UPDATE users SET name = 'q' WHERE user_id = {user}; SELECT ROW_COUNT();"
        f"SELECT user_id FROM users; SELECT FOUND_ROWS(); {DIVISION} = {user}; SHOW WARNINGS",
    )
    assert found[1] == [(1,)] and found[3] == [(len(USERS),)]
    assert found[5] == [("Warning", 1365, "Division by 0")]


def test_a_prepared_statement_asks_about_the_one_before(prepared: Any) -> None:
    prepared.execute("UPDATE users SET name = CONCAT(name, ?) WHERE user_id <= ?", ("?", 7))
    prepared.execute("SELECT ROW_COUNT(), ? AS given", ("x",))
    assert prepared.fetchall() == [(7, "x")]


# user variables


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("5", 5),
        ("1.50", Decimal("1.50")),
        ("2e0", 2.0),
        ("'it''s'", "it's"),
        ("''", ""),
        ("NULL", None),
        ("_latin1 0xE9", "\u00e9"),
        ("x'00ff'", b"\x00\xff"),
    ],
)
def test_a_variable_set_by_a_select_follows_the_session(
    gate: GateProcess, connection: Any, expression: str, shown: Any
) -> None:
    """Its value, its collation and its type are the same on the other shard."""
    ask(connection, f"SELECT @v := {expression} FROM users WHERE user_id = {one_of(0)}")
    crowded(gate)
    seen = []
    for user in (one_of(0), one_of(1)):
        seen += ask(connection, f"SELECT @v, COLLATION(@v) FROM users WHERE user_id = {user}")
    assert seen[0] == seen[1]
    assert seen[0][0] == shown
    wait_for_pins(gate, {})


def test_nothing_is_left_of_the_variables_of_another_session(gate: GateProcess) -> None:
    """Not even the collation that NULL has."""
    query = "SELECT @left, COLLATION(@left)"
    with gate.connect() as first:
        ask(first, "SET @left = 'text'")
        assert ask(first, query) == [("text", "utf8mb4_0900_ai_ci")]
    with gate.connect() as second:
        assert ask(second, query) == [(None, "binary")]


def test_select_into_sets_variables_of_the_session(gate: GateProcess, connection: Any) -> None:
    one, other = one_of(0), one_of(1)
    ask(connection, f"SELECT name, worth INTO @name, @worth FROM users WHERE user_id = {one}")
    assert ask(connection, f"SELECT @name, @worth FROM users WHERE user_id = {other}") == [
        (f"user {one}", Decimal(f"{one}.2500"))
    ]
    ask(connection, "SET @name = 'other'")
    assert ask(connection, "SELECT @name") == [("other",)]
    code, text = refused(connection, "SELECT @n := user_id FROM users")
    assert code == 1235 and "SET @name" in text
    with gate.connect() as stranger:
        for user in (one, other):
            query = f"SELECT @name, @worth FROM users WHERE user_id = {user}"
            assert ask(stranger, query) == [(None, None)]


def test_counting_with_a_variable(connection: Any) -> None:
    ask(connection, "SET @n = 10")
    user = one_of(1)
    for expected in (11, 12, 13):
        assert ask(connection, f"SELECT @n := @n + 1 FROM users WHERE user_id = {user}") == [
            (expected,)
        ]
    ask(connection, "SET @n = 10")
    assert ask(connection, "SELECT @n") == [(10,)]


# PREPARE as text


def test_a_statement_prepared_as_text_goes_where_its_values_lead(connection: Any) -> None:
    ask(connection, "PREPARE named FROM 'SELECT user_id, ? FROM users WHERE user_id = ?'")
    for user in (one_of(0), one_of(1), one_of(0)):
        ask(connection, "SET @a = 'it''s', @b = %s", user)
        with connection.cursor() as cursor:
            cursor.execute("EXECUTE named USING @a, @b")
            assert cursor.fetchall() == ((user, "it's"),)
            assert [column[0] for column in cursor.description] == ["user_id", "?"]
    ask(connection, "SET @text = 'SELECT COUNT(*) FROM users WHERE user_id > ? LIMIT 1'")
    ask(connection, "PREPARE Named FROM @text")
    ask(connection, "SET @a = 10")
    assert ask(connection, "EXECUTE nameD USING @a") == [(10,)]
    assert refused(connection, "EXECUTE named")[0] == 1210
    ask(connection, "DEALLOCATE PREPARE named")
    assert refused(connection, "EXECUTE named USING @a")[0] == 1243
    assert refused(connection, "DROP PREPARE named")[0] == 1243


def test_a_text_that_cannot_be_prepared_is_an_error_of_mysql(connection: Any) -> None:
    assert refused(connection, "PREPARE p FROM 'SELECT FROM WHERE'")[0] == 1064
    assert refused(connection, "PREPARE p FROM 'SELECT * FROM missing'")[0] == 1146
    assert refused(connection, "PREPARE p FROM 'EXECUTE q'")[0] == 1295
    assert refused(connection, "EXECUTE p")[0] == 1243


# what is kept on connections


def pinned_sessions(gate: GateProcess) -> dict[str, float]:
    """How many sessions the gate keeps a connection for, by reason."""
    found = {}
    for line in gate.metrics().splitlines():
        name, _, count = line.rpartition(" ")
        if name.startswith("mitosis_gate_pinned_sessions{") and float(count):
            found[name.split('"')[1]] = float(count)
    return found


def wait_for_pins(gate: GateProcess, expected: dict[str, float]) -> None:
    """The gate looks at what a statement left after it has passed the answer on."""
    wait_until(f"pins are {expected}", lambda: pinned_sessions(gate) == expected, seconds=60)


def test_a_user_lock_is_kept_until_it_is_released(gate: GateProcess, connection: Any) -> None:
    one, other = one_of(0), one_of(1)
    assert ask(connection, "SELECT GET_LOCK('a', 0), GET_LOCK('b', 0)") == [(1, 1)]
    wait_for_pins(gate, {"user lock": 1})
    for user in (one, other):
        ask(connection, f"UPDATE users SET name = 'locked' WHERE user_id = {user}")
    with gate.connect() as stranger:
        assert ask(stranger, "SELECT GET_LOCK('a', 0)") == [(0,)]
        assert ask(stranger, "SELECT RELEASE_LOCK('a')") == [(0,)]
        wait_for_pins(gate, {"user lock": 1})
        assert ask(connection, "SELECT RELEASE_LOCK('a')") == [(1,)]
        wait_for_pins(gate, {"user lock": 1})
        assert ask(connection, "DO RELEASE_LOCK('b')") == []
        wait_for_pins(gate, {})
        assert ask(stranger, "SELECT GET_LOCK('a', 0), GET_LOCK('b', 0)") == [(1, 1)]
        assert ask(stranger, "SELECT RELEASE_ALL_LOCKS()") == [(2,)]
    wait_for_pins(gate, {})


def test_a_user_lock_and_a_transaction_of_another_shard(gate: GateProcess, connection: Any) -> None:
    """Locks are taken on the first shard, whatever the transaction does."""
    user = one_of(1)
    ask(connection, "BEGIN")
    ask(connection, f"UPDATE users SET name = 'in' WHERE user_id = {user}")
    assert ask(connection, "SELECT GET_LOCK('c', 0)") == [(1,)]
    ask(connection, "ROLLBACK")
    with gate.connect() as stranger:
        assert ask(stranger, "SELECT GET_LOCK('c', 0)") == [(0,)]
        assert ask(connection, f"SELECT name FROM users WHERE user_id = {user}") == [
            (f"user {user}",)
        ]
        assert ask(connection, "SELECT RELEASE_LOCK('c')") == [(1,)]
        assert ask(stranger, "SELECT GET_LOCK('c', 0)") == [(1,)]


@pytest.mark.parametrize("end", ["reset", "leave", "change"])
def test_a_lock_goes_with_the_session(gate: GateProcess, rows: None, end: str) -> None:
    holder = driver(gate)
    assert one_row(holder, "SELECT GET_LOCK('d', 0)") == (1,)
    if end == "reset":
        holder.cmd_reset_connection()
    elif end == "change":
        holder.cmd_change_user(READER, READER_PASSWORD, KEYSPACE)
    else:
        holder.close()
    with gate.connect() as stranger:
        assert ask(stranger, "SELECT GET_LOCK('d', 20)") == [(1,)]
    holder.close()


def test_a_computed_lock_is_kept_until_all_are_released(gate: GateProcess, connection: Any) -> None:
    assert ask(connection, "SELECT GET_LOCK(CONCAT('e', 'f'), 0)") == [(1,)]
    assert ask(connection, "SELECT RELEASE_LOCK('ef')") == [(1,)]
    wait_for_pins(gate, {"user lock": 1})
    assert ask(connection, "SELECT RELEASE_ALL_LOCKS()") == [(0,)]
    wait_for_pins(gate, {})


def test_a_prepared_lock_is_known_by_its_value(gate: GateProcess, prepared: Any) -> None:
    prepared.execute("SELECT GET_LOCK(?, ?)", ("g", 0))
    assert prepared.fetchall() == [(1,)]
    wait_for_pins(gate, {"user lock": 1})
    prepared.execute("SELECT RELEASE_LOCK(?)", ("g",))
    assert prepared.fetchall() == [(1,)]
    wait_for_pins(gate, {})
