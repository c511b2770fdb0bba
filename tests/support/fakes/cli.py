"""The command line tool's door to Kubernetes, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mitosis_operator.cli.cluster import GateService
from mitosis_operator.cli.errors import NotFound
from mitosis_routing.table import RoutingTable

Body = Mapping[str, Any]


@dataclass
class FakeCluster:
    objects: Sequence[Body] = ()
    tables: Mapping[str, RoutingTable] = field(default_factory=dict)
    secrets: Mapping[tuple[str, str], str] = field(default_factory=dict)
    namespace: str = "mitosis"

    def keyspaces(self) -> Sequence[Body]:
        return [o for o in self.objects if o["kind"] == "Keyspace"]

    def keyspace(self, name: str) -> Body:
        for body in self.keyspaces():
            if body["metadata"]["name"] == name:
                return body
        raise NotFound(f"no keyspace {name}")

    def shards(self) -> Sequence[Body]:
        return [o for o in self.objects if o["kind"] == "Shard"]

    def routing_table(self, keyspace: str) -> RoutingTable:
        return self.tables[keyspace]

    def secret_value(self, name: str, key: str) -> str:
        return self.secrets[name, key]

    def gate(self) -> GateService:
        return GateService("mitosis", "mitosis-gate", 3306)

    def kubectl_options(self) -> Sequence[str]:
        return ["--context=test"]
