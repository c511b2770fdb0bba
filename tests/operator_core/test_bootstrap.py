"""A keyspace comes up, whatever happens to the operator on the way."""

import pytest

import builders
from mitosis_operator import main
from mitosis_operator.errors import LeaseLost, Unavailable
from mitosis_operator.faults import ANNOTATION, Faults
from mitosis_operator.kube.kinds import KEYSPACE, POD, ROUTING_TABLE, SECRET, SHARD, VOLUME
from mitosis_operator.mysql.instance import Follow, Initialise, Promote
from mitosis_routing.table import Role, ShardState
from operators import Died, FakeLeader, World

SHARD_STEPS = (
    *("record-intent", "add-finalizer", "apply-shared", "make-certificate", "create-volume"),
    *("create-pod", "label-pod", "publish-no-primary", "publish-serving", "initialise"),
    *("promote", "accounts", "clone", "follow"),
)
KEYSPACE_STEPS = ("add-finalizer", "make-system-secret", "create-table", "apply-shard")


async def a_world(**spec: object) -> World:
    world = World()
    await world.kube.create(builders.a_keyspace(**spec))
    return world


async def come_up(world: World, dies_after: str) -> int:
    """Start an operator again and again, as Kubernetes would, until the keyspace is ready."""
    deaths = 0
    for term in range(1, 200):
        try:
            await world.until(world.operator(term, dies_after), world.is_ready)
        except Died:
            deaths += 1
            world.cluster.tick()
        else:
            return deaths
    raise AssertionError(f"no end to it: {world.phases()}")


def assert_serves(world: World) -> None:
    table = world.table()
    assert [s.state for s in table.shards] == [ShardState.SERVING] * 2
    assert table.problems() == ()
    for shard in table.shards:
        roles = sorted(i.role.value for i in shard.instances)
        assert roles == ["primary", "replica", "replica"]
        assert shard.primary is not None and shard.primary.idc == "idc-1"
        assert shard.primary.server_uuid == world.instances[shard.primary.name].server_uuid
        assert [i for i in shard.instances if world.instances[i.name].writable] == [shard.primary]


async def test_a_keyspace_becomes_ready() -> None:
    world = await a_world()
    await world.until(world.operator(), world.is_ready)
    assert_serves(world)
    assert world.kube.one(KEYSPACE, "shop")["status"]["ready"] == "2/2"
    assert world.shard("shop-0-2048")["status"]["ready"] == "3/3"


async def test_one_instance_needs_nobody_to_acknowledge() -> None:
    world = await a_world(instances=1, shards=1)
    await world.until(world.operator(), world.is_ready)
    assert world.table().shards[0].primary is not None
    assert not world.kube.has(POD, "shop-0-4096-2")


async def test_no_client_can_write_before_a_replica_acknowledges() -> None:
    """The table shows a primary only after the promotion that turned semi-sync on."""
    world = await a_world()
    operator = world.operator()
    while not world.is_ready():
        await world.round(operator)
        shards = world.table().shards if world.kube.has(SHARD, "shop-0-2048") else ()
        for shard in shards:
            if shard.primary is not None:
                primary = world.instances[shard.primary.name]
                assert primary.source_enabled and primary.followers() >= 1
    promotions = [o.args for _, o in world.instances.operations if isinstance(o.args, Promote)]
    assert Promote(1, True) in promotions


async def test_the_table_shows_an_epoch_before_any_agent_hears_of_it() -> None:
    world = await a_world()
    operator = world.operator()
    await world.until(operator, lambda: world.kube.has(ROUTING_TABLE, "shop"))
    while not world.is_ready():
        shown = {s.name: s.epoch for s in world.table().shards}
        count = len(world.instances.operations)
        await world.round(operator)
        told = [o for _, o in world.instances.operations[count:]]
        assert [o.epoch for o in told] == [shown[o.shard] for o in told]


