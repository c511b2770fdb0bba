"""Where instances go, in tables: letters are nodes, `a1` lies in IDC a, rack a1."""

from dataclasses import replace

import pytest

from mitosis_operator.models.cluster import Node
from mitosis_operator.models.template import GI, Durability
from mitosis_operator.placement import Chosen, Demand, NoRoom, Placed, place

DEMAND = Demand(
    shard="shop-0-2048",
    primary_idc="a",
    instances=3,
    volume_bytes=64 * GI,
    cpu_millis=250,
    memory_bytes=GI,
)


def a_node(name, **changes):
    """`a1` is in IDC a and rack a1; `a1x` is another node of the same rack."""
    node = Node(name=name, idc=name[0], rack=name[:2], free_volume_bytes=600 * GI)
    return replace(node, **changes)


def nodes(names):
    return [a_node(name) for name in names.split()]


def placed(names):
    return [Placed(f"shop-0-2048-{i}", name) for i, name in enumerate(names.split(), 1)]


def placed_one_by_one(demand, available, count, load=None):
    chosen = []
    for serial in range(1, count + 1):
        answer = place(demand, available, chosen, load)
        assert isinstance(answer, Chosen), answer.message
        chosen.append(Placed(f"{demand.shard}-{serial}", answer.node.name))
    return " ".join(p.node for p in chosen)


@pytest.mark.parametrize(
    ("available", "count", "expected"),
    [
        ("a1 a2 a3 b4 b5", 3, "a1 b4 a2"),
        ("b4 b5 a1 a2", 3, "a1 b4 a2"),
        ("a1 a1x a2 b4", 3, "a1 b4 a2"),
        ("a1 b4 b5", 3, "a1 b4 b5"),
        ("a1 b2 c3", 3, "a1 b2 c3"),
        ("a1 a2 b3 c4 c5", 5, "a1 b3 a2 c4 c5"),
        ("a1 a2 a3 b4 b5 b6", 5, "a1 b4 a2 a3 b5"),
        ("a1 a2 a3", 3, "a1 a2 a3"),
        ("a1 a1x a1y", 3, "a1 a1x a1y"),
        ("a1 a2 a3 a4 b5", 1, "a1"),
    ],
)
def test_a_shard_spreads_over_nodes_racks_and_idcs(available, count, expected):
    demand = replace(DEMAND, instances=count)
    assert placed_one_by_one(demand, nodes(available), count) == expected


@pytest.mark.parametrize(
    ("available", "count", "expected"),
    [
        ("a1 a2 a3 b4 b5", 3, "a1 b4 b5"),
        ("a1 a2 b3 c4", 3, "a1 b3 c4"),
        ("a1 a2 b3", 3, "a1 b3 a2"),
    ],
)
def test_where_only_other_idcs_acknowledge_all_replicas_go_there(available, count, expected):
    demand = replace(DEMAND, instances=count, durability=Durability.IDC)
    assert placed_one_by_one(demand, nodes(available), count) == expected


def test_the_first_instance_lies_in_the_primary_idc_or_nowhere():
    answer = place(DEMAND, nodes("b4 b5"), [])
    assert isinstance(answer, NoRoom)
    assert answer.message == (
        "no node for an instance of shop-0-2048: "
        "b4: the first instance must lie in primaryIDC a; "
        "b5: the first instance must lie in primaryIDC a"
    )


def test_a_further_instance_goes_home_when_none_is_there():
    assert place(DEMAND, nodes("a1 b5 c6"), placed("b4 b5")).node.name == "a1"


