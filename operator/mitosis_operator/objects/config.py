"""The ConfigMap with the user's part of mysqld's option file; the agent adds its own after it."""

from typing import Any

from mitosis_operator import names
from mitosis_operator.models.shard import Shard
from mitosis_operator.objects import owners


def build(shard: Shard) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.config_map(shard.name),
            "namespace": shard.namespace,
            "labels": names.shard_labels(shard.keyspace, shard.name),
            "ownerReferences": [owners.of_shard(shard)],
        },
        "data": {names.CONFIG_KEY: option_file(shard)},
    }


def option_file(shard: Shard) -> str:
    lines = (f"{name} = {value}\n" for name, value in sorted(shard.template.mysql.config.items()))
    return "[mysqld]\n" + "".join(lines)
