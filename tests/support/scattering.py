"""A real session with connections to four shards, whose bytes a test sends by hand."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from keyspaces import KEYSPACES, SCHEMA

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection, Target
from mitosis_gate.backends.pool import Lane, Pool
from mitosis_gate.backends.topology import Lanes, Topology
from mitosis_gate.executor.merging.streams import Limits, Merger
from mitosis_gate.planner.build import Planner
from mitosis_gate.session import Session
from mitosis_gate.settings import Settings
from mitosis_gate.shape_book import ShapeBook
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import Splitter, frame, frames
from mitosis_gate.wire.packets import Column

NUMBER = Column("n", c.TYPE_LONGLONG, 63, 21, 0x81)
NAME = Column("name", c.TYPE_VAR_STRING, 255, 64, 0)


class Transport:
    """Keeps what is written; `abort` is told to the protocol as a loop would do it."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.data = b""
        self.is_open = True

    def write(self, data: bytes) -> None:
        if self.is_open:
            self.data += data

    def taken(self) -> bytes:
        data, self.data = self.data, b""
        return data

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self.is_open:
            self.is_open = False
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return not self.is_open

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str) -> None:
        return None


class Scattering:
    """`executed` are the statements that went another way than the one that needs no task."""

    def __init__(
        self, keeps_eof: bool = False, statements: int = 32, kind: type[Session] = Session
    ) -> None:
        self.keeps_eof = keeps_eof
        self.executed: list[bytes] = []
        self.table = KEYSPACES["four shards"]
        self.merger = Merger(Limits(statements))
        settings = Settings()
        self.topology = Topology(settings)
        self.account = account = Account("shop", "app", "secret")
        planner = Planner(SCHEMA, self.table)
        services = SimpleNamespace(
            settings=settings,
            topology=self.topology,
            planners=SimpleNamespace(planner={"shop": planner}.get),
            commits=None,
            execute=self._execute,
            merger=self.merger,
        )
        self.book = ShapeBook()
        sessions = SimpleNamespace(timed=set(), shapes=self.book, ended=lambda session: None)
        bits = c.CLIENT_PROTOCOL_41 | (0 if keeps_eof else c.CLIENT_DEPRECATE_EOF)
        login = packets.Login(bits, 1 << 24, 255, "app", b"", "shop")
        self.session = kind(services, sessions, 1, login, [account], "client")  # type: ignore[arg-type]
        self.client = self._transport(self.session)
        self.session.connection_made(self.client)  # type: ignore[arg-type]
        self.variant = bits & c.SHAPING
        self.lanes: list[Lane] = []
        self.connections: list[BackendConnection] = []
        for shard in self.table.shards:
            target = Target(shard.name, 1, f"{shard.name}-0", "127.0.0.1", 1, "uuid", None)
            self.lanes.append(Pool(target, settings).lane(account, self.variant))
            self.connections.append(self._connected(self.lanes[-1]))
        self.session._lanes = Lanes(self.table, tuple(self.lanes))
        self.session._planner = planner
        self.session.current = "shop"

    def _transport(self, protocol: Any) -> Transport:
        transport = Transport()
        transport.protocol = protocol
        return transport

    def _connected(self, lane: Lane) -> BackendConnection:
        connection = BackendConnection(lane.pool.target, self.account, self.variant)
        connection._transport = self._transport(connection)  # type: ignore[assignment]
        connection.owner = lane
        connection.alive = connection.is_idle = True
        connection.applied = self.session._variables
        lane.idle.append(connection)
        return connection

    async def _execute(self, plan: object, sql: bytes, client: Any) -> None:
        self.executed.append(sql)
        client.send_ok()

    # the client

    def ask(self, sql: bytes) -> None:
        self.session.data_received(frame(b"\x03" + sql, 0))

    def told(self) -> list[bytes]:
        """Payloads that the client has got since this was last asked."""
        splitter = Splitter(1 << 24)
        splitter.sequence = 1
        splitter.feed(self.client.taken())
        found = []
        while (payload := splitter.next()) is not None:
            found.append(payload)
        assert not splitter.buffered
        return found

    def rows(self) -> list[list[bytes | None]]:
        """The whole answer of one statement."""
        (count,), *payloads, end = self.told()
        assert end[0] == 0xFE and len(end) < 9, end
        return [packets.read_text_row(row) for row in payloads[count + self.keeps_eof :]]

    # the shards

    def asked(self, shard: int) -> bytes:
        transport: Any = self.connections[shard]._transport
        return bytes(transport.taken())

    def send(self, shard: int, data: bytes) -> None:
        self.connections[shard].data_received(data)

    def answer(self, shard: int, *rows: Sequence[object], **more: Any) -> None:
        self.send(shard, self.result(rows, **more))

    def result(
        self,
        rows: Sequence[Sequence[object]],
        columns: Sequence[Column] = (NUMBER,),
        warnings: int = 0,
    ) -> bytes:
        status = c.STATUS_AUTOCOMMIT
        payloads = [bytes((len(columns),)), *(column.pack() for column in columns)]
        if self.keeps_eof:
            payloads.append(packets.eof(status))
        for row in rows:
            texts = (None if v is None else str(v).encode() for v in row)
            payloads.append(packets.text_row(texts))
        payloads.append(packets.result_end(status, warnings, not self.keeps_eof))
        return frames(payloads, 1)[0]

    def fail(self, shard: int, number: int = 1062, text: str = "Duplicate entry") -> None:
        self.send(shard, frame(packets.error_payload(number, "23000", text), 1))

    def lose(self, shard: int) -> None:
        transport: Any = self.connections[shard]._transport
        transport.abort()

    @property
    def is_quiet(self) -> bool:
        return self.session._task is None and self.session._active is None

    @property
    def idle(self) -> list[int]:
        """Shards whose connection lies ready."""
        return [n for n, k in enumerate(self.connections) if k.is_idle and k.alive]
