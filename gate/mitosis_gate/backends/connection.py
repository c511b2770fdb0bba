"""One connection to one mysqld, entered with a client's own account.

Whoever uses it is a `Sink`: a session that passes the bytes on, a buffer for the gate's own
queries, or a stream that the executor pulls. The scanner finds the end of the answer for all of
them. In doubt about the state of the connection it is closed, never given to somebody else.
"""

import asyncio
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mitosis_gate import metrics
from mitosis_gate.backends import variables
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.sinks import MAX_PACKET, Buffer, Collector, Result, Sink, Watched
from mitosis_gate.backends.streams import ResultStream
from mitosis_gate.backends.variables import Variables
from mitosis_gate.errors import (
    BackendLost,
    BackendUnreachable,
    GateError,
    MysqlError,
    ShardUnavailable,
)
from mitosis_gate.relay import BackendState
from mitosis_gate.relay.wire import wired
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.auth import ClientLogin
from mitosis_gate.wire.charsets import DEFAULT_ID
from mitosis_gate.wire.codec import Splitter, frame
from mitosis_gate.wire.row_scanner import NO_HEAD, Head
from mitosis_gate.wire.scanner import Expect, Scanner

GATE_VARIANT = c.CLIENT_DEPRECATE_EOF
"""Capabilities of connections for the gate's own queries."""
_ALWAYS = (
    c.CLIENT_LONG_PASSWORD
    | c.CLIENT_LONG_FLAG
    | c.CLIENT_CONNECT_WITH_DB
    | c.CLIENT_PROTOCOL_41
    | c.CLIENT_TRANSACTIONS
    | c.CLIENT_SECURE_CONNECTION
    | c.CLIENT_MULTI_RESULTS
    | c.CLIENT_PS_MULTI_RESULTS
    | c.CLIENT_PLUGIN_AUTH
    | c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    | c.CLIENT_CONNECT_ATTRS
    | c.CLIENT_SESSION_TRACK
    | c.CLIENT_LOCAL_FILES
)
_FIRST_STATEMENT = (
    b"SET SESSION session_track_system_variables='" + ",".join(variables.TRACKED).encode() + b"'"
)
_WHO = b"SELECT @@server_uuid"
_BUFFER_LIMIT = 64 << 20
_MOST_STATEMENTS = 64
"""Prepared statements that are kept on one connection."""
_STATE = c.STATUS_IN_TRANS | c.STATUS_AUTOCOMMIT
_ROLLED_BACK = frozenset({1206, 1213})
_GOING_AWAY = frozenset({1053, 3032})
"""Server shutdown in progress, offline mode: as good as no server."""
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Target:
    """Where to connect and who must answer there."""

    shard: str
    epoch: int
    instance: str
    host: str
    port: int
    server_uuid: str
    tls: ssl.SSLContext | None
    role: str = "primary"

    @property
    def is_primary(self) -> bool:
        return self.role == "primary"

    @property
    def is_local(self) -> bool:
        """`host` is the path of a unix socket."""
        return not self.port

    @property
    def is_private(self) -> bool:
        """Nobody listens between here and there: a password may be sent as it is."""
        return self.tls is not None or self.is_local

    @property
    def title(self) -> str:
        """For errors: which instance it is, and of what."""
        return f"{self.instance}, {self.role} of shard {self.shard},"


class PreparedHere:
    """A statement on one connection: its number there, and the types it was last told."""

    __slots__ = ("is_held", "number", "types", "was_used")

    def __init__(self, number: int) -> None:
        self.number = number
        self.types = b""
        self.was_used = False
        self.is_held = False
        """A cursor is open on it."""


class Owner(Protocol):
    """The lane that a connection belongs to."""

    def lost(self, connection: "BackendConnection") -> None: ...

    def kill(self, connection: "BackendConnection") -> None: ...

    def interrupt(self, connection: "BackendConnection") -> Awaitable[None]:
        """End the statement that runs there, if one does; done when the server has done it."""


