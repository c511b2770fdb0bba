"""The numbers of rows by shard, of files with many of them."""

import random

import pytest

from mitosis_gate.executor import row_numbers
from mitosis_gate.executor.row_numbers import RowNumbers


def test_each_shard_finds_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_numbers, "_BLOCK_ROWS", 50)
    source = random.Random(1)
    numbers = RowNumbers(4)
    owners: list[int] = []
    for _ in range(40):
        some = source.choices((0, 1, 3), k=source.randrange(30))
        numbers.add(some)
        owners += some
    for shard in range(4):
        expected = [n for n, owner in enumerate(owners, 1) if owner == shard]
        found = numbers.of(shard)
        assert list(found) == expected and len(found) == len(expected)
        assert found[-1:] == expected[-1:]
        for index in source.sample(range(len(expected)), min(20, len(expected))):
            assert found[index] == expected[index]


def test_nothing_is_nothing() -> None:
    found = RowNumbers(2).of(1)
    assert not found and list(found) == []
    with pytest.raises(IndexError):
        found[0]
