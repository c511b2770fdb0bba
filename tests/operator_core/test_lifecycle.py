"""What happens to a keyspace that runs: pods, nodes, passwords, deletion, and what is refused."""

import copy
from typing import Any

import builders
from mitosis_operator import main
from mitosis_operator.kube.kinds import EVENT, KEYSPACE, POD, ROUTING_TABLE, SECRET, SHARD, VOLUME
from mitosis_operator.mysql.instance import Accounts, Promote, Verb
from mitosis_routing.table import Role, ShardState, UniqueKeys
from operators import World

ONE = "shop-0-4096"


async def a_ready_world(**spec: Any) -> tuple[World, main.Operator]:
    world = World()
    operator = world.operator()
    await world.kube.create(builders.a_keyspace(**({"shards": 1} | spec)))
    await world.until(operator, world.is_ready)
    await world.rounds(operator, 2)
    return world, operator


def change(world: World, name: str = "shop", **spec: Any) -> None:
    """As kubectl apply of an edited Keyspace."""
    body = copy.deepcopy(world.kube.one(KEYSPACE, name))
    body["spec"] |= spec
    body["metadata"]["generation"] += 1
    world.kube.put(body)


def set_password(world: World, text: str) -> None:
    world.kube.put({**builders.a_secret(password=text), "metadata": _meta(world)})


def _meta(world: World) -> dict[str, Any]:
    known = world.kube.objects.get(("Secret", "apps", "app-password"))
    return dict((known or builders.a_secret())["metadata"])


def is_serving(world: World) -> bool:
    return world.table().shards[0].state is ShardState.SERVING


def host_of(world: World, instance: str) -> str:
    """The address that gates are told."""
    return next(i.host for i in world.table().shards[0].instances if i.name == instance)


def writable(world: World) -> dict[str, str]:
    return world.condition(world.shard(ONE), "Writable")


async def test_a_deleted_pod_of_a_replica_comes_back_on_its_volume() -> None:
    world, operator = await a_ready_world()
    before = world.kube.one(VOLUME, f"{ONE}-2")["metadata"]["uid"]
    address = world.instances[f"{ONE}-2"].ip
    world.cluster.restart_pod(f"{ONE}-2")
    await world.until(operator, lambda: host_of(world, f"{ONE}-2") not in ("", address))
    await world.until(operator, lambda: world.shard(ONE)["status"]["ready"] == "3/3")
    assert is_serving(world)
    assert world.kube.one(VOLUME, f"{ONE}-2")["metadata"]["uid"] == before
    assert host_of(world, f"{ONE}-2") == world.instances[f"{ONE}-2"].ip


async def test_what_becomes_of_unique_keys_can_be_changed_later() -> None:
    world, operator = await a_ready_world()
    assert world.table().unique_keys is UniqueKeys.WARN
    change(world, uniqueKeys="strict")
    await world.until(operator, lambda: world.table().unique_keys is UniqueKeys.STRICT)


async def test_writes_go_on_while_one_replica_is_away() -> None:
    world, operator = await a_ready_world()
    replica = world.instances[f"{ONE}-2"]
    node = world.kube.one(POD, replica.name)["spec"]["nodeName"]
    world.cluster.kill_node(node)
    await world.rounds(operator, 3)
    assert is_serving(world)
    assert world.condition(world.shard(ONE), "Replicated")["status"] == "False"
    assert world.shard(ONE)["status"]["phase"] == "Degraded"
    roles = {i.name: i.role for i in world.table().shards[0].instances}
    assert roles[replica.name] is Role.NONE


async def test_a_primary_whose_pod_was_deleted_is_primary_again_at_the_same_epoch() -> None:
    world, operator = await a_ready_world()
    world.cluster.restart_pod(f"{ONE}-1")
    await world.rounds(operator, 2)
    await world.until(operator, lambda: is_serving(world) and world.is_ready())
    primary = world.table().shards[0].primary
    assert primary is not None and primary.name == f"{ONE}-1"
    assert world.table().shards[0].epoch == 1
    assert primary.host == world.instances[f"{ONE}-1"].ip
    for serial in (2, 3):
        source = world.instances[f"{ONE}-{serial}"].source
        assert source is not None and source.source_host == primary.host


async def test_a_restarted_primary_waits_for_acknowledgements() -> None:
    """Once clients have written, no promotion goes without replicas."""
    world, operator = await a_ready_world()
    count = len(world.instances.operations)
    world.instances[f"{ONE}-1"].kill_mysqld()
    await world.rounds(operator, 1)
    assert not is_serving(world)
    await world.until(operator, lambda: is_serving(world))
    promotions = [o.args for _, o in world.instances.operations[count:] if o.verb is Verb.PROMOTE]
    assert set(promotions) == {Promote(min_acks=1, semi_sync=True)}


