"""The admin port tells probes, people and the operator what the gate obeys."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest_asyncio
from patience import soon
from tables import a_table

from mitosis_gate.admin import Admin, routing_view
from mitosis_gate.routing_watch import Obeyed, RoutingBook


class State:
    """A gate that obeys what its book says."""

    def __init__(self, book: RoutingBook) -> None:
        self.book = book
        self.unhealthy = ""
        self.not_ready = ""

    def why_unhealthy(self) -> str:
        return self.unhealthy

    def why_not_ready(self) -> str:
        return self.not_ready

    def routing(self) -> Mapping[str, Any]:
        return routing_view(tuple(self.book.tables.values()), [], 1.25)

    def version(self, keyspace: str) -> int:
        table = self.book.get(keyspace)
        return table.version if table else 0

    async def wait_for(self, keyspace: str, version: int) -> None:
        await self.book.wait_for(keyspace, version)


class Client:
    def __init__(self, state: State, session: aiohttp.ClientSession, port: int) -> None:
        self.state = state
        self._session = session
        self._url = f"http://127.0.0.1:{port}"

    async def get(self, path: str) -> tuple[int, str]:
        async with self._session.get(self._url + path) as answer:
            return answer.status, await answer.text()

    async def json(self, path: str) -> tuple[int, Any]:
        async with self._session.get(self._url + path) as answer:
            return answer.status, await answer.json()


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    state = State(RoutingBook())
    admin = Admin(state, "127.0.0.1", 0)
    await admin.start()
    async with aiohttp.ClientSession() as session:
        yield Client(state, session, admin.port)
    await admin.close()


async def test_probes_say_why_not(client: Client) -> None:
    assert await client.get("/healthz") == (200, "ok")
    assert await client.get("/readyz") == (200, "ok")
    client.state.not_ready = "draining"
    client.state.unhealthy = "worker 2 does not answer"
    assert await client.get("/readyz") == (503, "draining")
    assert await client.get("/healthz") == (503, "worker 2 does not answer")


async def test_figures_are_those_of_prometheus(client: Client) -> None:
    status, text = await client.get("/metrics")
    assert status == 200
    assert "# TYPE mitosis_gate_clients gauge" in text


async def test_routing_shows_who_is_primary_and_no_secret(client: Client) -> None:
    client.state.book.offer(Obeyed("mitosis", "u1", a_table(version=3, epochs=(4, 5))))
    status, body = await client.json("/routing")
    assert status == 200
    (shop,) = body["keyspaces"]
    assert (shop["keyspace"], shop["version"]) == ("shop", 3)
    assert [(s["name"], s["slots"], s["epoch"], s["primary"]) for s in shop["shards"]] == [
        ("shop-0-2048", "0-2048", 4, "shop-0-2048-1"),
        ("shop-2048-4096", "2048-4096", 5, "shop-2048-4096-1"),
    ]
    assert body["ageSeconds"] == 1.2
    assert "password" not in str(body).lower()


async def test_a_version_is_confirmed_at_once_when_it_is_obeyed(client: Client) -> None:
    client.state.book.offer(Obeyed("mitosis", "u1", a_table(version=3)))
    assert await client.json("/routing/shop?version=2") == (200, {"keyspace": "shop", "version": 3})


async def test_a_version_is_confirmed_as_soon_as_it_is_obeyed(client: Client) -> None:
    client.state.book.offer(Obeyed("mitosis", "u1", a_table(version=3)))
    asked = asyncio.create_task(client.json("/routing/shop?version=4&timeout=30"))
    await client.get("/healthz")
    client.state.book.offer(Obeyed("mitosis", "u1", a_table(version=4)))
    assert await soon(asked) == (200, {"keyspace": "shop", "version": 4})


async def test_a_version_that_does_not_come_is_answered_with_the_one_obeyed(client: Client) -> None:
    client.state.book.offer(Obeyed("mitosis", "u1", a_table(version=3)))
    assert await client.json("/routing/shop?version=4&timeout=0.05") == (
        504,
        {"keyspace": "shop", "version": 3},
    )
    assert (await client.json("/routing/none?version=1&timeout=0.01"))[0] == 504


async def test_nonsense_in_the_query_is_answered_with_400(client: Client) -> None:
    status, body = await client.json("/routing/shop?version=new")
    assert status == 400
    assert "whole number" in body["error"]
