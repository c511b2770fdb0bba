"""AUTO_INCREMENT over several shards: numbers in blocks, kept in MySQL.

The shard that owns slot 0 has a row for each table in `mitosis.sequences`: the first number that
nobody has got. A gate process takes a block of numbers in one statement, and gives them out from
memory. What matters for a number to be new:

- A block begins above every number that the row has given out, and above the counters of all
  shards, which MySQL raises for each row that is stored, also for numbers that a client brings
  along, and which ALTER TABLE ... AUTO_INCREMENT sets. The counters are asked once for each block.
- A number that a client of this process brings along is noted at once, and the block goes on
  above it.
- A block is good for the shard it came from: when another one owns slot 0, it is dropped.
- A block is good for the schema epoch at which it was asked for. A process learns of each rise
  within the lease, or knows none (`executor.epochs`).

TRUNCATE, DROP and RENAME let a table begin at its counters again (`reset`), within the job: numbers
that were given out once are given out anew. So nobody may have an older block by then. Where only
the process that resets has taken blocks, it drops them, and that is all. Else the row says until
when others may have one, and whoever wants the first block after that waits for it.

What a process has not given out when it ends is a gap, as after a restart of MySQL with a
transaction that was rolled back. Numbers of several processes are not in the order of time.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.variables import literal
from mitosis_gate.errors import MysqlError, SequenceUnavailable, UnknownDatabase
from mitosis_gate.executor.epochs import SETTLE_SECONDS
from mitosis_routing.table import RoutingTable

_COUNTERS_OF_NOW = b"SET SESSION information_schema_stats_expiry=0"
_COUNTER = (
    b"SELECT IFNULL(MAX(AUTO_INCREMENT), 1) FROM information_schema.TABLES "
    b"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %b"
)
_TAKE = (
    b"INSERT INTO mitosis.sequences (name, next, taker) "
    b"VALUES (%b, LAST_INSERT_ID(%d) + %d, '%b') AS new "
    b"ON DUPLICATE KEY UPDATE next = LAST_INSERT_ID(GREATEST(sequences.next, %d)) + %d, "
    b"taker = IF(sequences.taker IN ('', new.taker), new.taker, 'several')"
)
_UNSETTLED = (
    b"SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), settled_at) FROM mitosis.sequences "
    b"WHERE name = %b AND settled_at > NOW(6)"
)
_RESET_OWN = b"DELETE FROM mitosis.sequences WHERE name IN (%b) AND taker = '%b'"
_RESET = (
    b"UPDATE mitosis.sequences SET next = 1, taker = '', "
    b"settled_at = NOW(6) + INTERVAL %d MICROSECOND WHERE name IN (%b)"
)
_UNTIL_TOLD_SECONDS = 2.0
"""Between the reset and the rise of the epoch that ends the job: two short statements."""
_TRIES = 4
_LARGEST_PART = 1000
"""A block is at most this part of what the column can hold: small types do not run out of it."""


class Shards(Protocol):
    """The part of `Topology` that is needed here."""

    def lent(
        self, keyspace: str, shard: str, account: Account
    ) -> AbstractAsyncContextManager[BackendConnection]: ...

    def table(self, keyspace: str) -> RoutingTable: ...


class GateAccounts(Protocol):
    def gate(self, keyspace: str) -> Account: ...


@dataclass(slots=True)
class _Block:
    """Numbers of one table that this process may give out: from `next` to before `end`."""

    source: str = ""
    epoch: int = -1
    """Of the schema, when it was asked for."""
    next: int = 1
    end: int = 1
    seen: int = 0
    """The greatest number that a client brought along."""


class Sequences:
    """One for a gate process."""

    def __init__(
        self,
        shards: Shards,
        accounts: GateAccounts,
        block: int,
        epoch: Callable[[str], int],
    ) -> None:
        """`epoch`: of the schema of a keyspace, as far as this process knows."""
        self._shards = shards
        self._accounts = accounts
        self._block = block
        self._epoch = epoch
        self._name = secrets.token_hex(8).encode()
        """Among all processes of all gates."""
        self._blocks: defaultdict[tuple[str, str], _Block] = defaultdict(_Block)
        self._taking: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    def note(self, keyspace: str, table: str, number: int) -> None:
        """A row with this number is about to be stored: those given out from now on are greater."""
        block = self._blocks[keyspace, table]
        block.seen = max(block.seen, number)

    async def take(self, keyspace: str, table: str, count: int, highest: int) -> int:
        """Return the first of `count` numbers in a row, of a column that ends at `highest`."""
        key = (keyspace, table)
        first = self._at_once(key, count)
        if first is None:
            async with self._taking[key]:
                first = await self._from_new_block(key, count, highest)
        if first + count - 1 > highest:
            raise MysqlError(
                1467, "HY000", "Failed to read auto-increment value from storage engine"
            )
        return first

    async def _from_new_block(self, key: tuple[str, str], count: int, highest: int) -> int:
        first = self._at_once(key, count)
        for _ in range(_TRIES):
            if first is not None:
                return first
            await self._refill(key, count, highest)
            first = self._at_once(key, count)
        raise SequenceUnavailable(
            f"the schema of {key[0]} changes while a number for {key[1]} is asked for: repeat"
        )

    def _at_once(self, key: tuple[str, str], count: int) -> int | None:
        block = self._blocks[key]
        first = max(block.next, block.seen + 1)
        if first + count > block.end or block.source != self._source(key[0]):
            return None
        if block.epoch != self._epoch(key[0]):
            return None
        block.next = first + count
        return first

    def _source(self, keyspace: str) -> str:
        """The shard that owns slot 0."""
        for shard in self._shards.table(keyspace).shards:
            if shard.slots.contains(0):
                return shard.name
        raise UnknownDatabase(f"Unknown database '{keyspace}': no shard owns its slot 0")

    async def _refill(self, key: tuple[str, str], count: int, highest: int) -> None:
        keyspace, table = key
        source, epoch = self._source(keyspace), self._epoch(keyspace)
        names = [shard.name for shard in self._shards.table(keyspace).shards]
        counters = await asyncio.gather(*(self._counter(keyspace, n, table) for n in names))
        block = self._blocks[key]
        floor = max(*counters, block.seen + 1)
        size = max(count, min(self._block, max(1, highest // _LARGEST_PART)))
        try:
            async with self._lent(keyspace, source) as connection:
                name = literal(table.encode())
                unsettled = (await connection.query(_UNSETTLED % name)).values()
                if not unsettled:
                    take = _TAKE % (name, floor, size, self._name, floor, size)
                    answer = await connection.query(take)
        except MysqlError as exc:
            raise SequenceUnavailable(
                f"the AUTO_INCREMENT numbers of {table} come from mitosis.sequences on shard "
                f"{source}, which does not give any: {exc.text}; the operator makes the table"
            ) from exc
        if unsettled:
            await asyncio.sleep(int(unsettled[0][0] or 0) / 1e6)
            return  # to look again: it may have been reset once more
        first = answer.ok.last_insert_id
        if first != block.end or block.source != source or block.epoch != epoch:
            block.next = first
        block.source, block.epoch, block.end = source, epoch, first + size

    async def _counter(self, keyspace: str, shard: str, table: str) -> int:
        async with self._lent(keyspace, shard) as connection:
            await connection.query(_COUNTERS_OF_NOW)
            rows = (await connection.query(_COUNTER % literal(table.encode()))).values()
            return int(rows[0][0] or 1)

    def _lent(self, keyspace: str, shard: str) -> AbstractAsyncContextManager[BackendConnection]:
        return self._shards.lent(keyspace, shard, self._accounts.gate(keyspace))

    def forget(self, keyspace: str, tables: Sequence[str]) -> None:
        """Take the next number from a new block, so that the counters of the shards are asked."""
        for table in tables:
            self._blocks.pop((keyspace, table), None)

    async def reset(self, keyspace: str, tables: Sequence[str]) -> bool:
        """Begin anew at the counters of the shards: after TRUNCATE, DROP and RENAME.

        True: others may have blocks, and the schema epoch must rise on all shards within
        _UNTIL_TOLD_SECONDS.
        """
        self.forget(keyspace, tables)
        names = b", ".join(literal(table.encode()) for table in tables)
        settled = int((_UNTIL_TOLD_SECONDS + SETTLE_SECONDS) * 1e6)
        async with self._lent(keyspace, self._source(keyspace)) as connection:
            await connection.query(_RESET_OWN % (names, self._name))
            answer = await connection.query(_RESET % (settled, names))
        return answer.ok.affected > 0