async def test_a_shard_says_that_the_node_of_its_primary_is_down_and_recovers() -> None:
    world, operator = await a_ready_world()
    node = world.kube.one(POD, f"{ONE}-1")["spec"]["nodeName"]
    world.cluster.kill_node(node)
    await world.rounds(operator, 3)
    assert writable(world)["status"] == "False"
    assert writable(world)["reason"] == "PrimaryNodeDown"
    assert node in writable(world)["message"]
    assert world.table().shards[0].primary is None
    assert node in world.table().shards[0].reason
    world.cluster.start_node(node)
    await world.until(operator, lambda: is_serving(world) and world.is_ready())
    assert world.table().shards[0].epoch == 1


async def test_an_agent_that_does_not_answer_costs_no_writes() -> None:
    """Kubernetes calls the pod ready: a lost answer is no lost primary."""
    world, operator = await a_ready_world()
    version = world.table().version
    world.instances[f"{ONE}-1"].reachable = False
    await world.rounds(operator, 3)
    assert is_serving(world) and world.table().version == version
    assert writable(world)["status"] == "Unknown"


async def test_a_stuck_pod_on_a_dead_node_is_waited_for() -> None:
    world, operator = await a_ready_world()
    node = world.kube.one(POD, f"{ONE}-1")["spec"]["nodeName"]
    uid = world.kube.one(POD, f"{ONE}-1")["metadata"]["uid"]
    world.cluster.kill_node(node)
    world.cluster.restart_pod(f"{ONE}-1")
    await world.rounds(operator, 5)
    assert world.kube.one(POD, f"{ONE}-1")["metadata"]["uid"] == uid
    assert writable(world)["reason"] == "PrimaryNodeDown"


async def test_a_replica_that_lost_its_volume_is_made_anew() -> None:
    world, operator = await a_ready_world()
    await world.kube.delete(world.kube.one(VOLUME, f"{ONE}-3"))
    world.cluster.restart_pod(f"{ONE}-3")
    await world.rounds(operator, 3)
    await world.until(operator, lambda: world.shard(ONE)["status"]["ready"] == "3/3")
    assert is_serving(world)


async def test_a_primary_that_lost_its_volume_is_not_replaced_by_an_empty_one() -> None:
    world, operator = await a_ready_world()
    await world.kube.delete(world.kube.one(VOLUME, f"{ONE}-1"))
    world.cluster.restart_pod(f"{ONE}-1")
    await world.rounds(operator, 6)
    assert not world.kube.has(VOLUME, f"{ONE}-1")
    assert writable(world)["reason"] == "PrimaryVolumeLost"
    assert not any(i.writable for i in world.instances.instances.values())


async def test_a_changed_password_reaches_the_primary_and_the_gates() -> None:
    world, operator = await a_ready_world()
    before = world.table().users[0].version
    set_password(world, "another")
    again = world.operator()  # as the watch would: nothing is remembered of the old Secret
    await world.rounds(again, 3)
    made = world.instances[f"{ONE}-1"].accounts
    assert made is not None and made.users[0].password == "another"
    assert world.table().users[0].version != before


async def test_nothing_is_begun_before_the_passwords_are_there() -> None:
    world = World()
    del world.kube.objects["Secret", "apps", "app-password"]
    await world.kube.create(builders.a_keyspace(shards=1))
    await world.rounds(world.operator(), 3)
    told = world.condition(world.kube.one(KEYSPACE, "shop"), "Accepted")
    assert told["status"] == "False" and "app-password" in told["message"]
    assert not world.kube.has(ROUTING_TABLE, "shop") and not world.kube.has(SHARD, ONE)
    world.kube.put(builders.a_secret())
    await world.until(world.operator(), lambda: is_serving_soon(world))
    made = world.instances[f"{ONE}-1"].accounts
    assert made is not None and [u.name for u in made.users] == ["app"]


def is_serving_soon(world: World) -> bool:
    return world.kube.has(ROUTING_TABLE, "shop") and is_serving(world)


async def test_a_password_that_goes_missing_later_locks_nobody_out() -> None:
    world, _ = await a_ready_world()
    del world.kube.objects["Secret", "apps", "app-password"]
    count = len(world.instances.operations)
    again = world.operator()
    await world.rounds(again, 4)
    asked = [o for _, o in world.instances.operations[count:] if isinstance(o.args, Accounts)]
    assert asked == []
    assert is_serving(world)
    assert world.condition(world.shard(ONE), "UsersReady")["reason"] == "MissingPassword"


