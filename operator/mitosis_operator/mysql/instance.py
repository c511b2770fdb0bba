"""One instance as the operator sees it: what its agent tells, and what may be asked of the agent.

This is the contract between the operator and the agent; both import it. Nothing here does input or
output. Facts that need a running mysqld are None while there is none: not known is not the same as
empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, Self

from mitosis_operator.mysql import codec


class DataState(Enum):
    """What is on the volume. Only GOOD may be promoted; anything else may be emptied."""

    EMPTY = "empty"
    INITIALISING = "initialising"
    CLONING = "cloning"
    GOOD = "good"
    UNKNOWN = "unknown"  # data of another shard, or data that no agent put there: never touched


class Role(Enum):
    NONE = "none"
    PRIMARY = "primary"
    REPLICA = "replica"


class MysqldState(Enum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STUCK = "stuck"  # the process lives, but does not answer queries in time


class ThreadState(Enum):
    YES = "yes"
    NO = "no"
    CONNECTING = "connecting"


class Progress(Enum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Verb(Enum):
    INITIALISE = "initialise"
    CLONE = "clone"
    FOLLOW = "follow"
    PROMOTE = "promote"
    FENCE = "fence"
    ACCOUNTS = "accounts"
    RESTART = "restart"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True)
class MysqldStatus:
    state: MysqldState
    pid: int | None = None
    version: str = ""
    server_uuid: str = ""
    uptime_seconds: float | None = None
    restarts: int = 0
    message: str = ""


@dataclass(frozen=True)
class GtidStatus:
    executed: str = ""
    retrieved: str = ""
    purged: str = ""


@dataclass(frozen=True)
class ReplicationStatus:
    source_host: str
    source_port: int
    source_user: str
    io_state: ThreadState
    sql_state: ThreadState
    last_io_errno: int = 0
    last_io_error: str = ""
    last_sql_errno: int = 0
    last_sql_error: str = ""
    lag_seconds: float | None = None
    """Age of the newest heartbeat row applied here; it grows when the source is gone."""


@dataclass(frozen=True)
class SemiSyncStatus:
    source_enabled: bool = False
    replica_enabled: bool = False
    clients: int = 0
    wait_sessions: int = 0


@dataclass(frozen=True)
class ReadOnlyStatus:
    super_read_only: bool
    read_only: bool
    offline_mode: bool


@dataclass(frozen=True)
class DiskStatus:
    total_bytes: int
    available_bytes: int
    used_percent: float


@dataclass(frozen=True)
class CloneStatus:
    state: str
    stage: str = ""
    donor: str = ""
    done_bytes: int = 0
    estimate_bytes: int = 0
    error_number: int = 0
    error: str = ""


@dataclass(frozen=True)
class OperationState:
    id: str
    verb: Verb
    state: Progress
    error: str = ""

    @classmethod
    def from_json(cls, body: object) -> Self:
        return codec.from_json(cls, body)

    def to_json(self) -> dict[str, Any]:
        return _object(self)


@dataclass(frozen=True)
class InstanceStatus:
    instance: str
    shard: str
    keyspace: str
    agent_version: str
    data_state: DataState
    epoch: int
    role: Role
    """What the agent was last told, at `epoch`."""
    writable: bool
    mysqld: MysqldStatus
    disk: DiskStatus
    fenced_epoch: int = 0
    """A promotion at this epoch or below is refused for good; 0: never fenced."""
    gtid: GtidStatus | None = None
    replication: ReplicationStatus | None = None
    semi_sync: SemiSyncStatus | None = None
    read_only: ReadOnlyStatus | None = None
    clone: CloneStatus | None = None
    accounts_hash: str = ""
    operation: OperationState | None = None
    """The operation that runs, else the last one."""
    message: str = ""
    """What is wrong with this instance and what helps; empty when nothing is."""

    @classmethod
    def from_json(cls, body: object) -> Self:
        """Raise codec.BadJson for anything that no agent can have sent."""
        return codec.from_json(cls, body)

    def to_json(self) -> dict[str, Any]:
        return _object(self)


@dataclass(frozen=True)
class Initialise:
    """Make an empty server on an empty volume."""


@dataclass(frozen=True)
class Clone:
    """Fill this volume with a copy of the donor's data.

    A volume that is `good` is refused, unless `discard_gtid` names exactly the transactions that
    only this instance has, as the server counts them against the donor; "" is the licence for a
    volume that has none.
    """

    donor_host: str
    donor_port: int
    donor_name: str
    discard_gtid: str | None = None


@dataclass(frozen=True)
class Follow:
    """Replicate from the source.

    Fails, before it changes anything, when this instance has transactions that the source has not.
    `source_executed` is what the caller knows the source to have; where that does not cover what is
    here, the agent asks the source itself.
    """

    source_host: str
    source_port: int
    source_name: str
    semi_sync: bool
    source_executed: str | None = None


@dataclass(frozen=True)
class Promote:
    """Become the one writer; fails when fewer than `min_acks` replicas connect in time."""

    min_acks: int
    semi_sync: bool


@dataclass(frozen=True)
class Fence:
    """End writes here for good, up to and including the epoch of the operation."""


@dataclass(frozen=True)
class UserGrant:
    name: str
    password: str = field(repr=False)
    grants: tuple[str, ...]


@dataclass(frozen=True)
class Accounts:
    """Make database, system accounts and users; on the primary only. A user that is no longer named
    is locked, not dropped."""

    database: str
    users: tuple[UserGrant, ...]
    replication_serials: tuple[int, ...]
    hash: str


@dataclass(frozen=True)
class Restart:
    """Stop mysqld and start it again, read-only."""


@dataclass(frozen=True)
class Shutdown:
    """Stop mysqld; it stays stopped until `restart`, `follow`, `promote` or a new agent."""


Arguments = Initialise | Clone | Follow | Promote | Fence | Accounts | Restart | Shutdown

ARGUMENTS: Mapping[Verb, type[Arguments]] = {
    Verb.INITIALISE: Initialise,
    Verb.CLONE: Clone,
    Verb.FOLLOW: Follow,
    Verb.PROMOTE: Promote,
    Verb.FENCE: Fence,
    Verb.ACCOUNTS: Accounts,
    Verb.RESTART: Restart,
    Verb.SHUTDOWN: Shutdown,
}
VERBS = {kind: verb for verb, kind in ARGUMENTS.items()}


@dataclass(frozen=True)
class Operation:
    """One thing asked of one agent. The same id asked again is answered with the stored result."""

    id: str
    epoch: int
    lease: int
    shard: str
    args: Arguments

    @property
    def verb(self) -> Verb:
        return VERBS[type(self.args)]

    @classmethod
    def from_json(cls, operation_id: str, body: object) -> Self:
        head = codec.from_json(_Head, body)
        return cls(
            operation_id,
            head.epoch,
            head.lease,
            head.shard,
            codec.from_json(ARGUMENTS[head.verb], _args(body), "args."),
        )

    def to_json(self) -> dict[str, Any]:
        """The body of the request; the id stands in its path."""
        head = _object(_Head(self.verb, self.epoch, self.lease, self.shard))
        return head | {"args": codec.to_json(self.args)}


@dataclass(frozen=True)
class _Head:
    verb: Verb
    epoch: int
    lease: int
    shard: str


def _args(body: object) -> object:
    return body.get("args", {}) if isinstance(body, Mapping) else body


def _object(value: object) -> dict[str, Any]:
    body: dict[str, Any] = codec.to_json(value)
    return body


class Instances(Protocol):
    """The operator's door to all instances. Addressed by IP, known by name: an agent that proves
    another name than `instance` is not spoken to.

    Raises AgentUnreachable (nobody answered: nothing is known) and AgentRefused (it answered no).
    """

    async def status(self, ip: str, instance: str) -> InstanceStatus: ...

    async def start(self, ip: str, instance: str, operation: Operation) -> OperationState:
        """Begin, or return the stored result of, this operation; does not wait for its end."""
        ...

    async def operation(self, ip: str, instance: str, operation_id: str) -> OperationState | None:
        """None: this agent knows no such operation."""
        ...
