"""Statements that wait because nobody takes them now: one bounded queue for each shard.

An *event* is the time in which a shard cannot be used as the table says: it moves, it has no
primary, its primary does not answer or takes no writes, or the gate cannot confirm its table. It
begins when the table or a server says so and ends when somebody gets through. While it is on,
statements outside transactions wait in the order in which they came; the first in the queue alone
tries whether the shard is there again, the others follow it.

What is bounded: the places of the queue, the time of each statement, the time of the whole event,
and how soon after one event the next may make clients wait. Beyond any of them the statement ends
at once, with an error that names the shard, the reason and the numbers. A shard that flaps thus
costs its clients errors, not all their connections.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum

from mitosis_gate import metrics
from mitosis_gate.errors import BackendUnreachable, ShardUnavailable, Unavailable
from mitosis_gate.settings import Settings

_TRY_SECONDS = 1.0
"""How often a server that does not answer is tried when nobody may wait for it any more."""


class Trouble(IntEnum):
    """What a server has shown; the table knows the rest."""

    NONE = 0
    READ_ONLY = 1
    """It answers, and refuses writes: it was fenced, or has just been started."""
    UNREACHABLE = 2


class Queue:
    """What waits for one shard."""

    def __init__(
        self, shard: str, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.shard = shard
        self.trouble = Trouble.NONE
        self._settings = settings
        self._clock = clock
        self._places: deque[Place] = deque()
        self._began: float | None = None
        self._ended: float | None = None
        self._held_any = False
        self._tried_at = -_TRY_SECONDS
        self.why = ""
        """What the server has shown, for the error."""

    @property
    def waiting(self) -> int:
        return len(self._places)

    @property
    def is_on(self) -> bool:
        return self._began is not None

    def begin(self, trouble: Trouble = Trouble.NONE, why: str = "") -> None:
        """The event begins, if it has not."""
        if self._began is None:
            self._began = self._clock()
            self._held_any = False
        if trouble:
            self.trouble, self.why = trouble, why

    def end(self) -> None:
        """The shard takes statements: all who wait go on, the first one first."""
        self.trouble = Trouble.NONE
        if self._began is not None:
            self._began = None
            if self._held_any:
                self._ended = self._clock()
        self.wake()

    def wake(self) -> None:
        """Something has changed: everybody looks again, in order."""
        for place in tuple(self._places):
            place.wake()

    def enter(self, why: str) -> "Place":
        """Take a place; raises Unavailable when there is none for this statement."""
        self.begin()
        now = self._clock()
        settings = self._settings
        if self._ended is not None and now - self._ended < settings.hold_pause_seconds:
            raise self._refused(
                why,
                f"it was held {now - self._ended:.1f} s ago, and is again after "
                f"{settings.hold_pause_seconds:g} s (--hold-pause-seconds)",
                0.0,
                "pause",
            )
        if self._left(now) <= 0:
            raise self._refused(why, self._over_text(), 0.0, "event")
        if len(self._places) >= settings.hold_slots:
            raise self._refused(
                why,
                f"all {settings.hold_slots} places to wait are taken (--hold-slots)",
                0.0,
                "full",
            )
        self._held_any = True
        place = Place(self, now)
        self._places.append(place)
        metrics.HELD.inc()
        return place

    def _left(self, now: float) -> float:
        """How long this event may go on making clients wait."""
        if self._began is None:
            return self._settings.hold_event_seconds
        return self._began + self._settings.hold_event_seconds - now

    def _over_text(self) -> str:
        return (
            f"this goes on for more than {self._settings.hold_event_seconds:g} s "
            "(--hold-event-seconds)"
        )

    def _refused(self, why: str, limit: str, waited: float, outcome: str) -> Unavailable:
        metrics.HELD_TOTAL.labels(outcome=outcome).inc()
        is_away = self.trouble is Trouble.UNREACHABLE
        kind = BackendUnreachable if is_away else ShardUnavailable
        return kind(
            f"shard {self.shard} takes no statements: {why}; waited {waited * 1000:.0f} ms, "
            f"{limit}; {len(self._places)} others wait; repeat later"
        )

    def expired(self, place: "Place", why: str) -> Unavailable:
        now = self._clock()
        if self._left(now) <= 0:
            return self._refused(why, self._over_text(), now - place.since, "event")
        seconds = f"the limit is {self._settings.hold_seconds:g} s (--hold-seconds)"
        return self._refused(why, seconds, now - place.since, "expired")

    def may_try(self, place: "Place | None", writes: bool) -> bool:
        """Whether this statement may ask a server that failed the last one."""
        if self.trouble is Trouble.NONE or (place is not None and place.is_first):
            return True
        if self.trouble is Trouble.READ_ONLY and not writes:
            return True
        now = self._clock()
        if self._places or now - self._tried_at < _TRY_SECONDS:
            return False
        self._tried_at = now
        return True

    def is_first(self, place: "Place") -> bool:
        return bool(self._places) and self._places[0] is place

    def deadline(self, place: "Place") -> float:
        now = self._clock()
        return min(place.since + self._settings.hold_seconds, now + self._left(now))

    def leave(self, place: "Place") -> None:
        was_first = self.is_first(place)
        with suppress(ValueError):
            self._places.remove(place)
            metrics.HELD.dec()
        if was_first and self._places:
            self._places[0].wake()

    def now(self) -> float:
        return self._clock()


class Place:
    """One statement in the queue; `leave` it in `finally`."""

    __slots__ = ("_future", "_queue", "since")

    def __init__(self, queue: Queue, since: float) -> None:
        self._queue = queue
        self._future: asyncio.Future[None] | None = None
        self.since = since

    @property
    def is_first(self) -> bool:
        return self._queue.is_first(self)

    def wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def change(self, why: str, again_seconds: float | None) -> None:
        """Wait for news, or for `again_seconds`; raises Unavailable at a limit.

        `why` is what the error says: the reason that holds now.
        """
        left = self._queue.deadline(self) - self._queue.now()
        if left <= 0:
            raise self._queue.expired(self, why)
        self._future = asyncio.get_running_loop().create_future()
        limit = left if again_seconds is None else min(left, again_seconds)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._future
        finally:
            self._future = None

    def passed(self) -> None:
        """It goes on to the shard."""
        metrics.HELD_TOTAL.labels(outcome="passed").inc()

    def leave(self) -> None:
        self._queue.leave(self)
