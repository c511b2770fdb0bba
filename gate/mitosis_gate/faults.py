"""Deaths and pauses on demand, for tests: set in the environment only, off in every other process.

`MITOSIS_GATE_FAULT_AT=prepared:kill` ends the process without another word when it gets there;
`prepared:/path` makes that file there and goes on once somebody has removed it. Points are named in
`executor.commit`.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "MITOSIS_GATE_FAULT_AT"
_LOOK_SECONDS = 0.01

log = logging.getLogger(__name__)


class Faults:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._point, _, self._what = environment.get(VARIABLE, "").partition(":")

    async def at(self, point: str) -> None:
        if point != self._point:
            return
        log.critical("%s at %s, as %s says", self._what, point, VARIABLE)
        if self._what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        marker = Path(self._what)
        await asyncio.to_thread(marker.touch)
        while await asyncio.to_thread(marker.exists):  # noqa: ASYNC110  a file tells nobody
            await asyncio.sleep(_LOOK_SECONDS)
