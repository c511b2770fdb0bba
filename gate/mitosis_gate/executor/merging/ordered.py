"""Sorted rows of several shards in one order; pure.

Each shard has a block of rows with their keys. The lowest of the last keys of the unfinished
blocks is the watermark: rows up to it can have no predecessor that is still to come. They are put
together and sorted, which finds the runs and merges them at the speed of C. Rows with equal keys
come in the order of the shards.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import chain
from typing import Any


class Run:
    """What is there of the rows of one shard, and has not gone out."""

    __slots__ = ("at", "is_over", "keys", "rows")

    def __init__(self) -> None:
        self.keys: Sequence[Any] = ()
        self.rows: Sequence[bytes] = ()
        self.at = 0
        self.is_over = False
        """No more rows will come."""

    @property
    def is_empty(self) -> bool:
        return self.at == len(self.rows)

    def put(self, keys: Sequence[Any], rows: Sequence[bytes]) -> None:
        self.keys, self.rows, self.at = keys, rows, 0


def next_rows(runs: Sequence[Run]) -> tuple[list[Any], list[bytes]]:
    """Take what can go out now, at least one row; each run must have rows or be over."""
    parts = _parts(runs)
    if len(parts) == 1:
        ((run, end),) = parts
        keys, rows = run.keys[run.at : end], run.rows[run.at : end]
        run.at = end
        return list(keys), list(rows)
    keys = list(chain.from_iterable(run.keys[run.at : end] for run, end in parts))
    rows = list(chain.from_iterable(run.rows[run.at : end] for run, end in parts))
    for run, end in parts:
        run.at = end
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return [keys[n] for n in order], [rows[n] for n in order]


def _parts(runs: Sequence[Run]) -> list[tuple[Run, int]]:
    """How far each run can go."""
    unfinished = [run for run in runs if not run.is_over]
    if not unfinished:
        ends = [len(run.rows) for run in runs]
    else:
        watermark = min(run.keys[-1] for run in unfinished)
        limiting = next(run for run in unfinished if not watermark < run.keys[-1])
        ends = []
        before = True  # of shards before the limiting one no row with its last key is missing
        for run in runs:
            if run is limiting:
                ends.append(len(run.rows))
                before = False
            elif before:
                ends.append(bisect_right(run.keys, watermark, run.at))
            else:
                ends.append(bisect_left(run.keys, watermark, run.at))
    return [(run, end) for run, end in zip(runs, ends, strict=True) if end > run.at]
