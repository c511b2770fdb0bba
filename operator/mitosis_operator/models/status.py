"""What the operator reports, and the decisions that it keeps, in `status`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mitosis_operator.models import quantities
from mitosis_operator.models.conditions import Condition
from mitosis_operator.models.reading import Reader
from mitosis_routing.table import Role

ACCEPTED = "Accepted"
READY = "Ready"
WRITABLE = "Writable"
REPLICATED = "Replicated"
PLACEMENT_SATISFIED = "PlacementSatisfied"
DISK_HEALTHY = "DiskHealthy"
FAILOVER_POSSIBLE = "FailoverPossible"
PROGRESSING = "Progressing"
PAUSED = "Paused"
SPLITTABLE = "Splittable"
NO_ROOM = "NoRoom"


class ShardPhase(StrEnum):
    PENDING = "Pending"
    CREATING = "Creating"
    READY = "Ready"
    DEGRADED = "Degraded"
    UNAVAILABLE = "Unavailable"
    DELETING = "Deleting"
    REFUSED = "Refused"


class KeyspacePhase(StrEnum):
    PENDING = "Pending"
    CREATING = "Creating"
    READY = "Ready"
    DEGRADED = "Degraded"
    UNAVAILABLE = "Unavailable"
    DELETING = "Deleting"
    REFUSED = "Refused"


@dataclass(frozen=True)
class InstanceState:
    """One instance as last seen; None where it could not be asked."""

    name: str
    serial: int
    role: Role = Role.NONE
    node: str = ""
    rack: str = ""
    idc: str = ""
    size_bytes: int | None = None
    used_bytes: int | None = None
    used_percent: float | None = None
    gtid_executed: str = ""
    lag_seconds: float | None = None
    state: str = ""
    message: str = ""
    server_uuid: str = ""
    pod_ip: str = ""

    @classmethod
    def read(cls, read: Reader) -> "InstanceState":
        return cls(
            name=read.text("name"),
            serial=read.integer("serial"),
            role=read.choice("role", Role, Role.NONE),
            node=read.text("node", ""),
            rack=read.text("rack", ""),
            idc=read.text("idc", ""),
            size_bytes=read.integer("sizeBytes") if read.has("sizeBytes") else None,
            used_bytes=read.integer("usedBytes") if read.has("usedBytes") else None,
            used_percent=read.number("usedPercent") if read.has("usedPercent") else None,
            gtid_executed=read.text("gtidExecuted", ""),
            lag_seconds=read.number("lagSeconds") if read.has("lagSeconds") else None,
            state=read.text("state", ""),
            message=read.text("message", ""),
            server_uuid=read.text("serverUuid", ""),
            pod_ip=read.text("podIP", ""),
        )

    def to_body(self) -> dict[str, Any]:
        return _without_empty(
            {
                "name": self.name,
                "serial": self.serial,
                "role": self.role.value,
                "node": self.node,
                "rack": self.rack,
                "idc": self.idc,
                "sizeBytes": self.size_bytes,
                "usedBytes": self.used_bytes,
                "usedPercent": self.used_percent,
                "gtidExecuted": self.gtid_executed,
                "lagSeconds": self.lag_seconds,
                "state": self.state,
                "message": self.message,
                "serverUuid": self.server_uuid,
                "podIP": self.pod_ip,
            }
        )


@dataclass(frozen=True)
class ShardStorage:
    target_bytes: int = 0
    """The size that each volume should have by now; 0 until the first volume is asked for."""
    used_percent: float | None = None
    """Of the fullest instance."""

    @classmethod
    def read(cls, read: Reader) -> "ShardStorage":
        return cls(
            target_bytes=read.integer("targetBytes", 0),
            used_percent=read.number("usedPercent") if read.has("usedPercent") else None,
        )

    def to_body(self) -> dict[str, Any]:
        size = quantities.format_bytes(self.target_bytes) if self.target_bytes else ""
        return _without_empty(
            {
                "size": size,
                "targetBytes": self.target_bytes or None,
                "usedPercent": self.used_percent,
            }
        )


@dataclass(frozen=True)
class PlacementState:
    satisfied: bool = True
    violations: tuple[str, ...] = ()

    @classmethod
    def read(cls, read: Reader) -> "PlacementState":
        return cls(read.flag("satisfied", True), read.texts("violations"))

    def to_body(self) -> dict[str, Any]:
        return {"satisfied": self.satisfied, "violations": list(self.violations)}


@dataclass(frozen=True)
class ActiveOperation:
    """The one long operation that may work on the shard."""

    kind: str
    name: str
    uid: str = ""
    step: str = ""

    @classmethod
    def read(cls, read: Reader) -> "ActiveOperation":
        return cls(
            read.text("kind"), read.text("name"), read.text("uid", ""), read.text("step", "")
        )

    def to_body(self) -> dict[str, Any]:
        return _without_empty(
            {"kind": self.kind, "name": self.name, "uid": self.uid, "step": self.step}
        )


@dataclass(frozen=True)
class ShardStatus:
    """`primary` and `epoch` are decisions, written with optimistic locking before they are done."""

    phase: ShardPhase = ShardPhase.PENDING
    phase_reason: str = ""
    slot_range: str = ""
    primary: str = ""
    epoch: int = 0
    ready: str = ""
    """For people: ready instances of wanted ones, `2/3`."""
    instances: tuple[InstanceState, ...] = ()
    storage: ShardStorage = ShardStorage()
    placement: PlacementState = PlacementState()
    active_operation: ActiveOperation | None = None
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = 0

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "ShardStatus":
        """Read a whole Shard's `status`; an absent one is that of a Shard not yet looked at."""
        read = Reader(body).part("status")
        return cls(
            phase=read.choice("phase", ShardPhase, ShardPhase.PENDING),
            phase_reason=read.text("phaseReason", ""),
            slot_range=read.text("range", ""),
            primary=read.text("primary", ""),
            epoch=read.integer("epoch", 0),
            ready=read.text("ready", ""),
            instances=tuple(InstanceState.read(i) for i in read.parts("instances")),
            storage=ShardStorage.read(read.part("storage")),
            placement=PlacementState.read(read.part("placement")),
            active_operation=(
                ActiveOperation.read(read.part("activeOperation"))
                if read.has("activeOperation")
                else None
            ),
            conditions=tuple(Condition.from_body(c.body) for c in read.parts("conditions")),
            observed_generation=read.integer("observedGeneration", 0),
        )

    def to_body(self) -> dict[str, Any]:
        operation = self.active_operation
        return _without_empty(
            {
                "phase": self.phase.value,
                "phaseReason": self.phase_reason,
                "range": self.slot_range,
                "primary": self.primary,
                "epoch": self.epoch,
                "ready": self.ready,
                "instances": [i.to_body() for i in self.instances],
                "storage": self.storage.to_body(),
                "placement": self.placement.to_body(),
                "activeOperation": operation.to_body() if operation else None,
                "conditions": [c.to_body() for c in self.conditions],
                "observedGeneration": self.observed_generation,
            }
        )

    def instance(self, name: str) -> InstanceState | None:
        return next((i for i in self.instances if i.name == name), None)


