"""Views over several shards, through a real gate: compared with a plain mysqld."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mysql.connector
import pymysql
import pytest
from gates import KEYSPACE, PASSWORD, READER, READER_PASSWORD, USER, GateProcess, Shards
from merge_servers import MergeServer
from waiting import wait_until

from mitosis_routing.table import OtherTables
from mysqld import Mysqld, program

pytestmark = pytest.mark.mysql

OPTIONS = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
TABLES = (
    "CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(64), kind ENUM('b','a'), "
    "born DATE)",
    "CREATE TABLE orders (user_id BIGINT, id BIGINT, total DECIMAL(10,2), giver BIGINT, "
    "seen TIMESTAMP NULL, note VARCHAR(40) COLLATE utf8mb4_general_ci, PRIMARY KEY (user_id, id))",
    "CREATE TABLE countries (id INT PRIMARY KEY, name VARCHAR(64))",
)
VIEWS = (
    "CREATE VIEW plain AS SELECT * FROM orders",
    "CREATE VIEW big (who, amount, wording) AS SELECT user_id, total, note FROM orders "
    "WHERE total > 10 AND note <> 'it\\'s \\\\ \"x\"' WITH CHECK OPTION",
    "CREATE VIEW sums AS SELECT user_id, SUM(total) AS s, COUNT(*) AS n FROM orders "
    "GROUP BY user_id",
    "CREATE VIEW notes AS SELECT note, COUNT(*) AS n, MAX(total) AS most FROM orders GROUP BY note",
    "CREATE ALGORITHM = TEMPTABLE VIEW givers AS SELECT u.name, g.name AS giver, o.total * 2 AS t "
    "FROM users u JOIN orders o USING (user_id) LEFT JOIN users g ON g.user_id = o.giver",
    "CREATE SQL SECURITY INVOKER VIEW nested AS SELECT who, amount, 'big' AS what FROM big "
    "UNION ALL SELECT user_id, s, 'sum' FROM sums",
    "CREATE VIEW dearest AS SELECT user_id, id, total FROM orders ORDER BY total DESC, id",
    "CREATE VIEW last AS SELECT user_id, total FROM orders ORDER BY total DESC, id LIMIT 3",
    "CREATE VIEW ranks AS SELECT name, RANK() OVER (ORDER BY born) AS r FROM users",
    "CREATE VIEW named AS WITH o AS (SELECT user_id, MAX(total) AS m FROM orders GROUP BY user_id) "
    "SELECT u.name, o.m FROM users u JOIN o ON o.user_id = u.user_id",
    "CREATE VIEW places AS SELECT UPPER(name) AS name FROM countries",
    "CREATE VIEW under AS SELECT p.note, p.id AS number, p.user_id AS payer, p.total, "
    "p.total * 2 AS doubled FROM plain AS p WHERE p.total > 7 WITH LOCAL CHECK OPTION",
    "CREATE VIEW keyless AS SELECT id, total FROM orders",
    "CREATE VIEW lands AS SELECT id, name FROM countries WHERE id < 100 WITH CHECK OPTION",
    "CREATE VIEW words AS SELECT name, IF(kind = 'a', 'één', _latin1'two') AS w, "
    "DATE_FORMAT(born, '%M') AS m, born + INTERVAL 1 DAY AS next, kind IN ('a', 'c') AS k "
    "FROM users",
)
STATEMENTS = (
    "SELECT * FROM plain ORDER BY user_id, id",
    "SELECT * FROM plain WHERE user_id = 7",
    "SELECT p.total FROM shop.plain p WHERE p.user_id IN (3, 8, 11) ORDER BY 1",
    "SELECT shop.plain.id FROM plain ORDER BY plain.note DESC, plain.user_id, id LIMIT 5 OFFSET 2",
    "SELECT note, COUNT(*), SUM(total), AVG(total) FROM plain GROUP BY note ORDER BY note",
    "SELECT COUNT(*), MIN(seen), MAX(seen) FROM plain WHERE total > 3",
    "SELECT user_id, COUNT(*) FROM plain GROUP BY user_id ORDER BY user_id",
    "SELECT COUNT(DISTINCT note) FROM plain",
    "SELECT DISTINCT note FROM plain ORDER BY note",
    "TABLE plain ORDER BY user_id, id LIMIT 3",
    "SELECT note FROM (plain) ORDER BY total LIMIT 1",
    "SELECT b.who, p.id FROM (plain p JOIN big b ON b.who = p.user_id) ORDER BY 1, 2 LIMIT 4",
    "SELECT * FROM big ORDER BY who, amount",
    "SELECT * FROM big WHERE who = 15",
    "SELECT COUNT(*), SUM(amount) FROM big b WHERE b.amount < 18 GROUP BY wording ORDER BY 2",
    "SELECT * FROM sums ORDER BY user_id",
    "SELECT SUM(s), MAX(n) FROM sums",
    "SELECT s.* FROM sums s JOIN users u ON u.user_id = s.user_id WHERE u.name = 'Name 4'",
    "SELECT * FROM notes ORDER BY note",
    "SELECT n FROM notes WHERE most > 15 ORDER BY note",
    "SELECT * FROM givers ORDER BY name, giver, t",
    "SELECT giver, SUM(t) FROM givers GROUP BY giver ORDER BY giver",
    "SELECT * FROM nested ORDER BY what, who, amount",
    "SELECT what, COUNT(*), SUM(amount) FROM nested GROUP BY what ORDER BY what",
    "SELECT * FROM nested WHERE who = 15 ORDER BY what, amount",
    "SELECT * FROM dearest",
    "SELECT id FROM dearest LIMIT 4",
    "SELECT * FROM last ORDER BY total",
    "SELECT COUNT(*) FROM last JOIN users USING (user_id)",
    "SELECT * FROM ranks ORDER BY r, name",
    "SELECT * FROM named ORDER BY m, name",
    "SELECT * FROM places ORDER BY name",
    "SELECT * FROM words ORDER BY name, w",
    "SELECT w, COUNT(*) FROM words WHERE k GROUP BY w ORDER BY w",
    "SELECT u.name FROM users u WHERE u.user_id IN (SELECT user_id FROM sums WHERE s > 12) "
    "ORDER BY 1",
    "SELECT u.name, (SELECT MAX(amount) FROM big WHERE who > u.user_id) m FROM users u "
    "ORDER BY user_id",
    "SELECT name FROM users u WHERE NOT EXISTS (SELECT 1 FROM big WHERE who = u.user_id) "
    "ORDER BY user_id",
    "WITH orders AS (SELECT 1 AS one) SELECT * FROM orders, sums ORDER BY user_id",
    "WITH b AS (SELECT * FROM big) SELECT COUNT(*) FROM b UNION SELECT COUNT(*) FROM sums "
    "ORDER BY 1",
    "SELECT a.who, b.user_id FROM big a LEFT JOIN sums b ON b.user_id = a.who + 1 ORDER BY 1",
    "SELECT amount / 3, CONCAT(wording, '!') FROM big ORDER BY who, amount",
    "SELECT nothing FROM plain",
    "SELECT * FROM sums WHERE s > 1 AND nothing = 2 AND user_id > 0",
)
ABOUT = (
    "SHOW TABLES",
    "SHOW FULL TABLES",
    "SHOW FULL TABLES WHERE Table_type = 'VIEW'",
    "SHOW CREATE VIEW big",
    "SHOW CREATE TABLE nested",
    "DESCRIBE big",
    "SHOW FULL COLUMNS FROM sums",
    "SHOW TABLE STATUS LIKE 'sums'",
    "SELECT * FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'shop' ORDER BY TABLE_NAME",
    "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop' "
    "ORDER BY TABLE_NAME",
    "SELECT COLUMN_NAME, COLUMN_TYPE, COLLATION_NAME, IS_NULLABLE FROM information_schema.COLUMNS "
    "WHERE TABLE_SCHEMA = 'shop' AND TABLE_NAME = 'words' ORDER BY ORDINAL_POSITION",
)


class World:
    """Four shards, their gate with its merge server, and one plain server with the same rows."""

    def __init__(self, shards: Shards, plain: Mysqld, gate: GateProcess) -> None:
        self.shards = shards
        self.plain = plain
        self.gate = gate

    def direct(self, **settings: Any) -> "pymysql.connections.Connection[Any]":
        defaults: dict[str, Any] = {"database": KEYSPACE, "user": USER, "password": PASSWORD}
        return self.plain.connect(**({"host": "127.0.0.1"} | defaults | settings))

    def on_both(self, *statements: str) -> None:
        for connect in (self.gate.connect, self.direct):
            with connect() as connection:
                for statement in statements:
                    ask(connection, statement)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with (
        Mysqld(options=OPTIONS) as plain,
        Shards(4, options=OPTIONS) as shards,
        MergeServer() as merge,
    ):
        plain.query(f"CREATE DATABASE {KEYSPACE}")
        plain.query(f"CREATE USER {USER}@'%%' IDENTIFIED BY %s", PASSWORD)
        plain.query(f"GRANT ALL ON {KEYSPACE}.* TO {USER}@'%'")
        late = "--schema-check-seconds=3600"
        table = replace(shards.table(), other_tables=OtherTables.UNSHARDED)
        with GateProcess(table, shards.users(), merge.option, late) as gate:
            world = World(shards, plain, gate)
            world.on_both(*TABLES, *rows(), *VIEWS)
            yield world


def rows() -> Iterator[str]:
    users, orders = [], []
    for n in range(1, 21):
        name = f"'Name {n}'" if n % 7 else "NULL"
        users.append(f"({n}, {name}, {n % 3 or 'NULL'}, '{1990 + n % 6}-0{n % 9 + 1}-11')")
        giver = 22 - n if n % 6 else "NULL"
        note = ("'a'", "'A '", "'b'", "NULL", "'é'")[n % 5]
        for number in range(1, n % 3 + 2):
            seen = f"'2020-10-25 0{n % 4}:30:0{number}'"
            orders.append(f"({n}, {n * 10 + number}, {n}.{number}5, {giver}, {seen}, {note})")
    yield "INSERT INTO countries VALUES (1, 'x'), (2, 'Y'), (3, NULL)"
    yield f"INSERT INTO users VALUES {', '.join(users)}"
    yield f"INSERT INTO orders VALUES {', '.join(orders)}"


def ask(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def answer(connection: Any, statement: str) -> Any:
    """Rows, and names and types of the columns; or the number of the error."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(statement)
        except pymysql.MySQLError as exc:
            return exc.args[0]
        found = list(cursor.fetchall())
        fields = getattr(cursor._result, "fields", ())
        return found, [(f.name, f.type_code, f.charsetnr, f.scale) for f in fields]


