import ipaddress

import pytest

from mitosis_local.errors import LocalError
from mitosis_local.topology import GATEWAY, MAX_NODES, node_named, topology


def test_three_nodes_lie_in_each_idc_and_each_has_a_rack_of_its_own() -> None:
    nodes = topology(5)
    assert [node.idc for node in nodes] == ["idc-1", "idc-1", "idc-1", "idc-2", "idc-2"]
    assert [node.rack for node in nodes] == ["r1", "r2", "r3", "r4", "r5"]


def test_no_two_nodes_share_an_address_or_a_pod_network() -> None:
    nodes = topology(MAX_NODES)
    assert len({node.address for node in nodes} | {GATEWAY}) == MAX_NODES + 1
    networks = [ipaddress.ip_network(node.pod_network) for node in nodes]
    overlaps = [(a, b) for a in networks for b in networks if a != b and a.overlaps(b)]
    assert overlaps == []


def test_the_kernel_accepts_the_name_of_every_link() -> None:
    assert all(len(node.link) <= 15 for node in topology(MAX_NODES))


@pytest.mark.parametrize("count", [0, -1, MAX_NODES + 1])
def test_a_number_of_nodes_that_is_not_possible_is_refused(count: int) -> None:
    with pytest.raises(LocalError, match=f"choose 1 to {MAX_NODES}"):
        topology(count)


def test_an_unknown_node_is_answered_with_those_that_exist() -> None:
    with pytest.raises(LocalError, match="node-1, node-2"):
        node_named("node-7", topology(2))
