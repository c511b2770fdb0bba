"""Secrets: certificates of instances, passwords of the keyspace's own accounts, and others."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from mitosis_operator import names
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.models.shard import Shard
from mitosis_operator.objects import owners


def tls(shard: Shard, instance: str, *, certificate: str, key: str, ca: str) -> dict[str, Any]:
    """The certificate of one instance, for its agent and its mysqld."""
    return plain(
        names.tls_secret(instance),
        shard.namespace,
        {"tls.crt": certificate, "tls.key": key, "ca.crt": ca},
        labels=names.instance_labels(shard.keyspace, shard.name, instance),
        kind="kubernetes.io/tls",
        owner_references=[owners.of_shard(shard)],
    )


def system(keyspace: Keyspace, passwords: Mapping[str, str]) -> dict[str, Any]:
    """Passwords of the accounts that Mitosis itself uses on every instance of the keyspace."""
    return plain(
        names.system_secret(keyspace.name),
        keyspace.namespace,
        {key: passwords[key] for key in names.SYSTEM_SECRET_KEYS},
        labels=names.keyspace_labels(keyspace.name),
        owner_references=[owners.of_keyspace(keyspace)],
    )


def plain(
    name: str,
    namespace: str,
    data: Mapping[str, str],
    *,
    labels: Mapping[str, str] | None = None,
    kind: str = "Opaque",
    owner_references: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "labels": dict(
            labels or {names.LABEL_APP: names.APP, names.LABEL_MANAGED_BY: names.MANAGED_BY}
        ),
    }
    if owner_references:
        metadata["ownerReferences"] = [dict(o) for o in owner_references]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": kind,
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }


def read(body: Mapping[str, Any]) -> dict[str, bytes]:
    return {key: base64.b64decode(text) for key, text in (body.get("data") or {}).items()}
