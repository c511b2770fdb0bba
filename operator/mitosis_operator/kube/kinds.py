"""The kinds of objects the operator deals with, and how to take one apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]
"""A Kubernetes object as its JSON. Bodies from the cache are shared: never changed in place."""


@dataclass(frozen=True)
class Kind:
    name: str
    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        where = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (self.plural, name, subresource) if part)
        return f"{root}{where}{tail}"


KEYSPACE = Kind("Keyspace", "mitosis.dev", "v1alpha1", "keyspaces")
SHARD = Kind("Shard", "mitosis.dev", "v1alpha1", "shards")
ROUTING_TABLE = Kind("RoutingTable", "mitosis.dev", "v1alpha1", "routingtables")
POD = Kind("Pod", "", "v1", "pods")
VOLUME = Kind("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims")
SECRET = Kind("Secret", "", "v1", "secrets")
CONFIG_MAP = Kind("ConfigMap", "", "v1", "configmaps")
SERVICE = Kind("Service", "", "v1", "services")
NODE = Kind("Node", "", "v1", "nodes", namespaced=False)
EVENT = Kind("Event", "", "v1", "events")
DISRUPTION_BUDGET = Kind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets")
STORAGE_CLASS = Kind("StorageClass", "storage.k8s.io", "v1", "storageclasses", namespaced=False)
STORAGE_CAPACITY = Kind("CSIStorageCapacity", "storage.k8s.io", "v1", "csistoragecapacities")
LEASE = Kind("Lease", "coordination.k8s.io", "v1", "leases")

WATCHED_BY_NAMESPACE = (KEYSPACE, SHARD, POD, VOLUME, ROUTING_TABLE)
WATCHED_IN_CLUSTER = (NODE, STORAGE_CLASS)

KINDS: Mapping[tuple[str, str], Kind] = {
    (kind.api_version, kind.name): kind
    for kind in (
        *(KEYSPACE, SHARD, ROUTING_TABLE, POD, VOLUME, SECRET, CONFIG_MAP, SERVICE, NODE, EVENT),
        *(DISRUPTION_BUDGET, STORAGE_CLASS, STORAGE_CAPACITY, LEASE),
    )
}


def kind_of(body: Mapping[str, Any]) -> Kind:
    return KINDS[body["apiVersion"], body["kind"]]


def name_of(body: Mapping[str, Any]) -> str:
    return str(body["metadata"]["name"])


def namespace_of(body: Mapping[str, Any]) -> str:
    return str(body["metadata"].get("namespace", ""))


def uid_of(body: Mapping[str, Any]) -> str:
    return str(body["metadata"].get("uid", ""))


def version_of(body: Mapping[str, Any]) -> str:
    return str(body["metadata"].get("resourceVersion", ""))


def labels_of(body: Mapping[str, Any]) -> Mapping[str, str]:
    labels: Mapping[str, str] = body["metadata"].get("labels") or {}
    return labels


def annotations_of(body: Mapping[str, Any]) -> Mapping[str, str]:
    annotations: Mapping[str, str] = body["metadata"].get("annotations") or {}
    return annotations


def is_deleting(body: Mapping[str, Any]) -> bool:
    return bool(body["metadata"].get("deletionTimestamp"))
