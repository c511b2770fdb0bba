"""What can be seen of a session from outside, and how a statement of it is ended from there.

KILL QUERY, time limits and limits of rows all end a statement in one way: `interrupt`. Whatever
works for the statement on a shard is told KILL QUERY from a connection of the same account, and its
own answer, error 1317, is waited for: so the connection stays in use, and an open transaction stays
open, as in MySQL. What does not end within a second is cut off. Until the servers have confirmed
all this, the next statement of the session waits, and nobody else gets its connections: a KILL that
comes late hits nothing.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from mitosis_gate import clock, metrics
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.pool import Lane
from mitosis_gate.errors import GateError, StatementTimeout, TransactionTimeout
from mitosis_gate.limits import NO_USER_LIMITS, Budget, Limit, Limits
from mitosis_gate.planner import plan as plans
from mitosis_gate.session.forwarding import SAMPLE
from mitosis_gate.session.lending import pin_label
from mitosis_gate.session.named import NamedStatements
from mitosis_gate.session.services import Services, Sessions
from mitosis_gate.wire import packets

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0
"""Between KILL QUERY and stronger means."""


class Watched(NamedStatements):
    __slots__ = (
        "_interrupting",
        "_counted_statements",
        "_sessions",
        "_transaction_since",
        "attributes",
        "budget",
        "charged",
        "limits",
        "rows_sent",
    )

    def __init__(
        self,
        services: Services,
        sessions: Sessions,
        connection_id: int,
        login: packets.Login,
        accounts: Sequence[Account],
        peer: str,
    ) -> None:
        super().__init__(services, connection_id, login, accounts, peer)
        self._sessions = sessions
        self._interrupting: asyncio.Task[None] | None = None
        self._transaction_since = 0.0
        self._counted_statements = self.forwarded_statements = random.randrange(SAMPLE)
        """So that sessions of a few statements are sampled as fairly as long ones."""
        self.attributes = login.attributes
        self.rows_sent = 0
        """By the executor, for the statement that runs."""
        self.charge(NO_USER_LIMITS, Budget(accounts[0]), accounts[0])

    def charge(self, limits: Limits, budget: Budget, account: Account) -> None:
        """Tell whose connection this is, what it may use and who counts that."""
        self.limits = limits
        self.budget = budget
        self.charged = account
        self.note_time_limit()

    # limits of time

    def time_limit(self) -> Limit:
        """Of the statement that runs: the lowest of those that hold."""
        own = Limit(float(self._own.get("gate_statement_seconds") or 0), "gate_statement_seconds")
        common = self.limits.seconds
        return own if own and (not common or own.value < common.value) else common

    def set_own(self, name: str, value: str | None) -> None:
        super().set_own(name, value)
        self.note_time_limit()

    def note_time_limit(self) -> None:
        """After each change of the limit: whether somebody must look at this session's time."""
        settings = self._services.settings
        if (
            self.time_limit()
            or settings.transaction_seconds > 0
            or settings.idle_transaction_seconds > 0
        ):
            self._sessions.timed.add(self)
        else:
            self._sessions.timed.discard(self)

    def look_at_time(self, now: float) -> None:
        """Several times a second, for sessions with limits of time."""
        if self._active is not None or self._task is not None:
            limit = self.time_limit()
            if limit and now - self.began_at > limit.value and self._interrupting is None:
                self.interrupt_soon(
                    StatementTimeout(
                        "Query execution was interrupted, maximum statement execution time "
                        f"exceeded: {limit} seconds"
                    ),
                    reason="time",
                )
        self._look_at_transaction(now)

    def _look_at_transaction(self, now: float) -> None:
        if not self.in_transaction:
            self._transaction_since = 0.0
            return
        self._transaction_since = self._transaction_since or now
        settings = self._services.settings
        for what, since, limit, option in (
            ("open", self._transaction_since, settings.transaction_seconds, "transaction-seconds"),
            (
                "silent",
                self.began_at,
                settings.idle_transaction_seconds,
                "idle-transaction-seconds",
            ),
        ):
            is_idle = self._active is None and self._task is None
            if 0 < limit < now - since and is_idle:
                self._end_transaction(
                    f"the transaction was {what} for longer than --{option} = {limit:g}: "
                    "it is rolled back and the connection closed"
                )
                return

    def _end_transaction(self, why: str) -> None:
        log.info("closing %s@%s: %s", self.user, self.peer, why)
        self._sequence = 0
        self.send_error(TransactionTimeout(why))
        self._release_everything()
        self._close()

    # ending what runs

    def kill_connection(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def kill_query(self) -> None:
        """KILL QUERY: returns when what ran has ended; nothing may have run."""
        task = self.interrupt_soon(None)
        if task is not None:
            await asyncio.wait([task])

    def interrupt_soon(
        self, problem: GateError | None, reason: str = "kill"
    ) -> asyncio.Task[None] | None:
        """End the statement that runs; `problem` is its answer in place of error 1317."""
        if self._interrupting is None and (self._active is not None or self._task is not None):
            metrics.INTERRUPTED.labels(reason=reason).inc()
            self._interruption = problem
            self._put_off = self._packet or self._execution  # it is not carried out once more
            work = self._interrupt_forwarded if self._task is None else self._interrupt_task
            self._interrupting = asyncio.get_running_loop().create_task(work())
            if self._task is None:
                self._task = self._interrupting  # the next statement waits for it
        return self._interrupting

    async def _interrupt_forwarded(self) -> None:
        """The answer of one shard is being passed on; its error is the client's answer."""
        active = self._active
        try:
            if active is not None and isinstance(active.owner, Lane):
                answer = self._replacement(active)
                await active.owner.pool.end_statement(active, PATIENCE_SECONDS, answer)
        finally:
            self._interrupting = self._interruption = None
            self._task = None
        if not self._closed and self._active is None:
            asyncio.get_running_loop().call_soon(self._next_commands)
            if self._ends_after is not None:
                self._end_if_free()

    async def _interrupt_task(self) -> None:
        task = self._task
        assert isinstance(task, asyncio.Task)
        try:
            ends = [
                asyncio.create_task(
                    c.owner.pool.end_statement(c, PATIENCE_SECONDS, self._replacement(c))
                )
                for c in self._at_work()
                if c.busy and isinstance(c.owner, Lane)
            ]
            if ends:
                await asyncio.wait([task, *ends], timeout=2 * PATIENCE_SECONDS)
                await asyncio.wait([task], timeout=PATIENCE_SECONDS)
            task.cancel()
            await asyncio.wait([task])
        finally:
            self._interrupting = self._interruption = None

    def _replacement(self, connection: BackendConnection) -> bytes:
        """What the client gets in place of the server's error 1317, if it goes to the client."""
        if connection is not self._active or self._interruption is None:
            return b""
        return packets.error_packet(self._interruption)

    def _at_work(self) -> set[BackendConnection]:
        """All connections that this session may be using."""
        found = {*self._borrowed, *self._outside, *self._transaction.joined()}
        found.update(c for c in (self._active, self._transaction.bound) if c is not None)
        return found

    @contextlib.asynccontextmanager
    async def outside(self) -> AsyncIterator[BackendConnection]:
        """A connection of this user's to some shard, for a question of the gate's own."""
        if self._lanes is None or not self._lanes.current:
            await self._refresh()
        shards = self.table.shards
        serving = next((s for s in shards if s.primary is not None), shards[0])
        connection = await self.backend(serving.name, outside=True)
        try:
            yield connection
        finally:
            self.give_back(connection)

    # what is seen

    def statement(self) -> bytes:
        """The text of the command that runs, or ran last; empty when it was none with a text."""
        if self._packet:
            return self._text_of(self._packet)
        prepared = self._statements.get(int.from_bytes(self._execution[1:5], "little"))
        return prepared.sql if prepared is not None and self._execution else b""

    def describe(self, now: float) -> Mapping[str, Any]:
        """For people, in this and other processes: plain values only."""
        works = self._active is not None or self._task is not None
        command = ("Execute" if self._execution and not self._packet else "Query") if works else ""
        bound = self._transaction.bound
        return {
            "id": self.connection_id,
            "user": self.user,
            "keyspace": self.charged.keyspace,
            "host": self.peer,
            "db": self.current or None,
            "command": command or "Sleep",
            "seconds": max(int(now - self.began_at), 0),
            "state": self._state() if works else "",
            "info": self.statement().decode(errors="replace") if works else None,
            "transaction": bound.shard if bound is not None and self.in_transaction else "",
            "pins": ", ".join(sorted({pin_label(reason) for reason in self._pins})),
            "program": self.attributes.get("program_name", ""),
        }

    def _state(self) -> str:
        if self._interrupting is not None:
            return "killed"
        if self.write_blocked_at:
            return "waiting for the client to read"
        if self._active is not None:
            return f"on shard {self._active.shard}"
        return "executing" if any(c.busy for c in self._at_work()) else "waiting for a connection"

    def _note_statement(self) -> None:
        """One that was forwarded; those that are neither long nor of the sample are not noted."""
        self._note(0 if self.forwarded_statements & SAMPLE else SAMPLE + 1, None)

    def _note_task(self) -> None:
        self._note(1, self.rows_sent)

    def _note(self, count: int, rows: int | None) -> None:
        self.rows_sent = 0
        seconds = clock.now - self.began_at
        sql = self.statement()
        if not sql:
            return
        book = self._sessions.shapes
        book.note(self.charged, sql, count, seconds, rows)
        if 0 < self._services.settings.slow_seconds <= seconds:
            metrics.SLOW.inc()
            book.note_slow(self.charged, sql, seconds, self._shards_of(sql), rows)

    def _shards_of(self, sql: bytes) -> int:
        """How many shards a text statement goes to; 0: not known."""
        if self._planner is None:
            return 0
        plan = self._planner.route(sql, self._variant)
        if isinstance(plan, plans.OneShard | plans.AnyShard):
            return 1
        return len(getattr(plan, "shards", ()))

    async def send_rows(self, rows: Sequence[bytes]) -> None:
        self.rows_sent += len(rows)
        await super().send_rows(rows)
