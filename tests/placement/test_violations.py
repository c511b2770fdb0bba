from dataclasses import replace

import pytest

from mitosis_operator.models.cluster import Node
from mitosis_operator.models.template import InstanceTemplate
from mitosis_operator.placement import Placed, violations

TEMPLATE = InstanceTemplate(primary_idc="a")
NODES = [Node(n, idc=n[0], rack=n[:2]) for n in ("a1", "a1x", "a2", "a3", "b4", "b5")]


def placed(names):
    return [Placed(f"s-{i}", name) for i, name in enumerate(names.split(), 1)]


@pytest.mark.parametrize(
    ("names", "primary", "expected"),
    [
        ("", "", ()),
        ("a1 b4 a2", "s-1", ()),
        ("a1 b4 b5", "s-1", ()),
        ("a1 a1x b4", "s-1", ("s-1 and s-2 lie in one rack: a/a1",)),
        ("a1 a1 b4", "", ("s-1 and s-2 lie in one node: a1", "s-1 and s-2 lie in one rack: a/a1")),
        ("a1 a2 a3", "s-1", ("IDC a holds 3 instances, more than 2",)),
        ("a1 b4 a2", "s-2", ("the primary s-2 lies in IDC b, not in a",)),
        ("a1 b4 gone", "s-1", ("s-3 lies on node gone, which the cluster does not have",)),
    ],
)
def test_broken_rules_are_said_in_sentences(names, primary, expected):
    assert violations(TEMPLATE, placed(names), NODES, primary) == expected


def test_five_instances_in_two_idcs_lie_well_when_they_are_spread_evenly():
    five = replace(TEMPLATE, instances=5)
    assert violations(five, placed("a1 a2 a3 b4 b5"), NODES, "s-1") == ()


def test_one_idc_is_enough_where_there_is_one():
    nodes = [n for n in NODES if n.idc == "a"]
    assert violations(TEMPLATE, placed("a1 a2 a3"), nodes, "s-1") == ()


def test_a_node_that_lost_its_labels_is_named():
    nodes = [*NODES, Node("bare")]
    assert violations(TEMPLATE, placed("a1 b4 bare"), nodes, "s-1") == (
        "the rack of s-3 is unknown: label node bare with it",
        "the IDC of s-3 is unknown: label node bare with it",
    )


def test_labels_that_nobody_uses_are_not_missed():
    nodes = [Node(n) for n in ("x", "y", "z")]
    assert violations(TEMPLATE, placed("x y z"), nodes) == ()
