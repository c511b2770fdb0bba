"""What a statement of several shards runs in: the open transaction, or one of its own."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import GateError, SeveralShards
from mitosis_gate.executor.commit import to_the_end
from mitosis_gate.executor.savepoints import STATEMENT
from mitosis_gate.transaction.branches import ROLLED_BACK, START, Backends
from mitosis_gate.transaction.control import Control, on_all
from mitosis_routing.table import TransactionMode


class Transaction(Control):
    """One for each session, for all its life."""

    __slots__ = ()

    @contextlib.asynccontextmanager
    async def reading(self, shards: Sequence[str]) -> AsyncIterator[Backends]:
        """See `Client.reading`."""
        holder = self._holder
        backends: Backends = []
        inside = self.is_open or not holder.autocommit
        if not self.is_open and inside:
            self.begin(START)
        try:
            for shard in shards:
                backends.append((shard, await holder.backend(shard, outside=not inside)))
            yield backends
        finally:
            for _, connection in backends:
                if not inside or self.holds(connection):
                    holder.give_back(connection)

    @contextlib.asynccontextmanager
    async def writing(self, shards: Sequence[str]) -> AsyncIterator[Backends]:
        """See `Client.writing`."""
        if self.is_open or not self._holder.autocommit:
            way = self._write_inside(shards)
        elif len(shards) == 1:
            way = self._write_alone(shards[0])
        else:
            way = self._write_together(shards)
        async with way as backends:
            yield backends

    @contextlib.asynccontextmanager
    async def _write_alone(self, shard: str) -> AsyncIterator[Backends]:
        connection = await self._holder.backend(shard)
        try:
            yield [(shard, connection)]
        finally:
            self._holder.give_back(connection)

    @contextlib.asynccontextmanager
    async def _write_together(self, shards: Sequence[str]) -> AsyncIterator[Backends]:
        """A transaction of its own for the statement."""
        if self._holder.transaction_mode is TransactionMode.SINGLE:
            raise SeveralShards(
                f"the statement writes on shards {', '.join(shards)}, and transaction_mode is "
                "'single': SET transaction_mode = 'atomic', or name the sharding key"
            )
        self.begin(START)
        self._is_tracked = True
        try:
            async with self._all(shards) as backends:
                yield backends
            await self._rolled()
        except BaseException:
            self._lost = None
            await to_the_end(self.roll_back())
            raise
        if self._lost is not None:
            problem, self._lost = self._is_lost(), None
            self._close()
            raise problem
        await self.commit()

    @contextlib.asynccontextmanager
    async def _all(self, shards: Sequence[str]) -> AsyncIterator[Backends]:
        backends: Backends = []
        try:
            for shard in shards:
                backends.append((shard, await self._holder.backend(shard)))
            yield backends
        finally:
            for _, connection in backends:
                if self.holds(connection):
                    self._holder.give_back(connection)

    @contextlib.asynccontextmanager
    async def _write_inside(self, shards: Sequence[str]) -> AsyncIterator[Backends]:
        """Behind a savepoint, so that a failed statement leaves nothing on any shard."""
        if self._has_snapshot and len(shards) > 1:
            raise SeveralShards(
                f"the statement writes on shards {', '.join(shards)}, and a transaction WITH "
                "CONSISTENT SNAPSHOT writes on one: begin without it"
            )
        if not self.is_open:
            self.begin(START)
        async with self._all(shards) as backends:
            if len(shards) > 1:
                await on_all([c for _, c in backends], b"SAVEPOINT " + STATEMENT)
            try:
                yield backends
            except BaseException:
                if len(shards) > 1:
                    await to_the_end(self._undo_statement([c for _, c in backends]))
                raise

    async def _undo_statement(self, connections: Sequence[BackendConnection]) -> None:
        """What cannot be taken back by itself takes everything with it."""
        if not self._joined:
            return
        usable = [c for c in connections if c.alive and not c.busy]
        dead = [c for c in usable if c.scanner.error and c.scanner.error.number in ROLLED_BACK]
        if len(usable) < len(connections):
            self._lose("a statement was interrupted on one of its shards")
        elif dead:
            self._abandon()
        else:
            try:
                await on_all(connections, b"ROLLBACK TO SAVEPOINT " + STATEMENT)
            except GateError as exc:
                self._lose(exc.text)
