"""One client after its login: what its transport calls, its commands, and where they lead.

The layers of a session, each a class in a module of its own: `answers` (writing to the client),
`lending` (variables and connections), `forwarding` (statements out, answers back), `prepared`, and
here the commands. `mitosis_gate.transaction` keeps the transaction.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from mitosis_gate import clock, metrics, relay
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.pool import Lane, Pool
from mitosis_gate.backends.topology import Lanes
from mitosis_gate.errors import (
    AccessDeniedToDatabase,
    BadHandshake,
    GateError,
    MalformedPacket,
    MysqlError,
    NoDatabase,
    NotSupported,
    PlanAnew,
    ProtocolViolation,
    ShuttingDown,
    UnknownCommand,
    UnknownDatabase,
)
from mitosis_gate.planner import plan as plans
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import DEFAULT_VARIANT, Flag, Plan
from mitosis_gate.planner.purity import is_pure
from mitosis_gate.planner.rules import Point
from mitosis_gate.relay.wire import Wire, wired
from mitosis_gate.session.answers import NOTHING
from mitosis_gate.session.forwarding import FIRST, PLANS, WRITES, Beginning
from mitosis_gate.session.gathered import Gathered
from mitosis_gate.session.last import Left
from mitosis_gate.session.lending import variables_of_login
from mitosis_gate.session.prepared import AT_ONCE, NEEDS_EXECUTOR, NEEDS_TASK, Statement
from mitosis_gate.session.services import Services, Sessions
from mitosis_gate.session.user_change import FIRST_ANSWER, UserChange
from mitosis_gate.transaction import AtOnce, Transaction
from mitosis_gate.wire import charsets, packets, statements
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.codec import frame
from mitosis_gate.wire.scanner import Expect, Scanner

log = logging.getLogger(__name__)

READ_AHEAD_BYTES = 64 << 10
"""What a client may send while its statement runs, before it is no longer read."""
_READS_SEVERAL = plans.Scatter | plans.Merge | plans.Finish
_SEES_NOTHING = plans.SetStatement | plans.SetTransaction | plans.OwnVariables
_NOT_TWICE = WRITES | Flag.LAST | Flag.PINS | Flag.CLOCK
_NAMES_TABLES = (plans.OneShard, plans.Scatter, plans.EveryShard, plans.Ddl, plans.UnknownTable)


class Session(Gathered):
    """Put in place of the login protocol once the client is known."""

    __slots__ = (
        "_file_data",
        "_is_reading",
        "_user_change",
        "seen_at",
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
        """`accounts`: those that the password of the login opens, by keyspace."""
        super().__init__(services, sessions, connection_id, login, accounts, peer)
        self._is_reading = True
        self._file_data: asyncio.Future[None] | None = None
        """There while more of a client's file is waited for."""
        self._user_change: UserChange | None = None
        self.seen_at = time.monotonic()

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def adopt(self, transport: asyncio.Transport) -> None:
        """Take over the transport of the login, which pauses until `read_on`."""
        self._transport = wired(transport, self)

    def read_on(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def take(self, data: bytes) -> None:
        if self._active is None and self._task is None and not self._has_input:
            size = len(data)
            if (
                size > 4
                and data[3] == 0
                and size == (data[0] | data[1] << 8 | data[2] << 16) + 4
                and size <= self._splitter.limit
            ):
                if data[4] == c.COM_QUERY:
                    if not self._names:
                        self._query(data[5:], data)
                        return
                    if data[5:7] == b"\0\1":
                        self._query(data[7:], data)
                        return
                self._command(data[4:])
                return
        self._has_input = True
        self._splitter.feed(data)
        if self._active is None and self._task is None:
            self._next_commands()
        elif self._file_data is not None:
            if not self._file_data.done():
                self._file_data.set_result(None)
        elif self._is_reading and self._splitter.buffered > READ_AHEAD_BYTES:
            self._is_reading = False
            self._transport.pause_reading()  # type: ignore[union-attr]

    async def local_file(self, name: bytes) -> AsyncIterator[bytes]:
        self._write(bytes((c.LOCAL_INFILE,)) + name)
        self._splitter.sequence = self._sequence & 0xFF
        while True:
            payload = self._splitter.next()
            if payload is None:
                await self._more_of_file()
            elif payload:
                yield payload
            else:
                break
        self._sequence = self._splitter.sequence
        self._splitter.begin_command()

    async def _more_of_file(self) -> None:
        self._file_data = asyncio.get_running_loop().create_future()
        if not self._is_reading and self._transport is not None:
            self._is_reading = True
            self._transport.resume_reading()
        try:
            await self._file_data
        finally:
            self._file_data = None

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: what it left open is rolled back, what runs for it is ended."""
        if self._closed:
            return
        self._closed = True
        self._cancel_task()
        active, self._active = self._active, None
        if active is not None:
            active.abandon("client gone")
        self._release_everything(spared=active)
        if self._drained is not None and not self._drained.done():
            self._drained.cancel()
        self._sessions.ended(self)

    def pause_writing(self) -> None:
        self.write_blocked_at = time.monotonic()
        if self._active is not None:
            self._active.pause()
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        self.write_blocked_at = 0.0
        if self._active is not None:
            self._active.resume()
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # commands

    def _next_commands(self) -> None:
        """Carry out what has come, one command after the other."""
        while self._active is None and self._task is None and not self._closed:
            try:
                payload = self._splitter.next()
            except ProtocolViolation as exc:
                self._violation(exc)
                return
            if payload is None:
                break
            if self._user_change is not None:
                self._go_on_with_login(payload)
                continue
            self._splitter.begin_command()
            if not payload:
                self._violation(MalformedPacket("an empty packet is no command"))
                return
            self._command(payload)
        self._has_input = self._splitter.buffered > 0 or self._user_change is not None
        if not self._is_reading and self._active is None and self._task is None:
            self._is_reading = True
            if self._transport is not None and not self._closed:
                self._transport.resume_reading()

    def _command(self, payload: bytes) -> None:
        self._sequence = 1
        kind = payload[0]
        try:
            if kind == c.COM_QUERY:
                sql = statements.query_text(payload) if self._names else payload[1:]
                self._query(sql, frame(payload, 0))
                return
            self._packet = self._execution = b""
            handler = _HANDLERS.get(kind)
            if handler is None:
                raise UnknownCommand(f"the gate does not serve command {kind} of the protocol")
            handler(self, payload)
        except ProtocolViolation as exc:
            self._violation(exc)
        except GateError as exc:
            self.send_error(exc)

    def _violation(self, problem: ProtocolViolation) -> None:
        log.info("closing %s@%s: %s", self.user, self.peer, problem.text)
        metrics.PROTOCOL_VIOLATIONS.labels(kind=type(problem).__name__).inc()
        self.send_error(problem)
        self._close()

    def _quit(self, payload: bytes) -> None:
        self._close()

    def _ping(self, payload: bytes) -> None:
        self._acknowledge()

    def _init_db(self, payload: bytes) -> None:
        self.use(payload[1:].decode(errors="replace"))
        self.send_ok()

    def _statistics(self, payload: bytes) -> None:
        uptime, clients = self._sessions.uptime_and_clients()
        self._write(f"Uptime: {uptime}  Threads: {clients}".encode())

    def _process_kill(self, payload: bytes) -> None:
        self._start(self._kill(int.from_bytes(payload[1:5], "little")))

    async def _kill(self, connection_id: int) -> None:
        await self._sessions.desk.kill(connection_id, False, self)
        self.send_ok()

    def _set_option(self, payload: bytes) -> None:
        option = int.from_bytes(payload[1:3], "little")
        if option == 0:
            self.capabilities |= c.CLIENT_MULTI_STATEMENTS
        elif option == 1:
            self.capabilities &= ~c.CLIENT_MULTI_STATEMENTS
        else:
            raise UnknownCommand(f"COM_SET_OPTION knows no option {option}")
        self._write(packets.result_end(self._status(), 0, self._ends_with_ok()))
        self._answered = True

    def _field_list(self, payload: bytes) -> None:
        self._start(self._any_forward(frame(payload, 0), Expect.FIELDS))

    def _reset(self, payload: bytes) -> None:
        self._begin_anew()
        self.send_ok()

    def _begin_anew(self) -> None:
        """As after the login."""
        self._release_everything()
        self._forget_statements()
        self._transaction.forget()
        self.last_insert_id = 0
        self._own.clear()
        self._on_connection.clear()
        self._left = Left()
        self._set_variables(self._login_variables)

    def _change_user(self, payload: bytes) -> None:
        """What the session had is gone from here on, whether the new user is accepted or not."""
        login = packets.change_user(payload, self.capabilities)
        self._begin_anew()
        assert self._transport is not None
        is_encrypted = self._transport.get_extra_info("ssl_object") is not None
        self._user_change = UserChange(
            self._services, self._sessions, login, self.peer, is_encrypted
        )
        self._has_input = True
        self._write(self._user_change.question())
        self._splitter.sequence = FIRST_ANSWER

    def _go_on_with_login(self, payload: bytes) -> None:
        change = self._user_change
        assert change is not None
        self._sequence = self._splitter.sequence
        try:
            reply = change.answer(payload)
            if reply:
                self._write(reply)
                self._splitter.sequence = self._sequence & 0xFF
            if change.is_accepted:
                self._become(change.login, self._admitted(change.accounts()))
        except GateError as exc:
            log.info("closing %s@%s: change of user: %s", self.user, self.peer, exc.text)
            self.send_error(exc)
            self._close()

    def _admitted(self, accounts: Sequence[Account]) -> tuple[Account, ...]:
        """What a new connection of that user would need, this one must have."""
        assert self._transport is not None
        tls = self._transport.get_extra_info("ssl_object")
        return self._sessions.admit(accounts, tls, self.peer.rpartition(":")[0])

    def _become(self, login: packets.Login, accounts: Sequence[Account]) -> None:
        """The new user is known."""
        self._user_change = None
        self._splitter.begin_command()
        self.user = login.user
        self.attributes = login.attributes
        home = next((a for a in accounts if a.keyspace == login.database), accounts[0])
        limits, budget = self._sessions.charge(home)
        if limits.counts_statements:
            self._sessions.discharge(home)
            raise BadHandshake(
                f"statements of user '{login.user}' are limited, which holds from the login on: "
                "connect anew in place of changing the user"
            )
        self._sessions.discharge(self.charged)
        self.charge(limits, budget, home)
        self._enter(login.database, accounts)
        if login.charset:
            self._login_variables = variables_of_login(login.charset)
        self._set_variables(self._login_variables)
        self.send_ok()

    # statements as text

    def _query(self, sql: bytes, packet: bytes) -> None:
        self._packet = packet
        self.began_at = clock.now
        lanes = self._lanes
        planner = self._planner_of(self._home)
        if lanes is None or not lanes.current or planner is None or planner is not self._planner:
            self._start(self._query_later(sql, packet))
            return
        plan = planner.route(sql, self._variant)
        if not self.current:
            self._start(self._query_later(sql, packet))
            return
        self._carry_out(plan, sql, packet)

    def carry_out(self, plan: Plan, sql: bytes, packet: bytes) -> None:
        """A statement of which the plan under everything in force is known already."""
        self._packet = packet
        self.began_at = clock.now
        self._carry_out(plan, sql, packet)

    async def _query_later(self, sql: bytes, packet: bytes) -> None:
        """As `_query`, but the planner must be waited for."""
        planner = await self._refresh()
        await self._carry_out_later(self._checked(planner.route(sql, self._variant)), sql, packet)

    async def _carry_out_again(self) -> None:
        if self._packet:
            await self._query_later(self._text_of(self._packet), self._packet)
        else:
            await self._execute_later(self._statement(self._execution), self._execution)

    def _runs_a_pure_read(self) -> bool:
        if self._in_batch or self._planner is None or not self._is_known():
            return False
        if self._packet:
            plan = self._planner.route(sql := self._text_of(self._packet), self._variant)
            flags = plan.flags if isinstance(plan, plans.OneShard | plans.AnyShard) else WRITES
            return not flags & _NOT_TWICE and is_pure(sql)
        return bool(self._execution) and is_pure(self._statement(self._execution).sql)

    def _runs_commit(self) -> bool:
        if not self._packet or not self._is_known() or self._planner is None:
            return False
        plan = self._planner.route(self._text_of(self._packet), self._variant)
        return (
            isinstance(plan, plans.TransactionControl) and plan.verb is plans.TransactionVerb.COMMIT
        )

    def _checked(self, plan: Plan) -> Plan:
        """A user of several keyspaces must choose one before it can name tables."""
        if not self.current and len(self._accounts) > 1 and isinstance(plan, _NAMES_TABLES):
            raise NoDatabase("No database selected")
        return plan

    def _carry_out(self, plan: Plan, sql: bytes, packet: bytes) -> None:
        if type(plan) is plans.OneShard and AT_ONCE[plan.flags]:
            if not self._forward(plan.shard, packet, FIRST):
                self._start(self._forward_later(plan, packet))
            return
        self._sequence = 1
        if type(plan) is plans.AnyShard and not plan.flags & NEEDS_TASK:
            if self._forward(self._choose(plan), packet, FIRST):
                return
        elif type(plan) is plans.TransactionControl and self._control(plan, sql, packet):
            return
        elif type(plan) is plans.Merge or type(plan) is plans.Scatter:
            if self._gather(plan, sql):
                return
        elif type(plan) is plans.Refuse and len(self.table.shards) == 1:
            self.send_error(MysqlError(plan.code, plan.sqlstate, plan.message))
            return
        self._start(self._carry_out_later(plan, sql, packet))

    async def _carry_out_later(self, plan: Plan, sql: bytes, packet: bytes) -> None:
        if isinstance(plan, plans.OneShard | plans.AnyShard):
            if plan.flags & NEEDS_EXECUTOR:
                self._release_kept()
                await self._services.execute(plan, sql, self)
            else:
                await self._forward_later(plan, packet, sql)
        elif isinstance(plan, plans.TransactionControl):
            await self._control_later(plan, sql)
        elif isinstance(plan, plans.Use):
            self.use(plan.database)
            self.send_ok()
        elif isinstance(plan, plans.Refuse):
            raise MysqlError(plan.code, plan.sqlstate, plan.message, nothing_done=True)
        elif isinstance(plan, plans.Empty):
            if not plan.has_comment:
                raise MysqlError(1065, "42000", "Query was empty")
            self.send_ok()
        elif isinstance(plan, plans.Kill):
            await self._sessions.desk.kill(plan.connection, plan.query_only, self)
            self.send_ok()
        elif isinstance(plan, plans.GateShow):
            self.send_result(*await self._sessions.desk.show(plan, self))
        elif isinstance(plan, plans.Processes):
            await self._show_processes(plan)
        elif isinstance(plan, plans.ConnectionId):
            self._send_connection_id(plan.column)
        elif isinstance(plan, plans.TextPrepare):
            await self._prepare_named(plan)
        elif isinstance(plan, plans.TextExecute):
            await self._execute_named(plan)
        elif isinstance(plan, plans.TextDeallocate):
            self._deallocate(plan)
        elif isinstance(plan, plans.Batch):
            await self._carry_out_batch(plan, sql)
        else:
            self._release_kept()
            self._choose_replica_for(plan, sql)
            await self._services.execute(plan, sql, self)

    def _choose_replica_for(self, plan: Plan, sql: bytes) -> None:
        """As `_choose_replica`, for plans of several shards and for what a comment wishes."""
        if isinstance(plan, plans.Hinted):
            self._hinted_read = plan.read
            plan = plan.inner
        self._sees_rows = not isinstance(plan, _SEES_NOTHING)
        if isinstance(plan, _READS_SEVERAL | plans.OneShard | plans.AnyShard):
            self._reads = not plan.flags & WRITES
            self._choose_replica(plan.flags, sql)

    async def _show_processes(self, plan: plans.Processes) -> None:
        rows = await self._sessions.desk.processes(self)
        connection = await self.any_backend()
        try:
            await self.relay(connection, rows.join(plan.template))
        finally:
            self.give_back(connection)

    async def _carry_out_batch(self, batch: plans.Batch, sql: bytes) -> None:
        """One statement after the other, each with its answer; the first error is the last."""
        if not self.capabilities & c.CLIENT_MULTI_STATEMENTS:
            raise _second_statement(batch, sql)
        self._in_batch = True
        for number, statement in enumerate(batch.statements, 1):
            self._more_follows = number < len(batch.statements)
            self._answered = self._forwarded = self._failed = False
            await self._carry_out_part(statement)
            if self._failed:
                return

    async def _carry_out_part(self, statement: bytes) -> None:
        """One of a batch; when nothing of it was done, again under what is in force now."""
        packet = frame(statements.pack_query(statement, self._names), 0)
        for more in reversed(range(PLANS)):
            planner = await self._refresh()
            plan = self._checked(planner.route(statement, self._variant))
            try:
                await self._carry_out_later(plan, statement, packet)
            except PlanAnew:
                if self._answered or self._forwarded or not more:
                    raise
            else:
                return

    def _send_connection_id(self, name: str) -> None:
        column = packets.Column(
            name, c.TYPE_LONGLONG, charsets.BINARY_ID, 21, c.FLAG_NOT_NULL | c.FLAG_UNSIGNED
        )
        self.send_result([column.pack()], [packets.text_row([b"%d" % self.connection_id])])

    def _control(self, plan: plans.TransactionControl, sql: bytes, packet: bytes) -> bool:
        """The cases that need no waiting; say whether it was one."""
        outcome = self._transaction.control(plan, sql)
        if outcome is AtOnce.SEND:
            assert self._transaction.bound is not None
            self._send(self._transaction.bound, packet, FIRST)
        elif outcome is AtOnce.DONE:
            self._release_kept()
            self.send_ok()
        return outcome is not AtOnce.LATER

    async def _control_later(self, plan: plans.TransactionControl, sql: bytes) -> None:
        await self._transaction.carry_out(plan, sql)
        if plan.release:
            self._ends_after = "RELEASE"

    def use(self, keyspace: str) -> None:
        if keyspace == self.current:
            return
        if not self._services.topology.knows(keyspace):
            raise UnknownDatabase(f"Unknown database '{keyspace}'")
        if keyspace not in self._accounts:
            raise AccessDeniedToDatabase(
                f"Access denied for user '{self.user}' to database '{keyspace}'"
            )
        if keyspace != self._home:
            if self.in_transaction or self._pins:
                raise NotSupported(
                    "another keyspace inside a transaction: COMMIT or ROLLBACK before USE"
                )
            self._release_everything()
            self._lanes = self._planner = self._last = None
            self._forget_statements()
        self._home = self.current = keyspace

    # what the server does to sessions

    def tick(self, now: float) -> None:
        """Every second or so: end what has waited for too long."""
        if self._active is None and self._task is None:
            self._packet = self._execution = b""
            if self._kept is not None:
                self._task = asyncio.get_running_loop().create_task(self._remember_kept())
        settings = self._services.settings
        if self.write_blocked_at and now - self.write_blocked_at > settings.slow_client_seconds:
            log.info("closing %s@%s: it leaves its result unread", self.user, self.peer)
            if self._transport is not None:
                self._transport.abort()
        count = self.forwarded_statements - self._counted_statements
        self._counted_statements = self.forwarded_statements
        if count:
            metrics.STATEMENTS.labels(plan="forwarded").inc(count)
            self.seen_at = now
        elif self._active is not None or self._task is not None:
            self.seen_at = now
        elif now - self.seen_at > settings.idle_seconds:
            log.info("closing %s@%s: silent for %g s", self.user, self.peer, settings.idle_seconds)
            self._close()

    def drain(self) -> None:
        """The gate stops: end now, or as soon as the open transaction is over."""
        self._ends_after = self._ends_after or ShuttingDown("Server shutdown in progress")
        self._end_if_free()

    def _end_if_free(self) -> None:
        if self._active is not None or self._task is not None or self._closed:
            return
        if not isinstance(self._ends_after, GateError):
            self._close()
        elif not self.in_transaction:
            self._sequence = 0
            self._write(packets.error_packet(self._ends_after))
            self._close()


def _second_statement(batch: plans.Batch, sql: bytes) -> MysqlError:
    """What MySQL says of a text with several statements that nobody asked for."""
    at = sql.index(batch.statements[1], sql.index(batch.statements[0]) + len(batch.statements[0]))
    at += len(batch.statements[1]) - len(batch.statements[1].lstrip())
    line = sql.count(b"\n", 0, at) + 1
    near = sql[at:][:80].decode(errors="replace")
    return MysqlError(
        1064,
        "42000",
        "You have an error in your SQL syntax; check the manual that corresponds to your MySQL "
        f"server version for the right syntax to use near '{near}' at line {line}",
    )


_HANDLERS: Mapping[int, Callable[[Session, bytes], None]] = {
    c.COM_QUIT: Session._quit,
    c.COM_INIT_DB: Session._init_db,
    c.COM_PING: Session._ping,
    c.COM_STATISTICS: Session._statistics,
    c.COM_FIELD_LIST: Session._field_list,
    c.COM_PROCESS_KILL: Session._process_kill,
    c.COM_SET_OPTION: Session._set_option,
    c.COM_RESET_CONNECTION: Session._reset,
    c.COM_CHANGE_USER: Session._change_user,
    c.COM_STMT_PREPARE: Session._prepare,
    c.COM_STMT_EXECUTE: Session._execute,
    c.COM_STMT_SEND_LONG_DATA: Session._long_data,
    c.COM_STMT_CLOSE: Session._close_statement,
    c.COM_STMT_RESET: Session._reset_statement,
    c.COM_STMT_FETCH: Session._fetch,
}

relay.learn(
    session=Session,
    backend=BackendConnection,
    scanner=Scanner,
    lane=Lane,
    lanes=Lanes,
    pool=Pool,
    transaction=Transaction,
    beginning=Beginning,
    statement=Statement,
    planner=Planner,
    point=Point,
    one_shard=plans.OneShard,
    wire=Wire,
    variant=DEFAULT_VARIANT,
    begin=plans.PLAIN_BEGIN,
    commit=plans.PLAIN_COMMIT,
    rollback=plans.PLAIN_ROLLBACK,
    nothing_left=NOTHING,
    at_once=AT_ONCE,
    clock=clock,
)