class BackendConnection(BackendState, asyncio.Protocol):
    """Made by `connect`. One command at a time: `start` (or `query`, `stream`), then its end."""

    __slots__ = (
        "_closing_reason",
        "_login",
        "_login_splitter",
        "_prefix",
        "_room",
        "_streamed",
        "account",
        "is_branch",
        "server_version",
        "statements",
        "stream_head",
        "target",
        "thread_id",
        "variant",
        "why_ended",
    )

    def __init__(self, target: Target, account: Account, variant: int) -> None:
        self.target = target
        self.account = account
        self.variant = variant
        self.alive = False
        self.obsolete = False
        """Its instance is no longer the primary of this epoch: to be closed after use."""
        self.draining = False
        """Its shard is moving: an open transaction may end here, and nothing else may begin."""
        self.why_ended = ""
        """Why the gate closed it in the middle of something; empty when it did not."""
        self.applied: Variables = variables.NONE
        self.in_transaction = False
        self.is_branch = False
        """In an XA transaction, which stays open when the server has rolled it back by itself."""
        self.transaction_state = b""
        """The eight characters of session_track_transaction_info, where that is switched on."""
        self.autocommit = True
        self.is_foreign = False
        """Something in its session is not known to the gate: not for anybody else."""
        self.is_idle = False
        """It lies in its lane, for anybody to take."""
        self.owner: Owner | None = None
        """The lane that it belongs to."""
        self.last_user: object = None
        self.idle_since = 0.0
        self.thread_id = 0
        self.server_version = ""
        self.stream_head: Head = NO_HEAD
        """How the last streamed answer began."""
        self.statements: dict[object, PreparedHere] = {}
        """Statements prepared here, by what sessions know them by; the oldest first."""
        self._streamed: tuple[object, int] | None = None
        """The statement that was prepared last for `begin_binary_stream`, and its number here."""
        self.scanner = Scanner(keeps_eof=not variant & c.CLIENT_DEPRECATE_EOF)
        self._prefix = b"\x03\x00\x01" if variant & c.CLIENT_QUERY_ATTRIBUTES else b"\x03"
        self._transport: asyncio.Transport | None = None
        self._sink: Sink | None = None
        self._room: asyncio.Future[None] | None = None
        """There while the server is slow to read what it is sent."""
        self._login: asyncio.Future[None] | None = None
        self._login_splitter = Splitter(1 << 16)
        self._closing_reason = ""

    def __repr__(self) -> str:
        return f"<backend {self.target.instance} thread {self.thread_id}>"

    @property
    def shard(self) -> str:
        return self.target.shard

    @property
    def epoch(self) -> int:
        return self.target.epoch

    @property
    def has_written(self) -> bool:
        """Rows were changed, or locked for that, since the transaction began."""
        return self.transaction_state[3:5] not in (b"", b"__")

    @property
    def busy(self) -> bool:
        return self._sink is not None

    # the way in

    async def enter(self) -> None:
        """Log in and make sure that the right server answered."""
        try:
            await self._log_in()
        except OSError as exc:  # ssl errors are among them
            raise self._unreachable(str(exc)) from exc
        if self._transport is None or self._transport.is_closing():
            raise self._unreachable("it closed the connection behind the login")
        self._transport = wired(self._transport, self)
        self._transport.resume_reading()
        self.alive = True
        await self.query(_FIRST_STATEMENT)
        if self.target.server_uuid:
            rows = (await self.query(_WHO)).values()
            found = (rows[0][0] or b"").decode()
            if found != self.target.server_uuid:
                raise self._unreachable(
                    f"another server answers there: its server_uuid is {found}, "
                    f"the routing table says {self.target.server_uuid}"
                )

    async def _log_in(self) -> None:
        greeting = packets.greeting(await self._packet())
        self.thread_id = greeting.connection_id
        self.server_version = greeting.server_version
        capabilities = (_ALWAYS | self.variant) & greeting.capabilities
        if self.variant & ~greeting.capabilities:
            raise self._unreachable("its server is too old for what the client asked for")
        sequence = 1
        if self.target.tls is not None:
            if not greeting.capabilities & c.CLIENT_SSL:
                raise self._unreachable("its server offers no TLS")
            capabilities |= c.CLIENT_SSL
            self._send(packets.tls_request(capabilities, MAX_PACKET, DEFAULT_ID), sequence)
            await self._encrypt(self.target.tls)
            sequence += 1
        login = ClientLogin(
            self.account.password, greeting.nonce, is_encrypted=self.target.is_private
        )
        answer = packets.Login(
            capabilities,
            MAX_PACKET,
            DEFAULT_ID,
            self.account.user,
            login.proof(),
            self.account.keyspace,
            c.CACHING_SHA2,
            {"program_name": "mitosis-gate", "_client_name": "mitosis-gate"},
        )
        self._send(answer.pack(), sequence)
        while not login.accepted:
            reply = login.answer(await self._packet())
            if reply is not None:
                self._send(reply, self._login_splitter.sequence)

    def _send(self, payload: bytes, sequence: int) -> None:
        assert self._transport is not None
        self._transport.write(frame(payload, sequence))
        self._login_splitter.sequence = sequence + 1

    async def _packet(self) -> bytes:
        while (payload := self._login_splitter.next()) is None:
            if self._transport is None:
                raise self._unreachable("it closed the connection during login")
            self._login = asyncio.get_running_loop().create_future()
            try:
                await self._login
            finally:
                self._login = None
        return payload

    async def _encrypt(self, tls: ssl.SSLContext) -> None:
        assert self._transport is not None
        self._transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, tls, server_hostname=self.target.instance
        )

    def _unreachable(self, why: str) -> BackendUnreachable:
        target = self.target
        return BackendUnreachable(
            f"cannot use {target.instance} ({target.host}:{target.port}), "
            f"{target.role} of shard {target.shard}: {why}"
        )

    # use

    def start(self, sink: Sink, packet: bytes, expect: int, strips: bool) -> None:
        """Send a command, framed already; its answer goes to `sink`."""
        self._sink = sink
        scanner = self.scanner  # what `begin` does, without the call
        scanner.expect = expect
        scanner.strips = strips
        scanner.done = False
        self._transport.write(packet)  # type: ignore[union-attr]  # set while alive

    def send(self, packet: bytes) -> None:
        """Send a command that has no answer: COM_STMT_CLOSE, COM_STMT_SEND_LONG_DATA."""
        assert self._transport is not None
        self._transport.write(packet)

    def start_query(self, sink: Sink, sql: bytes, strips: bool) -> None:
        self.start(sink, self.framed(sql), Expect.FIRST, strips)

    def framed(self, sql: bytes) -> bytes:
        """COM_QUERY for this connection, and for others of the same variant."""
        return frame(self._prefix + sql, 0)

    def hand_over(self, begun: bytes) -> ResultStream:
        """Make a stream of the last answer, of which `begun` is what its sink was given."""
        begun += self.scanner.hand_over()
        stream = self._sink = ResultStream(self)
        if begun:
            self.take_answer(begun)
        return stream

    async def query(self, sql: bytes, limit_bytes: int = _BUFFER_LIMIT) -> Result:
        """Run a statement and keep its whole answer; raises MysqlError and BackendLost."""
        self._must_be_free(sql)
        buffer = Buffer(self, limit_bytes)
        self.start_query(buffer, sql, strips=False)
        return await self._finished(buffer.result)

    async def prepare(self, key: object, sql: bytes) -> tuple["PreparedHere", bytes]:
        """Prepare a statement, remember it under `key`, and return also the server's answer."""
        self._must_be_free()
        if len(self.statements) >= _MOST_STATEMENTS:
            self._close_unused()
        answer = await self._prepared(sql)
        assert self.scanner.prepared is not None
        here = self.statements[key] = PreparedHere(self.scanner.prepared.statement_id)
        return here, answer

    def forget_statement(self, key: object) -> None:
        """Close a prepared statement, and with it a cursor that is open on it."""
        here = self.statements.pop(key, None)
        if here is not None and self.alive:
            self._close_statement(here.number)

    def _close_unused(self) -> None:
        """Make room for one more: the oldest goes that was not run since this was last asked."""
        for _ in range(2 * len(self.statements)):
            key, here = next(iter(self.statements.items()))
            if not here.was_used and not here.is_held:
                self.forget_statement(key)
                return
            here.was_used = False
            self.statements[key] = self.statements.pop(key)

    async def _prepared(self, sql: bytes) -> bytes:
        self._must_be_free()
        collector = Collector()
        packet = frame(bytes((c.COM_STMT_PREPARE,)) + sql, 0)
        self.start(collector, packet, Expect.PREPARED, False)
        return await self._finished(collector.answer)

    def _close_statement(self, number: int) -> None:
        self.send(frame(bytes((c.COM_STMT_CLOSE,)) + number.to_bytes(4, "little"), 0))

    async def stream(self, sql: bytes, binary: bool = False) -> ResultStream:
        """Run a statement; returns when its columns, or the OK of one without rows, are there.

        `binary`: its rows come in the format of prepared statements.
        """
        stream = await self.begin_binary_stream(sql) if binary else self.begin_stream(sql)
        try:
            await stream.start()
        except asyncio.CancelledError:
            stream.abandon()
            raise
        return stream

    def begin_stream(self, sql: bytes) -> ResultStream:
        """As `stream`, but wait for nothing: the caller does, with `ResultStream.start`."""
        self._must_be_free(sql)
        stream = ResultStream(self)
        self.start_query(stream, sql, strips=False)
        return stream

    async def begin_binary_stream(self, sql: bytes) -> ResultStream:
        """As `begin_stream`, by way of a statement that is prepared here.

        Only the last one is kept: the text of an execution over several shards has its values in
        it, and is rarely sent again.
        """
        key = (sql, self.applied)
        if self._streamed is None or self._streamed[0] != key:
            if self._streamed is not None:
                self._close_statement(self._streamed[1])
                self._streamed = None
            await self._prepared(sql)
            assert self.scanner.prepared is not None
            self._streamed = key, self.scanner.prepared.statement_id
        self._must_be_free(sql)
        stream = ResultStream(self)
        number = self._streamed[1].to_bytes(4, "little")
        packet = frame(bytes((c.COM_STMT_EXECUTE,)) + number + b"\0\1\0\0\0", 0)
        self.start(stream, packet, Expect.FIRST, strips=False)
        return stream

    def _must_be_free(self, sql: bytes = b"") -> None:
        if not self.alive:
            raise BackendLost(self._lost_text())
        self.may_begin(sql)
        assert self._sink is None, f"{self} runs another statement"

    def may_begin(self, sql: bytes = b"") -> None:
        """Raise ShardUnavailable when a statement may not begin here any more.

        What finishes a prepared transaction may: it began long before.
        """
        if self.draining and not self.in_transaction and not sql.startswith(b"XA "):
            raise ShardUnavailable(
                f"shard {self.shard} has just begun to move and nothing was sent: repeat"
            )

    async def _finished(self, future: "asyncio.Future[Answer]") -> Answer:
        try:
            return await future
        except asyncio.CancelledError:
            self.abandon("cancelled")
            raise

    def abandon(self, reason: str) -> None:
        """Drop the connection and end what still runs on it: mysqld would not notice by itself."""
        if self.owner is not None and self._sink is not None and self.alive:
            self.owner.kill(self)
        self.close(reason)

    def end(self, why: str) -> None:
        """Close it in the middle of a transaction, which the server rolls back.

        An answer that is on its way is not waited for: what its statement did is unknown, and
        nobody must be told otherwise.
        """
        self.why_ended = why
        self.abandon("ended")

    def watch_end(self, answer: bytes = b"") -> "asyncio.Future[None]":
        """Done when the statement that runs has ended. `answer`: see `Watched`."""
        assert self._sink is not None
        self._sink = watched = Watched(self._sink, answer)
        return watched.ended

    def pause(self) -> None:
        if self._transport is not None and self.alive:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and self.alive:
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def upload(self, packet: bytes) -> None:
        """Send part of a file, framed already; waits while the server is slow to read."""
        if not self.alive or self._transport is None:
            raise BackendLost(self._lost_text())
        self._transport.write(packet)
        if self._room is not None:
            await asyncio.shield(self._room)

    def close(self, reason: str) -> None:
        """Drop the connection; the server rolls back what is open. No effect the second time."""
        if self._transport is None:
            return
        self.alive = False
        self._closing_reason = self._closing_reason or reason
        metrics.BACKENDS_CLOSED.labels(reason=reason).inc()
        if self._sink is None and not self._transport.is_closing():
            self._transport.write(b"\x01\x00\x00\x00\x01")  # COM_QUIT
            self._transport.close()
        else:
            self._transport.abort()

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def take_answer(self, data: bytes) -> None:
        sink = self._sink
        if sink is None:
            self._unexpected(data)
            return
        scanner = self.scanner
        try:
            data = scanner.feed(data)
        except GateError as exc:
            self.close("broken answer")
            self._fail(BackendLost(f"{self.target.instance} answered in a broken way: {exc.text}"))
            return
        if scanner.done:
            self._sink = None
            if (
                self.in_transaction
                or not self.autocommit
                or scanner.error is not None
                or scanner.status & _STATE != c.STATUS_AUTOCOMMIT
            ):
                self._note_end()
            sink.answer_end(self, data)
        elif data:
            sink.answer_part(data)

    def _note_end(self) -> None:
        """Learn the state of the server's session from the last packet."""
        scanner = self.scanner
        if scanner.error is not None:
            if scanner.error.number in _ROLLED_BACK:
                self.in_transaction = self.is_branch
            elif not self.autocommit:
                self.in_transaction = True  # it may have begun one, which only an OK would tell
            return
        self.in_transaction = bool(scanner.status & c.STATUS_IN_TRANS)
        self.autocommit = bool(scanner.status & c.STATUS_AUTOCOMMIT)
        if scanner.status & c.STATUS_SESSION_STATE_CHANGED:
            changed = scanner.ok.changes.transaction_state
            self.transaction_state = changed or self.transaction_state

    def _unexpected(self, data: bytes) -> None:
        if not self.alive and self._transport is not None and not self._closing_reason:
            self._login_splitter.feed(data)
            if self._login is not None and not self._login.done():
                self._login.set_result(None)
            return
        # a server that shuts down says so to idle connections
        self.close("unasked answer")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.alive = False
        self.resume_writing()
        if self._login is not None and not self._login.done():
            self._login.set_result(None)
        self._fail(BackendLost(self._lost_text()))
        if self.owner is not None:
            self.owner.lost(self)

    def _lost_text(self) -> str:
        why = self.why_ended or self._closing_reason
        return (
            f"the connection to {self.target.title} broke while the statement ran"
            f"{': ' if why else ''}{why}; what it did there is unknown"
        )

    def _fail(self, problem: GateError) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.answer_lost(self, problem)


async def connect(
    target: Target, account: Account, variant: int, limit_seconds: float
) -> BackendConnection:
    """Raises BackendUnreachable, or MysqlError when the server refuses the account."""
    connection = BackendConnection(target, account, variant)
    loop = asyncio.get_running_loop()
    outcome = "failed"
    try:
        async with asyncio.timeout(limit_seconds):
            if target.is_local:
                await loop.create_unix_connection(lambda: connection, target.host)
            else:
                await loop.create_connection(lambda: connection, target.host, target.port)
            await connection.enter()
        outcome = "accepted"
    except MysqlError as exc:
        if exc.number in _GOING_AWAY:
            raise connection._unreachable(exc.text) from exc
        outcome = "refused"
        raise
    except TimeoutError as exc:
        raise connection._unreachable(f"no answer within {limit_seconds:g} s") from exc
    except OSError as exc:
        raise connection._unreachable(str(exc)) from exc
    except BackendLost as exc:
        raise connection._unreachable(exc.text) from exc
    finally:
        metrics.BACKEND_CONNECTS.labels(instance=target.instance, outcome=outcome).inc()
        if outcome != "accepted":
            connection.close("login failed")
    return connection
