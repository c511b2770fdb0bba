"""Statements that the merge server finishes, through a real gate: compared with a plain mysqld."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import mysql.connector
import pymysql
import pytest
from finishing import KIND_ROWS, KINDS, STATEMENTS, TABLES, kinds_shown
from gates import KEYSPACE, PASSWORD, READER, READER_PASSWORD, RULES, USER, GateProcess, Shards
from merge_servers import MergeServer
from waiting import wait_until

from mitosis_routing.table import TableRule
from mysqld import Mysqld

pytestmark = pytest.mark.mysql

HALVES = 20
OF_KEYS = 2 | 4 | 8 | 512 | 16384
"""Those of keys and AUTO_INCREMENT: a single server shows them or not, depending on its plan."""


def soon(what: str, look: Callable[[], object]) -> None:
    wait_until(what, look, seconds=60, every=0.05)


class World:
    """Two shards, their gate with its merge server, and one plain server with the same rows."""

    def __init__(
        self, shards: Shards, plain: Mysqld, merge: MergeServer, gate: GateProcess
    ) -> None:
        self.shards = shards
        self.plain = plain
        self.merge = merge
        self.gate = gate

    def on_both(self, *statements: str) -> None:
        for connect in (self.gate.connect, self.direct):
            with connect() as connection, connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    def direct(self, **settings: Any) -> "pymysql.connections.Connection[Any]":
        defaults: dict[str, Any] = {"database": KEYSPACE, "user": USER, "password": PASSWORD}
        return self.plain.connect(**({"host": "127.0.0.1"} | defaults | settings))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    rules = (*RULES, TableRule("kinds", sharding_key="id"))
    with Mysqld() as plain, Shards(2, rules) as shards, MergeServer() as merge:
        plain.query(f"CREATE DATABASE {KEYSPACE}")
        plain.query(f"CREATE USER {USER}@'%%' IDENTIFIED BY %s", PASSWORD)
        plain.query(f"GRANT ALL ON {KEYSPACE}.* TO {USER}@'%'")
        options = (merge.option, "--merge-max-rows=3000", "--merge-max-bytes=4000000")
        with GateProcess(shards.table(), shards.users(), *options) as gate:
            world = World(shards, plain, merge, gate)
            world.on_both(*TABLES, KINDS)
            fill(world)
            yield world


def fill(world: World) -> None:
    users, orders = [], []
    for n in range(1, HALVES + 1):
        name = f"'Name {n}'" if n % 7 else "NULL"
        born = f"'{1990 + n}-0{n % 9 + 1}-11'" if n % 5 else "NULL"
        users.append(f"({n}, {name}, {n % 4}, {born})")
        giver = HALVES + 2 - n if n % 6 else "NULL"
        note = ("'a'", "'A '", "'b'", "NULL", "'é'")[n % 5]
        orders.append(f"({n}, {n}, {n}.25, {giver}, {note})")
    world.on_both(
        "INSERT INTO countries VALUES (1, 'x'), (2, 'Y'), (3, NULL)",
        f"INSERT INTO users VALUES {', '.join(users)}",
        f"INSERT INTO orders VALUES {', '.join(orders)}",
    )
    for row in KIND_ROWS:
        for connect in (world.gate.connect, world.direct):
            with connect() as connection, connection.cursor() as cursor:
                cursor.execute("SET sql_mode='ALLOW_INVALID_DATES', time_zone='+00:00'")
                cursor.execute(row)


def asked(connection: Any, statement: str) -> Any:
    """Rows, columns and warnings of an answer, or its error."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(statement)
            rows = cursor.fetchall()
        except pymysql.MySQLError as exc:
            return exc.args
        fields = getattr(cursor._result, "fields", ())
        columns = [
            (
                f.name,
                f.type_code,
                f.charsetnr,
                f.length,
                f.scale,
                f.flags & ~OF_KEYS,
                f.table_name,
            )
            for f in fields
        ]
        return rows, columns, cursor.warning_count


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_answer_is_that_of_a_single_server(world: World, statement: str) -> None:
    with world.gate.connect() as through, world.direct() as direct:
        expected = asked(direct, statement)
        assert asked(through, statement) == expected


