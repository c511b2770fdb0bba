import pytest

from mitosis_local.capacity import (
    SMALLEST_BYTES,
    Volume,
    as_quantity,
    fill_bytes,
    free_bytes,
    quantity,
    size_of,
)
from mitosis_local.errors import LocalError

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("64Gi", 64 * GIB),
        ("1.5Gi", 3 * GIB // 2),
        ("500M", 500_000_000),
        ("68719476736", 64 * GIB),
        ("2Ti", 2048 * GIB),
        ("1k", 1000),
        ("0.1", 1),
    ],
)
def test_a_quantity_is_read_as_kubernetes_reads_it(text: str, expected: int) -> None:
    assert quantity(text) == expected


@pytest.mark.parametrize("text", ["", "Gi", "64GB", "a lot", "64 Gi", "6iG"])
def test_what_is_no_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(LocalError, match="write for example 64Gi"):
        quantity(text)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(64 * GIB, "64Gi"), (300 << 20, "300Mi"), (1000, "1000"), (0, "0")],
)
def test_a_size_is_written_short_and_exact(size: int, expected: str) -> None:
    assert as_quantity(size) == expected
    assert quantity(expected) == size


def test_room_is_what_the_volumes_of_that_node_leave() -> None:
    volumes = [Volume("a", 64 * GIB), Volume("a", 128 * GIB), Volume("b", 64 * GIB)]
    free = free_bytes(["a", "b", "c"], volumes, 256 * GIB)
    assert free == {"a": 64 * GIB, "b": 192 * GIB, "c": 256 * GIB}


def test_room_is_never_negative_and_forgets_nodes_that_are_gone() -> None:
    volumes = [Volume("a", 64 * GIB), Volume("gone", GIB)]
    assert free_bytes(["a"], volumes, GIB) == {"a": 0}


def test_a_claim_too_small_for_xfs_gets_the_smallest_file_system() -> None:
    assert size_of(1) == SMALLEST_BYTES
    assert size_of(64 * GIB) == 64 * GIB


@pytest.mark.parametrize(
    ("used", "percent", "expected"), [(0, 84, 840), (500, 84, 340), (900, 84, 0), (0, 100, 1000)]
)
def test_filling_takes_only_what_is_missing(used: int, percent: float, expected: int) -> None:
    assert fill_bytes(1000, used, percent) == expected


@pytest.mark.parametrize("percent", [-1, 101])
def test_a_disk_cannot_be_filled_beyond_its_size(percent: float) -> None:
    with pytest.raises(LocalError, match="between 0 and 100"):
        fill_bytes(1000, 0, percent)
