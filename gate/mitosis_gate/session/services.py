"""What all sessions share, and what they need of the rest of the process."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ssl import SSLObject
from typing import TYPE_CHECKING, Protocol

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.topology import Topology
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.commit import Commits
from mitosis_gate.executor.merging.streams import Merger
from mitosis_gate.limits import Budget, Limits
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import GateShow, Plan
from mitosis_gate.settings import Settings
from mitosis_gate.shape_book import ShapeBook
from mitosis_gate.wire.auth import ServerKey
from mitosis_routing.table import UserRef

if TYPE_CHECKING:
    from mitosis_gate.session.session import Session
    from mitosis_gate.session.watched import Watched


class Accounts(Protocol):
    def gate(self, keyspace: str) -> Account:
        """The gate's own."""

    def named(self, user: str) -> Sequence[Account]:
        """That user in every keyspace that has one."""

    def user(self, account: Account) -> UserRef | None:
        """What the routing table says of it."""


class Planners(Protocol):
    def planner(self, keyspace: str) -> Planner | None:
        """None: the schema is not known yet."""

    async def ready(self, keyspace: str) -> Planner: ...

    async def is_newer(self, keyspace: str, planner: Planner) -> bool:
        """Whether another one than this is in force, after a look at the schema's epoch."""


class Desk(Protocol):
    """Where sessions ask about sessions, those of other processes and gates too."""

    async def kill(self, connection_id: int, query_only: bool, by: "Session") -> None:
        """Returns when it is done. Raises NoSuchThread and KillDenied."""

    async def show(self, plan: GateShow, to: "Session") -> tuple[Sequence[bytes], Sequence[bytes]]:
        """Columns and rows."""

    async def processes(self, to: "Session") -> bytes:
        """A SELECT that gives the rows of information_schema.PROCESSLIST."""


class Sessions(Protocol):
    """All sessions of this process."""

    key: ServerKey
    """For passwords that come encrypted."""

    desk: Desk
    shapes: ShapeBook
    timed: "set[Watched]"
    """Sessions whose statements or transactions have a limit of time."""

    def ended(self, session: "Session") -> None: ...

    def admit(
        self, opened: Sequence[Account], tls: SSLObject | None, host: str
    ) -> tuple[Account, ...]:
        """Those for which the connection is good enough; raises AccessDenied."""

    def charge(self, account: Account) -> tuple[Limits, Budget]:
        """Count one connection more for this user; raises UserConnections."""

    def discharge(self, account: Account) -> None: ...

    def uptime_and_clients(self) -> tuple[int, int]: ...


@dataclass(frozen=True)
class Services:
    """What all sessions share."""

    settings: Settings
    topology: Topology
    accounts: Accounts
    planners: Planners
    execute: Callable[[Plan, bytes, Client], Awaitable[None]]
    """`Executor.execute`."""
    commits: Commits
    merger: Merger | None = None
    """None: all statements of several shards go to `execute`."""
