"""The routing table of one keyspace: who owns which slots, who is primary, and at which epoch.

The operator alone writes it, by compare-and-swap; each publication raises `version` by one. A gate
takes over only a table of a higher version, and of each shard only an epoch that is not lower.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from mitosis_routing.keyspace import SlotRange, find_problems


class ShardState(StrEnum):
    SERVING = "serving"
    """The primary takes reads and writes."""
    NO_PRIMARY = "noPrimary"
    """Nobody takes writes: the shard is being made, or its primary is lost or about to change."""
    MOVING = "moving"
    """Writes are held by the gates until `deadline`: a switchover or a split is at its cutover."""


class Role(StrEnum):
    PRIMARY = "primary"
    REPLICA = "replica"
    NONE = "none"
    """Not for clients: joining, cloning, fenced or unreachable."""


class OtherTables(StrEnum):
    REFUSE = "refuse"
    UNSHARDED = "unsharded"
    """A table without a rule lives whole on the shard that owns slot 0."""


class UniqueKeys(StrEnum):
    """What becomes of a unique key of a sharded table that does not contain the sharding key: MySQL
    keeps it unique only within a shard."""

    STRICT = "strict"
    """The statement that would make it is refused."""
    WARN = "warn"
    """It is made, and the client gets a warning."""


@dataclass(frozen=True)
class InstanceRoute:
    """One mysqld. Clients connect to `host` by IP and verify the certificate for `name`."""

    name: str
    role: Role
    host: str
    port: int = 3306
    server_uuid: str = ""
    """`@@server_uuid`; a gate refuses a backend that answers with another one. Empty: unknown."""
    idc: str = ""


@dataclass(frozen=True)
class ShardRoute:
    name: str
    slots: SlotRange
    state: ShardState
    epoch: int
    instances: tuple[InstanceRoute, ...] = ()
    deadline: str = ""
    """RFC 3339, only while MOVING: gates hold statements no longer than this."""
    reason: str = ""
    """Why nobody takes writes, for the error that clients see; empty while SERVING."""

    @property
    def primary(self) -> InstanceRoute | None:
        """The instance that takes writes; None unless the shard is SERVING."""
        if self.state is not ShardState.SERVING:
            return None
        return next((i for i in self.instances if i.role is Role.PRIMARY), None)


@dataclass(frozen=True)
class TableRule:
    """How one table is stored: by `sharding_key`, or whole on every shard (`reference`)."""

    name: str
    sharding_key: str = ""
    reference: bool = False


@dataclass(frozen=True)
class SecretKey:
    """Where a password is; passwords themselves never stand in the table."""

    name: str
    key: str


class UserTls(StrEnum):
    """What a gate asks of the connection of a user."""

    NONE = "none"
    REQUIRED = "required"
    X509 = "x509"
    """TLS with a certificate of the client that the gate's authority for clients has signed."""


class TransactionMode(StrEnum):
    """What becomes of a transaction that needs a second shard."""

    SINGLE = "single"
    """It is refused."""
    MULTI = "multi"
    """Each shard commits by itself, one after the other: it can end half done."""
    ATOMIC = "atomic"
    """All shards commit, or none."""


@dataclass(frozen=True)
class UserLimits:
    """What one user may use in each gate process; 0: no limit."""

    connections: int = 0
    statements: int = 0
    """Running at the same time."""
    rows: int = 0
    """In the answer to one statement."""
    bytes: int = 0
    """In the answer to one statement."""
    seconds: float = 0
    """Time of one statement."""


NO_LIMITS = UserLimits()


@dataclass(frozen=True)
class UserRef:
    name: str
    password: SecretKey
    version: str = ""
    """Changes with the password, so that a gate knows when to read the Secret again."""
    tls: UserTls = UserTls.NONE
    tls_subject: str = ""
    """With X509: the subject of the certificate as MySQL writes it, `/C=SE/CN=app`; empty: any."""
    limits: UserLimits = NO_LIMITS
    transaction_mode: TransactionMode = TransactionMode.ATOMIC
    """Unless the session says otherwise."""


@dataclass(frozen=True)
class RoutingTable:
    keyspace: str
    version: int
    slots: int
    shards: tuple[ShardRoute, ...] = ()
    tables: tuple[TableRule, ...] = ()
    default_sharding_key: str = ""
    other_tables: OtherTables = OtherTables.REFUSE
    unique_keys: UniqueKeys = UniqueKeys.WARN
    users: tuple[UserRef, ...] = ()
    gate_account: UserRef | None = None
    """The account for the gate's own queries on each shard."""
    ca: str = ""
    """PEM of the authority that signed the instances' certificates."""

    def problems(self) -> tuple[str, ...]:
        """Why this table may not be obeyed, in sentences; empty when every slot has one owner."""
        return find_problems((s.slots for s in self.shards), self.slots)

    def shard(self, name: str) -> ShardRoute | None:
        return next((s for s in self.shards if s.name == name), None)

    def with_shard(self, shard: ShardRoute) -> "RoutingTable":
        """Put `shard` in place of the one of the same name, or add it; the version stays."""
        others = [s for s in self.shards if s.name != shard.name]
        ordered = sorted((*others, shard), key=lambda s: s.slots)
        return replace(self, shards=tuple(ordered))

    def slot_owners(self) -> tuple[int, ...]:
        """For each slot the index of its shard in `shards`, -1 for a slot that nobody owns."""
        owners = [-1] * self.slots
        for index, shard in enumerate(self.shards):
            for slot in range(shard.slots.start, min(shard.slots.end, self.slots)):
                owners[slot] = index
        return tuple(owners)


def may_follow(new: RoutingTable, old: RoutingTable) -> str:
    """Say why a gate that obeys `old` must not obey `new`, or return an empty string.

    Versions only rise, and so does the epoch of each shard that both tables name.
    """
    if new.keyspace != old.keyspace or new.slots != old.slots:
        return f"it is the table of another keyspace: {new.keyspace} with {new.slots} slots"
    if new.version < old.version:
        return f"version {new.version} is older than {old.version}"
    known: Mapping[str, int] = {s.name: s.epoch for s in old.shards}
    for shard in new.shards:
        if shard.epoch < known.get(shard.name, 0):
            return f"shard {shard.name} has epoch {shard.epoch}, older than {known[shard.name]}"
    return ""