async def test_a_deleted_keyspace_keeps_its_volumes() -> None:
    world, operator = await a_ready_world()
    await world.kube.delete(world.kube.one(KEYSPACE, "shop"))
    await world.until(operator, lambda: not world.kube.has(KEYSPACE, "shop"))
    await world.rounds(operator, 2)
    states = [v["metadata"]["labels"]["mitosis.dev/state"] for v in world.kube.all(VOLUME)]
    assert states == ["retired"] * 3
    assert world.kube.all(POD) == () and world.kube.all(SHARD) == ()
    assert not world.kube.has(ROUTING_TABLE, "shop")
    assert not world.kube.has(SECRET, "shop-system")


async def test_a_new_keyspace_of_the_same_name_leaves_retired_volumes_alone() -> None:
    world, operator = await a_ready_world()
    await world.kube.delete(world.kube.one(KEYSPACE, "shop"))
    await world.until(operator, lambda: not world.kube.has(KEYSPACE, "shop"))
    await world.kube.create(builders.a_keyspace(shards=1))
    again = world.operator()
    await world.until(again, world.is_ready)
    primary = world.table().shards[0].primary
    assert primary is not None and primary.name == f"{ONE}-4"


async def test_deletion_policy_delete_deletes_the_volumes() -> None:
    world, operator = await a_ready_world(deletionPolicy="Delete")
    await world.kube.delete(world.kube.one(KEYSPACE, "shop"))
    await world.until(operator, lambda: not world.kube.has(KEYSPACE, "shop"))
    await world.rounds(operator, 2)
    assert world.kube.all(VOLUME) == ()


async def test_a_volume_is_not_retired_while_its_pod_may_write() -> None:
    world, operator = await a_ready_world()
    node = world.kube.one(POD, f"{ONE}-1")["spec"]["nodeName"]
    world.cluster.kill_node(node)
    await world.kube.delete(world.kube.one(KEYSPACE, "shop"))
    await world.rounds(operator, 6)
    assert world.kube.has(SHARD, ONE)
    state = world.kube.one(VOLUME, f"{ONE}-1")["metadata"]["labels"]["mitosis.dev/state"]
    assert state == "active"
    assert f"{ONE}-1" in world.shard(ONE)["status"]["phaseReason"]


async def test_a_deleted_shard_is_not_made_again_empty() -> None:
    world, operator = await a_ready_world(shards=2)
    await world.kube.delete(world.kube.one(SHARD, "shop-0-2048"))
    await world.until(operator, lambda: not world.kube.has(SHARD, "shop-0-2048"))
    await world.rounds(operator, 3)
    assert not world.kube.has(SHARD, "shop-0-2048")
    status = world.kube.one(KEYSPACE, "shop")["status"]
    assert status["phase"] == "Unavailable" and "0-2048" in status["phaseReason"]
    assert world.table().problems() == ()
    gone = world.table().shard("shop-0-2048")
    assert gone is not None and gone.primary is None


async def test_a_deleted_shard_can_be_applied_again() -> None:
    world, operator = await a_ready_world(shards=2)
    await world.kube.delete(world.kube.one(SHARD, "shop-0-2048"))
    await world.until(operator, lambda: not world.kube.has(SHARD, "shop-0-2048"))
    await world.kube.create(builders.a_shard("shop", 0, 2048))
    await world.until(operator, world.is_ready)
    route = world.table().shard("shop-0-2048")
    assert route is not None and route.primary is not None
    assert route.epoch > 1, "epochs of an earlier shard of this name are over"


async def test_an_overlapping_shard_is_refused_and_nothing_is_made() -> None:
    world, operator = await a_ready_world(shards=2)
    await world.kube.create(builders.a_shard("shop", 1024, 3072))
    await world.rounds(operator, 3)
    shard = world.shard("shop-1024-3072")
    assert shard["status"]["phase"] == "Refused"
    assert world.condition(shard, "Accepted")["reason"] == "OverlappingRange"
    assert not any("1024-3072" in v["metadata"]["name"] for v in world.kube.all(VOLUME))
    assert [s.name for s in world.table().shards] == ["shop-0-2048", "shop-2048-4096"]
    assert world.is_ready(), "a refused newcomer is no fault of the keyspace"


async def test_a_shard_of_an_unknown_keyspace_is_refused_until_that_exists() -> None:
    world = World()
    operator = world.operator()
    await world.kube.create(builders.a_shard("shop", 0, 4096))
    await world.rounds(operator, 2)
    assert world.condition(world.shard(ONE), "Accepted")["reason"] == "UnknownKeyspace"
    assert world.kube.all(VOLUME) == ()
    await world.kube.create(builders.a_keyspace(shards=1))
    await world.until(operator, world.is_ready)


