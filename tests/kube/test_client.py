"""The door to Kubernetes against a small HTTP server that answers as the API server does."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import tenacity
import yaml
from aiohttp import web

from mitosis_operator.errors import (
    BadSettings,
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    Unavailable,
)
from mitosis_operator.kube import access, client
from mitosis_operator.kube.access import Access
from mitosis_operator.kube.client import Client
from mitosis_operator.kube.kinds import NODE, POD, SHARD

Answer = Callable[[web.Request, Any], web.Response]


class Server:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], str, Any]] = []
        self.answers: list[tuple[int, Any]] = []
        """In order; the last one again and again."""

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        body = yaml.safe_load(text) if text else None
        query, kind = dict(request.query), request.headers.get("Content-Type", "")
        self.asked.append((request.method, request.path, query, kind, body))
        status, answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.json_response(answer, status=status)


@asynccontextmanager
async def a_client(*answers: tuple[int, Any]) -> AsyncIterator[tuple[Client, Server]]:
    server = Server()
    server.answers = list(answers)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with Client(Access(f"http://127.0.0.1:{port}", token="t0ken")) as kube:
            yield kube, server
    finally:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenacity, "wait_random_exponential", lambda **_: tenacity.wait_none())


def a_pod(**metadata: str) -> dict[str, Any]:
    named = {"name": "p", "namespace": "apps", "uid": "u"} | metadata
    return {"apiVersion": "v1", "kind": "Pod", "metadata": named}


async def test_long_lists_come_in_chunks() -> None:
    first = {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "a"}}]}
    last = {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": "b"}}]}
    async with a_client((200, first), (200, last)) as (kube, server):
        listing = await kube.list(POD, "apps", labels="a=b")
    assert [body["metadata"]["name"] for body in listing.items] == ["a", "b"]
    assert [body["kind"] for body in listing.items] == ["Pod", "Pod"]
    assert listing.resource_version == "9"
    assert [query.get("continue") for _, _, query, _, _ in server.asked] == [None, "more"]
    assert server.asked[0][2]["labelSelector"] == "a=b"


async def test_each_verb_asks_as_kubernetes_wants_it() -> None:
    pod = a_pod(resourceVersion="5")
    async with a_client((200, pod)) as (kube, server):
        await kube.get(NODE, "", "n")
        await kube.create(pod)
        await kube.apply(pod)
        await kube.merge(SHARD, "apps", "s", {"spec": {}})
        await kube.replace(pod)
        await kube.replace_status(pod)
        await kube.delete(pod, grace_seconds=3)
    asked = [(method, path, kind) for method, path, _, kind, _ in server.asked]
    pods = "/api/v1/namespaces/apps/pods"
    assert asked == [
        ("GET", "/api/v1/nodes/n", ""),
        ("POST", pods, "application/json"),
        ("PATCH", f"{pods}/p", "application/apply-patch+yaml"),
        (
            "PATCH",
            "/apis/mitosis.dev/v1alpha1/namespaces/apps/shards/s",
            "application/merge-patch+json",
        ),
        ("PUT", f"{pods}/p", "application/json"),
        ("PUT", f"{pods}/p/status", "application/json"),
        ("DELETE", f"{pods}/p", "application/json"),
    ]
    assert server.asked[2][2] == {"fieldManager": "mitosis-operator", "force": "true"}
    assert server.asked[6][4]["preconditions"] == {"uid": "u"}
    assert server.asked[6][4]["gracePeriodSeconds"] == 3


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Invalid),
        (401, Forbidden),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (418, KubeError),
        (422, Invalid),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_refusals_carry_the_servers_reason(status: int, error: type[KubeError]) -> None:
    async with a_client((status, {"message": "because"})) as (kube, _):
        with pytest.raises(error, match="cannot GET .*because"):
            await kube.get(POD, "apps", "p")


async def test_what_may_be_asked_twice_is_asked_again() -> None:
    async with a_client((503, {}), (500, {}), (200, a_pod())) as (kube, server):
        assert (await kube.get(POD, "apps", "p"))["metadata"]["name"] == "p"
    assert len(server.asked) == 3


async def test_a_creation_is_not_repeated() -> None:
    async with a_client((503, {}), (201, a_pod())) as (kube, server):
        with pytest.raises(Unavailable):
            await kube.create(a_pod())
    assert len(server.asked) == 1


async def test_it_gives_up_in_the_end() -> None:
    async with a_client((503, {})) as (kube, server):
        with pytest.raises(Unavailable):
            await kube.get(POD, "apps", "p")
    assert len(server.asked) == client.ATTEMPTS


async def test_nobody_there_is_unavailable() -> None:
    async with Client(Access("http://127.0.0.1:1")) as kube:
        with pytest.raises(Unavailable):
            await kube.get(POD, "apps", "p")


async def test_the_absent_is_deleted_already() -> None:
    async with a_client((404, {})) as (kube, _):
        await kube.delete(a_pod())


async def test_a_replacement_without_a_version_is_not_sent() -> None:
    async with a_client((200, {})) as (kube, server):
        with pytest.raises(KubeError, match="compare-and-swap"):
            await kube.replace(a_pod())
    assert server.asked == []


def test_a_service_accounts_token_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("")
    (tmp_path / "token").write_text("first\n")
    env = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    found = access.in_cluster(env, tmp_path)
    assert found.server == "https://[fd00::1]:6443"
    assert found.headers() == {"Authorization": "Bearer first"}
    (tmp_path / "token").write_text("second\n")
    assert found.headers() == {"Authorization": "Bearer second"}


def test_a_kubeconfigs_current_context_is_used(tmp_path: Path) -> None:
    path = tmp_path / "config"
    cluster = {"server": "https://k:6443/", "insecure-skip-tls-verify": True}
    config = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path.write_text(yaml.safe_dump(config))
    found = access.find(str(path), {})
    assert (found.server, found.token, found.insecure) == ("https://k:6443", "t", True)


def test_a_kubeconfig_without_its_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump({"current-context": "here", "contexts": []}))
    with pytest.raises(BadSettings, match="cannot use the kubeconfig"):
        access.find(str(path), {})


def test_a_process_that_knows_no_api_server_says_what_helps() -> None:
    with pytest.raises(BadSettings, match="MITOSIS_KUBECONFIG"):
        access.find("", {})
