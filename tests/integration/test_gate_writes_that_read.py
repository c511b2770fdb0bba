"""Writes with subqueries over shards, against the same on one MySQL."""

import threading
from collections.abc import Iterator

import mysql.connector
import pytest
from both import Both, World, ask, say, world_of
from gates import KEYSPACE, PASSWORD, USER
from merge_servers import MergeServer
from waiting import wait_until

from mitosis_routing.table import TableRule

pytestmark = pytest.mark.mysql

RULES = (
    TableRule("users", "user_id"),
    TableRule("orders", "user_id"),
    TableRule("teams", "id"),
    TableRule("words", "w"),
    TableRule("keyless", "id"),
    TableRule("countries", reference=True),
    TableRule("notes"),
)
SCHEMA = (
    "CREATE TABLE users (user_id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(20), age INT, "
    "team INT, seen DATETIME(6))",
    "CREATE TABLE orders (id BIGINT NOT NULL, user_id BIGINT NOT NULL, amount DECIMAL(10,2), "
    "note VARCHAR(20), PRIMARY KEY (user_id, id))",
    "CREATE TABLE teams (id INT NOT NULL PRIMARY KEY, title VARCHAR(20), size INT)",
    "CREATE TABLE words (w VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NOT NULL, "
    "d DATE NOT NULL, b VARBINARY(9) NOT NULL, n INT, PRIMARY KEY (b, w, d))",
    "CREATE TABLE keyless (id INT NOT NULL, n INT)",
    "CREATE TABLE countries (code CHAR(2) PRIMARY KEY, n INT)",
    "CREATE TABLE notes (id INT PRIMARY KEY, n INT, text VARCHAR(40))",
)
ROWS = (
    "INSERT INTO users VALUES "
    + ", ".join(f"({n}, 'user {n}', {20 + n % 9}, {n % 4}, NULL)" for n in range(1, 31)),
    "INSERT INTO orders VALUES "
    + ", ".join(f"({n}, {n % 13 + 1}, {n}.50, 'note {n % 5}')" for n in range(1, 41)),
    "INSERT INTO teams VALUES (0, 'zero', 0), (1, 'one', 1), (2, 'two', 2), (7, 'seven', NULL)",
    "INSERT INTO words VALUES ('a', '2026-01-01', 'x', 1), ('é''\\\\', '2026-01-02', 0x00ff27, 2), "
    "('c', '2026-01-03', '', 3), ('d ', '2026-01-04', 'y', 4)",
    "INSERT INTO keyless VALUES (1, 1), (2, 2), (3, 3)",
    "INSERT INTO countries VALUES ('de', 1), ('fr', 2)",
    "INSERT INTO notes VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')",
)
TABLES = ("users", "orders", "teams", "words", "keyless", "countries", "notes")
NOT_DURABLE = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with MergeServer() as merge, world_of(RULES, SCHEMA, NOT_DURABLE, merge.option) as world:
        yield world


