"""Asks for the outcome of a transaction over several shards, and carries it out on a branch.

Used by a transaction whose own connection is gone, and by recovery. Everything here may be done by
several gates at once and any number of times; see docs/transactions.md.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import GateError, InternalError, MysqlError, ShardUnavailable
from mitosis_gate.executor.xids import Xid
from mitosis_routing.table import RoutingTable, ShardRoute

log = logging.getLogger(__name__)

AGAIN_SECONDS = 0.25
UNKNOWN_XID = 1397
_ASK = (
    b"INSERT INTO mitosis.decisions (gtrid, outcome) VALUES (%s, 'abort')"
    b" ON DUPLICATE KEY UPDATE at = CURRENT_TIMESTAMP(6)"
)
"""Writes in any case, so that what is read afterwards has been acknowledged by a replica; waits for
a transaction that has written its row and is still open."""
_READ = b"SELECT outcome FROM mitosis.decisions WHERE gtrid = %s"


class Outcome(StrEnum):
    COMMIT = "commit"
    ABORT = "abort"


class Shards(Protocol):
    """The part of `Topology` that is needed here."""

    def table(self, keyspace: str) -> RoutingTable: ...

    def lent(
        self, keyspace: str, shard: str, account: Account
    ) -> AbstractAsyncContextManager[BackendConnection]: ...


class GateAccounts(Protocol):
    def gate(self, keyspace: str) -> Account: ...


class Decisions:
    def __init__(self, shards: Shards, accounts: GateAccounts) -> None:
        self._shards = shards
        self._accounts = accounts
        self.live: set[bytes] = set()
        """Transactions of this process whose COMMIT runs: nobody here needs to settle them."""

    async def ask(self, keyspace: str, xid: Xid) -> Outcome:
        """The outcome, for good: `abort` is written when nothing has been decided."""
        table = self._shards.table(keyspace)
        async with self.lent(keyspace, owner_of(table, xid).name) as primary:
            await primary.query(_ASK % xid.gtrid_sql)
            rows = (await primary.query(_READ % xid.gtrid_sql)).values()
        if not rows or rows[0][0] is None:
            raise InternalError(f"the decision of transaction {xid} was deleted while it was read")
        return Outcome(rows[0][0].decode())

    async def carry_out(self, keyspace: str, shard: str, xid: Xid, outcome: Outcome) -> bool:
        """End a prepared branch; False: somebody else has done so."""
        verb = b"XA COMMIT " if outcome is Outcome.COMMIT else b"XA ROLLBACK "
        async with self.lent(keyspace, shard) as primary:
            await must_be_writable(primary)
            try:
                await primary.query(verb + xid.sql)
            except MysqlError as exc:
                if exc.number != UNKNOWN_XID:
                    raise
                return False
        return True

    async def ask_for(self, keyspace: str, xid: Xid, seconds: float) -> Outcome | None:
        """As `ask`, again and again; None: it could not be learnt in that time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        return await self.ask(keyspace, xid)
                    except GateError as exc:
                        log.warning("cannot learn how transaction %s ended: %s", xid, exc.text)
                        await asyncio.sleep(AGAIN_SECONDS)
        return None

    async def carry_out_for(
        self, keyspace: str, shard: str, xid: Xid, outcome: Outcome, seconds: float
    ) -> bool:
        """As `carry_out`, again and again; False: it could not be done in that time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        await self.carry_out(keyspace, shard, xid, outcome)
                        return True
                    except GateError as exc:
                        log.warning(
                            "cannot %s transaction %s on shard %s: %s",
                            outcome,
                            xid,
                            shard,
                            exc.text,
                        )
                        await asyncio.sleep(AGAIN_SECONDS)
        return False

    @contextlib.asynccontextmanager
    async def lent(self, keyspace: str, shard: str) -> AsyncIterator[BackendConnection]:
        account = self._accounts.gate(keyspace)
        async with self._shards.lent(keyspace, shard, account) as primary:
            yield primary


def owner_of(table: RoutingTable, xid: Xid) -> ShardRoute:
    """The shard that has the decision."""
    owner = next((s for s in table.shards if s.slots.contains(xid.first_slot)), None)
    if owner is None:
        raise ShardUnavailable(f"no shard owns slot {xid.first_slot}, where {xid} was decided")
    return owner


async def must_be_writable(primary: BackendConnection) -> None:
    """mysqld carries out XA COMMIT on a read-only server too, where it would be an errant one."""
    rows = (await primary.query(b"SELECT @@GLOBAL.super_read_only")).values()
    if rows[0][0] != b"0":
        raise ShardUnavailable(f"{primary.target.instance} of shard {primary.shard} is read-only")
