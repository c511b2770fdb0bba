"""Keyspaces with their shards and instances, put together from their objects."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mitosis_operator.cli.cluster import Cluster
from mitosis_operator.models import status
from mitosis_operator.models.conditions import Condition, Truth
from mitosis_operator.models.status import KeyspaceStatus, ShardStatus
from mitosis_routing.keyspace import SlotRange

Body = Mapping[str, Any]

GOOD_WHEN_FALSE = frozenset({status.NO_ROOM, status.PAUSED})
NEUTRAL = frozenset({status.PROGRESSING})


@dataclass(frozen=True)
class ShardView:
    name: str
    slots: SlotRange
    status: ShardStatus
    deleting: bool = False

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is wrong and what helps, each sentence once."""
        return find_remarks(self.status.phase_reason, self.status.conditions)


@dataclass(frozen=True)
class KeyspaceView:
    name: str
    namespace: str
    primary_idc: str
    slots: int
    status: KeyspaceStatus
    shards: tuple[ShardView, ...] = ()
    deleting: bool = False
    missing: bool = False
    """Its Shards were applied by themselves, or it was deleted before them."""

    @property
    def remarks(self) -> tuple[str, ...]:
        return find_remarks(self.status.phase_reason, self.status.conditions)


def look(cluster: Cluster, keyspace: str | None) -> tuple[KeyspaceView, ...]:
    """Read one keyspace, or all of the namespace with `None`."""
    if keyspace is not None:
        return assemble([cluster.keyspace(keyspace)], cluster.shards())
    keyspaces, shards = cluster.keyspaces(), cluster.shards()
    return assemble([*keyspaces, *stand_ins(keyspaces, shards)], shards)


def assemble(keyspaces: Iterable[Body], shards: Sequence[Body]) -> tuple[KeyspaceView, ...]:
    views = (_keyspace(body, shards) for body in keyspaces)
    return tuple(sorted(views, key=lambda view: view.name))


def stand_ins(keyspaces: Iterable[Body], shards: Iterable[Body]) -> tuple[Body, ...]:
    """A bare keyspace for each one that Shards name and that is not there."""
    known = {body["metadata"]["name"] for body in keyspaces}
    orphans = {
        str(shard["spec"]["keyspace"]): str(shard["metadata"]["namespace"])
        for shard in shards
        if shard["spec"]["keyspace"] not in known
    }
    return tuple(
        {"metadata": {"name": name, "namespace": namespace}} for name, namespace in orphans.items()
    )


def find_remarks(phase_reason: str, conditions: Iterable[Condition]) -> tuple[str, ...]:
    found = [phase_reason] if phase_reason else []
    found += [c.message or c.reason for c in conditions if is_bad(c)]
    return tuple(dict.fromkeys(found))


def is_bad(condition: Condition) -> bool:
    if condition.type in NEUTRAL:
        return False
    good = Truth.FALSE if condition.type in GOOD_WHEN_FALSE else Truth.TRUE
    return condition.status is not good


def to_json(views: Iterable[KeyspaceView]) -> str:
    """The objects' status under each other, with the field names that Kubernetes shows."""
    return json.dumps({"keyspaces": [_keyspace_json(view) for view in views]}, indent=2)


def _keyspace(body: Body, shards: Sequence[Body]) -> KeyspaceView:
    meta, spec = body["metadata"], body.get("spec", {})
    own = (_shard(s) for s in shards if s.get("spec", {}).get("keyspace") == meta["name"])
    return KeyspaceView(
        name=meta["name"],
        namespace=meta["namespace"],
        primary_idc=spec.get("primaryIDC", ""),
        slots=int(spec.get("slots", 0)),
        status=KeyspaceStatus.from_body(body),
        shards=tuple(sorted(own, key=lambda shard: (shard.slots, shard.name))),
        deleting="deletionTimestamp" in meta,
        missing="spec" not in body,
    )


def _shard(body: Body) -> ShardView:
    slots = body["spec"]["slots"]
    return ShardView(
        name=body["metadata"]["name"],
        slots=SlotRange(int(slots["start"]), int(slots["end"])),
        status=ShardStatus.from_body(body),
        deleting="deletionTimestamp" in body["metadata"],
    )


def _keyspace_json(view: KeyspaceView) -> Body:
    return {
        "name": view.name,
        "namespace": view.namespace,
        "missing": view.missing,
        "primaryIDC": view.primary_idc,
        "slots": view.slots,
        "status": view.status.to_body(),
        "shards": [
            {
                "name": shard.name,
                "slots": {"start": shard.slots.start, "end": shard.slots.end},
                "status": shard.status.to_body(),
            }
            for shard in view.shards
        ],
    }
