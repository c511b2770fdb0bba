"""The planner of each keyspace, kept up with its schema and its routing table.

The schema is read through the gate's own account, from the shard that owns slot 0. It is read
again after DDL of this gate, when a statement names an unknown table, when the schema epoch says
that some gate has changed it, and when a checksum of information_schema says that somebody has.

What is in force is what was read, without the tables that must not be used now: those that are
being changed, and all of them when no look at the epoch was answered within the lease
(`executor.epochs`). To the planner they are unknown, and a statement with an unknown table comes to
`known_again`.
"""

import asyncio
import contextlib
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from mitosis_gate import metrics
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.sinks import Result
from mitosis_gate.errors import (
    GateError,
    MysqlError,
    ShardUnavailable,
    TableChanges,
    Unavailable,
    UnknownDatabase,
)
from mitosis_gate.executor.epochs import EPOCH_SECONDS, LEASE_SECONDS, Eye, Seen
from mitosis_gate.planner import schema, table_keys
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.schema import Schema, Table
from mitosis_gate.wire import packets
from mitosis_routing.table import RoutingTable

log = logging.getLogger(__name__)

AGAIN_SECONDS = 0.1
"""How often the epoch is looked at while a statement waits for a table."""
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

    async def beside(
        self, keyspace: str, shard: str, account: Account, kept: BackendConnection | None
    ) -> BackendConnection: ...


class Tables(Protocol):
    """The part of `RoutingBook` that is needed here."""

    @property
    def tables(self) -> Mapping[str, RoutingTable]: ...

    def get(self, keyspace: str) -> RoutingTable | None: ...


class GateAccounts(Protocol):
    def gate(self, keyspace: str) -> Account: ...


@dataclass(eq=False)
class _Watch:
    """What is known of how old the picture of one keyspace is."""

    eye: Eye
    known: Seen | None = None
    """What the last look before the reading found."""
    began: float = 0.0
    """When the last look began that found nothing newer."""
    expiry: asyncio.TimerHandle | None = None
    is_late: bool = False
    """The lease is over: the picture may be too old."""

    def close(self) -> None:
        self.eye.close()
        if self.expiry is not None:
            self.expiry.cancel()


