"""One gate process: everything in it that has a life of its own, and its end.

    API server or files -> RoutingBook -> Topology, Planners, Credentials -> Server -> clients

The end, on SIGTERM or SIGINT: not ready any more, no new clients, open transactions may finish for
`drain_seconds`, then what is left is rolled back and closed. A second signal ends it at once.
"""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mitosis_gate import admin, api_server, metrics, workers
from mitosis_gate.admin import Admin
from mitosis_gate.backends.topology import Topology
from mitosis_gate.certificates import ServerCertificate
from mitosis_gate.credentials import Credentials, Secrets, UsersFile
from mitosis_gate.executor.run import Executor
from mitosis_gate.executor.schema import Planners
from mitosis_gate.routing_watch import RoutingBook, RoutingFile, RoutingWatch
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
        self._certificate = ServerCertificate(settings.tls_dir)
        self._stopping = ""
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._turned_at = 0.0
        self._is_serving = False

    async def serve(self) -> int:
        self._certificate.look()
        self._source, secrets = self._routing_source()
        self._credentials = Credentials(self._book, secrets)
        self._topology = Topology(self._settings)
        self._planners = Planners(
            self._book,
            self._topology,
            self._credentials,
            self._settings.plan_cache_bytes,
            self._settings.schema_check_seconds,
        )
        self._book.subscribe(self._topology.obey)
        self._book.subscribe(self._planners.obey)
        self._book.subscribe(lambda keyspace, table: self._changed.set())
        self._server = self._make_server()
        self._listen_to_signals()
        try:
            await self._run()
        finally:
            self._topology.close()
        log.info("ended")
        return 0

    def _routing_source(self) -> tuple[RoutingFile | RoutingWatch, Secrets]:
        settings = self._settings
        if settings.routing_file is not None and settings.users_file is not None:
            file = RoutingFile(settings.routing_file, self._book)
            return file, UsersFile(settings.users_file, self._book)
        namespaces = api_server.own_namespaces(settings)
        door = api_server.from_settings(settings)
        return RoutingWatch(door, namespaces, self._book), door

    def _make_server(self) -> Server:
        executor = Executor(self._planners, self._topology)
        services = Services(
            settings=self._settings,
            topology=self._topology,
            accounts=self._credentials,
            planners=self._planners,
            execute=executor.execute,
        )
        return Server(services, lambda: self._certificate.context, worker=self._settings.worker)

    async def _run(self) -> None:
        """Serve until a signal, then drain; a part that fails takes the process down."""
        background = [
            asyncio.create_task(part)
            for part in (
                self._source.run(),
                self._credentials.run(),
                self._topology.run(),
                self._planners.run(),
                self._server.run(),
                self._keep_house(),
            )
        ]
        stop = asyncio.create_task(self._stop.wait())
        port = None
        try:
            port = await self._open_admin_port()
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
            self._reports = asyncio.create_task(
                workers.report_to_parent(int(descriptor), self._report, self._changed)
            )
            return None
        port = Admin(self, self._settings.admin_host, self._settings.admin_port)
        await port.start()
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
        log.info("serving clients on %s port %d", settings.listen_host, self._server.port)

    async def _wait_ready(self) -> None:
        await self._source.wait_synced()
        await self._credentials.wait_settled()

    async def _keep_house(self) -> None:
        while True:
            self._turned_at = asyncio.get_running_loop().time()
            age = self._source.age_seconds()
            if age != float("inf"):
                metrics.ROUTING_AGE_SECONDS.set(age)
            self._certificate.look()
            await asyncio.sleep(HOUSEKEEPING_SECONDS)

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

    def version(self, keyspace: str) -> int:
        table = self._book.get(keyspace)
        return table.version if table else 0

    async def wait_for(self, keyspace: str, version: int) -> None:
        await self._book.wait_for(keyspace, version)

    def _report(self) -> workers.Report:
        versions = {keyspace: t.version for keyspace, t in self._book.tables.items()}
        return workers.Report(self.why_not_ready(), versions, self.routing())
