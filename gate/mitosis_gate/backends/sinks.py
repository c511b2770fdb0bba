"""Who gets the answer to a command: the protocol of a sink, and those of the gate's own queries."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mitosis_gate.errors import BackendLost, GateError
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import Splitter, frame, read_lenenc
from mitosis_gate.wire.packets import Ok

if TYPE_CHECKING:
    from mitosis_gate.backends.connection import BackendConnection

MAX_PACKET = 1 << 30
_INTERRUPTED = 1317


class Sink(Protocol):
    """Who gets the answer to one command."""

    def answer_part(self, data: bytes) -> None:
        """More bytes of the answer; whole packets only at its end."""

    def answer_end(self, connection: "BackendConnection", data: bytes) -> None:
        """The last bytes; `connection.scanner` says how it ended, and the connection is free."""

    def answer_lost(self, connection: "BackendConnection", problem: GateError) -> None:
        """The connection broke before the end; it is closed already."""


@dataclass(frozen=True)
class Result:
    """A whole answer: payloads of the column definitions and of the rows as they came."""

    columns: tuple[bytes, ...] = ()
    rows: tuple[bytes, ...] = ()
    ok: Ok = field(default_factory=Ok)

    def values(self) -> list[list[bytes | None]]:
        return [packets.read_text_row(row) for row in self.rows]


class Collector:
    """Keeps the bytes of an answer."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._data = b""

    def answer_part(self, data: bytes) -> None:
        self._data += data

    def answer_end(self, connection: "BackendConnection", data: bytes) -> None:
        if self.answer.done():
            return
        if connection.scanner.error is not None:
            self.answer.set_exception(connection.scanner.error)
        else:
            self.answer.set_result(self._data + data)

    def answer_lost(self, connection: "BackendConnection", problem: GateError) -> None:
        if not self.answer.done():
            self.answer.set_exception(problem)


class Buffer:
    """Keeps a whole answer."""

    def __init__(self, connection: "BackendConnection", limit_bytes: int) -> None:
        self.result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._limit = limit_bytes
        self._parts: list[bytes] = []
        self._size = 0

    def answer_part(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > self._limit:
            self._connection.close("answer too large")

    def answer_end(self, connection: "BackendConnection", data: bytes) -> None:
        if self.result.done():
            return
        error = connection.scanner.error
        if error is not None:
            self.result.set_exception(error)
            return
        self._parts.append(data)
        columns, rows = _cut(b"".join(self._parts), connection.scanner.keeps_eof)
        self.result.set_result(Result(columns, rows, connection.scanner.ok))

    def answer_lost(self, connection: "BackendConnection", problem: GateError) -> None:
        if not self.result.done():
            if self._size > self._limit:
                problem = BackendLost(f"an answer of more than {self._limit} bytes was given up")
            self.result.set_exception(problem)


class Watched:
    """Stands before the sink of a statement that is being killed.

    The payload `answer`, if there is one, takes the place of error 1317.
    """

    def __init__(self, sink: Sink, answer: bytes) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sink = sink
        self._answer = answer

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def answer_part(self, data: bytes) -> None:
        self._sink.answer_part(data)

    def answer_end(self, connection: "BackendConnection", data: bytes) -> None:
        self._end()
        error = connection.scanner.error
        if self._answer and error is not None and error.number == _INTERRUPTED:
            start = len(data) - len(packets.error_payload(error.number, error.state, error.text))
            data = data[: start - 4] + frame(self._answer, data[start - 1])
        self._sink.answer_end(connection, data)

    def answer_lost(self, connection: "BackendConnection", problem: GateError) -> None:
        self._end()
        self._sink.answer_lost(connection, problem)


def _cut(data: bytes, keeps_eof: bool) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Divide the first result in `data` into column definitions and rows."""
    splitter = Splitter(MAX_PACKET)
    splitter.sequence = 1
    splitter.feed(data)
    first = splitter.next() or b""
    if first[:1] == b"\0":
        return (), ()
    count = read_lenenc(first, 0)[0]
    payloads = []
    while (payload := splitter.next()) is not None:
        payloads.append(payload)
    rows_at = count + 1 if keeps_eof else count
    return tuple(payloads[:count]), tuple(payloads[rows_at:-1])
