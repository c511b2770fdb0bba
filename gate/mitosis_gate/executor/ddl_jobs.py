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

A gate that has not seen it rise yet does no harm as a rule: the shards refuse what does not fit
(1054, 1136, 1146), and the gate then looks at the epoch before it passes the error on. Some changes
no shard would notice: a table under a name that was another kind of table before, another type of a
key, another order of the columns. Rows would go to a wrong shard, without an error. Such a job is
*announced*:

1. Its row says so, with the names of the tables; then the epoch rises on all shards.
2. It waits for SETTLE_SECONDS. Every process of every gate has then seen the epoch, or uses no
   picture of the schema at all (`executor.epochs` says why). Those that have seen it plan nothing
   that names one of the tables; such statements wait.
3. The shards change, one after the other.
4. Its row says that it has ended; then the epoch rises on all shards. Gates read the schema, and
   the statements go on.

A job whose gate dies leaves its row as it is and its lock free, which ends the waiting: the schema
that is then read from the first shard is the one in force. That is safe at each step: nobody has a
picture from before step 2.

What announces a job is `Ddl.reroutes`. A name that it makes (`Ddl.made`) with a picture that is not
like that of a table of that name which went within MEMORY_SECONDS (`Ddl.gone`) need not be
announced when the job in which that one went has raised the epoch on all shards: it waits until
SETTLE_SECONDS are over since then, so that names that went together wait together. Of a name that
was not there for MEMORY_SECONDS nobody has a picture.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import GateError, MysqlError, ShardUnavailable
from mitosis_gate.executor.epochs import EPOCH, SETTLE_SECONDS, lock_name
from mitosis_gate.planner.pictures import are_alike
from mitosis_gate.planner.plan import Ddl
from mitosis_routing.table import RoutingTable

log = logging.getLogger(__name__)

WAIT_SECONDS = 30
MEMORY_SECONDS = 60
"""How long it is remembered what a table looked like that is gone; far more than a lease."""
HISTORY = 100
"""So many jobs that have ended are kept, for GATE SHOW DDL."""
_NO_SUCH_TABLE = 1146
_RAISE = (
    b"INSERT INTO mitosis.schema_epoch (id, epoch) VALUES (1, 1) "
    b"ON DUPLICATE KEY UPDATE epoch = epoch + 1"
)
_RAISE_TO = (
    b"INSERT INTO mitosis.schema_epoch (id, epoch) VALUES (1, %d) "
    b"ON DUPLICATE KEY UPDATE epoch = GREATEST(epoch, %d)"
)
_FORGET = (
    b"DELETE FROM mitosis.ddl_jobs WHERE state = 'done' AND id <= %d "
    b"AND changed_at < NOW(6) - INTERVAL %d SECOND"
)


class Shards(Protocol):
    """The part of `Topology` that jobs need."""

    def lent(
        self, keyspace: str, shard: str, account: Account
    ) -> AbstractAsyncContextManager[BackendConnection]: ...


class GateAccounts(Protocol):
    def gate(self, keyspace: str) -> Account: ...


Everywhere = Callable[[BackendConnection], Awaitable[None]]
"""Raises the epoch on all shards; its argument leads to the first one."""


class Job:
    """One change on its way over the shards."""

    def __init__(
        self,
        connection: BackendConnection,
        number: int,
        progress: "Progress",
        raise_everywhere: Everywhere,
        wait_seconds: float | None,
    ) -> None:
        """`wait_seconds`: before the first shard is touched; None: it is to be announced."""
        self._connection = connection
        self._number = number
        self._progress = progress
        self._raise_everywhere = raise_everywhere
        self._doubtful = frozenset(progress.unknown)
        self._wait_seconds = wait_seconds

    def is_done(self, shard: str) -> bool:
        return shard in self._progress.done

    def may_be_done(self, shard: str) -> bool:
        """An earlier run of the job did not learn what became of it there."""
        return shard in self._doubtful

    async def settle(self) -> None:
        """Return when the shards may be touched. When it fails, nothing was done."""
        if self._wait_seconds is not None:
            if self._wait_seconds > 0:
                await asyncio.sleep(self._wait_seconds)
            return
        self._progress.announced = True
        await self._write(b"running")
        await self._raise_everywhere(self._connection)
        await asyncio.sleep(SETTLE_SECONDS)

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

    async def tell(self) -> None:
        """Let all processes read the schema again, whichever shard they ask."""
        await self._raise_everywhere(self._connection)

    def fails(self, why: str) -> None:
        """For whoever looks at the job."""
        self._progress.error = why

    async def _write(self, state: bytes) -> None:
        await self._connection.query(
            b"UPDATE mitosis.ddl_jobs SET state = '%b', progress = %b WHERE id = %d"
            % (state, self._progress.literal(), self._number)
        )

    async def close(self, finished: bool) -> None:
        """Of a finished job the row is history, and older ones of the same tables that did not end
        are forgotten: what they know of the shards holds no more. So is one that did nothing."""
        was_announced, self._progress.announced = self._progress.announced, False
        if finished:
            self._progress.error = ""
            if self._progress.gone:
                await self._raise_everywhere(self._connection)
                self._progress.told = True
            await self._write(b"done")
            await self._connection.query(
                b"DELETE FROM mitosis.ddl_jobs WHERE state <> 'done' "
                b"AND JSON_OVERLAPS(progress->'$.tables', %b)"
                % _text(json.dumps(self._progress.tables))
            )
            oldest = self._number - HISTORY
            await self._connection.query(_FORGET % (oldest, MEMORY_SECONDS))
        elif self._progress.done or self._progress.unknown:
            await self._write(b"failed")
        else:
            await self._connection.query(
                b"DELETE FROM mitosis.ddl_jobs WHERE id = %d" % self._number
            )
        if was_announced:
            await self._raise_everywhere(self._connection)


