"""Who may log in follows the Secrets that the routing table names."""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from patience import beside, soon, until
from tables import a_table, a_user

from fakes.api_server import FakeApiServer
from mitosis_gate.api_server import ApiServer
from mitosis_gate.backends.account import Account
from mitosis_gate.credentials import Credentials, UsersFile
from mitosis_gate.errors import GateError, KubernetesUnreachable
from mitosis_gate.routing_watch import Obeyed, RoutingBook
from mitosis_routing.table import RoutingTable


def a_book(*tables: RoutingTable) -> RoutingBook:
    book = RoutingBook()
    for table in tables:
        book.offer(Obeyed("mitosis", "u1", table))
    return book


def put_passwords(api: FakeApiServer, **passwords: str) -> None:
    for user, password in passwords.items():
        api.put_secret(user, {"password": password.encode()})


async def test_users_of_the_table_get_the_passwords_of_their_secrets(
    api: FakeApiServer, door: ApiServer
) -> None:
    put_passwords(api, app="one", mitosis_gate="two")
    credentials = Credentials(a_book(a_table()), door)
    async with beside(credentials.run()):
        await soon(credentials.wait_settled())
    assert credentials.named("app") == (Account("shop", "app", "one"),)
    assert credentials.gate("shop") == Account("shop", "mitosis_gate", "two")


async def test_the_account_of_the_gate_is_not_for_clients(
    api: FakeApiServer, door: ApiServer
) -> None:
    put_passwords(api, app="one", mitosis_gate="two")
    credentials = Credentials(a_book(a_table()), door)
    async with beside(credentials.run()):
        await soon(credentials.wait_settled())
    assert credentials.named("mitosis_gate") == ()
    assert credentials.named("nobody") == ()


async def test_a_user_of_two_keyspaces_has_an_account_in_each(
    api: FakeApiServer, door: ApiServer
) -> None:
    put_passwords(api, app="one", mitosis_gate="two")
    credentials = Credentials(a_book(a_table(), a_table(keyspace="blog")), door)
    async with beside(credentials.run()):
        await soon(credentials.wait_settled())
    assert [a.keyspace for a in credentials.named("app")] == ["blog", "shop"]


async def test_a_new_version_makes_the_gate_read_the_secret_again(
    api: FakeApiServer, door: ApiServer
) -> None:
    put_passwords(api, app="old", mitosis_gate="two")
    table = a_table()
    book = a_book(table)
    credentials = Credentials(book, door)
    async with beside(credentials.run()):
        await soon(credentials.wait_settled())
        put_passwords(api, app="new")
        asked = len(api.requests)
        book.offer(Obeyed("mitosis", "u1", replace(table, version=2)))
        await soon(credentials.wait_settled())
        assert len(api.requests) == asked, "nothing new is named, nothing is read"
        newer = replace(table, version=3, users=(a_user("app", version="2"),))
        book.offer(Obeyed("mitosis", "u1", newer))
        await soon(credentials.wait_settled())
        assert [a.password for a in credentials.named("app")] == ["new"]


async def test_a_missing_secret_keeps_the_user_out_until_it_appears(
    api: FakeApiServer, door: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    put_passwords(api, mitosis_gate="two")
    credentials = Credentials(a_book(a_table()), door, again_seconds=0.05)
    async with beside(credentials.run()):
        await soon(credentials.wait_settled())
        assert credentials.named("app") == ()
        assert "Secret mitosis/app does not exist" in caplog.text
        put_passwords(api, app="late")
        await until(lambda: bool(credentials.named("app")))


@pytest.mark.parametrize("data", [{}, {"other": b"x"}, {"password": b""}, {"password": b"\xff"}])
async def test_a_secret_without_a_usable_password_keeps_the_user_out(
    api: FakeApiServer, door: ApiServer, data: Mapping[str, bytes]
) -> None:
    put_passwords(api, mitosis_gate="two")
    api.put_secret("app", data)
    credentials = Credentials(a_book(a_table()), door)
    async with beside(credentials.run()):
        await soon(credentials.wait_settled())
    assert credentials.named("app") == ()
    assert credentials.gate("shop").password == "two"


async def test_known_passwords_stay_while_the_api_server_is_away() -> None:
    class Away:
        here = True

        async def read_secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
            if not self.here:
                raise KubernetesUnreachable("away")
            return {"password": b"one"}

    away = Away()
    table = a_table()
    book = a_book(table)
    credentials = Credentials(book, away)
    async with beside(credentials.run()):
        await soon(credentials.wait_settled())
        away.here = False
        newer = replace(table, version=2, users=(a_user("app", version="2"),))
        book.offer(Obeyed("mitosis", "u1", newer))
        await soon(credentials.wait_settled())
        assert [a.password for a in credentials.named("app")] == ["one"]


async def test_a_user_taken_out_of_the_table_is_out_at_once(
    api: FakeApiServer, door: ApiServer
) -> None:
    put_passwords(api, app="one", mitosis_gate="two")
    table = a_table()
    book = a_book(table)
    credentials = Credentials(book, door)
    async with beside(credentials.run()):
        await soon(credentials.wait_settled())
        book.offer(Obeyed("mitosis", "u1", replace(table, version=2, users=())))
        assert credentials.named("app") == ()


async def test_no_password_reaches_the_log(
    api: FakeApiServer, door: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    put_passwords(api, app="s3cret-one", mitosis_gate="s3cret-two")
    api.put_secret("broken", {"password": b"s3cret-\xff"})
    credentials = Credentials(a_book(a_table(users=("app", "broken"))), door)
    async with beside(credentials.run()):
        await soon(credentials.wait_settled())
    assert "s3cret" not in caplog.text
    assert "s3cret" not in repr(credentials.named("app"))


async def test_without_its_password_the_gate_says_what_is_missing() -> None:
    class Silent:
        async def read_secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
            await asyncio.Event().wait()
            raise AssertionError

    with pytest.raises(GateError, match="gate's own account"):
        Credentials(a_book(a_table()), Silent()).gate("shop")


async def test_in_static_mode_passwords_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    path.write_text(json.dumps({"shop": {"app": "one", "mitosis_gate": "two"}, "blog": {}}))
    book = RoutingBook()
    for keyspace in ("shop", "blog"):
        book.offer(Obeyed(keyspace, "", a_table(keyspace=keyspace)))
    credentials = Credentials(book, UsersFile(path, book))
    async with beside(credentials.run()):
        await soon(credentials.wait_settled())
    assert credentials.named("app") == (Account("shop", "app", "one"),)
