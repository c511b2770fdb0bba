"""The listener of one process, and all its clients: from the entrance to the end."""

import asyncio
import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import Sequence

from mitosis_gate import admission, clock, connection_ids, metrics
from mitosis_gate.backends.account import Account
from mitosis_gate.desk import Desk
from mitosis_gate.entrance import Entrance, TlsSource
from mitosis_gate.executor.ddl_jobs import Jobs
from mitosis_gate.limits import Budget, Budgets, Limits, limits_of
from mitosis_gate.session import Services, Session
from mitosis_gate.shape_book import ShapeBook
from mitosis_gate.wire import auth
from mitosis_routing.table import NO_LIMITS

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
BACKLOG = 1024


class Server:
    """All clients of this process."""

    def __init__(
        self,
        services: Services,
        tls: TlsSource = lambda: None,
        key: auth.ServerKey | None = None,
        worker: int = 0,
        gate: int = 0,
    ) -> None:
        """`tls` gives the certificate for clients as it is now, None for no TLS."""
        self.services = services
        self.tls = tls
        self.key = key or auth.ServerKey()
        self.is_draining = False
        self.sessions: dict[int, Session] = {}
        self.shapes = ShapeBook()
        jobs = Jobs(services.topology, services.accounts)
        self.desk = Desk(self.sessions, services.topology, self.shapes, jobs, gate, worker)
        self.balancers = [
            ipaddress.ip_network(network) for network in services.settings.proxy_protocol
        ]
        self.timed: set[Session] = set()
        """Sessions whose statements have a limit of time."""
        self._budgets = Budgets()
        self._zero_id = connection_ids.first_id(gate, worker)
        self._counter = 0
        self._ticked_at = 0.0
        self._entrances: set[Entrance] = set()
        self._listener: asyncio.Server | None = None
        self._started_at = time.monotonic()
        self._empty: asyncio.Event = asyncio.Event()

    async def start(self, host: str, port: int, reuse_port: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            self._accept, host, port, backlog=BACKLOG, reuse_port=reuse_port or None
        )

    @property
    def is_serving(self) -> bool:
        return self._listener is not None and not self.is_draining

    @property
    def port(self) -> int:
        assert self._listener is not None
        listening: socket.socket = self._listener.sockets[0]
        port: int = listening.getsockname()[1]
        return port

    def _accept(self) -> Entrance:
        entrance = Entrance(self, self._new_id())
        self._entrances.add(entrance)
        return entrance

    def _new_id(self) -> int:
        """The next number that no session has; the counter begins again at its end."""
        while True:
            self._counter = self._counter % connection_ids.MAX_CLIENTS + 1
            number = self._zero_id + self._counter
            if number not in self.sessions:
                return number

    def number_gate(self, gate: int) -> None:
        """Before the first client: the number of this gate among its peers."""
        self.desk.gate = gate
        self._zero_id = connection_ids.first_id(gate, self.desk.worker)

    async def run(self) -> None:
        """Move the clock and watch over sessions that take too long, until cancelled."""
        while True:
            await asyncio.sleep(clock.STEP_SECONDS)
            now = clock.step()
            for session in tuple(self.timed):
                session.look_at_time(now)
            if now - self._ticked_at >= TICK_SECONDS:
                self._ticked_at = now
                for session in tuple(self.sessions.values()):
                    session.tick(now)

    def close_door(self) -> None:
        """Accept nobody from now on, and end each session with its transaction; who is in the
        middle of the login is drained behind it."""
        if self.is_draining:
            return
        self.is_draining = True
        if self._listener is not None:
            self._listener.close()
        for session in tuple(self.sessions.values()):
            session.drain()

    async def drain(self, limit_seconds: float) -> None:
        """Close the door, wait until all sessions have ended, and end the rest at the limit."""
        self.close_door()
        try:
            async with asyncio.timeout(limit_seconds):
                while self.sessions:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            log.warning("%d clients were still busy after %g s", len(self.sessions), limit_seconds)
            for session in tuple(self.sessions.values()):
                session.kill_connection()

    # what entrances and sessions use

    def may_enter(self) -> bool:
        clients = len(self.sessions) + len(self._entrances)
        return clients <= self.services.settings.max_clients

    def admit(
        self, opened: Sequence[Account], tls: ssl.SSLObject | None, host: str
    ) -> tuple[Account, ...]:
        users = {account: self.services.accounts.user(account) for account in opened}
        return admission.admitted(opened, users, tls, host)

    def charge(self, account: Account) -> tuple[Limits, Budget]:
        user = self.services.accounts.user(account)
        limits = limits_of(user.limits if user else NO_LIMITS, self.services.settings)
        budget = self._budgets.of(account)
        budget.connect(limits)
        return limits, budget

    def discharge(self, account: Account) -> None:
        """The session is another user's from here on, or has ended."""
        self._budgets.left(account)

    def entered(self, session: Session) -> None:
        self.sessions[session.connection_id] = session
        metrics.CLIENTS.inc()
        if self.is_draining:
            asyncio.get_running_loop().call_soon(session.drain)

    def left(self, entrance: Entrance) -> None:
        self._entrances.discard(entrance)

    def ended(self, session: Session) -> None:
        self.timed.discard(session)
        if self.sessions.pop(session.connection_id, None) is not None:
            metrics.CLIENTS.dec()
            self.discharge(session.charged)
        if not self.sessions:
            self._empty.set()

    def uptime_and_clients(self) -> tuple[int, int]:
        return int(time.monotonic() - self._started_at), len(self.sessions)
