"""Routing tables change by compare-and-swap: versions and epochs only rise, terms too."""

from dataclasses import replace

import pytest

import builders
from fakes.kube import FakeKube
from mitosis_operator.errors import Conflict, LeaseLost, NotFound
from mitosis_operator.kube.kinds import ROUTING_TABLE, Body
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.objects import routing
from mitosis_operator.publisher import Publisher, placeholder, with_route
from mitosis_routing.keyspace import SlotRange
from mitosis_routing.table import InstanceRoute, Role, RoutingTable, ShardRoute, ShardState

LOW, HIGH = SlotRange(0, 2048), SlotRange(2048, 4096)


def a_keyspace(kube: FakeKube) -> Keyspace:
    body = builders.a_keyspace()
    body["metadata"]["uid"] = "uid-of-shop"
    return Keyspace.from_body(body)


def a_table() -> RoutingTable:
    shards = (placeholder("shop", LOW), placeholder("shop", HIGH))
    return RoutingTable("shop", 1, 4096, shards)


def a_route(slots: SlotRange = LOW, epoch: int = 1) -> ShardRoute:
    name = f"shop-{slots}"
    primary = InstanceRoute(f"{name}-1", Role.PRIMARY, "10.0.0.1", server_uuid="u")
    return ShardRoute(name, slots, ShardState.SERVING, epoch, (primary,))


async def a_publisher(term: int = 1) -> tuple[FakeKube, Publisher]:
    kube = FakeKube()
    publisher = Publisher(kube, lambda: term)
    await publisher.create(a_keyspace(kube), a_table())
    return kube, publisher


def published(kube: FakeKube) -> RoutingTable:
    return routing.read(kube.one(ROUTING_TABLE, "shop"))


async def test_a_route_is_published_under_the_next_version() -> None:
    kube, publisher = await a_publisher()
    await publisher.shard("apps", "shop", a_route())
    assert published(kube).version == 2
    assert published(kube).shard("shop-0-2048") == a_route()
    assert published(kube).shard("shop-2048-4096") == placeholder("shop", HIGH)


async def test_nothing_is_written_when_nothing_changes() -> None:
    kube, publisher = await a_publisher()
    await publisher.shard("apps", "shop", a_route())
    count = len(kube.writes)
    await publisher.shard("apps", "shop", a_route())
    assert len(kube.writes) == count


async def test_two_shards_published_at_once_both_get_in() -> None:
    kube, publisher = await a_publisher()
    other, real = Publisher(kube, lambda: 1), kube.replace
    raced = False

    async def replace_after_another(body: Body) -> Body:
        nonlocal raced
        if not raced:
            raced = True
            await other.shard("apps", "shop", a_route(HIGH))
        return await real(body)

    kube.replace = replace_after_another  # type: ignore[method-assign]
    await publisher.shard("apps", "shop", a_route(LOW))
    assert published(kube).version == 3
    assert all(s.primary for s in published(kube).shards)


async def test_an_epoch_is_never_taken_back() -> None:
    kube, publisher = await a_publisher()
    await publisher.shard("apps", "shop", a_route(epoch=5))
    with pytest.raises(Conflict, match="epoch 4"):
        await publisher.shard("apps", "shop", a_route(epoch=4))
    assert published(kube).version == 2


async def test_a_leader_of_an_earlier_term_cannot_publish() -> None:
    kube, _ = await a_publisher(term=7)
    with pytest.raises(LeaseLost, match="term 7"):
        await Publisher(kube, lambda: 6).shard("apps", "shop", a_route())
    await Publisher(kube, lambda: 8).shard("apps", "shop", a_route())
    assert published(kube).version == 2


async def test_a_table_that_exists_is_not_made_anew() -> None:
    kube, publisher = await a_publisher()
    await publisher.shard("apps", "shop", a_route())
    await publisher.create(a_keyspace(kube), a_table())
    assert published(kube).version == 2


async def test_rules_leave_the_shards_as_they_are() -> None:
    kube, publisher = await a_publisher()
    await publisher.shard("apps", "shop", a_route())
    await publisher.rules(a_keyspace(kube), replace(a_table(), default_sharding_key="id"))
    assert published(kube).default_sharding_key == "id"
    assert published(kube).shard("shop-0-2048") == a_route()


async def test_without_a_table_nothing_is_published() -> None:
    with pytest.raises(NotFound):
        await Publisher(FakeKube(), lambda: 1).shard("apps", "shop", a_route())


def test_a_shard_with_other_slots_takes_the_place_of_one_that_is_gone() -> None:
    narrow = SlotRange(0, 1024)
    table = with_route(a_table(), a_route(narrow))
    assert table.problems() == ()
    assert [s.name for s in table.shards] == ["shop-0-1024", "shop-1024-2048", "shop-2048-4096"]


def test_a_shard_cannot_take_slots_of_one_that_has_instances() -> None:
    table = with_route(a_table(), a_route(LOW))
    with pytest.raises(Conflict, match="shop-0-2048 holds"):
        with_route(table, a_route(SlotRange(1024, 2048)))
