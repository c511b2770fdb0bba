"""The admin port: probes, figures, and which routing tables this gate obeys.

    GET /healthz                                  the process turns its event loop
    GET /readyz                                   clients may be sent here
    GET /metrics                                  for Prometheus
    GET /routing                                  tables in force and pools, without secrets
    GET /routing/{keyspace}?version=N&timeout=S   answers once version N or a later one is obeyed
    POST /peers                                   what another gate of the release asks; sealed

The last one is how the operator learns, before it takes a primary's writes away, that the gates
know of it: 200 with the version obeyed, 504 with it when the time is over.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mitosis_gate import metrics
from mitosis_gate.peers import PATH, Peers
from mitosis_gate.sealing import Message
from mitosis_gate.web import Request, Response, WebServer
from mitosis_routing.table import RoutingTable

LONGEST_POLL_SECONDS = 300.0
NOT_READY = 503
TOO_LATE = 504
FIGURES = "text/plain; version=0.0.4; charset=utf-8"


class State(Protocol):
    """What the admin port shows: of one process, or of several workers together."""

    def why_unhealthy(self) -> str:
        """Empty: healthy."""

    def why_not_ready(self) -> str:
        """Empty: ready."""

    def routing(self) -> Mapping[str, Any]: ...

    def version(self, keyspace: str) -> int:
        """The version obeyed everywhere; 0 for an unknown keyspace."""

    async def wait_for(self, keyspace: str, version: int) -> None:
        """Return when this version or a later one is obeyed everywhere."""

    async def answers(self, question: Message) -> Sequence[Message]:
        """What each process of this gate says to a question of a peer."""


class Admin:
    def __init__(self, state: State, host: str, port: int, peers: Peers | None = None) -> None:
        self._state = state
        self._peers = peers
        self._host = host
        self._port = port
        self._server = WebServer(self._answer, posts=(PATH,) if peers else ())

    @property
    def port(self) -> int:
        """The real one, when 0 was asked for."""
        return self._server.port

    async def start(self) -> None:
        await self._server.start(self._host, self._port)

    async def close(self) -> None:
        await self._server.close()

    async def _answer(self, request: Request) -> Response:
        match request.path.strip("/").split("/"):
            case ["healthz"]:
                return _probe(self._state.why_unhealthy())
            case ["readyz"]:
                return _probe(self._state.why_not_ready())
            case ["metrics"]:
                return Response(metrics.exposition(), content_type=FIGURES)
            case ["routing"]:
                return _json(self._state.routing())
            case ["routing", keyspace]:
                return await self._confirm(keyspace, request.query)
            case ["peers"] if self._peers is not None and request.body is not None:
                return await self._peers.handle(request.body, self._state.answers)
        return Response(b"pages: /healthz /readyz /metrics /routing /routing/{keyspace}\n", 404)

    async def _confirm(self, keyspace: str, query: Mapping[str, str]) -> Response:
        try:
            version = int(query.get("version", "0"))
            timeout = min(float(query.get("timeout", "0")), LONGEST_POLL_SECONDS)
        except ValueError:
            problem = "version must be a whole number, timeout a number of seconds"
            return _json({"error": problem}, 400)
        try:
            async with asyncio.timeout(max(timeout, 0.0)):
                await self._state.wait_for(keyspace, version)
            status = 200
        except TimeoutError:
            status = TOO_LATE
        return _json({"keyspace": keyspace, "version": self._state.version(keyspace)}, status)


def _probe(problem: str) -> Response:
    return Response((problem or "ok").encode(), NOT_READY if problem else 200)


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body).encode(), status, "application/json")


def shown(table: RoutingTable) -> Mapping[str, Any]:
    """A table for people: who is primary where. No secrets stand in it, and no certificates."""
    return {
        "keyspace": table.keyspace,
        "version": table.version,
        "slots": table.slots,
        "tables": [
            {"name": t.name, "reference": True}
            if t.reference
            else {"name": t.name, "shardingKey": t.sharding_key}
            for t in table.tables
        ],
        "shards": [
            {
                "name": s.name,
                "slots": str(s.slots),
                "state": s.state.value,
                "reason": s.reason,
                "epoch": s.epoch,
                "primary": s.primary.name if s.primary else "",
                "instances": [
                    {"name": i.name, "role": i.role.value, "host": i.host, "port": i.port}
                    for i in s.instances
                ],
            }
            for s in table.shards
        ],
    }


def routing_view(
    tables: Sequence[RoutingTable], pools: Sequence[Mapping[str, Any]], age_seconds: float
) -> Mapping[str, Any]:
    """What GET /routing answers for one process."""
    return {
        "keyspaces": [shown(t) for t in sorted(tables, key=lambda t: t.keyspace)],
        "pools": list(pools),
        "ageSeconds": None if age_seconds == float("inf") else round(age_seconds, 1),
    }
