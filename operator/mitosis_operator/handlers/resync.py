"""Lists everything anew from time to time, for what a watch has lost."""

import asyncio
import logging
import random
from collections.abc import Callable

from mitosis_operator.errors import Forbidden, KubeError, NotFound
from mitosis_operator.handlers.intake import Intake
from mitosis_operator.kube.client import Kube
from mitosis_operator.kube.kinds import (
    POD,
    STORAGE_CAPACITY,
    VOLUME,
    WATCHED_BY_NAMESPACE,
    WATCHED_IN_CLUSTER,
    Kind,
)
from mitosis_operator.names import LABEL_MANAGED_BY, MANAGED_BY
from mitosis_operator.reconcile.identity import Identity
from mitosis_operator.reconcile.passes import Key
from mitosis_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)


class Resync:
    def __init__(
        self,
        kube: Kube,
        intake: Intake,
        identity: Identity,
        queue: WorkQueue[Key],
        namespaces: tuple[str, ...],
        interval_seconds: float,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._kube = kube
        self._intake = intake
        self._identity = identity
        self._queue = queue
        self._namespaces = namespaces
        self._interval_seconds = interval_seconds
        self._jitter = jitter

    async def once(self) -> None:
        """Must have succeeded once before anything is decided: half a picture misleads."""
        await self._identity.ensure()
        for kind in WATCHED_IN_CLUSTER:
            await self._list(kind, "")
        for namespace in self._namespaces:
            for kind in WATCHED_BY_NAMESPACE:
                await self._list(kind, namespace)
        try:
            await self._list(STORAGE_CAPACITY, "")
        except (Forbidden, NotFound) as exc:  # an old cluster, or fewer rights: room is unknown
            log.info("cannot see how much room nodes have: %s", exc)

    async def for_ever(self) -> None:
        """Passes are spread over the interval, so that thousands of shards make no wave."""
        while True:
            for key in self._intake.everything():
                self._queue.add(key, self._jitter() * self._interval_seconds)
            await asyncio.sleep(self._interval_seconds * (0.75 + 0.5 * self._jitter()))
            try:
                await self.once()
            except KubeError as exc:
                log.warning("cannot list everything anew: %s", exc)

    async def _list(self, kind: Kind, namespace: str) -> None:
        labels = f"{LABEL_MANAGED_BY}={MANAGED_BY}" if kind in (POD, VOLUME) else ""
        listing = await self._kube.list(kind, namespace, labels=labels)
        self._intake.relisted(kind, namespace, listing.items, listing.resource_version)
