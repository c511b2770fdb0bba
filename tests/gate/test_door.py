"""The operator's door, and the operator's way through it: mutual TLS, versions, quiet."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from patience import soon

from fakes.kube import FakeKube
from mitosis_gate.door import Door
from mitosis_gate.errors import NotStarted
from mitosis_local.certificates import Authority
from mitosis_operator.gates import Gates

GATE = "mitosis-gate"
OPERATOR = "mitosis-operator"


class State:
    """A gate of which everything is said by the test."""

    def __init__(self) -> None:
        self.obeyed = 1
        self.running: Sequence[str] = ()
        self.changed = asyncio.Condition()

    def version(self, keyspace: str) -> int:
        return self.obeyed if keyspace == "shop" else 0

    def older(self, keyspace: str) -> Sequence[str]:
        return self.running

    async def wait_for(self, keyspace: str, version: int, quiet: bool = False) -> None:
        async with self.changed:
            await self.changed.wait_for(
                lambda: self.version(keyspace) >= version and not (quiet and self.running)
            )

    async def becomes(self, obeyed: int, running: Sequence[str] = ()) -> None:
        self.obeyed, self.running = obeyed, running
        async with self.changed:
            self.changed.notify_all()


class Identities:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority("test authority")
        self.authority.pair.write(folder, "ca")
        for name in (GATE, OPERATOR, "somebody"):
            self.authority.issue(name, (name,)).write(folder, name)
        for old, new in ((f"{GATE}.crt", "tls.crt"), (f"{GATE}.key", "tls.key")):
            (folder / new).write_bytes((folder / old).read_bytes())

    def client(self, name: str = "") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        if name:
            context.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        return context


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return Identities(tmp_path_factory.mktemp("identities"))


@pytest.fixture
def state() -> State:
    return State()


@pytest_asyncio.fixture
async def door(state: State, identities: Identities) -> AsyncIterator[Door]:
    door = Door(state, identities.folder, "127.0.0.1", 0)
    await door.start()
    yield door
    await door.close()


async def get(door: Door, context: ssl.SSLContext, path: str) -> tuple[int, object]:
    url = f"https://127.0.0.1:{door.port}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, ssl=context, server_hostname=GATE) as answer,
    ):
        return answer.status, await answer.json()


async def test_the_operator_is_told_what_is_obeyed(door: Door, identities: Identities) -> None:
    status, body = await get(door, identities.client(OPERATOR), "/routing/shop?version=1&timeout=9")
    assert (status, body) == (200, {"keyspace": "shop", "version": 1, "older": []})


async def test_nobody_without_a_certificate_is_answered(door: Door, identities: Identities) -> None:
    with pytest.raises(aiohttp.ClientError):
        await get(door, identities.client(), "/routing/shop?version=1")


async def test_another_bearer_of_a_good_certificate_is_turned_away(
    door: Door, identities: Identities
) -> None:
    status, body = await get(door, identities.client("somebody"), "/routing/shop?version=1")
    assert (status, body) == (403, {"error": "only mitosis-operator is answered here"})


async def test_a_door_without_certificate_does_not_open(state: State, tmp_path: Path) -> None:
    with pytest.raises(NotStarted):
        await Door(state, tmp_path, "127.0.0.1", 0).start()


# the operator's side


def a_pod(name: str, ip: str, phase: str = "Running") -> dict[str, object]:
    labels = {"app.kubernetes.io/name": "mitosis", "app.kubernetes.io/component": "gate"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "db", "labels": labels},
        "status": {"phase": phase, "podIP": ip},
    }


async def the_gates(door: Door, identities: Identities, *pods: dict[str, object]) -> Gates:
    kube = FakeKube()
    for pod in pods:
        await kube.create(pod)
    return Gates(kube, lambda: identities.client(OPERATOR), "db", GATE, door.port)


def in_seconds(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_all_gates_are_waited_for(door: Door, identities: Identities, state: State) -> None:
    gates = await the_gates(
        door, identities, a_pod("gate-1", "127.0.0.1"), a_pod("gate-2", "127.0.0.1")
    )
    asked = asyncio.create_task(gates.confirm("shop", 2, in_seconds(60)))
    await asyncio.sleep(0)
    await state.becomes(2, ["shop-0-32"])
    assert not asked.done()
    await state.becomes(2)
    found = await soon(asked, 60)
    assert found.everybody
    assert [(g.gate, g.version) for g in found.gates] == [("gate-1", 2), ("gate-2", 2)]


async def test_what_still_runs_is_named_when_the_time_is_over(
    door: Door, identities: Identities, state: State
) -> None:
    gates = await the_gates(door, identities, a_pod("gate-1", "127.0.0.1"))
    await state.becomes(2, ["shop-0-32"])
    found = await gates.confirm("shop", 2, in_seconds(5))
    assert not found.everybody
    assert found.missing == ("gate-1 still has something running on shop-0-32",)


async def test_a_gate_that_is_behind_is_named(door: Door, identities: Identities) -> None:
    gates = await the_gates(door, identities, a_pod("gate-1", "127.0.0.1"))
    found = await gates.confirm("shop", 2, in_seconds(5))
    assert found.missing == ("gate-1 obeys version 1",)


async def test_a_gate_that_cannot_be_reached_does_not_hold_up_the_others(
    door: Door, identities: Identities
) -> None:
    gates = await the_gates(
        door,
        identities,
        a_pod("gate-1", "127.0.0.1"),
        a_pod("gate-2", "127.0.0.2"),
        a_pod("gate-3", "127.0.0.3", "Pending"),
    )
    found = await gates.confirm("shop", 1, in_seconds(5))
    assert [(g.gate, g.confirmed) for g in found.gates] == [("gate-1", True), ("gate-2", False)]
    assert "gate-2 did not answer" in found.missing[0]
