"""The rows of one statement as they come, pulled by whoever wants them.

A backend is held up while nobody pulls: `_HIGH_BYTES` of rows are kept for each statement, and what
the sockets hold.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from mitosis_gate.errors import GateError
from mitosis_gate.wire.packets import Ok
from mitosis_gate.wire.row_scanner import RowScanner

if TYPE_CHECKING:
    from mitosis_gate.backends.connection import BackendConnection

_HIGH_BYTES = 1 << 20
_DRAIN_BYTES = 256 << 10
_DRAIN_SECONDS = 0.05
"""So much is read of a result that nobody wants before its statement is killed: to log in for a
KILL costs more than the rest of a short result."""
_KILL_SECONDS = 2.0


class ResultStream:
    """The answer to the statement that was just sent on `connection`.

    Wait for `start`; then `columns` is empty for a statement without rows, whose `ok` is there at
    once. Otherwise iterate to the end, or `stop`, or `abandon`.
    """

    __slots__ = (
        "_connection",
        "_dropped",
        "_is_over",
        "_is_paused",
        "_problem",
        "_scanner",
        "_usual_scanner",
        "_wakes",
        "ok",
    )

    def __init__(self, connection: "BackendConnection") -> None:
        self.ok = Ok()
        self._connection = connection
        self._usual_scanner = connection.scanner
        self._scanner = RowScanner(connection.scanner.keeps_eof, connection.stream_head)
        connection.scanner = self._scanner
        self._is_paused = False
        self._is_over = False
        self._dropped = -1
        """Bytes that came after nobody wanted them; below 0: all are wanted."""
        self._problem: GateError | None = None
        self._wakes: asyncio.Future[None] | None = None

    @property
    def columns(self) -> list[bytes]:
        return self._scanner.columns

    @property
    def is_over(self) -> bool:
        """The connection is free again, or closed; rows may still be waiting here."""
        return self._is_over

    async def start(self) -> None:
        """Wait for the columns; raises MysqlError and BackendLost."""
        while not self._scanner.is_headed and not self._is_over:
            await self._wait()
        if self._problem is not None and not self._scanner.rows:
            raise self._problem

    async def next_rows(self) -> list[bytes]:
        """All rows that are there, at least one; none: that was the end."""
        scanner = self._scanner
        while not scanner.rows and not self._is_over:
            if self._is_paused:
                self._is_paused = False
                self._connection.resume()
            await self._wait()
        if not scanner.rows and self._problem is not None:
            raise self._problem
        return scanner.take()

    async def __aiter__(self) -> AsyncIterator[list[bytes]]:
        while rows := await self.next_rows():
            yield rows

    async def _wait(self) -> None:
        self._wakes = asyncio.get_running_loop().create_future()
        try:
            await self._wakes
        finally:
            self._wakes = None

    async def stop(self) -> None:
        """End it early so that the connection can be used again; no effect after the end."""
        if self._is_over:
            return
        self._dropped = 0
        self._drop()
        await self._until_over(_DRAIN_SECONDS, _DRAIN_BYTES)
        owner = self._connection.owner
        if not self._is_over and owner is not None:
            # the connection must not be used before the KILL is done: it could meet the next one
            await owner.interrupt(self._connection)
            await self._until_over(_KILL_SECONDS, None)
        self.abandon()

    async def _until_over(self, seconds: float, limit_bytes: int | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not self._is_over and (limit_bytes is None or self._dropped < limit_bytes):
                    await self._wait()
        except TimeoutError:
            pass

    def _drop(self) -> None:
        self._dropped += self._scanner.row_bytes
        self._scanner.take()
        if self._is_paused:
            self._is_paused = False
            self._connection.resume()

    def abandon(self) -> None:
        """End it early with the connection; no effect after the end."""
        if not self._is_over:
            self._is_over = True
            self._connection.abandon("answer not wanted")

    # what the connection calls

    def answer_part(self, data: bytes) -> None:
        scanner = self._scanner
        if self._dropped >= 0:
            self._drop()
        elif scanner.row_bytes > _HIGH_BYTES and not self._is_paused:
            self._is_paused = True
            self._connection.pause()
        if self._wakes is not None and not self._wakes.done():
            if scanner.rows or scanner.is_headed:
                self._wakes.set_result(None)

    def answer_end(self, connection: "BackendConnection", data: bytes) -> None:
        if self._is_paused:
            self._is_paused = False
            connection.resume()
        if self._dropped >= 0:
            self._drop()
        self._finish(self._scanner.ok, self._scanner.error)

    def answer_lost(self, connection: "BackendConnection", problem: GateError) -> None:
        self._finish(Ok(), problem)

    def _finish(self, ok: Ok, problem: GateError | None) -> None:
        usual, ours = self._usual_scanner, self._scanner
        usual.error, usual.last = ours.error, ours.last
        usual.status, usual.warnings = ours.status, ours.warnings
        self._connection.scanner = usual
        self._connection.stream_head = ours.head
        self.ok = ok
        self._problem = problem
        self._is_over = True
        if self._wakes is not None and not self._wakes.done():
            self._wakes.set_result(None)
