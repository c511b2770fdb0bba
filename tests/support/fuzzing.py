"""A gate in one process without sockets or servers, to throw bytes at.

`World` holds a `Server` whose clients are `Wire`s (a transport in memory) and whose shards are
backends in memory that answer each command as a mysqld would: OK, rows, or an error, chosen by the
statement. It notices what must never happen: an exception that nobody expected, a session that does
not come to rest, a byte of an answer before the login was proven.
"""

import asyncio
import logging
import re
import struct
import traceback
from types import SimpleNamespace
from typing import Any

from keyspaces import SCHEMA

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection, Target
from mitosis_gate.backends.pool import Pool
from mitosis_gate.backends.scratch import Scratch
from mitosis_gate.backends.topology import Topology
from mitosis_gate.executor.commit import Commits
from mitosis_gate.executor.decisions import Decisions
from mitosis_gate.executor.finish import Finisher
from mitosis_gate.executor.merging.streams import Limits, Merger
from mitosis_gate.executor.run import Executor
from mitosis_gate.executor.sequences import Sequences
from mitosis_gate.planner.build import Planner
from mitosis_gate.server import Server
from mitosis_gate.session import Services
from mitosis_gate.settings import BackendTls, Settings
from mitosis_gate.wire import auth, packets
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.auth import ServerKey
from mitosis_gate.wire.codec import frame
from mitosis_routing.keyspace import equal_ranges
from mitosis_routing.table import (
    InstanceRoute,
    Role,
    RoutingTable,
    ShardRoute,
    ShardState,
    TableRule,
)

ACCOUNT = Account("shop", "app", "secret")
WITNESS = Account("shop", "witness", "of all")
"""Who does nothing wrong; another user, because one's own sessions may be killed."""
RULES = (
    TableRule("users", "user_id"),
    TableRule("orders", "user_id"),
    TableRule("countries", reference=True),
)
CAPABILITIES = (
    c.CLIENT_PROTOCOL_41
    | c.CLIENT_SECURE_CONNECTION
    | c.CLIENT_PLUGIN_AUTH
    | c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    | c.CLIENT_CONNECT_WITH_DB
    | c.CLIENT_MULTI_STATEMENTS
    | c.CLIENT_DEPRECATE_EOF
    | c.CLIENT_CONNECT_ATTRS
)
MOST_TURNS = 5_000
"""Turns of the loop after which a session that is still at work counts as hung."""
MAX_PACKET = 1 << 20