@pytest.fixture
def both(world: World) -> Iterator[Both]:
    with world.both() as both:
        for connection in both:
            for table in TABLES:
                ask(connection, f"DELETE FROM {table}")
            for statement in ROWS:
                ask(connection, statement)
        yield both


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM users WHERE team IN (SELECT id FROM teams)",
        "DELETE FROM users WHERE team NOT IN (SELECT id FROM teams WHERE size > 0)",
        "DELETE FROM users WHERE team NOT IN (SELECT size FROM teams)",
        "DELETE FROM users WHERE team NOT IN (SELECT id FROM teams WHERE id > 100)",
        "DELETE FROM users AS u WHERE EXISTS (SELECT * FROM teams t WHERE t.id = u.team)",
        "DELETE FROM users WHERE user_id > (SELECT MAX(id) FROM teams) AND age > 22",
        "DELETE FROM orders WHERE id IN (SELECT user_id FROM users WHERE age = 25)",
        "DELETE FROM orders WHERE (id, amount) IN (SELECT user_id, user_id + 0.5 FROM users)",
        "DELETE FROM words WHERE n IN (SELECT id FROM teams) OR n = (SELECT COUNT(*) FROM teams)",
        "DELETE FROM users WHERE team IN (SELECT id FROM teams) ORDER BY age DESC, user_id LIMIT 7",
        "DELETE FROM notes WHERE id IN (SELECT team FROM users)",
        "UPDATE users SET name = 'x', age = age + 1 WHERE team IN (SELECT id FROM teams)",
        "UPDATE users u SET u.age = NULL WHERE u.user_id = (SELECT MIN(size) + 1 FROM teams)",
        "UPDATE users SET age = 1 WHERE team = (SELECT id FROM teams WHERE title = 'none')",
        "UPDATE users SET age = 1 WHERE team = (SELECT id FROM teams)",
        "UPDATE users SET age = 1 WHERE user_id IN (SELECT user_id FROM users WHERE age > 3)",
        "UPDATE users SET age = 1 WHERE age IN (SELECT age FROM users WHERE age > 3)",
        "UPDATE users SET nothing = 1 WHERE team IN (SELECT id FROM teams)",
        "UPDATE users SET age = 1 WHERE team IN (SELECT nothing FROM teams)",
        "UPDATE users SET age = 'many' WHERE team IN (SELECT id FROM teams)",
        "UPDATE IGNORE users SET age = 5 WHERE user_id = (SELECT MAX(id) FROM teams)",
        "UPDATE orders SET note = CONCAT(note, '!') WHERE amount > (SELECT AVG(age) FROM users)",
        "UPDATE users SET age = age WHERE team IN (SELECT id FROM teams)",
        "UPDATE users SET age = 0 WHERE team IN (SELECT id FROM teams) ORDER BY user_id LIMIT 3",
        "UPDATE notes SET n = 10 WHERE id IN (SELECT id FROM teams)",
        "UPDATE users SET age = 9 WHERE user_id IN (SELECT id FROM notes)",
        "UPDATE users SET age = 9 WHERE team = (SELECT n FROM notes WHERE text = 'b')",
        "DELETE u FROM users u JOIN teams t ON t.id = u.team WHERE t.size > 0",
        "DELETE FROM u USING users u LEFT JOIN teams t ON t.id = u.team WHERE t.id IS NULL",
        "DELETE u FROM users u JOIN orders o ON o.id = u.user_id WHERE o.amount > 5",
        "DELETE u FROM users u, orders o WHERE o.amount > u.age AND o.id < 30",
        "DELETE users FROM users JOIN (SELECT id FROM teams WHERE size > 1) x ON x.id = users.team",
        "DELETE n FROM notes n JOIN users u ON u.team = n.id",
        "UPDATE users u JOIN teams t ON t.id = u.team SET u.age = u.age + 1, u.name = 'joined'",
        "UPDATE users u, orders o SET name = 'cheap' WHERE o.id = u.user_id AND o.amount < 9",
        "UPDATE users u JOIN teams t ON t.id = u.team AND t.size = 1 SET age = 3 WHERE u.age > 22",
        "UPDATE IGNORE users u JOIN teams t ON t.id = u.team SET u.age = 1 WHERE t.title = 'one'",
        "UPDATE notes n JOIN users u ON u.user_id = n.id SET n.text = CONCAT(n.text, n.n)",
        "UPDATE users u JOIN teams t ON t.id = u.team SET u.nothing = 1",
        "UPDATE users u JOIN teams t ON t.id = u.team SET u.age = 'many'",
        "UPDATE users SET age = (SELECT COUNT(*) FROM orders)",
        "UPDATE users SET age = (SELECT MAX(size) FROM teams), name = (SELECT title FROM teams "
        "WHERE id = 7) WHERE user_id = 3",
        "UPDATE users SET age = (SELECT MAX(size) FROM teams) WHERE team IN (SELECT id FROM teams)",
        "UPDATE users SET name = (SELECT title FROM teams WHERE id = 100) WHERE user_id < 4",
        "UPDATE users SET age = (SELECT size FROM teams) WHERE user_id < 4",
        "UPDATE users SET age = (SELECT MAX(age) FROM users)",
        "UPDATE notes SET text = (SELECT title FROM teams WHERE id = 2) WHERE id = 1",
        "UPDATE countries SET n = (SELECT COUNT(*) FROM users) WHERE code = 'de'",
        "INSERT INTO users (user_id, age) VALUES (101, (SELECT COUNT(*) FROM orders)), (102, 3)",
        "INSERT INTO users (user_id, name) VALUES ((SELECT MAX(id) + 200 FROM orders), 'x')",
        "INSERT INTO users SET user_id = 101, name = (SELECT title FROM teams WHERE id = 1)",
        "INSERT INTO users (user_id) VALUES ((SELECT MAX(user_id) + 1 FROM users))",
        "INSERT INTO users (user_id, age) VALUES (1 + 9, IFNULL((SELECT MAX(id) FROM teams), 0))",
        "REPLACE INTO users (user_id, name) VALUES (3, (SELECT title FROM teams WHERE id = 1))",
        "INSERT INTO users (user_id, age) VALUES (3, (SELECT COUNT(*) FROM teams)) "
        "ON DUPLICATE KEY UPDATE age = VALUES(age)",
        "INSERT INTO users (user_id, age) VALUES (3, (SELECT COUNT(*) FROM teams))",
        "INSERT INTO countries VALUES ('it', (SELECT COUNT(*) FROM orders))",
        "INSERT INTO notes VALUES (9, (SELECT SUM(amount) FROM orders), 'sum')",
    ],
)
def test_it_is_answered_as_by_one_server(both: Both, statement: str) -> None:
    said = both.say(statement)
    both.same("SHOW WARNINGS")
    both.all_the_same(TABLES)
    assert "read first" not in str(said.error)


