"""One client until its login is accepted: greeting, TLS, proof; then a session has it.

Before the login a client gets little: bytes are read exactly as its packets say, one packet of at
most 64 KiB at a time, within a time limit. Whatever is wrong ends the connection; a client that
goes on after a refusal talks to a closed socket.
"""

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from mitosis_gate import metrics
from mitosis_gate.backends.account import Account
from mitosis_gate.coded import CodedProtocol, CodedTransport, Coding
from mitosis_gate.errors import (
    AccessDeniedToDatabase,
    BadHandshake,
    GateError,
    LoginRefused,
    MalformedPacket,
    PacketsOutOfOrder,
    PacketTooLarge,
    ShuttingDown,
    TlsRequired,
    TooManyConnections,
    UnknownDatabase,
    UnsupportedLogin,
)
from mitosis_gate.limits import Budget, Limits
from mitosis_gate.session import Services, Session
from mitosis_gate.session.limited import LimitedSession
from mitosis_gate.wire import auth, charsets, packets, proxy
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.codec import frame
from mitosis_gate.wire.compress import Compression, Zlib, Zstd
from mitosis_gate.wire.optional_metadata import OptionalMetadata

log = logging.getLogger(__name__)

LOGIN_PACKET_BYTES = 64 << 10
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
    | c.CLIENT_OPTIONAL_RESULTSET_METADATA
    | c.CLIENT_QUERY_ATTRIBUTES
)

_COMPRESSION = {"zlib": c.CLIENT_COMPRESS, "zstd": c.CLIENT_ZSTD_COMPRESSION_ALGORITHM}
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

TlsSource = Callable[[], ssl.SSLContext | None]


