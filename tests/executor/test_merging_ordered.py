"""Sorted rows of several shards in one order, in blocks of any size."""

import random
from typing import Any

import pytest

from mitosis_gate.executor.merging.keys import Keys
from mitosis_gate.executor.merging.ordered import Run, next_rows
from mitosis_gate.executor.merging.rows import TextRows
from mitosis_gate.planner.plan import Compare, SortKey
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.packets import Column, text_row

NUMBER, BYTES = Compare.NUMBER, Compare.BYTES


@pytest.mark.parametrize("seed", range(30))
def test_blocks_come_together_sorted_and_stable_by_shard(seed: int) -> None:
    dice = random.Random(seed)
    shards = [
        sorted(dice.randrange(12) for _ in range(dice.randrange(60)))
        for _ in range(dice.randrange(1, 6))
    ]
    rows = [
        [b"%d/%d/%d" % (key, s, n) for n, key in enumerate(keys)] for s, keys in enumerate(shards)
    ]
    runs = [Run() for _ in shards]
    taken = [0] * len(shards)
    merged: list[bytes] = []
    while True:
        for n, run in enumerate(runs):
            if run.is_empty and not run.is_over:
                end = min(len(rows[n]), taken[n] + dice.randrange(1, 9))
                run.put(shards[n][taken[n] : end], rows[n][taken[n] : end])
                taken[n] = end
                run.is_over = not run.rows
        if all(run.is_empty for run in runs):
            break
        keys, block = next_rows(runs)
        assert block and len(keys) == len(block)
        merged += block
    expected = [
        row
        for _, _, _, row in sorted(
            (key, s, n, rows[s][n]) for s, keys in enumerate(shards) for n, key in enumerate(keys)
        )
    ]
    assert merged == expected


def in_order(kind: int, key: SortKey, *values: str | bytes | None) -> list[Any]:
    """The values as the keys sort them."""
    raw = [v.encode() if isinstance(v, str) else v for v in values]
    column = Column("k", kind, 63)
    keys = Keys([key], [column], TextRows(), False)
    made = keys.of([text_row([v]) for v in raw])
    return [values[n] for n in sorted(range(len(values)), key=made.__getitem__)]


DIGITS = "123456789012345678901234567890123456789012345678901234567890123"


@pytest.mark.parametrize(
    ("kind", "compare", "values"),
    [
        (
            c.TYPE_LONGLONG,
            NUMBER,
            (None, "-9223372036854775808", "-1", "0", "18446744073709551615"),
        ),
        (c.TYPE_NEWDECIMAL, NUMBER, (None, "-10.5", "-0.01", "0.00", "9.99", "10.00")),
        (c.TYPE_NEWDECIMAL, NUMBER, (f"-{DIGITS}.2", f"-{DIGITS}.1", f"{DIGITS}.1", f"{DIGITS}.2")),
        (c.TYPE_DOUBLE, NUMBER, (None, "-1e308", "-1e-300", "0", "1e-300", "1.5", "1e17")),
        (
            c.TYPE_VAR_STRING,
            BYTES,
            (None, b"", b"\0", b"\0\0", b"\0\1", b"a", b"a\0", b"ab", b"\xff"),
        ),
    ],
)
def test_keys_compare_as_mysql_compares(
    kind: int, compare: Compare, values: tuple[Any, ...]
) -> None:
    dice = random.Random(1)
    shuffled = dice.sample(values, len(values))
    assert in_order(kind, SortKey(0, compare), *shuffled) == list(values)
    assert in_order(kind, SortKey(0, compare, True), *shuffled) == list(reversed(values))
