"""One story through three drivers: schema, rows, queries, transactions, prepared statements."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Protocol

import mysql.connector
import pymysql
import pytest
from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from mysql.connector.errors import Error as ConnectorError

from mysqld import program

pytestmark = pytest.mark.mysql

NOT_DURABLE = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
TABLES = ("users", "orders", "countries")
Rows = list[tuple[Any, ...]]


class Driver(Protocol):
    """What the story needs of a driver; values come as it gives them, as text where it must."""

    def run(self, *statements: str) -> Rows:
        """In one session; the rows of the last one. Raises Refused."""

    def close(self) -> None: ...


class Refused(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code


class PyMysql:
    def __init__(self, gate: GateProcess, password: str = PASSWORD, database: str = KEYSPACE):
        try:
            self._connection = gate.connect(password=password, database=database)
        except pymysql.MySQLError as exc:
            raise Refused(*exc.args) from exc

    def run(self, *statements: str) -> Rows:
        try:
            with self._connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall())
        except pymysql.MySQLError as exc:
            raise Refused(*exc.args) from exc

    def close(self) -> None:
        self._connection.close()


class Connector:
    def __init__(self, gate: GateProcess, password: str = PASSWORD, database: str = KEYSPACE):
        try:
            self._connection = mysql.connector.connect(
                host="127.0.0.1",
                port=gate.port,
                user=USER,
                password=password,
                database=database,
                autocommit=True,
                use_pure=True,
                ssl_disabled=True,
            )
        except ConnectorError as exc:
            raise Refused(exc.errno, exc.msg) from exc

    def run(self, *statements: str) -> Rows:
        cursor = self._connection.cursor()
        try:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.with_rows else []
        except ConnectorError as exc:
            raise Refused(exc.errno, exc.msg) from exc
        finally:
            cursor.close()

    def close(self) -> None:
        self._connection.close()


class MysqlClient:
    """The `mysql` program; its values are text."""

    def __init__(self, gate: GateProcess, password: str = PASSWORD, database: str = KEYSPACE):
        self._command = [
            str(program("mysql")),
            "--no-defaults",
            "--host=127.0.0.1",
            f"--port={gate.port}",
            f"--user={USER}",
            f"--password={password}",
            f"--database={database}",
            "--batch",
            "--skip-column-names",
            "--get-server-public-key",
            "--ssl-mode=DISABLED",
        ]
        self.run("SELECT 1")

    def run(self, *statements: str) -> Rows:
        done = subprocess.run(
            self._command,
            input=";\n".join(statements) + ";\n",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            error = next(line for line in done.stderr.splitlines() if line.startswith("ERROR"))
            raise Refused(int(error.split()[1]), error)
        return [tuple(line.split("\t")) for line in done.stdout.splitlines()]

    def close(self) -> None:
        """Each run was a session of its own."""


DRIVERS: Sequence[Callable[..., Driver]] = (PyMysql, Connector, MysqlClient)


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2, options=NOT_DURABLE) as shards:
        yield shards


@pytest.fixture(scope="module")
def gate(shards: Shards) -> Iterator[GateProcess]:
    with GateProcess(shards.table(), shards.users()) as gate:
        yield gate


@pytest.fixture(params=DRIVERS, ids=lambda d: d.__name__)
def driver(request: pytest.FixtureRequest, gate: GateProcess) -> Iterator[Driver]:
    driver = request.param(gate)
    driver.run(*(f"DROP TABLE IF EXISTS {name}" for name in TABLES))
    yield driver
    driver.close()


def texts(rows: Rows) -> list[tuple[str, ...]]:
    return sorted(tuple(_text(value) for value in row) for row in rows)


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return value.decode()
    return "NULL" if value is None else str(value)


def make_schema(driver: Driver) -> None:
    driver.run(
        "CREATE TABLE users (user_id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(50), born DATE)",
        "CREATE TABLE orders (user_id BIGINT NOT NULL, n INT NOT NULL, amount DECIMAL(8,2), "
        "PRIMARY KEY (user_id, n))",
        "CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(50))",
    )


def load(driver: Driver) -> None:
    make_schema(driver)
    statements = []
    for n in range(1, 21):
        statements.append(f"INSERT INTO users VALUES ({n}, 'Ünï {n}', '2001-02-{n:02}')")
        statements.append(f"INSERT INTO orders VALUES ({n}, 1, {n}.25), ({n}, 2, NULL)")
    driver.run(*statements, "INSERT INTO countries VALUES ('DE', 'Germany'), ('FR', 'France')")


def test_the_story(driver: Driver, shards: Shards) -> None:
    load(driver)
    by_key = driver.run("SELECT * FROM users WHERE user_id = 7")
    assert texts(by_key) == [("7", "Ünï 7", "2001-02-07")]
    scatter = driver.run("SELECT user_id, name FROM users")
    assert texts(scatter) == sorted((str(n), f"Ünï {n}") for n in range(1, 21))
    join = driver.run(
        "SELECT u.name, o.n, o.amount FROM users u JOIN orders o USING (user_id) "
        "WHERE u.user_id = 3"
    )
    assert texts(join) == [("Ünï 3", "1", "3.25"), ("Ünï 3", "2", "NULL")]
    assert texts(driver.run("SELECT code FROM countries")) == [("DE",), ("FR",)]
    assert all(len(rows) > 0 for rows in shards.rows("SELECT * FROM users"))
    assert texts(driver.run("SHOW TABLES")) == [("countries",), ("orders",), ("users",)]


def test_transactions(driver: Driver) -> None:
    load(driver)
    driver.run(
        "BEGIN",
        "UPDATE users SET name = 'rolled back' WHERE user_id = 5",
        "DELETE FROM orders WHERE user_id = 5",
        "ROLLBACK",
    )
    driver.run("BEGIN", "UPDATE users SET name = 'kept' WHERE user_id = 6", "COMMIT")
    rows = driver.run("SELECT name FROM users WHERE user_id IN (5, 6)")
    assert texts(rows) == [("kept",), ("Ünï 5",)]
    assert len(driver.run("SELECT * FROM orders WHERE user_id = 5")) == 2


def test_text_arrives_as_it_was_sent(driver: Driver) -> None:
    make_schema(driver)
    driver.run("SET NAMES utf8mb4", "INSERT INTO users VALUES (1, 'Zoë 🐬 ''quoted''', NULL)")
    rows = driver.run("SET NAMES utf8mb4", "SELECT name FROM users")
    assert texts(rows) == [("Zoë 🐬 'quoted'",)]


def test_errors_have_their_numbers(driver: Driver) -> None:
    load(driver)
    for statement, code in (
        ("INSERT INTO users VALUES (1, 'again', NULL)", 1062),
        ("SELECT * FROM nowhere", 1146),
        ("SELECT nothing FROM users WHERE user_id = 1", 1054),
        ("XA START 'a'", 1235),
        ("SELEC 1", 1064),
    ):
        with pytest.raises(Refused) as error:
            driver.run(statement)
        assert error.value.code == code, statement
    assert texts(driver.run("SELECT 1")) == [("1",)]


@pytest.mark.parametrize("make", DRIVERS, ids=lambda d: d.__name__)
def test_wrong_logins_are_refused(make: Callable[..., Driver], gate: GateProcess) -> None:
    with pytest.raises(Refused) as error:
        make(gate, password="wrong")
    assert error.value.code == 1045
    with pytest.raises(Refused) as error:
        make(gate, database="nowhere")
    assert error.value.code == 1049


def test_prepared_statements_of_the_connector(gate: GateProcess) -> None:
    maker = Connector(gate)
    maker.run(*(f"DROP TABLE IF EXISTS {name}" for name in TABLES))
    make_schema(maker)
    connection = mysql.connector.connect(
        host="127.0.0.1",
        port=gate.port,
        user=USER,
        password=PASSWORD,
        database=KEYSPACE,
        autocommit=True,
        use_pure=True,
        ssl_disabled=True,
    )
    insert = connection.cursor(prepared=True)
    for n in range(1, 31):
        insert.execute("INSERT INTO orders VALUES (%s, %s, %s)", (n, 1, Decimal(n) / 4))
    read = connection.cursor(prepared=True)
    for n in range(1, 31):
        read.execute("SELECT amount FROM orders WHERE user_id = %s AND n = %s", (n, 1))
        assert [Decimal(str(v)) for (v,) in read.fetchall()] == [Decimal(n) / 4]
    read.close()
    insert.close()
    connection.close()
    assert len(maker.run("SELECT * FROM orders")) == 30
    maker.close()


def test_the_client_program_reads_a_script(gate: GateProcess) -> None:
    client = MysqlClient(gate)
    client.run(*(f"DROP TABLE IF EXISTS {name}" for name in TABLES))
    make_schema(client)
    rows = client.run(
        "-- a comment\nINSERT INTO users VALUES (1, 'a;b', NULL)",
        "/* another */ SELECT name, ROW_COUNT() FROM users WHERE user_id = 1",
        "SHOW WARNINGS",
        "SELECT DATABASE()",
    )
    assert rows == [("a;b", "1"), (KEYSPACE,)]
