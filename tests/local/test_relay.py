import asyncio
import socket
from typing import Any

import pymysql
import pytest

from mitosis_local import relay
from mitosis_local.errors import LocalError


def a_slice(*addresses: str, ready: bool = True, port: str = "mysql") -> dict[str, Any]:
    return {
        "ports": [{"name": port, "port": 3306}],
        "endpoints": [{"addresses": list(addresses), "conditions": {"ready": ready}}],
    }


def test_only_ready_gates_are_used_and_only_their_mysql_port() -> None:
    slices = [
        a_slice("10.0.0.1"),
        a_slice("10.0.0.2", ready=False),
        a_slice("10.0.0.3", port="http"),
        {"ports": None, "endpoints": None},
    ]
    assert relay.gate_addresses(slices) == [("10.0.0.1", 3306)]


async def _chat(there: relay.Choose, message: bytes, reason: bytes = b"") -> bytes:
    """Send a message through a relay, close the sending side, return all that comes back."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await relay.relay(there, reason, reader, writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(message)
        writer.write_eof()
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


async def _shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that answers only when the client has said all."""
    writer.write((await reader.read()).upper())
    writer.close()
    await writer.wait_closed()


async def test_bytes_and_the_end_of_them_pass_in_both_directions() -> None:
    async with await asyncio.start_server(_shout, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()[:2]

        async def there() -> list[relay.Address]:
            return [address]

        assert await _chat(there, b"hello" * 100_000) == b"HELLO" * 100_000


async def test_a_gate_that_is_dead_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = taken.getsockname()
    async with await asyncio.start_server(_shout, "127.0.0.1", 0) as server:
        alive = server.sockets[0].getsockname()[:2]

        async def there() -> list[relay.Address]:
            return [dead, alive]

        assert await _chat(there, b"hello") == b"HELLO"


async def test_without_a_gate_the_client_learns_why() -> None:
    async def nowhere() -> list[relay.Address]:
        return []

    answer = await _chat(nowhere, b"", relay.refusal(relay.NO_GATE))
    with pytest.raises(pymysql.err.OperationalError, match="no gate is ready") as refused:
        pymysql.err.raise_mysql_exception(answer[4:])
    assert refused.value.args[0] == 2003


def test_a_port_that_is_taken_is_named_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalError, match=f"port {port} .* is taken"):
            relay.require_free(port)
    relay.require_free(port)