@pytest.mark.parametrize("statement", STATEMENTS[:25])
def test_the_same_as_a_prepared_statement(world: World, statement: str) -> None:
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
            cursor.execute(statement)
            rows = cursor.fetchall()
            found.append((rows, [(*c[:7], c[7] & ~OF_KEYS, c[8]) for c in cursor.description]))
        finally:
            connection.close()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "variables",
    [
        "SET NAMES utf8mb4",
        "SET NAMES latin1",
        "SET time_zone = '+05:30', character_set_results = NULL",
        "SET sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE'",
    ],
)
def test_every_type_arrives_exactly(world: World, variables: str) -> None:
    """Sorted by a window, so that no shard can answer alone."""
    statement = (
        f"SELECT {kinds_shown()}, ROW_NUMBER() OVER (ORDER BY k.id) n FROM kinds k ORDER BY n"
    )
    found = []
    for connect in (world.gate.connect, world.direct):
        with connect(use_unicode=False, conv={}) as connection, connection.cursor() as cursor:
            cursor.execute(variables)
            cursor.execute(statement)
            found.append((cursor.fetchall(), cursor.description))
    assert len(found[0][0]) == len(KIND_ROWS)
    assert found[0] == found[1]


def test_a_document_that_its_text_does_not_tell_is_refused(world: World) -> None:
    statement = "SELECT a.j FROM kinds a JOIN kinds b ON b.id + 1 = a.id WHERE a.id > 90"
    world.on_both("INSERT INTO kinds (id, j) VALUES (91, '1'), (92, JSON_OBJECT('a', 1.10))")
    try:
        with world.gate.connect() as connection:
            number, text = asked(connection, statement)
            assert number == 1235 and "JSON column of kinds" in text
            assert asked(connection, "SELECT 1")[0] == ((1,),)
    finally:
        world.on_both("DELETE FROM kinds WHERE id > 90")


def test_variables_of_the_session_hold_there(world: World) -> None:
    both = "FROM users a JOIN orders b ON a.user_id = b.giver"
    for preparation, statement in (
        ("SET group_concat_max_len = 5", f"SELECT GROUP_CONCAT(a.name ORDER BY 1) {both}"),
        ("SET div_precision_increment = 9", f"SELECT MAX(a.user_id) / 7 {both}"),
        (
            "SET sql_mode = 'NO_UNSIGNED_SUBTRACTION'",
            f"SELECT MIN(CAST(a.user_id AS UNSIGNED) - 99) {both}",
        ),
        ("SET sql_select_limit = 3", f"SELECT a.user_id {both} ORDER BY 1"),
        ("SET timestamp = 1000000000", f"SELECT MAX(NOW()), MIN(UNIX_TIMESTAMP()) {both}"),
        ("SET time_zone = '-07:00', timestamp = 86400", f"SELECT MAX(NOW()), COUNT(*) {both}"),
        ("SET @least = 12", f"SELECT COUNT(*) {both} WHERE b.giver > @least"),
        ("SET lc_time_names = 'de_DE'", f"SELECT MIN(DATE_FORMAT(a.born, '%M %W')) {both}"),
        ("SET collation_connection = utf8mb4_bin", f"SELECT COUNT(*) {both} WHERE 'a' = 'A'"),
    ):
        found = []
        for connect in (world.gate.connect, world.direct):
            with connect() as connection:
                assert not asked(connection, preparation)[0]
                found.append(asked(connection, statement))
        assert found[0] == found[1], preparation


def test_a_transaction_sees_its_own_rows(world: World) -> None:
    statement = "SELECT COUNT(*) FROM users a CROSS JOIN users b"
    with world.gate.connect() as connection:
        before = asked(connection, statement)[0]
        for more in ("START TRANSACTION", "INSERT INTO users (user_id) VALUES (1000)"):
            asked(connection, more)
        assert asked(connection, statement)[0] == (((HALVES + 1) ** 2,),)
        asked(connection, "ROLLBACK")
        assert asked(connection, statement)[0] == before == ((HALVES**2,),)


