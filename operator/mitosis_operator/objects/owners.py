"""Owner references: what Kubernetes deletes together with a Keyspace or a Shard."""

from typing import Any

from mitosis_operator import names
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.models.meta import Meta
from mitosis_operator.models.shard import Shard


def of_keyspace(keyspace: Keyspace) -> dict[str, Any]:
    return _reference(names.KEYSPACE, keyspace.meta)


def of_shard(shard: Shard) -> dict[str, Any]:
    return _reference(names.SHARD, shard.meta)


def _reference(kind: str, meta: Meta) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
