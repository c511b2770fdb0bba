"""How a gate process knows that its picture of a schema is not older than it may be.

Gates change tables in jobs (`executor.ddl_jobs`), and `mitosis.schema_epoch` rises with each. Every
process of every gate looks at it, several times a second and when a shard refuses a statement as if
the schema were another one. The rule: *a picture is used no longer than LEASE_SECONDS after a look
that found nothing newer began*. Whoever raises the epoch and waits for longer than that knows that
nobody uses an older picture any more. Time is measured by each process for itself, so that clocks
need not agree.

The first shard (the owner of slot 0) also tells which tables are being changed in a way that
alters routes. While it cannot be asked, another shard will do for the answer "nothing newer":
before such a change the epoch is raised on all shards. So a process that cannot reach a shard
because the shard is gone serves the others, and one that reaches none has nothing to misplace.

Each process keeps a connection of its own for this, outside the limits of the pools: statements
that wait for a look must not hold what the look waits for.
"""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Protocol

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import GateError, MysqlError, ShardUnavailable
from mitosis_routing.table import RoutingTable

EPOCH_SECONDS = 0.5
"""How often a keyspace in use is looked at."""
ANSWER_SECONDS = 0.6
"""How long one shard may take to answer before another one is asked."""
LEASE_SECONDS = 2.0
"""How old a picture may be that is used: a few looks may fail."""
SETTLE_SECONDS = 2.5
"""After so long nobody uses what was known before: the lease, and room for clocks that drift."""
EPOCH = b"SELECT MAX(epoch) FROM mitosis.schema_epoch"
_NOT_KEPT = frozenset({1044, 1049, 1142, 1146})
"""Errors of a shard without the tables, or without the grants: made by an older version."""


def lock_name(keyspace: str) -> bytes:
    """Of the user lock on the first shard that the running job holds, as a literal."""
    return b"0x" + f"mitosis ddl {keyspace}".encode().hex().encode()


def _question(keyspace: str) -> bytes:
    """One snapshot; a job whose lock is free is no longer carried out by anybody."""
    return (
        b"SELECT (SELECT MAX(epoch) FROM mitosis.schema_epoch), IF(IS_FREE_LOCK(%b), NULL, "
        b"(SELECT progress->'$.tables' FROM mitosis.ddl_jobs WHERE state = 'running' "
        b"AND progress->>'$.announced' = '1' ORDER BY id DESC LIMIT 1))" % lock_name(keyspace)
    )


@dataclass(frozen=True)
class Seen:
    """What a look has found."""

    epoch: int
    changing: frozenset[str] = frozenset()
    """Tables that no statement may be planned with until their change has ended."""
    is_whole: bool = True
    """False: another shard was asked in place of the first, and knows the epoch only."""

    def adds_nothing_to(self, known: "Seen") -> bool:
        if self.is_whole:
            return self == known
        return self.epoch <= known.epoch


class Shards(Protocol):
    """The part of `Topology` that looking needs."""

    async def beside(
        self, keyspace: str, shard: str, account: Account, kept: BackendConnection | None
    ) -> BackendConnection: ...


class Eye:
    """Looks at the epoch of one keyspace."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._kept: BackendConnection | None = None
        self._turn = asyncio.Lock()

    async def look(self, table: RoutingTable, account: Account) -> Seen:
        """Raises GateError when no shard answers."""
        async with self._turn:
            return await self._look(table, account)

    async def _look(self, table: RoutingTable, account: Account) -> Seen:
        problem: GateError = ShardUnavailable(f"keyspace {table.keyspace} has no shards")
        serving = [s for s in table.shards if s.primary is not None]
        for shard in sorted(serving, key=lambda s: not s.slots.contains(0)):
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await self._ask(table, shard.name, account)
            except GateError as exc:
                problem = exc
            except TimeoutError:
                problem = ShardUnavailable(
                    f"shard {shard.name} does not tell the epoch of the schema within "
                    f"{ANSWER_SECONDS:g} s"
                )
            self.close()
        raise problem

    async def _ask(self, table: RoutingTable, shard: str, account: Account) -> Seen:
        kept, self._kept = self._kept, None
        connection = await self._shards.beside(table.keyspace, shard, account, kept)
        self._kept = connection
        first = table.shard(shard)
        is_first = first is not None and first.slots.contains(0)
        try:
            question = _question(table.keyspace) if is_first else EPOCH
            row = (await connection.query(question)).values()[0]
        except MysqlError as exc:
            if exc.number in _NOT_KEPT:
                return Seen(0)
            raise
        changing = json.loads(row[1]) if is_first and row[1] else ()
        return Seen(int(row[0] or 0), frozenset(changing), is_first)

    def close(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            with contextlib.suppress(GateError):
                kept.close("done")