def refused(connection: Any, statement: str) -> tuple[int, str]:
    with pytest.raises(pymysql.MySQLError) as error:
        ask(connection, statement)
    return error.value.args[0], error.value.args[1]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_answer_is_that_of_a_single_server(world: World, statement: str) -> None:
    with world.gate.connect() as through, world.direct() as direct:
        assert answer(through, statement) == answer(direct, statement)


@pytest.mark.parametrize("statement", ABOUT)
def test_what_is_told_about_views_is_the_same(world: World, statement: str) -> None:
    with world.gate.connect() as through, world.direct() as direct:
        found, expected = answer(through, statement), answer(direct, statement)
    if statement.startswith("SHOW TABLE STATUS"):
        found, expected = ([row[-1] for row in told[0]] for told in (found, expected))
    else:
        found, expected = ((told[0], [name for name, *_ in told[1]]) for told in (found, expected))
    assert found == expected


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("SELECT * FROM big WHERE who = ?", (15,)),
        ("SELECT * FROM big WHERE amount > ? ORDER BY who LIMIT 3", ("12.5",)),
        ("SELECT s, n FROM sums WHERE user_id IN (?, ?) AND n > ? ORDER BY s", (4, 9, 0)),
        ("SELECT t, ? FROM givers WHERE giver = ? ORDER BY t", ("x", "Name 9")),
        ("SELECT what, COUNT(*) FROM nested WHERE who < ? GROUP BY what ORDER BY what", (12,)),
    ],
)
def test_prepared_statements(world: World, statement: str, values: tuple[object, ...]) -> None:
    found = []
    for port in (world.gate.port, world.plain.port):
        connection = mysql.connector.connect(
            host="127.0.0.1",
            port=port,
            user=USER,
            password=PASSWORD,
            database=KEYSPACE,
            ssl_disabled=True,
        )
        try:
            cursor = connection.cursor(prepared=True)
            runs = []
            for _ in range(2):
                cursor.execute(statement.replace("?", "%s"), values)
                runs.append(cursor.fetchall())
            found.append((runs, [(c[0], c[1]) for c in cursor.description]))
        finally:
            connection.close()
    assert found[0] == found[1]
    assert found[0][0][0], "there are rows to compare"


