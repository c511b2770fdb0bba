"""What shards and keyspaces have in common when they act: leadership, events, statuses, faults."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mitosis_operator import metrics
from mitosis_operator.errors import Conflict, KubeError
from mitosis_operator.faults import Faults
from mitosis_operator.kube.cache import Cache
from mitosis_operator.kube.client import Kube
from mitosis_operator.kube.kinds import (
    WATCHED_BY_NAMESPACE,
    Body,
    is_deleting,
    kind_of,
    name_of,
    namespace_of,
    uid_of,
    version_of,
)
from mitosis_operator.models.conditions import Condition, Truth
from mitosis_operator.objects import events

log = logging.getLogger(__name__)

APPLY_AGAIN_SECONDS = 300.0
TELL_AGAIN_SECONDS = 60.0
NOT_TOLD = ("Progressing", "Bootstrapped", "FailoverPossible")
FOR_PEOPLE = ("Accepted", "NoRoom")
PASSING = ("Publishing", "Pending")
GOOD_WHEN_FALSE = ("NoRoom", "Paused", "Progressing")


class Leader(Protocol):
    @property
    def term(self) -> int: ...

    def check(self) -> None:
        """Raise LeaseLost when this process may not act."""
        ...


@dataclass(frozen=True)
class Doors:
    """Everything an act needs of the outside."""

    kube: Kube
    cache: Cache
    leader: Leader
    faults: Faults
    clock: Callable[[], float]
    now: Callable[[], datetime]


class Acts:
    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._applied: dict[tuple[str, str, str], tuple[Body, float]] = {}
        self._told: dict[tuple[str, str, str], float] = {}

    async def step(self, name: str, body: Body, act: Callable[[], Awaitable[None]]) -> None:
        """Do one thing as the leader; `body` is the object it is done for."""
        async with self._doors.faults.turn():
            self._doors.leader.check()
            try:
                await act()
            except Exception:
                metrics.ACTIONS.labels(name, "failed").inc()
                raise
            metrics.ACTIONS.labels(name, "done").inc()
            await self._doors.faults.after(name, body)

    async def apply(self, body: Body) -> None:
        """Server-side apply. What was applied a short time ago is not sent again."""
        key = (body["kind"], namespace_of(body), name_of(body))
        known = self._applied.get(key)
        now = self._doors.clock()
        if known is not None and known[0] == body and now - known[1] < APPLY_AGAIN_SECONDS:
            return
        self.remember(await self._doors.kube.apply(body))
        self._applied[key] = (body, now)

    async def create(self, body: Body) -> bool:
        """False: there is one of this name already."""
        try:
            made = await self._doors.kube.create(body)
        except Conflict:
            return False
        self.remember(made)
        return True

    async def merge(self, body: Body, patch: Body) -> Body:
        kind, namespace, name = kind_of(body), namespace_of(body), name_of(body)
        merged = await self._doors.kube.merge(kind, namespace, name, patch)
        self.remember(merged)
        return merged

    async def set_finalizers(self, body: Body, finalizers: list[str]) -> None:
        """The whole list at the version of `body`: a merge patch replaces lists."""
        patch = {"metadata": {"finalizers": finalizers, "resourceVersion": version_of(body)}}
        merged = await self.merge(body, patch)
        if is_deleting(merged) and not finalizers:  # gone with this write
            self._doors.cache.drop(kind_of(body), merged)

    async def write_status(self, body: Body, status: Body) -> Body:
        """Raise Conflict when the object is newer than what was decided on."""
        self._doors.leader.check()
        written = await self._doors.kube.replace_status({**body, "status": status})
        self.remember(written)
        return written

    async def delete(self, body: Body) -> None:
        await self._doors.kube.delete(body)

    async def tell(self, body: Body, reason: str, message: str, *, warning: bool = False) -> None:
        """An Event; one that cannot be written is only logged: it is no reason to stop. What is
        told already is not told again for a while: failures repeat."""
        key, now = (uid_of(body), reason, message), self._doors.clock()
        if now - self._told.get(key, float("-inf")) < TELL_AGAIN_SECONDS:
            return
        self._told = {k: at for k, at in self._told.items() if now - at < TELL_AGAIN_SECONDS}
        self._told[key] = now
        kind = events.WARNING if warning else events.NORMAL
        log.log(
            logging.WARNING if warning else logging.INFO,
            "%s/%s: %s: %s",
            body["kind"],
            name_of(body),
            reason,
            message,
        )
        try:
            await self._doors.kube.create(
                events.build(body, kind, reason, message, now=self._doors.now())
            )
        except KubeError as exc:
            if not isinstance(exc, Conflict):  # the same event in the same second
                log.warning("cannot write an Event: %s", exc)

    async def tell_changes(
        self, body: Body, before: tuple[Condition, ...], after: tuple[Condition, ...]
    ) -> None:
        """An Event for each condition that came to another status or reason. In the beginning all
        are bad: then only what a person has to answer."""
        known = {c.type: c for c in before}
        told: set[str] = set()
        for condition in after:
            old = known.get(condition.type)
            same = old and (old.status, old.reason) == (condition.status, condition.reason)
            silent = old is None and not (_is_bad(condition) and condition.type in FOR_PEOPLE)
            message = condition.message or f"{condition.type} is {condition.status.value}"
            passing = condition.type in NOT_TOLD or condition.reason in PASSING
            if same or silent or passing or message in told:
                continue
            told.add(message)
            await self.tell(body, condition.reason, message, warning=_is_bad(condition))

    def remember(self, body: Body) -> None:
        """The next look must see what was written, even before the watch tells."""
        if kind_of(body) in WATCHED_BY_NAMESPACE:
            self._doors.cache.put(kind_of(body), body)


def _is_bad(condition: Condition) -> bool:
    """Accepted with a reservation, such as a storage class that cannot grow, is a warning too."""
    if condition.type == "Accepted" and condition.reason != "Valid":
        return True
    good = Truth.FALSE if condition.type in GOOD_WHEN_FALSE else Truth.TRUE
    return condition.status is not good
