"""LOAD DATA LOCAL on one connection: the server asks for the file, and gets it in pieces."""

import asyncio

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import GateError, InternalError
from mitosis_gate.wire.codec import frame, packets_of
from mitosis_gate.wire.packets import Ok
from mitosis_gate.wire.scanner import Expect

_PIECE_BYTES = 1 << 20


class Upload:
    """`begin`, then `send` any number of times, then `end`; or `give_up` on the way."""

    def __init__(self, connection: BackendConnection) -> None:
        self.connection = connection
        self._answer: asyncio.Future[Ok] | None = None
        self._sequence = 2
        self._is_open = False

    async def begin(self, sql: bytes) -> None:
        """Raises MysqlError when the server refuses the statement."""
        connection = self.connection
        answer = self._answer = asyncio.get_running_loop().create_future()
        connection.scanner.sends_file = True
        connection.start_query(self, sql, strips=False)
        await self._answered(answer)
        if not self._is_open:
            raise InternalError("the server answered LOAD DATA LOCAL without asking for the file")

    async def send(self, data: bytes) -> None:
        """Waits while the server is slow to read."""
        view = memoryview(data)
        for start in range(0, len(data), _PIECE_BYTES):
            piece = bytes(view[start : start + _PIECE_BYTES])
            await self.connection.upload(frame(piece, self._sequence))
            self._sequence += packets_of(piece)

    async def end(self) -> Ok:
        self._is_open = False
        answer = self._answer = asyncio.get_running_loop().create_future()
        self.connection.start(self, frame(b"", self._sequence), Expect.FIRST, False)
        return await self._answered(answer)

    @property
    def is_open(self) -> bool:
        """The server waits for more."""
        return self._is_open and self.connection.alive

    def give_up(self) -> None:
        """The server rolls back what it has read, which it would else take for the whole file."""
        if self._is_open:
            self._is_open = False
            self.connection.abandon("file not whole")

    async def _answered(self, answer: "asyncio.Future[Ok]") -> Ok:
        try:
            return await answer
        except asyncio.CancelledError:
            self.connection.abandon("cancelled")
            raise

    # its answers, as a sink

    def answer_part(self, data: bytes) -> None:
        """An answer without rows comes whole."""

    def answer_end(self, connection: BackendConnection, data: bytes) -> None:
        scanner = connection.scanner
        asked = scanner.sends_file and scanner.error is None and not scanner.last
        scanner.sends_file = False
        self._is_open = asked
        answer = self._answer
        if answer is None or answer.done():
            return
        if scanner.error is not None:
            answer.set_exception(scanner.error)
        else:
            answer.set_result(Ok() if asked else scanner.ok)

    def answer_lost(self, connection: BackendConnection, problem: GateError) -> None:
        self._is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(problem)
