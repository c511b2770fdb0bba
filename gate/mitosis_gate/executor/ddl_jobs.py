"""DDL over several shards as a job that is remembered, so that a half-done one can be finished.

A job is a row of `mitosis.ddl_jobs` on the first shard (the owner of slot 0): the statement, and
for each shard whether it has the change, or may have it. The row is written before a shard is
touched and after it has answered. Whoever repeats the statement of a job that did not end, through
any gate, goes on where it stopped: shards that have the change are passed over, and on a shard that
may have it an error such as "duplicate column" means that it has.

One job runs at a time in a keyspace, kept by a user lock on the first shard which ends with the
gate that holds it; so the shards get all changes in one order. Each job raises
`mitosis.schema_epoch` before the first shard and after the last one: gates read the schema again
when they see it rise.
"""

import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import GateError, MysqlError, ShardUnavailable
from mitosis_routing.table import RoutingTable

log = logging.getLogger(__name__)

WAIT_SECONDS = 30
_NO_SUCH_TABLE = 1146
_RAISE = (
    b"INSERT INTO mitosis.schema_epoch (id, epoch) VALUES (1, 1) "
    b"ON DUPLICATE KEY UPDATE epoch = epoch + 1"
)
EPOCH = b"SELECT MAX(epoch) FROM mitosis.schema_epoch"


class Shards(Protocol):
    """The part of `Topology` that jobs need."""

    def lent(
        self, keyspace: str, shard: str, account: Account
    ) -> AbstractAsyncContextManager[BackendConnection]: ...


class GateAccounts(Protocol):
    def gate(self, keyspace: str) -> Account: ...


class Job:
    """One change on its way over the shards."""

    def __init__(
        self,
        connection: BackendConnection,
        number: int,
        tables: Sequence[str],
        progress: "Progress",
    ) -> None:
        self._connection = connection
        self._number = number
        self._tables = tuple(tables)
        self._progress = progress
        self._doubtful = frozenset(progress.unknown)

    def is_done(self, shard: str) -> bool:
        return shard in self._progress.done

    def may_be_done(self, shard: str) -> bool:
        """An earlier run of the job did not learn what became of it there."""
        return shard in self._doubtful

    async def begins(self, shard: str) -> None:
        self._progress.unknown.add(shard)
        await self._write(b"running")

    async def did(self, shard: str) -> None:
        self._progress.unknown.discard(shard)
        self._progress.done.add(shard)
        await self._write(b"running")

    async def did_not(self, shard: str) -> None:
        """The shard refused it."""
        self._progress.unknown.discard(shard)
        await self._write(b"failed")

    async def _write(self, state: bytes) -> None:
        await self._connection.query(
            b"UPDATE mitosis.ddl_jobs SET state = '%b', progress = %b WHERE id = %d"
            % (state, self._progress.literal(self._tables), self._number)
        )

    async def close(self, finished: bool) -> None:
        """A finished job leaves no trace, and none of older ones of the same tables: what they
        know of the shards holds no more. One that did nothing is forgotten too."""
        if finished or not (self._progress.done or self._progress.unknown):
            names = _text(json.dumps(self._tables))
            await self._connection.query(
                b"DELETE FROM mitosis.ddl_jobs WHERE id = %d OR %b"
                % (
                    self._number,
                    b"JSON_OVERLAPS(progress->'$.tables', %b)" % names if finished else b"FALSE",
                )
            )
        else:
            await self._write(b"failed")


class Progress:
    def __init__(self, done: Iterable[str] = (), unknown: Iterable[str] = ()) -> None:
        self.done = set(done)
        self.unknown = set(unknown)

    def literal(self, tables: Sequence[str]) -> bytes:
        known = {"done": sorted(self.done), "unknown": sorted(self.unknown)}
        return _text(json.dumps({**known, "tables": list(tables)}))


class Jobs:
    """One for a gate process."""

    def __init__(self, shards: Shards, accounts: GateAccounts) -> None:
        self._shards = shards
        self._accounts = accounts

    @contextlib.asynccontextmanager
    async def job(
        self, keyspace: str, table: RoutingTable, tables: Sequence[str], statement: bytes
    ) -> AsyncIterator[Job | None]:
        """The job of a statement, anew or the one that did not end; None where none can be kept:
        on shards that were made by an older version."""
        first = next(s.name for s in table.shards if s.slots.contains(0))
        account = self._accounts.gate(keyspace)
        async with self._shards.lent(keyspace, first, account) as connection:
            await _lock(connection, keyspace)
            try:
                job = await _opened(connection, tables, statement)
                finished = False
                try:
                    yield job
                    finished = True
                finally:
                    if job is not None:
                        await _in_spite(job.close(finished))
                        await _in_spite(_raise_epoch(connection))
            finally:
                await _in_spite(connection.query(b"DO RELEASE_ALL_LOCKS()"))


async def _lock(connection: BackendConnection, keyspace: str) -> None:
    name = b"0x" + f"mitosis ddl {keyspace}".encode().hex().encode()
    asked = await connection.query(b"SELECT GET_LOCK(%b, %d)" % (name, WAIT_SECONDS))
    if asked.values()[0][0] != b"1":
        raise ShardUnavailable(
            f"another change of the schema of {keyspace} is under way for more than "
            f"{WAIT_SECONDS} s, and the shards get all changes in one order: repeat later"
        )


async def _opened(
    connection: BackendConnection, tables: Sequence[str], statement: bytes
) -> Job | None:
    sql = b"0x" + statement.hex().encode()
    try:
        found = await connection.query(
            b"SELECT id, progress FROM mitosis.ddl_jobs WHERE state <> 'done' AND statement = %b "
            b"ORDER BY id DESC LIMIT 1" % sql
        )
        await _raise_epoch(connection)
        for number, known in found.values():
            body = json.loads(known or b"{}")
            log.info("going on with the change of the schema that did not end: %s", body)
            progress = Progress(body.get("done", ()), body.get("unknown", ()))
            return Job(connection, int(number or 0), tables, progress)
        progress = Progress()
        made = await connection.query(
            b"INSERT INTO mitosis.ddl_jobs (statement, state, progress, owner) "
            b"VALUES (%b, 'running', %b, CURRENT_USER())" % (sql, progress.literal(tables))
        )
        return Job(connection, made.ok.last_insert_id, tables, progress)
    except MysqlError as exc:
        if exc.number != _NO_SUCH_TABLE:
            raise
        log.warning("the shards keep no jobs of DDL yet: %s", exc.text)
        return None


async def _raise_epoch(connection: BackendConnection) -> None:
    await connection.query(_RAISE)


async def _in_spite(work: Awaitable[object]) -> None:
    """What fails here is made good by whoever comes next; the DDL itself is told as it went."""
    try:
        await work
    except GateError as exc:
        log.warning("cannot note how a change of the schema ended: %s", exc.text)


def _text(value: str) -> bytes:
    return b"CONVERT(0x" + value.encode().hex().encode() + b" USING utf8mb4)"