def test_pulls_of_one_shard_see_one_snapshot(world: World) -> None:
    """Rows that are written in pairs are found in pairs, however often one looks."""
    stop = threading.Event()

    def write() -> None:
        with world.gate.connect(autocommit=False) as connection, connection.cursor() as cursor:
            n = 2000
            while not stop.is_set():
                n += 1
                # a new note each time: the same key for both tables, so that one shard has both
                cursor.execute(f"INSERT INTO users (user_id, age) VALUES ({n}, 77)")
                cursor.execute(f"INSERT INTO orders (user_id, id, giver) VALUES ({n}, 1, -7)")
                connection.commit()

    writer = threading.Thread(daemon=True, target=write)
    writer.start()
    try:
        with world.gate.connect() as connection:
            for _ in range(40):
                rows = asked(
                    connection,
                    "SELECT (SELECT COUNT(*) FROM users WHERE age = 77 AND user_id % 2 = 0 "
                    "AND user_id NOT IN (SELECT user_id FROM orders WHERE giver = -7))",
                )[0]
                assert rows == ((0,),)
    finally:
        stop.set()
        writer.join()
        world.on_both("DELETE FROM users WHERE age = 77")
        world.on_both("DELETE FROM orders WHERE giver = -7")


def test_privileges_are_those_of_the_shards(world: World) -> None:
    """A gate of its own: MySQL asks for the rights on a database when it is chosen."""
    statement = "SELECT COUNT(*) FROM users a JOIN orders b ON a.user_id = b.giver"
    with world.gate.connect(user=READER, password=READER_PASSWORD) as connection:
        assert asked(connection, statement)[0] == ((16,),)
    for server in world.shards.servers:
        server.query(f"REVOKE SELECT ON {KEYSPACE}.* FROM {READER}@'%'")
        server.query(f"GRANT SELECT ON {KEYSPACE}.users TO {READER}@'%'")
    options = (world.shards.table(), world.shards.users(), world.merge.option)
    try:
        with (
            GateProcess(*options) as gate,
            gate.connect(user=READER, password=READER_PASSWORD) as connection,
        ):
            number, text = asked(connection, statement)
            assert number == 1142 and READER in text and "orders" in text
    finally:
        for server in world.shards.servers:
            server.query(f"REVOKE SELECT ON {KEYSPACE}.users FROM {READER}@'%'")
            server.query(f"GRANT SELECT ON {KEYSPACE}.* TO {READER}@'%'")


def test_warnings_and_errors_can_be_asked_for(world: World) -> None:
    join = "FROM users u JOIN orders o ON o.giver = u.user_id"
    statements = (
        f"SELECT u.name + 1 {join} WHERE u.user_id = 3",
        f"SELECT u.user_id {join} WHERE u.user_id = 3 AND u.name + 1 = 77",
        f"SELECT nope {join}",
    )
    for statement in statements:
        found = []
        for connect in (world.gate.connect, world.direct):
            with connect() as connection:
                asked(connection, statement)
                found.append(asked(connection, "SHOW WARNINGS")[0])
        assert found[0] == found[1] != ()
    with world.gate.connect() as connection:
        asked(connection, f"SELECT u.user_id {join} WHERE u.user_id < 4")
        assert asked(connection, "SELECT FOUND_ROWS()")[0] == ((2,),)


def accounts_there(world: World) -> list[str]:
    return [name for (name,) in world.merge.query("SELECT user FROM mysql.user") if len(name) == 21]


