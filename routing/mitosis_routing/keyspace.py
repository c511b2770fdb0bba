"""Slots of a keyspace and how they are divided."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class SlotRange:
    """Half-open range of slots: `start` belongs to it, `end` does not."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(
                f"slots {self.start} to {self.end} are no range: "
                "write 0 <= start < end, end not included"
            )

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"

    @property
    def size(self) -> int:
        return self.end - self.start

    def contains(self, slot: int) -> bool:
        return self.start <= slot < self.end

    def overlaps(self, other: "SlotRange") -> bool:
        return self.start < other.end and other.start < self.end

    def halves(self) -> tuple["SlotRange", "SlotRange"]:
        """Divide at the middle; the range must have at least two slots."""
        middle = self.start + self.size // 2
        return SlotRange(self.start, middle), SlotRange(middle, self.end)


def equal_ranges(slots: int, count: int) -> tuple[SlotRange, ...]:
    """Divide `slots` into `count` ranges whose sizes differ by at most one; 1 <= count <= slots."""
    bounds = [slots * index // count for index in range(count + 1)]
    return tuple(SlotRange(*pair) for pair in zip(bounds, bounds[1:], strict=False))


def find_problems(ranges: Iterable[SlotRange], slots: int) -> tuple[str, ...]:
    """Say where the ranges overlap, leave a gap or exceed the slots; empty when all is well."""
    ordered: Sequence[SlotRange] = sorted(ranges)
    problems = [
        f"slots {r} exceed the keyspace, which has slots 0 to {slots}: end at {slots} or before"
        for r in ordered
        if r.end > slots
    ]
    reached = 0
    for r in ordered:
        if r.start > reached:
            problems.append(f"slots {reached}-{r.start} belong to no shard")
        elif r.start < reached:
            overlap = SlotRange(r.start, min(r.end, reached))
            problems.append(f"slots {overlap} belong to more than one shard")
        reached = max(reached, r.end)
    if reached < slots:
        problems.append(f"slots {reached}-{slots} belong to no shard")
    return tuple(problems)
