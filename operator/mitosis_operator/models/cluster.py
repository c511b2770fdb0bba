"""Facts about the Kubernetes cluster that decisions need: nodes, rooms for volumes, classes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mitosis_operator import names
from mitosis_operator.models.reading import Reader

Body = Mapping[str, Any]

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class StorageClass:
    name: str
    expandable: bool
    is_default: bool = False

    @classmethod
    def from_body(cls, body: Body) -> "StorageClass":
        read = Reader(body)
        meta = read.part("metadata")
        return cls(
            name=meta.text("name"),
            expandable=read.flag("allowVolumeExpansion", False),
            is_default=meta.part("annotations").text(_DEFAULT_CLASS, "") == "true",
        )


def storage_class(classes: Iterable[StorageClass], name: str) -> StorageClass | None:
    """The class of this name; with an empty name the cluster's default class."""
    return next((c for c in classes if (c.name == name if name else c.is_default)), None)


@dataclass(frozen=True)
class Node:
    name: str
    idc: str = ""
    rack: str = ""
    ready: bool = True
    refuses_pods: str = ""
    """Why no new pod may go there (cordoned, tainted); empty when it may."""
    free_cpu_millis: int | None = None
    free_memory_bytes: int | None = None
    """Allocatable less what pods have requested; None when that is not known."""
    free_volume_bytes: int | None = None
    """Room for volumes of the storage class in question; None when the driver does not tell."""
    largest_volume_bytes: int | None = None


def read_nodes(
    nodes: Iterable[Body],
    *,
    pods: Iterable[Body] = (),
    capacities: Iterable[Body] = (),
    claims: Iterable[Body] = (),
    storage_class: str = "",
    idc_label: str = names.NODE_LABEL_IDC,
    rack_label: str = names.NODE_LABEL_RACK,
) -> tuple[Node, ...]:
    """Put together what Kubernetes says about each node, ordered by name.

    `pods` are those whose requests count, `capacities` the CSIStorageCapacity objects, `claims` the
    volume claims: one that is not bound yet already takes the room of the node chosen for it.
    """
    pods, capacities, claims = tuple(pods), tuple(capacities), tuple(claims)
    cpu, memory = _requested(pods)
    promised = _promised(claims, storage_class)
    found = []
    for body in nodes:
        read = Reader(body)
        meta = read.part("metadata")
        name = meta.text("name")
        labels = meta.part("labels").body
        allocatable = read.part("status").part("allocatable")
        free, largest = _room(labels, capacities, storage_class)
        found.append(
            Node(
                name=name,
                idc=labels.get(idc_label, ""),
                rack=labels.get(rack_label, ""),
                ready=_is_ready(read),
                refuses_pods=_why_no_pods(read),
                free_cpu_millis=(
                    allocatable.millis("cpu") - cpu[name] if allocatable.has("cpu") else None
                ),
                free_memory_bytes=(
                    allocatable.bytes("memory") - memory[name]
                    if allocatable.has("memory")
                    else None
                ),
                free_volume_bytes=None if free is None else free - promised[name],
                largest_volume_bytes=largest,
            )
        )
    return tuple(sorted(found, key=lambda n: n.name))


def _is_ready(node: Reader) -> bool:
    conditions = node.part("status").parts("conditions")
    return any(c.text("type") == "Ready" and c.text("status") == "True" for c in conditions)


def _why_no_pods(node: Reader) -> str:
    spec = node.part("spec")
    if spec.flag("unschedulable", False):
        return "it is cordoned"
    for taint in spec.parts("taints"):
        key = taint.text("key")
        if taint.text("effect") == "PreferNoSchedule" or key.startswith("node.kubernetes.io/"):
            continue  # Kubernetes' own taints say what readiness and unschedulable say already
        return f"it has the taint {key}:{taint.text('effect')}"
    return ""


def _requested(pods: Iterable[Body]) -> tuple[Counter[str], Counter[str]]:
    cpu: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    for body in pods:
        read = Reader(body)
        spec = read.part("spec")
        node = spec.text("nodeName", "")
        if not node or read.part("status").text("phase", "") in _ENDED:
            continue
        for container in spec.parts("containers"):
            requests = container.part("resources").part("requests")
            cpu[node] += requests.millis("cpu", "0")
            memory[node] += requests.bytes("memory", "0")
    return cpu, memory


def _promised(claims: Iterable[Body], storage_class: str) -> Counter[str]:
    room: Counter[str] = Counter()
    for body in claims:
        read = Reader(body)
        node = read.part("metadata").part("annotations").text(names.ANNOTATION_NODE, "")
        spec = read.part("spec")
        bound = read.part("status").text("phase", "") == "Bound"
        if node and not bound and spec.text("storageClassName", "") == storage_class:
            room[node] += spec.part("resources").part("requests").bytes("storage", "0")
    return room


def _room(
    labels: Mapping[str, Any], capacities: Iterable[Body], storage_class: str
) -> tuple[int | None, int | None]:
    """Free bytes and largest volume for a node with these labels, None where nothing is said."""
    matching = []
    for body in capacities:
        read = Reader(body)
        if read.text("storageClassName", "") != storage_class or not read.has("nodeTopology"):
            continue
        if _selects(read.part("nodeTopology"), labels):
            largest = read.bytes("maximumVolumeSize") if read.has("maximumVolumeSize") else None
            matching.append((read.bytes("capacity", "0"), largest))
    return max(matching, key=lambda m: m[0]) if matching else (None, None)


def _selects(selector: Reader, labels: Mapping[str, Any]) -> bool:
    if any(labels.get(k) != v for k, v in selector.part("matchLabels").body.items()):
        return False
    for rule in selector.parts("matchExpressions"):
        key, operator, values = rule.text("key"), rule.text("operator"), rule.texts("values")
        fits = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not fits[operator]:
            return False
    return True
