"""Ends what transactions over several shards left prepared, whoever left it.

Every gate looks at every primary: at its start, after each new routing table, and every few seconds
with jitter. A branch that was seen for `settle_seconds` and belongs to no transaction of this
process is ended as the decision on its first shard says; where there is none, `abort` is written
first (docs/transactions.md says why that is right, and why several gates may do it at once).

Look, decide, act: `_look` gathers what is prepared, `due` says what is to be settled, `_settle`
does it. Nothing is remembered but when a branch was first seen, so that a gate may die at any time.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from mitosis_gate import metrics
from mitosis_gate.errors import GateError
from mitosis_gate.executor.decisions import Decisions
from mitosis_gate.executor.xids import Xid, recovered
from mitosis_gate.settings import Settings
from mitosis_routing.table import RoutingTable

log = logging.getLogger(__name__)

LIMIT_SECONDS = 20.0
"""For one answer of one shard, waiting for the primary included."""
PRUNE_SECONDS = 60.0
"""At the most between two deletions of old decisions."""
PRUNE_ROWS = 1000
_RECOVER = b"XA RECOVER CONVERT XID"
_OLD = (
    b"SELECT gtrid FROM mitosis.decisions"
    b" WHERE at < CURRENT_TIMESTAMP(6) - INTERVAL %d SECOND ORDER BY at LIMIT %d"
)
"""The row is deleted by its key: a range of `at` would lock out those who decide."""
_DELETE = b"DELETE FROM mitosis.decisions WHERE gtrid = X'%s'"


class Book(Protocol):
    """The part of `RoutingBook` that recovery needs."""

    @property
    def tables(self) -> Mapping[str, RoutingTable]: ...

    def subscribe(self, listener: Callable[[str, RoutingTable | None], None]) -> None: ...


@dataclass(frozen=True)
class Branch:
    keyspace: str
    shard: str
    xid: Xid


@dataclass(frozen=True)
class Look:
    """What was prepared on the shards of one keyspace."""

    branches: tuple[Branch, ...]
    is_complete: bool
    """Every shard has answered."""


def due(
    seen_since: Mapping[Branch, float], live: Iterable[bytes], now: float, settle_seconds: float
) -> list[Branch]:
    """Which branches nobody can be about to end by himself."""
    own = set(live)
    return [
        branch
        for branch, since in seen_since.items()
        if now - since >= settle_seconds and branch.xid.gtrid not in own
    ]


class Recovery:
    def __init__(self, book: Book, decisions: Decisions, settings: Settings) -> None:
        self._book = book
        self._decisions = decisions
        self._settings = settings
        self._seen_since: dict[Branch, float] = {}
        self._pruned_at: dict[str, float] = {}
        self._wake = asyncio.Event()
        book.subscribe(lambda keyspace, table: self._wake.set())

    async def run(self) -> None:
        while True:
            for keyspace in tuple(self._book.tables):
                try:
                    await self._recover(keyspace)
                except GateError as exc:
                    log.warning("recovery of keyspace %s: %s", keyspace, exc.text)
            self._wake.clear()
            pause = self._settings.settle_seconds * random.uniform(0.5, 1.0)
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue
            # a new table is often followed by the next one
            await asyncio.sleep(random.uniform(0.0, 1.0))

    async def _recover(self, keyspace: str) -> None:
        table = self._book.tables.get(keyspace)
        if table is None or table.gate_account is None or len(table.shards) < 2:
            return
        look = await self._look(table)
        self._note(keyspace, look)
        metrics.PREPARED_BRANCHES.labels(keyspace=keyspace).set(len(look.branches))
        now, limit = time.monotonic(), self._settings.settle_seconds
        of_keyspace = {b: t for b, t in self._seen_since.items() if b.keyspace == keyspace}
        settling = due(of_keyspace, self._decisions.live, now, limit)
        await asyncio.gather(*(self._settle(branch) for branch in settling))
        pause = min(PRUNE_SECONDS, self._settings.decision_retention_seconds)
        if look.is_complete and now - self._pruned_at.get(keyspace, 0.0) > pause:
            self._pruned_at[keyspace] = now
            await self._prune(table, {b.xid.gtrid for b in look.branches})

    def _note(self, keyspace: str, look: Look) -> None:
        """A shard that did not answer may still have what it had."""
        now = time.monotonic()
        found = {b: self._seen_since.get(b, now) for b in look.branches}
        for branch, since in self._seen_since.items():
            if branch.keyspace != keyspace or not look.is_complete:
                found.setdefault(branch, since)
        self._seen_since = found

    async def _look(self, table: RoutingTable) -> Look:
        answers = await asyncio.gather(*(self._ask(table, s.name) for s in table.shards))
        branches = [branch for answer in answers if answer is not None for branch in answer]
        return Look(tuple(branches), all(answer is not None for answer in answers))

    async def _ask(self, table: RoutingTable, shard: str) -> list[Branch] | None:
        route = table.shard(shard)
        if route is None or route.primary is None:
            return None
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                async with self._decisions.lent(table.keyspace, shard) as primary:
                    rows = (await primary.query(_RECOVER)).values()
        except (GateError, TimeoutError) as exc:
            log.info("cannot see what is prepared on shard %s: %s", shard, exc)
            return None
        found = (recovered(int(f or 0), int(n or 0), (d or b"").decode()) for f, n, _, d in rows)
        return [Branch(table.keyspace, shard, xid) for xid in found if xid is not None]

    async def _settle(self, branch: Branch) -> None:
        keyspace, shard, xid = branch.keyspace, branch.shard, branch.xid
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                outcome = await self._decisions.ask(keyspace, xid)
                done = await self._decisions.carry_out(keyspace, shard, xid, outcome)
        except (GateError, TimeoutError) as exc:
            log.warning("cannot settle %s on shard %s yet: %s", xid, shard, exc or "no answer")
            return
        self._seen_since.pop(branch, None)
        if done:
            metrics.SETTLED_BRANCHES.labels(outcome=outcome).inc()
            log.warning("transaction %s on shard %s: %s, by recovery", xid, shard, outcome)

    async def _prune(self, table: RoutingTable, prepared: set[bytes]) -> None:
        counted: Counter[str] = Counter()
        for shard in table.shards:
            try:
                async with asyncio.timeout(LIMIT_SECONDS):
                    counted[shard.name] = await self._prune_on(table, shard.name, prepared)
            except (GateError, TimeoutError) as exc:
                log.info("cannot delete old decisions on shard %s: %s", shard.name, exc)
        if counted.total():
            log.debug("old decisions deleted in %s: %s", table.keyspace, dict(counted))

    async def _prune_on(self, table: RoutingTable, shard: str, prepared: set[bytes]) -> int:
        seconds = int(self._settings.decision_retention_seconds)
        async with self._decisions.lent(table.keyspace, shard) as primary:
            rows = (await primary.query(_OLD % (seconds, PRUNE_ROWS))).values()
            old = [gtrid for (gtrid,) in rows if gtrid is not None and gtrid not in prepared]
            for gtrid in old:
                await primary.query(_DELETE % gtrid.hex().encode())
        return len(old)
