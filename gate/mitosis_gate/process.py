"""One gate process: everything in it that has a life of its own, and its end.

    API server or files -> RoutingBook -> Topology, Planners, Credentials -> Server -> clients

The end, on SIGTERM or SIGINT: not ready any more, no new clients, open transactions may finish for
`drain_seconds`, then what is left is rolled back and closed. A second signal ends it at once.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mitosis_gate import admin, api_server, metrics, peers, relay, workers
from mitosis_gate.admin import Admin
from mitosis_gate.backends.scratch import Scratch
from mitosis_gate.backends.topology import Topology
from mitosis_gate.certificates import ServerCertificate
from mitosis_gate.credentials import Credentials, Secrets, UsersFile
from mitosis_gate.door import door_of
from mitosis_gate.executor.commit import Commits
from mitosis_gate.executor.copying import CopyLimits
from mitosis_gate.executor.ddl_jobs import Jobs
from mitosis_gate.executor.decisions import Decisions
from mitosis_gate.executor.finish import Finisher
from mitosis_gate.executor.merging.streams import Limits, Merger
from mitosis_gate.executor.run import Executor
from mitosis_gate.executor.schema import Planners
from mitosis_gate.executor.sequences import Sequences
from mitosis_gate.recovery import Recovery
from mitosis_gate.routing_watch import WATCH_SECONDS, RoutingBook, RoutingFile, RoutingWatch
from mitosis_gate.sealing import Message
from mitosis_gate.server import Server
from mitosis_gate.session import Services
from mitosis_gate.settings import Settings

log = logging.getLogger(__name__)

HOUSEKEEPING_SECONDS = 1.0
LOOP_LATE_SECONDS = 10.0
"""A loop whose housekeeping is this late does not serve clients either."""
OLD_OBJECTS = (50_000, 20, 50)
"""Thresholds of the garbage collector: sessions live long, and full collections stop them all."""


class Gate:
    """Also the `admin.State` of a gate of one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._book = RoutingBook()
        self._certificate = ServerCertificate(settings.tls_dir, settings.client_ca_file)
        self._stopping = ""
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._wakers: set[asyncio.Task[None]] = set()
        self._turned_at = 0.0
        self._is_serving = False

    async def serve(self) -> int:
        self._certificate.look()
        self._source, secrets = self._routing_source()
        self._credentials = Credentials(
            self._book, secrets, replica_suffix=self._settings.replica_suffix
        )
        self._topology = Topology(self._settings)
        self._planners = Planners(
            self._book,
            self._topology,
            self._credentials,
            self._settings.plan_cache_bytes,
            self._settings.schema_check_seconds,
            self._settings.hold_seconds,
        )
        self._book.subscribe(self._topology.obey)
        self._book.subscribe(self._planners.obey)
        self._book.subscribe(lambda keyspace, table: self._changed.set())
        self._topology.news = self._note_older
        self._quiet = asyncio.Condition()
        self._scratch = Scratch(self._settings)
        self._server = self._make_server()
        self._listen_to_signals()
        try:
            await self._run()
        finally:
            self._topology.close()
            self._scratch.close()
        log.info("ended")
        return 0

    def _routing_source(self) -> tuple[RoutingFile | RoutingWatch, Secrets]:
        settings = self._settings
        if settings.routing_file is not None and settings.users_file is not None:
            file = RoutingFile(settings.routing_file, self._book)
            return file, UsersFile(settings.users_file, self._book)
        namespaces = api_server.own_namespaces(settings)
        door = api_server.from_settings(settings)
        # Each namespace is confirmed several times within the lease, also when nothing happens.
        seconds = min(WATCH_SECONDS, settings.lease_seconds / 3)
        return RoutingWatch(door, namespaces, self._book, seconds), door

    def _make_server(self) -> Server:
        sequences = Sequences(
            self._topology,
            self._credentials,
            self._settings.sequence_block,
            self._planners.epoch,
        )
        limits = Limits(max(1, self._settings.max_backends // 2), self._settings.max_sort_bytes)
        finisher = Finisher(self._scratch, self._settings)
        copies = CopyLimits(self._settings.copy_rows_limit, self._settings.copy_bytes_limit)
        merger = Merger(limits)
        executor = Executor(
            self._planners,
            self._topology,
            merger,
            sequences,
            finisher,
            copies,
            Jobs(self._topology, self._credentials),
        )
        decisions = Decisions(self._topology, self._credentials)
        commits = Commits.of(decisions, self._settings, os.environ)
        self._recovery = Recovery(self._book, decisions, self._settings)
        services = Services(
            settings=self._settings,
            topology=self._topology,
            accounts=self._credentials,
            planners=self._planners,
            execute=executor.execute,
            commits=commits,
            merger=merger,
        )
        server = Server(services, lambda: self._certificate.context, worker=self._settings.worker)
        server.number_gate(max(self._settings.gate_number, 0))
        return server

    async def _run(self) -> None:
        """Serve until a signal, then drain; a part that fails takes the process down."""
        background = [
            asyncio.create_task(part)
            for part in (
                self._source.run(),
                self._credentials.run(),
                self._topology.run(),
                self._planners.run(),
                self._planners.follow_epochs(),
                *([self._recovery.run()] if self._settings.worker <= 1 else []),
                self._server.run(),
                self._keep_house(),
            )
        ]
        stop = asyncio.create_task(self._stop.wait())
        port = None
        try:
            port = await self._open_admin_port()
            async with contextlib.AsyncExitStack() as doors:
                if port is not None:
                    await doors.enter_async_context(door_of(self, self._settings))
                await self._open_port(stop)
                await asyncio.wait([stop, *background], return_when=asyncio.FIRST_COMPLETED)
                if not stop.done():
                    log.critical("a part of the gate has ended: draining")
                self._stopping = "draining"
                await self._server.drain(self._settings.drain_seconds)
        finally:
            for task in (stop, *background):
                task.cancel()
            results = await asyncio.gather(*background, return_exceptions=True)
            if port is not None:
                await port.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _open_admin_port(self) -> Admin | None:
        """Of several workers the parent has the admin port."""
        descriptor = os.environ.get(workers.REPORT_FD)
        if self._settings.worker and descriptor:
            parent = await workers.Parent.at(int(descriptor))
            self._server.desk.elsewhere = parent
            self._reports = asyncio.create_task(
                parent.report(self._report, self._changed, self._server.desk.answer)
            )
            return None
        others = peers.from_settings(self._settings)
        if others is not None:
            self._server.desk.elsewhere = others
        port = Admin(self, self._settings.admin_host, self._settings.admin_port, others)
        await port.start()
        if others is not None and self._settings.gate_number < 0:
            self._server.number_gate(await others.free_number())
        return port

    async def _open_port(self, stop: asyncio.Task[bool]) -> None:
        """Clients are let in when the tables and passwords are known, or else they get 1045."""
        ready = asyncio.create_task(self._wait_ready())
        await asyncio.wait([ready, stop], return_when=asyncio.FIRST_COMPLETED)
        if stop.done():
            ready.cancel()
            return
        settings = self._settings
        await self._server.start(
            settings.listen_host, settings.listen_port, reuse_port=bool(settings.worker)
        )
        gc.collect()
        gc.freeze()
        gc.set_threshold(*OLD_OBJECTS)
        self._is_serving = True
        self._changed.set()
        how = "compiled" if relay.IS_COMPILED else "in plain Python"
        log.info(
            "serving clients on %s port %d, relay %s", settings.listen_host, self._server.port, how
        )

    async def _wait_ready(self) -> None:
        await self._source.wait_synced()
        await self._credentials.wait_settled()

    async def _keep_house(self) -> None:
        while True:
            self._turned_at = asyncio.get_running_loop().time()
            age = self._source.age_seconds()
            if age != float("inf"):
                metrics.ROUTING_AGE_SECONDS.set(age)
                self._judge_age(age)
            self._certificate.look()
            self._scratch.sweep()
            await asyncio.sleep(HOUSEKEEPING_SECONDS)

    def _judge_age(self, age_seconds: float) -> None:
        """Beyond the lease somebody else may be primary by now, and this gate would not know."""
        lease = self._settings.lease_seconds
        is_late = age_seconds > lease
        if is_late == bool(self._topology.doubt):
            return
        if is_late:
            log.error("no confirmed routing table for %g s: holding writes", lease)
        else:
            log.warning("the routing tables are confirmed again: writes go on")
        why = f"this gate could not confirm its routing table for {lease:g} s (--lease-seconds)"
        self._topology.hold_writes(why if is_late else "")

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: int) -> None:
        if self._stop.is_set():
            log.warning("a second signal: ending at once")
            os._exit(1)
        log.info("%s: draining", signal.Signals(number).name)
        self._stopping = "draining"
        self._server.close_door()
        self._changed.set()
        self._stop.set()

    def why_unhealthy(self) -> str:
        late = asyncio.get_running_loop().time() - self._turned_at
        return f"the event loop is {late:.0f} s late" if late > LOOP_LATE_SECONDS else ""

    def why_not_ready(self) -> str:
        if self._stopping:
            return self._stopping
        if not self._source.is_synced:
            return "the routing tables have not been read yet"
        return "" if self._is_serving else "starting"

    def routing(self) -> Mapping[str, Any]:
        return admin.routing_view(
            tuple(self._book.tables.values()),
            [asdict(pool) for pool in self._topology.describe()],
            self._source.age_seconds(),
        )

    async def answers(self, question: Message) -> Sequence[Message]:
        return [await self._server.desk.answer(question)]

    def version(self, keyspace: str) -> int:
        table = self._book.get(keyspace)
        return table.version if table else 0

    def older(self, keyspace: str) -> Sequence[str]:
        return self._topology.older(keyspace)

    async def wait_for(self, keyspace: str, version: int, quiet: bool = False) -> None:
        await self._book.wait_for(keyspace, version)
        async with self._quiet:
            await self._quiet.wait_for(lambda: not (quiet and self.older(keyspace)))

    def _note_older(self) -> None:
        self._changed.set()
        waker = asyncio.get_running_loop().create_task(self._tell_quiet())
        self._wakers.add(waker)
        waker.add_done_callback(self._wakers.discard)

    async def _tell_quiet(self) -> None:
        async with self._quiet:
            self._quiet.notify_all()

    def _report(self) -> workers.Report:
        versions = {keyspace: t.version for keyspace, t in self._book.tables.items()}
        older = {keyspace: found for keyspace in versions if (found := self.older(keyspace))}
        return workers.Report(self.why_not_ready(), versions, self.routing(), older)