def test_no_nodes_at_all_is_said_plainly():
    assert place(DEMAND, [], []).message == (
        "no node for an instance of shop-0-2048: there are no nodes"
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ready": False}, "it is not ready"),
        ({"refuses_pods": "it is cordoned"}, "it is cordoned"),
        ({"free_volume_bytes": 63 * GI}, "it has 63Gi for volumes, 64Gi are needed"),
        ({"free_volume_bytes": -GI}, "it has 0 bytes for volumes, 64Gi are needed"),
        ({"largest_volume_bytes": 32 * GI}, "it has 32Gi for volumes, 64Gi are needed"),
        ({"free_cpu_millis": 200}, "it has 200m CPU left, 250m are needed"),
        ({"free_memory_bytes": GI // 2}, "it has 512Mi memory left, 1Gi are needed"),
    ],
)
def test_a_node_that_will_not_do_is_named_with_the_reason(changes, reason):
    answer = place(DEMAND, [a_node("a1", **changes)], [])
    assert isinstance(answer, NoRoom)
    assert answer.message.endswith(f": a1: {reason}")


@pytest.mark.parametrize(
    "changes",
    [
        {"free_volume_bytes": None},
        {"free_volume_bytes": 64 * GI, "largest_volume_bytes": 64 * GI},
        {"free_cpu_millis": 250, "free_memory_bytes": GI},
    ],
)
def test_a_node_with_just_enough_or_unknown_room_will_do(changes):
    assert place(DEMAND, [a_node("a1", **changes)], []).node.name == "a1"


def test_two_instances_never_share_a_node():
    answer = place(DEMAND, nodes("a1"), placed("a1"))
    assert isinstance(answer, NoRoom)
    assert answer.message.endswith("a1: it holds shop-0-2048-1")


@pytest.mark.parametrize(
    ("available", "before", "compromise"),
    [
        ("a1 a1x", "a1", "its rack a1 holds shop-0-2048-1"),
        ("a1 a2 a3 b4", "a1 a2 b4", "its IDC a holds 2 instances"),
    ],
)
def test_a_wish_is_given_up_when_nothing_better_is_left_and_said(available, before, compromise):
    answer = place(DEMAND, nodes(available), placed(before))
    assert answer.compromises == (compromise,)


@pytest.mark.parametrize(
    ("available", "before", "reason"),
    [
        ("a1 a1x", "a1", "a1x: its rack a1 holds shop-0-2048-1"),
        ("a1 a2 a3 b4", "a1 a2 b4", "a3: its IDC a holds 2 instances"),
    ],
)
def test_strict_placement_gives_no_wish_up(available, before, reason):
    answer = place(replace(DEMAND, strict=True), nodes(available), placed(before))
    assert isinstance(answer, NoRoom)
    assert reason in answer.message


def test_strict_placement_wants_to_know_racks_and_idcs():
    available = [*nodes("a1 b2"), Node("bare")]
    answer = place(replace(DEMAND, strict=True), available, placed("a1 b2"))
    assert "bare: its rack is unknown; its IDC is unknown" in answer.message


def test_strict_placement_works_where_nobody_labels_racks():
    available = [a_node("a1", rack=""), a_node("a2", rack="")]
    answer = place(replace(DEMAND, strict=True), available, placed("a1"))
    assert answer.node.name == "a2"


def test_racks_of_the_same_name_in_two_idcs_are_two_racks():
    available = [a_node("a1", rack="r1"), a_node("b1", rack="r1")]
    answer = place(DEMAND, available, placed("a1"))
    assert (answer.node.name, answer.compromises) == ("b1", ())


def test_a_node_with_fewer_instances_is_preferred():
    assert place(DEMAND, nodes("a1 a2 a3"), [], {"a1": 2, "a2": 1, "a3": 2}).node.name == "a2"


def test_among_equals_the_node_with_more_room_is_preferred():
    available = [a_node("a1"), a_node("a2", free_volume_bytes=700 * GI)]
    assert place(DEMAND, available, []).node.name == "a2"


def test_the_order_in_which_nodes_are_listed_does_not_matter():
    available = nodes("a1 a2 a3 b4 b5")
    forward = placed_one_by_one(DEMAND, available, 3)
    assert placed_one_by_one(DEMAND, available[::-1], 3) == forward


def test_two_shards_of_the_demo_share_five_nodes_evenly():
    available = nodes("a1 a2 a3 b4 b5")
    first = placed_one_by_one(DEMAND, available, 3)
    load = {name: 1 for name in first.split()}
    second = placed_one_by_one(replace(DEMAND, shard="shop-2048-4096"), available, 3, load)
    assert (first, second) == ("a1 b4 a2", "a3 b5 a1")


def test_an_instance_on_a_node_that_is_gone_still_counts_as_an_instance():
    assert place(DEMAND, nodes("a1 b4"), placed("a9")).node.name == "a1"
