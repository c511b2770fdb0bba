"""The pod of an instance: one container in which the agent runs mysqld.

It satisfies the restricted Pod Security Standard. It is bound to the node that placement chose, and
tolerates that node being away for any time: where an instance goes next is decided by the operator,
never by an eviction timer.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mitosis_operator import names
from mitosis_operator.models import quantities
from mitosis_operator.models.shard import Shard
from mitosis_operator.models.template import Bound
from mitosis_operator.objects import config, owners

REVISION_FORMAT = 1
"""Rises when this module builds other pods from the same Shard."""

TERMINATION_SECONDS = 120
"""Enough for mysqld to write back its dirty pages after the agent has sent clients away."""


@dataclass(frozen=True)
class PodSettings:
    """What the operator is set to use for every instance."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()


def build(shard: Shard, serial: int, node: str, settings: PodSettings) -> dict[str, Any]:
    name = names.instance(shard.name, serial)
    spec = _spec(shard, serial, node, settings)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": shard.namespace,
            "labels": {
                **names.instance_labels(shard.keyspace, shard.name, name),
                names.LABEL_ROLE: names.ROLE_NONE,
            },
            "annotations": {names.ANNOTATION_POD_REVISION: _hash(spec, config.option_file(shard))},
            "ownerReferences": [owners.of_shard(shard)],
        },
        "spec": spec,
    }


def role_patch(role: str) -> dict[str, Any]:
    """The merge patch that shows people and disruption budgets what the instance is now."""
    return {"metadata": {"labels": {names.LABEL_ROLE: role}}}


def revision(pod: Mapping[str, Any]) -> str:
    """What `build` made the pod from: only what we set, so defaults of the cluster do not count."""
    annotations = pod["metadata"].get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_POD_REVISION, ""))


def has_drifted(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether `live` was built from something else than `wanted`.

    Pods of an older format have not drifted: an upgrade of the operator restarts no database.
    """
    return _is_current_format(live) and revision(live) != revision(wanted)


def _is_current_format(pod: Mapping[str, Any]) -> bool:
    return revision(pod).startswith(f"{REVISION_FORMAT}-")


def _hash(spec: Mapping[str, Any], options: str) -> str:
    """`options` are not part of the pod, but mysqld reads them only when it starts."""
    text = json.dumps([spec, options], sort_keys=True, separators=(",", ":"))
    return f"{REVISION_FORMAT}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _spec(shard: Shard, serial: int, node: str, settings: PodSettings) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "hostname": names.instance(shard.name, serial),
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": TERMINATION_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": names.MYSQL_UID,
            "runAsGroup": names.MYSQL_UID,
            "fsGroup": names.MYSQL_UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {"nodeAffinity": _only(node)},
        "tolerations": [
            {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute"}
            for state in ("not-ready", "unreachable")
        ],
        "containers": [_container(shard, serial, settings)],
        "volumes": _volumes(shard, serial),
    }
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    return spec


def _only(node: str) -> dict[str, Any]:
    by_name = {"key": "metadata.name", "operator": "In", "values": [node]}
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [by_name]}]
        }
    }


def _container(shard: Shard, serial: int, settings: PodSettings) -> dict[str, Any]:
    template = shard.template
    return {
        "name": names.INSTANCE_CONTAINER,
        "image": template.mysql.image or settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["mitosis-agent"],
        "env": _environment(shard, serial),
        "ports": [
            {"name": "mysql", "containerPort": names.MYSQL_PORT, "protocol": "TCP"},
            {"name": "agent", "containerPort": names.AGENT_PORT, "protocol": "TCP"},
            {"name": "probes", "containerPort": names.PROBE_PORT, "protocol": "TCP"},
        ],
        "resources": {
            "requests": _amounts(template.resources.lower),
            "limits": _amounts(template.resources.upper),
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # Startup waits for the agent alone: a clone may take hours.
        "startupProbe": _probe("/startupz", period=1, failures=120),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        "readinessProbe": _probe("/readyz", period=5, failures=2),
        "volumeMounts": [
            {"name": "data", "mountPath": names.DATA_DIR},
            {"name": "run", "mountPath": names.RUN_DIR},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "tls", "mountPath": names.TLS_DIR, "readOnly": True},
            {"name": "system", "mountPath": names.SYSTEM_SECRET_DIR, "readOnly": True},
            {"name": "config", "mountPath": names.CONFIG_DIR, "readOnly": True},
        ],
    }


def _environment(shard: Shard, serial: int) -> list[dict[str, Any]]:
    values = {
        "MITOSIS_INSTANCE": names.instance(shard.name, serial),
        "MITOSIS_SHARD": shard.name,
        "MITOSIS_KEYSPACE": shard.keyspace,
        "MITOSIS_NAMESPACE": shard.namespace,
        "MITOSIS_SERIAL": str(serial),
        "MITOSIS_DATA_DIR": names.DATA_DIR,
        "MITOSIS_RUN_DIR": names.RUN_DIR,
        "MITOSIS_TLS_DIR": names.TLS_DIR,
        "MITOSIS_SYSTEM_SECRET_DIR": names.SYSTEM_SECRET_DIR,
        "MITOSIS_CONFIG_DIR": names.CONFIG_DIR,
        "MITOSIS_API_PORT": str(names.AGENT_PORT),
        "MITOSIS_PROBE_PORT": str(names.PROBE_PORT),
        "MITOSIS_MYSQL_PORT": str(names.MYSQL_PORT),
    }
    memory = {"containerName": names.INSTANCE_CONTAINER, "resource": "limits.memory"}
    return [
        *({"name": name, "value": value} for name, value in values.items()),
        {"name": "MITOSIS_POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "MITOSIS_MEMORY_LIMIT_BYTES", "valueFrom": {"resourceFieldRef": memory}},
    ]


def _amounts(bound: Bound) -> dict[str, str]:
    return {
        "cpu": quantities.format_millis(bound.cpu_millis),
        "memory": quantities.format_bytes(bound.memory_bytes),
    }


def _probe(path: str, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "probes"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _volumes(shard: Shard, serial: int) -> list[dict[str, Any]]:
    name = names.instance(shard.name, serial)
    # 0440: mysqld refuses a private key that others can read; fsGroup makes it the group's.
    return [
        {"name": "data", "persistentVolumeClaim": {"claimName": name}},
        {"name": "run", "emptyDir": {"sizeLimit": "16Mi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "4Gi"}},
        {"name": "tls", "secret": {"secretName": names.tls_secret(name), "defaultMode": 0o440}},
        {
            "name": "system",
            "secret": {"secretName": names.system_secret(shard.keyspace), "defaultMode": 0o440},
        },
        {"name": "config", "configMap": {"name": names.config_map(shard.name)}},
    ]
