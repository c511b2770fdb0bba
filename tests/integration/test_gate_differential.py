"""The same statements on the gate with two shards and on one plain mysqld that holds all rows.

Each must give the same rows, as a multiset, the same count of changed rows and the same error, or
a refusal of the gate. Never anything else: that is the promise. Statements are made at random from
a seed that a failure names; many are wrong or beyond what shards can do, on purpose.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pymysql
import pytest
from gates import GateProcess, Shards

from mitosis_routing.table import TableRule
from mysqld import Mysqld

pytestmark = pytest.mark.mysql

NOT_DURABLE = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
RULES = (
    TableRule("users", "user_id"),
    TableRule("orders", "user_id"),
    TableRule("tags", "label"),
    TableRule("countries", reference=True),
)
SCHEMA = (
    "CREATE TABLE users (user_id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(20), age INT, "
    "born DATE, country CHAR(2))",
    "CREATE TABLE orders (user_id BIGINT NOT NULL, n INT NOT NULL, amount DECIMAL(10,2), "
    "note TEXT, PRIMARY KEY (user_id, n))",
    "CREATE TABLE tags (label VARCHAR(20) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, weight DOUBLE)",
    "CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(30))",
)
KEYS = (
    "1",
    "2",
    "3",
    "7",
    "12",
    "25",
    "39",
    "-4",
    "'5'",
    "6.0",
    "NULL",
    "0",
    "'8x'",
    "1e1",
    "0x31",
)
LABELS = ("'red'", "'RED'", "'red '", "'green'", "'blue'", "''", "'ü'", "NULL", "5", "_binary'red'")
COLUMNS = {
    "users": ("user_id", "name", "age", "born", "country"),
    "orders": ("user_id", "n", "amount", "note"),
    "tags": ("label", "weight"),
    "countries": ("code", "name"),
}
STATEMENTS = 2000
SEED = 20260

GATE_SAYS = "[gate]"


@dataclass(frozen=True)
class Answer:
    rows: Counter[tuple[Any, ...]]
    affected: int
    error: int
    text: str = ""

    @property
    def is_refusal(self) -> bool:
        return self.text.startswith(GATE_SAYS)


def ask(connection: Any, statement: str) -> Answer:
    try:
        with connection.cursor() as cursor:
            affected = cursor.execute(statement)
            return Answer(Counter(cursor.fetchall()), affected, 0)
    except pymysql.MySQLError as exc:
        return Answer(Counter(), 0, exc.args[0], str(exc.args[1]))


class Maker:
    """Makes statements; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def statement(self) -> str:
        make = self._random.choices(
            (self.select, self.join, self.insert, self.update, self.delete, self.reference),
            weights=(8, 4, 4, 3, 2, 2),
        )[0]
        return make()

    def _one(self, choices: Any) -> Any:
        return self._random.choice(choices)

    def _key(self, table: str) -> str:
        return "label" if table == "tags" else "user_id"

    def _value(self, table: str) -> str:
        choices = LABELS if table == "tags" else KEYS
        return str(self._one(choices)) if self._random.random() < 0.6 else self._usual(table)

    def _usual(self, table: str) -> str:
        if table == "tags":
            return f"'tag{self._random.randrange(20)}'"
        return str(self._random.randrange(1, 41))

    def _key_condition(self, table: str, alias: str = "") -> str:
        key = alias + self._key(table)
        value = lambda: self._value(table)  # noqa: E731
        return str(
            self._one(
                (
                    lambda: f"{key} = {value()}",
                    lambda: f"{key} = {value()}",
                    lambda: f"{value()} = {key}",
                    lambda: f"{key} IN ({value()}, {value()})",
                    lambda: f"{key} IN ({value()}, {value()}, {value()})",
                    lambda: f"({key} = {value()} OR {key} = {value()})",
                    lambda: f"{key} <=> {value()}",
                    lambda: f"{key} BETWEEN {value()} AND {value()}",
                    lambda: f"{key} > {value()}",
                    lambda: f"NOT {key} = {value()}",
                    lambda: f"{key} + 0 = {value()}",
                    lambda: f"{key} IN (SELECT {key.split('.')[-1]} FROM {table})",
                    lambda: f"({key}) = ({value()})",
                    lambda: f"{key} LIKE {value()}",
                )
            )()
        )

    def _other_condition(self, table: str, alias: str = "") -> str:
        if table == "users":
            return str(
                self._one(
                    (
                        f"{alias}age > {self._random.randrange(5)}",
                        f"{alias}name LIKE 'u%'",
                        f"{alias}country = 'DE'",
                        f"{alias}born IS NULL",
                        f"{alias}age IN (1, 2)",
                    )
                )
            )
        if table == "orders":
            return str(
                self._one((f"{alias}n = 1", f"{alias}amount > 10", f"{alias}note IS NOT NULL"))
            )
        if table == "tags":
            return f"{alias}weight < {self._random.randrange(10)}"
        return f"{alias}code <> 'FR'"

    def _where(self, table: str, alias: str = "") -> str:
        parts = []
        if self._random.random() < 0.75 and table != "countries":
            parts.append(self._key_condition(table, alias))
        if self._random.random() < 0.4:
            parts.append(self._other_condition(table, alias))
        self._random.shuffle(parts)
        joined = self._one((" AND ", " AND ", " AND ", " OR ")).join(parts)
        return f" WHERE {joined}" if parts else ""

    def _tail(self, table: str) -> str:
        return str(
            self._one(
                ("",) * 8
                + (
                    f" ORDER BY {self._key(table) if table != 'countries' else 'code'}",
                    " LIMIT 100",
                    " FOR UPDATE",
                    f" GROUP BY {self._one(COLUMNS[table])}",
                    f" HAVING {self._one(COLUMNS[table])} IS NOT NULL",
                )
            )
        )

    def _projection(self, table: str) -> str:
        column = self._one(COLUMNS[table])
        return str(
            self._one(
                (
                    "*",
                    "*",
                    column,
                    f"{column} AS x",
                    f"{self._one(COLUMNS[table])}, {column}",
                    f"CONCAT({column}, '!')",
                    f"{column} IS NULL",
                    "COUNT(*)",
                    f"MAX({column})",
                    f"DISTINCT {column}",
                    "1",
                    f"UPPER({column}), LENGTH({column})",
                    f"(SELECT MAX(name) FROM countries), {column}",
                    f"SUM({column}) OVER ()",
                )
            )
        )

    def select(self) -> str:
        table = self._one(("users", "users", "orders", "tags", "countries"))
        where = self._where(table)
        if self._random.random() < 0.05:
            other = self._one(("users", "tags"))
            return (
                f"SELECT {self._key(other)} FROM {other}{self._where(other)} UNION ALL "
                f"SELECT {self._one(COLUMNS[table])} FROM {table}{where}"
            )
        return f"SELECT {self._projection(table)} FROM {table}{where}{self._tail(table)}"

    def join(self) -> str:
        kind = self._one(("JOIN", "LEFT JOIN", "RIGHT JOIN", ","))
        on = self._one(
            (
                "u.user_id = o.user_id",
                "o.user_id = u.user_id",
                "u.age = o.n",
                "u.user_id = o.user_id AND o.n = 1",
                "u.user_id <> o.user_id",
            )
        )
        where = self._where(self._one(("users",)), "u.") if self._random.random() < 0.7 else ""
        if self._random.random() < 0.3:
            return (
                "SELECT u.user_id, c.name FROM users u "
                f"{self._one(('JOIN', 'LEFT JOIN', 'RIGHT JOIN'))} countries c "
                f"ON c.code = u.country{where}"
            )
        if kind == ",":
            glue = f"{where} AND {on}" if where and " OR " not in where else f" WHERE {on}"
            return f"SELECT u.user_id, o.n FROM users u, orders o{glue}"
        return (
            f"SELECT u.user_id, u.name, o.n, o.amount FROM users u {kind} orders o ON {on}{where}"
        )

    def insert(self) -> str:
        verb = self._one(("INSERT INTO", "INSERT INTO", "INSERT IGNORE INTO", "REPLACE INTO"))
        table = self._one(("users", "orders", "tags"))
        count = self._one((1, 1, 1, 2))
        rows = ", ".join(self._row(table) for _ in range(count))
        names = f" ({', '.join(COLUMNS[table])})" if self._random.random() < 0.5 else ""
        tail = ""
        if verb == "INSERT INTO" and self._random.random() < 0.3:
            column = COLUMNS[table][1]
            tail = f" ON DUPLICATE KEY UPDATE {column} = VALUES({column})"
        return f"{verb} {table}{names} VALUES {rows}{tail}"

    def _row(self, table: str) -> str:
        key = self._value(table) if self._random.random() < 0.5 else self._usual(table)
        number = self._random.randrange(10)
        if table == "users":
            return f"({key}, 'u{number}', {number}, '2001-01-0{number or 1}', 'DE')"
        if table == "orders":
            return f"({key}, {number}, {number}.5, 'n{number}')"
        return f"({key}, {number}.25)"

    def update(self) -> str:
        table = self._one(("users", "orders", "tags"))
        column = self._one(COLUMNS[table])
        value = {"users": "3", "orders": "4", "tags": "2.5"}[table]
        limit = self._one(("", "", "", "", " LIMIT 1"))
        return f"UPDATE {table} SET {column} = {value}{self._where(table)}{limit}"

    def delete(self) -> str:
        table = self._one(("users", "orders", "tags"))
        return f"DELETE FROM {table}{self._where(table)}"

    def reference(self) -> str:
        number = self._random.randrange(10)
        return str(
            self._one(
                (
                    f"INSERT INTO countries VALUES ('C{number}', 'country {number}')",
                    f"UPDATE countries SET name = 'new {number}' WHERE code = 'C{number}'",
                    f"DELETE FROM countries WHERE code = 'C{number}'",
                    f"REPLACE INTO countries VALUES ('C{number}', NULL)",
                    "UPDATE countries SET name = UPPER(name)",
                )
            )
        )


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2, RULES, options=NOT_DURABLE) as shards:
        yield shards