def test_statements_that_write_read_views(world: World) -> None:
    statements = (
        "INSERT INTO countries SELECT 10 + n, note FROM notes WHERE note IS NOT NULL AND n > 0 "
        "AND note = 'b'",
        "INSERT INTO users (user_id, name) SELECT DISTINCT who + 100, 'x' FROM big "
        "WHERE amount > 17",
        "UPDATE users SET name = 'rich' WHERE user_id IN (SELECT user_id FROM sums WHERE s > 30)",
        "DELETE FROM users WHERE user_id IN (SELECT user_id FROM sums WHERE n = 1)",
    )
    look = ("SELECT * FROM countries ORDER BY id", "SELECT * FROM users ORDER BY user_id")
    with world.gate.connect() as through, world.direct() as direct:
        for connection in (through, direct):
            connection.begin()
        for statement in statements:
            counts = []
            for connection in (through, direct):
                with connection.cursor() as cursor:
                    counts.append(cursor.execute(statement))
            assert counts[0] == counts[1] > 0
            for question in look:
                assert ask(through, question) == ask(direct, question)
        for connection in (through, direct):
            connection.rollback()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO sums (user_id) VALUES (1)",
        "UPDATE dearest SET total = 1 WHERE user_id = 5",
        "DELETE FROM last WHERE user_id = 5",
        "UPDATE nested SET amount = 1",
    ],
)
def test_a_view_with_more_in_it_is_not_written_and_its_table_is_named(
    world: World, statement: str
) -> None:
    with world.gate.connect() as connection:
        number, text = refused(connection, statement)
    assert number == 1235 and text.endswith("which over several shards is only read: write to "
                                            "orders")  # fmt: skip


