"""Deaths on demand, for tests: the process ends right after a named step was taken.

Each step kills once per object: what has happened is noted on the object before the process ends,
so that a restarted operator with the same setting gets on.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import NoReturn

from mitosis_operator.errors import Conflict
from mitosis_operator.kube.client import Kube
from mitosis_operator.kube.kinds import (
    Body,
    annotations_of,
    kind_of,
    name_of,
    namespace_of,
    version_of,
)

ANNOTATION = "mitosis.dev/faults-done"
EXIT_CODE = 70

log = logging.getLogger(__name__)


def exit_at_once(code: int) -> NoReturn:
    os._exit(code)


class Faults:
    def __init__(
        self, kube: Kube, after_step: str, die: Callable[[int], NoReturn] = exit_at_once
    ) -> None:
        """`after_step`: names of steps joined by commas, `*` for every step, empty for none."""
        self._kube = kube
        self._steps = frozenset(s.strip() for s in after_step.split(",") if s.strip())
        self._die = die
        self._turn = asyncio.Lock()

    def turn(self) -> AbstractAsyncContextManager[object]:
        """Around a step and its death: else another step could be taken while this one's death is
        noted, and would never be seen to kill. Nobody waits where no death is asked for."""
        return self._turn if self._steps else nullcontext()

    async def after(self, step: str, body: Body) -> None:
        if not self._steps & {step, "*"}:
            return
        if await self._is_noted(step, body):
            return
        log.critical("dying after %s of %s, as MITOSIS_FAULT_AFTER_STEP says", step, name_of(body))
        self._die(EXIT_CODE)

    async def _is_noted(self, step: str, body: Body) -> bool:
        """Whether it has killed before; if not, it is noted now. Two steps of one object may end at
        the same time: by the version, neither note takes the place of the other."""
        kind, namespace, name = kind_of(body), namespace_of(body), name_of(body)
        while True:
            live = await self._kube.get(kind, namespace, name)
            done = [s for s in annotations_of(live).get(ANNOTATION, "").split(",") if s]
            if step in done:
                return True
            notes = {ANNOTATION: ",".join([*done, step])}
            patch = {"metadata": {"resourceVersion": version_of(live), "annotations": notes}}
            try:
                await self._kube.merge(kind, namespace, name, patch)
            except Conflict:
                continue
            return False
