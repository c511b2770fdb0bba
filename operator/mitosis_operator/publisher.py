"""Publishes routing tables: one compare-and-swap per change, versions and epochs only upward.

What is written carries the term of the leader that wrote it. A leader that was paused and replaced
finds a higher term than its own and is refused, even if it has read the newest table.
"""

from collections.abc import Callable
from dataclasses import replace

from mitosis_operator import metrics, names
from mitosis_operator.errors import Conflict, LeaseLost
from mitosis_operator.kube.client import Kube
from mitosis_operator.kube.kinds import ROUTING_TABLE, Body, annotations_of
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.objects import routing
from mitosis_routing import codec
from mitosis_routing.keyspace import SlotRange
from mitosis_routing.table import RoutingTable, ShardRoute, ShardState, may_follow

TERM = "mitosis.dev/term"
ATTEMPTS = 5
NO_SHARD = "no Shard holds these slots"

Change = Callable[[RoutingTable], RoutingTable]


class Publisher:
    def __init__(self, kube: Kube, term: Callable[[], int]) -> None:
        self._kube = kube
        self._term = term

    async def create(self, keyspace: Keyspace, table: RoutingTable) -> Body:
        """Make the first table of a keyspace; one that exists stays as it is."""
        body = _with_term(routing.build(keyspace, replace(table, version=1)), self._term())
        try:
            return await self._kube.create(body)
        except Conflict:
            return await self._kube.get(ROUTING_TABLE, keyspace.namespace, keyspace.name)

    async def change(self, namespace: str, keyspace: str, change: Change) -> Body:
        """Publish `change` of the newest table, and return the object; nothing is written when the
        change changes nothing. Raises NotFound before the first table is made, Conflict when the
        change would take a version or an epoch back."""
        for _ in range(ATTEMPTS):
            body = await self._kube.get(ROUTING_TABLE, namespace, keyspace)
            self._check_term(body)
            old = routing.read(body)
            new = change(old)
            if new == old:
                return body
            new = replace(new, version=old.version + 1)
            if reason := may_follow(new, old):
                metrics.PUBLICATIONS.labels("refused").inc()
                raise Conflict(f"cannot publish the routing table of {keyspace}: {reason}")
            try:
                written = await self._kube.replace(
                    _with_term({**body, "spec": codec.to_json(new)}, self._term())
                )
            except Conflict:
                metrics.PUBLICATIONS.labels("conflict").inc()
                continue
            metrics.PUBLICATIONS.labels("published").inc()
            return written
        raise Conflict(f"cannot publish the routing table of {keyspace}: others write it as well")

    async def shard(self, namespace: str, keyspace: str, route: ShardRoute) -> Body:
        return await self.change(namespace, keyspace, lambda table: with_route(table, route))

    async def rules(self, keyspace: Keyspace, table: RoutingTable) -> Body:
        """Publish what `table` says about tables, users and authority; the shards stay."""
        return await self.change(
            keyspace.namespace,
            keyspace.name,
            lambda old: replace(table, version=old.version, shards=old.shards),
        )

    def _check_term(self, body: Body) -> None:
        found = annotations_of(body).get(TERM, "0")
        if found.isdigit() and int(found) > self._term():
            raise LeaseLost(
                f"the routing table was written in term {found}, this leader has {self._term()}"
            )


def with_route(table: RoutingTable, route: ShardRoute) -> RoutingTable:
    """Put the route in; what stood for its slots without a Shard behind it makes room.

    Raises Conflict where another shard, with instances, holds some of the slots.
    """
    kept = []
    for other in table.shards:
        if other.name == route.name or not other.slots.overlaps(route.slots):
            kept.append(other)
        elif other.instances:
            raise Conflict(f"cannot publish {route.name}: {other.name} holds some of its slots")
    return fill_gaps(replace(table, shards=tuple(kept)).with_shard(route))


def fill_gaps(table: RoutingTable) -> RoutingTable:
    """Every slot has an entry, if only one that says that nobody holds it."""
    reached = 0
    for start, end in [*((s.slots.start, s.slots.end) for s in table.shards), (table.slots,) * 2]:
        if start > reached:
            table = table.with_shard(placeholder(table.keyspace, SlotRange(reached, start)))
        reached = max(reached, end)
    return table


def placeholder(keyspace: str, slots: SlotRange, reason: str = NO_SHARD) -> ShardRoute:
    name = names.shard(keyspace, slots.start, slots.end)
    return ShardRoute(name, slots, ShardState.NO_PRIMARY, 0, reason=reason)


def _with_term(body: Body, term: int) -> Body:
    annotations = {**annotations_of(body), TERM: str(term)}
    return {**body, "metadata": {**body["metadata"], "annotations": annotations}}