WRITTEN = (
    "INSERT INTO plain (user_id, id, total) VALUES (1, 100, 5)",
    "INSERT INTO plain (user_id, id, total) VALUES (1, 100, 5), (2, 100, 6), (4, 9, 8)",
    "INSERT INTO plain VALUES (1, 100, 5, NULL, NULL, 'x'), (1 + 1, 100, 6, NULL, NULL, 'y')",
    "INSERT IGNORE INTO plain (id, user_id) VALUES (1, 1), (2, 2), (300, 3), (400, 4)",
    "REPLACE INTO plain (user_id, id, total) VALUES (1, 1, 55), (2, 2, 66), (3, 300, 77)",
    "INSERT INTO plain (user_id, id, total) VALUES (1, 1, 5), (2, 2, 6), (30, 1, 1) "
    "ON DUPLICATE KEY UPDATE total = plain.total + VALUES(total)",
    "INSERT INTO plain (id, total) VALUES (1, 1)",
    "INSERT INTO plain (user_id, id, total) SELECT user_id, id + 1000, total FROM orders",
    "UPDATE plain SET total = total + 1",
    "UPDATE plain p SET p.total = 3, p.note = 'z' WHERE p.user_id IN (3, 4, 5)",
    "UPDATE plain SET total = 1 WHERE user_id = 4 ORDER BY total DESC, id LIMIT 1",
    "DELETE FROM plain WHERE total > 12",
    "DELETE FROM plain WHERE user_id = 4 ORDER BY id DESC LIMIT 1",
    "DELETE FROM plain LIMIT 1000",
    "DELETE FROM plain",
    "UPDATE big SET amount = amount + 1",
    "UPDATE big SET amount = 1",
    "UPDATE big SET amount = 1 WHERE who = 15",
    "UPDATE IGNORE big SET amount = 1 WHERE who IN (13, 14, 15, 16)",
    "DELETE FROM big WHERE amount < 15",
    "INSERT INTO big (who, amount, wording) VALUES (1, 50, 'x'), (2, 60, 'y')",
    "INSERT INTO big (who, amount, wording) VALUES (1, 5, 'x')",
    "UPDATE under SET note = CONCAT(note, '!')",
    "UPDATE under SET doubled = 5",
    "UPDATE under SET total = 5",
    "UPDATE under SET total = 50 WHERE payer > 12",
    "INSERT INTO under (payer, number, total) VALUES (5, 500, 20), (6, 500, 30), (7, 500, 40)",
    "DELETE FROM under WHERE payer = 15",
    "INSERT INTO lands VALUES (7, 'x')",
    "UPDATE lands SET name = 'y' WHERE id < 3",
    "DELETE FROM lands",
    "UPDATE plain SET nothing = 1",
)


