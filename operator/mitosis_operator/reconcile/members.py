"""Which volumes and pods a shard lacks. The volume is the identity; the pod is disposable."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mitosis_operator import names
from mitosis_operator.models.cluster import Node
from mitosis_operator.placement import Chosen, Demand, NoRoom, Placed, place
from mitosis_operator.reconcile.actions import (
    Action,
    CreatePod,
    CreateVolume,
    DeletePod,
    MakeCertificate,
)
from mitosis_operator.reconcile.seen import Seen, Stage


@dataclass(frozen=True)
class Members:
    actions: tuple[Action, ...] = ()
    no_room: str = ""
    """Why a missing instance has no node; empty when all have one."""


def decide(seen: Seen, load: Mapping[str, int]) -> Members:
    """`load` counts the instances of all shards on each node."""
    volumes, no_room = _missing_volumes(seen, load)
    planned = {v.instance: v for v in volumes}
    actions: list[Action] = []
    for instance in seen.instances:
        if instance.volume is not None and not instance.has_certificate:
            actions.append(MakeCertificate(instance.name))
    for volume in planned.values():
        actions.append(MakeCertificate(volume.instance))
        actions.append(volume)
        actions.append(CreatePod(volume.instance, volume.serial, volume.node))
    actions += _pods(seen)
    return Members(tuple(actions), no_room)


def _missing_volumes(seen: Seen, load: Mapping[str, int]) -> tuple[tuple[CreateVolume, ...], str]:
    """An instance whose volume is gone is not made again once the shard has a primary that lost its
    own: its data may be the newest there is."""
    template = seen.shard.template
    present = [i for i in seen.instances if i.volume is not None]
    missing = template.instances - len(present)
    if missing <= 0 or _primary_lost_its_volume(seen):
        return (), ""
    size = max([i.volume.size_bytes for i in present if i.volume], default=0)
    demand = Demand.of(seen.shard.name, template, size or template.storage.step_bytes)
    placed = [Placed(i.name, i.volume.node) for i in present if i.volume]
    used = set(seen.used_serials)
    counts = Counter(load)
    nodes = {node.name: node for node in seen.nodes}
    found: list[CreateVolume] = []
    for _ in range(missing):
        choice = place(demand, tuple(nodes.values()), placed, counts)
        if isinstance(choice, NoRoom):
            return tuple(found), choice.message
        serial = seen.shard.next_serial(used)
        name = names.instance(seen.shard.name, serial)
        found.append(
            CreateVolume(name, serial, choice.node.name, demand.volume_bytes, choice.compromises)
        )
        used.add(serial)
        placed.append(Placed(name, choice.node.name))
        counts[choice.node.name] += 1
        nodes[choice.node.name] = _less_room(choice, demand)
    return tuple(found), ""


def _primary_lost_its_volume(seen: Seen) -> bool:
    primary = seen.instance(seen.shard.status.primary)
    return seen.stage is Stage.COMPLETE and (primary is None or primary.volume is None)


def _less_room(choice: Chosen, demand: Demand) -> Node:
    free = choice.node.free_volume_bytes
    left = None if free is None else free - demand.volume_bytes
    return replace(choice.node, free_volume_bytes=left)


def _pods(seen: Seen) -> list[Action]:
    """A pod on its way out is waited for, however long: with its node silent, nobody knows whether
    its mysqld still writes to the volume."""
    actions: list[Action] = []
    for instance in seen.instances:
        pod, volume = instance.pod, instance.volume
        if volume is None or volume.terminating:
            continue
        if pod is None:
            actions.append(CreatePod(instance.name, instance.serial, volume.node))
        elif pod.has_ended and not pod.terminating:
            actions.append(DeletePod(instance.name, "its containers have ended for good"))
    return actions
