"""Several gate processes that share the port: started, watched, and shown as one.

Each worker is a gate of its own: it follows the routing tables itself and shares nothing. Over a
socket it tells the parent what it obeys; when the socket ends, the other side has died: a worker
without parent drains and goes, a parent starts a worker anew. The parent serves the admin port; a
version is obeyed when all workers obey it.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mitosis_gate import lines, metrics, peers
from mitosis_gate.admin import Admin
from mitosis_gate.door import door_of
from mitosis_gate.lines import Line, Message
from mitosis_gate.peers import Peers
from mitosis_gate.settings import Settings

log = logging.getLogger(__name__)

REPORT_SECONDS = 0.5
SILENCE_SECONDS = 15.0
"""A worker that has not reported for so long does not turn its event loop."""
RESTART_SECONDS = 1.0
REPORT_FD = "MITOSIS_GATE_REPORT_FD"


@dataclass
class Report:
    """What a worker tells: once at its start, every half second, and after each new table."""

    not_ready: str = "starting"
    versions: Mapping[str, int] = field(default_factory=dict)
    routing: Mapping[str, Any] = field(default_factory=dict)
    older: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By keyspace: shards on which something runs that began before they moved."""


@dataclass
class Worker:
    number: int
    process: asyncio.subprocess.Process | None = None
    report: Report = field(default_factory=Report)
    heard_at: float = 0.0
    line: Line | None = None


class Fleet:
    """The workers of one gate; also the `admin.State` of all together."""

    def __init__(self, count: int, arguments: Sequence[str], peers: Peers | None = None) -> None:
        self._arguments = tuple(arguments)
        self._peers = peers
        self._workers = [Worker(number) for number in range(1, count + 1)]
        self._changed = asyncio.Condition()
        self._news = asyncio.Event()
        self._stopping = ""

    async def run(self) -> None:
        """Keep all workers alive; ends when they have gone after `stop`."""
        spreading = asyncio.create_task(self._spread_news())
        try:
            async with asyncio.TaskGroup() as group:
                for worker in self._workers:
                    group.create_task(self._keep(worker))
        finally:
            spreading.cancel()

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
            reader, writer = await asyncio.open_connection(sock=ours, limit=lines.LONGEST)
            log.info("worker %d is process %d", worker.number, worker.process.pid)
            await self._listen(worker, reader, writer)
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

    async def _listen(
        self, worker: Worker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        def heard(message: Message) -> None:
            worker.report = Report(**message)
            worker.heard_at = time.monotonic()
            self._news.set()

        async def asked(question: Message) -> Sequence[Message]:
            return await self._answers_for(worker, question)

        worker.line = Line(writer, asked, heard)
        try:
            await worker.line.listen(reader)
        finally:
            worker.line = None

    async def _spread_news(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            async with self._changed:
                self._changed.notify_all()

    async def answers(self, question: Message) -> Sequence[Message]:
        """What the workers say to a question of a peer."""
        return await self._ask(self._workers, question)

    async def _answers_for(self, asker: Worker, question: Message) -> Sequence[Message]:
        """What everybody else says to a question of one worker."""
        others = self._ask([w for w in self._workers if w is not asker], question)
        if self._peers is None:
            return await others
        here, there = await asyncio.gather(others, self._peers.ask(question))
        return [*here, *there]

    async def _ask(self, workers: Sequence[Worker], question: Message) -> Sequence[Message]:
        asked = [worker.line for worker in workers if worker.line is not None]
        answers = await asyncio.gather(*(line.ask(question) for line in asked))
        return [answer for answer in answers if answer is not None]

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


class Parent:
    """The worker's end of its line to the parent; also where it asks all other processes."""

    def __init__(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        self._writer = writer
        self._reader = reader
        self._line: Line | None = None

    @classmethod
    async def at(cls, descriptor: int) -> "Parent":
        taken = socket.socket(fileno=descriptor)
        reader, writer = await asyncio.open_connection(sock=taken, limit=lines.LONGEST)
        return cls(writer, reader)

    async def ask(self, question: Message) -> Sequence[Message]:
        answers = await self._line.ask(question) if self._line is not None else None
        return answers or ()

    async def report(
        self,
        now: Callable[[], Report],
        changed: asyncio.Event,
        answer: Callable[[Message], Awaitable[Message]],
    ) -> None:
        """Tell the parent; when there is none any more, drain as if it had asked."""
        line = self._line = Line(self._writer, answer)
        gone = asyncio.create_task(line.listen(self._reader))
        try:
            await _report_until(gone, line, self._writer, now, changed)
            log.warning("the parent process is gone: draining")
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            gone.cancel()
            self._writer.close()


async def _report_until(
    gone: asyncio.Task[None],
    line: Line,
    writer: asyncio.StreamWriter,
    now: Callable[[], Report],
    changed: asyncio.Event,
) -> None:
    while not gone.done():
        changed.clear()
        line.tell(vars(now()))
        with contextlib.suppress(OSError):
            await writer.drain()
        news = asyncio.create_task(changed.wait())
        await asyncio.wait(
            [news, gone], timeout=REPORT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        news.cancel()


async def serve(settings: Settings, arguments: Sequence[str]) -> int:
    """The parent process, from the first worker to the last."""
    others = peers.from_settings(settings)
    if others is not None and settings.gate_number < 0:
        arguments = [*arguments, f"--gate-number={await others.free_number()}"]
    fleet = Fleet(settings.workers, arguments, others)
    port = Admin(fleet, settings.admin_host, settings.admin_port, others)
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
