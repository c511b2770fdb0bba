"""Who may act: the holder of a Lease, and nobody else.

A leader that could not renew its Lease for `renew_seconds` stops at once, by ending the process:
nothing it had begun goes on. A new leader waits until it has seen the Lease unchanged for
`duration_seconds` on its own clock, so clocks need not agree. What a paused and resumed leader may
still send is stopped by `term`, which rises with each change of leader and goes with every call to
an agent and every publication.

The time of a renewal counts from before the request was sent: the answer may have been long on its
way.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from mitosis_operator import metrics
from mitosis_operator.errors import Conflict, KubeError, LeaseLost, NotFound
from mitosis_operator.kube.client import Kube
from mitosis_operator.kube.kinds import LEASE, Body, version_of

log = logging.getLogger(__name__)

EXIT_LEASE_LOST = 1


@dataclass(frozen=True)
class LeaseRules:
    namespace: str
    name: str
    identity: str
    duration_seconds: float = 15.0
    renew_seconds: float = 10.0
    retry_seconds: float = 2.0


def exit_at_once(reason: str) -> NoReturn:
    """No clean-up: whatever still runs here must not act any more."""
    log.critical("not the leader any more: %s", reason)
    os._exit(EXIT_LEASE_LOST)


class Leadership:
    def __init__(
        self,
        kube: Kube,
        rules: LeaseRules,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_loss: Callable[[str], NoReturn] = exit_at_once,
    ) -> None:
        self._kube = kube
        self._rules = rules
        self._clock = clock
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._on_loss = on_loss
        self._renewed_at: float | None = None
        self._term = 0
        self._watched: tuple[object, float] | None = None

    @property
    def term(self) -> int:
        """The Lease's count of transitions, as of when this process became leader."""
        return self._term

    def is_held(self) -> bool:
        renewed_at = self._renewed_at
        return renewed_at is not None and self._clock() - renewed_at < self._rules.renew_seconds

    def check(self) -> None:
        """Called before each act. Raises LeaseLost when this process may not act."""
        if not self.is_held():
            raise LeaseLost(f"{self._rules.identity} does not hold {self._rules.name}")

    async def acquire(self) -> None:
        """Wait, however long it takes, until this process is the leader."""
        while not await self._attempt():
            await self._sleep(self._rules.retry_seconds)
        metrics.LEADER.set(1)
        log.info("%s is the leader, term %d", self._rules.identity, self._term)

    async def keep(self) -> NoReturn:
        """Renew for ever; when that fails too long or another holds the Lease, end the process."""
        while True:
            await self._sleep(self._rules.retry_seconds)
            await self.renew()

    async def renew(self) -> None:
        """One renewal, within its own deadline: a request that hangs must not outlast the Lease."""
        assert self._renewed_at is not None
        left = self._renewed_at + self._rules.renew_seconds - self._clock()
        try:
            async with asyncio.timeout(max(left, 0)):
                await self._renew_once()
        except (KubeError, TimeoutError) as exc:
            log.warning("cannot renew the Lease %s: %s", self._rules.name, exc)
        if not self.is_held():
            self._on_loss(f"the Lease was not renewed for {self._rules.renew_seconds:g} s")

    async def release(self) -> None:
        """Let the next one begin at once. Called when nothing of this process acts any more."""
        if not self.is_held():
            return
        self._renewed_at = None
        metrics.LEADER.set(0)
        lease = await self._read()
        if lease is not None and _holder(lease) == self._rules.identity:
            await self._kube.replace(_with_spec(lease, holderIdentity="", leaseDurationSeconds=1))

    async def _renew_once(self) -> None:
        started = self._clock()
        lease = await self._read()
        if lease is None or _holder(lease) != self._rules.identity:
            holder = "nobody" if lease is None else _holder(lease) or "nobody"
            self._on_loss(f"the Lease {self._rules.name} is held by {holder}")
        if lease["spec"].get("leaseTransitions", 0) != self._term:
            self._on_loss(f"the Lease {self._rules.name} has changed hands meanwhile")
        await self._kube.replace(_with_spec(lease, renewTime=self._now()))
        self._renewed_at = started

    async def _attempt(self) -> bool:
        started = self._clock()
        try:
            lease = await self._read()
            term = self._first_term() if lease is None else _transitions(lease) + 1
            if lease is None:
                await self._kube.create(self._new_lease(term))
            elif self._may_take(lease):
                await self._kube.replace(self._taken(lease, term))
            else:
                return False
        except Conflict:  # another was quicker
            return False
        except KubeError as exc:
            log.warning("cannot take the Lease %s: %s", self._rules.name, exc)
            return False
        self._renewed_at, self._term = started, term
        return True

    def _may_take(self, lease: Body) -> bool:
        """A free Lease, one that this process's dead predecessor held (no two live at once under
        one name), or one that has not changed while we watched for its whole duration."""
        if _holder(lease) in ("", self._rules.identity):
            return True
        marks = version_of(lease)
        if self._watched is None or self._watched[0] != marks:
            self._watched = (marks, self._clock())
        duration = lease["spec"].get("leaseDurationSeconds", self._rules.duration_seconds)
        return self._clock() - self._watched[1] >= float(duration)

    async def _read(self) -> Body | None:
        try:
            return await self._kube.get(LEASE, self._rules.namespace, self._rules.name)
        except NotFound:
            return None

    def _first_term(self) -> int:
        """Minutes since 1970: higher than the last term of a Lease that was deleted, because
        leaders do not change every minute for years."""
        return int(self._wall_clock().timestamp() // 60)

    def _new_lease(self, term: int) -> Body:
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": {"name": self._rules.name, "namespace": self._rules.namespace},
            "spec": self._spec(term),
        }

    def _taken(self, lease: Body, term: int) -> Body:
        return _with_spec(lease, **self._spec(term))

    def _spec(self, term: int) -> Body:
        return {
            "holderIdentity": self._rules.identity,
            "leaseDurationSeconds": int(self._rules.duration_seconds),
            "leaseTransitions": term,
            "acquireTime": self._now(),
            "renewTime": self._now(),
        }

    def _now(self) -> str:
        return self._wall_clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _holder(lease: Body) -> str:
    return str(lease["spec"].get("holderIdentity") or "")


def _transitions(lease: Body) -> int:
    return int(lease["spec"].get("leaseTransitions") or 0)


def _with_spec(lease: Body, **changes: object) -> Body:
    return {**lease, "spec": {**lease["spec"], **changes}}
