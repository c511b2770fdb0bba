"""A statement inside a statement: its rows are kept instead of sent, on connections lent before."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import MergeTooLarge
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.warned import Told, told
from mitosis_gate.wire.packets import Ok


class Captured:
    """Stands in the client's place while the executor carries out an inner statement.

    Everything that is not about answers and connections is the client's own. `backends` are those
    of the transaction that the outer statement holds, by shard.
    """

    binary = False

    def __init__(
        self,
        client: Client,
        backends: Mapping[str, BackendConnection],
        most_rows: int = 1 << 62,
        most_bytes: int = 1 << 62,
        limits: str = "",
    ) -> None:
        """`limits`: what the error says of the settings behind the two numbers."""
        self._client = client
        self._backends = backends
        self._most_rows, self._most_bytes = most_rows, most_bytes
        self._limits = limits
        self._bytes = 0
        self.columns: Sequence[bytes] = ()
        self.rows: list[bytes] = []
        self.ok = Ok()
        self.told: list[Told] = []
        """Warnings of its rows."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    @asynccontextmanager
    async def writing(
        self, shards: Sequence[str]
    ) -> AsyncIterator[list[tuple[str, BackendConnection]]]:
        yield [(shard, self._backends[shard]) for shard in shards]

    reading = writing

    async def backend(self, shard: str, outside: bool = False) -> BackendConnection:
        return self._backends[shard]

    async def any_backend(self) -> BackendConnection:
        return next(iter(self._backends.values()))

    def give_back(self, connection: BackendConnection) -> None:
        """It stays with the outer statement."""

    async def note_warnings(self, connection: BackendConnection) -> None:
        rows = (await connection.query(b"SHOW WARNINGS")).values()
        self.keep_warnings([told(row) for row in rows])

    def keep_warnings(self, warnings: Sequence[Told]) -> None:
        self.told += warnings

    def send_ok(
        self, affected: int = 0, last_insert_id: int = 0, warnings: int = 0, info: bytes = b""
    ) -> None:
        self.ok = Ok(affected, last_insert_id, 0, warnings, info)

    def send_result(
        self, columns: Sequence[bytes], rows: Iterable[bytes], warnings: int = 0
    ) -> None:
        self.begin_rows(columns)
        self._keep(list(rows))
        self.end_rows(warnings)

    def begin_rows(self, columns: Sequence[bytes]) -> None:
        self.columns = tuple(columns)

    async def send_rows(self, rows: Sequence[bytes]) -> None:
        self._keep(rows)

    def _keep(self, rows: Sequence[bytes]) -> None:
        self.rows.extend(rows)
        self._bytes += sum(map(len, rows))
        if len(self.rows) > self._most_rows or self._bytes > self._most_bytes:
            raise MergeTooLarge(
                f"the rows that pass through the gate are more than {self._most_rows} or "
                f"{self._most_bytes} bytes: {self._limits}"
            )

    def end_rows(self, warnings: int = 0) -> None:
        self.ok = Ok(warnings=warnings)

    async def relay(self, connection: BackendConnection, sql: bytes) -> Ok | None:
        stream = await connection.stream(sql)
        try:
            self.begin_rows(stream.columns)
            async for rows in stream:
                self._keep(rows)
        finally:
            stream.abandon()
        self.ok = stream.ok
        if self.ok.warnings:
            await self.note_warnings(connection)
        return self.ok
