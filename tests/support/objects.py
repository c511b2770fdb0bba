"""Keyspaces and Shards as the API server would return them, with the status of a live one."""

from typing import Any

Body = dict[str, Any]
GIB = 1 << 30


def condition(kind: str, status: str = "True", message: str = "") -> Body:
    return {
        "type": kind,
        "status": status,
        "reason": "AsItIs",
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }


def keyspace(name: str = "shop", shards: int = 2, **status: Any) -> Body:
    return {
        "apiVersion": "mitosis.dev/v1alpha1",
        "kind": "Keyspace",
        "metadata": {"name": name, "namespace": "mitosis", "uid": f"uid-{name}"},
        "spec": {
            "slots": 4096,
            "shards": shards,
            "primaryIDC": "idc-1",
            "users": [
                {"name": "owner", "passwordSecret": {"name": "shop-users", "key": "owner"}},
                {"name": "app", "passwordSecret": {"name": "shop-users"}},
            ],
        },
        "status": {
            "phase": "Ready",
            "shards": {"desired": shards, "ready": shards},
            "ready": f"{shards}/{shards}",
            "endpoint": "mitosis-gate.mitosis.svc:3306",
            "conditions": [condition("Accepted"), condition("Ready")],
            **status,
        },
    }


def instance(name: str, role: str = "replica", **more: Any) -> Body:
    serial = int(name.rsplit("-", 1)[1])
    return {
        "name": name,
        "serial": serial,
        "role": role,
        "node": f"node-{serial}",
        "rack": f"r{serial}",
        "idc": "idc-1",
        "sizeBytes": 64 * GIB,
        "usedBytes": GIB // 2,
        "usedPercent": 0.8,
        "lagSeconds": 0.0,
        "state": "Running",
        **more,
    }


def shard(start: int = 0, end: int = 2048, keyspace: str = "shop", **status: Any) -> Body:
    name = f"{keyspace}-{start}-{end}"
    return {
        "apiVersion": "mitosis.dev/v1alpha1",
        "kind": "Shard",
        "metadata": {"name": name, "namespace": "mitosis", "uid": f"uid-{name}"},
        "spec": {"keyspace": keyspace, "slots": {"start": start, "end": end}},
        "status": {
            "phase": "Ready",
            "primary": f"{name}-1",
            "epoch": 1,
            "ready": "3/3",
            "instances": [
                instance(f"{name}-1", "primary"),
                instance(f"{name}-2"),
                instance(f"{name}-3"),
            ],
            "conditions": [condition("Ready"), condition("Writable")],
            **status,
        },
    }
