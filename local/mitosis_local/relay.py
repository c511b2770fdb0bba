"""The host's way into the cluster: 127.0.0.1 forwards to the API server and to a ready gate.

The process listens in the host's network, then moves into the hub's: what it accepts stays in the
host's, what it opens is in the hub's.
"""

import argparse
import asyncio
import ctypes
import itertools
import logging
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from mitosis_local import network
from mitosis_local.api import Api, ApiError, Body
from mitosis_local.errors import LocalError
from mitosis_local.topology import API_PORT, GATEWAY, HUB

LOOPBACK = "127.0.0.1"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
GATE_SELECTOR = "app.kubernetes.io/component=gate"
GATE_PORT_NAME = "mysql"
CHUNK = 1 << 16
CONNECT_SECONDS = 3
REMEMBER_SECONDS = 1
CLONE_NEWNET = 0x40000000
NO_GATE = "no gate is ready in this cluster; look at `kubectl get pods -l " + GATE_SELECTOR + "`"

log = logging.getLogger("relay")
Address = tuple[str, int]
Choose = Callable[[], Awaitable[list[Address]]]


def gate_addresses(slices: list[Body]) -> list[Address]:
    """Addresses of ready gates, from the EndpointSlices of their Service."""
    found = []
    for part in slices:
        ports = [port["port"] for port in part["ports"] or [] if port["name"] == GATE_PORT_NAME]
        for endpoint in part["endpoints"] or []:
            if ports and endpoint.get("conditions", {}).get("ready"):
                found += [(address, ports[0]) for address in endpoint["addresses"]]
    return sorted(set(found))


def refusal(message: str) -> bytes:
    """What a MySQL client shows as its error when it comes instead of the greeting."""
    payload = b"\xff" + struct.pack("<H", 2003) + message.encode()
    return struct.pack("<I", len(payload))[:3] + b"\0" + payload


class Gates:
    """Ready gates, asked for again when the answer is older than a second."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: list[Address] = []
        self._asked = 0.0
        self._turn = itertools.count()

    async def __call__(self) -> list[Address]:
        now = time.monotonic()
        if now - self._asked > REMEMBER_SECONDS:
            self._known = await asyncio.to_thread(self._ask)
            self._asked = now
        first = next(self._turn) % len(self._known) if self._known else 0
        return self._known[first:] + self._known[:first]

    def _ask(self) -> list[Address]:
        try:
            return gate_addresses(self._api.items(SLICES, labelSelector=GATE_SELECTOR))
        except ApiError as error:
            log.warning("cannot look for gates: %s", error)
            return self._known


async def api_server() -> list[Address]:
    return [(GATEWAY, API_PORT)]


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()


async def _connect(
    addresses: list[Address],
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    for host, port in addresses:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            log.warning("%s:%s does not answer: %s", host, port, error)
    return None


async def relay(
    choose: Choose, reason: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Serve one connection; `reason` goes to the client when nobody answers."""
    try:
        there = await _connect(await choose())
        if there is None:
            writer.write(reason)
            await writer.drain()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, there[1]))
                both.create_task(_pump(there[0], writer))
        finally:
            there[1].close()
    except* OSError:
        log.debug("a connection broke")
    finally:
        writer.close()


def require_free(port: int) -> None:
    """Raise when somebody else listens on a port that the relay needs."""
    try:
        listen(port).close()
    except OSError as exc:
        raise LocalError(
            f"port {port} of {LOOPBACK} is taken ({exc.strerror}): "
            "end what listens there, or choose another with --api-port and --gate-port"
        ) from exc


def listen(port: int) -> socket.socket:
    listening = socket.create_server((LOOPBACK, port), backlog=256)
    listening.setblocking(False)
    return listening


def enter(namespace: str) -> None:
    """Move this thread, the only one, into a network namespace."""
    handle = os.open(network.FOLDER / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, f"cannot enter {namespace}: {os.strerror(code)}")
    finally:
        os.close(handle)


async def serve(api: socket.socket, gate: socket.socket, gates: Gates) -> None:
    async def to_api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await relay(api_server, b"", reader, writer)

    async def to_gate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await relay(gates, refusal(NO_GATE), reader, writer)

    api_side = await asyncio.start_server(to_api, sock=api)
    gate_side = await asyncio.start_server(to_gate, sock=gate)
    async with api_side, gate_side:
        await asyncio.gather(api_side.serve_forever(), gate_side.serve_forever())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--api-port", type=int, required=True)
    parser.add_argument("--gate-port", type=int, required=True)
    parser.add_argument("--pki", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    api, gate = listen(options.api_port), listen(options.gate_port)
    enter(HUB)
    asyncio.run(serve(api, gate, Gates(Api(GATEWAY, API_PORT, options.pki))))


if __name__ == "__main__":
    main()
