"""The same statements on one MySQL and through the gate, and what a client learns from each."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pymysql
from gates import KEYSPACE, GateProcess, Shards

from mitosis_routing.table import TableRule
from mysqld import Mysqld

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Said:
    """What a client learns from one statement."""

    affected: int = 0
    last_insert_id: int = 0
    info: str = ""
    warnings: int = 0
    error: tuple[Any, ...] = ()
    rows: Rows | None = None


def say(connection: Any, statement: str) -> Said:
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            result = connection._result
            if result.description is not None:
                return Said(rows=list(cursor.fetchall()))
            info = (result.message or b"")[1:].decode()
            return Said(cursor.rowcount, cursor.lastrowid or 0, info, result.warning_count)
    except pymysql.MySQLError as exc:
        return Said(error=exc.args)


def ask(connection: Any, statement: str) -> Rows:
    said = say(connection, statement)
    assert not said.error, said.error
    return said.rows or []


class Both:
    """Two connections of PyMySQL."""

    def __init__(self, plain: Any, gate: Any) -> None:
        self.plain, self.gate = plain, gate

    def __iter__(self) -> Iterator[Any]:
        return iter((self.plain, self.gate))

    def say(self, statement: str) -> Said:
        """What both say, which is the same."""
        wanted = say(self.plain, statement)
        found = say(self.gate, statement)
        assert found == wanted, statement
        return found

    def same(self, query: str) -> Rows:
        """The rows of a query, in whatever order the shards give them."""
        wanted, found = (sorted(ask(c, query), key=repr) for c in self)
        assert found == wanted, query
        return found

    def all_the_same(self, tables: Iterable[str]) -> None:
        for table in tables:
            self.same(f"SELECT * FROM {table}")


@dataclass(frozen=True)
class World:
    """A database twice: on one MySQL, and on two shards behind a gate."""

    shards: Shards
    plain: Mysqld
    gate: GateProcess

    @contextlib.contextmanager
    def both(self, **settings: Any) -> Iterator[Both]:
        with (
            self.plain.connect(database=KEYSPACE, autocommit=True, **settings) as plain,
            self.gate.connect(**settings) as gate,
        ):
            yield Both(plain, gate)


@contextlib.contextmanager
def world_of(
    rules: Sequence[TableRule],
    schema: Iterable[str],
    servers_options: tuple[str, ...],
    *gate_options: str,
) -> Iterator[World]:
    with (
        Shards(2, rules, options=servers_options) as shards,
        Mysqld(options=servers_options) as plain,
        GateProcess(shards.table(), shards.users(), *gate_options) as gate,
    ):
        plain.query(f"CREATE DATABASE {KEYSPACE}")
        world = World(shards, plain, gate)
        with world.both() as both:
            for statement in schema:
                for connection in both:
                    ask(connection, statement)
        yield world
