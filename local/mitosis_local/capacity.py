"""Sizes and room on the nodes' disks. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from mitosis_local.errors import LocalError

UNITS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
    "Pi": 1 << 50,
}
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]*)")
# mkfs.xfs refuses less
SMALLEST_BYTES = 300 << 20


@dataclass(frozen=True)
class Volume:
    node: str
    size_bytes: int


def quantity(text: str) -> int:
    """Bytes of a Kubernetes quantity, rounded up."""
    found = QUANTITY.fullmatch(text)
    if not found or found[2] not in UNITS:
        raise LocalError(f"{text!r} is not a size; write for example 64Gi")
    exact = Decimal(found[1]) * UNITS[found[2]]
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))


def as_quantity(size: int) -> str:
    """The shortest exact way to write a size: 64Gi, not 68719476736."""
    for unit in ("Gi", "Mi"):
        if size and size % UNITS[unit] == 0:
            return f"{size // UNITS[unit]}{unit}"
    return str(size)


def size_of(requested_bytes: int) -> int:
    """What a claim really gets."""
    return max(requested_bytes, SMALLEST_BYTES)


def free_bytes(
    nodes: Iterable[str], volumes: Iterable[Volume], per_node_bytes: int
) -> Mapping[str, int]:
    """Room on each node; never below nothing."""
    used: dict[str, int] = {}
    for volume in volumes:
        used[volume.node] = used.get(volume.node, 0) + volume.size_bytes
    return {node: max(0, per_node_bytes - used.get(node, 0)) for node in nodes}


def fill_bytes(total_bytes: int, used_bytes: int, percent: float) -> int:
    """How much more must be taken so that `percent` of a volume is used."""
    if not 0 <= percent <= 100:
        raise LocalError(f"{percent} is not between 0 and 100 percent")
    return max(0, int(total_bytes * percent / 100) - used_bytes)