@dataclass(frozen=True)
class KeyspaceStatus:
    phase: KeyspacePhase = KeyspacePhase.PENDING
    phase_reason: str = ""
    desired_shards: int = 0
    ready_shards: int = 0
    ready: str = ""
    """For people: ready shards of wanted ones, `2/2`."""
    shard_names: tuple[str, ...] = ()
    """Shards that exist or have existed: one that is missing was deleted, not forgotten."""
    routing_version: int = 0
    endpoint: str = ""
    """Host and port of the gate."""
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = 0

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "KeyspaceStatus":
        read = Reader(body).part("status")
        return cls(
            phase=read.choice("phase", KeyspacePhase, KeyspacePhase.PENDING),
            phase_reason=read.text("phaseReason", ""),
            desired_shards=read.part("shards").integer("desired", 0),
            ready_shards=read.part("shards").integer("ready", 0),
            ready=read.text("ready", ""),
            shard_names=read.texts("shardNames"),
            routing_version=read.integer("routingVersion", 0),
            endpoint=read.text("endpoint", ""),
            conditions=tuple(Condition.from_body(c.body) for c in read.parts("conditions")),
            observed_generation=read.integer("observedGeneration", 0),
        )

    def to_body(self) -> dict[str, Any]:
        return _without_empty(
            {
                "phase": self.phase.value,
                "phaseReason": self.phase_reason,
                "shards": {"desired": self.desired_shards, "ready": self.ready_shards},
                "ready": self.ready,
                "shardNames": list(self.shard_names),
                "routingVersion": self.routing_version,
                "endpoint": self.endpoint,
                "conditions": [c.to_body() for c in self.conditions],
                "observedGeneration": self.observed_generation,
            }
        )


def _without_empty(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value not in ("", None)}
