"""What all sessions share, and what they need of the rest of the process."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.topology import Topology
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.commit import Commits
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import Plan
from mitosis_gate.settings import Settings
from mitosis_gate.wire.auth import ServerKey

if TYPE_CHECKING:
    from mitosis_gate.session.session import Session


class Accounts(Protocol):
    def named(self, user: str) -> Sequence[Account]:
        """That user in every keyspace that has one."""


class Planners(Protocol):
    def planner(self, keyspace: str) -> Planner | None:
        """None: the schema is not known yet."""

    async def ready(self, keyspace: str) -> Planner: ...


class Sessions(Protocol):
    """All sessions of this process."""

    key: ServerKey
    """For passwords that come encrypted."""

    def ended(self, session: "Session") -> None: ...

    def kill(self, connection_id: int, query_only: bool, user: str) -> None:
        """Raises NoSuchThread and KillDenied."""

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
