"""Several gate processes that share the port: started, watched, and shown as one.

Each worker is a gate of its own: it follows the routing tables itself and shares nothing. Over a
socket it tells the parent what it obeys; when the socket ends, the other side has died: a worker
without parent drains and goes, a parent starts a worker anew. The parent serves the admin port; a
version is obeyed when all workers obey it.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mitosis_gate import metrics
from mitosis_gate.admin import Admin
from mitosis_gate.door import door_of
from mitosis_gate.settings import Settings

log = logging.getLogger(__name__)

REPORT_SECONDS = 0.5
SILENCE_SECONDS = 15.0
"""A worker that has not reported for so long does not turn its event loop."""
RESTART_SECONDS = 1.0
REPORT_FD = "MITOSIS_GATE_REPORT_FD"
LONGEST_REPORT = 32 << 20


@dataclass
class Report:
    """What a worker tells: once at its start, every half second, and after each new table."""

    not_ready: str = "starting"
    versions: Mapping[str, int] = field(default_factory=dict)
    routing: Mapping[str, Any] = field(default_factory=dict)
    older: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By keyspace: shards on which something runs that began before they moved."""

    def to_line(self) -> bytes:
        return json.dumps(vars(self)).encode() + b"\n"


@dataclass
class Worker:
    number: int
    process: asyncio.subprocess.Process | None = None
    report: Report = field(default_factory=Report)
    heard_at: float = 0.0


class Fleet:
    """The workers of one gate; also the `admin.State` of all together."""

    def __init__(self, count: int, arguments: Sequence[str]) -> None:
        self._arguments = tuple(arguments)
        self._workers = [Worker(number) for number in range(1, count + 1)]
        self._changed = asyncio.Condition()
        self._stopping = ""

    async def run(self) -> None:
        """Keep all workers alive; ends when they have gone after `stop`."""
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                group.create_task(self._keep(worker))

    def stop(self, signal_number: int) -> None:
        """Pass the signal on: each worker drains and ends."""
        self._stopping = "draining"
        for worker in self._workers:
            if worker.process is not None and worker.process.returncode is None:
                worker.process.send_signal(signal_number)

    async def _keep(self, worker: Worker) -> None:
        while not self._stopping:
            ours, theirs = socket.socketpair()
            worker.report = Report()
            worker.heard_at = time.monotonic()
            with theirs:
                worker.process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "mitosis_gate.main",
                    *self._arguments,
                    "--worker",
                    str(worker.number),
                    env={**os.environ, REPORT_FD: str(theirs.fileno())},
                    pass_fds=[theirs.fileno()],
                )
            reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_REPORT)
            log.info("worker %d is process %d", worker.number, worker.process.pid)
            await self._listen(worker, reader)
            writer.close()
            code = await self._ended(worker)
            metrics.forget_process(worker.process.pid)
            if not self._stopping:
                log.error("worker %d ended with %d: starting it again", worker.number, code)
                await asyncio.sleep(RESTART_SECONDS)

    async def _ended(self, worker: Worker) -> int:
        """A worker that has closed its socket but does not go is killed."""
        assert worker.process is not None
        try:
            return await asyncio.wait_for(worker.process.wait(), SILENCE_SECONDS)
        except TimeoutError:
            worker.process.kill()
            return await worker.process.wait()

    async def _listen(self, worker: Worker, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := await reader.readline():
                worker.report = Report(**json.loads(line))
                worker.heard_at = time.monotonic()
                async with self._changed:
                    self._changed.notify_all()

    def why_unhealthy(self) -> str:
        now = time.monotonic()
        silent = [w.number for w in self._workers if now - w.heard_at > SILENCE_SECONDS]
        return f"workers {silent} do not answer" if silent else ""

    def why_not_ready(self) -> str:
        return self._stopping or next(
            (w.report.not_ready for w in self._workers if w.report.not_ready), ""
        )

    def routing(self) -> Mapping[str, Any]:
        """What the worker says that is furthest behind, with the pools of all."""
        behind = min(self._workers, key=lambda w: sum(w.report.versions.values()))
        pools = [
            {"worker": w.number, **pool}
            for w in self._workers
            for pool in w.report.routing.get("pools", ())
        ]
        return {**behind.report.routing, "pools": pools}

    def version(self, keyspace: str) -> int:
        return min(w.report.versions.get(keyspace, 0) for w in self._workers)

    def older(self, keyspace: str) -> Sequence[str]:
        found = {s for w in self._workers for s in w.report.older.get(keyspace, ())}
        return sorted(found)

    async def wait_for(self, keyspace: str, version: int, quiet: bool = False) -> None:
        def is_so() -> bool:
            obeyed = self.version(keyspace)
            return obeyed >= version and obeyed > 0 and not (quiet and self.older(keyspace))

        async with self._changed:
            await self._changed.wait_for(is_so)


async def report_to_parent(
    descriptor: int, now: Callable[[], Report], changed: asyncio.Event
) -> None:
    """The worker's end: tell the parent; when there is none any more, drain as if it had asked."""
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor))
    gone = asyncio.create_task(reader.read())
    try:
        while not gone.done():
            changed.clear()
            writer.write(now().to_line())
            with contextlib.suppress(OSError):
                await writer.drain()
            news = asyncio.create_task(changed.wait())
            await asyncio.wait(
                [news, gone], timeout=REPORT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            news.cancel()
        log.warning("the parent process is gone: draining")
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        gone.cancel()
        writer.close()


async def serve(settings: Settings, arguments: Sequence[str]) -> int:
    """The parent process, from the first worker to the last."""
    fleet = Fleet(settings.workers, arguments)
    port = Admin(fleet, settings.admin_host, settings.admin_port)
    door = door_of(fleet, settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, fleet.stop, number)
    await port.start()
    try:
        async with door:
            await fleet.run()
    finally:
        await port.close()
    log.info("all workers have ended")
    return 0
