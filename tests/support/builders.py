"""Objects for tests, as a user or a cluster would have them."""

import base64
from collections.abc import Mapping
from typing import Any

Body = dict[str, Any]

NAMESPACE = "apps"


def a_keyspace(name: str = "shop", **spec: Any) -> Body:
    """Two shards of three instances; every field of the spec can be given."""
    default = {
        "slots": 4096,
        "shards": 2,
        "primaryIDC": "idc-1",
        "tables": [
            {"name": "users", "shardingKey": "user_id"},
            {"name": "countries", "reference": True},
        ],
        "instances": 3,
        "storage": {"step": "64Gi", "max": "256Gi", "storageClassName": "local"},
        "users": [
            {"name": "app", "passwordSecret": {"name": "app-password"}, "grants": ["ALL"]},
        ],
    }
    return {
        "apiVersion": "mitosis.dev/v1alpha1",
        "kind": "Keyspace",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": default | spec,
    }


def a_shard(keyspace: str, start: int, end: int, **spec: Any) -> Body:
    return {
        "apiVersion": "mitosis.dev/v1alpha1",
        "kind": "Shard",
        "metadata": {"name": f"{keyspace}-{start}-{end}", "namespace": NAMESPACE},
        "spec": {
            "keyspace": keyspace,
            "slots": {"start": start, "end": end},
            "instances": 3,
            "storage": {"step": "64Gi", "max": "256Gi", "storageClassName": "local"},
        }
        | spec,
    }


def a_secret(name: str = "app-password", **data: str) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {
            key: base64.b64encode(value.encode()).decode()
            for key, value in (data or {"password": "s3cret"}).items()
        },
    }


def a_storage_class(name: str = "local", expandable: bool = True) -> Body:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": {}},
        "provisioner": "example.com/local",
        "allowVolumeExpansion": expandable,
    }


def a_node(name: str, idc: str, rack: str, labels: Mapping[str, str] | None = None) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "topology.kubernetes.io/zone": idc,
                "topology.mitosis.dev/rack": rack,
                **(labels or {}),
            },
        },
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "16", "memory": "64Gi"},
        },
    }


def six_nodes() -> list[Body]:
    """Two IDCs of three racks with one node each."""
    return [a_node(f"node-{n}", f"idc-{1 + (n - 1) // 3}", f"r{n}") for n in range(1, 7)]