def test_rows_stay_on_their_shards(both: Both, world: World) -> None:
    both.say("UPDATE users SET name = 'y' WHERE team IN (SELECT id FROM teams)")
    both.say("INSERT INTO users (user_id) VALUES ((SELECT MAX(id) + 500 FROM orders))")
    for shard, rows in enumerate(world.shards.rows("SELECT CRC32(user_id) MOD 64 FROM users")):
        assert rows and all(slot // 32 == shard for (slot,) in rows)


def test_it_is_part_of_the_open_transaction(both: Both) -> None:
    for end in ("ROLLBACK", "COMMIT"):
        both.say("BEGIN")
        both.say("INSERT INTO teams VALUES (3, 'three', 3)")
        both.say("UPDATE users SET age = 99 WHERE team IN (SELECT id FROM teams WHERE size = 3)")
        both.say("DELETE FROM orders WHERE amount > (SELECT MAX(age) / 3 FROM users)")
        both.say("INSERT INTO users (user_id, age) VALUES (77, (SELECT MAX(size) FROM teams))")
        both.say("UPDATE users SET age = (SELECT MAX(size) FROM teams) WHERE user_id = 5")
        both.say(end)
        both.all_the_same(TABLES)


def test_a_failure_leaves_nothing(both: Both) -> None:
    said = both.say("UPDATE users SET age = 3000000000 WHERE team IN (SELECT id FROM teams)")
    assert said.error[0] == 1264
    both.all_the_same(TABLES)


def test_many_rows_are_written_in_parts(both: Both) -> None:
    rows = ", ".join(f"({n}, 'many', 1, 7, NULL)" for n in range(1000, 4500))
    both.say(f"INSERT INTO users VALUES {rows}")
    both.say("UPDATE users SET age = age + 1 WHERE team IN (SELECT id FROM teams WHERE id = 7)")
    both.same("SELECT age, COUNT(*) FROM users GROUP BY age")
    both.say("DELETE FROM users WHERE team IN (SELECT id FROM teams WHERE id = 7)")
    both.same("SELECT COUNT(*) FROM users")


def test_now_is_one_moment(both: Both) -> None:
    ask(both.gate, "UPDATE users SET seen = NOW(6) WHERE team IN (SELECT id FROM teams)")
    assert len(ask(both.gate, "SELECT DISTINCT seen FROM users WHERE seen IS NOT NULL")) == 1


def test_what_is_read_stays_locked_until_the_write_is_committed(both: Both, world: World) -> None:
    done = threading.Event()

    def change() -> None:
        with world.gate.connect() as other:
            ask(other, "UPDATE teams SET size = 100 WHERE id = 1")
            done.set()

    ask(both.gate, "BEGIN")
    ask(both.gate, "UPDATE users SET age = 1 WHERE team IN (SELECT id FROM teams WHERE size = 1)")
    thread = threading.Thread(target=change)
    thread.start()
    blocked = "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'"
    wait_until(
        "the other session waits for the lock",
        lambda: any(server.query(blocked)[0][0] for server in world.shards.servers),
        seconds=60,
        every=0.05,
    )
    assert not done.is_set()
    ask(both.gate, "COMMIT")
    thread.join(60)
    assert done.is_set()


def test_limits_of_answers_are_not_those_of_writes(both: Both) -> None:
    both.say("SET sql_select_limit = 3")
    both.say("UPDATE users SET age = 1 WHERE team IN (SELECT id FROM teams)")
    both.say("UPDATE users SET age = (SELECT COUNT(*) FROM orders) WHERE user_id = 7")
    both.say("INSERT INTO notes SELECT user_id + 100, age, name FROM users")
    both.say("SET sql_select_limit = 0")
    both.say("INSERT INTO users (user_id) VALUES (50 + 50)")
    both.say("DELETE FROM users WHERE team IN (SELECT id FROM teams WHERE id = 1)")
    both.say("SET sql_select_limit = DEFAULT")
    both.all_the_same(TABLES)


def test_safe_updates_are_not_judged(both: Both) -> None:
    ask(both.gate, "SET sql_safe_updates = 1")
    said = say(both.gate, "DELETE FROM users WHERE team IN (SELECT id FROM teams)")
    assert said.error[0] == 1235 and "sql_safe_updates" in said.error[1]
    both.same("SELECT COUNT(*) FROM users")


def test_a_copy_reads_what_is_committed_by_then(both: Both, world: World) -> None:
    for session in (both.plain, both.gate):
        ask(session, "BEGIN")
        ask(session, "SELECT COUNT(*) FROM teams")
    for connect in (world.plain.connect, world.gate.connect):
        with connect(database=KEYSPACE, autocommit=True) as other:
            ask(other, "INSERT INTO teams VALUES (50, 'new', 50), (51, 'newer', 51)")
    both.same("SELECT id FROM teams")
    both.say("INSERT INTO notes SELECT id, size, title FROM teams WHERE id > 40")
    assert both.say("INSERT INTO users (user_id) SELECT id + 1000 FROM teams").affected == 6
    both.say("COMMIT")
    both.all_the_same(TABLES)


def test_prepared_statements(both: Both, world: World) -> None:
    for port, user, password in ((world.gate.port, USER, PASSWORD), (world.plain.port, "root", "")):
        with mysql.connector.connect(
            host="127.0.0.1", port=port, user=user, password=password, database=KEYSPACE
        ) as connection:
            cursor = connection.cursor(prepared=True)
            sql = "UPDATE users SET age = ? WHERE team IN (SELECT id FROM teams WHERE size > ?)"
            cursor.execute(sql, (50, 0))
            assert cursor.rowcount == 16
            cursor.execute(sql, (51, 1))
            assert cursor.rowcount == 8
            sql = "INSERT INTO users (user_id, age) VALUES (?, (SELECT COUNT(*) FROM teams))"
            cursor.execute(sql, (300,))
            cursor.execute(sql, (301,))
            connection.commit()
    both.all_the_same(TABLES)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM keyless WHERE n IN (SELECT id FROM teams)", "read first"),
        ("UPDATE users SET user_id = 9 WHERE team IN (SELECT id FROM teams)", "sharding key"),
        ("UPDATE users SET age = (SELECT size FROM teams WHERE id = team)", "names a column"),
        ("UPDATE users u JOIN teams t ON t.id = u.team SET u.age = t.size", "read first"),
        ("UPDATE users u JOIN teams t ON t.id = u.team SET u.age = 1, t.size = 2", "read first"),
        ("UPDATE users SET age = (SELECT 1 UNION SELECT size FROM teams LIMIT 1)", "UNION"),
        (
            "UPDATE users SET age = 1 WHERE team IN (SELECT id FROM teams UNION SELECT 2)",
            "read first",
        ),
        (
            "INSERT INTO users (user_id) VALUES (3) ON DUPLICATE KEY UPDATE "
            "age = (SELECT MAX(size) FROM teams)",
            "ON DUPLICATE KEY",
        ),
    ],
)
def test_the_rest_is_refused(both: Both, statement: str, told: str) -> None:
    said = say(both.gate, statement)
    assert said.error and said.error[0] == 1235 and told in said.error[1], said


def test_the_plan_is_shown(both: Both) -> None:
    rows = ask(both.gate, "GATE EXPLAIN DELETE FROM users WHERE team IN (SELECT id FROM teams)")
    assert [row[1] for row in rows] == [
        "read the keys of the rows, as planned for themselves",
        "write the rows with these keys",
    ]
