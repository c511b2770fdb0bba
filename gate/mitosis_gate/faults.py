"""Deaths and pauses on demand, for tests: switched on by the environment only.

`MITOSIS_GATE_FAULTS` names a folder. When the process comes to a point and the folder has a file of
that name, it ends without another word if `kill` stands in it; else it makes `<point>.reached` and
goes on once the file is gone. The points are named in `executor.commit`.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "MITOSIS_GATE_FAULTS"
_LOOK_SECONDS = 0.01

log = logging.getLogger(__name__)


class Faults:
    def __init__(self, environment: Mapping[str, str]) -> None:
        folder = environment.get(VARIABLE)
        self._folder = Path(folder) if folder else None

    async def at(self, point: str) -> None:
        if self._folder is None:
            return
        order = self._folder / point
        if not await asyncio.to_thread(order.exists):
            return
        log.critical("struck at %s, as %s says", point, VARIABLE)
        if await asyncio.to_thread(order.read_text) == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.to_thread(order.with_name(point + ".reached").touch)
        while await asyncio.to_thread(order.exists):  # noqa: ASYNC110  a file tells nobody
            await asyncio.sleep(_LOOK_SECONDS)
