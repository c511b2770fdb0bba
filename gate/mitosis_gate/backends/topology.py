"""Which instance takes the statements of which shard, as the routing tables say.

A new table swaps all at once. Pools whose shard kept its epoch and its primary live on.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import GATE_VARIANT, BackendConnection, Target
from mitosis_gate.backends.pool import Lane, Pool, PoolRetired
from mitosis_gate.errors import (
    BackendUnreachable,
    InternalError,
    ShardUnavailable,
    UnknownDatabase,
)
from mitosis_gate.settings import BackendTls, Settings
from mitosis_routing.table import RoutingTable, ShardRoute

SWEEP_SECONDS = 1.0
RETRY_SECONDS = 0.25
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


class Lanes:
    """The way of one account to each shard of one table, by index; None: no primary.

    Kept by sessions for as long as `current`.
    """

    __slots__ = ("current", "lanes", "table")

    def __init__(self, table: RoutingTable, lanes: tuple[Lane | None, ...]) -> None:
        self.table = table
        self.lanes = lanes
        self.current = True


class _Keyspace:
    """One table in force."""

    def __init__(self, table: RoutingTable, pools: tuple[Pool | None, ...]) -> None:
        self.table = table
        self.pools = pools
        self._lanes: dict[tuple[Account, int], Lanes] = {}

    def lanes(self, account: Account, variant: int) -> Lanes:
        key = (account, variant)
        found = self._lanes.get(key)
        if found is None:
            lanes = tuple(p.lane(account, variant) if p else None for p in self.pools)
            found = self._lanes[key] = Lanes(self.table, lanes)
        return found

    def expire(self) -> None:
        for lanes in self._lanes.values():
            lanes.current = False


class Topology:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keyspaces: dict[str, _Keyspace] = {}
        self._changed: set[asyncio.Future[None]] = set()
        self._retired: list[Pool] = []
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.server_version = DEFAULT_SERVER_VERSION

    def obey(self, keyspace: str, table: RoutingTable | None) -> None:
        """Take over a table, or drop the keyspace; whether it may be obeyed was judged before."""
        old = self._keyspaces.pop(keyspace, None)
        kept = {p for p in old.pools if p} if old else set()
        if table is not None:
            known = {p.target: p for p in kept}
            pools = tuple(self._pool(table, shard, known) for shard in table.shards)
            self._keyspaces[keyspace] = _Keyspace(table, pools)
            kept -= {p for p in pools if p}
        if old is not None:
            old.expire()
        for pool in kept:
            pool.retire()
            self._retired.append(pool)
        changed, self._changed = self._changed, set()
        for future in changed:
            if not future.done():
                future.set_result(None)

    def _pool(
        self, table: RoutingTable, shard: ShardRoute, known: dict[Target, Pool]
    ) -> Pool | None:
        primary = shard.primary
        if primary is None:
            return None
        tls = None
        if self._settings.backend_tls is BackendTls.REQUIRED:
            tls = self._context(table.ca)
        target = Target(
            shard.name,
            shard.epoch,
            primary.name,
            primary.host,
            primary.port,
            primary.server_uuid,
            tls,
        )
        return known.get(target) or Pool(target, self._settings)

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

    def lanes(self, account: Account, variant: int) -> Lanes:
        return self._keyspace(account.keyspace).lanes(account, variant)

    async def borrow(
        self, keyspace: str, shard: str, account: Account, variant: int = GATE_VARIANT
    ) -> BackendConnection:
        """A free connection to the primary, once there is one.

        Nothing has been sent, so that waiting for another table and trying again is safe.
        """
        last: BackendUnreachable | None = None
        route: ShardRoute | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.hold_seconds):
                while True:
                    home = self._keyspace(keyspace)
                    route = home.table.shard(shard)
                    if route is None:
                        raise ShardUnavailable(f"shard {shard} is no longer part of {keyspace}")
                    lane = home.lanes(account, variant).lanes[home.table.shards.index(route)]
                    if lane is None:
                        await self._change(None)
                        continue
                    try:
                        connection = await lane.pool.acquire(lane)
                    except PoolRetired:
                        continue
                    except BackendUnreachable as exc:
                        last = exc
                        await self._change(RETRY_SECONDS)
                    else:
                        self.server_version = connection.server_version
                        return connection
        raise self._unavailable(route, last)

    def _unavailable(
        self, route: ShardRoute | None, last: BackendUnreachable | None
    ) -> ShardUnavailable | BackendUnreachable:
        seconds = f"{self._settings.hold_seconds:g} s"
        if route is None:
            return ShardUnavailable(f"the shard had no primary for {seconds}")
        if route.primary is not None and last is not None:
            return BackendUnreachable(f"{last.text}; tried for {seconds}, repeat later")
        reason = route.reason or f"its state is {route.state}"
        return ShardUnavailable(
            f"shard {route.name} had no primary for {seconds}: {reason}; repeat later"
        )

    async def _change(self, limit_seconds: float | None) -> None:
        """Wait until some table is swapped, or for so long."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changed.add(future)
        try:
            await asyncio.wait_for(future, limit_seconds)
        except TimeoutError:
            if limit_seconds is None:
                raise
        finally:
            self._changed.discard(future)

    def give_back(self, connection: BackendConnection) -> None:
        lane = connection.owner
        if not isinstance(lane, Lane):
            raise InternalError(f"{connection} was not borrowed")
        lane.give(connection)

    @contextlib.asynccontextmanager
    async def lent(
        self, keyspace: str, shard: str, account: Account, variant: int = GATE_VARIANT
    ) -> AsyncIterator[BackendConnection]:
        connection = await self.borrow(keyspace, shard, account, variant)
        try:
            yield connection
        finally:
            self.give_back(connection)

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
            for pool in home.pools
            if pool is not None
        ]

    def _pools(self) -> Iterator[Pool]:
        for home in self._keyspaces.values():
            yield from (p for p in home.pools if p is not None)
        yield from self._retired

    def sweep(self) -> None:
        now = time.monotonic()
        for pool in self._pools():
            pool.sweep(now)
        self._retired = [p for p in self._retired if p.size]

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