@pytest.fixture(scope="module")
def gate(shards: Shards) -> Iterator[Any]:
    with GateProcess(shards.table(), shards.users()) as gate, gate.connect() as connection:
        yield connection


@pytest.fixture(scope="module")
def plain() -> Iterator[Any]:
    with Mysqld(options=NOT_DURABLE) as server:
        server.query("CREATE DATABASE shop")
        with server.connect(database="shop") as connection:
            yield connection


def fill(gate: Any, plain: Any) -> None:
    for connection in (gate, plain):
        for table in COLUMNS:
            ask(connection, f"DROP TABLE IF EXISTS {table}")
        for statement in SCHEMA:
            assert ask(connection, statement).error == 0, statement
        for n in range(1, 41):
            country = ("DE", "FR", "XX")[n % 3]
            rows = (
                f"INSERT INTO users VALUES ({n}, 'user {n}', {n % 6}, NULL, '{country}')",
                f"INSERT INTO orders VALUES ({n}, 1, {n}.5, 'first')",
                f"INSERT INTO orders VALUES ({n}, 2, {n}, NULL)",
                f"INSERT INTO tags VALUES ('tag{n}', {n})",
            )
            for statement in rows:
                assert ask(connection, statement).error == 0, statement
        for code, name in (("DE", "Germany"), ("FR", "France")):
            assert ask(connection, f"INSERT INTO countries VALUES ('{code}', '{name}')").error == 0
        for label in ("'red'", "'RED'", "'green'", "''", "'ü'"):
            assert ask(connection, f"INSERT INTO tags VALUES ({label}, 1)").error == 0


