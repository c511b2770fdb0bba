"""Frameworks and drivers see through a gate with four shards what they see on one MySQL."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from merge_servers import MergeServer
from stories import Place, compare, django_story, go_story, sqlalchemy_story

from mysqld import Mysqld

pytestmark = pytest.mark.mysql

NOT_DURABLE = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")


@pytest.fixture(scope="module")
def plain() -> Iterator[Place]:
    with Mysqld(options=NOT_DURABLE) as server:
        server.query(f"CREATE DATABASE {KEYSPACE}")
        server.query(f"CREATE USER {USER}@'%%' IDENTIFIED BY %s", PASSWORD)
        server.query(f"GRANT ALL ON {KEYSPACE}.* TO {USER}@'%'")
        yield Place("127.0.0.1", server.port, USER, PASSWORD, KEYSPACE)


@pytest.fixture(scope="module")
def gate() -> Iterator[Place]:
    with Shards(4, rules=()) as shards, MergeServer() as merge:
        table = replace(shards.table(), default_sharding_key="user_id")
        with GateProcess(table, shards.users(), merge.option) as gate:
            yield Place("127.0.0.1", gate.port, USER, PASSWORD, KEYSPACE)


@pytest.mark.parametrize("driver", ["pymysql", "mysqlconnector"])
def test_sqlalchemy(plain: Place, gate: Place, driver: str) -> None:
    compare(partial(sqlalchemy_story.tell, driver=driver), plain, gate)


def test_django(plain: Place, gate: Place) -> None:
    compare(django_story.tell, plain, gate)


def test_go(plain: Place, gate: Place, go_program: Path) -> None:
    compare(partial(go_story.tell, go_program), plain, gate)
