"""Wires: sockets that the compiled part reads and writes beside the transports of the loop."""

import asyncio
import gc
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from mitosis_gate.relay.wire import Wire, wired

BIG = 8 << 20
PATIENCE = 60.0


class Kept(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.events: list[str] = []
        self.changed = asyncio.Event()
        self.on_data: Any = None

    def _note(self, event: str) -> None:
        self.events.append(event)
        self.changed.set()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.changed.set()
        if self.on_data is not None:
            self.on_data()

    def eof_received(self) -> None:
        self._note("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self._note("lost")

    def pause_writing(self) -> None:
        self._note("full")

    def resume_writing(self) -> None:
        self._note("room")

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Line:
    """One wire, its protocol and the socket at the other end."""

    def __init__(self, wire: Wire, kept: Kept, far: socket.socket) -> None:
        self.wire, self.kept, self.far = wire, kept, far

    async def read(self, count: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = b""
        async with asyncio.timeout(PATIENCE):
            while len(data) < count:
                data += await loop.sock_recv(self.far, 1 << 20)
        return data


class Lines:
    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._far: list[socket.socket] = []
        self._wires: list[Wire] = []

    async def line(self) -> Line:
        loop = asyncio.get_running_loop()
        far = socket.create_connection(self._server.getsockname())
        far.setblocking(False)
        self._far.append(far)
        near, _ = self._server.accept()
        kept = Kept()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
        wire = wired(transport, kept)
        assert isinstance(wire, Wire)
        self._wires.append(wire)
        wire.resume_reading()
        return Line(wire, kept, far)

    def forget(self) -> None:
        self._wires.clear()

    async def close(self) -> None:
        for wire in self._wires:
            wire.abort()
        for far in self._far:
            far.close()
        self._server.close()


def on_uvloop(scenario: Callable[[Lines], Awaitable[None]]) -> Callable[[], None]:
    """A test of its own loop; wires serve transports of uvloop only."""

    async def run() -> None:
        lines = Lines()
        try:
            await scenario(lines)
        finally:
            await lines.close()

    def test() -> None:
        uvloop.run(run())

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


@on_uvloop
async def test_bytes_come_and_go_in_order(lines: Lines) -> None:
    line = await lines.line()
    line.far.send(b"one")
    await line.kept.until(lambda: line.kept.data == b"one")
    line.far.send(b"two")
    await line.kept.until(lambda: line.kept.data == b"onetwo")
    line.wire.write(b"three")
    line.wire.write(bytearray(b"four"))
    assert await line.read(9) == b"threefour"


@on_uvloop
async def test_a_paused_wire_is_not_read(lines: Lines) -> None:
    paused, other = await lines.line(), await lines.line()
    paused.wire.pause_reading()
    paused.wire.pause_reading()
    paused.far.send(b"early")
    other.far.send(b"seen")
    await other.kept.until(lambda: other.kept.data == b"seen")
    assert paused.kept.data == b""
    paused.wire.resume_reading()
    paused.wire.resume_reading()
    await paused.kept.until(lambda: paused.kept.data == b"early")


@on_uvloop
async def test_one_that_is_paused_by_its_neighbour_gets_nothing_more(lines: Lines) -> None:
    """Both are readable in the same turn; whoever comes first pauses the other."""
    one, two = await lines.line(), await lines.line()
    one.kept.on_data = two.wire.pause_reading
    two.kept.on_data = one.wire.pause_reading
    one.far.send(b"1")
    two.far.send(b"2")
    await asyncio.wait(
        [asyncio.ensure_future(k.until(lambda k=k: k.data)) for k in (one.kept, two.kept)],
        return_when=asyncio.FIRST_COMPLETED,
    )
    third = await lines.line()
    third.far.send(b"3")
    await third.kept.until(lambda: third.kept.data == b"3")
    assert one.kept.data + two.kept.data in (b"1", b"2")


@on_uvloop
async def test_one_that_is_aborted_by_its_neighbour_is_left_alone(lines: Lines) -> None:
    one, two = await lines.line(), await lines.line()
    one.kept.on_data = two.wire.abort
    two.kept.on_data = one.wire.abort
    one.far.send(b"1")
    two.far.send(b"2")
    await asyncio.gather(
        *(k.until(lambda k=k: k.data or "lost" in k.events) for k in (one.kept, two.kept))
    )
    assert one.kept.data + two.kept.data in (b"1", b"2")


@on_uvloop
async def test_the_end_of_the_stream_comes_behind_its_last_bytes(lines: Lines) -> None:
    line = await lines.line()
    line.far.send(b"last")
    line.far.shutdown(socket.SHUT_WR)
    await line.kept.until(lambda: "lost" in line.kept.events)
    assert line.kept.data == b"last"
    assert line.kept.events == ["eof", "lost"]


@on_uvloop
async def test_a_reset_is_an_end(lines: Lines) -> None:
    line = await lines.line()
    line.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.far.close()
    await line.kept.until(lambda: "lost" in line.kept.events)
    line.wire.close()
    line.wire.resume_reading()


@on_uvloop
async def test_more_than_the_socket_takes_waits_in_order(lines: Lines) -> None:
    line = await lines.line()
    line.wire.write(b"a" * BIG)
    line.wire.write(b"b" * 10)
    await line.kept.until(lambda: "full" in line.kept.events)
    assert line.wire.get_write_buffer_size() > 0
    assert await line.read(BIG + 10) == b"a" * BIG + b"b" * 10
    await line.kept.until(lambda: "room" in line.kept.events)


@on_uvloop
async def test_what_is_written_before_close_arrives(lines: Lines) -> None:
    line = await lines.line()
    line.wire.write(b"bye")
    line.wire.close()
    assert line.wire.is_closing()
    assert await line.read(3) == b"bye"
    await line.kept.until(lambda: "lost" in line.kept.events)


@on_uvloop
async def test_a_protocol_that_fails_loses_its_connection_only(lines: Lines) -> None:
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    failing, other = await lines.line(), await lines.line()

    def fail() -> None:
        raise ValueError("on purpose")

    failing.kept.on_data = fail
    failing.far.send(b"x")
    await failing.kept.until(lambda: "lost" in failing.kept.events)
    other.far.send(b"y")
    await other.kept.until(lambda: other.kept.data == b"y")
    assert [str(context["exception"]) for context in told] == ["on purpose"]


@on_uvloop
async def test_more_wires_than_one_turn_serves(lines: Lines) -> None:
    many = [await lines.line() for _ in range(150)]
    for number, line in enumerate(many):
        line.far.send(b"%d" % number)
    for number, line in enumerate(many):
        await line.kept.until(lambda line=line, n=number: line.kept.data == b"%d" % n)


@on_uvloop
async def test_nothing_is_left_of_a_wire(lines: Lines) -> None:
    gc.collect()
    before = sum(type(found) is Wire for found in gc.get_objects())
    for _ in range(20):
        line = await lines.line()
        line.wire.abort()
        await line.kept.until(lambda line=line: "lost" in line.kept.events)
    del line
    lines.forget()
    gc.collect()
    assert sum(type(found) is Wire for found in gc.get_objects()) == before


@on_uvloop
async def test_a_descriptor_that_is_used_again_belongs_to_the_new_wire(lines: Lines) -> None:
    old = await lines.line()
    number = old.wire.get_extra_info("socket").fileno()
    old.wire.abort()
    await old.kept.until(lambda: "lost" in old.kept.events)
    old.far.close()
    new = [await lines.line()]
    while new[-1].wire.get_extra_info("socket").fileno() != number:
        assert len(new) < 100, "the descriptor was not used again"
        new.append(await lines.line())
    old.wire.resume_reading()
    old.wire.pause_reading()
    old.wire.detach()
    for line in new:
        line.far.send(b"hello")
        await line.kept.until(lambda line=line: line.kept.data == b"hello")
        line.wire.write(b"you")
        assert await line.read(3) == b"you"
