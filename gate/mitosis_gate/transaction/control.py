"""The transaction of one session over one shard or several.

Invariant: it is committed on every shard that it changed, or on none (docs/transactions.md has the
order of steps and what becomes of it when somebody dies between two of them).

BEGIN is kept until the first statement tells the shard, and is answered there before the statement
follows: a failed BEGIN is never followed by a write that commits by itself. From then on `bound` is
the connection of that shard, until the transaction ends and no pin is left. COMMIT over several
shards is `executor.commit`, and runs to its end when the client is gone.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from enum import Enum

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import CommitUnknown, GateError, MysqlError
from mitosis_gate.executor import commit
from mitosis_gate.executor.commit import Branch, to_the_end
from mitosis_gate.planner.plan import TransactionControl, TransactionVerb
from mitosis_gate.transaction.branches import READ_ONLY, READ_WRITE, START, Branches


class AtOnce(Enum):
    """What became of a transaction statement without waiting."""

    SEND = "send"
    """Send it to `bound`, whose answer is the answer."""
    DONE = "done"
    """Answer OK."""
    LATER = "later"
    """`carry_out` must wait for a server."""


class Control(Branches):
    """BEGIN, COMMIT, ROLLBACK and savepoints."""

    __slots__ = ()

    def begin(self, statement: bytes) -> None:
        """Open it, lazily: `statement` goes to the first shard that is used."""
        self._begin = statement
        self._read_only = None
        self._savepoints.clear()
        self._note()

    def next_transaction(self, statement: bytes) -> None:
        """Keep a SET TRANSACTION for the next transaction; sent just before it begins."""
        kind = "access" if statement in (READ_ONLY, READ_WRITE) else "isolation"
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
            self.begin(START + access)
            self._read_only, self._next = read_only, own

    async def _take_snapshots(self) -> None:
        """Of all shards at about the same time: it can hold for each by itself only."""
        shards = [s.name for s in self._holder.table.shards]
        begin = self._begin or START
        if len(shards) == 1:
            self._holder.give_back(await self._holder.backend(shards[0]))
            return
        try:
            connections = [await self._holder.borrow(shard) for shard in shards]
            for at, connection in enumerate(connections):
                await self._tune_branch(connection, is_first=at == 0)
            for statement in self._next.values():
                await on_all(connections, statement)
            await on_all(connections, begin)
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
                self.begin(START)
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
            await on_all(connections, sql)
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
                ending = holder.commits.ending(keyspace, first, others, holder.committed)
                await ending.commit()
            else:
                ordered = sorted(branches, key=lambda b: order.get(b.shard, -1))
                await holder.commits.serially(keyspace, ordered)
        finally:
            self._release(branches)


async def on_all(connections: Sequence[BackendConnection], sql: bytes) -> None:
    """The first failure, in their order, is raised when all have answered."""
    done = await asyncio.gather(*(c.query(sql) for c in connections), return_exceptions=True)
    for outcome in done:
        if isinstance(outcome, BaseException):
            raise outcome


def _no_savepoint(plan: TransactionControl) -> MysqlError:
    return MysqlError(1305, "42000", f"SAVEPOINT {plan.savepoint} does not exist")