def test_an_account_there_has_no_rights_but_its_own_tables(world: World) -> None:
    with world.gate.connect() as connection:
        asked(connection, "SELECT COUNT(*) FROM users a CROSS JOIN users b")
    names = [
        row[0] for row in world.merge.query("SELECT user FROM mysql.user") if len(row[0]) == 21
    ]
    assert names
    for name in names:
        grants = {row[0] for row in world.merge.query(f"SHOW GRANTS FOR {name}@localhost")}
        assert grants == {
            f"GRANT USAGE ON *.* TO `{name}`@`localhost`",
            f"GRANT SESSION_VARIABLES_ADMIN ON *.* TO `{name}`@`localhost`",
            f"GRANT CREATE TEMPORARY TABLES ON `{KEYSPACE}`.* TO `{name}`@`localhost`",
            f"GRANT SELECT, INSERT, CREATE, DROP ON `{name}\\_%`.* TO `{name}`@`localhost`",
        }
    options = dict(
        world.merge.query(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN "
            "('local_infile', 'secure_file_priv', 'skip_networking', 'log_bin')"
        )
    )
    assert options == {
        "local_infile": "OFF",
        "secure_file_priv": "NULL",
        "skip_networking": "ON",
        "log_bin": "OFF",
    }


def test_caps_are_told_and_leave_the_session_whole(world: World) -> None:
    many = ", ".join(f"({n}, {n}, 9, NULL)" for n in range(5000, 8200))
    with world.gate.connect() as connection:
        asked(connection, f"INSERT INTO users VALUES {many}")
        try:
            asked(connection, "START TRANSACTION")
            asked(connection, "INSERT INTO users (user_id, age) VALUES (9000, 9)")
            number, text = asked(
                connection, "SELECT COUNT(*) FROM users a JOIN users b USING (age)"
            )
            assert number == 1104 and "3000 rows" in text and "--merge-max-rows" in text
            assert asked(connection, "SELECT age FROM users WHERE user_id = 9000")[0] == ((9,),)
            asked(connection, "COMMIT")
            narrow = "SELECT COUNT(*) FROM users a JOIN users b ON a.age = b.age + 1 WHERE "
            narrow += "a.age < 9 AND b.age < 9"
            assert asked(connection, narrow)[0] == ((75,),)
            asked(connection, f"UPDATE kinds SET tx = REPEAT('x', {5 << 20}) WHERE id = 2")
            number, text = asked(
                connection, "SELECT COUNT(a.tx) FROM kinds a JOIN kinds b USING (i8)"
            )
            assert number == 1104 and "4000000 bytes" in text and "--merge-max-bytes" in text
        finally:
            asked(connection, "ROLLBACK")
            asked(connection, "DELETE FROM users WHERE age = 9")
            asked(connection, "UPDATE kinds SET tx = NULL WHERE id = 2")


SLOW = "SELECT SUM(SLEEP(a.user_id * 0 + 10)) FROM users a CROSS JOIN users b"


def running_there(world: World) -> list[tuple[Any, ...]]:
    """Statements that run on the merge server for clients, and connections that were killed."""
    rows = world.merge.query(
        "SELECT ID, INFO FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SLEEP(a.%'"
    )
    return [row for row in rows if "PROCESSLIST" not in row[1]]


def test_kill_ends_it_there_too(world: World) -> None:
    with world.gate.connect() as victim, world.gate.connect() as other:
        problem: list[Any] = []
        thread = threading.Thread(daemon=True, target=lambda: problem.append(asked(victim, SLOW)))
        thread.start()
        wait_until(
            "the statement runs on the merge server",
            lambda: bool(running_there(world)),
            seconds=60,
            every=0.05,
        )
        asked(other, f"KILL QUERY {victim.thread_id()}")
        thread.join(60)
        assert problem[0][0] == 1317
        wait_until(
            "nothing runs on the merge server",
            lambda: not running_there(world),
            seconds=60,
            every=0.05,
        )
        assert asked(victim, "SELECT COUNT(*) FROM users a JOIN users b USING (user_id)")[0]


def test_a_client_that_goes_leaves_nothing(world: World) -> None:
    victim = world.gate.connect()
    thread = threading.Thread(daemon=True, target=lambda: _until_broken(victim))
    thread.start()
    wait_until(
        "the statement runs on the merge server",
        lambda: bool(running_there(world)),
        seconds=60,
        every=0.05,
    )
    victim._sock.shutdown(2)
    thread.join(60)
    wait_until(
        "nothing runs on the merge server", lambda: not running_there(world), seconds=60, every=0.05
    )


