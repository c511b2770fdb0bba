"""The operator's door: which routing table the gate obeys, and whether anything older still runs.

    GET /routing/{keyspace}?version=N&timeout=S    answers once all workers obey N or a later one
    ... &quiet=1                                   and nothing that began before still runs on a
                                                   shard that is moving, or lost its role

200 with what is obeyed; 504 with the same when the time is over first. The answer is about the gate
as it is now: under the table that it obeys nothing new can begin on such a shard, so what is quiet
stays quiet until the next table.

Both sides show certificates of the operator's authority, and the caller's must carry the operator's
name: the answer decides when a primary's writes are taken away. Probes, figures and people use the
admin port, which is plain.
"""

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from mitosis_gate.errors import NotStarted
from mitosis_gate.settings import Settings
from mitosis_gate.web import Request, Response, WebServer

log = logging.getLogger(__name__)

CALLER = "mitosis-operator"
LONGEST_POLL_SECONDS = 300.0
LOOK_SECONDS = 5.0
TOO_LATE = 504
FORBIDDEN = 403

_Seen = tuple[tuple[int, int], ...]


class State(Protocol):
    """What is confirmed: by one process, or by several workers together."""

    def version(self, keyspace: str) -> int:
        """The version obeyed everywhere; 0 for an unknown keyspace."""

    def older(self, keyspace: str) -> Sequence[str]:
        """Shards on which something runs that began before they moved."""

    async def wait_for(self, keyspace: str, version: int, quiet: bool = False) -> None:
        """Return when this version or a later one is obeyed everywhere, and `older` is empty."""


class Door:
    def __init__(self, state: State, folder: Path, host: str, port: int) -> None:
        self._state = state
        self._folder = folder
        self._host = host
        self._port = port
        self._server = WebServer(self._answer)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._seen: _Seen = ()

    @property
    def port(self) -> int:
        """The real one, when 0 was asked for."""
        return self._server.port

    async def start(self) -> None:
        """Raises NotStarted without a certificate that can be used."""
        self.look()
        if not self._seen:
            raise NotStarted(
                f"{self._folder} needs tls.crt, tls.key and ca.crt that belong together"
            )
        await self._server.start(self._host, self._port, self._context)

    async def close(self) -> None:
        await self._server.close()

    async def stay_fresh(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Take over renewed files; a handshake that comes later sees them."""
        files = [self._folder / name for name in ("tls.crt", "tls.key", "ca.crt")]
        try:
            seen = tuple((s.st_ino, s.st_mtime_ns) for s in (path.stat() for path in files))
            if seen == self._seen:
                return
            self._context.load_cert_chain(files[0], files[1])
            self._context.load_verify_locations(files[2])
        except OSError as exc:  # ssl errors are among them
            log.error("certificate of the operator's door in %s: %s", self._folder, exc)
            return
        self._seen = seen

    async def _answer(self, request: Request) -> Response:
        if request.caller != CALLER:
            log.warning("the operator's door was tried by %s", request.caller or "nobody")
            return _json({"error": f"only {CALLER} is answered here"}, FORBIDDEN)
        match request.path.strip("/").split("/"):
            case ["routing", keyspace]:
                return await self._confirm(keyspace, request)
        return _json({"error": "pages: /routing/{keyspace}"}, 404)

    async def _confirm(self, keyspace: str, request: Request) -> Response:
        query = request.query
        try:
            version = int(query.get("version", "0"))
            timeout = min(float(query.get("timeout", "0")), LONGEST_POLL_SECONDS)
        except ValueError:
            problem = "version must be a whole number, timeout a number of seconds"
            return _json({"error": problem}, 400)
        quiet = query.get("quiet", "0") not in ("", "0")
        try:
            async with asyncio.timeout(max(timeout, 0.0)):
                await self._state.wait_for(keyspace, version, quiet)
            status = 200
        except TimeoutError:
            status = TOO_LATE
        older = list(self._state.older(keyspace))
        body = {"keyspace": keyspace, "version": self._state.version(keyspace), "older": older}
        return _json(body, status)


@contextlib.asynccontextmanager
async def door_of(state: State, settings: Settings) -> AsyncIterator[None]:
    """The door, open while the body runs and its certificate kept fresh; none without a folder."""
    if settings.door_tls_dir is None:
        yield
        return
    door = Door(state, settings.door_tls_dir, settings.admin_host, settings.door_port)
    await door.start()
    fresh = asyncio.create_task(door.stay_fresh())
    try:
        yield
    finally:
        fresh.cancel()
        await door.close()


def _json(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body).encode(), status, "application/json")
