"""A queue of keys: each key at most once in it, and never in two hands at once.

What is asked for while a key is being worked on is done afterwards, once. A failed pass comes again
later and later; a pass that went well may ask to come again after some time. The queue carries no
facts: whoever takes a key looks for itself.
"""

import asyncio
import heapq
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 60.0

log = logging.getLogger(__name__)

Clock = Callable[[], float]


@dataclass(frozen=True)
class Again:
    """When the key wants its next pass; None: not before something happens."""

    after_seconds: float | None = None


class WorkQueue(Generic[K]):
    def __init__(self, clock: Clock, jitter: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._jitter = jitter
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0
        self._busy: set[K] = set()
        self._failures: dict[K, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: K, after_seconds: float = 0.0) -> None:
        """Ask for a pass; the earlier of two wishes counts."""
        due = self._clock() + after_seconds
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
        self._changed.set()

    async def take(self) -> K:
        """Wait for a key that is due and in nobody's hand; give it back with `done` or `failed`."""
        while True:
            key, wait = self._next()
            if key is not None:
                del self._due[key]
                self._busy.add(key)
                return key
            self._changed.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: K, again: Again) -> None:
        self._failures.pop(key, None)
        self._release(key)
        if again.after_seconds is not None:
            self.add(key, again.after_seconds)

    def failed(self, key: K) -> float:
        """Come again after a pause that doubles with each failure; return the pause."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 10), LONGEST_BACKOFF_SECONDS)
        pause *= 0.75 + 0.5 * self._jitter()  # those that failed together do not return together
        self._release(key)
        self.add(key, pause)
        return pause

    def _release(self, key: K) -> None:
        self._busy.discard(key)
        self._changed.set()

    def _next(self) -> tuple[K | None, float | None]:
        """The first key that may be taken, else how long until one is due."""
        now = self._clock()
        held_back: list[tuple[float, int, K]] = []
        found: K | None = None
        wait: float | None = None
        while self._heap:
            due, _, key = entry = self._heap[0]
            if self._due.get(key) != due:  # taken, or wished for earlier
                heapq.heappop(self._heap)
            elif due > now:
                wait = due - now
                break
            else:
                heapq.heappop(self._heap)
                if key not in self._busy:
                    found = key
                    break
                held_back.append(entry)
        for entry in held_back:
            heapq.heappush(self._heap, entry)
        return found, wait


async def work(queue: WorkQueue[K], reconcile: Callable[[K], Awaitable[Again]]) -> None:
    """One worker, for ever. A pass that raises is logged and repeated; the worker goes on."""
    while True:
        key = await queue.take()
        try:
            again = await reconcile(key)
        except Exception:
            pause = queue.failed(key)
            log.exception("%s: pass failed; again in %.1f s", key, pause)
        else:
            queue.done(key, again)
