"""The tables of a round: two that live together, one by text, one that is on every shard, one
that is on the first only. Their columns beside the keys are drawn at random. Two views have the
columns of a table."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from mitosis_routing.table import TableRule
from oracle.kinds import INT, KINDS, Kind, quoted

RULES = (
    TableRule("users", "user_id"),
    TableRule("orders", "user_id"),
    TableRule("tags", "label"),
    TableRule("countries", reference=True),
)
_KEY = Kind("int", "BIGINT NOT NULL", lambda r: str(r.randrange(1, 41)))
_NUMBER = Kind("int", "INT NOT NULL", lambda r: str(r.randrange(1, 4)))
_LABEL = Kind(
    "str",
    "VARCHAR(20) COLLATE utf8mb4_0900_bin NOT NULL",
    lambda r: quoted(r.choice(("red", "RED", "grün", "", "blue", "x")) + str(r.randrange(9))),
)
_CODE = Kind("str", "CHAR(2) NOT NULL", lambda r: quoted(r.choice(("DE", "FR", "XX", "UK"))))
_ROWS = {"users": 40, "orders": 70, "tags": 30, "countries": 4}


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """Of the primary key."""
    sharding_key: str = ""

    @property
    def create(self) -> str:
        parts = [
            f"{c.name} {c.kind.type}{'' if not c.nullable else ' NULL'}"
            if "NULL" not in c.kind.type
            else f"{c.name} {c.kind.type}"
            for c in self.columns
        ]
        return f"CREATE TABLE {self.name} ({', '.join(parts)}, PRIMARY KEY ({', '.join(self.key)}))"

    def row(self, r: random.Random) -> str:
        values = [
            "NULL" if c.nullable and r.random() < 0.15 else c.kind.literal(r) for c in self.columns
        ]
        return f"({', '.join(values)})"


def make(r: random.Random) -> tuple[Table, ...]:
    def more(prefix: str, count: int) -> list[Column]:
        kinds: Sequence[Kind] = r.sample(KINDS, count)
        return [Column(f"{prefix}{n}", kind) for n, kind in enumerate(kinds, 1)]

    code = Column("country", Kind("str", "CHAR(2)", _CODE.literal, folds=True))
    return (
        Table(
            "users",
            (Column("user_id", _KEY, False), code, Column("age", INT), *more("u", 6)),
            ("user_id",),
            "user_id",
        ),
        Table(
            "orders",
            (Column("user_id", _KEY, False), Column("n", _NUMBER, False), *more("o", 6)),
            ("user_id", "n"),
            "user_id",
        ),
        Table(
            "tags",
            (Column("label", _LABEL, False), Column("weight", INT), *more("t", 3)),
            ("label",),
            "label",
        ),
        Table("countries", (Column("code", _CODE, False), *more("c", 2)), ("code",)),
    )


@dataclass(frozen=True)
class View:
    """Rows of a table, its columns under the same names."""

    name: str
    over: str
    select: str

    @property
    def create(self) -> str:
        return f"CREATE OR REPLACE VIEW {self.name} AS {self.select}"


def views(r: random.Random) -> tuple[View, ...]:
    """Each time under other names: gates wait for one another when a name means something else."""
    return tuple(_view(table, r) for table in ("users", "orders"))


def _view(table: str, r: random.Random) -> View:
    number = r.randrange(40)
    few, others = f"user_id < {number}", f"user_id >= {number}"
    select = r.choice(
        (
            f"SELECT * FROM {table}",
            f"SELECT * FROM {table} WHERE {others}",
            f"SELECT DISTINCT * FROM {table} WHERE {few}",
            f"SELECT * FROM {table} WHERE {few} UNION ALL SELECT * FROM {table} WHERE {others}",
            f"SELECT * FROM {table} WHERE user_id IN (SELECT user_id FROM users WHERE age > 2)",
        )
    )
    return View(f"{table}_{r.randrange(1_000_000)}", table, select)


def filling(tables: Sequence[Table], r: random.Random) -> list[str]:
    """Statements that make the tables and fill them; the same rows may come twice.

    All go before the first comes back as another table: so gates wait for one another once.
    """
    statements = [f"DROP TABLE IF EXISTS {table.name}" for table in tables]
    statements += [table.create for table in tables]
    for table in tables:
        rows = [table.row(r) for _ in range(_ROWS[table.name])]
        statements.append(f"REPLACE INTO {table.name} VALUES {', '.join(rows)}")
    return statements
