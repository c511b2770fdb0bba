"""The door to the API server: what it sends, and what it makes of bad answers."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from patience import soon

from mitosis_gate import api_server
from mitosis_gate.api_server import ApiServer, NotFound
from mitosis_gate.errors import (
    KubernetesError,
    KubernetesUnreachable,
    NotStarted,
    ResourceVersionGone,
)
from mitosis_gate.settings import Settings
from mysqld import server_tls


@asynccontextmanager
async def answering(
    *parts: bytes, tls: ssl.SSLContext | None = None, heads: list[str] | None = None
) -> AsyncIterator[int]:
    """A server that answers every request with these bytes, and then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if heads is not None:
            heads.append(head.decode())
        for part in parts:
            writer.write(part)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def status(code: int, body: bytes = b"reason") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (code, len(body)) + body


def chunked(*pieces: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


def door(port: int, folder: Path, scheme: str = "http") -> ApiServer:
    return ApiServer(f"{scheme}://127.0.0.1:{port}", folder)


async def test_it_shows_its_token_and_reads_it_anew_each_time(tmp_path: Path) -> None:
    heads: list[str] = []
    async with answering(ok(b'{"data": {"a": "eA=="}}'), heads=heads) as port:
        api = door(port, tmp_path)
        for token in ("first", "second"):
            (tmp_path / "token").write_text(token + "\n")
            assert await soon(api.read_secret("mitosis", "app")) == {"a": b"x"}
    assert "Authorization: Bearer first\r\n" in heads[0]
    assert "Authorization: Bearer second\r\n" in heads[1]
    assert heads[0].startswith("GET /api/v1/namespaces/mitosis/secrets/app HTTP/1.1\r\n")


async def test_it_trusts_the_authority_of_the_service_account_only(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    tls, other = server_tls(tmp_path / "a"), server_tls(tmp_path / "b")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate(), tls.key())
    async with answering(ok(b"{}"), tls=context) as port:
        (tmp_path / "ca.crt").write_bytes(tls.ca.read_bytes())
        api = door(port, tmp_path, "https")
        assert await soon(api.read_secret("mitosis", "app")) == {}
        stranger = door(port, tmp_path / "b", "https")
        assert other.ca.name == "ca.crt"
        with pytest.raises(KubernetesUnreachable, match="certificate"):
            await soon(stranger.read_secret("mitosis", "app"))


async def test_a_chunked_answer_is_put_together(tmp_path: Path) -> None:
    body = [b'{"metadata": {"resource', b'Version": "7"}, "items"', b": []}"]
    async with answering(chunked(*body)) as port:
        listed = await soon(door(port, tmp_path).list_tables("mitosis"))
    assert (listed.items, listed.resource_version) == ((), "7")


async def test_events_cross_the_borders_of_chunks(tmp_path: Path) -> None:
    event = b'{"type": "ADDED", "object": {"metadata": {"name": "shop"}}}\n'
    pieces = [event[:10], event[10:] + event[:1], event[1:], event]
    async with answering(chunked(*pieces)) as port:
        found = [e async for e in door(port, tmp_path).watch_tables("mitosis", "1", 5)]
    assert [e.kind for e in found] == ["ADDED"] * 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(404), NotFound),
        (status(403), KubernetesError),
        (status(410), ResourceVersionGone),
        (status(429), KubernetesUnreachable),
        (status(503), KubernetesUnreachable),
        (b"", KubernetesUnreachable),
        (b"garbage\r\n\r\n", KubernetesUnreachable),
        (ok(b"{ not json"), KubernetesUnreachable),
        (ok(b"{}").replace(b"2\r\n\r\n", b"9\r\n\r\n"), KubernetesUnreachable),
        (chunked(b"{}")[:-5], KubernetesUnreachable),
        (chunked(b"{}").replace(b"2\r\n{}", b"zz\r\n{}"), KubernetesUnreachable),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, KubernetesUnreachable),
    ],
)
async def test_bad_answers_become_errors_of_ours(
    tmp_path: Path, answer: bytes, error: type[KubernetesError]
) -> None:
    async with answering(answer) as port:
        with pytest.raises(KubernetesError) as found:
            await soon(door(port, tmp_path).read_secret("mitosis", "app"))
    assert type(found.value) is error


async def test_a_server_that_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_server, "ANSWER_SECONDS", 0.05)

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            continue
        writer.close()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(KubernetesUnreachable):
            await soon(door(port, tmp_path).list_tables("mitosis"))
        await soon(ended.wait())


async def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(KubernetesUnreachable):
        await soon(door(1, tmp_path).list_tables("mitosis"))


def test_the_address_comes_from_the_environment_of_the_pod() -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    api = api_server.from_settings(Settings(), environment)
    assert api.url == "https://[fd00::1]:6443"
    assert api_server.from_settings(Settings(api_server="http://x:1/"), {}).url == "http://x:1"
    with pytest.raises(NotStarted, match="--routing-file"):
        api_server.from_settings(Settings(), {})


def test_the_namespace_is_the_pods_own_unless_it_is_set(tmp_path: Path) -> None:
    settings = Settings(service_account_dir=tmp_path)
    with pytest.raises(NotStarted, match="--namespaces"):
        api_server.own_namespaces(settings)
    (tmp_path / "namespace").write_text("mitosis\n")
    assert api_server.own_namespaces(settings) == ("mitosis",)
    assert api_server.own_namespaces(Settings(namespaces=("a", "b"))) == ("a", "b")
