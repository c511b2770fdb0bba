"""The operator's door to gates: who obeys which routing table, and has nothing older running.

Asked after a table was published that says that a shard is moving, and before its primary's writes
are taken away. A gate that does not confirm in time is left out of the count: the fence makes it
harmless, at the price of errors for its clients, which is why it is waited for at all.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from mitosis_operator import names
from mitosis_operator.kube.client import Kube
from mitosis_operator.kube.kinds import POD, Body, name_of

CONFIRMED = 200
TOO_LATE = 504
FIRST_PAUSE_SECONDS = 0.05
PATIENCE = 0.8
"""The part of the time that a gate may wait, so that its own answer "too late" still arrives."""


@dataclass(frozen=True)
class Confirmation:
    """What one gate said."""

    gate: str
    """Name of its pod."""
    confirmed: bool
    version: int = 0
    """What it obeys; 0: it did not say."""
    older: tuple[str, ...] = ()
    """Shards on which something runs there that began under an older table."""
    problem: str = ""
    """Why it did not answer; empty when it did."""


@dataclass(frozen=True)
class Confirmations:
    gates: tuple[Confirmation, ...]

    @property
    def everybody(self) -> bool:
        return all(g.confirmed for g in self.gates)

    @property
    def missing(self) -> tuple[str, ...]:
        """One sentence for each gate that did not confirm."""
        return tuple(_why_not(g) for g in self.gates if not g.confirmed)


class Gates:
    """All gates of the release. One connection per question, as with agents."""

    def __init__(
        self,
        kube: Kube,
        context: Callable[[], ssl.SSLContext],
        namespace: str,
        server_name: str,
        port: int = names.GATE_DOOR_PORT,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`server_name` stands in the certificate of every gate; `namespace` is the release's."""
        self._kube = kube
        self._context = context
        self._namespace = namespace
        self._server_name = server_name
        self._port = port
        self._clock = clock

    async def confirm(self, keyspace: str, version: int, deadline: float) -> Confirmations:
        """Ask all gates at once; return when each has confirmed, or at `deadline` (loop time).

        Raises what the API server raises when the pods cannot be listed.
        """
        labels = f"{names.LABEL_APP}={names.APP},{names.LABEL_COMPONENT}={names.COMPONENT_GATE}"
        listed = await self._kube.list(POD, self._namespace, labels)
        pods = [pod for pod in listed.items if _runs(pod)]
        answers = [self._asked(pod, keyspace, version, deadline) for pod in pods]
        return Confirmations(tuple(await asyncio.gather(*answers)))

    async def _asked(self, pod: Body, keyspace: str, version: int, deadline: float) -> Confirmation:
        """Until it has confirmed; a gate that starts or is cut off for a moment is asked again."""
        gate = name_of(pod)
        last = Confirmation(gate, False, problem="there was no time to ask")
        pause = FIRST_PAUSE_SECONDS
        while (left := deadline - self._now()) > 0:
            found = await self._once(gate, pod["status"]["podIP"], keyspace, version, left)
            if found.confirmed:
                return found
            if not found.problem or last.problem:
                last = found
            await asyncio.sleep(max(0.0, min(pause, deadline - self._now())))
            pause *= 2
        return last

    def _now(self) -> float:
        return self._clock() if self._clock else asyncio.get_running_loop().time()

    async def _once(
        self, gate: str, ip: str, keyspace: str, version: int, seconds: float
    ) -> Confirmation:
        host = f"[{ip}]" if ":" in ip else ip
        url = f"https://{host}:{self._port}/routing/{quote(keyspace, safe='')}"
        patience = seconds * PATIENCE
        query = {"version": str(version), "quiet": "1", "timeout": f"{patience:.3f}"}
        connector = aiohttp.TCPConnector(ssl=self._context(), force_close=True)
        limit = aiohttp.ClientTimeout(total=seconds)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=limit) as session,
                session.get(url, params=query, server_hostname=self._server_name) as response,
            ):
                return _read(gate, response.status, await response.text())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            return Confirmation(gate, False, problem=str(exc) or type(exc).__name__)


def _runs(pod: Body) -> bool:
    """Also one that is being deleted: it still ends its transactions."""
    status: Any = pod.get("status") or {}
    return status.get("phase") == "Running" and bool(status.get("podIP"))


def _read(gate: str, status: int, text: str) -> Confirmation:
    """Raises ValueError for what is no answer of a gate."""
    body = json.loads(text)
    if not isinstance(body, dict):
        raise ValueError("the answer is no object")
    if status not in (CONFIRMED, TOO_LATE):
        return Confirmation(gate, False, problem=str(body.get("error") or f"HTTP {status}"))
    older = tuple(str(shard) for shard in body.get("older") or ())
    return Confirmation(gate, status == CONFIRMED, int(body.get("version") or 0), older)


def _why_not(answer: Confirmation) -> str:
    if answer.problem:
        return f"{answer.gate} did not answer: {answer.problem}"
    if answer.older:
        return f"{answer.gate} still has something running on {', '.join(answer.older)}"
    return f"{answer.gate} obeys version {answer.version}"
