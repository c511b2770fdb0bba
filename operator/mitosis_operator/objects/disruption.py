"""Disruption budgets: a drain may take one replica, and the primary only after a switchover."""

from typing import Any

from mitosis_operator import names
from mitosis_operator.models.shard import Shard
from mitosis_operator.objects import owners


def build(shard: Shard) -> tuple[dict[str, Any], ...]:
    """None for a single instance: nothing could take over, so a budget would block drains for ever.

    A custom controller has no scale subresource, so only whole numbers work here.
    """
    count = shard.template.instances
    if count == 1:
        return ()
    return (
        _budget(shard, names.primary_budget(shard.name), names.ROLE_PRIMARY, 1),
        _budget(shard, names.replica_budget(shard.name), names.ROLE_REPLICA, count - 2),
    )


def _budget(shard: Shard, name: str, role: str, least: int) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": name,
            "namespace": shard.namespace,
            "labels": names.shard_labels(shard.keyspace, shard.name),
            "ownerReferences": [owners.of_shard(shard)],
        },
        "spec": {
            "minAvailable": least,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": {names.LABEL_SHARD: shard.name, names.LABEL_ROLE: role}},
        },
    }
