"""Backends, clients and topologies in memory, for what carries out plans."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from mitosis_gate.backends import variables as known
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.sinks import Result
from mitosis_gate.backends.variables import Variables
from mitosis_gate.errors import BackendLost, GateError, SeveralShards
from mitosis_gate.planner.own_variables import OWN
from mitosis_gate.planner.plan import DEFAULT_VARIANT, Variant
from mitosis_gate.wire import packets
from mitosis_gate.wire.packets import Column, Ok, SessionChanges
from mitosis_routing.table import RoutingTable

Script = Callable[[bytes], Result | GateError | asyncio.Event | None]


def rows(*values: Sequence[object], names: Sequence[str] = ("a",), **column: Any) -> Result:
    """A result set; the values become text."""
    columns = tuple(Column(name, **column).pack() for name in names)
    packed = tuple(
        packets.text_row(None if v is None else str(v).encode() for v in row) for row in values
    )
    return Result(columns, packed)


def done(affected: int = 0, **more: Any) -> Result:
    return Result(ok=Ok(affected, **more))


def told(**changed: bytes) -> Result:
    """OK with the variables that the server says have changed."""
    return Result(ok=Ok(changes=SessionChanges(changed)))


class FakeStream:
    """A result that is pulled in blocks of two rows."""

    def __init__(self, backend: "FakeBackend", sql: bytes) -> None:
        self.columns: list[bytes] = []
        self.ok = Ok()
        self.is_over = False
        self.stopped = False
        self.pulled = 0
        self._backend = backend
        self._sql = sql
        self._rows: list[bytes] | None = None
        self._asked = asyncio.ensure_future(backend.query(sql))

    async def start(self) -> None:
        if self._rows is None:
            try:
                result = await self._asked
            except BaseException:
                self.is_over = True
                raise
            self.columns, self._rows = list(result.columns), list(result.rows)
            self.ok = result.ok
            self.is_over = not self.columns

    async def next_rows(self) -> list[bytes]:
        await self.start()
        assert self._rows is not None
        block, self._rows = self._rows[:2], self._rows[2:]
        self.pulled += len(block)
        if not block and not self.is_over:
            self.is_over = True
            if self._backend.breaks is not None:
                raise self._backend.breaks
        return block

    async def __aiter__(self) -> AsyncIterator[list[bytes]]:
        while rows := await self.next_rows():
            yield rows

    async def stop(self) -> None:
        if self.is_over:
            return
        self.stopped = True
        self.is_over = True
        if not self._asked.done():
            self._asked.cancel()
        await asyncio.wait([self._asked])
        if not self._asked.cancelled():
            self._asked.exception()  # looked at, so that nobody complains

    def abandon(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._backend.alive = False


class FakeBackend:
    """Answers by a script and remembers what it was asked.

    The script gives a Result, an error, an event to wait for (then OK), or None for plain OK.
    """

    def __init__(self, shard: str, script: Script = lambda sql: None) -> None:
        self.shard = shard
        self.script = script
        self.asked: list[bytes] = []
        self.alive = True
        self.applied: Variables = known.NONE
        self.given_back = 0
        self.streams: list[FakeStream] = []
        self.breaks: GateError | None = None
        """What a stream ends with."""

    @property
    def in_transaction(self) -> bool:
        last = [s for s in self.asked if s in (b"START TRANSACTION", b"COMMIT", b"ROLLBACK")]
        return bool(last) and last[-1] == b"START TRANSACTION"

    async def query(self, sql: bytes) -> Result:
        if not self.alive:
            raise BackendLost(f"{self.shard} is gone")
        self.asked.append(sql)
        answer = self.script(sql)
        if isinstance(answer, asyncio.Event):
            try:
                await answer.wait()
            except asyncio.CancelledError:
                self.close("cancelled")
                raise
            answer = None
        if isinstance(answer, BackendLost):
            self.alive = False
        if isinstance(answer, GateError):
            raise answer
        return answer or done()

    def begin_stream(self, sql: bytes) -> FakeStream:
        stream = FakeStream(self, sql)
        self.streams.append(stream)
        return stream

    async def begin_binary_stream(self, sql: bytes) -> FakeStream:
        return self.begin_stream(sql)

    async def stream(self, sql: bytes, binary: bool = False) -> FakeStream:
        stream = self.begin_stream(sql)
        await stream.start()
        return stream

    def close(self, reason: str) -> None:
        self.alive = False

    def statements(self, *words: bytes) -> list[bytes]:
        """What was asked, only statements that begin with one of the words."""
        return [sql for sql in self.asked if sql.startswith(words)]


class FakeClient:
    """The session that a plan is carried out for; `answers` is what the client got."""

    def __init__(self, table: RoutingTable, *backends: FakeBackend) -> None:
        self.table = table
        self.backends = {b.shard: b for b in backends}
        self.variables: Variables = known.NONE
        self.connection_id = 1
        self.capabilities = 0
        self.last_insert_id = 0
        self.warned: list[tuple[int, str]] = []
        self.noted: list[FakeBackend] = []
        self.kept: list[tuple[bytes, int, str]] = []
        self.found_rows = 0
        self.user = "app"
        self.keyspace = table.keyspace
        self.account = Account(table.keyspace, "app", "secret")
        self.variant: Variant = DEFAULT_VARIANT
        self.in_transaction = False
        self.bound_shard: str | None = None
        self.last_shard: str | None = None
        self.is_gone = False
        self.binary = False
        self.commits = 0
        self.next: list[bytes] = []
        self.answers: list[Any] = []
        self.lent: list[FakeBackend] = []
        self.outside: list[str] = []

    @property
    def autocommit(self) -> bool:
        return not known.is_off(self.variables.get("autocommit"))

    def own(self, name: str) -> str:
        """Of the gate's own variables: all as they are when nobody has set them."""
        return (OWN[name] or ("0",))[0]

    async def backend(self, shard: str, outside: bool = False) -> FakeBackend:
        if not outside and self.bound_shard not in (None, shard):
            raise SeveralShards(f"bound to {self.bound_shard}")
        if outside:
            self.outside.append(shard)
        backend = self.backends[shard]
        backend.applied = self.variables
        self.lent.append(backend)
        return backend

    def give_back(self, connection: FakeBackend) -> None:
        self.lent.remove(connection)
        connection.given_back += 1

    def disown(self, connection: FakeBackend) -> None:
        self.lent.remove(connection)

    @asynccontextmanager
    async def reading(self, shards: Sequence[str]) -> AsyncIterator[list[tuple[str, FakeBackend]]]:
        backends: list[tuple[str, FakeBackend]] = []
        try:
            for shard in shards:
                backends.append((shard, await self.backend(shard, outside=True)))
            yield backends
        finally:
            for _, backend in backends:
                self.give_back(backend)

    @asynccontextmanager
    async def writing(self, shards: Sequence[str]) -> AsyncIterator[list[tuple[str, FakeBackend]]]:
        """A transaction of its own over all of them, in the order of the shards."""
        backends: list[tuple[str, FakeBackend]] = []
        try:
            for shard in shards:
                backends.append((shard, await self.backend(shard)))
                await backends[-1][1].query(b"START TRANSACTION")
            try:
                yield backends
            except BaseException:
                for _, backend in backends:
                    if backend.alive:
                        await backend.query(b"ROLLBACK")
                raise
            for _, backend in backends:
                await backend.query(b"COMMIT")
        finally:
            for _, backend in backends:
                self.give_back(backend)

    def keep_warnings(self, warnings: Sequence[tuple[bytes, int, str]]) -> None:
        self.kept += warnings

    async def commit(self) -> None:
        self.commits += 1

    def next_transaction(self, statement: bytes) -> None:
        self.next.append(statement)

    def pin(self, reason: str, connection: FakeBackend) -> None:
        self.bound_shard = connection.shard

    def warn(self, code: int, text: str) -> None:
        self.warned.append((code, text))

    async def note_warnings(self, connection: FakeBackend) -> None:
        self.noted.append(connection)

    def send_ok(
        self, affected: int = 0, last_insert_id: int = 0, warnings: int = 0, info: bytes = b""
    ) -> None:
        self.answers.append(("ok", affected, warnings))

    def begin_rows(self, columns: Sequence[bytes]) -> None:
        self.answers.append(("columns", [packets.column(c).name for c in columns]))

    async def send_rows(self, rows: Iterable[bytes]) -> None:
        self.answers += [("row", *packets.read_text_row(row)) for row in rows]

    def end_rows(self, warnings: int = 0) -> None:
        self.answers.append(("end", warnings))

    async def relay(self, connection: FakeBackend, sql: bytes) -> Ok | None:
        result = await connection.query(sql)
        self.answers.append(("relayed", connection.shard))
        return result.ok


class FakeTopology:
    """Lends the backends of its shards, and takes back what is given."""

    def __init__(self, *backends: FakeBackend) -> None:
        self.backends = {b.shard: b for b in backends}
        self.away: dict[str, GateError] = {}
        self.asked: list[str] = []

    @asynccontextmanager
    async def lent(self, keyspace: str, shard: str, account: Account) -> AsyncIterator[FakeBackend]:
        self.asked.append(shard)
        if shard in self.away:
            raise self.away[shard]
        yield self.backends[shard]

    async def beside(
        self, keyspace: str, shard: str, account: Account, kept: FakeBackend | None
    ) -> FakeBackend:
        if shard in self.away:
            raise self.away[shard]
        return self.backends[shard]

    def give_back(self, connection: FakeBackend) -> None:
        connection.given_back += 1
