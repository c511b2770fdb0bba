"""A read of several shards whose answers are short: no task, no stream, no row decoded in vain.

The statement goes to all shards in one go, on connections that lay ready. Callbacks keep the
answers; the one that comes last makes the answer of the client. This is for the common case alone.
Whatever is unusual (an error, a warning, a broken connection, an answer that does not come in one
piece, KILL QUERY, a limit of time, a first shard whose rows wait for a slow one) is handed over:
the answers on their way become streams, and `Merger.go_on` does in a task what `Merger.run` would
have done. It reads them from their beginning, so that nothing is known twice or lost.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from mitosis_gate import metrics
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.pool import Lane
from mitosis_gate.backends.streams import ResultStream
from mitosis_gate.errors import GateError
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.merging.streams import CONCATENATION, Merger, is_merged
from mitosis_gate.executor.merging.whole import Whole, head_of, rows_of
from mitosis_gate.planner.plan import Merge, Scatter

log = logging.getLogger(__name__)

MOST_SHARDS = 32
_WHOLE_BYTES = 256 << 10
"""Longer answers, together, go to the client piece by piece, at the speed at which it reads."""
_PATIENCE_SECONDS = 0.005
"""So long the rows of a first shard wait for those of the others."""
_FIRST = 0


class Asker(Client, Protocol):
    """A session that gathers."""

    def gathered(self, whole: Whole, rows: Sequence[bytes]) -> None:
        """The statement has ended well, and this is its answer."""

    def handed_over(self, gathering: "Gathering") -> None:
        """Call `go_on` in a task, and let that begin."""


class Gathering:
    """One statement. It stands for the task that the session does without."""

    __slots__ = (
        "_asker",
        "_began",
        "_is_over",
        "_lanes",
        "_merger",
        "_parts",
        "_recipe",
        "_seconds",
        "_streams",
        "_text",
        "_timer",
        "left",
        "plan",
        "sql",
    )

    def __init__(
        self, asker: Asker, merger: Merger, plan: Scatter | Merge, sql: bytes, lanes: Sequence[Lane]
    ) -> None:
        """Take what lies ready on each of `lanes`, and send. The turn was taken by the caller."""
        self._asker = asker
        self._merger = merger
        self.plan = plan
        self.sql = sql
        if type(plan) is Merge:
            self._text, self._recipe = plan.text, plan.recipe
        else:
            self._text, self._recipe = sql, CONCATENATION
        self._lanes = lanes
        self.left = len(lanes)
        """Answers that have not come."""
        self._is_over = False
        self._streams: list[ResultStream] = []
        self._timer: asyncio.TimerHandle | None = None
        count, self._seconds = metrics.of_plan(type(plan).__name__)
        count.inc()
        self._began = time.perf_counter()
        user = asker.connection_id
        self._parts: list[_Part] = []
        packet = b""
        for lane in lanes:
            connection = lane.idle.pop()
            connection.is_idle = False
            connection.last_user = user
            packet = packet or connection.framed(self._text)
            part = _Part(self, connection)
            self._parts.append(part)
            connection.start(part, packet, _FIRST, False)
        self._parts[0].goes_first = not is_merged(self._recipe)

    @property
    def connections(self) -> list[BackendConnection]:
        return [part.connection for part in self._parts]

    # what the parts tell

    def ended(self, is_usual: bool) -> None:
        """An answer is there that something can follow from, or will never be."""
        if self._is_over:
            return
        if not is_usual:
            self.hand_over()
        elif not self.left:
            self._finish()
        else:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_PATIENCE_SECONDS, self.hand_over)

    def _finish(self) -> None:
        try:
            found = self._merged()
        except GateError:
            found = None  # it is told again, where it can be answered
        except Exception:
            log.exception("short answers of several shards could not be merged")
            found = None
        if found is None:
            self.hand_over()
            return
        self._end()
        parts, self._parts = self._parts, []  # each knows its gathering
        for lane, part in zip(self._lanes, parts, strict=True):
            lane.give(part.connection)
        self._merger.turns.give()
        self._asker.gathered(*found)

    def _merged(self) -> tuple[Whole, list[bytes]] | None:
        """None: there is too much of it, or columns are not quite the same."""
        keeps_eof = self._parts[0].connection.scanner.keeps_eof
        size, first, batches = 0, b"", []
        for part in self._parts:
            answer = part.data
            head = part.connection.scanner.before_rows
            if not head or not answer.startswith(head):
                head = head_of(answer, keeps_eof)
            first = first or head
            size += len(answer)
            if head != first or size > _WHOLE_BYTES:
                return None
            batches.append(rows_of(answer, len(head), keeps_eof))
        whole = self._merger.wholes.of(self._recipe, first, self._asker.binary)
        return whole, whole.merged(batches)

    # other ends

    def hand_over(self) -> None:
        """Go on as a task of the session, with what has come and what is on its way."""
        if self._is_over:
            return
        self._is_over = True
        self._streams = [part.stream() for part in self._parts]
        if self._timer is not None:
            self._timer.cancel()
        self._asker.handed_over(self)

    async def go_on(self) -> None:
        try:
            if self._asker.is_gone:
                raise asyncio.CancelledError
            backends = [(c.shard, c) for c in self.connections]
            await self._merger.go_on(self._asker, backends, self._streams, self._recipe, self._text)
        finally:
            self._end()
            for connection in self.connections:
                self._asker.give_back(connection)
            self._parts = []
            self._merger.turns.give()

    def cancel(self) -> None:
        """Nobody waits for the answer any more: as a task that is cancelled."""
        self._end()
        for lane, connection in zip(self._lanes, self.connections, strict=True):
            if connection.busy:
                connection.abandon("client gone")
            else:
                lane.give(connection)
        self._merger.turns.give()

    def _end(self) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        self._seconds.observe(time.perf_counter() - self._began)


class _Part:
    """Keeps the answer of one shard."""

    __slots__ = ("_gathering", "connection", "data", "goes_first", "problem")

    def __init__(self, gathering: Gathering, connection: BackendConnection) -> None:
        self._gathering = gathering
        self.connection = connection
        self.data = b""
        self.problem: GateError | None = None
        self.goes_first = False
        """Its rows need not wait for those of the others."""

    def stream(self) -> ResultStream:
        if self.problem is None:
            return self.connection.hand_over(self.data)
        stream = ResultStream(self.connection)
        stream.answer_lost(self.connection, self.problem)
        return stream

    # what the connection calls

    def answer_part(self, data: bytes) -> None:
        self.data = data
        self._gathering.hand_over()

    def answer_end(self, connection: BackendConnection, data: bytes) -> None:
        self.data = data
        gathering = self._gathering
        gathering.left -= 1
        scanner = connection.scanner
        # behind rows, `last` is there when it tells more than usual
        is_usual = scanner.error is None and not scanner.warnings and not scanner.last
        if not gathering.left or not is_usual or self.goes_first:
            gathering.ended(is_usual)

    def answer_lost(self, connection: BackendConnection, problem: GateError) -> None:
        self.problem = problem
        self._gathering.ended(False)