class Book(Protocol):
    """What a login needs of the server."""

    services: Services
    key: auth.ServerKey
    tls: TlsSource
    is_draining: bool
    balancers: "list[Network]"
    """Whose connections begin with a PROXY header."""

    def may_enter(self) -> bool: ...

    def admit(
        self, opened: Sequence[Account], tls: ssl.SSLObject | None, host: str
    ) -> tuple[Account, ...]:
        """The accounts for which the connection is good enough; raises AccessDenied."""

    def charge(self, account: Account) -> tuple[Limits, Budget]:
        """Count one connection more for this user; raises UserConnections."""

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
        self._take: Callable[[bytes], None] = self._header
        """What to do with the bytes that are due, once they are all there."""
        self._proxy_first = b""
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
        self._peer = self._host = "?"

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._transport is not None:
            return  # the second time, by TLS; _encrypt keeps the new transport
        self._transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self._host = peer[0] if isinstance(peer, tuple) else "socket"
        self._peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "socket"
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(self._book.services.settings.login_seconds, self._too_late)
        if self._book.is_draining:
            self._refuse(ShuttingDown("Server shutdown in progress"))
        elif not self._book.may_enter():
            limit = self._book.services.settings.max_clients
            self._refuse(TooManyConnections(f"Too many connections: --max-clients = {limit}"))
        elif self._is_balancer():
            self._take = self._proxy_header
            self._expect(proxy.FIRST_BYTES)
        else:
            self._greet()

    def _is_balancer(self) -> bool:
        networks = self._book.balancers
        if not networks:
            return False
        try:
            address = ipaddress.ip_address(self._host.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in networks)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled < len(self._buffer) or self._is_over:
            return
        self._take(bytes(self._buffer))

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

    # the PROXY header

    def _proxy_header(self, first: bytes) -> None:
        self._proxy_first = first
        try:
            if proxy.is_line(first):
                self._take = self._proxy_line
                self._expect(1)
                return
            proxy.must_be_signed(first)
        except GateError as exc:
            self._refuse(exc)
            return
        self._take = self._proxy_head
        self._expect(proxy.HEAD_BYTES - proxy.FIRST_BYTES)

    def _proxy_head(self, more: bytes) -> None:
        self._proxy_first += more
        try:
            rest = proxy.rest_of(self._proxy_first)
        except GateError as exc:
            self._refuse(exc)
            return
        self._take = self._proxy_rest
        if rest:
            self._expect(rest)
        else:
            self._proxy_rest(b"")

    def _proxy_line(self, byte: bytes) -> None:
        """Byte by byte, because what follows the line belongs to nobody yet."""
        self._proxy_first += byte
        if self._proxy_first.endswith(b"\r\n"):
            self._learn_source(lambda: proxy.read_line(self._proxy_first[:-2]))
        elif len(self._proxy_first) >= proxy.LONGEST_LINE:
            self._refuse(BadHandshake("the PROXY header does not end"))
        else:
            self._expect(1)

    def _proxy_rest(self, rest: bytes) -> None:
        self._learn_source(lambda: proxy.read(self._proxy_first, rest))

    def _learn_source(self, read: Callable[[], proxy.Source]) -> None:
        try:
            source = read()
        except GateError as exc:
            self._refuse(exc)
            return
        if source.host:
            self._host = source.host
            self._peer = f"{source.host}:{source.port}"
        self._await_packet()
        self._greet()

    # packets

    def _expect(self, size: int) -> None:
        self._buffer = bytearray(size)
        self._filled = 0

    def _await_packet(self) -> None:
        self._take = self._header
        self._expect(4)

    def _body(self, payload: bytes) -> None:
        self._await_packet()
        self._packet(payload)

    def _header(self, head: bytes) -> None:
        size = int.from_bytes(head[:3], "little")
        number = head[3]
        if number != self._sequence:
            self._refuse(PacketsOutOfOrder("Got packets out of order"))
        elif size > LOGIN_PACKET_BYTES:
            self._refuse(PacketTooLarge("the login packet is too large"))
        elif size == 0 and self._proof is None:
            self._refuse(MalformedPacket("the login packet is empty"))
        else:
            self._sequence = (self._sequence + 1) & 0xFF
            if size:
                self._take = self._body
                self._expect(size)
            else:
                self._body(b"")

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
        if self._book.services.settings.local_infile:
            self._capabilities |= c.CLIENT_LOCAL_FILES
        for name in self._book.services.settings.compression:
            self._capabilities |= _COMPRESSION[name]
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
        native = self._book.services.settings.native_passwords
        if not login.capabilities & c.CLIENT_PLUGIN_AUTH and not native:
            raise UnsupportedLogin("the client knows no caching_sha2_password: use a newer one")
        self._login = login
        self._candidates = tuple(self._book.services.accounts.named(login.user))
        self._proof = auth.ServerLogin(
            login.user,
            self._host,
            [a.password for a in self._candidates],
            self._nonce,
            self._book.key,
            self._is_encrypted,
            native,
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
        tls = self._transport.get_extra_info("ssl_object") if self._is_encrypted else None
        opened = self._book.admit(opened, tls, self._host)
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
        home = next((a for a in opened if a.keyspace == login.database), opened[0])
        limits, budget = self._book.charge(home)
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
        kind = LimitedSession if limits.counts_statements else Session
        session = kind(services, self._book, self._id, common, opened, self._peer)  # type: ignore[arg-type]
        session.charge(limits, budget, home)
        self._send(packets.Ok().pack())
        self._hand_over(session, login)
        self._book.left(self)
        self._book.entered(session)
        session.read_on()

    def _hand_over(self, session: Session, login: packets.Login) -> None:
        """From here on the session has the transport, paused; or what codes its bytes."""
        transport = self._transport
        assert transport is not None
        codings = tuple(_codings(session, login, login.capabilities & self._capabilities))
        if not codings:
            session.adopt(transport)
            return
        transport.pause_reading()
        protocol: asyncio.Protocol = session
        for coding in reversed(codings):
            protocol = CodedProtocol(protocol, transport, coding)
        transport.set_protocol(protocol)
        for coding in codings:
            transport = CodedTransport(transport, coding)
        session.connection_made(transport)

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


def _codings(session: Session, login: packets.Login, agreed: int) -> Iterator[Coding]:
    """What stands between the socket and the session, from the socket on."""
    if agreed & (c.CLIENT_COMPRESS | c.CLIENT_ZSTD_COMPRESSION_ALGORITHM):
        zlib = agreed & c.CLIENT_COMPRESS
        yield Compression(Zlib() if zlib else Zstd(login.compression_level))
    if agreed & c.CLIENT_OPTIONAL_RESULTSET_METADATA:
        keeps_eof = not agreed & c.CLIENT_DEPRECATE_EOF
        yield OptionalMetadata(keeps_eof, lambda: session.own("resultset_metadata") != "NONE")