def everything(connection: Any) -> dict[str, Counter[tuple[Any, ...]]]:
    answers = {table: ask(connection, f"SELECT * FROM {table}") for table in COLUMNS}
    assert all(answer.error == 0 for answer in answers.values()), answers
    return {table: answer.rows for table, answer in answers.items()}


def test_the_gate_answers_as_one_mysqld_or_refuses(gate: Any, plain: Any) -> None:
    fill(gate, plain)
    maker = Maker(SEED)
    answered, refused = 0, 0
    for number in range(STATEMENTS):
        statement = maker.statement()
        ours = ask(gate, statement)
        where = f"statement {number} of seed {SEED}: {statement}"
        if ours.is_refusal:
            refused += 1
            continue
        theirs = ask(plain, statement)
        assert ours.error == theirs.error, f"{where}: {ours.text!r} instead of {theirs.text!r}"
        assert ours.rows == theirs.rows, f"{where}: rows differ"
        assert ours.affected == theirs.affected, f"{where}: counts differ"
        answered += 1
        if number % 250 == 0:
            assert everything(gate) == everything(plain), f"after {where}"
    assert everything(gate) == everything(plain)
    assert answered > STATEMENTS * 0.4, f"{refused} of {STATEMENTS} refused: little was compared"


def test_each_row_is_where_the_gate_looks_for_it(gate: Any, shards: Shards) -> None:
    """After all the statements above: a row on the wrong shard is lost to reads by key."""
    for table, key in (("users", "user_id"), ("orders", "user_id"), ("tags", "label")):
        for shard, rows in enumerate(
            shards.rows(f"SELECT CRC32({key}) MOD 64 DIV 32, COUNT(*) FROM {table} GROUP BY 1")
        ):
            assert [int(home) for home, _ in rows] in ([], [shard]), table
