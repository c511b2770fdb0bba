"""Answers that the gate makes itself: framing, and the small packets of the protocol."""

import asyncio
import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mitosis_gate import metrics
from mitosis_gate.errors import GateError, MysqlError, ResultTooSlow
from mitosis_gate.relay import SessionState
from mitosis_gate.session.last import ERROR, Left, Message
from mitosis_gate.session.services import Services
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets, statements
from mitosis_gate.wire.codec import frame, frames, packets_of
from mitosis_gate.wire.packets import Ok

NOTHING = Left(0)
"""Behind a statement that affected no row."""
_PLAIN_OK_END = packets.result_end(c.STATUS_AUTOCOMMIT, 0, True)
_PLAIN_EOF = packets.eof(c.STATUS_AUTOCOMMIT)
_SENT_ALONE = 16 << 10
"""Bytes that are worth a write of their own."""


@functools.lru_cache(maxsize=256)
def _found(rows: int) -> Left:
    """Behind a read."""
    return Left(-1, rows)


class Answers(SessionState, asyncio.Protocol):
    """The lowest layer of a session: its transport and what is written to it."""

    __slots__ = (
        "__weakref__",
        "_closed",
        "_drained",
        "_found_rows",
        "_more_follows",
        "_services",
        "_titles",
        "binary",
        "capabilities",
    )

    def __init__(self, services: Services, capabilities: int) -> None:
        self._services = services
        self._planner_of = services.planners.planner
        self.capabilities = capabilities
        self._transport: asyncio.Transport | None = None
        self._drained: asyncio.Future[None] | None = None
        self._closed = False
        self._sequence = 1
        self._answered = False
        self.forwarded_statements = 0
        """Counts up with each statement whose answer comes from a server."""
        self._left = Left()
        """Behind the last statement that the gate answered."""
        self._left_at = -1
        """What `forwarded_statements` was then: that answer is the last one while it is so."""
        self._messages: list[Message] = []
        """Warnings of the statement that runs."""
        self._held: list[bytes] = []
        """What goes out with the next bytes."""
        self._found_rows = 0
        self._more_follows = False
        """Another answer follows: the statement stands in the middle of a text of several."""
        self.binary = False
        """A prepared statement is carried out as text: rows go out in the binary format."""
        self._titles: tuple[str, ...] = ()
        """Names of the columns of that statement, where they show its `?`."""

    def _status(self) -> int:
        """Status flags of the session as they are now."""
        raise NotImplementedError

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _write(self, payload: bytes) -> None:
        data = frame(payload, self._sequence)
        self._sequence += packets_of(payload)
        self._put(data)

    def _put(self, data: bytes) -> None:
        if self._held:
            data = b"".join((*self._held, data))
            self._held.clear()
        if self._transport is not None and not self._closed:
            self._transport.write(data)

    def _put_soon(self, data: bytes) -> None:
        """Send it with what follows at once, but before anything is waited for: a short result is
        one write, and no row waits for the next."""
        if len(data) > _SENT_ALONE:
            self._put(data)
            return
        if not self._held:
            asyncio.get_running_loop().call_soon(self._put_held)
        self._held.append(data)

    def _put_held(self) -> None:
        if self._held:
            self._put(b"")

    def send_ok(
        self, affected: int = 0, last_insert_id: int = 0, warnings: int = 0, info: bytes = b""
    ) -> None:
        self._answered = True
        if affected or last_insert_id or warnings or info or self._messages:
            self._leaves(Left(affected, messages=tuple(self._messages)))
            self._write(Ok(affected, last_insert_id, self._status(), warnings, info).pack())
        else:
            self._leaves(NOTHING)
            self._write(packets.plain_ok(self._status()))

    def _acknowledge(self) -> None:
        """OK for a command that is no statement: what the one before left can still be asked."""
        self._answered = True
        self._write(Ok(status=self._status()).pack())

    def send_error(self, problem: GateError) -> None:
        self._answered = True
        if not isinstance(problem, MysqlError):
            metrics.REFUSALS.labels(code=str(problem.number)).inc()
        error = Message(ERROR, problem.number, problem.message)
        self._leaves(Left(messages=(*self._messages, error)))
        self._write(packets.error_packet(problem))

    def _leaves(self, left: Left) -> None:
        """The gate has answered a statement by itself."""
        self._left = left
        self._left_at = self.forwarded_statements
        self._messages = []

    def send_result(
        self, columns: Sequence[bytes], rows: Iterable[bytes], warnings: int = 0
    ) -> None:
        rows = list(rows)
        if self.binary:
            known = [packets.column(column) for column in columns]
            rows = [statements.binary_row(known, row) for row in rows]
        self.begin_rows(columns)
        self._found_rows = len(rows)
        self._write_all(rows)
        self.end_rows(warnings)

    def begin_rows(self, columns: Sequence[bytes]) -> None:
        self._found_rows = 0
        if len(self._titles) == len(columns):
            columns = [
                replace(packets.column(column), name=title).pack()
                for column, title in zip(columns, self._titles, strict=True)
            ]
        self._write_all(packets.result_head(columns, self._status(), self._ends_with_ok()))

    def _write_all(self, payloads: Iterable[bytes]) -> None:
        data, self._sequence = frames(tuple(payloads), self._sequence)
        self._put_soon(data)

    async def send_rows(self, rows: Sequence[bytes]) -> None:
        self._found_rows += len(rows)
        self._write_all(rows)
        if self._drained is not None:
            try:
                async with asyncio.timeout(self._services.settings.slow_client_seconds):
                    await asyncio.shield(self._drained)
            except TimeoutError as exc:
                self._close()
                raise ResultTooSlow("the client left its result unread for too long") from exc

    def end_rows(self, warnings: int = 0) -> None:
        self._answered = True
        self._leaves(Left(-1, self._found_rows, tuple(self._messages)))
        self._write(packets.result_end(self._status(), warnings, self._ends_with_ok()))

    def _put_whole(self, head: tuple[bytes, int], rows: Sequence[bytes]) -> None:
        """A result with all its rows, outside a transaction and with nothing to tell. `head`: its
        columns, framed, and the number that follows."""
        columns, sequence = head
        end = _PLAIN_OK_END
        if not self._ends_with_ok():
            columns += frame(_PLAIN_EOF, sequence)
            sequence += 1
            end = _PLAIN_EOF
        self._answered = True
        count = len(rows)
        self._leaves(_found(count))
        if count == 1:
            row = rows[0]
            data = frame(row, sequence)
            sequence += packets_of(row)
        else:
            data, sequence = frames(rows, sequence)
        self._put(columns + data + frame(end, sequence))

    def _ends_with_ok(self) -> bool:
        return bool(self.capabilities & c.CLIENT_DEPRECATE_EOF)
