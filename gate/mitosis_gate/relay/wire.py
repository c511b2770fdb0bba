"""Plain TCP connections that the compiled part reads and writes by itself. See `_wire.c`."""

import asyncio
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from mitosis_gate import relay

if TYPE_CHECKING or not relay.IS_COMPILED:
    from mitosis_gate.relay.plain_wire import Watch, WireState
else:
    from mitosis_gate.relay._compiled import Watch, WireState

_watches: "WeakKeyDictionary[asyncio.AbstractEventLoop, Watch]" = WeakKeyDictionary()


class Wire(WireState, asyncio.Protocol):
    """The transport of its protocol, and the protocol of its transport.

    `inner` is paused for good: the wire reads, until the stream ends or fails.
    """

    __slots__ = ()

    # for the protocol

    def close(self) -> None:
        self.detach()
        self.inner.close()

    def abort(self) -> None:
        self.detach()
        self.inner.abort()

    def is_closing(self) -> bool:
        return self.inner.is_closing()

    def pause_reading(self) -> None:
        self.unwatch()

    def resume_reading(self) -> None:
        self.watch()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.inner.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self.inner.get_write_buffer_size()

    # for the transport

    def data_received(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self.protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.detach()
        self.protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()

    # for the compiled part

    def failed(self, exc: BaseException) -> None:
        """The protocol raised it: the connection ends, as with any transport."""
        asyncio.get_running_loop().call_exception_handler(
            {
                "message": "Fatal error: protocol.data_received() call failed.",
                "exception": exc,
                "transport": self,
                "protocol": self.protocol,
            }
        )
        self.abort()


def wired(transport: asyncio.Transport, protocol: asyncio.Protocol) -> asyncio.Transport:
    """Return the transport that `protocol` is to use from now on, paused.

    A wire for plain TCP where the gate is compiled, else `transport` itself.
    """
    transport.pause_reading()
    if not relay.IS_COMPILED or type(transport).__name__ != "TCPTransport":
        transport.set_protocol(protocol)
        return transport
    loop = asyncio.get_running_loop()
    watch = _watches.get(loop)
    if watch is None:
        watch = _watches[loop] = Watch()
        loop.add_reader(watch.fileno(), watch.run)
    wire = Wire()
    wire.attach(transport, protocol, watch, transport.get_extra_info("socket").fileno())
    transport.set_protocol(wire)
    return cast(asyncio.Transport, wire)