@pytest.mark.parametrize("statement", WRITTEN)
def test_a_view_of_one_table_is_written_like_the_table(world: World, statement: str) -> None:
    said = []
    for connect in (world.gate.connect, world.direct):
        with connect(autocommit=False) as connection, connection.cursor() as cursor:
            outcome: Any
            try:
                outcome = cursor.execute(statement), cursor._result.message
            except pymysql.MySQLError as exc:
                outcome = exc.args
            told = [outcome, ask(connection, "SHOW WARNINGS")]
            for table in ("orders", "countries"):
                told.append(sorted(ask(connection, f"SELECT * FROM {table}"), key=repr))
            said.append(told)
            connection.rollback()
    assert said[0] == said[1]


def test_rows_that_come_through_a_view_are_on_their_shards(world: World) -> None:
    with world.gate.connect() as connection:
        rows = ", ".join(f"({n}, 700, 20)" for n in range(1, 20))
        ask(connection, f"INSERT INTO plain (user_id, id, total) VALUES {rows}")
        found = world.shards.rows("SELECT CRC32(user_id) MOD 64 FROM orders WHERE id = 700")
        assert sum(map(len, found)) == 19 and all(found)
        for shard, slots in enumerate(found):
            assert all(slot // 16 == shard for (slot,) in slots)
        ask(connection, "DELETE FROM under WHERE number = 700")


def test_what_would_need_more_than_the_view_is_refused(world: World) -> None:
    with world.gate.connect() as connection:
        for statement, told in (
            ("UPDATE plain SET user_id = 3 WHERE user_id = 4", "sharding key"),
            ("UPDATE under SET payer = 3", "sharding key"),
            ("DELETE FROM plain WHERE user_id IN (SELECT user_id FROM users)", "by itself only"),
            ("UPDATE keyless SET total = 3", "only read"),
            ("DELETE FROM plain ORDER BY id DESC LIMIT 4", "write to orders"),
            ("LOAD DATA LOCAL INFILE 'x' INTO TABLE plain", "only read"),
            ("DROP TABLE plain", "view"),
            ("TRUNCATE TABLE plain", "view"),
        ):
            number, text = refused(connection, statement)
            assert number == 1235 and told in text, statement


def test_a_view_of_unsharded_tables_is_plain_mysql(world: World) -> None:
    world.on_both(
        "CREATE TABLE texts (id INT AUTO_INCREMENT PRIMARY KEY, user_id BIGINT, text VARCHAR(20))",
        "CREATE VIEW long_texts AS SELECT * FROM texts WHERE CHAR_LENGTH(text) > 3 "
        "WITH CHECK OPTION",
        "CREATE VIEW mixed AS SELECT u.name, t.text FROM users u JOIN texts t USING (user_id)",
        "INSERT INTO long_texts (user_id, text) VALUES (4, 'long enough'), (9, 'as well')",
        "INSERT INTO texts (user_id, text) VALUES (5, 'ab')",
        "UPDATE long_texts SET text = CONCAT(text, '!') WHERE id = 2",
    )
    with world.gate.connect() as through, world.direct() as direct:
        for statement in (
            "SELECT * FROM long_texts ORDER BY id FOR UPDATE",
            "SELECT u.name, l.text FROM users u JOIN long_texts l USING (user_id) ORDER BY 1",
            "SELECT * FROM mixed ORDER BY name",
            "INSERT INTO long_texts (text) VALUES ('abc')",
            "DELETE FROM long_texts",
            "SELECT COUNT(*) FROM texts",
        ):
            assert answer(through, statement) == answer(direct, statement)
    shown = world.shards.rows("SHOW FULL TABLES WHERE Table_type = 'VIEW' AND Tables_in_shop IN "
                              "('mixed', 'long_texts')")  # fmt: skip
    assert [len(rows) for rows in shown] == [2, 0, 0, 0]
    world.on_both("DROP VIEW long_texts, mixed", "DROP TABLE texts")


def test_views_come_change_and_go_on_all_shards_and_gates(world: World) -> None:
    late = "--schema-check-seconds=3600"
    with (
        GateProcess(world.shards.table(), world.shards.users(), late) as other,
        world.gate.connect() as here,
        other.connect() as there,
    ):
        ask(here, "CREATE VIEW v AS SELECT user_id AS a FROM orders")
        assert ask(there, "SELECT COUNT(*) FROM v") == ask(here, "SELECT COUNT(*) FROM orders")
        shown = world.shards.rows("SHOW CREATE VIEW v")
        assert len(shown) == 4 and all(told == shown[0] for told in shown)
        ask(here, "CREATE OR REPLACE VIEW v AS SELECT user_id AS a, name FROM users")
        wait_until(
            "the other gate knows the new definition",
            lambda: (
                answer(there, "SELECT a, name FROM v ORDER BY a LIMIT 2")
                == answer(here, "SELECT user_id AS a, name FROM users ORDER BY a LIMIT 2")
            ),
            seconds=60,
        )
        ask(there, "ALTER VIEW v AS SELECT 1 AS one")
        assert ask(there, "SELECT * FROM v") == [(1,)]
        ask(here, "DROP VIEW IF EXISTS v, no_such_view")
        assert refused(here, "SELECT * FROM v")[0] == 1146
        assert [len(told) for told in world.shards.rows("SHOW TABLES LIKE 'v'")] == [0] * 4


def test_a_half_made_view_is_told_and_finished(world: World) -> None:
    server = world.shards.servers[2]
    with server.connect(database=KEYSPACE) as behind, world.gate.connect() as connection:
        ask(behind, "CREATE TABLE half (a INT)")
        number, text = refused(connection, "CREATE VIEW half AS SELECT user_id FROM users")
        assert number == 1430 and "is done on shop-0-16, shop-16-32; failed on shop-32-48" in text
        ask(behind, "DROP TABLE half")
        ask(connection, "CREATE VIEW half AS SELECT user_id FROM users")
        assert ask(connection, "SELECT COUNT(*) FROM half") == [(20,)]
        ask(connection, "DROP VIEW half")


def test_a_view_whose_column_or_table_is_gone_is_invalid(world: World) -> None:
    with world.gate.connect() as through, world.direct() as direct:
        for connection in (through, direct):
            ask(connection, "CREATE VIEW lonely AS SELECT c.id FROM countries c")
            ask(connection, "CREATE VIEW above AS SELECT id FROM lonely")
            ask(connection, "ALTER TABLE countries RENAME COLUMN id TO number")
        for statement in ("SELECT * FROM lonely", "SELECT COUNT(*) FROM above"):
            assert answer(through, statement) == answer(direct, statement) == 1356
        for connection in (through, direct):
            ask(connection, "DROP TABLE countries")
        for statement in ("SELECT * FROM lonely", "SELECT COUNT(*) FROM above"):
            assert answer(through, statement) == answer(direct, statement) == 1356
        for connection in (through, direct):
            ask(connection, TABLES[2])
            assert ask(connection, "SELECT COUNT(*) FROM lonely") == [(0,)]
            ask(connection, "DROP VIEW lonely, above")
            ask(connection, "INSERT INTO countries VALUES (1, 'x'), (2, 'Y'), (3, NULL)")


def test_rights_on_a_view_alone_are_enough_on_one_shard(world: World) -> None:
    world.shards.run(f"REVOKE SELECT ON {KEYSPACE}.* FROM {READER}@'%'")
    world.shards.run(f"GRANT SELECT ON {KEYSPACE}.sums TO {READER}@'%'")
    try:
        with world.gate.connect(user=READER, password=READER_PASSWORD) as connection:
            assert ask(connection, "SELECT n FROM sums WHERE user_id = 4") == [(2,)]
            number, text = refused(connection, "SELECT SUM(n) FROM sums")
            assert number == 1142 and "orders" in text
    finally:
        world.shards.run(f"REVOKE SELECT ON {KEYSPACE}.sums FROM {READER}@'%'")
        world.shards.run(f"GRANT SELECT ON {KEYSPACE}.* TO {READER}@'%'")


def test_a_session_in_another_character_set_reads_what_it_can(world: World) -> None:
    with world.gate.connect(charset="latin1") as through, world.direct(charset="latin1") as direct:
        for statement in (
            "SELECT wording FROM big ORDER BY who",
            "SELECT note, n FROM notes ORDER BY note",
        ):
            assert answer(through, statement) == answer(direct, statement)
        number, text = refused(through, "SELECT w, COUNT(*) FROM words GROUP BY w")
        assert number == 1235 and text.endswith("character set: SET NAMES utf8mb4")


def dump(world: World, *options: str) -> bytes:
    done = subprocess.run(
        [
            str(program("mysqldump")),
            "--host=127.0.0.1",
            f"--port={world.gate.port}",
            f"--user={USER}",
            f"--password={PASSWORD}",
            "--ssl-mode=DISABLED",
            "--single-transaction",
            "--no-tablespaces",
            "--set-gtid-purged=OFF",
            *options,
        ],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_a_dump_with_views_restores_into_one_server(world: World) -> None:
    dumped = dump(world, KEYSPACE)
    world.plain.query("CREATE DATABASE restored")
    world.plain.query(f"GRANT ALL ON restored.* TO {USER}@'%'")
    load(dumped, f"--socket={world.plain.socket}", "--user=root", "restored")
    with world.plain.connect(database="restored") as restored, world.gate.connect() as through:
        for name in ("sums", "nested", "givers", "words"):
            statement = f"SELECT * FROM {name} ORDER BY 1, 2, 3"
            assert ask(restored, statement) == ask(through, statement)


def test_a_dumped_view_restores_through_the_gate(world: World) -> None:
    dumped = dump(world, "--skip-add-locks", KEYSPACE, "nested")
    before = world.shards.rows("SHOW CREATE VIEW nested")
    load(
        dumped,
        "--host=127.0.0.1",
        f"--port={world.gate.port}",
        f"--user={USER}",
        f"--password={PASSWORD}",
        "--ssl-mode=DISABLED",
        KEYSPACE,
    )
    assert world.shards.rows("SHOW CREATE VIEW nested") == before
    statement = "SELECT * FROM nested ORDER BY what, who, amount"
    with world.gate.connect() as through, world.direct() as direct:
        assert ask(through, statement) == ask(direct, statement)


def load(dumped: bytes, *options: str) -> None:
    done = subprocess.run(
        [str(program("mysql")), *options], input=dumped, capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