async def test_a_bad_keyspace_is_refused_and_nothing_is_made() -> None:
    world = World()
    operator = world.operator()
    await world.kube.create(builders.a_keyspace(slots=1000))
    await world.rounds(operator, 3)
    keyspace = world.kube.one(KEYSPACE, "shop")
    assert keyspace["status"]["phase"] == "Refused"
    accepted = world.condition(keyspace, "Accepted")
    assert accepted["status"] == "False" and "power of two" in accepted["message"]
    assert world.kube.all(SHARD) == () and not world.kube.has(SECRET, "shop-system")


async def test_a_storage_class_that_cannot_grow_is_accepted_with_a_warning() -> None:
    world = World()
    world.kube.put(builders.a_storage_class(expandable=False))
    operator = world.operator()
    await world.kube.create(builders.a_keyspace(shards=1))
    await world.until(operator, world.is_ready)
    accepted = world.condition(world.kube.one(KEYSPACE, "shop"), "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "StorageCannotGrow")
    warnings = [e for e in world.kube.all(EVENT) if e["reason"] == "StorageCannotGrow"]
    assert {e["type"] for e in warnings} == {"Warning"}


async def test_no_room_names_the_nodes_and_why() -> None:
    world = World(builders.six_nodes()[:2])
    operator = world.operator()
    await world.kube.create(builders.a_keyspace(shards=1))
    await world.rounds(operator, 12)
    shard = world.shard(ONE)
    told = world.condition(shard, "NoRoom")
    assert told["status"] == "True" and "node-1" in told["message"]
    assert is_serving(world), "one replica acknowledges: writes need no third instance"
    assert shard["status"]["phase"] == "Degraded"
    world.kube.put(builders.a_node("node-9", "idc-2", "r9"))
    await world.until(operator, world.is_ready)


async def test_an_image_that_cannot_be_pulled_is_told() -> None:
    world = World()
    world.cluster.unpullable.add("mysql:nowhere")
    operator = world.operator()
    await world.kube.create(builders.a_keyspace(shards=1, mysql={"image": "mysql:nowhere"}))
    await world.rounds(operator, 4)
    status = world.shard(ONE)["status"]
    assert "mysql:nowhere cannot be pulled" in status["phaseReason"]
    assert status["phase"] == "Creating"


async def test_a_paused_shard_is_left_as_it_is() -> None:
    world, operator = await a_ready_world()
    change(world, paused=True)
    await world.rounds(operator, 2)
    world.cluster.restart_pod(f"{ONE}-2")
    await world.rounds(operator, 3)
    assert not world.kube.has(POD, f"{ONE}-2")
    assert world.condition(world.shard(ONE), "Paused")["status"] == "True"
    change(world, paused=False)
    await world.until(operator, lambda: world.kube.has(POD, f"{ONE}-2") and world.is_ready())


async def test_a_changed_template_reaches_the_shards_that_the_keyspace_made() -> None:
    world, operator = await a_ready_world()
    change(world, mysql={"config": {"max_connections": "300"}})
    await world.rounds(operator, 2)
    assert world.shard(ONE)["spec"]["mysql"]["config"] == {"max_connections": "300"}


async def test_a_changed_image_restarts_nothing_and_says_what_to_do() -> None:
    world, operator = await a_ready_world()
    change(world, mysql={"image": "mitosis-instance:2"})
    await world.rounds(operator, 3)
    told = world.condition(world.shard(ONE), "UpToDate")
    assert told["status"] == "False" and f"{ONE}-3" in told["message"]
    assert is_serving(world)
    address = host_of(world, f"{ONE}-2")
    world.cluster.restart_pod(f"{ONE}-2")
    await world.until(operator, lambda: host_of(world, f"{ONE}-2") not in ("", address))
    await world.until(operator, lambda: world.shard(ONE)["status"]["ready"] == "3/3")
    assert f"{ONE}-2" not in world.condition(world.shard(ONE), "UpToDate")["message"]


async def test_more_instances_are_made_when_the_keyspace_asks_for_them() -> None:
    world, operator = await a_ready_world(instances=1)
    assert world.instances[f"{ONE}-1"].source_enabled is False
    change(world, instances=3)
    await world.until(operator, lambda: world.shard(ONE)["status"].get("ready") == "3/3")
    assert world.instances[f"{ONE}-1"].source_enabled is True
    assert is_serving(world)


async def test_with_durability_idc_only_the_other_idc_acknowledges() -> None:
    world, _ = await a_ready_world(durability="idc")
    primary = world.table().shards[0].primary
    assert primary is not None
    for instance in world.table().shards[0].instances:
        if instance.name != primary.name:
            acknowledges = world.instances[instance.name].replica_enabled
            assert acknowledges is (instance.idc != primary.idc)
