"""The RoutingTable object of a Keyspace."""

from collections.abc import Mapping
from typing import Any

from mitosis_operator import names
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.objects import owners
from mitosis_routing import codec
from mitosis_routing.table import RoutingTable


def build(keyspace: Keyspace, table: RoutingTable, resource_version: str = "") -> dict[str, Any]:
    """With `resource_version` the API server refuses the object if another one came in between."""
    metadata: dict[str, Any] = {
        "name": keyspace.name,
        "namespace": keyspace.namespace,
        "labels": names.keyspace_labels(keyspace.name),
        "ownerReferences": [owners.of_keyspace(keyspace)],
    }
    if resource_version:
        metadata["resourceVersion"] = resource_version
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.ROUTING_TABLE,
        "metadata": metadata,
        "spec": codec.to_json(table),
    }


def read(body: Mapping[str, Any]) -> RoutingTable:
    """Raise codec.BadTable for a table of a format that this program does not read."""
    return codec.from_json(body["spec"])