class Progress:
    """What the row of a job says besides its statement."""

    def __init__(
        self,
        tables: Sequence[str],
        made: Mapping[str, str],
        gone: Mapping[str, str],
        done: Iterable[str] = (),
        unknown: Iterable[str] = (),
    ) -> None:
        self.tables = list(tables)
        self.made = dict(made)
        self.gone = dict(gone)
        self.done = set(done)
        self.unknown = set(unknown)
        self.announced = False
        self.told = False
        """The epoch was raised on all shards after the names in `gone` had gone."""
        self.error = ""

    def literal(self) -> bytes:
        body: dict[str, Any] = {
            "done": sorted(self.done),
            "unknown": sorted(self.unknown),
            "tables": self.tables,
            "made": self.made,
            "gone": self.gone,
        }
        if self.announced:
            body["announced"] = 1
        if self.told:
            body["told"] = 1
        if self.error:
            body["error"] = self.error
        return _text(json.dumps(body))


class Jobs:
    """One for a gate process."""

    def __init__(self, shards: Shards, accounts: GateAccounts) -> None:
        self._shards = shards
        self._accounts = accounts

    @contextlib.asynccontextmanager
    async def job(
        self,
        keyspace: str,
        table: RoutingTable,
        plan: Ddl,
        statement: bytes,
        judge: Callable[[], Awaitable[None]],
    ) -> AsyncIterator[Job | None]:
        """The job of a statement, anew or the one that did not end; None where none can be kept:
        on shards that were made by an older version.

        `judge` is called when it is the turn of this statement, before anything is written: what it
        raises goes to the caller.
        """
        first = next(s.name for s in table.shards if s.slots.contains(0))
        account = self._accounts.gate(keyspace)

        async def raise_everywhere(connection: BackendConnection) -> None:
            await self._raise_everywhere(table, connection)

        async with self._shards.lent(keyspace, first, account) as connection:
            await _lock(connection, keyspace)
            try:
                await _end_dead_jobs(connection)
                await judge()
                job = await _opened(connection, plan, statement, raise_everywhere)
                finished = False
                try:
                    yield job
                    finished = True
                except GateError as exc:
                    if job is not None:
                        job.fails(exc.text)
                    raise
                finally:
                    if job is not None:
                        await _in_spite(job.close(finished))
                        await _in_spite(_raise_epoch(connection))
            finally:
                await _in_spite(connection.query(b"DO RELEASE_ALL_LOCKS()"))

    async def _raise_everywhere(self, table: RoutingTable, first: BackendConnection) -> None:
        """To a number that none of the shards has had; the first shard is the last to get it."""
        account = self._accounts.gate(table.keyspace)
        async with contextlib.AsyncExitStack() as stack:
            connections = [first]
            for shard in table.shards:
                if shard.name != first.shard:
                    lent = self._shards.lent(table.keyspace, shard.name, account)
                    connections.insert(0, await stack.enter_async_context(lent))
            known = [(await c.query(EPOCH)).values()[0][0] for c in connections]
            new = 1 + max(int(epoch or 0) for epoch in known)
            for connection in connections:
                await connection.query(_RAISE_TO % (new, new))

    async def describe(self, table: RoutingTable) -> list[dict[str, Any]]:
        """The jobs that run, failed or ended lately, the newest first: for GATE SHOW DDL."""
        first = next(s.name for s in table.shards if s.slots.contains(0))
        account = self._accounts.gate(table.keyspace)
        async with self._shards.lent(table.keyspace, first, account) as connection:
            try:
                found = await connection.query(_HISTORY % (lock_name(table.keyspace), HISTORY))
            except MysqlError as exc:
                if exc.number != _NO_SUCH_TABLE:
                    raise
                return []
        return [_described(table, *row) for row in found.values()]


_HISTORY = (
    b"SELECT id, statement, state, progress, made_at, changed_at, IS_FREE_LOCK(%b) "
    b"FROM mitosis.ddl_jobs ORDER BY id DESC LIMIT %d"
)


