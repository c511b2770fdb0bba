"""What a template may not say, and what it needs of the cluster.

The rules of one object repeat those in crds/, in the same words: an old API server does not check
them, and an object may be older than a rule.
"""

import re
from collections.abc import Iterable, Sequence

from mitosis_operator.models import quantities, variables
from mitosis_operator.models.cluster import Node, StorageClass, storage_class
from mitosis_operator.models.problems import Problem, Severity
from mitosis_operator.models.template import (
    GI,
    MI,
    Durability,
    InstanceTemplate,
    Mysql,
    Resources,
    Storage,
)

MAX_INSTANCES = 7
LEAST_CPU_MILLIS = 50
LEAST_MEMORY_BYTES = 256 * MI
LEAST_UPPER_MEMORY_BYTES = 512 * MI


def template_problems(template: InstanceTemplate) -> tuple[Problem, ...]:
    return (
        *_instances(template),
        *_storage(template.storage),
        *_resources(template.resources),
        *_mysql(template.mysql),
    )


def _instances(template: InstanceTemplate) -> Iterable[Problem]:
    count = template.instances
    if count % 2 == 0 or not 1 <= count <= MAX_INSTANCES:
        yield Problem("BadInstances", f"instances is {count}: write 1, 3, 5 or 7")
    elif count == 1 and template.durability is Durability.IDC:
        yield Problem(
            "BadDurability",
            "durability idc needs a replica in another IDC: write instances: 3 or durability: rack",
        )


def _storage(storage: Storage) -> Iterable[Problem]:
    step = quantities.format_bytes(storage.step_bytes)
    largest = quantities.format_bytes(storage.max_bytes)
    if storage.step_bytes < GI:
        yield Problem("BadStorage", f"storage.step is {step}: write at least 1Gi, such as 64Gi")
    elif storage.step_bytes > storage.max_bytes:
        yield Problem(
            "BadStorage",
            f"storage.step {step} is more than storage.max {largest}: "
            "write a smaller step or a larger max",
        )
    if not 50 <= storage.grow_at_percent <= 95:
        yield Problem(
            "BadStorage",
            f"storage.growAtPercent is {storage.grow_at_percent}: write 50 to 95, such as 80",
        )


def _resources(resources: Resources) -> Iterable[Problem]:
    lower, upper = resources.lower, resources.upper
    if lower.cpu_millis < LEAST_CPU_MILLIS or lower.memory_bytes < LEAST_MEMORY_BYTES:
        yield Problem(
            "BadResources", "resources.lower is too little for mysqld: write at least 50m and 256Mi"
        )
    if upper.memory_bytes < LEAST_UPPER_MEMORY_BYTES:
        yield Problem(
            "BadResources", "resources.upper.memory is too little for mysqld: write at least 512Mi"
        )
    if lower.cpu_millis > upper.cpu_millis or lower.memory_bytes > upper.memory_bytes:
        yield Problem(
            "BadResources",
            "resources.lower is above resources.upper: write a lower bound that is not",
        )


def _mysql(mysql: Mysql) -> Iterable[Problem]:
    if re.search(r"\s", mysql.image):
        yield Problem(
            "BadImage",
            f"mysql.image is {mysql.image!r}: write the name of an image without spaces, or leave "
            "mysql.image out",
        )
    for name, value in mysql.config.items():
        if not variables.NAME.fullmatch(name):
            yield Problem(
                "BadConfig",
                f"mysql.config names {name!r}: write variables in lower case with underscores, "
                "such as max_connections",
            )
        elif variables.is_owned(name):
            yield Problem(
                "BadConfig",
                f"mysql.config names {name}, which Mitosis sets itself"
                f"{' or which hides another one' if variables.is_hidden(name) else ''}: remove it",
            )
        if "\n" in value or "\r" in value:
            yield Problem("BadConfig", f"mysql.config.{name} has more than one line: write one")


def storage_class_problems(
    storage: Storage, classes: Sequence[StorageClass]
) -> tuple[Problem, ...]:
    found = storage_class(classes, storage.class_name)
    if found is None:
        known = ", ".join(sorted(c.name for c in classes)) or "none"
        wanted = (
            f"storage class {storage.class_name} does not exist"
            if storage.class_name
            else "the cluster has no default storage class"
        )
        return (
            Problem(
                "UnknownStorageClass",
                f"{wanted}: write one of these in storage.storageClassName: {known}",
            ),
        )
    if not found.expandable and storage.step_bytes < storage.max_bytes:
        return (
            Problem(
                "StorageCannotGrow",
                f"storage class {found.name} cannot expand volumes: full disks will need moves; "
                "set allowVolumeExpansion: true on it, or name another class",
                Severity.WARNING,
            ),
        )
    return ()


def node_problems(template: InstanceTemplate, nodes: Sequence[Node]) -> tuple[Problem, ...]:
    """Judge where instances can lie at all; `placement` decides for each one."""
    found = []
    idcs = sorted({n.idc for n in nodes if n.idc})
    if template.primary_idc and template.primary_idc not in idcs:
        found.append(
            Problem(
                "NoNodeInPrimaryIDC",
                f"no node lies in primaryIDC {template.primary_idc}: label nodes with it, or write "
                f"one of: {', '.join(idcs) or 'none, because no node has an IDC label'}",
                Severity.WAITING,
            )
        )
    if template.durability is Durability.IDC and len(idcs) == 1:
        found.append(
            Problem(
                "OneIDC",
                f"durability idc needs nodes in two IDCs, all are in {idcs[0]}: add nodes",
                Severity.WAITING,
            )
        )
    refused = {n.name: why for n in nodes if (why := why_unusable(n))}
    if len(nodes) - len(refused) < template.instances:
        detail = "; ".join(f"{name}: {why}" for name, why in sorted(refused.items()))
        found.append(
            Problem(
                "NoRoom",
                f"{template.instances} instances need as many nodes, and "
                f"{len(nodes) - len(refused)} of {len(nodes)} can be used"
                + (f" ({detail})" if detail else "")
                + ": add nodes or write fewer instances",
                Severity.WAITING,
            )
        )
    return tuple(found)


def why_unusable(node: Node) -> str:
    """Why no new instance may lie on this node, whatever its size; empty when it may."""
    return "it is not ready" if not node.ready else node.refuses_pods
