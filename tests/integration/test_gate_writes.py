"""Writes to several shards against the same writes on one MySQL: rows, answers, errors."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from both import Both, World, ask, say, world_of
from gates import GateProcess, Shards
from pymysql.constants import CLIENT

from mitosis_routing.hashing import slot_of
from mitosis_routing.table import TableRule

pytestmark = pytest.mark.mysql

RULES = (
    TableRule("users", "user_id"),
    TableRule("orders", "user_id"),
    TableRule("events", "id"),
    TableRule("countries", reference=True),
    TableRule("rates", reference=True),
)
SCHEMA = (
    "CREATE TABLE users (user_id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(20) NOT NULL, age INT, "
    "seen TIMESTAMP(6) NULL)",
    "CREATE TABLE orders (id BIGINT NOT NULL AUTO_INCREMENT, user_id BIGINT NOT NULL, "
    "ref INT, amount DECIMAL(10,2), note VARCHAR(20), data VARBINARY(20), "
    "PRIMARY KEY (user_id, id), KEY (id), UNIQUE KEY ref (user_id, ref))",
    "CREATE TABLE events (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, what VARCHAR(20))",
    "CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(50), "
    "seen TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6))",
    "CREATE TABLE rates (id INT AUTO_INCREMENT PRIMARY KEY, rate INT UNIQUE)",
)
TABLES = ("users", "orders", "events", "countries", "rates")
NOT_DURABLE = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", "--local-infile=ON")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with world_of(RULES, SCHEMA, NOT_DURABLE) as world:
        yield world


@pytest.fixture(scope="module")
def shards(world: World) -> Shards:
    return world.shards


@pytest.fixture(scope="module")
def gate(world: World) -> GateProcess:
    return world.gate


@pytest.fixture
def both(world: World) -> Iterator[Both]:
    """Empty tables but for the users 1 to 20."""
    with world.both() as both:
        for table in TABLES:
            for connection in both:
                ask(connection, f"TRUNCATE TABLE {table}")
        users = ", ".join(f"({n}, 'user {n}', {n % 7}, NULL)" for n in range(1, 21))
        both.say(f"INSERT INTO users VALUES {users}")
        yield both


def home(key: object) -> int:
    return slot_of(str(key).encode(), 64) // 32


# rows of several shards


def test_rows_go_to_their_shards(both: Both, shards: Shards) -> None:
    both.same("SELECT user_id, name, age FROM users")
    for shard, rows in enumerate(shards.rows("SELECT user_id FROM users")):
        assert rows and all(home(key) == shard for (key,) in rows)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO users (name, user_id) VALUES ('a', 101), ('b', 102), ('c''\\n', 103)",
        "INSERT INTO users SET user_id = 101, name = 'a'",
        "INSERT INTO users VALUES ROW(101, 'a', 1, NULL), ROW(102, 'b', 2, NULL)",
        "INSERT IGNORE INTO users (user_id, name) VALUES (1, 'x'), (101, 'x'), (2, 'x'), (3, 'y')",
        "REPLACE INTO users (user_id, name) VALUES (1, 'x'), (2, 'x'), (101, 'x'), (102, 'x')",
        "REPLACE INTO users (user_id, name) VALUES (1, 'x'), (101, 'y')",
        "INSERT INTO users (user_id, name) VALUES (1, 'x'), (2, 'user 2'), (3, 'z'), (101, 'n') "
        "ON DUPLICATE KEY UPDATE name = VALUES(name)",
        "INSERT INTO users (user_id, name) VALUES (1, 'x'), (2, 'y'), (101, 'n') AS new "
        "ON DUPLICATE KEY UPDATE name = CONCAT(new.name, 1), age = 5",
        "INSERT INTO users (user_id, name) VALUES (1, 'x'), (101, 'n') "
        "ON DUPLICATE KEY UPDATE age = age",
        "INSERT INTO users (user_id, name) VALUES (101, 'x'), (1, 'y'), (102, 'z')",
        "INSERT INTO users (user_id, name) VALUES (101, 'a'), (102, NULL), (103, 'c')",
        "INSERT INTO users (user_id, name, age) VALUES (101, 'a', 1), (102, 'b', 2), "
        "(103, 'c', 'many'), (104, 'd', 3)",
        "INSERT INTO users (user_id, name) VALUES (101, 'a'), (102, 'much too long for a name'), "
        "(103, 'c')",
        "INSERT INTO users (user_id, name) VALUES (101, 'a'), (102)",
        "INSERT IGNORE INTO users (user_id, name, age) VALUES (101, 'a', 'x'), (102, NULL, 2), "
        "(103, 'c', 3000000000), (104, 'd', 1), (105, 'e', 'x')",
        "INSERT INTO users (user_id, name) VALUES (101, 'a'), (102, 'b') "
        "ON DUPLICATE KEY UPDATE x = 1",
    ],
)
def test_rows_of_several_shards_are_answered_as_by_one_server(both: Both, statement: str) -> None:
    both.say(statement)
    both.same("SHOW WARNINGS")
    both.same("SELECT * FROM users")


def test_a_row_that_fails_leaves_no_row_of_its_statement(both: Both) -> None:
    said = both.say("INSERT INTO users (user_id, name) VALUES (101, 'a'), (102, 'b'), (1, 'x')")
    assert said.error[0] == 1062
    assert both.same("SELECT user_id FROM users WHERE user_id > 100") == []


def test_it_is_part_of_the_open_transaction(both: Both) -> None:
    for end in ("ROLLBACK", "COMMIT"):
        both.say("BEGIN")
        both.say("INSERT INTO users (user_id, name) VALUES (101, 'a'), (102, 'b'), (103, 'c')")
        both.say("INSERT INTO users (user_id, name) VALUES (104, 'a'), (105, 'b'), (1, 'c')")
        both.say("UPDATE users SET age = 9 WHERE user_id > 100")
        both.say(end)
        both.same("SELECT user_id, age FROM users")


def test_now_is_one_moment_on_all_shards(both: Both) -> None:
    ask(both.gate, "UPDATE users SET seen = NOW(6)")
    assert ask(both.gate, "SELECT COUNT(DISTINCT seen) FROM users") == [(1,)]


# AUTO_INCREMENT


@pytest.mark.parametrize("table", ["orders", "events"])
def test_numbers_are_given_as_by_one_server(both: Both, table: str) -> None:
    columns, values = ("user_id, ref", "{n}, {n}") if table == "orders" else ("what", "'{n}'")
    for number in range(1, 4):
        both.say(f"INSERT INTO {table} ({columns}) VALUES ({values.format(n=number)})")
        both.say("SELECT LAST_INSERT_ID()")
    rows = ", ".join(f"({values.format(n=n)})" for n in range(4, 14))
    assert both.say(f"INSERT INTO {table} ({columns}) VALUES {rows}").last_insert_id == 4
    both.say("SELECT LAST_INSERT_ID()")
    both.same(f"SELECT * FROM {table}")
    more = ", ".join(f"({given}, {values.format(n=20)})" for given in ("NULL",))
    both.say(f"INSERT INTO {table} (id, {columns}) VALUES {more}")
    both.say(f"INSERT INTO {table} (id, {columns}) VALUES (0, {values.format(n=21)})")
    both.say(f"INSERT INTO {table} (id, {columns}) VALUES (DEFAULT, {values.format(n=22)})")
    both.same(f"SELECT * FROM {table}")


def test_a_number_in_the_statement_moves_the_sequence_on(both: Both) -> None:
    both.say("INSERT INTO events (what) VALUES ('a'), ('b')")
    both.say("INSERT INTO events VALUES (5, 'c')")
    both.say("SELECT LAST_INSERT_ID()")
    both.say("INSERT INTO events (what) VALUES ('d')")
    both.say("INSERT INTO events VALUES (5000, 'e')")
    both.say("INSERT INTO events (what) VALUES ('f'), ('g')")
    assert both.same("SELECT id FROM events WHERE what = 'g'") == [(5002,)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT IGNORE INTO orders (user_id, ref) VALUES (1, 1), (2, 3), (3, 3)",
        "INSERT INTO orders (user_id, ref) VALUES (1, 1), (2, 3) "
        "ON DUPLICATE KEY UPDATE note = 'x'",
    ],
)
def test_the_first_number_that_was_used_is_told(both: Both, statement: str) -> None:
    """Not the number of the first row, which is not stored."""
    both.say("INSERT INTO orders (user_id, ref) VALUES (1, 1), (2, 2)")
    said, wanted = say(both.gate, statement), say(both.plain, statement)
    assert (said.affected, said.info) == (wanted.affected, wanted.info)
    assert ask(both.gate, "SELECT MIN(id) FROM orders WHERE ref = 3") == [(said.last_insert_id,)]
    assert ask(both.gate, "SELECT LAST_INSERT_ID()") == [(said.last_insert_id,)]
    both.same("SELECT user_id, ref, note FROM orders")


def test_a_change_that_fails_on_one_shard_leaves_none_on_the_others(both: Both) -> None:
    both.say("INSERT INTO orders (user_id, ref) VALUES (1, 1), (1, 2), (2, 2), (3, 2), (4, 2)")
    for connection in (both.plain, both.gate):
        assert say(connection, "UPDATE orders SET ref = 1").error[0] == 1062
    both.same("SELECT user_id, ref FROM orders")


def test_truncate_begins_at_one_again(both: Both) -> None:
    both.say("INSERT INTO events (what) VALUES ('a'), ('b'), ('c')")
    both.say("TRUNCATE TABLE events")
    assert both.say("INSERT INTO events (what) VALUES ('d')").last_insert_id == 1
    for connection in (both.plain, both.gate):
        ask(connection, "ALTER TABLE events AUTO_INCREMENT = 7000")
    assert both.say("INSERT INTO events (what) VALUES ('e')").last_insert_id == 7000


def test_no_two_clients_get_one_number(both: Both, gate: GateProcess) -> None:
    def insert(client: int) -> list[int]:
        with gate.connect() as connection:
            return [
                say(connection, "INSERT INTO events (what) VALUES ('a'), ('b')").last_insert_id
                for _ in range(40)
            ]

    with ThreadPoolExecutor(6) as pool:
        firsts = [first for found in pool.map(insert, range(6)) for first in found]
    numbers = [n for first in firsts for n in (first, first + 1)]
    assert len(set(numbers)) == len(numbers) == 480
    assert ask(both.gate, "SELECT COUNT(*), COUNT(DISTINCT id) FROM events") == [(480, 480)]


def test_zeros_are_kept_when_the_mode_says_so(both: Both) -> None:
    both.say("SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'")
    both.say("INSERT INTO events VALUES (0, 'zero'), (7, 'seven')")
    both.same("SELECT * FROM events")


# UPDATE and DELETE


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE users SET age = 3",
        "UPDATE users SET age = 3 WHERE name LIKE 'user 1%'",
        "UPDATE users SET age = age + 1 WHERE user_id IN (1, 2, 3, 99)",
        "UPDATE users SET age = 1 ORDER BY user_id DESC LIMIT 7",
        "UPDATE users SET age = 1 WHERE age > 2 ORDER BY age, user_id LIMIT 5",
        "UPDATE users SET age = 100 ORDER BY name, user_id LIMIT 4",
        "UPDATE users u JOIN orders o ON o.user_id = u.user_id SET u.age = o.ref, o.note = u.name",
        "UPDATE users u LEFT JOIN orders o ON o.user_id = u.user_id SET u.age = 50 "
        "WHERE o.user_id IS NULL",
        "UPDATE users SET age = (SELECT COUNT(*) FROM orders o WHERE o.user_id = users.user_id)",
        "UPDATE users SET name = NULL WHERE age = 2",
        "UPDATE IGNORE users SET name = NULL WHERE age = 2",
        "UPDATE users SET age = 1 WHERE user_id = 99",
        "DELETE FROM users",
        "DELETE FROM users WHERE age = 3",
        "DELETE FROM users ORDER BY user_id LIMIT 6",
        "DELETE FROM users WHERE age < 5 ORDER BY age DESC, user_id LIMIT 6",
        "DELETE u, o FROM users u JOIN orders o ON o.user_id = u.user_id WHERE o.ref < 10",
        "DELETE FROM users WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = users.user_id)",
    ],
)
def test_changes_on_all_shards_are_answered_as_by_one_server(both: Both, statement: str) -> None:
    orders = ", ".join(f"({n}, {n % 9}), ({n}, {n + 50})" for n in range(1, 11))
    both.say(f"INSERT INTO orders (user_id, ref) VALUES {orders}")
    both.say(statement)
    both.same("SELECT user_id, name, age FROM users")
    both.same("SELECT * FROM orders")


@pytest.mark.parametrize(
    "where",
    [
        "name + 0 = 'red'",
        "'red' < age",
        "age IN ('red', 'blue') OR name > 5",
        "user_id > 3 AND (age = 'red' OR name + 1 = 'red')",
        "name + 0 BETWEEN 'red' AND 'blue'",
        "user_id = 77 AND name + 0 = 'red'",
        "name + 0 = 'red' ORDER BY user_id LIMIT 100",
    ],
)
def test_what_no_row_is_to_blame_for_is_warned_of_once(both: Both, where: str) -> None:
    both.say(f"UPDATE IGNORE users SET age = 100 WHERE {where}")
    both.same("SHOW WARNINGS")
    codes = [say(c, f"UPDATE users SET age = 101 WHERE {where}").error[:1] for c in both]
    assert codes[0] == codes[1]  # which row MySQL names depends on which it looks at first
    both.same("SELECT user_id, age FROM users")


def test_strict_mode_looks_at_rows_that_limit_does_not_choose(both: Both) -> None:
    both.say("UPDATE users SET name = user_id WHERE user_id < 20")
    none, few = (
        f"DELETE FROM users WHERE name + 0 = {n} ORDER BY user_id LIMIT 3" for n in ("77", "name")
    )
    assert both.say(none).error == (1292, "Truncated incorrect DOUBLE value: 'user 20'")
    both.say(none.replace("DELETE", "DELETE IGNORE"))
    code, text = say(both.gate, few.replace("user_id LIMIT", "age LIMIT")).error
    assert code == 1235 and "before LIMIT is reached" in text
    for connection in both:
        ask(connection, "SET sql_mode = ''")
    both.say(few)
    both.same("SELECT user_id, name FROM users")


def test_limit_without_order_takes_as_many_rows_as_it_says(both: Both) -> None:
    assert say(both.gate, "DELETE FROM users LIMIT 15").affected == 15
    assert ask(both.gate, "SELECT COUNT(*) FROM users") == [(5,)]
    assert say(both.gate, "UPDATE users SET age = 70 LIMIT 3").affected == 3
    assert ask(both.gate, "SELECT COUNT(*) FROM users WHERE age = 70") == [(3,)]


# INSERT ... SELECT


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO orders (user_id, ref) SELECT user_id, age FROM users",
        "INSERT INTO orders (user_id, ref, note) SELECT age, user_id, name FROM users",
        "INSERT INTO orders (id, user_id, ref) SELECT user_id, user_id, age FROM users",
        "INSERT INTO users (user_id, name) SELECT user_id + 100, name FROM users",
        "INSERT INTO users (user_id, name) SELECT user_id, name FROM users WHERE age = 3",
        "INSERT IGNORE INTO users (user_id, name) SELECT user_id, name FROM users",
        "REPLACE INTO users SELECT user_id, UPPER(name), age, seen FROM users WHERE age = 2",
        "REPLACE INTO users (user_id, name) SELECT age, name FROM users WHERE user_id > 15",
        "INSERT INTO users (user_id, name) SELECT user_id, 'x' FROM users "
        "ON DUPLICATE KEY UPDATE age = 77",
        "INSERT INTO users (user_id, name) SELECT age + 1, MAX(name) FROM users GROUP BY age "
        "ON DUPLICATE KEY UPDATE name = VALUES(name)",
        "INSERT INTO countries (code, name) SELECT age, MAX(name) FROM users GROUP BY age",
        "INSERT INTO rates (rate) SELECT user_id FROM users ORDER BY user_id",
        "INSERT INTO events (what) SELECT name FROM users ORDER BY user_id",
        "INSERT INTO users (user_id, name) SELECT user_id FROM users",
        "INSERT INTO users (user_id, name) SELECT 200 + user_id, NULL FROM users",
    ],
)
def test_rows_of_a_select_are_stored_as_by_one_server(both: Both, statement: str) -> None:
    wanted, found = say(both.plain, statement), say(both.gate, statement)
    if "orders (user_id, ref)" not in statement and "note" not in statement:
        assert found == wanted, statement
    assert (found.affected, found.info, found.error) == (wanted.affected, wanted.info, wanted.error)
    both.same("SELECT user_id, name, age FROM users")
    both.same("SELECT user_id, ref, note FROM orders")
    for table in ("events", "rates"):
        both.same(f"SELECT * FROM {table}")
    both.same("SELECT code, name FROM countries")


def test_values_pass_through_the_gate_unchanged(both: Both) -> None:
    both.say(
        "INSERT INTO orders (user_id, ref, amount, note, data) VALUES "
        "(1, 1, 12.34, 'it''s \\\\ \\n ü€😀', x'00ff27'), (2, NULL, -0.01, '', ''), "
        "(3, 2, NULL, NULL, NULL)"
    )
    both.say(
        "INSERT INTO orders (user_id, ref, amount, note, data) "
        "SELECT user_id + 1, ref, amount, note, data FROM orders"
    )
    both.same("SELECT user_id, ref, amount, note, data FROM orders")


# another sharding key


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE users SET user_id = 101 WHERE user_id = 1",
        "UPDATE users SET user_id = 101, name = 'x', age = age + 1 WHERE user_id = 2",
        "UPDATE orders SET user_id = 7, note = DEFAULT",
        "UPDATE orders o SET o.user_id = 7 WHERE o.ref > 3",
        "UPDATE orders SET user_id = 7, ref = ref + 10",
        "UPDATE users SET user_id = 3 WHERE user_id = 1",
        "UPDATE users SET user_id = 3, name = 'same' WHERE user_id = 3",
        "UPDATE users SET user_id = 101 WHERE user_id = 99",
    ],
)
def test_rows_move_to_the_shard_of_their_new_key(
    both: Both, shards: Shards, statement: str
) -> None:
    both.say(
        "INSERT INTO orders (user_id, ref, note, data) VALUES (1, 1, 'a''b', x'ff'), "
        "(2, 2, '', ''), (3, 3, NULL, NULL), (4, 4, 'd', NULL), (7, 7, 'e', NULL)"
    )
    ask(both.gate, "SET gate_key_update = 'move'")
    both.say(statement)
    both.same("SELECT user_id, name, age FROM users")
    both.same("SELECT user_id, ref, note, data FROM orders")
    for table in ("users", "orders"):
        for shard, rows in enumerate(shards.rows(f"SELECT user_id FROM {table}")):
            assert all(home(key) == shard for (key,) in rows)


def test_another_key_is_refused_unless_asked_for(both: Both) -> None:
    said = say(both.gate, "UPDATE users SET user_id = 101 WHERE user_id = 1")
    assert said.error[0] == 1235 and "gate_key_update = 'move'" in said.error[1]
    same = say(both.gate, "UPDATE users SET user_id = 1, name = 'x' WHERE user_id = 1")
    assert same.affected == 1


# reference tables


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO rates (rate) VALUES (10), (20), (30)",
        "INSERT INTO rates VALUES (NULL, 10), (7, 20), (NULL, 30)",
        "INSERT INTO countries (code, name) VALUES ('de', 'x'), ('fr', 'y')",
        "INSERT IGNORE INTO rates (rate) VALUES (10), (10), (20)",
        "INSERT INTO rates (rate) VALUES (10), (10)",
    ],
)
def test_reference_tables_are_written_on_all_shards(
    both: Both, shards: Shards, statement: str
) -> None:
    wanted, found = say(both.plain, statement), say(both.gate, statement)
    assert (found.affected, found.info, found.error) == (wanted.affected, wanted.info, wanted.error)
    both.same("SELECT rate FROM rates")
    for table in ("rates", "countries"):
        one, other = shards.rows(f"SELECT * FROM {table}")
        assert one == other


def test_reference_tables_are_written_inside_transactions(both: Both, shards: Shards) -> None:
    both.say("SET autocommit = 0")
    both.say("INSERT INTO rates (rate) VALUES (1)")
    both.say("UPDATE users SET age = 5 WHERE user_id = 3")
    both.say("ROLLBACK")
    both.same("SELECT * FROM rates")
    both.say("INSERT INTO countries (code, name) VALUES ('it', NOW())")
    both.say("INSERT INTO rates (rate) VALUES (2)")
    both.say("COMMIT")
    one, other = shards.rows("SELECT * FROM countries")
    assert one == other and len(one) == 1
    one, other = shards.rows("SELECT * FROM rates")
    assert one == other and len(one) == 1


def test_found_rows_are_told_to_clients_that_ask_for_them(world: World, both: Both) -> None:
    with world.both(client_flag=CLIENT.FOUND_ROWS) as found:
        assert found.say("UPDATE users SET age = 3").affected == 20
        found.say(
            "INSERT INTO users (user_id, name) VALUES (1, 'user 1'), (2, 'y'), (101, 'n') "
            "ON DUPLICATE KEY UPDATE name = VALUES(name)"
        )