def _described(table: RoutingTable, *row: bytes | None) -> dict[str, Any]:
    number, statement, state, progress, made_at, changed_at, is_free = (
        (value or b"").decode(errors="replace") for value in row
    )
    body = json.loads(progress or "{}")
    if state == "running":
        if is_free == "1":
            state = "stopped"  # its gate is gone; the same statement goes on with it
        elif body.get("announced") and not (body.get("done") or body.get("unknown")):
            state = "announced"
    done, unknown = body.get("done", ()), body.get("unknown", ())
    names = [*(s.name for s in table.shards), *(n for n in (*done, *unknown))]
    shards = {
        name: "done" if name in done else "in doubt" if name in unknown else "waits"
        for name in dict.fromkeys(names)
    }
    if state == "done":
        shards = {name: told for name, told in shards.items() if told != "waits"}
    return {
        "id": int(number),
        "statement": statement,
        "state": state,
        "shards": ", ".join(f"{name}: {told}" for name, told in shards.items()),
        "started": made_at,
        "changed": changed_at,
        "error": body.get("error", ""),
    }


async def _lock(connection: BackendConnection, keyspace: str) -> None:
    asked = await connection.query(b"SELECT GET_LOCK(%b, %d)" % (lock_name(keyspace), WAIT_SECONDS))
    if asked.values()[0][0] != b"1":
        raise ShardUnavailable(
            f"another change of the schema of {keyspace} is under way for more than "
            f"{WAIT_SECONDS} s, and the shards get all changes in one order: see GATE SHOW DDL, "
            "and repeat later"
        )


async def _end_dead_jobs(connection: BackendConnection) -> None:
    """Who holds the lock knows that nobody else carries out a job; see `epochs.Eye` for who reads
    otherwise, under a lock that is held."""
    try:
        await connection.query(
            b"UPDATE mitosis.ddl_jobs SET state = 'failed' WHERE state = 'running'"
        )
    except MysqlError as exc:
        if exc.number != _NO_SUCH_TABLE:
            raise


async def _opened(
    connection: BackendConnection, plan: Ddl, statement: bytes, raise_everywhere: Everywhere
) -> Job | None:
    sql = b"0x" + statement.hex().encode()
    try:
        found = await connection.query(
            b"SELECT id, progress FROM mitosis.ddl_jobs WHERE state <> 'done' AND statement = %b "
            b"ORDER BY id DESC LIMIT 1" % sql
        )
        wait = None if plan.reroutes else await _wait_for_names(connection, dict(plan.made))
        await _raise_epoch(connection)
        progress = Progress(plan.tables, dict(plan.made), dict(plan.gone))
        for number, known in found.values():
            body = json.loads(known or b"{}")
            log.info("going on with the change of the schema that did not end: %s", body)
            progress.done.update(body.get("done", ()))
            progress.unknown.update(body.get("unknown", ()))
            progress.gone = body.get("gone", {}) | progress.gone
            return Job(connection, int(number or 0), progress, raise_everywhere, wait)
        made = await connection.query(
            b"INSERT INTO mitosis.ddl_jobs (statement, state, progress, owner) "
            b"VALUES (%b, 'running', %b, CURRENT_USER())" % (sql, progress.literal())
        )
        return Job(connection, made.ok.last_insert_id, progress, raise_everywhere, wait)
    except MysqlError as exc:
        if exc.number != _NO_SUCH_TABLE:
            raise
        log.warning("the shards keep no jobs of DDL yet: %s", exc.text)
        return None


async def _wait_for_names(connection: BackendConnection, made: Mapping[str, str]) -> float | None:
    """How long until nobody has another picture of these names; None: the gates must be told."""
    if not made:
        return 0.0
    found = await connection.query(
        b"SELECT progress, TIMESTAMPDIFF(MICROSECOND, changed_at, NOW(6)) FROM mitosis.ddl_jobs "
        b"WHERE changed_at > NOW(6) - INTERVAL %d SECOND "
        b"AND JSON_OVERLAPS(progress->'$.tables', %b) ORDER BY changed_at"
        % (MEMORY_SECONDS, _text(json.dumps(sorted(made))))
    )
    waits: dict[str, float | None] = {}
    for progress, age in found.values():
        body = json.loads(progress or b"{}")
        told = SETTLE_SECONDS - max(0, int(age or 0)) / 1e6 if body.get("told") else None
        for name, picture in body.get("made", {}).items():
            if name in made and not are_alike(picture, made[name]):
                waits[name] = None
        for name, picture in body.get("gone", {}).items():
            # what was known of the name before is told to have gone with it
            if name in waits or (name in made and not are_alike(picture, made[name])):
                waits[name] = told
    if None in waits.values():
        return None
    return max((seconds for seconds in waits.values() if seconds is not None), default=0.0)


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
