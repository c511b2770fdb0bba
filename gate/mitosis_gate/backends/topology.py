"""Which instance takes the statements of which shard, as the routing tables say.

A new table swaps all at once. Pools whose shard kept its epoch and its primary live on. The pool of
a shard that is moving drains: what is open on it may go on until the deadline in the table or the
drain time of the settings, then it is ended; nothing new begins. When the shard turns out to stay,
the pool serves again; when it moved, the pool is retired.

`older` tells on which shards something still runs that began under an older table. Together with
the version obeyed it is what the operator waits for before it takes a primary's writes away.
"""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from mitosis_gate.backends import connection as backend
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import GATE_VARIANT, BackendConnection, Target
from mitosis_gate.backends.holding import Place, Queue, Trouble
from mitosis_gate.backends.pool import Lane, Pool, PoolRetired
from mitosis_gate.errors import (
    BackendUnreachable,
    GateError,
    InternalError,
    ShardGone,
    Unavailable,
    UnknownDatabase,
)
from mitosis_gate.relay import LanesState
from mitosis_gate.settings import BackendTls, Settings
from mitosis_routing.table import (
    InstanceRoute,
    Role,
    RoutingTable,
    ShardRoute,
    ShardState,
)

SWEEP_SECONDS = 1.0
RETRY_SECONDS = 0.25
AVOID_SECONDS = 1.0
"""How long a replica that did not answer, or had no connection free, is not asked again."""
LOOK_SECONDS = 0.01
"""How often it is looked whether what began under an older table has ended, while it has not."""
TAKES_WRITES = b"SELECT @@global.read_only + @@global.super_read_only + @@global.innodb_read_only"
DEFAULT_SERVER_VERSION = "9.7.0"
"""Told to clients until the first backend has told its own."""


@dataclass(frozen=True)
class PoolFacts:
    """What people are shown of one pool."""

    keyspace: str
    shard: str
    epoch: int
    instance: str
    connections: int
    idle: int
    waiting: int


class Lanes(LanesState):
    """The way of one account to each shard of one table, by index; None: wait for it.

    Kept by sessions for as long as `current`.
    """

    __slots__ = ("named", "table")

    def __init__(self, table: RoutingTable, lanes: tuple[Lane | None, ...]) -> None:
        self.table = table
        self.lanes = lanes
        self.named = {lane.shard: lane for lane in lanes if lane is not None}
        self.current = True


class _Keyspace:
    """One table in force."""

    def __init__(
        self,
        table: RoutingTable,
        pools: tuple[Pool | None, ...],
        draining: tuple[Pool, ...],
        replicas: Mapping[str, tuple[Pool, ...]],
    ) -> None:
        self.table = table
        self.pools = pools
        """Of the shards that serve, by index."""
        self.draining = draining
        self.replicas = replicas
        """By shard; they serve also while it has no primary."""
        self._lanes: dict[tuple[Account, int, bool], Lanes] = {}

    def all_pools(self) -> Iterator[Pool]:
        yield from (p for p in self.pools if p is not None)
        yield from self.draining
        for pools in self.replicas.values():
            yield from pools

    def lanes(self, account: Account, variant: int, held: bool) -> Lanes:
        """`held`: every statement takes the way that can wait."""
        key = (account, variant, held)
        found = self._lanes.get(key)
        if found is None:
            pools = [None if held else p for p in self.pools]
            lanes = tuple(p.lane(account, variant) if p else None for p in pools)
            found = self._lanes[key] = Lanes(self.table, lanes)
        return found

    def expire(self) -> None:
        for lanes in self._lanes.values():
            lanes.current = False
        self._lanes.clear()