def _until_broken(connection: Any) -> None:
    with pytest.raises((pymysql.MySQLError, OSError)), connection.cursor() as cursor:
        cursor.execute(SLOW)


def test_many_sessions_at_once_do_not_meet(world: World) -> None:
    wrong: list[Any] = []

    def work(n: int) -> None:
        with world.gate.connect() as connection:
            for k in range(8):
                least = (n + k) % HALVES
                found = asked(
                    connection,
                    "WITH x AS (SELECT user_id FROM users WHERE user_id > " + str(least) + ") "
                    "SELECT COUNT(*) FROM x a CROSS JOIN x b",
                )[0]
                if found != (((HALVES - least) ** 2,),):
                    wrong.append((least, found))

    threads = [threading.Thread(daemon=True, target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    wait_until(
        "no database of a statement is left",
        lambda: not databases_of_statements(world),
        seconds=60,
        every=0.05,
    )


def databases_of_statements(world: World) -> list[str]:
    names = [row[0] for row in world.merge.query("SHOW DATABASES")]
    return [name for name in names if name.startswith("m") and "_" in name and name != "mysql"]


def test_a_restart_of_the_merge_server_is_seen_through(world: World) -> None:
    statement = "SELECT COUNT(*) FROM users a CROSS JOIN users b"
    with world.gate.connect() as connection:
        world.merge.kill()
        number, text = asked(connection, statement)
        assert number == 1429 and "merge server" in text
        assert asked(connection, "SELECT name FROM users WHERE user_id = 1")[0] == (("Name 1",),)
        world.merge.start()
        assert asked(connection, statement)[0] == ((HALVES**2,),)


def test_a_gate_that_died_leaves_no_databases(world: World) -> None:
    name = accounts_there(world)[0]
    world.merge.query(f"CREATE DATABASE {name}_0_77")
    options = (world.shards.table(), world.shards.users(), world.merge.option)
    with GateProcess(*options) as another, another.connect() as connection:
        assert asked(connection, "SELECT COUNT(*) FROM users a CROSS JOIN users b")[0]
        assert databases_of_statements(world) == []


def test_only_the_keys_that_matter_are_asked_for(world: World) -> None:
    def brought() -> float:
        line = next(
            line
            for line in world.gate.metrics().splitlines()
            if line.startswith("mitosis_gate_merge_server_rows_total")
        )
        return float(line.split()[1])

    join = "SELECT o.id FROM users u JOIN orders o ON o.giver = u.user_id WHERE u.user_id = 3"
    with world.gate.connect() as connection:
        before = brought()
        assert asked(connection, join)[0] == ((HALVES - 1,),)
        assert brought() - before == 2
        before = brought()
        assert not asked(connection, join.replace("= 3", "= 333"))[0]
        assert brought() == before


def test_who_waits_too_long_for_a_place_is_told(world: World) -> None:
    options = (world.shards.table(), world.shards.users(), world.merge.option)
    limits = ("--merge-concurrency=1", "--pool-wait-seconds=0.2")
    with (
        GateProcess(*options, *limits) as gate,
        gate.connect() as slow,
        gate.connect() as other,
    ):
        thread = threading.Thread(daemon=True, target=lambda: asked(slow, SLOW))
        thread.start()
        soon("the statement runs on the merge server", lambda: bool(running_there(world)))
        number, text = asked(other, "SELECT COUNT(*) FROM users a CROSS JOIN users b")
        assert number == 1203 and "--merge-concurrency" in text
        asked(other, f"KILL QUERY {slow.thread_id()}")
        thread.join(60)
        assert asked(other, "SELECT COUNT(*) FROM users a CROSS JOIN users b")[0]


def test_without_merge_server_the_setting_is_named(world: World) -> None:
    with GateProcess(world.shards.table(), world.shards.users()) as gate:
        with gate.connect() as connection:
            number, text = asked(connection, "SELECT COUNT(*) FROM users a CROSS JOIN users b")
            assert number == 1235 and "--merge-socket" in text
