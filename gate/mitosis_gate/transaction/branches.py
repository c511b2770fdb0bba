"""The connections of a transaction: one branch for each shard that has joined it.

`bound` is the connection of the first shard. While it is the only one, everything is MySQL's own
and nothing is added. A further shard joins, as `transaction_mode` says, with XA START or with a
plain transaction. It gets the access mode, the isolation level and the savepoints of those that are
there, and from then on the session waits for row locks no longer than `--lock-wait-seconds`,
because InnoDB does not see a deadlock over two servers. What ends one branch without the others (a
deadlock, a lost connection) ends all: `_abandon`.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Protocol

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.variables import Variables
from mitosis_gate.errors import BackendLost, SeveralShards, TransactionLost
from mitosis_gate.executor import commit
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.commit import Branch, Commits
from mitosis_gate.executor.savepoints import Savepoints
from mitosis_gate.executor.xids import Xid, new_gtrid
from mitosis_gate.relay import BranchesState
from mitosis_routing.table import TransactionMode

Backends = list[tuple[str, BackendConnection]]
START = b"START TRANSACTION"
READ_ONLY = b"SET TRANSACTION READ ONLY"
READ_WRITE = b"SET TRANSACTION READ WRITE"
ROLLED_BACK = frozenset({1206, 1213, 1402, 1613, 1614})
"""Errors after which a server has rolled back the whole branch, not only the statement."""


class Holder(Client, Protocol):
    """What a transaction needs of its session."""

    @property
    def commits(self) -> Commits: ...

    @property
    def transaction_mode(self) -> TransactionMode: ...

    def is_pinned(self, connection: BackendConnection) -> bool:
        """Something besides the transaction keeps this connection for the session."""

    def pinned_connection(self) -> BackendConnection | None:
        """One that is pinned, if any is: `bound` is never None while there is one."""

    def lose_pins(self, connection: BackendConnection) -> None:
        """The connection is gone, and with it what was kept there."""

    async def borrow(self, shard: str) -> BackendConnection:
        """A connection of that shard as it comes; it is the session's to give back."""

    async def tune(self, connection: BackendConnection) -> None:
        """Give it the session's variables."""

    async def tune_to(self, connection: BackendConnection, wanted: Variables) -> None:
        """Give it other variables than the session's."""

    async def prepare_for(self, connection: BackendConnection, sql: bytes) -> None:
        """Run a statement that comes before the client's; a connection that fails is dropped."""

    def owns(self, connection: BackendConnection) -> None:
        """From here on the transaction keeps it, and the end of the statement does not."""

    def committed(self, connection: BackendConnection) -> None:
        """A COMMIT was answered there just now."""

    def release(self, connection: BackendConnection) -> None:
        """The transaction needs it no more: back to its pool, unless it is pinned."""


