"""The planner of each keyspace, kept up with its schema and its routing table.

The schema is read through the gate's own account, from the shard that owns slot 0. It is read
again after DDL of this gate, when a statement names an unknown table, and when a checksum of
information_schema says that somebody else has changed it.
"""

import asyncio
import contextlib
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol, TypeVar

from mitosis_gate import metrics
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection, Result
from mitosis_gate.errors import (
    GateError,
    MysqlError,
    ShardUnavailable,
    Unavailable,
    UnknownDatabase,
)
from mitosis_gate.executor.ddl_jobs import EPOCH
from mitosis_gate.planner import schema, table_keys
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.schema import Schema
from mitosis_gate.wire import packets
from mitosis_routing.table import RoutingTable

log = logging.getLogger(__name__)

EPOCH_SECONDS = 1.0
"""How often a keyspace in use is asked whether some gate has changed its schema."""
CHECKSUM = b"""\
SELECT COUNT(*), IFNULL(BIT_XOR(CRC32(CONCAT_WS(CHAR(0), c.TABLE_NAME, t.TABLE_TYPE,
 c.ORDINAL_POSITION, c.COLUMN_NAME, c.COLUMN_TYPE, c.COLLATION_NAME, c.IS_NULLABLE, c.EXTRA,
 c.COLUMN_KEY))), 0),
 (SELECT IFNULL(BIT_XOR(CRC32(CONCAT_WS(CHAR(0), v.TABLE_NAME, v.VIEW_DEFINITION))), 0)
 FROM information_schema.VIEWS v WHERE v.TABLE_SCHEMA = DATABASE())
FROM information_schema.COLUMNS c
JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
WHERE c.TABLE_SCHEMA = DATABASE()"""
Row = tuple[bytes | None, ...]
Checksum = Row
T = TypeVar("T")


class Shards(Protocol):
    """The part of `Topology` that reading a schema needs."""

    def lent(
        self, keyspace: str, shard: str, account: Account
    ) -> AbstractAsyncContextManager[BackendConnection]: ...


class Tables(Protocol):
    """The part of `RoutingBook` that is needed here."""

    @property
    def tables(self) -> Mapping[str, RoutingTable]: ...

    def get(self, keyspace: str) -> RoutingTable | None: ...


class GateAccounts(Protocol):
    def gate(self, keyspace: str) -> Account: ...


