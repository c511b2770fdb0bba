"""Three drivers through the installed gate: what an application does on its first day."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import mysql.connector
import pymysql
import pytest
from world import GATE_HOST, GATE_PORT, PATHS, Login, run

pytestmark = pytest.mark.e2e
USERS = range(900_001, 900_021)
INSERT = (
    "INSERT INTO users (user_id, name, email, country, joined)"
    " VALUES (%s, %s, 'd@example.com', 'DE', '2026-01-31')"
)
Connect = Callable[[Login], Any]


def with_pymysql(login: Login) -> Any:
    return login.connect()


def with_connector(login: Login, **options: Any) -> Any:
    return mysql.connector.connect(
        host=GATE_HOST,
        port=GATE_PORT,
        user=login.user,
        password=login.password,
        database=login.database,
        autocommit=True,
        **options,
    )


def with_pure_connector(login: Login) -> Any:
    return with_connector(login, use_pure=True)


@pytest.fixture
def clean(shop: Login) -> Iterator[Login]:
    yield shop
    for user in USERS:
        shop.query("DELETE FROM users WHERE user_id = %s", user)


DRIVERS = [with_pymysql, with_connector, with_pure_connector]


@pytest.mark.parametrize("connect", DRIVERS, ids=lambda f: f.__name__)
def test_rows_written_by_a_driver_are_read_by_key_and_by_scatter(
    clean: Login, connect: Connect
) -> None:
    with closing(connect(clean)) as connection, closing(connection.cursor()) as cursor:
        for user in USERS:
            cursor.execute(INSERT, (user, f"driver {user}"))
        cursor.execute("SELECT name FROM users WHERE user_id = %s", (USERS[3],))
        assert cursor.fetchall() in ([(f"driver {USERS[3]}",)], ((f"driver {USERS[3]}",),))
        cursor.execute("SELECT user_id FROM users WHERE name LIKE 'driver %'")
        assert sorted(row[0] for row in cursor.fetchall()) == list(USERS)


def test_a_prepared_statement_finds_each_row_on_its_shard(clean: Login) -> None:
    for user in USERS:
        clean.query(INSERT, user, "prepared")
    with closing(with_pure_connector(clean)) as connection:
        with closing(connection.cursor(prepared=True)) as cursor:
            for user in USERS:
                cursor.execute("SELECT user_id FROM users WHERE user_id = %s", (user,))
                assert cursor.fetchall() == [(user,)]


def test_the_mysql_program_opens_a_session(shop: Login) -> None:
    words = ("-h", GATE_HOST, "-P", str(GATE_PORT), f"-u{shop.user}", f"-p{shop.password}")
    out = run(str(PATHS.bin / "mysql"), *words, "shop", "-e", "SHOW TABLES").out
    assert {"users", "orders", "order_items", "countries"} <= set(out.split())


def test_a_wrong_password_is_refused(shop: Login) -> None:
    with pytest.raises(pymysql.err.OperationalError) as refused:
        Login(shop.user, "not it", shop.database).connect()
    assert refused.value.args[0] == 1045


def test_an_unknown_database_is_refused(shop: Login) -> None:
    with pytest.raises(pymysql.err.OperationalError) as refused:
        Login(shop.user, shop.password, "nowhere").connect()
    assert refused.value.args[0] in (1044, 1049)
