"""The connections of this process to one instance: bounded, shared, never kept in doubt.

A pool belongs to one epoch of one shard. When the routing table names another primary or a higher
epoch, the pool is retired: what runs may end, and everything else is closed at once, open
transactions too. While its shard is moving it drains: nothing new begins, open transactions may go
on until `end_what_is_open`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator

from mitosis_gate import metrics
from mitosis_gate.backends import connection as backend
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection, Target
from mitosis_gate.errors import GateError, PoolExhausted
from mitosis_gate.relay import LaneState, PoolState
from mitosis_gate.settings import Settings


class PoolRetired(Exception):
    """Ask the topology again: nothing may begin here now, or ever again."""


class Lane(LaneState):
    """The part of a pool that one account and one set of capabilities can use."""

    __slots__ = ("account", "shard", "variant")

    def __init__(self, pool: "Pool", account: Account, variant: int) -> None:
        self.pool = pool
        self.shard = pool.target.shard
        self.account = account
        self.variant = variant
        self.idle: list[BackendConnection] = []

    def take(self) -> BackendConnection | None:
        """The connection used last, because its caches are warm; None when all are busy."""
        if not self.idle:
            return None
        connection = self.idle.pop()
        connection.is_idle = False
        return connection

    def oldest(self) -> BackendConnection:
        connection = self.idle.pop(0)
        connection.is_idle = False
        return connection

    def take_this(self, connection: BackendConnection, user: object) -> bool:
        """Take this very connection if nobody but `user` has used it since."""
        if not connection.is_idle or connection.last_user != user:
            return False
        self.idle.remove(connection)
        connection.is_idle = False
        return True

    def give(self, connection: BackendConnection) -> None:
        """After use, and only when its answer has come to its end."""
        if not connection.alive:
            return
        assert not connection.is_idle, f"{connection} was given back twice"
        if connection.obsolete or connection.is_foreign or connection.in_transaction:
            connection.close("obsolete" if connection.obsolete else "not clean")
            return
        pool = self.pool
        if pool.waiting:
            pool.pass_on(self, connection)
        else:
            connection.idle_since = pool.now
            connection.is_idle = True
            self.idle.append(connection)

    def lost(self, connection: BackendConnection) -> None:
        if connection in self.idle:
            self.idle.remove(connection)
        self.pool.forget(connection)

    def kill(self, connection: BackendConnection) -> None:
        self.pool.kill(connection, query_only=False)

    def interrupt(self, connection: BackendConnection) -> asyncio.Task[None]:
        return self.pool.kill(connection, query_only=True)


class Pool(PoolState):
    def __init__(self, target: Target, settings: Settings) -> None:
        self.target = target
        self.retired = False
        self.draining = False
        self.avoided_until = 0.0
        """A replica that did not answer is not asked before this time."""
        self.waiting: deque[tuple[Lane, asyncio.Future[BackendConnection | None]]] = deque()
        self.now = time.monotonic()
        """A clock that `sweep` moves on, so that giving back asks no other."""
        self._settings = settings
        self._lanes: dict[tuple[Account, int], Lane] = {}
        self._connections: set[BackendConnection] = set()
        self._opening = 0
        self._kills: set[asyncio.Task[None]] = set()

    def lane(self, account: Account, variant: int) -> Lane:
        key = (account, variant)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(self, account, variant)
        return lane

    @property
    def size(self) -> int:
        return len(self._connections) + self._opening

    @property
    def idle(self) -> int:
        return sum(len(lane.idle) for lane in self._lanes.values())

    def __iter__(self) -> Iterator[BackendConnection]:
        return iter(tuple(self._connections))

    async def acquire(self, lane: Lane, fresh: bool = False) -> BackendConnection:
        """Raises PoolExhausted, BackendUnreachable, MysqlError, or PoolRetired.

        `fresh`: a new connection, because one that lay idle has just turned out to be dead.
        """
        try:
            async with asyncio.timeout(self._settings.pool_wait_seconds) as limit:
                while True:
                    if self.retired or self.draining:
                        raise PoolRetired
                    connection = None if fresh else lane.take()
                    if connection is not None:
                        return connection
                    if self._has_room():
                        limit.reschedule(None)
                        connection = await self._open(lane)
                    else:
                        connection = await self._wait(lane)
                    if connection is None:
                        continue
                    if self.retired or self.draining:
                        lane.give(connection)
                        continue
                    return connection
        except TimeoutError as exc:
            raise PoolExhausted(
                f"all {self._settings.max_backends} connections to {self.target.title} stayed "
                f"busy for {self._settings.pool_wait_seconds:g} s ({len(self.waiting)} more are "
                "waiting): repeat later, or raise --max-backends"
            ) from exc

    def _has_room(self) -> bool:
        if self.size < self._settings.max_backends:
            return True
        for lane in self._lanes.values():
            if lane.idle:
                lane.oldest().close("made room")
                return True
        return False

    async def _open(self, lane: Lane) -> BackendConnection:
        self._opening += 1
        try:
            made = await backend.connect(
                self.target, lane.account, lane.variant, self._settings.connect_seconds
            )
        finally:
            self._opening -= 1
        made.owner = lane
        made.obsolete = self.retired
        made.draining = self.draining
        self._connections.add(made)
        return made

    async def _wait(self, lane: Lane) -> BackendConnection | None:
        future: asyncio.Future[BackendConnection | None]
        future = asyncio.get_running_loop().create_future()
        entry = (lane, future)
        self.waiting.append(entry)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._undo(lane, future.result())
            elif entry in self.waiting:
                self.waiting.remove(entry)
            raise

    def _undo(self, lane: Lane, given: BackendConnection | None) -> None:
        if given is None:
            self._wake_one()
        else:
            lane.give(given)

    def pass_on(self, lane: Lane, connection: BackendConnection) -> None:
        """Give to who waits longest; one of another lane gets the room instead."""
        while self.waiting:
            wanted, future = self.waiting.popleft()
            if future.done():
                continue
            if wanted is lane:
                future.set_result(connection)
            else:
                connection.close("made room")
                future.set_result(None)
            return
        connection.is_idle = True
        lane.idle.append(connection)

    def _wake_one(self) -> None:
        while self.waiting:
            _, future = self.waiting.popleft()
            if not future.done():
                future.set_result(None)
                return

    def forget(self, connection: BackendConnection) -> None:
        self._connections.discard(connection)
        self._wake_one()

    def retire(self, why: str = "") -> None:
        self.retired = True
        for lane in self._lanes.values():
            idle, lane.idle = lane.idle, []
            for connection in idle:
                connection.close("obsolete")
        for connection in self:
            connection.obsolete = True
            if connection.in_transaction and not connection.busy:
                connection.end(why)
        while self.waiting:
            self._wake_one()

    def drain(self, draining: bool) -> None:
        """The shard begins to move; False: it stays after all."""
        self.draining = draining
        for connection in self:
            connection.draining = draining
        while draining and self.waiting:
            self._wake_one()

    @property
    def running(self) -> int:
        """Connections on which a statement or a transaction is open."""
        return sum(c.busy or c.in_transaction for c in self._connections)

    def end_what_is_open(self, why: str) -> None:
        """The time of those that were open when the shard began to move is over."""
        for connection in self:
            if connection.busy or connection.in_transaction:
                metrics.TRANSACTIONS_ENDED.labels(shard=self.target.shard).inc()
                connection.end(why)

    def sweep(self, now: float) -> None:
        """Every second or so: close what was idle for long, and tell the figures."""
        self.now = now
        oldest = now - self._settings.backend_idle_seconds
        for lane in self._lanes.values():
            while lane.idle and lane.idle[0].idle_since < oldest:
                lane.oldest().close("idle")
        idle = self.idle
        name = self.target.instance
        metrics.BACKENDS.labels(instance=name, state="idle").set(idle)
        metrics.BACKENDS.labels(instance=name, state="busy").set(self.size - idle)

    async def end_statement(
        self, connection: BackendConnection, patience_seconds: float, answer: bytes = b""
    ) -> None:
        """End the statement that runs there and return when it has ended: KILL QUERY, and KILL when
        that is of no effect. `answer` is the error that the sink gets in place of 1317.

        Until then the connection is for nobody else: a KILL QUERY that comes late would end the
        statement of another session.
        """
        if not connection.busy:
            return
        ended = connection.watch_end(answer)
        was_foreign, connection.is_foreign = connection.is_foreign, True
        await self._kill(connection, query_only=True)
        await asyncio.wait([ended], timeout=patience_seconds)
        if not ended.done():
            await self._kill(connection, query_only=False)
            await asyncio.wait([ended], timeout=patience_seconds)
            if not ended.done():
                connection.close("killed")
        elif connection.scanner.error is not None:
            connection.is_foreign = was_foreign

    def kill(self, connection: BackendConnection, query_only: bool) -> asyncio.Task[None]:
        """End what runs on a connection, from a connection of the same account."""
        task = asyncio.get_running_loop().create_task(self._kill(connection, query_only))
        self._kills.add(task)
        task.add_done_callback(self._kills.discard)
        return task

    async def _kill(self, connection: BackendConnection, query_only: bool) -> None:
        what = b"KILL QUERY %d" if query_only else b"KILL %d"
        try:
            other = await backend.connect(
                self.target,
                connection.account,
                backend.GATE_VARIANT,
                self._settings.connect_seconds,
            )
        except GateError:
            return  # the instance is gone, and what ran there with it
        try:
            await other.query(what % connection.thread_id)
        except GateError:
            return  # it has ended by itself
        finally:
            other.close("done")
