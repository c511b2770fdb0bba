"""Frameworks and drivers see in the demo's keyspace what they see on one MySQL."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from stories import Place, compare, django_story, go_story, sqlalchemy_story
from world import GATE_HOST, GATE_PORT, Login

from mysqld import Mysqld

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def plain() -> Iterator[Place]:
    with Mysqld(options=("--skip-log-bin",)) as server:
        server.query("CREATE DATABASE shop")
        server.query("CREATE USER app@'%' IDENTIFIED BY 'secret'")
        server.query("GRANT ALL ON shop.* TO app@'%'")
        yield Place("127.0.0.1", server.port, "app", "secret", "shop")


@pytest.fixture
def gate(shop: Login) -> Place:
    return Place(GATE_HOST, GATE_PORT, shop.user, shop.password, shop.database)


@pytest.mark.parametrize("driver", ["pymysql", "mysqlconnector"])
def test_sqlalchemy(plain: Place, gate: Place, driver: str) -> None:
    compare(partial(sqlalchemy_story.tell, driver=driver), plain, gate)


def test_django(plain: Place, gate: Place) -> None:
    compare(django_story.tell, plain, gate)


def test_go(plain: Place, gate: Place, go_program: Path) -> None:
    compare(partial(go_story.tell, go_program), plain, gate)