class Branches(BranchesState):
    __slots__ = ("_gtrid", "_has_snapshot", "_holder")

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self.bound: BackendConnection | None = None
        """The connection of the open transaction, or of what pins the session."""
        self.waits = False
        """The next statement must not be sent before something else: see `join`."""
        self._begin: bytes | None = None
        """BEGIN, while no shard is bound."""
        self._savepoints = Savepoints()
        self._next: dict[str, bytes] = {}
        """SET TRANSACTION for the next one: isolation level and access mode."""
        self._own: dict[str, bytes] = {}
        """The same, of the open one."""
        self._read_only: bool | None = None
        """What START TRANSACTION said."""
        self._joined: dict[str, Branch] = {}
        """Further shards, in the order in which they joined."""
        self._gtrid = b""
        self._is_tracked = False
        """The first shard has told of its state from the beginning."""
        self._has_snapshot = False
        self._lost: str | None = None
        """Why the open transaction is gone; only ROLLBACK leads on."""
        self._rolling: asyncio.Task[None] | None = None
        """A rollback that began when a server ended its branch."""

    def _note(self) -> None:
        self.waits = (
            self._begin is not None
            or self._lost is not None
            or bool(self._next)
            or self._rolling is not None
        )

    @property
    def is_open(self) -> bool:
        """BEGIN was seen, or with autocommit=0 a shard is bound."""
        if self._begin is not None or self._lost is not None or self._joined:
            return True
        return self.bound is not None and self.bound.in_transaction

    @property
    def has_begun_nowhere(self) -> bool:
        """BEGIN still waits for the statement that says the shard."""
        return self._begin is not None

    @property
    def shard(self) -> str | None:
        return self.bound.shard if self.bound is not None else None

    def joined(self) -> list[BackendConnection]:
        """Connections of the further shards."""
        return [b.connection for b in self._joined.values()]

    def holds(self, connection: BackendConnection) -> bool:
        if connection is self.bound:
            return True
        return bool(self._joined) and any(connection is c for c in self.joined())

    def forget(self) -> None:
        """A reset: nothing is open, and whoever calls it has taken all connections away."""
        self._joined = {}
        self._lost = None
        self._close()

    def _close(self) -> None:
        """Nothing is open, and nothing waits for a shard any more."""
        self._begin = None
        self._next.clear()
        self._savepoints.clear()
        self._gtrid = b""
        self._has_snapshot = self._is_tracked = False
        self._note()

    def _is_lost(self) -> TransactionLost:
        return TransactionLost(f"the transaction is rolled back: {self._lost}; ROLLBACK and repeat")

    async def join(self, shard: str) -> BackendConnection:
        """A connection to a shard with the session's variables, inside the transaction."""
        await self._rolled()
        if self._lost is not None:
            raise self._is_lost()
        if self._joined:
            self._must_live(self._connections())
            return await self._join_joined(shard)
        bound = self.bound
        if bound is not None and (not bound.alive or bound.obsolete):
            self._lose_bound(bound)
            bound = self.bound
        if bound is not None and bound.shard != shard:
            if bound.in_transaction and self._begin is None:
                return await self._join_further(shard)
            bound = None
        connection = bound or await self._holder.borrow(shard)
        if self._is_tracked:
            await self._tune_branch(connection, is_first=True)
        else:
            await self._holder.tune(connection)
        if self._begin is not None:
            await self._begin_on(connection)
        elif not connection.in_transaction:
            await self._say_next(connection)
        return connection

    async def _join_joined(self, shard: str) -> BackendConnection:
        branch = self._joined.get(shard)
        if branch is None and shard != self.shard:
            return await self._join_further(shard)
        connection = branch.connection if branch else self.bound
        assert connection is not None
        await self._tune_branch(connection, is_first=branch is None)
        return connection

    async def _say_next(self, connection: BackendConnection) -> None:
        """SET TRANSACTION, for a transaction that begins now."""
        self._own, self._next = self._next, {}
        if self._own:
            self._note()
            for statement in self._own.values():
                await self._holder.prepare_for(connection, statement)

    async def _begin_on(self, connection: BackendConnection) -> None:
        """Every one of them must be OK before the first statement follows."""
        assert self._begin is not None
        connection.transaction_state = b""
        for statement in (*self._next.values(), self._begin, *self._savepoints.statements()):
            await self._holder.prepare_for(connection, statement)
        self.begun_on(connection)

    @property
    def plain_begin(self) -> bytes:
        """BEGIN, when nothing else must come before the next statement; else empty."""
        if self._lost is not None or self._rolling is not None or self._next:
            return b""
        if self.bound is not None or self._is_tracked or self._savepoints:
            return b""
        return self._begin or b""

    def begun_on(self, connection: BackendConnection) -> None:
        """BEGIN, and all that belongs before it, was OK there."""
        self._own, self._next, self._begin = self._next, {}, None
        self._note()
        self.bound = connection
        self._holder.owns(connection)

    async def _join_further(self, shard: str) -> BackendConnection:
        first = self.bound
        assert first is not None
        self._may_join(first.shard, shard)
        is_atomic = self._holder.transaction_mode is TransactionMode.ATOMIC
        connection = await self._holder.borrow(shard)
        if not self._joined:
            await self._tune_branch(first, is_first=True)
        await self._tune_branch(connection, is_first=False)
        xid = self._new_xid(first.shard, shard) if is_atomic else None
        connection.transaction_state = b""
        for statement in (*self._own.values(), *_access(self._read_only)):
            await self._holder.prepare_for(connection, statement)
        await self._holder.prepare_for(connection, b"XA START " + xid.sql if xid else START)
        connection.is_branch = xid is not None
        for statement in self._savepoints.statements():
            await self._holder.prepare_for(connection, statement)
        self._joined[shard] = Branch(connection, xid, reads_only=self._reads_only())
        self._holder.owns(connection)
        return connection

    def _may_join(self, first: str, shard: str) -> None:
        if self._has_snapshot:
            raise SeveralShards(
                f"shard {shard} was not there when the snapshot was taken: ROLLBACK and repeat"
            )
        if self._holder.transaction_mode is TransactionMode.SINGLE:
            raise SeveralShards(
                f"the open transaction is on shard {first} and the statement needs {shard}: "
                "transaction_mode is 'single', so that a transaction stays on one shard; COMMIT or "
                "ROLLBACK first, or SET transaction_mode = 'atomic' before BEGIN"
            )

    def _new_xid(self, first: str, shard: str) -> Xid:
        table = self._holder.table
        slots = {s.name: s.slots for s in table.shards}
        if first not in slots or shard not in slots:
            raise SeveralShards(f"the shards have changed since BEGIN on {first}: ROLLBACK, repeat")
        self._gtrid = self._gtrid or new_gtrid(slots[first])
        return Xid(self._gtrid, str(slots[shard]).encode())

    def _reads_only(self) -> bool:
        if self._read_only is not None:
            return self._read_only
        return self._own.get("access") == READ_ONLY

    async def _tune_branch(self, connection: BackendConnection, is_first: bool) -> None:
        """The session's variables, and those that a part of a larger transaction needs."""
        wanted = self._holder.variables
        if not is_first:
            wanted = wanted.without("autocommit")
        longest = self._holder.commits.lock_wait_seconds
        asked = wanted.get("innodb_lock_wait_timeout")
        if asked is None or not asked.isdigit() or int(asked) > longest:
            wanted = wanted.with_("innodb_lock_wait_timeout", b"%d" % longest)
        wanted = wanted.with_("session_track_transaction_info", b"'STATE'")
        await self._holder.tune_to(connection, wanted)

    def _connections(self) -> list[BackendConnection]:
        """Of all branches, the first shard's first."""
        first = [self.bound] if self.bound is not None else []
        return [*first, *self.joined()]

    def _take(self) -> list[Branch]:
        """All branches; from here on they are the caller's to end and to release."""
        first = self.bound
        assert first is not None
        reads_only = self._reads_only()
        branches = [Branch(first, None, reads_only=reads_only, is_tracked=self._is_tracked)]
        branches += self._joined.values()
        self._joined = {}
        self.bound = next((c for c in self._pinned() if c is not first), None)
        self._close()
        return branches

    def _pinned(self) -> Iterator[BackendConnection]:
        pinned = self._holder.pinned_connection()
        if pinned is not None:
            yield pinned

    def _release(self, branches: Sequence[Branch]) -> None:
        for branch in branches:
            branch.connection.is_branch = False
            if branch.connection.busy:
                branch.connection.abandon("transaction ended")
            self._holder.release(branch.connection)
        if self.bound is None:
            self.bound = self._holder.pinned_connection()

    async def _undo(self, branches: Sequence[Branch]) -> None:
        try:
            await commit.roll_back(branches)
        finally:
            self._release(branches)

    def _must_live(self, connections: Sequence[BackendConnection]) -> None:
        for connection in connections:
            if not connection.alive or connection.obsolete:
                self._lose(_why_lost(connection))
                raise self._is_lost()

    def _lose(self, why: str) -> None:
        """One branch is gone: the others go too, and only ROLLBACK leads on."""
        self._abandon()
        self._lost = why
        self._note()

    def _abandon(self) -> None:
        """Roll back all branches, beside whatever the client does next that needs no server."""
        branches = self._take()
        for branch in branches:
            if not branch.connection.alive:
                self._holder.lose_pins(branch.connection)
        self._rolling = asyncio.get_running_loop().create_task(self._undo(branches))
        self._note()

    async def _rolled(self) -> None:
        """Wait for the rollback that a server began."""
        rolling = self._rolling
        if rolling is None:
            return
        await asyncio.wait([rolling])
        self._rolling = None
        self._note()
        rolling.result()

    def _lose_bound(self, bound: BackendConnection) -> None:
        """It broke while nothing ran on it, or its instance is the primary no more."""
        text = _why_lost(bound)
        if bound.alive:
            bound.close("obsolete")
        self._holder.lose_pins(bound)
        self.bound = self._holder.pinned_connection()
        if bound.in_transaction:
            self._lost = text
            self._note()
            raise self._is_lost()
        raise BackendLost(f"{text}; what this session kept there is lost")

    def broke(self, connection: BackendConnection, why: str) -> None:
        """A connection broke while a statement of this session ran on it."""
        if self._joined and self.holds(connection):
            self._lose(why)
            return
        self._holder.lose_pins(connection)
        if connection is not self.bound:
            return
        self.bound = self._holder.pinned_connection()
        if connection.in_transaction:
            self._lost = why
            self._note()

    def settle(self, connection: BackendConnection) -> None:
        """After a statement on a connection that is, or now becomes, the bound one."""
        holder = self._holder
        if self._joined and self.holds(connection):
            self._settle_branch(connection)
            return
        if not connection.alive:
            if connection is self.bound:
                self.bound = holder.pinned_connection()
            return
        if connection.in_transaction or holder.is_pinned(connection):
            if self.bound is None:
                self.bound = connection
            elif connection is not self.bound:
                holder.release(connection)
            return
        if connection is self.bound:
            self.bound = holder.pinned_connection()
        self._savepoints.clear()
        holder.release(connection)

    def _settle_branch(self, connection: BackendConnection) -> None:
        problem = connection.scanner.error
        if not connection.alive:
            self._lose(_why_lost(connection))
        elif problem is not None and problem.number in ROLLED_BACK:
            self._abandon()
        elif not connection.in_transaction:
            self._lose(f"shard {connection.shard} has ended its part by itself")


def _access(read_only: bool | None) -> tuple[bytes, ...]:
    if read_only is None:
        return ()
    return (READ_ONLY,) if read_only else (READ_WRITE,)


def _why_lost(connection: BackendConnection) -> str:
    if connection.why_ended:
        return connection.why_ended
    why = "is primary no more" if connection.obsolete else "closed the connection"
    return f"{connection.target.instance} of shard {connection.shard} {why}"
