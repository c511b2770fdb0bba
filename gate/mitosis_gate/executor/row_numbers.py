"""Which row of a file is the nth of a shard: the errors and warnings of MySQL name rows so.

It is asked for few rows, of millions: so the shards of all rows are kept in their order,
compressed, and looked through when somebody asks. Four shards take a third of a byte for each row.
"""

import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import overload

_BLOCK_ROWS = 1 << 16


class RowNumbers:
    """Told the shards of a file's rows, in their order."""

    def __init__(self, shards: int) -> None:
        self._open: array[int] = array("H")
        self._blocks: list[tuple[int, bytes]] = []
        """The number of the row before, and a shard for each row."""
        self._before: list[list[int]] = [[] for _ in range(shards)]
        """For each shard how many rows it has in front of each block."""
        self._totals = [0] * shards
        self._rows = 0

    def add(self, shards: Sequence[int]) -> None:
        self._open.extend(shards)
        if len(self._open) >= _BLOCK_ROWS:
            self._close()

    def of(self, shard: int) -> Sequence[int]:
        """The numbers of a shard's rows, from 1; nothing may be added afterwards."""
        if self._open:
            self._close()
        return _OfShard(shard, self._totals[shard], self._before[shard], self._blocks)

    def _close(self) -> None:
        self._blocks.append((self._rows, zlib.compress(self._open.tobytes(), 1)))
        self._rows += len(self._open)
        for shard, before in enumerate(self._before):
            before.append(self._totals[shard])
            self._totals[shard] += self._open.count(shard)
        self._open = array("H")


class _OfShard(Sequence[int]):
    def __init__(
        self,
        shard: int,
        total: int,
        before: Sequence[int],
        blocks: Sequence[tuple[int, bytes]],
    ) -> None:
        self._shard = shard
        self._total = total
        self._before = before
        self._blocks = blocks
        self._opened: tuple[int, list[int]] = (-1, [])

    def __len__(self) -> int:
        return self._total

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> list[int]: ...

    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(self._total))]
        index = range(self._total)[index]
        block = bisect_right(self._before, index) - 1
        if self._opened[0] != block:
            self._opened = block, self._numbers_in(block)
        return self._opened[1][index - self._before[block]]

    def _numbers_in(self, block: int) -> list[int]:
        first, packed = self._blocks[block]
        shards: array[int] = array("H")
        shards.frombytes(zlib.decompress(packed))
        return [n for n, shard in enumerate(shards, first + 1) if shard == self._shard]
