"""The transaction of one session over one shard or several.

Invariant: it is committed on every shard that it changed, or on none (docs/transactions.md has the
order of steps and what becomes of it when somebody dies between two of them).

BEGIN is kept until the first statement tells the shard, and is answered there before the statement
follows: a failed BEGIN is never followed by a write that commits by itself. From then on `bound` is
the connection of that shard, until the transaction ends and no pin is left. While it is the only
one, everything is MySQL's own and nothing is added.

A further shard joins, as `transaction_mode` says, with XA START or with a plain transaction. It
gets the access mode, the isolation level and the savepoints of those that are there, and from then
on the session waits for row locks no longer than `--lock-wait-seconds`, because InnoDB does not see
a deadlock over two servers. What ends one branch without the others (a deadlock, a lost connection)
ends all: `_abandon`. COMMIT is `executor.commit`, and runs to its end when the client is gone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from enum import Enum
from typing import Protocol

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.variables import Variables
from mitosis_gate.errors import (
    BackendLost,
    CommitUnknown,
    GateError,
    MysqlError,
    SeveralShards,
    TransactionLost,
)
from mitosis_gate.executor import commit
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.commit import Branch, Commits
from mitosis_gate.executor.savepoints import STATEMENT, Savepoints
from mitosis_gate.executor.transactions import to_the_end
from mitosis_gate.executor.xids import Xid, new_gtrid
from mitosis_gate.planner.plan import TransactionControl, TransactionVerb
from mitosis_routing.table import TransactionMode

Backends = list[tuple[str, BackendConnection]]
_START = b"START TRANSACTION"
_READ_ONLY = b"SET TRANSACTION READ ONLY"
_READ_WRITE = b"SET TRANSACTION READ WRITE"
_ROLLED_BACK = frozenset({1206, 1213, 1402, 1613, 1614})
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

    def release(self, connection: BackendConnection) -> None:
        """The transaction needs it no more: back to its pool, unless it is pinned."""


class AtOnce(Enum):
    """What became of a transaction statement without waiting."""

    SEND = "send"
    """Send it to `bound`, whose answer is the answer."""
    DONE = "done"
    """Answer OK."""
    LATER = "later"
    """`carry_out` must wait for a server."""


class Transaction:
    """One for each session, for all its life; `waits` and `bound` are read for every statement."""

    __slots__ = (
        "_begin",
        "_gtrid",
        "_has_snapshot",
        "_holder",
        "_is_tracked",
        "_joined",
        "_lost",
        "_next",
        "_own",
        "_read_only",
        "_rolling",
        "_savepoints",
        "bound",
        "waits",
    )

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

    # BEGIN, COMMIT and their like

    def begin(self, statement: bytes) -> None:
        """Open it, lazily: `statement` goes to the first shard that is used."""
        self._begin = statement
        self._read_only = None
        self._savepoints.clear()
        self._note()

    def next_transaction(self, statement: bytes) -> None:
        """Keep a SET TRANSACTION for the next transaction; sent just before it begins."""
        kind = "access" if statement in (_READ_ONLY, _READ_WRITE) else "isolation"
        self._next[kind] = statement
        self._note()

    def control(self, plan: TransactionControl, sql: bytes) -> AtOnce:
        """The cases that need no waiting."""
        bound = self.bound
        verb = plan.verb
        if self._lost is not None or self._rolling is not None or plan.release or plan.snapshot:
            return AtOnce.LATER
        if bound is not None:
            if verb is TransactionVerb.BEGIN or self._begin is not None or self._joined:
                return AtOnce.LATER
            if not bound.alive or bound.obsolete:
                return AtOnce.LATER
            if bound.in_transaction:
                self._savepoints.note(plan, sql)
            return AtOnce.SEND
        if verb is TransactionVerb.BEGIN:
            self.begin(sql)
            self._read_only = plan.read_only
        elif verb is TransactionVerb.COMMIT or verb is TransactionVerb.ROLLBACK:
            if plan.chain:
                return AtOnce.LATER
            self._close()
        else:
            return AtOnce.LATER
        return AtOnce.DONE

    def _close(self) -> None:
        """Nothing is open, and nothing waits for a shard any more."""
        self._begin = None
        self._next.clear()
        self._savepoints.clear()
        self._gtrid = b""
        self._has_snapshot = self._is_tracked = False
        self._note()

    async def carry_out(self, plan: TransactionControl, sql: bytes) -> None:
        """All cases; answers the client."""
        await self._rolled()
        verb = plan.verb
        if self._lost is not None:
            self._leave_lost(verb)
        elif verb is TransactionVerb.BEGIN:
            if self.is_open:
                await self.commit()
            self.begin(sql)
            self._read_only = plan.read_only
            if plan.snapshot:
                await self._take_snapshots()
        elif verb is TransactionVerb.COMMIT or verb is TransactionVerb.ROLLBACK:
            await self._end(verb, plan.chain)
        else:
            await self._savepoint(plan, sql)
            return
        self._holder.send_ok()

    def _leave_lost(self, verb: TransactionVerb) -> None:
        """ROLLBACK ends a transaction whose connection is gone; COMMIT ends it with an error."""
        problem = self._is_lost()
        if verb not in (TransactionVerb.ROLLBACK, TransactionVerb.COMMIT):
            raise problem
        self._lost = None
        self._close()
        if verb is TransactionVerb.COMMIT:
            raise problem

    def _is_lost(self) -> TransactionLost:
        return TransactionLost(f"the transaction is rolled back: {self._lost}; ROLLBACK and repeat")

    async def _end(self, verb: TransactionVerb, chain: bool) -> None:
        """COMMIT or ROLLBACK, AND CHAIN when asked for."""
        own, read_only = dict(self._own), self._read_only
        if self._begin is not None:
            own = dict(self._next)
        if verb is TransactionVerb.COMMIT:
            await self.commit()
        else:
            await self.roll_back()
        if chain:
            access = {True: b" READ ONLY", False: b" READ WRITE", None: b""}[read_only]
            self.begin(_START + access)
            self._read_only, self._next = read_only, own

    async def _take_snapshots(self) -> None:
        """Of all shards at about the same time: it can hold for each by itself only."""
        shards = [s.name for s in self._holder.table.shards]
        begin = self._begin or _START
        if len(shards) == 1:
            self._holder.give_back(await self._holder.backend(shards[0]))
            return
        try:
            connections = [await self._holder.borrow(shard) for shard in shards]
            for at, connection in enumerate(connections):
                await self._tune_branch(connection, is_first=at == 0)
            for statement in self._next.values():
                await _on_all(connections, statement)
            await _on_all(connections, begin)
        except BaseException:
            self._close()
            raise
        for connection in connections:
            self._holder.owns(connection)
        self._own, self._next, self._begin = dict(self._next), {}, None
        self.bound = connections[0]
        further = zip(shards[1:], connections[1:], strict=True)
        self._joined = {shard: Branch(connection) for shard, connection in further}
        self._is_tracked = self._has_snapshot = True
        self._note()

    async def roll_back(self) -> None:
        await self._rolled()
        bound = self.bound
        if self._joined:
            await to_the_end(self._undo(self._take()))
        elif bound is not None and not bound.alive:
            self.bound = self._holder.pinned_connection()
        elif bound is not None and bound.in_transaction:
            await bound.query(b"ROLLBACK")
            self.settle(bound)
        self._close()

    async def _savepoint(self, plan: TransactionControl, sql: bytes) -> None:
        """Before the first statement told the shard, savepoints wait together with BEGIN."""
        holder = self._holder
        if self._joined and self._begin is None:
            await self._savepoint_everywhere(plan, sql)
        elif self.bound is not None and self._begin is None:
            connection = await holder.backend(self.bound.shard)
            inside = connection.in_transaction
            if await holder.relay(connection, sql) is not None and inside:
                self._savepoints.note(plan, sql)
            holder.give_back(connection)
            return
        elif self._begin is None and holder.autocommit:
            if plan.verb is not TransactionVerb.SAVEPOINT:
                raise _no_savepoint(plan)
        else:
            self._must_know(plan)
            if self._begin is None:
                self.begin(_START)
            self._savepoints.note(plan, sql)
        holder.send_ok()

    def _must_know(self, plan: TransactionControl) -> None:
        if plan.verb is not TransactionVerb.SAVEPOINT and plan.savepoint not in self._savepoints:
            raise _no_savepoint(plan)

    async def _savepoint_everywhere(self, plan: TransactionControl, sql: bytes) -> None:
        self._must_know(plan)
        connections = self._connections()
        self._must_live(connections)
        try:
            await _on_all(connections, sql)
        except GateError as exc:
            self._lose(exc.text)
            raise self._is_lost() from exc
        self._savepoints.note(plan, sql)

    async def commit(self) -> None:
        """Commit what is open, if anything is; raises CommitUnknown and TransactionLost."""
        await self._rolled()
        if self._lost is not None:
            raise self._is_lost()
        if self._joined:
            self._must_live(self._connections())
            has_snapshot = self._has_snapshot
            await self._uninterrupted(self._commit_all(self._take(), has_snapshot))
            return
        self._close()
        bound = self.bound
        if bound is None or not bound.in_transaction:
            return
        try:
            await commit.commit_alone(bound)
        except CommitUnknown:
            self._holder.lose_pins(bound)
            self.bound = self._holder.pinned_connection()
            raise
        finally:
            if self.bound is not None:
                self.settle(bound)

    async def _uninterrupted(self, work: Coroutine[None, None, None]) -> None:
        """KILL QUERY does not stop a COMMIT, whose true outcome the client learns."""
        task = asyncio.create_task(work)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if self._holder.is_gone:
                raise
            current = asyncio.current_task()
            if current is not None:
                current.uncancel()
            task.result()

    async def _commit_all(self, branches: Sequence[Branch], has_snapshot: bool) -> None:
        """`branches` are the session's no more, which may end meanwhile."""
        holder = self._holder
        keyspace = holder.account.keyspace
        order = {shard.name: at for at, shard in enumerate(holder.table.shards)}
        first, others = branches[0], branches[1:]
        try:
            if has_snapshot:
                await holder.commits.snapshot(branches)
            elif all(b.xid is not None for b in others):
                await holder.commits.ending(keyspace, first, others).commit()
            else:
                ordered = sorted(branches, key=lambda b: order.get(b.shard, -1))
                await holder.commits.serially(keyspace, ordered)
        finally:
            self._release(branches)

    # connections

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
        await self._holder.prepare_for(connection, b"XA START " + xid.sql if xid else _START)
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
        return self._own.get("access") == _READ_ONLY

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

    # what servers do unasked

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
        elif problem is not None and problem.number in _ROLLED_BACK:
            self._abandon()
        elif not connection.in_transaction:
            self._lose(f"shard {connection.shard} has ended its part by itself")

    # statements of several shards

    @contextlib.asynccontextmanager
    async def reading(self, shards: Sequence[str]) -> AsyncIterator[Backends]:
        """See `Client.reading`."""
        holder = self._holder
        backends: Backends = []
        inside = self.is_open or not holder.autocommit
        if not self.is_open and inside:
            self.begin(_START)
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
        self.begin(_START)
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
            self.begin(_START)
        async with self._all(shards) as backends:
            if len(shards) > 1:
                await _on_all([c for _, c in backends], b"SAVEPOINT " + STATEMENT)
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
        dead = [c for c in usable if c.scanner.error and c.scanner.error.number in _ROLLED_BACK]
        if len(usable) < len(connections):
            self._lose("a statement was interrupted on one of its shards")
        elif dead:
            self._abandon()
        else:
            try:
                await _on_all(connections, b"ROLLBACK TO SAVEPOINT " + STATEMENT)
            except GateError as exc:
                self._lose(exc.text)


async def _on_all(connections: Sequence[BackendConnection], sql: bytes) -> None:
    """The first failure, in their order, is raised when all have answered."""
    done = await asyncio.gather(*(c.query(sql) for c in connections), return_exceptions=True)
    for outcome in done:
        if isinstance(outcome, BaseException):
            raise outcome


def _access(read_only: bool | None) -> tuple[bytes, ...]:
    if read_only is None:
        return ()
    return (_READ_ONLY,) if read_only else (_READ_WRITE,)


def _no_savepoint(plan: TransactionControl) -> MysqlError:
    return MysqlError(1305, "42000", f"SAVEPOINT {plan.savepoint} does not exist")


def _why_lost(connection: BackendConnection) -> str:
    if connection.why_ended:
        return connection.why_ended
    why = "is primary no more" if connection.obsolete else "closed the connection"
    return f"{connection.target.instance} of shard {connection.shard} {why}"
