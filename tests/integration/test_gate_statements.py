"""What applications do with SQL, through a real gate on two real shards."""

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from gates import GateProcess, Shards
from waiting import wait_until

from mitosis_routing.hashing import slot_of
from mitosis_routing.table import TableRule

pytestmark = pytest.mark.mysql

RULES = (
    TableRule("users", "user_id"),
    TableRule("orders", "user_id"),
    TableRule("countries", reference=True),
    TableRule("rates", reference=True),
)
SCHEMA = (
    "CREATE TABLE users (user_id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(50) NOT NULL, age INT)",
    "CREATE TABLE orders (user_id BIGINT NOT NULL, order_id BIGINT NOT NULL, amount DECIMAL(10,2), "
    "PRIMARY KEY (user_id, order_id))",
    "CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(50), "
    "seen TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6))",
    "CREATE TABLE rates (id INT AUTO_INCREMENT PRIMARY KEY, rate INT UNIQUE)",
)
USERS = range(1, 41)
NOT_DURABLE = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2, RULES, options=NOT_DURABLE) as shards:
        yield shards


@pytest.fixture(scope="module")
def gate(shards: Shards) -> Iterator[GateProcess]:
    with GateProcess(shards.table(), shards.users()) as gate:
        with gate.connect() as connection:
            for statement in SCHEMA:
                ask(connection, statement)
        yield gate


@pytest.fixture
def connection(gate: GateProcess, shards: Shards) -> Iterator[Any]:
    """A new session; the tables hold users 1 to 40 with an order each, and two countries."""
    for shard, server in enumerate(shards.servers):
        mine = [n for n in USERS if home(n) == shard]
        with server.connect(database="shop", autocommit=False) as direct:
            for table in ("users", "orders", "countries", "rates"):
                ask(direct, f"DELETE FROM {table}")
            users = ", ".join(f"({n}, 'user {n}', {n % 7})" for n in mine)
            orders = ", ".join(f"({n}, 1, {n * 1.5})" for n in mine)
            ask(direct, f"INSERT INTO users VALUES {users}")
            ask(direct, f"INSERT INTO orders VALUES {orders}")
            ask(
                direct,
                "INSERT INTO countries (code, name, seen) VALUES "
                "('DE', 'Germany', '2026-01-01'), ('FR', 'France', '2026-01-01')",
            )
            direct.commit()
    with gate.connect() as connection:
        yield connection


def ask(connection: Any, statement: str, *parameters: Any) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall())


def refused(connection: Any, statement: str) -> tuple[int, str]:
    with pytest.raises(pymysql.MySQLError) as error:
        ask(connection, statement)
    code, text = error.value.args
    return code, text


def home(user_id: int) -> int:
    """Which of the two shards has the rows of this user."""
    return slot_of(str(user_id).encode(), 64) // 32


def one_user_of(shard: int) -> int:
    return next(n for n in USERS if home(n) == shard)


# where rows lie, and reads


def test_each_row_lies_on_the_shard_of_its_slot(connection: Any, shards: Shards) -> None:
    for shard, rows in enumerate(shards.rows("SELECT user_id FROM users")):
        assert rows, "both shards have rows"
        assert all(home(user_id) == shard for (user_id,) in rows)


def test_a_read_by_key_gives_the_row(connection: Any) -> None:
    for n in USERS:
        assert ask(connection, "SELECT name FROM users WHERE user_id = %s", n) == [(f"user {n}",)]


def test_a_scatter_gives_all_rows_of_all_shards(connection: Any) -> None:
    rows = ask(connection, "SELECT user_id, name FROM users")
    assert sorted(rows) == [(n, f"user {n}") for n in USERS]
    rows = ask(connection, "SELECT user_id FROM users WHERE age = 3")
    assert sorted(rows) == [(n,) for n in USERS if n % 7 == 3]


