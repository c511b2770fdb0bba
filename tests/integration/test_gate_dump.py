"""mysqldump through the gate: a keyspace of several shards becomes one plain database."""

import subprocess
from collections.abc import Iterator

import pytest
from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from pymysql.cursors import DictCursor

from mysqld import Mysqld, program

pytestmark = pytest.mark.mysql

OPTIONS = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
TABLES = (
    "CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(100), born DATE, note TEXT, "
    "picture BLOB, balance DECIMAL(20,4), KEY by_name (name))",
    "CREATE TABLE orders (user_id BIGINT NOT NULL, number INT NOT NULL, at DATETIME(3), "
    "what JSON, PRIMARY KEY (user_id, number))",
    "CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(100))",
)
CHECKSUMS = (
    "SELECT COUNT(*), BIT_XOR(CRC32(CONCAT_WS('|', user_id, name, born, note, HEX(picture), "
    "balance))) FROM users",
    "SELECT COUNT(*), BIT_XOR(CRC32(CONCAT_WS('|', user_id, number, at, what))) FROM orders",
    "SELECT COUNT(*), BIT_XOR(CRC32(CONCAT_WS('|', code, name))) FROM countries",
)


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2, options=OPTIONS) as running:
        yield running


@pytest.fixture(scope="module")
def gate(shards: Shards) -> Iterator[GateProcess]:
    with GateProcess(shards.table(), shards.users()) as running:
        with running.connect() as connection, connection.cursor() as cursor:
            for statement in TABLES:
                cursor.execute(statement)
            for n in range(200):
                cursor.execute(
                    "INSERT INTO users VALUES (%s, %s, '2001-02-03', %s, %s, %s)",
                    (n, f"Zoë '{n}\\", "line\nline\ttab" * 5, bytes(range(256)), n * 1.25),
                )
                cursor.execute(
                    "INSERT INTO orders VALUES (%s, 1, '2020-01-01 10:00:00.125', %s)",
                    (n, '{"a": [1, "zwölf"]}'),
                )
            cursor.execute("INSERT INTO countries VALUES ('fi', 'Suomi'), ('de', 'Österreich?')")
        yield running


def dump(gate: GateProcess, *options: str) -> bytes:
    done = subprocess.run(
        [
            str(program("mysqldump")),
            "--host=127.0.0.1",
            f"--port={gate.port}",
            f"--user={USER}",
            f"--password={PASSWORD}",
            "--ssl-mode=DISABLED",
            "--single-transaction",
            "--no-tablespaces",
            "--set-gtid-purged=OFF",
            *options,
            KEYSPACE,
        ],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def restore(server: Mysqld, dumped: bytes) -> None:
    server.query(f"DROP DATABASE IF EXISTS {KEYSPACE}")
    server.query(f"CREATE DATABASE {KEYSPACE}")
    subprocess.run(
        [str(program("mysql")), f"--socket={server.socket}", "--user=root", KEYSPACE],
        input=dumped,
        check=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "options", [(), ("--hex-blob", "--skip-extended-insert", "--complete-insert")]
)
def test_a_dump_of_all_shards_restores_into_one_server(
    gate: GateProcess, options: tuple[str, ...]
) -> None:
    dumped = dump(gate, *options)
    with Mysqld(options=OPTIONS) as plain:
        restore(plain, dumped)
        with gate.connect() as sharded, plain.connect(database=KEYSPACE) as one:
            for statement in CHECKSUMS:
                answers = []
                for connection in (sharded, one):
                    with connection.cursor() as cursor:
                        cursor.execute(statement)
                        answers.append(cursor.fetchall())
                assert answers[0] == answers[1]
                assert answers[0][0][0] > 0


# what tools ask about tables


def rows(gate: GateProcess, statement: str) -> list[dict[str, object]]:
    with gate.connect(cursorclass=DictCursor) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def analyzed(gate: GateProcess) -> None:
    rows(gate, "ANALYZE TABLE users, orders")
    rows(gate, "ANALYZE TABLE countries")


def test_sizes_of_tables_are_those_of_all_shards(gate: GateProcess, shards: Shards) -> None:
    analyzed(gate)
    with gate.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET information_schema_stats_expiry = 0")
        cursor.execute("SHOW TABLE STATUS")
        found = {row[0]: row for row in cursor.fetchall()}
        cursor.execute(
            "SELECT TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES "
            "WHERE TABLE_SCHEMA = 'shop' ORDER BY TABLE_NAME"
        )
        counted = dict(cursor.fetchall())
        cursor.execute("SHOW INDEX FROM users")
        distinct = {row[2]: row[6] for row in cursor.fetchall()}
    assert list(found) == ["countries", "orders", "users"]
    assert {name: row[4] for name, row in found.items()} == counted
    assert counted == {"countries": 2, "orders": 200, "users": 200}
    assert distinct == {"PRIMARY": 200, "by_name": 200}
    assert found["users"][5] == found["users"][6] // 200, "the average fits the sums"


@pytest.mark.parametrize(
    "statement",
    [
        "SHOW DATABASES",
        "SHOW FULL TABLES",
        "SHOW TABLES LIKE 'u%'",
        "SHOW CREATE TABLE users",
        "SHOW CREATE DATABASE shop",
        "SHOW FULL COLUMNS FROM users",
        "SHOW VARIABLES LIKE 'version%'",
        "SHOW STATUS LIKE 'Threads%'",
        "SHOW GRANTS",
        "SHOW ENGINES",
        "SHOW COLLATION LIKE 'utf8mb4_bin'",
        "SHOW TRIGGERS",
        "SHOW PROCEDURE STATUS WHERE Db = 'shop'",
        "SHOW TABLE STATUS LIKE 'users'",
        "SELECT * FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'shop'",
        "SELECT * FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'shop'",
        "SELECT * FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = 'shop'",
        "SELECT * FROM information_schema.SCHEMATA",
        "UNLOCK TABLES",
    ],
)
def test_tools_see_one_database(gate: GateProcess, statement: str) -> None:
    found = rows(gate, statement)
    quiet = ("SHOW TRIGGERS", "SHOW PROCEDURE", "UNLOCK")
    assert found or statement.startswith(quiet)
