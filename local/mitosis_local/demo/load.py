"""Bring the shop's tables and rows through the gate, as an application does."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import pymysql
from pymysql.cursors import Cursor

from mitosis_local.demo import shop
from mitosis_local.demo.install import EXAMPLE, KEYSPACE
from mitosis_local.errors import LocalError
from mitosis_local.progress import step
from mitosis_local.shell import wait_for
from mitosis_routing.table import RoutingTable

SCHEMA = EXAMPLE.with_suffix(".sql")
BATCH = 500
ROWS = 100
OPEN_SECONDS = 60
STATEMENT_SECONDS = 60
INSERTS = {
    "users": "INSERT INTO users (user_id, name, email, country, joined) "
    "VALUES (%s, %s, %s, %s, %s)",
    "orders": "INSERT INTO orders (user_id, order_id, ordered_at, total) VALUES (%s, %s, %s, %s)",
    "order_items": "INSERT INTO order_items "
    "(user_id, order_id, position, product, quantity, price) VALUES (%s, %s, %s, %s, %s, %s)",
    "countries": "INSERT INTO countries (code, name) VALUES (%s, %s)",
}

Connection: TypeAlias = "pymysql.Connection[Cursor]"
Rows = Sequence[tuple[object, ...]]


@dataclass(frozen=True)
class Gate:
    host: str
    port: int
    passwords: Mapping[str, str] = field(repr=False)

    def connect(self, user: str) -> Connection:
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=user,
            password=self.passwords[user],
            database=KEYSPACE,
            autocommit=True,
            connect_timeout=5,
            read_timeout=STATEMENT_SECONDS,
            write_timeout=STATEMENT_SECONDS,
        )

    @contextmanager
    def session(self, user: str) -> Iterator[Connection]:
        try:
            with self.connect(user) as connection:
                yield connection
        except pymysql.Error as exc:
            raise LocalError(f"the gate at {self.host}:{self.port} answered {user}: {exc}") from exc


def query(connection: Connection, sql: str) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def make_schema(gate: Gate) -> None:
    with step("tables, through the gate"):
        _wait_until_open(gate)
        with gate.session("owner") as connection:
            for statement in statements(SCHEMA.read_text()):
                query(connection, statement)


def statements(text: str) -> list[str]:
    """The statements of a file without its comments; no literal there holds a semicolon."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]


def fill(gate: Gate, table: RoutingTable) -> None:
    """Add the customers that are not there; a second run finds all of them and adds nothing."""
    with step(f"{shop.USERS:,} users with their orders") as tell, gate.session("app") as connection:
        _fill_countries(connection)
        known = {row[0] for row in query(connection, "SELECT user_id FROM users")}
        missing = [user_id for user_id in range(1, shop.USERS + 1) if user_id not in known]
        done = 0
        for batch in shop.batches(missing, table, BATCH):
            _insert(connection, batch)
            done += len(batch)
            tell(f"{done:,} of {len(missing):,}")


def _fill_countries(connection: Connection) -> None:
    known = {row[0] for row in query(connection, "SELECT code FROM countries")}
    missing = [row for row in shop.COUNTRIES.items() if row[0] not in known]
    if missing:
        _insert_rows(connection, "countries", missing)


def _insert(connection: Connection, batch: Sequence[shop.Customer]) -> None:
    """All rows of these customers or none: a user that is there has its orders."""
    connection.begin()
    _insert_rows(connection, "users", [c.user for c in batch])
    _insert_rows(connection, "orders", [row for c in batch for row in c.orders])
    _insert_rows(connection, "order_items", [row for c in batch for row in c.items])
    connection.commit()


def _insert_rows(connection: Connection, table: str, rows: Rows) -> None:
    """Many rows in one statement, and always as many: the gate parses each shape once."""
    with connection.cursor() as cursor:
        for start in range(0, len(rows), ROWS):
            cursor.executemany(INSERTS[table], rows[start : start + ROWS])


def _wait_until_open(gate: Gate) -> None:
    """A gate needs a moment to learn of a new keyspace and its users."""
    answers = ["nothing"]

    def is_open() -> bool:
        try:
            gate.connect("owner").close()
        except pymysql.Error as exc:
            answers.append(str(exc))
            return False
        return True

    try:
        wait_for("the gate to let the owner in", is_open, OPEN_SECONDS, pause_seconds=0.5)
    except LocalError as exc:
        raise LocalError(f"{exc}; its last answer was: {answers[-1]}") from exc