def test_a_scatter_without_rows_has_columns(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT user_id AS id, name FROM users WHERE age > 1000")
        assert cursor.fetchall() == ()
        assert [column[0] for column in cursor.description] == ["id", "name"]


def test_in_lists_reach_each_key(connection: Any) -> None:
    rows = ask(connection, "SELECT user_id FROM users WHERE user_id IN (1, 2, 3, 17, 1000)")
    assert sorted(rows) == [(1,), (2,), (3,), (17,)]


def test_tables_with_the_same_key_join_inside_their_shards(connection: Any) -> None:
    one = ask(
        connection,
        "SELECT u.name, o.amount FROM users u JOIN orders o ON o.user_id = u.user_id "
        "WHERE u.user_id = 7",
    )
    assert [(name, float(amount)) for name, amount in one] == [("user 7", 10.5)]
    every = ask(
        connection,
        "SELECT u.user_id, c.name FROM users u JOIN orders o ON o.user_id = u.user_id "
        "JOIN countries c ON c.code = 'DE'",
    )
    assert sorted(every) == [(n, "Germany") for n in USERS]


def test_a_wide_scatter_streams_every_row(connection: Any, shards: Shards) -> None:
    shards.run("ALTER TABLE users MODIFY name VARCHAR(4000) NOT NULL")
    blob = "x" * 2000
    for shard, server in enumerate(shards.servers):
        new = (n for n in range(10_000, 13_000) if home(n) == shard)
        with server.connect(database="shop") as direct:
            ask(direct, "INSERT INTO users VALUES " + ", ".join(f"({n}, '{blob}', 1)" for n in new))
    expected = sum(len(rows) for rows in shards.rows("SELECT 1 FROM users WHERE age = 1"))
    cursor = connection.cursor(pymysql.cursors.SSCursor)
    cursor.execute("SELECT user_id, name FROM users WHERE age = 1")
    assert sum(1 for _ in cursor) == expected > 2000
    cursor.close()
    shards.run("DELETE FROM users WHERE user_id >= 10000")
    shards.run("ALTER TABLE users MODIFY name VARCHAR(50) NOT NULL")


# writes


def test_updates_and_deletes_by_key_touch_one_row(connection: Any) -> None:
    with connection.cursor() as cursor:
        assert cursor.execute("UPDATE users SET name = 'new' WHERE user_id = 5") == 1
        assert cursor.execute("DELETE FROM users WHERE user_id = 6") == 1
    assert ask(connection, "SELECT name FROM users WHERE user_id IN (5, 6)") == [("new",)]


def test_rows_of_one_shard_can_be_inserted_together(connection: Any) -> None:
    same = [n for n in range(100, 200) if home(n) == 0][:3]
    values = ", ".join(f"({n}, 'x', 1)" for n in same)
    ask(connection, f"INSERT INTO users VALUES {values}")
    assert len(ask(connection, f"SELECT 1 FROM users WHERE user_id IN {tuple(same)}")) == 3


def test_rows_of_two_shards_in_one_insert_are_taken_whole_or_not_at_all(connection: Any) -> None:
    a = next(n for n in range(100, 200) if home(n) == 0)
    b = next(n for n in range(100, 200) if home(n) == 1)
    there = f"SELECT user_id FROM users WHERE user_id IN ({a}, {b}) ORDER BY user_id"
    ask(connection, f"INSERT INTO users VALUES ({a}, 'x', 1), ({b}, 'x', 1)")
    assert ask(connection, there) == sorted([(a,), (b,)])
    ask(connection, f"DELETE FROM users WHERE user_id = {a}")
    code, _ = refused(connection, f"INSERT INTO users VALUES ({a}, 'x', 1), ({b}, 'x', 1)")
    assert code == 1062
    assert ask(connection, there) == [(b,)]


# transactions


def test_a_transaction_is_atomic_on_its_shard(connection: Any, gate: GateProcess) -> None:
    ask(connection, "BEGIN")
    ask(connection, "UPDATE users SET name = 'gone' WHERE user_id = 1")
    ask(connection, "DELETE FROM orders WHERE user_id = 1")
    assert ask(connection, "SELECT name FROM users WHERE user_id = 1") == [("gone",)]
    with gate.connect() as other:
        assert ask(other, "SELECT name FROM users WHERE user_id = 1") == [("user 1",)]
    ask(connection, "ROLLBACK")
    assert ask(connection, "SELECT name FROM users WHERE user_id = 1") == [("user 1",)]
    ask(connection, "BEGIN")
    ask(connection, "UPDATE users SET name = 'kept' WHERE user_id = 1")
    ask(connection, "COMMIT")
    with gate.connect() as other:
        assert ask(other, "SELECT name FROM users WHERE user_id = 1") == [("kept",)]


def test_a_transaction_of_mode_single_refuses_a_second_shard(connection: Any) -> None:
    first, second = one_user_of(0), one_user_of(1)
    ask(connection, "SET transaction_mode = 'single'")
    ask(connection, "BEGIN")
    ask(connection, f"UPDATE users SET name = 'new' WHERE user_id = {first}")
    code, text = refused(connection, f"UPDATE users SET name = 'new' WHERE user_id = {second}")
    assert code == 1235 and "one shard" in text
    assert refused(connection, "SELECT name FROM users")[0] == 1235
    ask(connection, "COMMIT")
    rows = ask(
        connection,
        f"SELECT user_id FROM users WHERE user_id IN ({first}, {second}) AND name = 'new'",
    )
    assert rows == [(first,)]


def test_savepoints_work_in_a_transaction(connection: Any) -> None:
    ask(connection, "BEGIN")
    ask(connection, "UPDATE users SET name = 'one' WHERE user_id = 2")
    ask(connection, "SAVEPOINT s")
    ask(connection, "UPDATE users SET name = 'two' WHERE user_id = 2")
    ask(connection, "ROLLBACK TO SAVEPOINT s")
    ask(connection, "COMMIT")
    assert ask(connection, "SELECT name FROM users WHERE user_id = 2") == [("one",)]


def test_autocommit_0_keeps_changes_until_commit(gate: GateProcess, connection: Any) -> None:
    with gate.connect(autocommit=False) as late:
        ask(late, "UPDATE users SET name = 'late' WHERE user_id = 3")
        assert ask(connection, "SELECT name FROM users WHERE user_id = 3") == [("user 3",)]
        late.commit()
        assert ask(connection, "SELECT name FROM users WHERE user_id = 3") == [("late",)]
        ask(late, "UPDATE users SET name = 'never' WHERE user_id = 3")
        late.rollback()
        ask(late, "UPDATE users SET name = 'at once' WHERE user_id = 3")
        ask(late, "SET autocommit = 1")
        assert ask(connection, "SELECT name FROM users WHERE user_id = 3") == [("at once",)]


def test_several_shards_can_be_read_with_autocommit_0(gate: GateProcess, connection: Any) -> None:
    with gate.connect(autocommit=False) as late:
        assert len(ask(late, "SELECT * FROM users")) == len(USERS)


def test_a_client_that_leaves_rolls_back(gate: GateProcess, connection: Any) -> None:
    leaving = gate.connect()
    ask(leaving, "BEGIN")
    ask(leaving, "UPDATE users SET name = 'lost' WHERE user_id = 4")
    leaving._force_close()
    ask(connection, "SET innodb_lock_wait_timeout = 20")
    ask(connection, "UPDATE users SET age = 99 WHERE user_id = 4")
    assert ask(connection, "SELECT name, age FROM users WHERE user_id = 4") == [("user 4", 99)]


# reference tables


def test_a_reference_table_is_written_on_every_shard_alike(connection: Any, shards: Shards) -> None:
    with connection.cursor() as cursor:
        affected = cursor.execute("INSERT INTO countries (code, name) VALUES ('IT', 'Italy')")
    assert affected == 1
    first, second = shards.rows("SELECT * FROM countries ORDER BY code")
    assert len(first) == 3
    assert first == second, "also the time of CURRENT_TIMESTAMP is the same"
    ask(connection, "UPDATE countries SET name = 'Italia', seen = NOW(6) WHERE code = 'IT'")
    ask(connection, "DELETE FROM countries WHERE code = 'FR'")
    first, second = shards.rows("SELECT * FROM countries ORDER BY code")
    assert first == second
    assert [row[:2] for row in first] == [("DE", "Germany"), ("IT", "Italia")]


def test_generated_ids_are_the_same_in_each_copy(connection: Any, shards: Shards) -> None:
    ask(connection, "INSERT INTO rates (rate) VALUES (10), (20)")
    ((number,),) = ask(connection, "SELECT LAST_INSERT_ID()")
    copy = [(number, 10), (number + 1, 20)]
    assert shards.rows("SELECT id, rate FROM rates ORDER BY id") == [copy, copy]


def test_a_write_that_one_copy_refuses_is_undone_on_all(connection: Any, shards: Shards) -> None:
    with shards.servers[1].connect(database="shop") as direct:
        ask(direct, "INSERT INTO rates VALUES (7, 70)")
    assert refused(connection, "INSERT INTO rates VALUES (8, 70)")[0] == 1062
    assert shards.rows("SELECT id, rate FROM rates") == [[], [(7, 70)]]
    code, text = refused(connection, "DELETE FROM rates WHERE id = 7")
    assert code == 1430 and "copies of the table differ" in text
    assert shards.rows("SELECT id FROM rates") == [[], [(7,)]], "nothing was kept"


def test_a_reference_table_is_written_inside_a_transaction(connection: Any, shards: Shards) -> None:
    there = "SELECT COUNT(*) FROM countries WHERE code = 'XX'"
    for end, count in (("ROLLBACK", 0), ("COMMIT", 1)):
        ask(connection, "BEGIN")
        ask(connection, "INSERT INTO countries (code) VALUES ('XX')")
        ask(connection, end)
        assert shards.rows(there) == [[(count,)]] * 2


def test_a_reference_table_is_read_inside_the_transaction_of_any_shard(connection: Any) -> None:
    for user in (one_user_of(0), one_user_of(1)):
        ask(connection, "BEGIN")
        ask(connection, f"UPDATE users SET age = 1 WHERE user_id = {user}")
        assert len(ask(connection, "SELECT code FROM countries")) == 2
        ask(connection, "COMMIT")


# DDL


def test_ddl_reaches_every_shard_and_is_known_at_once(connection: Any, shards: Shards) -> None:
    ask(connection, "ALTER TABLE orders ADD COLUMN note VARCHAR(20)")
    try:
        ask(connection, "UPDATE orders SET note = 'x' WHERE user_id = 9")
        assert len(ask(connection, "SELECT note FROM orders")) == len(USERS)
        found = shards.rows("SHOW COLUMNS FROM orders LIKE 'note'")
        assert [len(rows) for rows in found] == [1, 1]
    finally:
        ask(connection, "ALTER TABLE orders DROP COLUMN note")


def test_ddl_that_fails_on_the_first_shard_changes_nothing(connection: Any) -> None:
    assert refused(connection, SCHEMA[0]) == (1050, "Table 'users' already exists")


def test_ddl_that_fails_half_way_says_where_it_is_done(connection: Any, shards: Shards) -> None:
    with shards.servers[1].connect(database="shop") as direct:
        ask(direct, "ALTER TABLE orders ADD COLUMN extra INT")
    code, text = refused(connection, "ALTER TABLE orders ADD COLUMN extra INT")
    assert code == 1430
    assert "ALTER TABLE is done on shop-0-32" in text
    assert "failed on shop-32-64 (1060 Duplicate column name 'extra')" in text
    ask(connection, "ALTER TABLE orders DROP COLUMN extra")


def test_a_column_made_behind_the_gate_is_known_to_mysql(connection: Any, shards: Shards) -> None:
    shards.run("ALTER TABLE users ADD COLUMN late INT DEFAULT 5")
    try:
        assert ask(connection, "SELECT late FROM users WHERE user_id = 1") == [(5,)]
    finally:
        shards.run("ALTER TABLE users DROP COLUMN late")


def test_a_table_made_behind_the_gate_is_found(connection: Any, shards: Shards) -> None:
    shards.run("RENAME TABLE orders TO hidden")
    assert refused(connection, "SELECT * FROM orders WHERE user_id = 1")[0] == 1146
    wait_until(
        "the gate forgets the table",
        lambda: "[gate]" in refused(connection, "SELECT * FROM orders")[1],
        seconds=30,
    )
    shards.run("RENAME TABLE hidden TO orders")
    assert len(ask(connection, "SELECT * FROM orders WHERE user_id = 1")) == 1


def test_an_unknown_table_is_1146(connection: Any) -> None:
    code, text = refused(connection, "SELECT * FROM nowhere")
    assert code == 1146 and "shop.nowhere" in text


def test_ddl_in_a_transaction_commits_it_first(connection: Any, gate: GateProcess) -> None:
    ask(connection, "BEGIN")
    ask(connection, "UPDATE users SET name = 'committed' WHERE user_id = 8")
    ask(connection, "CREATE TABLE IF NOT EXISTS users (user_id BIGINT NOT NULL PRIMARY KEY)")
    with gate.connect() as other:
        assert ask(other, "SELECT name FROM users WHERE user_id = 8") == [("committed",)]
    ask(connection, "ROLLBACK")
    assert ask(connection, "SELECT name FROM users WHERE user_id = 8") == [("committed",)]


def test_truncate_empties_every_shard(connection: Any, shards: Shards) -> None:
    ask(connection, "TRUNCATE TABLE orders")
    assert shards.rows("SELECT * FROM orders") == [[], []]


# variables of the session


def test_variables_belong_to_the_session(gate: GateProcess, connection: Any) -> None:
    ask(connection, "SET @mark = 41, sql_mode = 'NO_ENGINE_SUBSTITUTION', time_zone = '+03:00'")
    for n in (one_user_of(0), one_user_of(1)):
        row = ask(
            connection, f"SELECT @mark + 1, @@sql_mode, @@time_zone FROM users WHERE user_id = {n}"
        )
        assert row == [(42, "NO_ENGINE_SUBSTITUTION", "+03:00")]
    with gate.connect() as other:
        for n in (one_user_of(0), one_user_of(1)):
            row = ask(other, f"SELECT @mark, @@time_zone FROM users WHERE user_id = {n}")
            assert row == [(None, "SYSTEM")]


def test_a_bad_value_is_refused_and_the_session_goes_on(connection: Any) -> None:
    assert refused(connection, "SET sql_mode = 'NONSENSE'")[0] == 1231
    assert refused(connection, "SET no_such_variable = 1")[0] == 1193
    assert len(ask(connection, "SELECT * FROM users")) == len(USERS)


def test_set_default_goes_back(connection: Any) -> None:
    before = ask(connection, "SELECT @@sort_buffer_size")
    ask(connection, "SET sort_buffer_size = 65536")
    assert ask(connection, "SELECT @@sort_buffer_size") == [(65536,)]
    ask(connection, "SET sort_buffer_size = DEFAULT")
    assert ask(connection, "SELECT @@sort_buffer_size") == before


def test_isolation_is_set_for_the_session_or_the_next_transaction(connection: Any) -> None:
    ask(connection, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    assert ask(connection, "SELECT @@transaction_isolation") == [("READ-COMMITTED",)]
    ask(connection, "SET TRANSACTION READ ONLY")
    ask(connection, "BEGIN")
    assert refused(connection, "UPDATE users SET age = 1 WHERE user_id = 1")[0] == 1792
    ask(connection, "ROLLBACK")
    ask(connection, "UPDATE users SET age = 1 WHERE user_id = 1")
    ask(connection, "BEGIN")
    ask(connection, "SELECT * FROM users WHERE user_id = 1")
    assert refused(connection, "SET TRANSACTION READ ONLY")[0] == 1568
    ask(connection, "ROLLBACK")


@pytest.mark.parametrize("charset", ["utf8mb4", "latin1"])
def test_set_names_decides_how_text_comes(gate: GateProcess, charset: str, connection: Any) -> None:
    with gate.connect() as writer:
        ask(writer, "UPDATE users SET name = 'Zoë' WHERE user_id = 10")
    with gate.connect(charset=charset) as reader:
        assert ask(reader, "SELECT name FROM users WHERE user_id = 10") == [("Zoë",)]
        assert ("Zoë",) in ask(reader, "SELECT name FROM users")


def test_metadata_statements_answer_once(connection: Any) -> None:
    assert sorted(t for (t,) in ask(connection, "SHOW TABLES")) == [
        "countries",
        "orders",
        "rates",
        "users",
    ]
    assert [c[0] for c in ask(connection, "SHOW COLUMNS FROM users")] == ["user_id", "name", "age"]
    ((_, text),) = ask(connection, "SHOW CREATE TABLE users")
    assert text.startswith("CREATE TABLE `users`")
    assert ask(connection, "EXPLAIN SELECT * FROM users WHERE user_id = 1")


# refusals

REFUSALS = [
    ("INSERT INTO users VALUES (NULL, 'x', 1)", 1048, "user_id"),
    ("UPDATE users SET user_id = 5 WHERE user_id = 1", 1235, "DELETE the row and INSERT"),
    ("SELECT u.name FROM users u JOIN orders o ON o.order_id = u.age", 1235, "--merge-socket"),
    ("LOAD DATA INFILE '/x' INTO TABLE users", 1235, "[gate]"),
    ("SELECT * FROM users INTO OUTFILE '/tmp/x'", 1235, "[gate]"),
    ("LOCK TABLES users READ", 1235, "[gate]"),
    ("XA START 'x'", 1235, "[gate]"),
    ("CREATE TABLE unknown_rule (a INT)", 1235, "[gate]"),
    ("CREATE TABLE users2 AS SELECT * FROM users", 1235, "[gate]"),
    ("SET GLOBAL max_connections = 5", 1227, "spec.mysql.config"),
    ("DROP DATABASE shop", 1235, "[gate]"),
    ("this is no SQL", 1064, "[gate]"),
]


@pytest.mark.parametrize(("statement", "code", "says"), REFUSALS)
def test_what_it_cannot_do_right_it_refuses(
    connection: Any, shards: Shards, statement: str, code: int, says: str
) -> None:
    before = shards.rows("SELECT * FROM users ORDER BY user_id")
    found, text = refused(connection, statement)
    assert (found, text[:6]) == (code, "[gate]"), text
    assert says in text
    assert shards.rows("SELECT * FROM users ORDER BY user_id") == before
    assert ask(connection, "SELECT 1") == [(1,)], "the session goes on"


def test_the_client_sees_the_error_of_its_shard_unchanged(connection: Any) -> None:
    code, text = refused(connection, "INSERT INTO users VALUES (1, 'again', 1)")
    assert (code, text) == (1062, "Duplicate entry '1' for key 'users.PRIMARY'")


def test_an_error_of_one_shard_is_the_error_of_the_scatter(connection: Any) -> None:
    user = one_user_of(1)
    ask(connection, f"UPDATE users SET age = -1 WHERE user_id = {user}")
    code, _ = refused(connection, "SELECT EXP(1000 * (age = -1)) FROM users")
    assert code == 1690
    assert len(ask(connection, "SELECT * FROM users")) == len(USERS)
