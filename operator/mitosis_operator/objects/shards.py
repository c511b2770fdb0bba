"""Shard objects of a Keyspace."""

from collections.abc import Iterable
from typing import Any

from mitosis_operator import names
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.objects import owners
from mitosis_routing.keyspace import SlotRange


def build(keyspace: Keyspace, slots: SlotRange) -> dict[str, Any]:
    """The Shard that holds these slots, with the instance template of its Keyspace."""
    name = names.shard(keyspace.name, slots.start, slots.end)
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.SHARD,
        "metadata": {
            "name": name,
            "namespace": keyspace.namespace,
            "labels": names.shard_labels(keyspace.name, name),
            "ownerReferences": [owners.of_keyspace(keyspace)],
        },
        "spec": {
            "keyspace": keyspace.name,
            "slots": {"start": slots.start, "end": slots.end},
            **keyspace.template.to_spec(),
        },
    }


def build_missing(keyspace: Keyspace, existing: Iterable[SlotRange]) -> tuple[dict[str, Any], ...]:
    return tuple(build(keyspace, slots) for slots in keyspace.missing_ranges(existing))