class Planners:
    """One Planner for each keyspace in use; `planner` is on the hot path and only looks it up."""

    def __init__(
        self,
        book: Tables,
        shards: Shards,
        accounts: GateAccounts,
        cache_bytes: int,
        check_seconds: float,
    ) -> None:
        self._book = book
        self._shards = shards
        self._accounts = accounts
        self._cache_bytes = cache_bytes
        self._check_seconds = check_seconds
        self._planners: dict[str, Planner] = {}
        self._checksums: dict[str, Checksum] = {}
        self._epochs: dict[str, bytes | None] = {}
        """What `mitosis.schema_epoch` said when the schema was last read for it."""
        self._new = asyncio.Event()
        self._turns: dict[str, asyncio.Task[Planner]] = {}
        self._reading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def obey(self, keyspace: str, table: RoutingTable | None) -> None:
        """A listener of the RoutingBook: plans made under the old table are forgotten."""
        if table is None:
            self._planners.pop(keyspace, None)
            self._checksums.pop(keyspace, None)
        elif keyspace in self._planners and not self._lacks_definitions(keyspace, table):
            self._make(keyspace, self._planners[keyspace].schema, table)
        else:
            self._planners.pop(keyspace, None)
            self._new.set()

    def _lacks_definitions(self, keyspace: str, table: RoutingTable) -> bool:
        """Whether the keyspace has got its second shard, and views that are to be expanded now."""
        known = self._planners[keyspace]
        grown = len(known.table.shards) == 1 < len(table.shards)
        return grown and any(t.view for t in known.schema.tables.values())

    def planner(self, keyspace: str) -> Planner | None:
        """None while the schema has not been read: then await `ready`."""
        return self._planners.get(keyspace)

    async def ready(self, keyspace: str) -> Planner:
        if keyspace not in self._planners:
            async with self._reading[keyspace]:  # a reading that is under way is good enough
                pass
        return self._planners.get(keyspace) or await self.refresh(keyspace)

    async def refresh(self, keyspace: str) -> Planner:
        """Read the schema now; whoever asks after a reading has begun shares the next one."""
        turn = self._turns.get(keyspace)
        if turn is None:
            turn = self._turns[keyspace] = asyncio.create_task(self._in_turn(keyspace))
            turn.add_done_callback(_note_failure)
        return await asyncio.shield(turn)

    async def _in_turn(self, keyspace: str) -> Planner:
        async with self._reading[keyspace]:
            del self._turns[keyspace]
            return await self._load(keyspace)

    async def run(self) -> None:
        """Read what is new, and notice what other gates and people change."""
        while True:
            await asyncio.gather(*(self._check(keyspace) for keyspace in self._book.tables))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._check_seconds * random.uniform(0.8, 1.2)):
                    await self._new.wait()
            self._new.clear()

    async def follow_epochs(self) -> None:
        """Read a schema again soon after some gate has begun or ended to change it."""
        while True:
            await asyncio.sleep(EPOCH_SECONDS)
            for keyspace in tuple(self._planners):
                try:
                    await self._look_at_epoch(keyspace)
                except GateError as exc:
                    log.debug("cannot see the schema epoch of %s: %s", keyspace, exc.text)

    async def _look_at_epoch(self, keyspace: str) -> None:
        table = self._book.get(keyspace)
        first = next((s for s in table.shards if s.slots.contains(0)), None) if table else None
        if table is None or first is None or first.primary is None or len(table.shards) == 1:
            return
        account = self._accounts.gate(keyspace)
        async with self._shards.lent(keyspace, first.name, account) as connection:
            ((epoch,),) = (await connection.query(EPOCH)).values()
        if keyspace in self._epochs and self._epochs[keyspace] == epoch:
            return
        # the first look proves nothing about a schema that was read before it
        log.info("the schema of %s is at epoch %s: reading it again", keyspace, epoch)
        await self.refresh(keyspace)
        self._epochs[keyspace] = epoch

    async def _check(self, keyspace: str) -> None:
        try:
            if keyspace not in self._planners:
                await self.ready(keyspace)
            elif await self._checksum(keyspace) != self._checksums.get(keyspace):
                log.info("the schema of %s has changed: reading it again", keyspace)
                await self.refresh(keyspace)
        except GateError as exc:
            metrics.SCHEMA_LOADS.labels(outcome="failed").inc()
            log.warning("cannot check the schema of %s: %s", keyspace, exc.text)

    async def _checksum(self, keyspace: str) -> Checksum:
        return await self._from_some_shard(keyspace, _read_checksum)

    async def _load(self, keyspace: str) -> Planner:
        try:
            read = _read_schema if len(self._table(keyspace).shards) > 1 else _read_tables
            checksum, rows, keys, views = await self._from_some_shard(keyspace, read)
        except GateError:
            metrics.SCHEMA_LOADS.labels(outcome="failed").inc()
            raise
        metrics.SCHEMA_LOADS.labels(outcome="done").inc()
        self._checksums[keyspace] = checksum
        found = schema.from_rows(rows, definitions=views, keys=table_keys.from_rows(keys))
        return self._make(keyspace, self._with_version(keyspace, found), self._table(keyspace))

    async def _from_some_shard(
        self, keyspace: str, read: Callable[[BackendConnection], Awaitable[T]]
    ) -> T:
        """Ask the shard that owns slot 0, which also has the tables that are on one shard only.

        While nothing is known yet, another will do: what it serves must not depend on the first.
        """
        problem: GateError = ShardUnavailable(f"keyspace {keyspace} has no shards")
        for shard in _sources(self._table(keyspace), keyspace in self._planners):
            try:
                account = self._accounts.gate(keyspace)
                async with self._shards.lent(keyspace, shard, account) as connection:
                    return await read(connection)
            except Unavailable as exc:
                problem = exc
        raise problem

    def _with_version(self, keyspace: str, found: Schema) -> Schema:
        known = self._planners.get(keyspace)
        if known is None:
            return replace(found, version=1)
        if known.schema.tables == found.tables:
            return known.schema
        return replace(found, version=known.schema.version + 1)

    def _make(self, keyspace: str, facts: Schema, table: RoutingTable) -> Planner:
        old = self._planners.get(keyspace)
        if old is not None and old.schema is facts and old.table is table:
            return old
        made = self._planners[keyspace] = Planner(facts, table, self._cache_bytes)
        return made

    def _table(self, keyspace: str) -> RoutingTable:
        table = self._book.get(keyspace)
        if table is None:
            raise UnknownDatabase(f"Unknown database '{keyspace}': no keyspace of this name")
        return table


def _note_failure(turn: asyncio.Task[Planner]) -> None:
    """All who waited may have been cancelled: then nobody else asks for the exception."""
    if not turn.cancelled():
        turn.exception()


def _sources(table: RoutingTable, is_known: bool) -> list[str]:
    """The owner of slot 0; when nothing is known, whoever serves, the owner of slot 0 first."""
    ordered = sorted(table.shards, key=lambda s: (s.primary is None, not s.slots.contains(0)))
    return [s.name for s in ordered if not is_known or s.slots.contains(0)]


async def _read_checksum(connection: BackendConnection) -> Checksum:
    result = await connection.query(CHECKSUM)
    return tuple(packets.read_text_row(result.rows[0]))


Facts = tuple[Checksum, list[Row], list[Row], dict[str, str]]
"""The checksum, what the queries of `schema` and `table_keys` give, and definitions of views."""


async def _read_tables(connection: BackendConnection) -> Facts:
    """Without definitions: where one shard has everything, its server expands the views."""
    checksum = await _read_checksum(connection)
    columns = await connection.query(schema.QUERY)
    keys = await connection.query(table_keys.QUERY)
    return checksum, _rows(columns), _rows(keys), {}


async def _read_schema(connection: BackendConnection) -> Facts:
    checksum, columns, keys, _ = await _read_tables(connection)
    names = [name or b"" for (name,) in _rows(await connection.query(schema.VIEWS))]
    told = [(name, await _read_definition(connection, name)) for name in names]
    return checksum, columns, keys, {name.decode(): text for name, text in told}


async def _read_definition(connection: BackendConnection, view: bytes) -> str:
    """Empty when the server does not tell it: the view is gone, or its owner may not see it."""
    try:
        shown = await connection.query(b"SHOW CREATE VIEW `%b`" % view.replace(b"`", b"``"))
    except MysqlError as exc:
        log.warning("cannot read the definition of view %s: %s", view.decode(), exc.text)
        return ""
    return (shown.values()[0][1] or b"").decode()


def _rows(result: Result) -> list[Row]:
    return [tuple(row) for row in result.values()]
