"""The volume claim of an instance. It is the instance's identity; the pod is disposable.

No owner reference: a claim outlives its Shard, marked as retired, unless the deletion policy says
otherwise, and then the operator deletes it knowingly.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mitosis_operator import names
from mitosis_operator.models import quantities
from mitosis_operator.models.conditions import timestamp
from mitosis_operator.models.shard import Shard


def build(
    shard: Shard, serial: int, node: str, size_bytes: int, storage_class: str = ""
) -> dict[str, Any]:
    """`storage_class` empty leaves the choice to the cluster's default class."""
    name = names.instance(shard.name, serial)
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": quantities.format_bytes(size_bytes)}},
    }
    if storage_class:
        spec["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": shard.namespace,
            "labels": {
                **names.instance_labels(shard.keyspace, shard.name, name),
                names.LABEL_STATE: names.STATE_ACTIVE,
            },
            "annotations": {names.ANNOTATION_NODE: node},
        },
        "spec": spec,
    }


def retired(now: datetime) -> dict[str, Any]:
    """The merge patch that marks a claim as belonging to no instance any more."""
    return {
        "metadata": {
            "labels": {names.LABEL_STATE: names.STATE_RETIRED},
            "annotations": {names.ANNOTATION_RETIRED_AT: timestamp(now)},
        }
    }


def is_retired(claim: Mapping[str, Any]) -> bool:
    labels = claim["metadata"].get("labels") or {}
    return bool(labels.get(names.LABEL_STATE) == names.STATE_RETIRED)


def node_of(claim: Mapping[str, Any]) -> str:
    """The node that placement chose for this claim; empty for a claim that has none."""
    annotations = claim["metadata"].get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_NODE, ""))