@pytest.mark.parametrize("step", SHARD_STEPS)
async def test_the_operator_may_die_after_each_step_of_a_shard(step: str) -> None:
    world = await a_world()
    deaths = await come_up(world, step)
    assert deaths >= 2, "once for each shard"
    assert_serves(world)
    done = world.shard("shop-0-2048")["metadata"]["annotations"][ANNOTATION]
    assert done == step


@pytest.mark.parametrize("step", KEYSPACE_STEPS)
async def test_the_operator_may_die_after_each_step_of_a_keyspace(step: str) -> None:
    world = await a_world()
    assert await come_up(world, step) >= 1
    assert_serves(world)


async def test_the_operator_may_die_after_every_single_step() -> None:
    world = await a_world()
    assert await come_up(world, "*") >= 2 * len(SHARD_STEPS)
    assert_serves(world)
    initialised = [o for _, o in world.instances.operations if o.args == Initialise()]
    assert len(initialised) == 2, "one empty server for each shard, whoever asked"


async def test_two_operators_at_once_do_what_one_does() -> None:
    world = await a_world()
    first, second = world.operator(1), world.operator(1)
    for _ in range(40):
        if world.is_ready():
            break
        await world.round(first)
        await world.round(second)
    assert_serves(world)
    assert len(world.kube.all(POD)) == len(world.kube.all(VOLUME)) == 6
    initialised = [o for _, o in world.instances.operations if o.args == Initialise()]
    assert len(initialised) == 2


async def test_a_leader_that_was_replaced_publishes_nothing() -> None:
    world = await a_world()
    old, new = world.operator(1), world.operator(2)
    await world.until(new, world.is_ready)
    world.cluster.kill_node("node-1")
    version = world.table().version
    with pytest.raises(LeaseLost):
        await world.rounds(old, 3)
    assert world.table().version == version


async def test_a_process_without_the_lease_does_nothing() -> None:
    world = await a_world()
    leader = FakeLeader()
    operator = main.build(
        world.settings, world.kube, leader, world.instances, Faults(world.kube, "")
    )
    await operator.resync.once()
    leader.is_held = False
    written = len(world.kube.writes)
    for key in operator.intake.everything():
        with pytest.raises(LeaseLost):
            await operator.passes.run(key)
    assert len(world.kube.writes) == written


async def test_nothing_is_written_when_nothing_changes() -> None:
    world = await a_world()
    operator = world.operator()
    await world.until(operator, world.is_ready)
    await world.rounds(operator, 3)
    written = len(world.kube.writes)
    await world.rounds(operator, 5)
    assert world.kube.writes[written:] == []


@pytest.mark.parametrize("every", [13, 29])
async def test_the_api_server_may_fail_now_and_then(every: int) -> None:
    world = await a_world()
    operator = world.operator()
    for number in range(300):
        if world.is_ready():
            break
        world.kube.breaks_in = 1 + (number * 7) % every
        try:
            await world.round(operator)
        except Unavailable:  # as a worker does: the pass has failed and comes again
            world.cluster.tick()
    assert_serves(world)


async def test_replicas_are_placed_and_labelled() -> None:
    world = await a_world()
    operator = world.operator()
    await world.until(operator, world.is_ready)
    await world.rounds(operator, 2)
    pods = {p["metadata"]["name"]: p for p in world.kube.all(POD)}
    roles = {name: p["metadata"]["labels"]["mitosis.dev/role"] for name, p in pods.items()}
    assert sorted(roles.values()) == ["primary"] * 2 + ["replica"] * 4
    nodes = {p["spec"]["nodeName"] for n, p in pods.items() if n.startswith("shop-0-2048-")}
    assert len(nodes) == 3
    assert world.kube.has(SECRET, "shop-0-2048-1-tls")
    assert Role.PRIMARY.value == roles["shop-0-2048-1"]


async def test_an_operation_is_asked_once_for_one_wish() -> None:
    world = await a_world()
    await world.until(world.operator(), world.is_ready)
    ids = [operation.id for _, operation in world.instances.operations]
    assert len(ids) == len(set(ids))
    follows = [o for _, o in world.instances.operations if isinstance(o.args, Follow)]
    assert len(follows) == 4
