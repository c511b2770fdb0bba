"""The listener: accepts clients, sees them through the login, hands them to sessions.

Before the login a client gets little: bytes are read exactly as its packets say, one packet of at
most 64 KiB at a time, within a time limit. Whatever is wrong ends the connection; a client that
goes on after a refusal talks to a closed socket.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from typing import Protocol

from mitosis_gate import metrics
from mitosis_gate.backends.account import Account
from mitosis_gate.errors import (
    AccessDeniedToDatabase,
    BadHandshake,
    GateError,
    KillDenied,
    LoginRefused,
    MalformedPacket,
    NoSuchThread,
    PacketsOutOfOrder,
    PacketTooLarge,
    ShuttingDown,
    TlsRequired,
    TooManyConnections,
    UnknownDatabase,
    UnsupportedLogin,
)
from mitosis_gate.session import Services, Session
from mitosis_gate.wire import auth, charsets, packets
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.codec import frame

log = logging.getLogger(__name__)

LOGIN_PACKET_BYTES = 64 << 10
TICK_SECONDS = 1.0
CONNECTION_IDS_PER_WORKER = 1 << 24
BACKLOG = 1024
_OFFERED = (
    c.CLIENT_LONG_PASSWORD
    | c.CLIENT_FOUND_ROWS
    | c.CLIENT_LONG_FLAG
    | c.CLIENT_CONNECT_WITH_DB
    | c.CLIENT_NO_SCHEMA
    | c.CLIENT_ODBC
    | c.CLIENT_IGNORE_SPACE
    | c.CLIENT_PROTOCOL_41
    | c.CLIENT_INTERACTIVE
    | c.CLIENT_IGNORE_SIGPIPE
    | c.CLIENT_TRANSACTIONS
    | c.CLIENT_RESERVED
    | c.CLIENT_SECURE_CONNECTION
    | c.CLIENT_MULTI_STATEMENTS
    | c.CLIENT_MULTI_RESULTS
    | c.CLIENT_PS_MULTI_RESULTS
    | c.CLIENT_PLUGIN_AUTH
    | c.CLIENT_CONNECT_ATTRS
    | c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    | c.CLIENT_SESSION_TRACK
    | c.CLIENT_DEPRECATE_EOF
    | c.CLIENT_QUERY_ATTRIBUTES
)


TlsSource = Callable[[], ssl.SSLContext | None]


class Book(Protocol):
    """What a login needs of the server."""

    services: Services
    key: auth.ServerKey
    tls: TlsSource
    is_draining: bool

    def may_enter(self) -> bool: ...

    def entered(self, session: Session) -> None: ...

    def left(self, entrance: "Entrance") -> None: ...


class Entrance(asyncio.BufferedProtocol):
    """One client until its login is accepted.

    Its buffer is always as long as what is due, so that no byte is read that belongs to TLS or to
    the session.
    """

    def __init__(self, book: Book, connection_id: int) -> None:
        self._book = book
        self._id = connection_id
        self._nonce = auth.new_nonce()
        self._buffer = bytearray(4)
        self._filled = 0
        self._is_header = True
        self._sequence = 0
        self._transport: asyncio.Transport | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._upgrade: asyncio.Task[None] | None = None
        self._is_encrypted = False
        self._login: packets.Login | None = None
        self._proof: auth.ServerLogin | None = None
        self._candidates: tuple[Account, ...] = ()
        self._capabilities = _OFFERED
        self._is_over = False
        self._peer = "?"

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._transport is not None:
            return  # the second time, by TLS; _encrypt keeps the new transport
        self._transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "socket"
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(self._book.services.settings.login_seconds, self._too_late)
        if self._book.is_draining:
            self._refuse(ShuttingDown("Server shutdown in progress"))
        elif not self._book.may_enter():
            self._refuse(TooManyConnections("Too many connections"))
        else:
            self._greet()

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled < len(self._buffer) or self._is_over:
            return
        if self._is_header:
            self._header()
        else:
            payload = bytes(self._buffer)
            self._expect(4, is_header=True)
            self._packet(payload)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_over:
            self._broken("closed by the client before its login was complete", "Unfinished")
        if self._limit is not None:
            self._limit.cancel()
        if self._upgrade is not None:
            self._upgrade.cancel()
        self._book.left(self)

    # packets

    def _expect(self, size: int, is_header: bool) -> None:
        self._buffer = bytearray(size)
        self._filled = 0
        self._is_header = is_header

    def _header(self) -> None:
        size = int.from_bytes(self._buffer[:3], "little")
        number = self._buffer[3]
        if number != self._sequence:
            self._refuse(PacketsOutOfOrder("Got packets out of order"))
        elif size > LOGIN_PACKET_BYTES:
            self._refuse(PacketTooLarge("the login packet is too large"))
        elif size == 0 and self._proof is None:
            self._refuse(MalformedPacket("the login packet is empty"))
        else:
            self._sequence = (self._sequence + 1) & 0xFF
            if size:
                self._expect(size, is_header=False)
            else:
                self._expect(4, is_header=True)
                self._packet(b"")

    def _send(self, payload: bytes) -> None:
        assert self._transport is not None
        self._transport.write(frame(payload, self._sequence))
        self._sequence = (self._sequence + 1) & 0xFF

    def _packet(self, payload: bytes) -> None:
        try:
            if self._proof is not None:
                self._go_on(self._proof.answer(payload))
            else:
                self._read_login(packets.login(payload), len(payload))
        except GateError as exc:
            self._refuse(exc)

    # steps of the login

    def _greet(self) -> None:
        if self._book.tls() is not None:
            self._capabilities |= c.CLIENT_SSL
        greeting = packets.Greeting(
            self._book.services.topology.server_version,
            self._id,
            self._nonce,
            self._capabilities,
            charsets.DEFAULT_ID,
            c.STATUS_AUTOCOMMIT,
            c.CACHING_SHA2,
        )
        self._send(greeting.pack())

    def _read_login(self, login: packets.Login, size: int) -> None:
        if login.capabilities & c.CLIENT_SSL and not self._is_encrypted:
            if size != packets.LOGIN_HEAD_BYTES:
                raise BadHandshake("TLS must begin before the user is named")
            self._begin_tls()
            return
        if size == packets.LOGIN_HEAD_BYTES:
            raise BadHandshake("the login packet names no user")
        if self._book.services.settings.require_tls and not self._is_encrypted:
            raise TlsRequired("connections to this gate must use TLS")
        if not login.capabilities & c.CLIENT_PLUGIN_AUTH:
            raise UnsupportedLogin("the client knows no caching_sha2_password: use a newer one")
        self._login = login
        self._candidates = tuple(self._book.services.accounts.named(login.user))
        self._proof = auth.ServerLogin(
            login.user,
            self._peer.rpartition(":")[0],
            [a.password for a in self._candidates],
            self._nonce,
            self._book.key,
            self._is_encrypted,
        )
        self._go_on(self._proof.start(login.plugin, login.proof))

    def _go_on(self, reply: bytes) -> None:
        assert self._proof is not None
        if reply:
            self._send(reply)
        if self._proof.accepted:
            self._enter(self._proof.password)

    def _begin_tls(self) -> None:
        context = self._book.tls()
        if context is None:
            raise BadHandshake("the gate has no certificate")
        assert self._transport is not None
        self._is_encrypted = True
        # A quick client's TLS is here already and must not be read as packets before the task runs.
        self._transport.pause_reading()
        self._upgrade = asyncio.get_running_loop().create_task(self._encrypt(context))

    async def _encrypt(self, context: ssl.SSLContext) -> None:
        assert self._transport is not None
        plain = self._transport
        try:
            self._transport = await asyncio.get_running_loop().start_tls(
                plain,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._book.services.settings.login_seconds,
            )
        except OSError as exc:  # ssl errors are among them
            self._broken(f"TLS failed: {exc}", "Tls")
            plain.abort()
        finally:
            self._upgrade = None

    def _enter(self, password: str) -> None:
        """The password is proven; from here on a session has the transport."""
        login = self._login
        assert login is not None and self._transport is not None
        opened = tuple(a for a in self._candidates if a.password == password)
        services = self._book.services
        if login.database and not services.topology.knows(login.database):
            raise UnknownDatabase(f"Unknown database '{login.database}'")
        if login.database and all(a.keyspace != login.database for a in opened):
            raise AccessDeniedToDatabase(
                f"Access denied for user '{login.user}' to database '{login.database}'"
            )
        if charsets.by_id(login.charset) is None:
            raise BadHandshake(
                f"the gate does not take character set {login.charset} from clients: use utf8mb4"
            )
        self._is_over = True
        if self._limit is not None:
            self._limit.cancel()
        metrics.LOGINS.labels(outcome="accepted").inc()
        common = packets.Login(
            login.capabilities & self._capabilities,
            login.max_packet,
            login.charset,
            login.user,
            database=login.database,
            attributes=login.attributes,
        )
        session = Session(services, self._book, self._id, common, opened, self._peer)  # type: ignore[arg-type]
        self._send(packets.Ok().pack())
        transport = self._transport
        transport.pause_reading()
        transport.set_protocol(session)
        session.adopt(transport)
        self._book.left(self)
        self._book.entered(session)
        transport.resume_reading()

    # ends

    def _refuse(self, problem: GateError) -> None:
        """Tell the client and end; nothing that it sends afterwards is read."""
        self._broken(problem.text, type(problem).__name__, isinstance(problem, LoginRefused))
        assert self._transport is not None
        self._transport.write(frame(packets.error_packet(problem), self._sequence))
        self._transport.close()

    def _too_late(self) -> None:
        self._broken("no login in time", "Timeout")
        if self._transport is not None:
            self._transport.abort()

    def _broken(self, why: str, kind: str, refused: bool = False) -> None:
        if self._is_over:
            return
        self._is_over = True
        log.info("no login from %s: %s", self._peer, why)
        metrics.LOGINS.labels(outcome="refused" if refused else "broken").inc()
        if not refused:
            metrics.PROTOCOL_VIOLATIONS.labels(kind=kind).inc()


class Server:
    """All clients of this process."""

    def __init__(
        self,
        services: Services,
        tls: TlsSource = lambda: None,
        key: auth.ServerKey | None = None,
        worker: int = 0,
    ) -> None:
        """`tls` gives the certificate for clients as it is now, None for no TLS."""
        self.services = services
        self.tls = tls
        self.key = key or auth.ServerKey()
        self.is_draining = False
        self.sessions: dict[int, Session] = {}
        first = worker * CONNECTION_IDS_PER_WORKER + 1
        self._first_id = self._next_id = first
        self._entrances: set[Entrance] = set()
        self._listener: asyncio.Server | None = None
        self._started_at = time.monotonic()
        self._empty: asyncio.Event = asyncio.Event()

    async def start(self, host: str, port: int, reuse_port: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            self._accept, host, port, backlog=BACKLOG, reuse_port=reuse_port or None
        )

    @property
    def is_serving(self) -> bool:
        return self._listener is not None and not self.is_draining

    @property
    def port(self) -> int:
        assert self._listener is not None
        listening: socket.socket = self._listener.sockets[0]
        port: int = listening.getsockname()[1]
        return port

    def _accept(self) -> Entrance:
        entrance = Entrance(self, self._new_id())
        self._entrances.add(entrance)
        return entrance

    def _new_id(self) -> int:
        """The next number that no session has; they begin again after 16 million."""
        while True:
            number = self._next_id
            last = self._first_id + CONNECTION_IDS_PER_WORKER - 2
            self._next_id = number + 1 if number < last else self._first_id
            if number not in self.sessions:
                return number

    async def run(self) -> None:
        """Watch over sessions that wait for too long, until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            for session in tuple(self.sessions.values()):
                session.tick(now)

    async def drain(self, limit_seconds: float) -> None:
        """Accept nobody, end sessions as their transactions end, and the rest at the limit."""
        self.is_draining = True
        if self._listener is not None:
            self._listener.close()
        for session in tuple(self.sessions.values()):
            session.drain()
        try:
            async with asyncio.timeout(limit_seconds):
                while self.sessions:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            log.warning("%d clients were still busy after %g s", len(self.sessions), limit_seconds)
            for session in tuple(self.sessions.values()):
                session.kill_connection()

    # what entrances and sessions use

    def may_enter(self) -> bool:
        clients = len(self.sessions) + len(self._entrances)
        return clients <= self.services.settings.max_clients

    def entered(self, session: Session) -> None:
        self.sessions[session.connection_id] = session
        metrics.CLIENTS.inc()

    def left(self, entrance: Entrance) -> None:
        self._entrances.discard(entrance)

    def ended(self, session: Session) -> None:
        if self.sessions.pop(session.connection_id, None) is not None:
            metrics.CLIENTS.dec()
        if not self.sessions:
            self._empty.set()

    def kill(self, connection_id: int, query_only: bool, user: str) -> None:
        session = self.sessions.get(connection_id)
        if session is None:
            raise NoSuchThread(f"Unknown thread id: {connection_id}")
        if session.user != user:
            raise KillDenied(f"You are not owner of thread {connection_id}")
        if query_only:
            session.kill_query()
        else:
            session.kill_connection()

    def uptime_and_clients(self) -> tuple[int, int]:
        return int(time.monotonic() - self._started_at), len(self.sessions)
