"""What is known about a shard at one moment. Unreachable and unknown are values of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mitosis_operator import names
from mitosis_operator.models import quantities
from mitosis_operator.models.cluster import Node
from mitosis_operator.models.conditions import find
from mitosis_operator.models.problems import Problem, Severity, worst
from mitosis_operator.models.shard import Shard
from mitosis_operator.models.template import Durability
from mitosis_operator.mysql.instance import (
    Accounts,
    DataState,
    InstanceStatus,
    MysqldState,
    Progress,
)
from mitosis_routing.table import ShardRoute

BOOTSTRAPPED = "Bootstrapped"


class Stage(StrEnum):
    """How far a shard has ever come; it only rises. The reason of condition Bootstrapped."""

    NEW = "New"
    """Nothing was ever written: an empty volume may be initialised."""
    INITIALISED = "Initialised"
    """The first instance has data; nobody but the operator may have written there."""
    COMPLETE = "Complete"
    """Clients may have written: from here on every promotion waits for acknowledging replicas."""


@dataclass(frozen=True)
class Trouble:
    reason: str
    message: str


@dataclass(frozen=True)
class PodSeen:
    name: str
    uid: str = ""
    phase: str = "Pending"
    node: str = ""
    ip: str = ""
    ready: bool = False
    terminating: bool = False
    role: str = ""
    """The label; for people and disruption budgets."""
    trouble: Trouble | None = None

    @property
    def has_ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True)
class VolumeSeen:
    name: str
    serial: int
    uid: str = ""
    node: str = ""
    """The node that placement chose."""
    bound: bool = False
    terminating: bool = False
    size_bytes: int = 0
    storage_class: str = ""


@dataclass(frozen=True)
class Unreachable:
    reason: str


@dataclass(frozen=True)
class InstanceSeen:
    name: str
    serial: int
    volume: VolumeSeen | None = None
    pod: PodSeen | None = None
    agent: InstanceStatus | Unreachable | None = None
    """None: there is no address to ask."""
    node: Node | None = None
    """The node of the pod, else the one chosen for the volume; None when it does not exist."""
    has_certificate: bool = True
    """A certificate that need not be renewed yet."""
    has_drifted: bool = False
    """The pod was made from another spec than the present one."""

    @property
    def status(self) -> InstanceStatus | None:
        return self.agent if isinstance(self.agent, InstanceStatus) else None

    @property
    def ip(self) -> str:
        return self.pod.ip if self.pod and not self.pod.has_ended else ""

    @property
    def idc(self) -> str:
        return self.node.idc if self.node else ""

    @property
    def rack(self) -> str:
        return self.node.rack if self.node else ""

    @property
    def data(self) -> DataState | None:
        return self.status.data_state if self.status else None

    @property
    def is_busy(self) -> bool:
        """An operation runs there; another one would be refused."""
        operation = self.status.operation if self.status else None
        return operation is not None and operation.state is Progress.RUNNING

    @property
    def runs_mysqld(self) -> bool:
        return self.status is not None and self.status.mysqld.state is MysqldState.RUNNING

    @property
    def seems_alive(self) -> bool:
        """What Kubernetes says when the agent cannot be asked: the last news may still hold."""
        node_ready = self.node is not None and self.node.ready
        return bool(self.pod and self.pod.ready and not self.pod.terminating and node_ready)


@dataclass(frozen=True)
class Seen:
    shard: Shard
    problems: tuple[Problem, ...] = ()
    instances: tuple[InstanceSeen, ...] = ()
    """Those with an active volume or a pod, by serial."""
    used_serials: frozenset[int] = frozenset()
    """Of every volume, retired ones included."""
    nodes: tuple[Node, ...] = ()
    published: ShardRoute | None = None
    """This shard in the routing table; None when there is no table, or it has no such shard."""
    has_table: bool = False
    accounts: Accounts | None = None
    """What the primary should have; None until the system Secret exists."""
    missing_passwords: str = ""
    """Which users have no password yet, in a sentence; empty when all have one."""

    def instance(self, name: str) -> InstanceSeen | None:
        return next((i for i in self.instances if i.name == name), None)

    @property
    def refusal(self) -> Problem | None:
        return worst(self.problems, Severity.REFUSED)

    @property
    def stage(self) -> Stage:
        condition = find(self.shard.status.conditions, BOOTSTRAPPED)
        known = [stage for stage in Stage if condition and stage.value == condition.reason]
        return known[0] if known else Stage.NEW


def acknowledges(seen: Seen, primary: InstanceSeen, other: InstanceSeen) -> bool:
    """Whether commits on `primary` count `other`'s acknowledgement."""
    if other.name == primary.name:
        return False
    return seen.shard.template.durability is Durability.RACK or other.idc != primary.idc


def wanted_acks(seen: Seen, primary: InstanceSeen) -> int:
    """How many replicas must hold a commit before it is acknowledged.

    Half of those that count, at least one. With durability `idc` and nobody in another IDC that is
    one that cannot come: the shard stays read-only rather than promise what it does not keep.
    """
    if seen.shard.template.instances == 1:
        return 0
    if seen.shard.template.durability is Durability.IDC:
        return max(1, sum(acknowledges(seen, primary, i) for i in seen.instances) // 2)
    return max(1, (seen.shard.template.instances - 1) // 2)


def read_pod(body: Mapping[str, Any]) -> PodSeen:
    meta, status = body["metadata"], body.get("status") or {}
    return PodSeen(
        name=meta["name"],
        uid=meta.get("uid", ""),
        phase=status.get("phase", "Pending"),
        node=body["spec"].get("nodeName", ""),
        ip=status.get("podIP", ""),
        ready=_condition(status, "Ready").get("status") == "True",
        terminating=bool(meta.get("deletionTimestamp")),
        role=(meta.get("labels") or {}).get(names.LABEL_ROLE, ""),
        trouble=_trouble(status),
    )


def read_volume(body: Mapping[str, Any]) -> VolumeSeen:
    meta, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    size = (status.get("capacity") or spec["resources"]["requests"])["storage"]
    return VolumeSeen(
        name=meta["name"],
        serial=names.serial_of(meta["name"]),
        uid=meta.get("uid", ""),
        node=(meta.get("annotations") or {}).get(names.ANNOTATION_NODE, ""),
        bound=status.get("phase") == "Bound",
        terminating=bool(meta.get("deletionTimestamp")),
        size_bytes=quantities.to_bytes(size),
        storage_class=spec.get("storageClassName", ""),
    )


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = status.get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), {})


def _trouble(status: Mapping[str, Any]) -> Trouble | None:
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return Trouble("Unschedulable", scheduled.get("message", "no node takes the pod"))
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
            image = container.get("image", "")
            return Trouble("ImageNotPulled", f"image {image} cannot be pulled: {message or reason}")
        if reason in ("CreateContainerConfigError", "CreateContainerError", "CrashLoopBackOff"):
            return Trouble(reason, message or reason)
    if status.get("phase") == "Failed":
        return Trouble("PodFailed", status.get("message") or status.get("reason") or "it ended")
    return None