class Planners:
    """One Planner for each keyspace in use."""

    def __init__(
        self,
        book: Tables,
        shards: Shards,
        accounts: GateAccounts,
        cache_bytes: int,
        check_seconds: float,
        hold_seconds: float = 10.0,
    ) -> None:
        """`hold_seconds`: how long a statement waits for a table that is being changed."""
        self._hold_seconds = hold_seconds
        self._book = book
        self._shards = shards
        self._accounts = accounts
        self._cache_bytes = cache_bytes
        self._check_seconds = check_seconds
        self._planners: dict[str, Planner] = {}
        self.planner = self._planners.get
        """The planner in force; None while the schema has not been read: then await `ready`. It is
        asked for each statement, hence no method of ours."""
        self._checksums: dict[str, Checksum] = {}
        self._whole: dict[str, Planner] = {}
        """What was read, with all tables; `_planners` are those in force."""
        self._watches: defaultdict[str, _Watch] = defaultdict(lambda: _Watch(Eye(shards)))
        self._new = asyncio.Event()
        self._turns: dict[str, asyncio.Task[Planner]] = {}
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._looking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
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

    def epoch(self, keyspace: str) -> int:
        """Of the schema that is in force, as far as this process knows; -1 while it knows nothing
        for certain."""
        watch = self._watches[keyspace]
        return -1 if watch.known is None or watch.is_late else watch.known.epoch

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
        """Look at the epochs until cancelled; a keyspace that is slow to answer delays no other."""
        following: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                for keyspace in tuple(self._planners):
                    if keyspace not in following or following[keyspace].done():
                        following[keyspace] = asyncio.create_task(self._follow(keyspace))
                await asyncio.sleep(EPOCH_SECONDS)
        finally:
            for task in following.values():
                task.cancel()
            for watch in self._watches.values():
                watch.close()

    async def _follow(self, keyspace: str) -> None:
        try:
            await self.look(keyspace)
        except GateError as exc:
            log.debug("cannot see the schema epoch of %s: %s", keyspace, exc.text)

    async def look(self, keyspace: str) -> None:
        """Look at the epoch now, and read the schema if it has risen; raises GateError.

        Whoever asks after a look has begun shares the next one.
        """
        turn = self._looks.get(keyspace)
        if turn is None:
            turn = self._looks[keyspace] = asyncio.create_task(self._look_in_turn(keyspace))
            turn.add_done_callback(_note_failure)
        await asyncio.shield(turn)

    async def _look_in_turn(self, keyspace: str) -> None:
        async with self._looking[keyspace]:
            del self._looks[keyspace]
            table = self._book.get(keyspace)
            if table is None or not _is_watched(table):
                return
            watch = self._watches[keyspace]
            began = asyncio.get_running_loop().time()
            seen = await watch.eye.look(table, self._accounts.gate(keyspace))
            if watch.known is not None and seen.adds_nothing_to(watch.known):
                self._confirm(keyspace, began)
                return
            log.info("the schema of %s is at epoch %d: reading it again", keyspace, seen.epoch)
            await self.refresh(keyspace)

    async def is_newer(self, keyspace: str, planner: Planner) -> bool:
        """Whether another planner is in force than this one, by which a shard refused a statement.

        Looks at the epoch, so that the answer is about the schema as it is now.
        """
        if self._planners.get(keyspace) is planner and _is_watched(planner.table):
            try:
                await self.look(keyspace)
            except GateError as exc:
                log.info("cannot see the schema epoch of %s: %s", keyspace, exc.text)
        return self._planners.get(keyspace) is not planner

    async def known_again(self, keyspace: str, name: str) -> Planner:
        """The planner for a statement with a table that was unknown to the planner in force.

        Waits while the table is being changed; raises TableChanges after `hold_seconds`.
        """
        time = asyncio.get_running_loop().time
        end = time() + self._hold_seconds
        while True:
            problem = f"its change has not ended within {self._hold_seconds:g} s (--hold-seconds)"
            try:
                await self.look(keyspace)
            except GateError as exc:
                problem = exc.text
            if not self._is_held(keyspace, name):
                break
            if time() >= end:
                raise TableChanges(
                    f"table {name} cannot be used now: {problem}; GATE SHOW DDL tells what changes "
                    "it; repeat later"
                )
            await asyncio.sleep(AGAIN_SECONDS)
        return await self.refresh(keyspace)

    def _is_held(self, keyspace: str, name: str) -> bool:
        watch = self._watches[keyspace]
        table = self._book.get(keyspace)
        if table is None or not _is_watched(table):
            return False
        return watch.is_late or (watch.known is not None and name in watch.known.changing)

    def _confirm(self, keyspace: str, began: float) -> None:
        """Nothing newer than what was read before had been there at this time."""
        watch = self._watches[keyspace]
        watch.began = max(watch.began, began)
        if watch.expiry is not None:
            watch.expiry.cancel()
        end = watch.began + LEASE_SECONDS
        loop = asyncio.get_running_loop()
        watch.expiry = loop.call_at(end, self._expire, keyspace)
        was_late, watch.is_late = watch.is_late, loop.time() >= end
        if was_late and not watch.is_late:
            log.info("the schema of %s is confirmed again", keyspace)
        self._put_in_force(keyspace)

    def _expire(self, keyspace: str) -> None:
        log.warning(
            "no shard of %s has told the epoch of the schema for %g s: statements wait",
            keyspace,
            LEASE_SECONDS,
        )
        self._watches[keyspace].is_late = True
        self._put_in_force(keyspace)

    def _put_in_force(self, keyspace: str) -> None:
        whole = self._whole.get(keyspace)
        if whole is None:
            return
        watch = self._watches[keyspace]
        tables = whole.schema.tables
        hidden: frozenset[str] = frozenset()
        if _is_watched(whole.table):
            hidden = watch.known.changing if watch.known is not None else frozenset()
            hidden = frozenset(tables) if watch.is_late else hidden & tables.keys()
        if not hidden:
            self._planners[keyspace] = whole
            return
        left = {name: table for name, table in tables.items() if name not in hidden}
        if not self._is_in_force(keyspace, whole, left):
            facts = replace(whole.schema, tables=left)
            self._planners[keyspace] = Planner(facts, whole.table, self._cache_bytes)

    def _is_in_force(self, keyspace: str, whole: Planner, left: dict[str, Table]) -> bool:
        now = self._planners.get(keyspace)
        return now is not None and now.table is whole.table and now.schema.tables == left

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
        began, seen = await self._seen_before(keyspace)
        try:
            read = _read_schema if len(self._table(keyspace).shards) > 1 else _read_tables
            checksum, rows, keys, views = await self._from_some_shard(keyspace, read)
        except GateError:
            metrics.SCHEMA_LOADS.labels(outcome="failed").inc()
            raise
        metrics.SCHEMA_LOADS.labels(outcome="done").inc()
        self._checksums[keyspace] = checksum
        found = schema.from_rows(rows, definitions=views, keys=table_keys.from_rows(keys))
        if seen is not None:
            self._watches[keyspace].known = seen
        made = self._make(keyspace, self._with_version(keyspace, found), self._table(keyspace))
        if seen is None:
            return made
        self._confirm(keyspace, began)
        return self._planners[keyspace]

    async def _seen_before(self, keyspace: str) -> tuple[float, Seen | None]:
        """A look before the schema is read, which is then at least as new as what was seen."""
        table = self._table(keyspace)
        began = asyncio.get_running_loop().time()
        if not _is_watched(table):
            return began, None
        try:
            account = self._accounts.gate(keyspace)
            return began, await self._watches[keyspace].eye.look(table, account)
        except GateError as exc:
            log.info("cannot see the schema epoch of %s: %s", keyspace, exc.text)
            return began, None

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
        known = self._whole.get(keyspace)
        if known is None:
            return replace(found, version=1)
        if known.schema.tables == found.tables:
            return known.schema
        return replace(found, version=known.schema.version + 1)

    def _make(self, keyspace: str, facts: Schema, table: RoutingTable) -> Planner:
        old = self._whole.get(keyspace)
        if old is None or old.schema is not facts or old.table is not table:
            self._whole[keyspace] = Planner(facts, table, self._cache_bytes)
            watch = self._watches[keyspace]
            if _is_watched(table) and watch.known is None:
                watch.is_late = True
        self._put_in_force(keyspace)
        return self._planners[keyspace]

    def _table(self, keyspace: str) -> RoutingTable:
        table = self._book.get(keyspace)
        if table is None:
            raise UnknownDatabase(f"Unknown database '{keyspace}': no keyspace of this name")
        return table


def _is_watched(table: RoutingTable) -> bool:
    """With one shard no row can be misplaced, and MySQL knows its own schema."""
    return len(table.shards) > 1


def _note_failure(turn: asyncio.Task[Any]) -> None:
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
