"""GTID sets as values: exact, tags included (`uuid:1-10:tag:1-3`).

The operator has no server at hand when it compares what instances reported. Whether data may be
destroyed or a replica follow is still judged by the server itself, in the agent.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

Interval = tuple[int, int]
"""First and last transaction, both inside."""
Source = tuple[str, str]
"""UUID and tag; the tag is empty for most transactions."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INTERVAL = re.compile(r"([1-9][0-9]*)(?:-([1-9][0-9]*))?")
_TAG = re.compile(r"[a-z_][a-z0-9_]{0,31}")


class BadGtidSet(ValueError):
    pass


@dataclass(frozen=True)
class GtidSet:
    intervals: Mapping[Source, tuple[Interval, ...]]
    """Sorted, without overlap or touching neighbours, no empty entry: so equality is equality."""

    @classmethod
    def parse(cls, text: str) -> Self:
        found: dict[Source, list[Interval]] = {}
        for part in filter(None, (p.strip() for p in text.lower().split(","))):
            for source, interval in _parse_part(part):
                found.setdefault(source, []).append(interval)
        return cls({source: _merged(intervals) for source, intervals in found.items()})

    @property
    def is_empty(self) -> bool:
        return not self.intervals

    @property
    def count(self) -> int:
        return sum(last - first + 1 for all in self.intervals.values() for first, last in all)

    def union(self, other: Self) -> Self:
        both = {s: list(i) for s, i in self.intervals.items()}
        for source, intervals in other.intervals.items():
            both.setdefault(source, []).extend(intervals)
        return type(self)({source: _merged(intervals) for source, intervals in both.items()})

    def subtract(self, other: Self) -> Self:
        """Return what is here and not in `other`."""
        left = {
            source: tuple(_without(intervals, other.intervals.get(source, ())))
            for source, intervals in self.intervals.items()
        }
        return type(self)({source: intervals for source, intervals in left.items() if intervals})

    def contains(self, other: Self) -> bool:
        return other.subtract(self).is_empty

    def __str__(self) -> str:
        """As the server writes it."""
        parts: dict[str, str] = {}
        for (uuid, tag), intervals in sorted(self.intervals.items()):
            text = ":".join(f"{a}-{b}" if a != b else str(a) for a, b in intervals)
            parts[uuid] = parts.get(uuid, uuid) + (f":{tag}:{text}" if tag else f":{text}")
        return ",".join(parts.values())


def _parse_part(part: str) -> Iterator[tuple[Source, Interval]]:
    uuid, *rest = (word.strip() for word in part.split(":"))
    if not _UUID.fullmatch(uuid) or not rest:
        raise BadGtidSet(f"cannot read {part!r} as GTIDs: expected UUID:INTERVAL")
    tag = ""
    for word in rest:
        if interval := _INTERVAL.fullmatch(word):
            first, last = int(interval[1]), int(interval[2] or interval[1])
            if first <= last:  # the server takes 5-3 for nothing
                yield (uuid, tag), (first, last)
        elif _TAG.fullmatch(word):
            tag = word
        else:
            raise BadGtidSet(f"cannot read {word!r} in {part!r}: neither interval nor tag")


def _merged(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    merged: list[Interval] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _without(intervals: Iterable[Interval], holes: Iterable[Interval]) -> Iterator[Interval]:
    for first, last in intervals:
        for hole_first, hole_last in holes:
            if hole_last < first or hole_first > last:
                continue
            if first < hole_first:
                yield first, hole_first - 1
            first = hole_last + 1
        if first <= last:
            yield first, last
