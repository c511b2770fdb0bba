"""Statements on their way to a server, and answers on their way to the client.

The common case is a callback from end to end: the bytes of a statement for one shard are written to
a connection of that shard as they came, and what comes back is written to the client while only
packet headers are looked at. No task, no parsing, no copy. Whatever else a statement needs runs in
one task of the session; the client is not read meanwhile, and when it goes away the task is
cancelled.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence

from mitosis_gate import clock
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.pool import Lane
from mitosis_gate.backends.sinks import Sink
from mitosis_gate.errors import (
    BackendLost,
    CommitUnknown,
    GateError,
    InternalError,
    MysqlError,
    PlanAnew,
    QueryKilled,
    TakesNoWrites,
    TransactionLost,
    says_read_only,
)
from mitosis_gate.executor.gathering import Gathering
from mitosis_gate.planner import plan as plans
from mitosis_gate.planner.pinning import USER_LOCK, USER_VARIABLE, Pinning, pinning_of
from mitosis_gate.planner.plan import Flag
from mitosis_gate.planner.purity import is_pure
from mitosis_gate.relay import BeginningState
from mitosis_gate.session.batches import AnswerPart
from mitosis_gate.session.last import Left, answer, messages_of
from mitosis_gate.session.lending import Lending
from mitosis_gate.session.services import Services
from mitosis_gate.session.variables import LONGEST_BYTES, read_variables
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets, statements
from mitosis_gate.wire.codec import frame
from mitosis_gate.wire.constants import MAX_PAYLOAD
from mitosis_gate.wire.packets import Ok
from mitosis_gate.wire.scanner import Expect

log = logging.getLogger(__name__)

FIRST = int(Expect.FIRST)
SAMPLE = 63
"""Of the statements that are forwarded within a step of the clock, one in 64 is counted."""
PLANS = 4
"""How often a statement of which nothing was done is planned in all."""
_NOT_ON_REPLICAS = (
    Flag.WRITE | Flag.LOCKS | Flag.COMMITS | Flag.LAST | Flag.PINS | Flag.VARIABLES | Flag.OUTSIDE
)
WRITES = Flag.WRITE | Flag.LOCKS | Flag.COMMITS
"""What only a primary takes, and only while the gate can confirm that it is one."""


class Forwarding(Lending):
    """The sink of the connections that work for a session."""

    __slots__ = (
        "_failed",
        "_interruption",
        "_in_batch",
        "_locks",
        "_on_connection",
        "_put_off",
        "peer",
    )

    def __init__(
        self,
        services: Services,
        connection_id: int,
        login: packets.Login,
        accounts: Sequence[Account],
        peer: str,
    ) -> None:
        super().__init__(services, connection_id, login, accounts)
        self.peer = peer
        self._names = bool(login.capabilities & c.CLIENT_QUERY_ATTRIBUTES)
        self._strips = not login.capabilities & c.CLIENT_SESSION_TRACK
        self._task: asyncio.Task[None] | Gathering | None = None
        self._active: BackendConnection | None = None
        """The connection whose answer is being passed on."""
        self._relayed: asyncio.Future[Ok | None] | None = None
        self._has_input = False
        """The splitter holds bytes that were not looked at."""
        self._interruption: GateError | None = None
        """The answer of a statement that is being ended, in place of error 1317."""
        self.began_at = clock.now
        """When the command began that runs, or ran last."""
        self._ends_after: GateError | str | None = None
        """Close when nothing runs: at once, or with this error once no transaction is open."""
        self._packet = b""
        """The text command that runs, framed; empty when it cannot be carried out once more."""
        self._execution = b""
        """The same for an execution of a prepared statement: its payload."""
        self._put_off = b""
        """The command that is carried out once more: turned away by a read-only primary, or a read
        whose connection broke before anything came."""
        self._on_connection: set[str] = set()
        """User variables that only the pinned connection knows."""
        self._forwarded = False
        self._in_batch = False
        """Several statements in one text are carried out, in one task."""
        self._failed = False
        """The answer that was passed on last was an error."""
        self._locks: set[bytes] = set()
        """Names of the user locks that it took, as literals; empty for one that was computed."""
        self._row_count = -1
        self._counted_at = -1
        """What `forwarded_statements` was when a server last told a count."""
        self.write_blocked_at = 0.0

    def _next_commands(self) -> None:
        """Carry out what the client has sent meanwhile."""
        raise NotImplementedError

    def _end_if_free(self) -> None:
        """Close the connection when it is to end and nothing runs."""
        raise NotImplementedError

    async def _carry_out_again(self) -> None:
        """The command that runs, from its beginning, under the table and the schema in force."""
        raise NotImplementedError

    def _runs_a_pure_read(self) -> bool:
        """Whether the command that runs may be sent twice."""
        raise NotImplementedError

    def _text_of(self, packet: bytes) -> bytes:
        """The statement of a framed COM_QUERY of one packet."""
        return statements.query_text(packet[4:]) if self._names else packet[5:]

    def _choose_replica(self, flags: Flag, sql: bytes) -> None:
        """Decide whether the statement that runs is one for a replica: a pure read by itself."""
        wanted = self._hinted_read or ("replica" if self.reads_from_replicas else "primary")
        self._from_replica = (
            wanted == "replica"
            and not flags & _NOT_ON_REPLICAS
            and not self._pins
            and self.autocommit
            and not self.in_transaction
            and is_pure(sql)
        )
        self._sees_rows = not flags & Flag.OUTSIDE
        if self._from_replica:
            self._begin_replica_reads()

    def _runs_commit(self) -> bool:
        """Whether the command that runs is COMMIT."""
        raise NotImplementedError

    def _note_statement(self) -> None:
        """A statement of one shard has ended: count it."""
        raise NotImplementedError

    def _note_task(self) -> None:
        """The same for one that took a task."""
        raise NotImplementedError

    def _is_known(self) -> bool:
        """Whether the command that runs could be carried out from its beginning."""
        return bool(self._packet or self._execution) and len(self._packet) < MAX_PAYLOAD

    # where a statement goes

    def _forward(self, index: int, packet: bytes, expect: int) -> bool:
        """Send it at once if the right connection is there and ready; say whether it was sent."""
        lane = self._lanes.lanes[index]  # type: ignore[union-attr]  # fresh, see _query
        transaction = self._transaction
        if lane is None:
            return False
        if transaction.waits:
            return self._begin_first(lane, packet, expect)
        connection = transaction.bound
        if connection is None:
            if self._kept is not None:
                self._release_kept()
            idle = lane.idle
            if not idle:
                return False
            connection = idle[-1]
            if connection.applied is not self._variables:
                return False
            del idle[-1]
            connection.is_idle = False
        elif (
            connection.owner is not lane
            or not connection.alive
            or connection.obsolete
            or connection.applied is not self._variables
        ):
            return False
        self._send(connection, packet, expect)
        return True

    def _begin_first(self, lane: Lane, packet: bytes, expect: int) -> bool:
        """As `_forward`, for the first statement behind a BEGIN, which must be OK before it."""
        begin = self._transaction.plain_begin
        connection = lane.idle[-1] if lane.idle else None
        if (
            not begin
            or self._kept is not None
            or connection is None
            or connection.draining
            or connection.applied is not self._variables
        ):
            return False
        lane.take()
        connection.transaction_state = b""
        connection.last_user = self.connection_id
        self._active = connection
        self._sequence = 1
        connection.start_query(Beginning(self, packet, expect), begin, strips=self._strips)
        if self.write_blocked_at:
            connection.pause()
        return True

    def begun(self, connection: BackendConnection, packet: bytes, expect: int) -> None:
        """BEGIN is OK: the statement follows it."""
        self._transaction.begun_on(connection)
        self._send(connection, packet, expect)

    def _send(
        self, connection: BackendConnection, packet: bytes, expect: int, sink: Sink | None = None
    ) -> None:
        """From here on the answer goes to the client as it comes."""
        self._active = self._last = connection
        connection.last_user = self.connection_id
        self._forwarded = False
        self._sequence = 1
        self.forwarded_statements += 1
        connection.start(sink or self, packet, expect, self._strips)
        if self.write_blocked_at:
            connection.pause()

    def _choose(self, plan: plans.AnyShard) -> int:
        """The shard of the transaction, or of the statement before, or the first."""
        assert self._lanes is not None
        shards = plan.shards
        last = self.last_shard
        wanted = last if plan.flags & Flag.LAST and last else self.bound_shard or last
        if wanted is not None:
            table = self._lanes.table
            for index in shards:
                if table.shards[index].name == wanted:
                    return index
        return shards[0]

    async def _forward_later(
        self,
        plan: plans.OneShard | plans.AnyShard,
        packet: bytes,
        sql: bytes = b"",
        expect: int = Expect.FIRST,
    ) -> None:
        if isinstance(plan, plans.OneShardAs):
            sql = plan.text
            packet = frame(statements.pack_query(sql, self._names), 0)
        index = plan.shard if isinstance(plan, plans.OneShard) else self._choose(plan)
        shard = self.table.shards[index].name
        self._reads = not plan.flags & WRITES
        self._choose_replica(plan.flags, sql or self._text_of(packet))
        if plan.flags & Flag.LAST:
            left = self._left_behind(shard)
            if left is None:
                connection = await self._connection_of_last(shard)
            elif (told := await self._ask_memory(shard, sql, left)) is not None:
                connection = told
            else:
                return
        else:
            self._release_kept()
            connection = await self._connection(shard, plan.flags)
        if plan.flags & Flag.PINS:
            await self._pinning(connection, packet, expect, pinning_of(sql))
        else:
            await self._hand_over(connection, packet, expect)

    async def _hand_over(self, connection: BackendConnection, packet: bytes, expect: int) -> None:
        """Let callbacks go on where the task ends, unless more statements follow in it."""
        if not self._in_batch:
            self._borrowed.discard(connection)
            if not connection.alive:
                raise BackendLost(f"the connection to shard {connection.shard} broke; repeat")
            connection.may_begin()
            self._send(connection, packet, expect)
            return
        await self._passed_on(connection, packet, expect)
        self._borrowed.discard(connection)
        self._outside.discard(connection)
        self._part_with(connection)

    async def _connection(self, shard: str, flags: Flag) -> BackendConnection:
        topology = self._services.topology
        if topology.doubt and flags & WRITES:
            await topology.confirmed(self._home, shard)
        if flags & Flag.VARIABLES:
            self._must_be_at(USER_VARIABLE, shard)
        if self.in_transaction and flags & Flag.OUTSIDE and self.bound_shard not in (None, shard):
            if any(kept.shard == shard for kept in self._pins.values()):
                return await self.borrow(shard)
            return await self.backend(shard, outside=True)
        return await self.backend(shard)

    async def _pinning(
        self, connection: BackendConnection, packet: bytes, expect: int, pinning: Pinning
    ) -> None:
        """Run a statement that leaves something on its connection, or ends that."""
        fresh = [reason for reason in pinning.reasons if reason not in self._pins]
        if USER_LOCK in fresh:
            self._locks.clear()
        for reason in pinning.reasons:
            self._must_be_at(reason, connection.shard)
            self._add_pin(reason, connection)
        self._borrowed.discard(connection)
        self._outside.discard(connection)
        ok = await self._passed_on(connection, packet, expect)
        if ok is None:
            for reason in fresh:
                if reason != USER_VARIABLE:
                    self._take_pin(reason)
        elif pinning.ends and pinning.ends != USER_LOCK:
            self._take_pin(pinning.ends)
        try:
            if connection.alive:
                await self._learn(connection, pinning, ok is not None)
        finally:
            self._part_with(connection)

    async def _learn(self, connection: BackendConnection, pinning: Pinning, is_ok: bool) -> None:
        """Read back what a statement left on its connection, to need that no longer."""
        locks = is_ok and (pinning.ends == USER_LOCK or USER_LOCK in pinning.reasons)
        if pinning.is_diagnostics:
            self._disclaim(connection, pinning.variables)
            return
        if locks or pinning.variables or pinning.sets_last_id:
            await self._remember(connection)
        if pinning.sets_last_id:
            rows = (await connection.query(b"SELECT LAST_INSERT_ID()")).values()
            self.last_insert_id = int(rows[0][0] or 0)
        if locks:
            await self._count_locks(connection, pinning)
        if pinning.variables:
            await self._take_variables(connection, pinning.variables)
        if pinning.sets_any:
            self._disclaim(connection, [n[1:] for n, _ in self._variables if n.startswith("@")])

    async def _take_variables(self, connection: BackendConnection, names: Sequence[str]) -> None:
        """User variables become the session's own, unless one of them is large."""
        found = await read_variables(connection, names)
        if any(len(value) > LONGEST_BYTES for value in found.values()):
            self._disclaim(connection, names)
            return
        mine, applied = self._variables, connection.applied
        for name, value in found.items():
            mine, applied = mine.with_("@" + name, value), applied.with_("@" + name, value)
        self._variables, connection.applied = mine, applied
        self._on_connection.difference_update(names)
        if not self._on_connection:
            self._take_pin(USER_VARIABLE)

    def _disclaim(self, connection: BackendConnection, names: Iterable[str]) -> None:
        """What these user variables are is known to the connection only."""
        mine, applied = self._variables, connection.applied
        for name in names:
            self._on_connection.add(name)
            mine, applied = mine.without("@" + name), applied.without("@" + name)
        self._variables, connection.applied = mine, applied

    async def _count_locks(self, connection: BackendConnection, pinning: Pinning) -> None:
        """Ask which of the user locks that this session took it still has."""
        if pinning.releases_all:
            self._locks.clear()
        self._locks.update(pinning.locks)
        if pinning.has_unknown_lock:
            self._locks.add(b"")
        if pinning.ends and self._locks and b"" not in self._locks:
            names = list(self._locks)
            asked = b", ".join(b"IS_USED_LOCK(%b) <=> CONNECTION_ID()" % name for name in names)
            row = (await connection.query(b"SELECT " + asked)).values()[0]
            held = {name for name, is_held in zip(names, row, strict=True) if is_held == b"1"}
            self._locks.intersection_update(held)
        if not self._locks:
            self._take_pin(USER_LOCK)

    def _is_at_hand(self, shard: str) -> bool:
        """Whether the connection of the statement before can be asked about it."""
        last = self._last
        if last is None or last.shard != shard or not last.alive:
            return False
        if last is self._kept or self._transaction.holds(last):
            return True
        is_mine = last.is_idle and last.last_user == self.connection_id
        return is_mine and self._transaction.bound is None

    def _left_behind(self, shard: str) -> Left | None:
        """What is remembered of the statement before; None: ask its connection."""
        if self._left_at == self.forwarded_statements and self._kept is None:
            return self._left
        if self._is_at_hand(shard):
            return None
        counted = self._counted_at == self.forwarded_statements
        return Left(self._row_count if counted else -1, found_rows=None)

    async def _connection_of_last(self, shard: str) -> BackendConnection:
        """The one that ran the statement before."""
        last = self._last
        if self._kept is not None and self._kept.shard == shard and self._kept.alive:
            kept, self._kept = self._kept, None
            self._borrowed.add(kept)
            return kept
        self._release_kept()
        if last is not None and self._transaction.bound is None and isinstance(last.owner, Lane):
            if last.owner.take_this(last, self.connection_id):
                self._borrowed.add(last)
                await self._tune(last, self._variables)
                return last
        return await self.backend(shard)

    async def _ask_memory(self, shard: str, sql: bytes, left: Left) -> BackendConnection | None:
        """Answer from memory; else give a connection that knows LAST_INSERT_ID() at least."""
        self._release_kept()
        connection = await self.backend(shard)
        await connection.query(b"SET SESSION last_insert_id=%d" % self.last_insert_id)
        is_answered = False
        try:
            is_answered = await answer(self._as_client(), connection, sql, left)
        finally:
            if is_answered or connection.busy:
                self.give_back(connection)
        if not is_answered:
            return connection
        if sql.lstrip()[:4].upper() == b"SHOW":
            self._leaves(left)
        return None

    async def _remember(self, connection: BackendConnection) -> None:
        """Ask a connection what its last statement left, before something else runs there."""
        scanner = connection.scanner
        has_messages = scanner.warnings or scanner.error is not None
        messages = await messages_of(connection) if has_messages else []
        rows = (await connection.query(b"SELECT FOUND_ROWS()")).values()
        counted = self._counted_at == self.forwarded_statements
        row_count = self._row_count if counted else -1
        self._leaves(Left(row_count, int(rows[0][0] or 0), tuple(messages)))

    async def _remember_kept(self) -> None:
        """Learn what the kept connection would say, so that it need not be kept for longer."""
        kept, self._kept = self._kept, None
        assert kept is not None
        try:
            await self._remember(kept)
            self._services.topology.give_back(kept)
        except GateError as exc:
            log.info("the warnings of %s@%s are lost: %s", self.user, self.peer, exc.text)
            kept.close("not clean")
        finally:
            self._task = None
            if not self._closed:
                asyncio.get_running_loop().call_soon(self._next_commands)

    async def _any_forward(self, packet: bytes, expect: int) -> None:
        self._release_kept()
        await self._hand_over(await self.any_backend(), packet, expect)

    async def relay(self, connection: BackendConnection, sql: bytes) -> Ok | None:
        if not self.binary:
            packet = frame(statements.pack_query(sql, self._names), 0)
            return await self._passed_on(connection, packet, FIRST)
        key = (sql, connection.applied)
        here = connection.statements.get(key) or (await connection.prepare(key, sql))[0]
        packet = frame(statements.pack_execution(here.number), 0)
        return await self._passed_on(connection, packet, FIRST)

    async def _passed_on(
        self, connection: BackendConnection, packet: bytes, expect: int
    ) -> Ok | None:
        """Send a command and pass its answer on; None when that was an error."""
        if not connection.alive:
            raise BackendLost(f"the connection to shard {connection.shard} broke; repeat")
        connection.may_begin()
        relayed: asyncio.Future[Ok | None] = asyncio.get_running_loop().create_future()
        self._relayed = relayed
        part = AnswerPart(self, self._sequence, self._more_follows) if self._in_batch else None
        self._send(connection, packet, expect, part)
        try:
            ok = await relayed
            self._failed = ok is None
            return ok
        except asyncio.CancelledError:
            self._relayed = None
            self._active = None
            connection.abandon("cancelled")
            raise

    # the answer of a backend, as its sink

    def answer_part(self, data: bytes) -> None:
        self._forwarded = True
        self._transport.write(data)  # type: ignore[union-attr]

    def answer_end(self, connection: BackendConnection, data: bytes) -> None:
        self._active = None
        scanner = connection.scanner
        if scanner.error is not None and self._is_turned_away(connection, scanner.error, data):
            return
        self._transport.write(data)  # type: ignore[union-attr]
        if scanner.last:
            self._note_ok(connection)
        if (
            connection.in_transaction
            or self._transaction.bound is not None
            or scanner.warnings
            or scanner.error is not None
            or self._relayed is not None
            or self._pins
            or self.write_blocked_at
        ):
            self._end_carefully(connection)
        else:
            connection.owner.give(connection)  # type: ignore[union-attr]  # borrowed from a lane
        if clock.now is not self.began_at or not self.forwarded_statements & SAMPLE:
            if self._task is None:
                self._note_statement()
        if self._has_input and self._task is None:
            self._next_commands()
        if self._ends_after is not None:
            self._end_if_free()

    def _is_turned_away(
        self, connection: BackendConnection, error: MysqlError, data: bytes
    ) -> bool:
        """Whether the primary turned out to be read-only, so that the error is not for the client.

        Outside a transaction nothing was done: the statement waits for a primary. Inside one it is
        over, as after a deadlock.
        """
        if not says_read_only(error) or self._forwarded:
            return False
        kept = connection in self._pins.values()
        if connection.in_transaction:
            why = f"{connection.target.title} takes no writes any more"
            connection.end(why)
            self._transaction.broke(connection, why)
            lost = TransactionLost(f"the transaction is rolled back: {why}; ROLLBACK and repeat")
            self._answer_with(lost)
            return True
        if kept or connection is self._transaction.bound:
            return False
        self._services.topology.refused(self._home, connection.shard, error.text)
        if self._relayed is not None:
            self._answer_with(
                TakesNoWrites(f"shard {connection.shard} takes no writes: {error.text}")
            )
            return True
        command = self._packet or self._execution
        if not self._is_known() or command is self._put_off:
            return False
        self._put_off = command
        self._services.topology.give_back(connection)
        self._start(self._carry_out_again())
        return True

    def _answer_with(self, problem: GateError) -> None:
        """In place of the answer of a backend, of which nothing has been passed on."""
        if self._relayed is not None:
            relayed, self._relayed = self._relayed, None
            if not relayed.done():
                relayed.set_exception(problem)
        elif not self._closed:
            self._sequence = 1
            self.send_error(problem)
            self._next_commands()

    def _end_carefully(self, connection: BackendConnection) -> None:
        """The end of an answer, when more is open than the answer."""
        scanner = connection.scanner
        if self.write_blocked_at:
            connection.resume()
        relayed = self._relayed
        if relayed is not None:
            self._relayed = None
            self._answered = True
            if not relayed.done():
                relayed.set_result(None if scanner.error else scanner.ok)
        else:
            self._part_with(connection)

    def _part_with(self, connection: BackendConnection) -> None:
        """A statement has ended; the connection is kept for the next one or given back."""
        scanner = connection.scanner
        if self._transaction.holds(connection) or connection.in_transaction or self._pins:
            self._transaction.settle(connection)
        elif scanner.warnings or scanner.error is not None:
            self._kept = connection
        else:
            self._services.topology.give_back(connection)

    def answer_of_part(self, connection: BackendConnection, data: bytes, sequence: int) -> None:
        """As `answer_end`, for one of several answers; `sequence` is the number that follows."""
        self.answer_end(connection, data)
        self._sequence = sequence

    def _note_ok(self, connection: BackendConnection) -> None:
        """Remember what LAST_INSERT_ID() would say.

        A statement that changed variables unasked leaves a connection that nobody else may get.
        """
        scanner = connection.scanner
        last = scanner.last
        if packets.is_short_ok(last):
            if last[0] == c.OK:
                self.last_insert_id = last[2] or self.last_insert_id
                self._row_count = last[1]
                self._counted_at = self.forwarded_statements
            return
        ok = scanner.ok
        if last[0] == c.OK:
            self.last_insert_id = ok.last_insert_id or self.last_insert_id
            self._row_count = ok.affected
            self._counted_at = self.forwarded_statements
        if ok.changes is not packets.NO_CHANGES:
            self._note_changes(connection, ok.changes)

    def _note_changes(self, connection: BackendConnection, changes: packets.SessionChanges) -> None:
        if changes.variables or changes.schema is not None:
            connection.is_foreign = True
        if changes.gtid:
            self._note_gtid(connection)

    def answer_lost(self, connection: BackendConnection, problem: GateError) -> None:
        self._active = None
        alone = not (connection.in_transaction or self._transaction.bound or self._pins)
        self._transaction.broke(connection, problem.text)
        if connection.in_transaction and self._relayed is None and self._runs_commit():
            self._transaction.forget()
            problem = CommitUnknown(
                f"nobody knows whether the transaction on shard {connection.shard} was committed: "
                f"{problem.text}; look at the data before you repeat it"
            )
        elif connection.in_transaction and connection.why_ended:
            problem = TransactionLost(
                f"the transaction is rolled back: {connection.why_ended}; ROLLBACK and repeat"
            )
        if self._relayed is None and not self._closed:
            if self._forwarded:
                # the client has part of an answer, and nothing that could be sent would fit it
                self._close()
                return
            command = self._packet or self._execution
            if alone and command is not self._put_off and self._runs_a_pure_read():
                self._put_off = command
                self._start(self._carry_out_again())
                self._wants_fresh = True
                return
        self._answer_with(problem)

    # work that needs a task

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._answered = self._forwarded = False
        self._sequence = 1
        self._messages = []
        self._task = asyncio.get_running_loop().create_task(self._run(work))

    async def _run(self, work: Coroutine[None, None, None]) -> None:
        try:
            await self._planned_anew(work)
            if not self._answered and self._active is None:
                raise InternalError("the statement got no answer")
        except asyncio.CancelledError:
            if self._closed:
                raise
            self._fail(self._interruption or QueryKilled())
        except GateError as exc:
            self._fail(exc)
        except Exception:
            log.exception("a statement of %s@%s failed in the gate", self.user, self.peer)
            self._fail(InternalError("the gate failed to carry out the statement; see its log"))
        finally:
            self._task = None
            self.binary = self._in_batch = self._more_follows = False
            self._reads = self._wants_fresh = self._from_replica = self._sees_rows = False
            self._hinted_read = ""
            self._titles = ()
            self._drop_borrowed()
        if self._active is None and not self._closed:
            self._note_task()
            # not from here: the next command must not run inside this task
            asyncio.get_running_loop().call_soon(self._next_commands)
            if self._ends_after is not None:
                self._end_if_free()

    async def _planned_anew(self, work: Coroutine[None, None, None]) -> None:
        """Carry out the command; when nothing of it was done, again under what is in force now."""
        for _ in range(PLANS - 1):
            try:
                await work
            except PlanAnew:
                began = self._answered or self._forwarded or self._in_batch
                if began or not self._is_known():
                    raise
                work = self._carry_out_again()
            else:
                return
        await work

    def _fail(self, problem: GateError) -> None:
        if self._closed:
            return
        if self._interruption is not None and problem.number == QueryKilled.code:
            problem = self._interruption
        if self._answered:
            log.warning("after the answer to %s@%s: %s", self.user, self.peer, problem.text)
        elif self._forwarded:
            self._close()
        else:
            self.send_error(problem)


class Beginning(BeginningState):
    """Waits for the answer to BEGIN in front of the statement that says the shard."""

    __slots__ = ()

    def __init__(self, session: Forwarding, packet: bytes, expect: int) -> None:
        self.session = session
        self.packet = packet
        self.expect = expect

    def answer_part(self, data: bytes) -> None:
        """Nothing of an OK is for the client, and an error comes whole, at the end."""

    def answer_end(self, connection: BackendConnection, data: bytes) -> None:
        if connection.scanner.error is not None:
            # an execution that was not sent may have counted as sent, with the types in it
            connection.is_foreign = True
            self.session.answer_end(connection, data)
        else:
            self.session.begun(connection, self.packet, self.expect)

    def answer_lost(self, connection: BackendConnection, problem: GateError) -> None:
        self.session.answer_lost(connection, problem)
