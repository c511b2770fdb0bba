"""A session whose user has limits of statements, rows or bytes.

Only users with such limits have it, so that nobody else pays for the counting.
"""

from collections.abc import Coroutine, Sequence

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.sinks import Sink
from mitosis_gate.errors import GateError, LimitReached
from mitosis_gate.limits import Limit
from mitosis_gate.planner import plan as plans
from mitosis_gate.session.session import Session
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import frame

_STATEMENTS = frozenset({c.COM_QUERY, c.COM_STMT_PREPARE, c.COM_STMT_EXECUTE, c.COM_FIELD_LIST})


class RowCounter:
    """Counts the rows of one answer while it passes in pieces of any size."""

    __slots__ = ("_columns", "_head", "_left", "_packets", "keeps_eof")

    def __init__(self) -> None:
        self.begin(False)

    def begin(self, keeps_eof: bool) -> None:
        self.keeps_eof = keeps_eof
        self._head = b""
        self._left = 0
        """Bytes of the current packet that have not passed yet."""
        self._packets = 0
        self._columns = -1

    @property
    def packets(self) -> int:
        return self._packets

    @property
    def rows(self) -> int:
        """Rows that have begun, the packet that ends them included once it is there; -1: none yet
        could have."""
        if self._columns <= 0:
            return -1
        return self._packets - 1 - self._columns - self.keeps_eof

    def feed(self, data: bytes, most_rows: float) -> int:
        """Return where the row over `most_rows` begins in `data`, -1 when none does."""
        at = 0
        size = len(data)
        while True:
            if self._left > size - at:
                self._left -= size - at
                return -1
            at += self._left
            self._left = 0
            if at < size and not self._head and self._is_over(data, at, most_rows):
                return at
            wanted = 5 if self._packets == 0 else 4
            need = wanted - len(self._head)
            self._head += data[at : at + need]
            if len(self._head) < wanted:
                return -1
            at += need
            self._left = int.from_bytes(self._head[:3], "little")
            if self._packets == 0:
                first = self._head[4]
                self._columns = first if first < 0xFB else 0
                self._left -= 1
            self._packets += 1
            self._head = b""

    def _is_over(self, data: bytes, at: int, most_rows: float) -> bool:
        """Whether the packet at `at` is a row too many. One whose head is cut is let through, and
        then whatever follows it is over."""
        if self.rows < most_rows or self.rows < 0:
            return False
        if self.rows > most_rows:
            return True
        if len(data) - at < 5:
            return False
        is_end = data[at + 4] >= 0xFE and data[at : at + 3] != b"\xff\xff\xff"
        return not is_end


class LimitedSession(Session):
    __slots__ = ("_bytes", "_counter", "_is_counted", "_is_cut")

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]  # as Session
        self._is_counted = False
        """This session's statement is among those that run."""
        self._is_cut = False
        """The client has been told that its result is too large; the rest is dropped."""
        self._bytes = 0
        self._counter = RowCounter()

    def _query(self, sql: bytes, packet: bytes) -> None:
        if self._may_run():
            super()._query(sql, packet)
            self._leave_if_done()

    def _command(self, payload: bytes) -> None:
        if payload[0] not in _STATEMENTS:
            super()._command(payload)
        elif self._may_run():
            super()._command(payload)
            self._leave_if_done()

    def _may_run(self) -> bool:
        if self._is_counted:
            return True
        try:
            self.budget.begin(self.limits)
        except GateError as exc:
            self._sequence = 1
            self.send_error(exc)
            return False
        self._is_counted = True
        self._is_cut = False
        self._bytes = self.rows_sent = 0
        return True

    def _gather(self, plan: plans.Scatter | plans.Merge, sql: bytes) -> bool:
        """Rows and bytes are counted where a task passes them on."""
        return False

    def _leave_if_done(self) -> None:
        if self._is_counted and self._active is None and self._task is None:
            self._leave()

    def _leave(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self.budget.running -= 1

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._leave()

    async def _run(self, work: Coroutine[None, None, None]) -> None:
        try:
            await super()._run(work)
        finally:
            self._leave_if_done()

    async def _interrupt_forwarded(self) -> None:
        try:
            await super()._interrupt_forwarded()
        finally:
            self._leave_if_done()

    # the answer

    def _send(
        self, connection: BackendConnection, packet: bytes, expect: int, sink: Sink | None = None
    ) -> None:
        self._counter.begin(connection.scanner.keeps_eof)
        super()._send(connection, packet, expect, sink)

    def answer_part(self, data: bytes) -> None:
        was_cut = self._is_cut
        data = self._within(data)
        if data:
            super().answer_part(data)
        if self._is_cut and not was_cut:
            self.interrupt_soon(None, reason="size")

    def answer_end(self, connection: BackendConnection, data: bytes) -> None:
        super().answer_end(connection, self._within(data))
        self._leave_if_done()

    def answer_lost(self, connection: BackendConnection, problem: GateError) -> None:
        super().answer_lost(connection, problem)
        self._leave_if_done()

    def _within(self, data: bytes) -> bytes:
        """What of it the client may have; when that is not all, it is told so."""
        if self._is_cut:
            return b""
        over = self.limits.bytes
        is_large = bool(over) and self._bytes + len(data) > over.value
        self._bytes += len(data)
        rows = self.limits.rows
        most = 0.0 if is_large else (rows.value if rows else float("inf"))
        cut = self._counter.feed(data, most)
        if cut < 0:
            return data
        self._is_cut = True
        limit = over if is_large else rows
        problem = self._too_large(limit)
        number = self._counter.packets + 1
        return data[:cut] + frame(packets.error_packet(problem), number)

    def _too_large(self, limit: Limit) -> LimitReached:
        return LimitReached(
            f"the answer is larger than {limit} for user '{self.user}': ask for less, with LIMIT "
            "or fewer columns"
        )

    async def send_rows(self, rows: Sequence[bytes]) -> None:
        most, over = self.limits.rows, self.limits.bytes
        if most and self.rows_sent + len(rows) > most.value:
            raise self._too_large(most)
        self._bytes += sum(map(len, rows))
        if over and self._bytes > over.value:
            raise self._too_large(over)
        await super().send_rows(rows)
