"""Operators at work in a Kubernetes in memory, pass by pass, without clocks or tasks."""

from collections.abc import Callable
from typing import NoReturn

import builders
from fakes.kube import FakeCluster, FakeKube
from fakes.mysql import FakeInstances
from mitosis_operator import main
from mitosis_operator.errors import LeaseLost
from mitosis_operator.faults import Faults
from mitosis_operator.kube.kinds import KEYSPACE, ROUTING_TABLE, SHARD, Body
from mitosis_operator.objects import routing
from mitosis_operator.settings import Settings
from mitosis_routing.table import RoutingTable

SETTINGS = Settings(
    namespace="mitosis",
    namespaces=(builders.NAMESPACE,),
    identity="one",
    instance_image="mitosis-instance:1",
    gate_service="gate:3306",
)


class Died(BaseException):
    """The process has ended; nothing of it may go on."""


class FakeLeader:
    def __init__(self, term: int = 1) -> None:
        self.term = term
        self.is_held = True

    def check(self) -> None:
        if not self.is_held:
            raise LeaseLost("another leads")


def die(_: int) -> NoReturn:
    raise Died


class World:
    """A cluster with a keyspace's Secrets and a storage class, and operators in it."""

    def __init__(self, nodes: list[Body] | None = None) -> None:
        self.kube = FakeKube()
        self.instances = FakeInstances()
        self.cluster = FakeCluster(self.kube, self.instances, nodes or builders.six_nodes())
        self.kube.put(builders.a_storage_class())
        self.kube.put(builders.a_secret())
        self.settings = SETTINGS

    def operator(self, term: int = 1, dies_after: str = "") -> main.Operator:
        """One process: it remembers nothing of an earlier one."""
        faults = Faults(self.kube, dies_after, die)
        return main.build(SETTINGS, self.kube, FakeLeader(term), self.instances, faults)

    async def round(self, operator: main.Operator) -> None:
        """The operator sees everything and passes once over everything; then the cluster moves."""
        await operator.resync.once()
        for key in operator.intake.everything():
            await operator.passes.run(key)
        self.cluster.tick()

    async def until(
        self, operator: main.Operator, what: Callable[[], bool], rounds: int = 40
    ) -> None:
        for _ in range(rounds):
            if what():
                return
            await self.round(operator)
        raise AssertionError(f"not within {rounds} rounds; shards: {self.phases()}")

    async def rounds(self, operator: main.Operator, count: int) -> None:
        for _ in range(count):
            await self.round(operator)

    def shard(self, name: str) -> Body:
        return self.kube.one(SHARD, name)

    def condition(self, body: Body, kind: str) -> dict[str, str]:
        conditions = body.get("status", {}).get("conditions", ())
        return next((c for c in conditions if c["type"] == kind), {})

    def phases(self) -> dict[str, tuple[str, str]]:
        return {
            body["metadata"]["name"]: (
                body.get("status", {}).get("phase", ""),
                body.get("status", {}).get("phaseReason", ""),
            )
            for body in (*self.kube.all(KEYSPACE), *self.kube.all(SHARD))
        }

    def is_ready(self, keyspace: str = "shop") -> bool:
        status = self.kube.one(KEYSPACE, keyspace).get("status", {})
        return bool(status.get("phase") == "Ready")

    def table(self, keyspace: str = "shop") -> RoutingTable:
        return routing.read(self.kube.one(ROUTING_TABLE, keyspace))
