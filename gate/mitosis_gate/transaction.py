"""The transaction of one session, and the connection that the session keeps beyond a statement.

BEGIN is kept until the first statement tells the shard, and is answered there before the statement
follows: a failed BEGIN is never followed by a write that commits by itself. From then on `bound` is
the connection of that shard, until the transaction ends and no pin is left.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import (
    BackendLost,
    CommitUnknown,
    MysqlError,
    NotSupported,
    SeveralShards,
    TransactionLost,
)
from mitosis_gate.executor.client import Client
from mitosis_gate.planner.plan import TransactionControl, TransactionVerb


class Holder(Client, Protocol):
    """What a transaction needs of its session."""

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

    __slots__ = ("_begin", "_holder", "_lost", "_next", "_savepoints", "bound", "waits")

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self.bound: BackendConnection | None = None
        """The connection of the open transaction, or of what pins the session."""
        self.waits = False
        """The next statement must not be sent before something else: see `join`."""
        self._begin: list[bytes] | None = None
        """BEGIN and the savepoints after it, while no shard is bound."""
        self._savepoints: list[str] = []
        self._next = b""
        """SET TRANSACTION for the next one."""
        self._lost: str | None = None
        """Why the open transaction is gone; only ROLLBACK leads on."""

    def _note(self) -> None:
        self.waits = self._begin is not None or self._lost is not None or self._next != b""

    @property
    def is_open(self) -> bool:
        """BEGIN was seen, or with autocommit=0 a shard is bound."""
        if self._begin is not None or self._lost is not None:
            return True
        return self.bound is not None and self.bound.in_transaction

    @property
    def has_begun_nowhere(self) -> bool:
        """BEGIN still waits for the statement that says the shard."""
        return self._begin is not None

    @property
    def shard(self) -> str | None:
        return self.bound.shard if self.bound is not None else None

    def forget(self) -> None:
        """A reset: nothing is open, and whoever calls it has taken `bound` away."""
        self._begin = None
        self._savepoints.clear()
        self._next = b""
        self._lost = None
        self._note()

    # BEGIN, COMMIT and their like

    def begin(self, statement: bytes) -> None:
        """Open it, lazily: `statement` goes to the first shard that is used."""
        self._begin = [statement]
        self._savepoints.clear()
        self._note()

    def next_transaction(self, statement: bytes) -> None:
        """Keep a SET TRANSACTION for the next transaction; sent just before it begins."""
        self._next = statement
        self._note()

    def control(self, plan: TransactionControl, sql: bytes) -> AtOnce:
        """The cases that need no waiting."""
        if self._lost is not None or plan.release or plan.snapshot:
            return AtOnce.LATER
        bound = self.bound
        verb = plan.verb
        if bound is not None:
            if verb is TransactionVerb.BEGIN or self._begin is not None:
                return AtOnce.LATER
            return AtOnce.SEND if bound.alive and not bound.obsolete else AtOnce.LATER
        if verb is TransactionVerb.BEGIN:
            self.begin(sql)
        elif verb is TransactionVerb.COMMIT or verb is TransactionVerb.ROLLBACK:
            if plan.chain:
                return AtOnce.LATER
            self._close()
        else:
            return AtOnce.LATER
        return AtOnce.DONE

    def _close(self) -> None:
        """Nothing waits for a shard any more."""
        self._begin = None
        self._next = b""
        self._savepoints.clear()
        self._note()

    async def carry_out(self, plan: TransactionControl, sql: bytes) -> None:
        """All cases; answers the client."""
        verb = plan.verb
        if self._lost is not None:
            self._leave_lost(verb)
        elif verb is TransactionVerb.BEGIN:
            await self.commit()
            shards = self._holder.table.shards
            if plan.snapshot and len(shards) > 1:
                raise NotSupported(
                    "WITH CONSISTENT SNAPSHOT over several shards: begin without it, "
                    "the first statement takes the snapshot"
                )
            self.begin(sql)
            if plan.snapshot:
                self._holder.give_back(await self._holder.backend(shards[0].name))
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
        self._begin = None
        self._note()
        if verb is TransactionVerb.COMMIT:
            raise problem

    def _is_lost(self) -> TransactionLost:
        return TransactionLost(f"the transaction is rolled back: {self._lost}; ROLLBACK and repeat")

    async def _end(self, verb: TransactionVerb, chain: bool) -> None:
        """COMMIT or ROLLBACK, AND CHAIN when asked for."""
        again: Sequence[bytes] = self._begin[:1] if self._begin else [b"START TRANSACTION"]
        if verb is TransactionVerb.COMMIT:
            await self.commit()
        else:
            await self._roll_back()
        if chain:
            self._begin = list(again)
            self._note()

    async def _roll_back(self) -> None:
        self._close()
        bound = self.bound
        if bound is None:
            return
        if not bound.alive:
            self.bound = None
        elif bound.in_transaction:
            await bound.query(b"ROLLBACK")
            self.settle(bound)

    async def _savepoint(self, plan: TransactionControl, sql: bytes) -> None:
        """Before the first statement told the shard, savepoints wait together with BEGIN."""
        holder = self._holder
        if self.bound is not None:
            connection = await holder.backend(self.bound.shard)
            await holder.relay(connection, sql)
            holder.give_back(connection)
            return
        name = plan.savepoint.lower()
        if self._begin is None and holder.autocommit:
            if plan.verb is not TransactionVerb.SAVEPOINT:
                raise MysqlError(1305, "42000", f"SAVEPOINT {plan.savepoint} does not exist")
            holder.send_ok()
            return
        if plan.verb is TransactionVerb.SAVEPOINT:
            self._savepoints.append(name)
        elif name not in self._savepoints:
            raise MysqlError(1305, "42000", f"SAVEPOINT {plan.savepoint} does not exist")
        self._begin = [*(self._begin or ()), sql]
        self._note()
        holder.send_ok()

    async def commit(self) -> None:
        """Commit what is open, if anything is; raises CommitUnknown."""
        if self._lost is not None:
            raise self._is_lost()
        self._close()
        bound = self.bound
        if bound is None or not bound.in_transaction:
            return
        try:
            if not bound.alive:
                raise BackendLost(f"the connection to shard {bound.shard} broke")
            await bound.query(b"COMMIT")
        except BackendLost as exc:
            self.bound = None
            raise CommitUnknown(
                f"nobody knows whether the transaction on shard {bound.shard} was committed: "
                f"{exc.text}; look at the data before you repeat it"
            ) from exc
        finally:
            if self.bound is not None:
                self.settle(bound)

    # the connection

    async def join(self, shard: str) -> BackendConnection:
        """A connection to a shard with the session's variables, inside the transaction."""
        if self._lost is not None:
            raise self._is_lost()
        bound = self.bound
        if bound is not None and (not bound.alive or bound.obsolete):
            self._lose_bound(bound)
            bound = None
        if bound is not None and bound.shard != shard:
            if self.is_open:
                raise SeveralShards(
                    f"the open transaction is on shard {bound.shard} and the statement needs "
                    f"{shard}: a transaction stays on one shard; COMMIT or ROLLBACK first"
                )
            bound = None
        connection = bound or await self._holder.borrow(shard)
        await self._holder.tune(connection)
        if self._begin is not None:
            await self._begin_on(connection)
        elif self._next and not connection.in_transaction:
            await self._holder.prepare_for(connection, self._next)
            self._next = b""
            self._note()
        return connection

    async def _begin_on(self, connection: BackendConnection) -> None:
        """Every one of them must be OK before the first statement follows."""
        assert self._begin is not None
        if self._next:
            await self._holder.prepare_for(connection, self._next)
        for statement in self._begin:
            await self._holder.prepare_for(connection, statement)
        self._next = b""
        self._begin = None
        self._note()
        self.bound = connection
        self._holder.owns(connection)

    def _lose_bound(self, bound: BackendConnection) -> None:
        """It broke while nothing ran on it, or its instance is the primary no more."""
        self.bound = None
        why = "is primary no more" if bound.obsolete else "closed the connection"
        text = f"{bound.target.instance} of shard {bound.shard} {why}"
        if bound.alive:
            bound.close("obsolete")
        self._holder.lose_pins(bound)
        if bound.in_transaction:
            self._lost = text
            self._note()
            raise self._is_lost()
        raise BackendLost(f"{text}; what this session kept there is lost")

    def broke(self, connection: BackendConnection, why: str) -> None:
        """A connection broke while a statement of this session ran on it."""
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