class Topology:
    def __init__(self, settings: Settings, wall_clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._wall_clock = wall_clock
        self._keyspaces: dict[str, _Keyspace] = {}
        self._queues: dict[tuple[str, str], Queue] = {}
        self._retired: list[tuple[str, Pool]] = []
        self._ends: dict[Pool, asyncio.TimerHandle] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._looking: asyncio.Task[None] | None = None
        self.doubt = ""
        """Why writes are held on all shards; empty: the tables are confirmed."""
        self.news: Callable[[], None] = lambda: None
        """Called when what `older` says has changed."""
        self.server_version = DEFAULT_SERVER_VERSION

    def obey(self, keyspace: str, table: RoutingTable | None) -> None:
        """Take over a table, or drop the keyspace; whether it may be obeyed was judged before."""
        old = self._keyspaces.pop(keyspace, None)
        kept = set(old.all_pools()) if old else set()
        if table is not None:
            home = self._made(table, {p.target: p for p in kept})
            self._keyspaces[keyspace] = home
            kept -= set(home.all_pools())
        if old is not None:
            old.expire()
        for pool in kept:
            self._retire(keyspace, pool)
        self._tell_queues(keyspace, table)
        self._look()

    def _made(self, table: RoutingTable, known: dict[Target, Pool]) -> _Keyspace:
        pools: list[Pool | None] = []
        draining: list[Pool] = []
        for shard in table.shards:
            primary = _writer(shard)
            target = None if primary is None else self._target(table, shard, primary)
            pool = None if target is None else known.get(target)
            if shard.primary is not None and target is not None:
                pool = pool or Pool(target, self._settings)
                self._stays(pool)
                pools.append(pool)
                continue
            pools.append(None)
            if shard.state is ShardState.MOVING and pool is not None:
                draining.append(pool)
                self._moves(pool, shard)
        replicas = {
            shard.name: tuple(
                known.get(target) or Pool(target, self._settings)
                for instance in shard.instances
                if instance.role is Role.REPLICA and instance.host
                for target in (self._target(table, shard, instance),)
            )
            for shard in table.shards
        }
        return _Keyspace(table, tuple(pools), tuple(draining), replicas)

    def _target(self, table: RoutingTable, shard: ShardRoute, instance: InstanceRoute) -> Target:
        tls = None
        if self._settings.backend_tls is BackendTls.REQUIRED:
            tls = self._context(table.ca)
        return Target(
            shard.name,
            shard.epoch,
            instance.name,
            instance.host,
            instance.port,
            instance.server_uuid,
            tls,
            instance.role.value,
        )

    def _moves(self, pool: Pool, shard: ShardRoute) -> None:
        """What is open gets its end time; a second table of the same move does not change it."""
        if pool.draining:
            return
        pool.drain(True)
        seconds = self._settings.moving_drain_seconds
        if shard.deadline:
            left = _wall_time(shard.deadline) - self._wall_clock()
            seconds = max(0.0, min(seconds, left))
        reason = shard.reason or "planned"
        why = f"shard {shard.name} is moving ({reason}) and gave it {seconds:.1f} s"
        self._ends[pool] = asyncio.get_running_loop().call_later(
            seconds, pool.end_what_is_open, why
        )

    def _stays(self, pool: Pool) -> None:
        if pool.draining:
            pool.drain(False)
        end = self._ends.pop(pool, None)
        if end is not None:
            end.cancel()

    def _retire(self, keyspace: str, pool: Pool) -> None:
        self._stays(pool)
        pool.retire(f"{pool.target.instance} of shard {pool.target.shard} is primary no more")
        self._retired.append((keyspace, pool))

    def _tell_queues(self, keyspace: str, table: RoutingTable | None) -> None:
        """Events begin and end with the table; a server that showed trouble is tried again."""
        routes = {s.name: s for s in table.shards} if table else {}
        for key in [k for k in self._queues if k[0] == keyspace]:
            if key[1] not in routes:
                self._queues.pop(key).end()
        for route in routes.values():
            queue = self._queue(keyspace, route.name)
            if route.primary is None:
                queue.begin()
            elif queue.trouble is Trouble.NONE and not self.doubt:
                queue.end()
            queue.wake()

    def _queue(self, keyspace: str, shard: str) -> Queue:
        queue = self._queues.get((keyspace, shard))
        if queue is None:
            queue = self._queues[keyspace, shard] = Queue(shard, self._settings)
        return queue

    def hold_writes(self, why: str) -> None:
        """The tables cannot be confirmed: writes wait, reads go on. Empty: they can be again."""
        was, self.doubt = self.doubt, why
        if bool(was) == bool(why):
            return
        for home in self._keyspaces.values():
            home.expire()
        for keyspace, home in self._keyspaces.items():
            self._tell_queues(keyspace, home.table)

    # what still runs under an older table

    def older(self, keyspace: str) -> tuple[str, ...]:
        """Shards on which something runs that began before they moved."""
        home = self._keyspaces.get(keyspace)
        draining = home.draining if home else ()
        retired = [p for name, p in self._retired if name == keyspace and p.target.is_primary]
        return tuple(sorted({p.target.shard for p in (*draining, *retired) if p.running}))

    def _look(self) -> None:
        if self._looking is None and (
            self._retired or any(home.draining for home in self._keyspaces.values())
        ):
            self._looking = asyncio.get_running_loop().create_task(self._look_until_quiet())

    async def _look_until_quiet(self) -> None:
        """Nobody tells when a connection comes to rest: that would cost every statement."""
        before: list[tuple[str, ...]] = []
        try:
            while True:
                keyspaces = {*self._keyspaces, *(name for name, _ in self._retired)}
                now = [self.older(keyspace) for keyspace in sorted(keyspaces)]
                if now != before:
                    self.news()
                if not any(now):
                    return
                before = now
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._looking = None

    def _context(self, ca: str) -> ssl.SSLContext:
        context = self._contexts.get(ca)
        if context is None:
            context = ssl.create_default_context(cadata=ca or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._contexts = {ca: context}
        return context

    def table(self, keyspace: str) -> RoutingTable:
        return self._keyspace(keyspace).table

    def knows(self, keyspace: str) -> bool:
        return keyspace in self._keyspaces

    def _keyspace(self, keyspace: str) -> _Keyspace:
        found = self._keyspaces.get(keyspace)
        if found is None:
            raise UnknownDatabase(f"Unknown database '{keyspace}': no keyspace of this name")
        return found

    def lanes(self, account: Account, variant: int, held: bool = False) -> Lanes:
        """`held`: none that can be used at once, for a session that has more to decide."""
        return self._keyspace(account.keyspace).lanes(account, variant, held or bool(self.doubt))

    async def borrow_replica(
        self, account: Account, shard: str, variant: int, wanted: str = ""
    ) -> BackendConnection | None:
        """A free connection to the instance `wanted`, or to some replica; None when there is none.

        One that does not answer is passed over for a while.
        """
        pools = self._keyspace(account.keyspace).replicas.get(shard, ())
        for pool in sorted(pools, key=lambda p: (p.target.instance != wanted, random.random())):
            now = time.monotonic()
            if now < pool.avoided_until:
                continue
            try:
                return await pool.acquire(pool.lane(account, variant))
            except (Unavailable, PoolRetired):
                pool.avoided_until = now + AVOID_SECONDS
        return None

    async def borrow(
        self,
        keyspace: str,
        shard: str,
        account: Account,
        variant: int = GATE_VARIANT,
        *,
        writes: bool = True,
        fresh: bool = False,
    ) -> BackendConnection:
        """A free connection to the primary, once it takes what is meant for it.

        Nothing has been sent, so that waiting for another table and trying again is safe. A read
        (`writes` is False) waits for less. `fresh`: not one that lay idle.

        Raises Unavailable at the limits of holding, ShardGone, PoolExhausted, MysqlError.
        """
        queue = self._queue(keyspace, shard)
        place: Place | None = None
        try:
            while True:
                pool, why = self._usable(keyspace, shard, writes)
                again = None
                if pool is not None:
                    if queue.may_try(place, writes):
                        again = RETRY_SECONDS
                        try:
                            lane = pool.lane(account, variant)
                            connection = await self._tried(queue, lane, writes, fresh)
                        except PoolRetired:
                            continue
                        except BackendUnreachable as exc:
                            queue.begin(Trouble.UNREACHABLE, exc.text)
                        else:
                            if connection is not None:
                                if place is not None:
                                    place.passed()
                                self.server_version = connection.server_version
                                return connection
                    why = queue.why
                if place is None:
                    place = queue.enter(why)
                await place.change(why, again)
        finally:
            if place is not None:
                place.leave()

    def _usable(self, keyspace: str, shard: str, writes: bool) -> tuple[Pool | None, str]:
        """The pool that the table allows, or the reason why there is none now."""
        home = self._keyspace(keyspace)
        route = home.table.shard(shard)
        if route is None:
            raise ShardGone(f"shard {shard} is no longer part of {keyspace}: repeat")
        if writes and self.doubt:
            return None, self.doubt
        if route.primary is None:
            return None, route.reason or f"its state is {route.state}"
        return home.pools[home.table.shards.index(route)], ""

    async def _tried(
        self, queue: Queue, lane: Lane, writes: bool, fresh: bool
    ) -> BackendConnection | None:
        """A connection; after trouble only one whose server does what is needed."""
        connection = await lane.pool.acquire(lane, fresh)
        if queue.trouble is Trouble.NONE:
            return connection
        try:
            rows = (await connection.query(TAKES_WRITES)).values()
        except GateError as exc:
            connection.close("failed")
            raise BackendUnreachable(exc.text) from exc
        if rows[0][0] == b"0":
            queue.end()
            return connection
        queue.begin(Trouble.READ_ONLY, f"{lane.pool.target.title} takes no writes: it is read-only")
        if not writes:
            queue.wake()
            return connection
        lane.give(connection)
        return None

    def is_clear(self, keyspace: str, shard: str) -> bool:
        """Whether nothing is known that a statement would have to wait for."""
        queue = self._queues.get((keyspace, shard))
        return not self.doubt and (queue is None or queue.trouble is Trouble.NONE)

    def refused(self, keyspace: str, shard: str, why: str) -> None:
        """The primary said that it takes no writes: they wait until it does, or another one."""
        if keyspace in self._keyspaces:
            self._queue(keyspace, shard).begin(Trouble.READ_ONLY, why)

    async def settled(self, keyspace: str, connection: BackendConnection) -> None:
        """Wait while it is open whether the shard of a connection moves; for one that is pinned."""
        place: Place | None = None
        try:
            while connection.draining and connection.alive:
                why = f"shard {connection.shard} is moving"
                place = place or self._queue(keyspace, connection.shard).enter(why)
                await place.change(why, None)
        finally:
            if place is not None:
                place.leave()

    async def confirmed(self, keyspace: str, shard: str) -> None:
        """Wait while the tables are in doubt: for a write in a transaction that is open already."""
        if not self.doubt:
            return
        place = self._queue(keyspace, shard).enter(self.doubt)
        try:
            while self.doubt:
                await place.change(self.doubt, None)
            place.passed()
        finally:
            place.leave()

    def give_back(self, connection: BackendConnection) -> None:
        lane = connection.owner
        if not isinstance(lane, Lane):
            raise InternalError(f"{connection} was not borrowed")
        lane.give(connection)

    @contextlib.asynccontextmanager
    async def lent(
        self,
        keyspace: str,
        shard: str,
        account: Account,
        variant: int = GATE_VARIANT,
        *,
        writes: bool = False,
    ) -> AsyncIterator[BackendConnection]:
        connection = await self.borrow(keyspace, shard, account, variant, writes=writes)
        try:
            yield connection
        finally:
            self.give_back(connection)

    async def beside(
        self, keyspace: str, shard: str, account: Account, kept: BackendConnection | None
    ) -> BackendConnection:
        """A connection outside the limits of the pools, to the primary that the table names.

        `kept`: what was given before, given again if it still leads there, closed if not. Nothing
        is waited for. It is the caller's to close.
        """
        home = self._keyspace(keyspace)
        route = home.table.shard(shard)
        pool = home.pools[home.table.shards.index(route)] if route is not None else None
        if kept is not None:
            if pool is not None and kept.alive and kept.target == pool.target:
                return kept
            kept.close("obsolete")
        if pool is None:
            raise ShardGone(f"shard {shard} of {keyspace} has no primary now")
        seconds = self._settings.connect_seconds
        return await backend.connect(pool.target, account, GATE_VARIANT, seconds)

    def describe(self) -> list[PoolFacts]:
        return [
            PoolFacts(
                keyspace,
                pool.target.shard,
                pool.target.epoch,
                pool.target.instance,
                pool.size,
                pool.idle,
                len(pool.waiting),
            )
            for keyspace, home in sorted(self._keyspaces.items())
            for pool in home.all_pools()
        ]

    def _pools(self) -> Iterator[Pool]:
        for home in self._keyspaces.values():
            yield from home.all_pools()
        yield from (pool for _, pool in self._retired)

    def sweep(self) -> None:
        now = time.monotonic()
        for pool in self._pools():
            pool.sweep(now)
        self._retired = [(name, pool) for name, pool in self._retired if pool.size]

    async def run(self) -> None:
        """Keep the pools tidy until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    def close(self) -> None:
        for keyspace in tuple(self._keyspaces):
            self.obey(keyspace, None)
        for pool in self._pools():
            for connection in pool:
                connection.close("shutdown")
        if self._looking is not None:
            self._looking.cancel()


def _writer(shard: ShardRoute) -> InstanceRoute | None:
    """The primary, also of a shard that is moving."""
    return next((i for i in shard.instances if i.role is Role.PRIMARY), None)


def _wall_time(text: str) -> float:
    """RFC 3339; a text that cannot be read is long past: nothing gets more time by mistake."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