class Wire(asyncio.Transport):
    """The gate's end of a client's connection."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.protocol = protocol
        self.said = bytearray()
        self.is_closed = False
        self._is_reading = True
        self._waiting: list[bytes] = []
        protocol.connection_made(self)

    # what the gate calls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_closed:
            self.said += data

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.protocol.connection_lost(None)

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            asyncio.get_running_loop().call_soon(self.feed, data)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    # what the test calls

    def feed(self, data: bytes) -> None:
        """Bytes of the client, given to the gate as a socket would."""
        while data and not self.is_closed:
            if not self._is_reading:
                self._waiting.append(data)
                return
            protocol = self.protocol
            if isinstance(protocol, asyncio.BufferedProtocol):
                room = protocol.get_buffer(-1)
                part = data[: len(room)]
                room[: len(part)] = part
                data = data[len(part) :]
                protocol.buffer_updated(len(part))
            else:
                assert isinstance(protocol, asyncio.Protocol)
                protocol.data_received(data)
                data = b""

    def payloads(self) -> list[bytes]:
        """Take what the gate has said, without the headers."""
        found = []
        at = 0
        while at + 4 <= len(self.said):
            end = at + 4 + int.from_bytes(self.said[at : at + 3], "little")
            found.append(bytes(self.said[at + 4 : end]))
            at = end
        assert at == len(self.said), "the gate has said part of a packet"
        del self.said[:]
        return found


class _Mysqld(asyncio.Transport):
    """The gate's end of a connection to a shard: answers each command when the loop turns."""

    def __init__(self, connection: BackendConnection) -> None:
        super().__init__()
        self._connection = connection
        self.is_closed = False
        self._statements = 0
        self._texts: dict[int, bytes] = {}

    def write(self, data: bytes | bytearray | memoryview) -> None:
        data = bytes(data)
        while len(data) > 4 and not self.is_closed:
            end = 4 + int.from_bytes(data[:3], "little")
            answer = self._answer(data[4:end])
            if answer:
                asyncio.get_running_loop().call_soon(self._say, answer)
            data = data[end:]

    def _say(self, answer: bytes) -> None:
        if not self.is_closed:
            self._connection.data_received(answer)

    def _answer(self, payload: bytes) -> bytes:
        kind = payload[0]
        if kind in (c.COM_STMT_CLOSE, c.COM_STMT_SEND_LONG_DATA, c.COM_QUIT):
            return b""
        if kind == c.COM_STMT_PREPARE:
            self._statements += 1
            self._texts[self._statements] = payload
            parameters = payload.count(b"?")
            return self._prepared(parameters)
        if kind == c.COM_STMT_EXECUTE:
            prepared = self._texts.get(int.from_bytes(payload[1:5], "little"), b"")
            if b"SELECT" in prepared.upper():
                return self._rows(prepared, binary=True)
        if kind == c.COM_FIELD_LIST:
            return _framed([packets.result_end(c.STATUS_AUTOCOMMIT, 0, not self._keeps_eof())])
        if b"SELECT" in payload.upper() and kind == c.COM_QUERY:
            return self._rows(payload)
        if b"error" in payload:
            return _framed([packets.error_payload(1064, "42000", "You have an error")])
        return _framed([packets.Ok().pack()])

    def _keeps_eof(self) -> bool:
        return self._connection.scanner.keeps_eof

    def _prepared(self, parameters: int) -> bytes:
        column = packets.Column("?").pack()
        found = [packets.Prepared(self._statements, 0, parameters).pack(), *[column] * parameters]
        if parameters and self._keeps_eof():
            found.append(packets.eof(c.STATUS_AUTOCOMMIT))
        return _framed(found)

    def _rows(self, payload: bytes, binary: bool = False) -> bytes:
        """Right for simple SELECTs, an error for all others; nobody has privileges."""
        count = _columns(payload[1:])
        if not count:
            return _framed([packets.error_payload(1064, "42000", "You have an error")])
        value = b"0" if b"USER_PRIVILEGES" in payload else b"1"
        row = packets.text_row([value] * count)
        if binary:
            row = b"\0" + bytes((count + 9) // 8) + row
        rows = [row] * 3
        columns = [packets.Column("a").pack()] * count
        ends = not self._keeps_eof()
        return _framed(packets.result_set(columns, rows, c.STATUS_AUTOCOMMIT, 0, ends))

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._connection.connection_lost(None)

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


_SIMPLE = re.compile(
    rb"(?:\x00\x01)?SELECT (?:(?:name|COUNT\(\*\)) FROM users.*|(\*) FROM users.*|[\w@.]+"
    rb"|GET_LOCK\('a', 1\)|COUNT\(\*\) FROM information_schema.USER_PRIVILEGES.*"
    rb"|(@@[\w.]+(?:, *@@[\w.]+)*))",
    re.DOTALL,
)


def _columns(sql: bytes) -> int:
    """How many a simple SELECT has, `*` being those of `users`; 0: it is not simple."""
    found = _SIMPLE.fullmatch(sql)
    if found is None:
        return 0
    return 2 if found[1] else (found[2] or b"").count(b",") + 1


def _framed(payloads: list[bytes]) -> bytes:
    return b"".join(frame(p, n) for n, p in enumerate(payloads, 1))


class _Connect:
    """In place of `backend.connect`."""

    def __init__(self) -> None:
        self.threads = 0

    async def __call__(
        self, target: Target, account: Account, variant: int, limit_seconds: float
    ) -> BackendConnection:
        connection = BackendConnection(target, account, variant)
        connection.connection_made(_Mysqld(connection))
        self.threads += 1
        connection.thread_id = self.threads
        connection.alive = True
        return connection


class World(logging.Handler):
    """Also the log's handler: an error in the log is a finding. Use as a context manager."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.findings: list[str] = []
        settings = Settings(
            backend_tls=BackendTls.DISABLED,
            hold_seconds=5,
            pool_wait_seconds=5,
            max_packet_bytes=MAX_PACKET,
            max_clients=1000,
            login_seconds=3600,
        )
        topology = Topology(settings)
        ranges = equal_ranges(64, 2)
        shards = tuple(
            ShardRoute(
                f"shop-{r}",
                r,
                ShardState.SERVING,
                1,
                (InstanceRoute(f"shop-{r}-1", Role.PRIMARY, "127.0.0.1"),),
            )
            for r in ranges
        )
        table = RoutingTable("shop", 1, 64, shards, RULES)
        topology.obey("shop", table)
        planner = Planner(SCHEMA, topology.table("shop"))
        planners: Any = SimpleNamespace()
        planners.planner = lambda keyspace: planner

        async def ready(keyspace: str) -> Planner:
            return planner

        async def known_again(keyspace: str, name: str) -> Planner:
            return planner

        async def look(keyspace: str) -> None:
            pass

        async def is_newer(keyspace: str, asked: Planner) -> bool:
            return asked is not planner

        planners.ready = planners.refresh = ready
        planners.known_again, planners.look, planners.is_newer = known_again, look, is_newer
        executor = Executor(
            planners,
            topology,
            Merger(Limits(4, 1 << 20)),
            Sequences(topology, planners, 1000, lambda keyspace: 1),
            Finisher(Scratch(settings), settings),
        )
        known = {account.user: [account] for account in (ACCOUNT, WITNESS)}
        accounts: Any = SimpleNamespace(
            named=lambda user: known.get(user, []), user=lambda account: None
        )
        services = Services(
            settings=settings,
            topology=topology,
            accounts=accounts,
            planners=planners,
            execute=executor.execute,
            commits=Commits.of(Decisions(topology, planners), settings, {}),
        )
        self.topology = topology
        self.server = Server(services, key=ServerKey())

    def __enter__(self) -> "World":
        logging.getLogger().addHandler(self)
        self._connect = Pool._open.__globals__["backend"].connect
        Pool._open.__globals__["backend"].connect = _Connect()
        asyncio.get_running_loop().set_exception_handler(self._unexpected)
        return self

    def __exit__(self, *_: object) -> None:
        for session in tuple(self.server.sessions.values()):
            session.kill_connection()
        self.topology.close()
        Pool._open.__globals__["backend"].connect = self._connect
        logging.getLogger().removeHandler(self)
        asyncio.get_running_loop().set_exception_handler(None)

    def emit(self, record: logging.LogRecord) -> None:
        self.findings.append(self.format(record))

    def _unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        problem = context.get("exception")
        where = "".join(traceback.format_exception(problem)) if problem else ""
        self.findings.append(f"{context.get('message')}: {where}")

    def client(self) -> Wire:
        """Connected, greeted, not logged in."""
        return Wire(self.server._accept())

    def member(self, account: Account = ACCOUNT, capabilities: int = CAPABILITIES) -> Wire:
        """Logged in with the right password; what was said until then is taken."""
        wire = self.client()
        login = a_login(
            greeted(wire), account.password, user=account.user, capabilities=capabilities
        )
        wire.feed(frame(login.pack(), 1))
        said = wire.payloads()
        assert said[-1][:1] == b"\0", f"the login was refused: {said}"
        return wire

    async def rest(self, wire: Wire) -> None:
        """Turn the loop until nothing is at work for this client."""
        for _ in range(MOST_TURNS):
            await asyncio.sleep(0)
            session = wire.protocol
            at_work = getattr(session, "_task", None) is not None or (
                getattr(session, "_active", None) is not None
            )
            if wire.is_closed or not (at_work or wire._waiting):
                await asyncio.sleep(0)
                if wire.is_closed or getattr(session, "_task", None) is None:
                    return
        self.findings.append(f"a session did not come to rest: {wire.protocol!r}")

    async def serves(self, wire: Wire) -> bool:
        """Whether this client, which did nothing wrong, gets the answers it should."""
        wire.feed(frame(b"\x0e", 0))
        await self.rest(wire)
        alive = wire.payloads() == [packets.Ok().pack()]
        wire.feed(frame(b"\x03SELECT name FROM users WHERE user_id = 7", 0))
        await self.rest(wire)
        return alive and len(wire.payloads()) == 1 + 1 + 3 + 1


def greeted(wire: Wire) -> packets.Greeting:
    (first,) = wire.payloads()
    return packets.greeting(first)


def a_login(greeting: packets.Greeting, password: str = "secret", **changes: Any) -> packets.Login:
    values: dict[str, Any] = {
        "capabilities": CAPABILITIES,
        "max_packet": 1 << 24,
        "charset": 255,
        "user": "app",
        "proof": auth.scramble(password, greeting.nonce),
        "database": "shop",
        "plugin": c.CACHING_SHA2,
        "attributes": {"_client_name": "fuzz"},
    }
    return packets.Login(**(values | changes))


def execute_payload(number: int, *values: bytes) -> bytes:
    """COM_STMT_EXECUTE with text parameters."""
    head = b"\x17" + struct.pack("<IBI", number, 0, 1)
    if not values:
        return head
    nulls = bytes((len(values) + 7) // 8)
    types = struct.pack("<H", c.TYPE_VAR_STRING) * len(values)
    return head + nulls + b"\x01" + types + b"".join(bytes((len(v),)) + v for v in values)
