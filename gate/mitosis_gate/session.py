"""One client after its login: its commands, its variables, its transaction, its statements.

The common case is a callback from end to end: the bytes of a statement for one shard are written to
a connection of that shard as they came, and what comes back is written to the client while only
packet headers are looked at. No task, no parsing, no copy. Whatever else a statement needs runs in
one task of the session; the client is not read meanwhile, and when it goes away the task is
cancelled.

Which connection a session holds:

- none between statements, in the common case;
- `_bound`: that of the open transaction, or of what pins the session (a user lock, a temporary
  table), until the transaction ends and no pin is left;
- `_kept`: that of the last statement while it has warnings or an error to show, for one more
  statement or about a second.

BEGIN is kept until the first statement tells the shard, and is answered there before the statement
follows: a failed BEGIN is never followed by a write that commits by itself.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mitosis_gate import metrics
from mitosis_gate.backends import variables
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.pool import Lane
from mitosis_gate.backends.topology import Lanes, Topology
from mitosis_gate.backends.variables import Variables
from mitosis_gate.errors import (
    AccessDeniedToDatabase,
    BackendLost,
    CommitUnknown,
    GateError,
    InternalError,
    MalformedPacket,
    MysqlError,
    NoDatabase,
    NotSupported,
    PacketTooLarge,
    ProtocolViolation,
    QueryKilled,
    ResultTooSlow,
    SeveralShards,
    ShardUnavailable,
    ShuttingDown,
    TooManyStatements,
    TransactionLost,
    UnknownCommand,
    UnknownDatabase,
    UnknownStatement,
)
from mitosis_gate.executor.client import Client
from mitosis_gate.planner import plan as plans
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import DEFAULT_VARIANT, Flag, Plan, TransactionVerb, Variant
from mitosis_gate.settings import Settings
from mitosis_gate.wire import charsets, packets, statements
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.codec import Splitter, frame, packets_of
from mitosis_gate.wire.packets import Ok
from mitosis_gate.wire.scanner import Expect
from mitosis_routing.table import RoutingTable

log = logging.getLogger(__name__)

READ_AHEAD_BYTES = 64 << 10
"""What a client may send while its statement runs, before it is no longer read."""
_NEEDS_TASK = Flag.COMMITS | Flag.PINS | Flag.LAST | Flag.VARIABLES | Flag.CLOCK
_NO_FLAGS = Flag.NONE
_NEEDS_EXECUTOR = Flag.COMMITS | Flag.CLOCK
_PINNED = Flag.PINS | Flag.LAST | Flag.VARIABLES
_UTF8 = frozenset({b"utf8mb4", b"utf8mb3", b"utf8", b"ascii"})
_COUNTS_OF_LAST = re.compile(rb"row_count|found_rows|diagnostics", re.IGNORECASE)
_WARNINGS_OF_LAST = re.compile(rb"warnings|errors|error_count|warning_count", re.IGNORECASE)
_FIRST = int(Expect.FIRST)
_NAMES_TABLES = (plans.OneShard, plans.Scatter, plans.EveryShard, plans.Ddl, plans.UnknownTable)
STATEMENT_PIN = "statement"


class Accounts(Protocol):
    def named(self, user: str) -> Sequence[Account]:
        """That user in every keyspace that has one."""


class Planners(Protocol):
    def planner(self, keyspace: str) -> Planner | None:
        """None: the schema is not known yet."""

    async def ready(self, keyspace: str) -> Planner: ...


class Sessions(Protocol):
    """All sessions of this process."""

    def ended(self, session: "Session") -> None: ...

    def kill(self, connection_id: int, query_only: bool, user: str) -> None:
        """Raises NoSuchThread and KillDenied."""

    def uptime_and_clients(self) -> tuple[int, int]: ...


@dataclass(frozen=True)
class Services:
    """What all sessions share."""

    settings: Settings
    topology: Topology
    accounts: Accounts
    planners: Planners
    execute: Callable[[Plan, bytes, Client], Awaitable[None]]
    """`Executor.execute`."""


class Statement:
    """A prepared statement of the client."""

    __slots__ = ("key", "long_data", "number", "planned", "planner", "problem", "sql", "types")

    def __init__(self, number: int, sql: bytes, planner: Planner, planned: plans.Prepared) -> None:
        self.number = number
        self.sql = sql
        self.planner = planner
        self.planned = planned
        self.types: bytes | None = None
        self.long_data: dict[int, bytes] = {}
        self.problem: GateError | None = None
        """What went wrong with long data, which has no answer of its own."""


class Session(asyncio.Protocol):
    """Put in place of the login protocol once the client is known."""

    __slots__ = (
        "__weakref__",
        "_accounts",
        "_active",
        "_answered",
        "_begin",
        "_borrowed",
        "_bound",
        "_closed",
        "_drained",
        "_ends_after",
        "_forwarded",
        "_home",
        "_has_input",
        "_is_reading",
        "_kept",
        "_lanes",
        "_last",
        "_login_variables",
        "_lost",
        "_names",
        "_next_statement",
        "_next_transaction",
        "_outside",
        "_pins",
        "_planner",
        "_relayed",
        "_savepoints",
        "_sequence",
        "_services",
        "_sessions",
        "_splitter",
        "_statements",
        "_strips",
        "_task",
        "_transport",
        "_variables",
        "_variant",
        "_variant_bits",
        "attributes",
        "capabilities",
        "connection_id",
        "current",
        "forwarded_statements",
        "last_insert_id",
        "peer",
        "seen_at",
        "user",
        "write_blocked_at",
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
        self._services = services
        self._sessions = sessions
        self.connection_id = connection_id
        self.user = login.user
        self.peer = peer
        self.capabilities = login.capabilities
        self.attributes = login.attributes
        self._accounts = {a.keyspace: a for a in accounts}
        self._home = login.database or accounts[0].keyspace
        """Whose planner and connections serve it, also before it has chosen a database."""
        self.current = login.database
        """What COM_INIT_DB or USE chose; empty: nothing yet."""
        self._names = bool(login.capabilities & c.CLIENT_QUERY_ATTRIBUTES)
        self._strips = not login.capabilities & c.CLIENT_SESSION_TRACK
        self._variant_bits = login.capabilities & c.SHAPING
        self._variant = DEFAULT_VARIANT
        self._login_variables = _variables_of_login(login.charset)
        self._variables = variables.NONE
        self._set_variables(self._login_variables)
        self._transport: asyncio.Transport | None = None
        self._splitter = Splitter(services.settings.max_packet_bytes)
        self._statements: dict[int, Statement] = {}
        self._next_statement = 1
        self._lanes: Lanes | None = None
        self._planner: Planner | None = None
        self._task: asyncio.Task[None] | None = None
        self._active: BackendConnection | None = None
        """The connection whose answer is being passed on."""
        self._relayed: asyncio.Future[Ok | None] | None = None
        self._borrowed: set[BackendConnection] = set()
        self._outside: set[BackendConnection] = set()
        self._last: BackendConnection | None = None
        self._is_reading = True
        self._has_input = False
        """The splitter holds bytes that were not looked at."""
        self._ends_after: GateError | str | None = None
        """Close when nothing runs: at once, or with this error once no transaction is open."""
        self._drained: asyncio.Future[None] | None = None
        self._closed = False
        self._sequence = 1
        self._answered = False
        self._forwarded = False
        self.forwarded_statements = 0
        self.seen_at = time.monotonic()
        self.write_blocked_at = 0.0
        self._bound: BackendConnection | None = None
        self._kept: BackendConnection | None = None
        self._forget_state()

    def _forget_state(self) -> None:
        self.last_insert_id = 0
        self._begin: list[bytes] | None = None
        """BEGIN and the savepoints after it, while no shard is bound."""
        self._savepoints: list[str] = []
        self._next_transaction = b""
        self._lost: str | None = None
        """Why the open transaction is gone; only ROLLBACK leads on."""
        self._pins: set[str] = set()

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def adopt(self, transport: asyncio.Transport) -> None:
        """Take over the transport of the login."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
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
        elif self._is_reading and self._splitter.buffered > READ_AHEAD_BYTES:
            self._is_reading = False
            self._transport.pause_reading()  # type: ignore[union-attr]

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: what it left open is rolled back, what runs for it is ended."""
        if self._closed:
            return
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        active, self._active = self._active, None
        if active is not None:
            active.abandon("client gone")
        for held in (self._bound, self._kept):
            if held is not None and held is not active:
                self._drop(held)
        self._bound = self._kept = None
        self._clear_pins()
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

    def _clear_pins(self) -> None:
        for reason in self._pins:
            metrics.PINNED.labels(reason=reason).dec()
        self._pins.clear()

    def _drop(self, connection: BackendConnection) -> None:
        if connection.in_transaction or connection.busy or self._pins:
            connection.abandon("client gone")
        else:
            self._services.topology.give_back(connection)

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
            self._splitter.begin_command()
            if not payload:
                self._violation(MalformedPacket("an empty packet is no command"))
                return
            self._command(payload)
        self._has_input = self._splitter.buffered > 0
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

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _quit(self, payload: bytes) -> None:
        self._close()

    def _ping(self, payload: bytes) -> None:
        self.send_ok()

    def _init_db(self, payload: bytes) -> None:
        self.use(payload[1:].decode(errors="replace"))
        self.send_ok()

    def _statistics(self, payload: bytes) -> None:
        uptime, clients = self._sessions.uptime_and_clients()
        self._write(f"Uptime: {uptime}  Threads: {clients}".encode())

    def _process_kill(self, payload: bytes) -> None:
        self._sessions.kill(int.from_bytes(payload[1:5], "little"), False, self.user)
        self.send_ok()

    def _set_option(self, payload: bytes) -> None:
        option = int.from_bytes(payload[1:3], "little")
        if option == 0:
            self.capabilities |= c.CLIENT_MULTI_STATEMENTS
        elif option == 1:
            self.capabilities &= ~c.CLIENT_MULTI_STATEMENTS
        else:
            raise UnknownCommand(f"COM_SET_OPTION knows no option {option}")
        if self.capabilities & c.CLIENT_DEPRECATE_EOF:
            self.send_ok()
        else:
            self._write(packets.eof(self._status()))
            self._answered = True

    def _field_list(self, payload: bytes) -> None:
        self._start(self._any_forward(frame(payload, 0), Expect.FIELDS))

    def _reset(self, payload: bytes) -> None:
        self._release_everything()
        self._clear_pins()
        self._statements.clear()
        self._forget_state()
        self._set_variables(self._login_variables)
        self.send_ok()

    def _release_everything(self) -> None:
        for held in (self._bound, self._kept):
            if held is not None:
                self._drop(held)
        self._bound = self._kept = None

    # statements as text

    def _query(self, sql: bytes, packet: bytes) -> None:
        lanes = self._lanes
        planner = self._services.planners.planner(self._home)
        if lanes is None or not lanes.current or planner is None or planner is not self._planner:
            self._start(self._query_later(sql, packet))
            return
        plan = planner.route(sql, self._variant)
        if not self.current:
            self._start(self._query_later(sql, packet))
            return
        if type(plan) is plans.OneShard:
            flags = plan.flags
            if flags is _NO_FLAGS or not flags & _NEEDS_TASK:
                if not self._forward(plan.shard, packet, _FIRST):
                    self._start(self._forward_later(plan, packet))
                return
        self._carry_out(plan, sql, packet)

    async def _query_later(self, sql: bytes, packet: bytes) -> None:
        """As `_query`, but the planner must be waited for."""
        planner = await self._refresh()
        await self._carry_out_later(self._checked(planner.route(sql, self._variant)), sql, packet)

    def _checked(self, plan: Plan) -> Plan:
        """A user of several keyspaces must choose one before it can name tables."""
        if not self.current and len(self._accounts) > 1 and isinstance(plan, _NAMES_TABLES):
            raise NoDatabase("No database selected")
        return plan

    async def _refresh(self) -> Planner:
        """Take over the table and the planner in force; shards are counted in that table."""
        account = self.account
        planner = await self._services.planners.ready(account.keyspace)
        lanes = self._services.topology.lanes(account, self._variant_bits)
        if planner.table is not lanes.table:
            raise ShardUnavailable(f"the routing table of {account.keyspace} changes: repeat")
        self._planner, self._lanes = planner, lanes
        return planner

    def _forward(self, index: int, packet: bytes, expect: int) -> bool:
        """Send it at once if the right connection is there and ready; say whether it was sent."""
        lane = self._lanes.lanes[index]  # type: ignore[union-attr]  # fresh, see _query
        if lane is None or self._begin is not None or self._lost is not None:
            return False
        if self._next_transaction:
            return False
        connection = self._bound
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

    def _send(self, connection: BackendConnection, packet: bytes, expect: int) -> None:
        """From here on the answer goes to the client as it comes."""
        self._active = self._last = connection
        connection.last_user = self.connection_id
        self._forwarded = False
        self._sequence = 1
        self.forwarded_statements += 1
        connection.start(self, packet, expect, self._strips)
        if self.write_blocked_at:
            connection.pause()

    def _release_kept(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            self._services.topology.give_back(kept)

    # the answer of a backend, as its sink

    def answer_part(self, data: bytes) -> None:
        self._forwarded = True
        self._transport.write(data)  # type: ignore[union-attr]

    def answer_end(self, connection: BackendConnection, data: bytes) -> None:
        self._active = None
        self._transport.write(data)  # type: ignore[union-attr]
        scanner = connection.scanner
        if scanner.last:
            self._note_ok(connection)
        if (
            connection.in_transaction
            or self._bound is not None
            or scanner.warnings
            or scanner.error is not None
            or self._relayed is not None
            or self._pins
            or self.write_blocked_at
        ):
            self._end_carefully(connection)
        else:
            connection.owner.give(connection)  # type: ignore[union-attr]  # borrowed from a lane
        if self._has_input and self._task is None:
            self._next_commands()
        if self._ends_after is not None:
            self._end_if_free()

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
        elif connection is self._bound or connection.in_transaction or self._pins:
            self._settle(connection)
        elif scanner.warnings or scanner.error is not None:
            self._kept = connection
        else:
            self._services.topology.give_back(connection)

    def _settle(self, connection: BackendConnection) -> None:
        """After a statement on a connection that is, or now becomes, the bound one."""
        if not connection.alive:
            if connection is self._bound:
                self._bound = None
            return
        if connection.in_transaction or self._pins:
            if self._bound is None:
                self._bound = connection
            elif connection is not self._bound:
                self._services.topology.give_back(connection)
            return
        if connection is self._bound:
            self._bound = None
        self._savepoints.clear()
        self._services.topology.give_back(connection)

    def _note_ok(self, connection: BackendConnection) -> None:
        """Remember what LAST_INSERT_ID() would say.

        A statement that changed variables unasked leaves a connection that nobody else may get.
        """
        scanner = connection.scanner
        ok = scanner.ok
        if scanner.last[0] == c.OK:
            self.last_insert_id = ok.last_insert_id or self.last_insert_id
        if ok.changes.variables or ok.changes.schema is not None:
            connection.is_foreign = True

    def answer_lost(self, connection: BackendConnection, problem: GateError) -> None:
        self._active = None
        was_bound = connection is self._bound
        if was_bound:
            self._bound = None
            if connection.in_transaction:
                self._lost = problem.text
            self._clear_pins()
        if self._relayed is not None:
            relayed, self._relayed = self._relayed, None
            if not relayed.done():
                relayed.set_exception(problem)
            return
        if self._closed:
            return
        if self._forwarded:
            # the client has part of an answer, and nothing that could be sent now would fit it
            self._close()
            return
        self._sequence = 1
        self.send_error(problem)
        self._next_commands()

    # work that needs a task

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._answered = self._forwarded = False
        self._sequence = 1
        self._task = asyncio.get_running_loop().create_task(self._run(work))

    async def _run(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
            if not self._answered and self._active is None:
                raise InternalError("the statement got no answer")
        except asyncio.CancelledError:
            if self._closed:
                raise
            self._fail(QueryKilled())
        except GateError as exc:
            self._fail(exc)
        except Exception:
            log.exception("a statement of %s@%s failed in the gate", self.user, self.peer)
            self._fail(InternalError("the gate failed to carry out the statement; see its log"))
        finally:
            self._task = None
            self._drop_borrowed()
        if self._active is None and not self._closed:
            # not from here: the next command must not run inside this task
            asyncio.get_running_loop().call_soon(self._next_commands)
            if self._ends_after is not None:
                self._end_if_free()

    def _fail(self, problem: GateError) -> None:
        if self._closed:
            return
        if self._answered:
            log.warning("after the answer to %s@%s: %s", self.user, self.peer, problem.text)
        elif self._forwarded:
            self._close()
        else:
            self.send_error(problem)

    def _drop_borrowed(self) -> None:
        """Nothing is left here when the executor gave back what it took."""
        for connection in tuple(self._borrowed):
            connection.abandon("not given back")
        self._borrowed.clear()
        self._outside.clear()

    def _carry_out(self, plan: Plan, sql: bytes, packet: bytes) -> None:
        self._sequence = 1
        if type(plan) is plans.AnyShard and not plan.flags & _NEEDS_TASK:
            if self._forward(self._choose(plan), packet, _FIRST):
                return
        elif type(plan) is plans.TransactionControl and self._control(plan, sql, packet):
            return
        elif type(plan) is plans.Refuse:
            self.send_error(MysqlError(plan.code, plan.sqlstate, plan.message))
            return
        self._start(self._carry_out_later(plan, sql, packet))

    async def _carry_out_later(self, plan: Plan, sql: bytes, packet: bytes) -> None:
        if isinstance(plan, plans.OneShard | plans.AnyShard):
            if plan.flags & _NEEDS_EXECUTOR:
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
            raise MysqlError(plan.code, plan.sqlstate, plan.message)
        elif isinstance(plan, plans.Empty):
            if not plan.has_comment:
                raise MysqlError(1065, "42000", "Query was empty")
            self.send_ok()
        elif isinstance(plan, plans.Kill):
            self._sessions.kill(plan.connection, plan.query_only, self.user)
            self.send_ok()
        elif isinstance(plan, plans.ConnectionId):
            self._send_connection_id(plan.column)
        elif isinstance(plan, plans.Batch):
            raise NotSupported("several statements in one text: send them one by one")
        else:
            self._release_kept()
            await self._services.execute(plan, sql, self)

    def _send_connection_id(self, name: str) -> None:
        column = packets.Column(
            name, c.TYPE_LONGLONG, charsets.BINARY_ID, 21, c.FLAG_NOT_NULL | c.FLAG_UNSIGNED
        )
        self.send_result([column.pack()], [packets.text_row([b"%d" % self.connection_id])])

    def _choose(self, plan: plans.AnyShard) -> int:
        """The shard of the transaction, or of the statement before, or the first."""
        assert self._lanes is not None
        shards = plan.shards
        wanted = self.bound_shard or self.last_shard
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
        index = plan.shard if isinstance(plan, plans.OneShard) else self._choose(plan)
        shard = self.table.shards[index].name
        if plan.flags & Flag.LAST:
            connection = await self._connection_of_last(shard, sql)
        else:
            self._release_kept()
            connection = await self._connection(shard, plan.flags)
        if plan.flags & Flag.PINS:
            self._add_pin(STATEMENT_PIN)
        self._hand_over(connection, packet, expect)

    def _hand_over(self, connection: BackendConnection, packet: bytes, expect: int) -> None:
        """Let callbacks go on where the task ends."""
        self._borrowed.discard(connection)
        if not connection.alive:
            raise BackendLost(f"the connection to shard {connection.shard} broke; repeat")
        self._send(connection, packet, expect)

    async def _connection(self, shard: str, flags: Flag) -> BackendConnection:
        if self.in_transaction and flags & Flag.OUTSIDE and self.bound_shard not in (None, shard):
            return await self.backend(shard, outside=True)
        if self._pins and flags & _PINNED and self._bound and self._bound.shard != shard:
            raise SeveralShards(
                f"the statement needs what this session keeps on shard {self._bound.shard}, "
                f"but its rows are on {shard}"
            )
        return await self.backend(shard)

    async def _connection_of_last(self, shard: str, sql: bytes) -> BackendConnection:
        """The connection of the statement before, or one that is told its LAST_INSERT_ID()."""
        last = self._last
        if self._kept is not None and self._kept.shard == shard and self._kept.alive:
            kept, self._kept = self._kept, None
            self._borrowed.add(kept)
            return kept
        self._release_kept()
        if self._bound is None and last is not None and last.shard == shard and last.alive:
            lane = last.owner
            if isinstance(lane, Lane) and lane.take_this(last, self.connection_id):
                self._borrowed.add(last)
                await self._tune(last, self._variables)
                return last
        is_the_last = self._bound is not None and self._bound is last
        if not is_the_last and _COUNTS_OF_LAST.search(sql):
            raise NotSupported(
                "what the statement before left behind is no longer at hand: ask for it "
                "inside the same transaction"
            )
        connection = await self.backend(shard)
        if not is_the_last:
            if _WARNINGS_OF_LAST.search(sql):  # there were none, or their connection were kept
                await connection.query(b"DO 0")
            await connection.query(b"SET SESSION last_insert_id=%d" % self.last_insert_id)
        return connection

    async def _any_forward(self, packet: bytes, expect: int) -> None:
        self._release_kept()
        self._hand_over(await self.any_backend(), packet, expect)

    # transactions

    def _control(self, plan: plans.TransactionControl, sql: bytes, packet: bytes) -> bool:
        """The cases that need no waiting; say whether it was one."""
        if self._lost is not None or plan.release or plan.snapshot:
            return False
        bound = self._bound
        verb = plan.verb
        if bound is not None:
            if verb is TransactionVerb.BEGIN or self._begin is not None:
                return False
            if not bound.alive or bound.obsolete:
                return False
            self._send(bound, packet, _FIRST)
            return True
        if verb is TransactionVerb.BEGIN:
            self.begin(sql)
        elif verb is TransactionVerb.COMMIT or verb is TransactionVerb.ROLLBACK:
            if plan.chain:
                return False
            self._begin = None
            self._next_transaction = b""
            self._savepoints.clear()
        else:
            return False
        self._release_kept()
        self.send_ok()
        return True

    async def _control_later(self, plan: plans.TransactionControl, sql: bytes) -> None:
        verb = plan.verb
        if self._lost is not None:
            self._leave_lost(verb)
        elif verb is TransactionVerb.BEGIN:
            await self.commit()
            if plan.snapshot and len(self.table.shards) > 1:
                raise NotSupported(
                    "WITH CONSISTENT SNAPSHOT over several shards: begin without it, "
                    "the first statement takes the snapshot"
                )
            self.begin(sql)
            if plan.snapshot:
                self.give_back(await self.backend(self.table.shards[0].name))
        elif verb is TransactionVerb.COMMIT or verb is TransactionVerb.ROLLBACK:
            await self._end(verb, plan.chain)
        else:
            await self._savepoint(plan, sql)
            return
        self.send_ok()
        if plan.release:
            self._ends_after = "RELEASE"

    def _leave_lost(self, verb: TransactionVerb) -> None:
        """ROLLBACK ends a transaction whose connection is gone; COMMIT ends it with an error."""
        if verb not in (TransactionVerb.ROLLBACK, TransactionVerb.COMMIT):
            raise self._transaction_lost()
        problem = self._transaction_lost()
        self._lost = None
        self._begin = None
        if verb is TransactionVerb.COMMIT:
            raise problem

    def _transaction_lost(self) -> TransactionLost:
        return TransactionLost(f"the transaction is rolled back: {self._lost}; ROLLBACK and repeat")

    async def _end(self, verb: TransactionVerb, chain: bool) -> None:
        """COMMIT or ROLLBACK, AND CHAIN when asked for."""
        again = self._begin[:1] if self._begin else [b"START TRANSACTION"]
        if verb is TransactionVerb.COMMIT:
            await self.commit()
        else:
            await self._roll_back()
        if chain:
            self._begin = again

    async def _roll_back(self) -> None:
        self._begin = None
        self._next_transaction = b""
        self._savepoints.clear()
        bound = self._bound
        if bound is None:
            return
        if not bound.alive:
            self._bound = None
        elif bound.in_transaction:
            await bound.query(b"ROLLBACK")
            self._settle(bound)

    async def _savepoint(self, plan: plans.TransactionControl, sql: bytes) -> None:
        """Before the first statement told the shard, savepoints wait together with BEGIN."""
        if self._bound is not None:
            connection = await self.backend(self._bound.shard)
            await self.relay(connection, sql)
            self.give_back(connection)
            return
        name = plan.savepoint.lower()
        if self._begin is None and self.autocommit:
            if plan.verb is not TransactionVerb.SAVEPOINT:
                raise MysqlError(1305, "42000", f"SAVEPOINT {plan.savepoint} does not exist")
            self.send_ok()
            return
        if plan.verb is TransactionVerb.SAVEPOINT:
            self._savepoints.append(name)
        elif name not in self._savepoints:
            raise MysqlError(1305, "42000", f"SAVEPOINT {plan.savepoint} does not exist")
        self._begin = [*(self._begin or ()), sql]
        self.send_ok()

    def begin(self, statement: bytes) -> None:
        self._begin = [statement]
        self._savepoints.clear()

    def next_transaction(self, statement: bytes) -> None:
        self._next_transaction = statement

    async def commit(self) -> None:
        if self._lost is not None:
            raise self._transaction_lost()
        self._begin = None
        self._next_transaction = b""
        self._savepoints.clear()
        bound = self._bound
        if bound is None or not bound.in_transaction:
            return
        try:
            if not bound.alive:
                raise BackendLost(f"the connection to shard {bound.shard} broke")
            await bound.query(b"COMMIT")
        except BackendLost as exc:
            self._bound = None
            raise CommitUnknown(
                f"nobody knows whether the transaction on shard {bound.shard} was committed: "
                f"{exc.text}; look at the data before you repeat it"
            ) from exc
        finally:
            if self._bound is not None:
                self._settle(bound)

    # prepared statements

    def _prepare(self, payload: bytes) -> None:
        self._start(self._prepare_later(payload[1:]))

    async def _prepare_later(self, sql: bytes) -> None:
        if len(self._statements) >= self._services.settings.max_statements:
            raise TooManyStatements(
                f"this connection has {len(self._statements)} prepared statements: close some"
            )
        planner = await self._refresh()
        planned = planner.prepare(sql, self._variant)
        if isinstance(planned.describe, plans.Refuse):
            refusal = planned.describe
            raise MysqlError(refusal.code, refusal.sqlstate, refusal.message)
        self._release_kept()
        shard = self.table.shards[self._choose(planned.describe)].name
        outside = self.in_transaction and self.bound_shard not in (None, shard)
        connection = await self.backend(shard, outside=outside or self._begin is not None)
        try:
            _, answer = await connection.prepare((sql, connection.applied), sql)
        finally:
            self.give_back(connection)
        statement = Statement(self._next_statement, sql, planner, planned)
        self._next_statement += 1
        self._statements[statement.number] = statement
        self._answered = True
        self._put(answer[:5] + statement.number.to_bytes(4, "little") + answer[9:])

    def _statement(self, payload: bytes) -> Statement:
        number = int.from_bytes(payload[1:5], "little")
        statement = self._statements.get(number)
        if statement is None or len(payload) < 5:
            raise UnknownStatement(f"Unknown prepared statement handler ({number}) given")
        return statement

    def _execute(self, payload: bytes) -> None:
        statement = self._statement(payload)
        if statement.problem is not None:
            problem, statement.problem = statement.problem, None
            raise problem
        lanes = self._lanes
        planner = self._services.planners.planner(self._home)
        if lanes is None or not lanes.current or planner is None or planner is not self._planner:
            self._start(self._execute_later(statement, payload))
            return
        sent, plan = self._planned(statement, payload, planner)
        if type(plan) is plans.OneShard and not (
            plan.flags is not _NO_FLAGS and plan.flags & _NEEDS_TASK
        ):
            at_once = not statement.long_data
            if at_once and self._execute_at_once(statement, sent, plan.shard):
                return
        self._start(self._execute_planned(statement, sent, plan))

    def _planned(
        self, statement: Statement, payload: bytes, planner: Planner
    ) -> tuple[statements.Execution, Plan]:
        if statement.planner is not planner:
            statement.planned = planner.prepare(statement.sql, self._variant)
            statement.planner = planner
        planned = statement.planned
        sent = statements.execution(payload, planned.parameters, self._names, statement.types)
        statement.types = sent.types
        values: list[statements.Value] = []
        if planned.needed:
            values = statements.values(sent, planned.needed, self._names, statement.long_data)
        return sent, planned.route(values)

    def _execute_at_once(
        self, statement: Statement, sent: statements.Execution, index: int
    ) -> bool:
        lane = self._lanes.lanes[index]  # type: ignore[union-attr]  # fresh, see _execute
        if lane is None:
            return False
        self._release_kept()
        candidate = self._bound or (lane.idle[-1] if lane.idle else None)
        if candidate is None:
            return False
        here = candidate.statements.get((statement.sql, candidate.applied))
        if here is None:
            return False
        packet = frame(sent.pack(here.number, with_types=here.types != sent.types), 0)
        if not self._forward(index, packet, _FIRST):
            return False
        here.types = sent.types
        return True

    async def _execute_later(self, statement: Statement, payload: bytes) -> None:
        planner = await self._refresh()
        sent, plan = self._planned(statement, payload, planner)
        await self._execute_planned(statement, sent, plan)

    async def _execute_planned(
        self, statement: Statement, sent: statements.Execution, plan: Plan
    ) -> None:
        if isinstance(plan, plans.Refuse):
            raise MysqlError(plan.code, plan.sqlstate, plan.message)
        if isinstance(plan, plans.TransactionControl):
            await self._control_later(plan, statement.sql)
            return
        if not isinstance(plan, plans.OneShard | plans.AnyShard) or plan.flags & _NEEDS_EXECUTOR:
            if sent.parameters == 0 and not isinstance(plan, plans.Scatter):
                await self._carry_out_later(plan, statement.sql, b"")
                return
            raise NotSupported(
                "a prepared statement that needs several shards: send it as text, "
                "or name the sharding key"
            )
        index = plan.shard if isinstance(plan, plans.OneShard) else self._choose(plan)
        shard = self.table.shards[index].name
        if plan.flags & Flag.LAST:
            connection = await self._connection_of_last(shard, statement.sql)
        else:
            self._release_kept()
            connection = await self._connection(shard, plan.flags)
        key = (statement.sql, connection.applied)
        here = connection.statements.get(key)
        if here is None:
            here, _ = await connection.prepare(key, statement.sql)
        for parameter, data in statement.long_data.items():
            connection.send(frame(statements.pack_long_data(here.number, parameter, data), 0))
        statement.long_data.clear()
        here.types = sent.types
        if plan.flags & Flag.PINS:
            self._add_pin(STATEMENT_PIN)
        packet = frame(sent.pack(here.number, with_types=True), 0)
        self._hand_over(connection, packet, Expect.FIRST)

    def _long_data(self, payload: bytes) -> None:
        """Has no answer, not even an error: that comes with the execution."""
        number, parameter, data = statements.long_data(payload)
        statement = self._statements.get(number)
        if statement is None:
            return
        held = statement.long_data.get(parameter, b"") + data
        if sum(map(len, statement.long_data.values())) + len(data) > self._splitter.limit:
            statement.problem = PacketTooLarge("the long data of a statement is too large")
            statement.long_data.clear()
        elif statement.problem is None:
            statement.long_data[parameter] = held

    def _close_statement(self, payload: bytes) -> None:
        self._statements.pop(int.from_bytes(payload[1:5], "little"), None)

    def _reset_statement(self, payload: bytes) -> None:
        statement = self._statement(payload)
        statement.long_data.clear()
        statement.problem = None
        self.send_ok()

    # what the executor uses; see executor.client

    @property
    def keyspace(self) -> str:
        return self.current

    @property
    def variant(self) -> Variant:
        return self._variant

    @property
    def account(self) -> Account:
        return self._accounts[self._home]

    @property
    def table(self) -> RoutingTable:
        assert self._lanes is not None
        return self._lanes.table

    @property
    def variables(self) -> Variables:
        return self._variables

    @variables.setter
    def variables(self, value: Variables) -> None:
        self._set_variables(value)

    def _set_variables(self, value: Variables) -> None:
        self._variables = value
        charset = (value.get("character_set_client") or b"utf8mb4").strip(b"'\"`").lower()
        utf8 = charset in _UTF8
        if utf8 != self._variant.utf8:
            self._variant = DEFAULT_VARIANT if utf8 else Variant(utf8=False)

    @property
    def autocommit(self) -> bool:
        return not variables.is_off(self._variables.get("autocommit"))

    @property
    def in_transaction(self) -> bool:
        if self._begin is not None or self._lost is not None:
            return True
        return self._bound is not None and self._bound.in_transaction

    @property
    def bound_shard(self) -> str | None:
        return self._bound.shard if self._bound is not None else None

    @property
    def last_shard(self) -> str | None:
        return self._last.shard if self._last is not None else None

    async def backend(self, shard: str, outside: bool = False) -> BackendConnection:
        if outside:
            connection = await self._borrow(shard)
            self._outside.add(connection)
            await self._tune(connection, self._variables.without("autocommit"))
            return connection
        if self._lost is not None:
            raise self._transaction_lost()
        bound = self._bound
        if bound is not None and (not bound.alive or bound.obsolete):
            self._lose_bound(bound)
            bound = None
        if bound is not None and bound.shard != shard:
            if self.in_transaction:
                raise SeveralShards(
                    f"the open transaction is on shard {bound.shard} and the statement needs "
                    f"{shard}: a transaction stays on one shard; COMMIT or ROLLBACK first"
                )
            bound = None
        connection = bound or await self._borrow(shard)
        await self._tune(connection, self._variables)
        if self._begin is not None:
            await self._begin_on(connection)
        elif self._next_transaction and not connection.in_transaction:
            await self._query_on(connection, self._next_transaction)
            self._next_transaction = b""
        return connection

    def _lose_bound(self, bound: BackendConnection) -> None:
        """It broke while nothing ran on it, or its instance is the primary no more."""
        self._bound = None
        why = "is primary no more" if bound.obsolete else "closed the connection"
        text = f"{bound.target.instance} of shard {bound.shard} {why}"
        if bound.alive:
            bound.close("obsolete")
        self._clear_pins()
        if bound.in_transaction:
            self._lost = text
            raise self._transaction_lost()
        raise BackendLost(f"{text}; what this session kept there is lost")

    async def _borrow(self, shard: str) -> BackendConnection:
        account = self.account
        connection = await self._services.topology.borrow(
            account.keyspace, shard, account, self._variant_bits
        )
        connection.last_user = self.connection_id
        self._borrowed.add(connection)
        return connection

    async def _tune(self, connection: BackendConnection, wanted: Variables) -> None:
        difference = wanted.difference(connection.applied)
        if difference:
            await self._query_on(connection, difference)
            connection.applied = wanted

    async def _begin_on(self, connection: BackendConnection) -> None:
        """Every one of them must be OK before the first statement follows."""
        assert self._begin is not None
        if self._next_transaction:
            await self._query_on(connection, self._next_transaction)
        for statement in self._begin:
            await self._query_on(connection, statement)
        self._next_transaction = b""
        self._begin = None
        self._bound = connection
        self._borrowed.discard(connection)

    async def _query_on(self, connection: BackendConnection, sql: bytes) -> None:
        """Prepare a connection for the session; one on which that fails is for nobody."""
        try:
            await connection.query(sql)
        except MysqlError:
            self._borrowed.discard(connection)
            if connection is not self._bound:
                connection.close("not clean")
            raise

    async def any_backend(self) -> BackendConnection:
        if self._lanes is None or not self._lanes.current:
            await self._refresh()
        table = self.table
        wanted = self.bound_shard or self.last_shard
        if wanted is None or table.shard(wanted) is None:
            serving = next((s for s in table.shards if s.primary is not None), table.shards[0])
            wanted = serving.name
        return await self.backend(wanted)

    def give_back(self, connection: BackendConnection) -> None:
        self._borrowed.discard(connection)
        if self._closed:
            self._drop(connection)
            return
        if connection in self._outside:
            self._outside.discard(connection)
            self._services.topology.give_back(connection)
            return
        self._last = connection
        if connection is self._bound or connection.in_transaction:
            self._settle(connection)
        else:
            self._services.topology.give_back(connection)

    def disown(self, connection: BackendConnection) -> None:
        self._borrowed.discard(connection)
        self._outside.discard(connection)

    @property
    def is_gone(self) -> bool:
        return self._closed

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
            self._statements.clear()
        self._home = self.current = keyspace

    def pin(self, reason: str, connection: BackendConnection) -> None:
        if self._bound is not None and self._bound is not connection:
            raise SeveralShards(f"this session already keeps a connection of {self._bound.shard}")
        self._add_pin(reason)
        self._bound = connection
        self._borrowed.discard(connection)

    def _add_pin(self, reason: str) -> None:
        if reason not in self._pins:
            self._pins.add(reason)
            metrics.PINNED.labels(reason=reason).inc()

    def unpin(self, reason: str) -> None:
        if reason in self._pins:
            self._pins.discard(reason)
            metrics.PINNED.labels(reason=reason).dec()

    def kill(self, connection_id: int, query_only: bool) -> None:
        self._sessions.kill(connection_id, query_only, self.user)

    # answers of the gate's own

    def _status(self) -> int:
        status = c.STATUS_AUTOCOMMIT if self.autocommit else 0
        return status | c.STATUS_IN_TRANS if self.in_transaction else status

    def _write(self, payload: bytes) -> None:
        data = frame(payload, self._sequence)
        self._sequence += packets_of(payload)
        self._put(data)

    def _put(self, data: bytes) -> None:
        if self._transport is not None and not self._closed:
            self._transport.write(data)

    def send_ok(
        self, affected: int = 0, last_insert_id: int = 0, warnings: int = 0, info: bytes = b""
    ) -> None:
        self._answered = True
        self._write(Ok(affected, last_insert_id, self._status(), warnings, info).pack())

    def send_error(self, problem: GateError) -> None:
        self._answered = True
        if not isinstance(problem, MysqlError):
            metrics.REFUSALS.labels(code=str(problem.number)).inc()
        self._write(packets.error_packet(problem))

    def send_result(
        self, columns: Sequence[bytes], rows: Iterable[bytes], warnings: int = 0
    ) -> None:
        self.begin_rows(columns)
        self._write_all(rows)
        self.end_rows(warnings)

    def begin_rows(self, columns: Sequence[bytes]) -> None:
        self._write_all(packets.result_head(columns, self._status(), self._ends_with_ok()))

    def _write_all(self, payloads: Iterable[bytes]) -> None:
        parts = []
        sequence = self._sequence
        for payload in payloads:
            parts.append(frame(payload, sequence))
            sequence += packets_of(payload)
        self._sequence = sequence
        self._put(b"".join(parts))

    async def send_rows(self, rows: Sequence[bytes]) -> None:
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
        self._write(packets.result_end(self._status(), warnings, self._ends_with_ok()))

    def _ends_with_ok(self) -> bool:
        return bool(self.capabilities & c.CLIENT_DEPRECATE_EOF)

    async def relay(self, connection: BackendConnection, sql: bytes) -> Ok | None:
        self._relayed = asyncio.get_running_loop().create_future()
        relayed = self._relayed
        packet = frame(statements.pack_query(sql, self._names), 0)
        self._send(connection, packet, _FIRST)
        try:
            return await relayed
        except asyncio.CancelledError:
            self._relayed = None
            self._active = None
            connection.abandon("cancelled")
            raise

    # what the server does to sessions

    def tick(self, now: float) -> None:
        """Every second or so: end what has waited for too long."""
        if self._kept is not None and self._active is None and self._task is None:
            self._release_kept()
        settings = self._services.settings
        if self.write_blocked_at and now - self.write_blocked_at > settings.slow_client_seconds:
            log.info("closing %s@%s: it leaves its result unread", self.user, self.peer)
            if self._transport is not None:
                self._transport.abort()
        count, self.forwarded_statements = self.forwarded_statements, 0
        if count:
            metrics.STATEMENTS.labels(plan="forwarded").inc(count)
            self.seen_at = now
        elif self._active is not None or self._task is not None:
            self.seen_at = now
        elif now - self.seen_at > settings.idle_seconds:
            log.info("closing %s@%s: silent for %g s", self.user, self.peer, settings.idle_seconds)
            self._close()

    def kill_query(self) -> None:
        """KILL QUERY of another session: end what runs, keep the session."""
        if self._task is not None:
            self._task.cancel()
        elif self._active is not None and isinstance(self._active.owner, Lane):
            self._active.owner.pool.kill(self._active, query_only=True)

    def kill_connection(self) -> None:
        if self._transport is not None:
            self._transport.abort()

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


def _variables_of_login(charset: int) -> Variables:
    """A client names its character set in the login packet; the backends start with theirs."""
    known = charsets.by_id(charset) or charsets.UTF8MB4
    if known == charsets.UTF8MB4:
        return variables.NONE
    name = b"'" + known.name.encode() + b"'"
    return Variables.of(
        {
            "character_set_client": name,
            "character_set_results": name,
            "collation_connection": b"'" + known.collation.encode() + b"'",
        }
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
    c.COM_STMT_PREPARE: Session._prepare,
    c.COM_STMT_EXECUTE: Session._execute,
    c.COM_STMT_SEND_LONG_DATA: Session._long_data,
    c.COM_STMT_CLOSE: Session._close_statement,
    c.COM_STMT_RESET: Session._reset_statement,
}
