"""A node that loses power and returns: its shard says why it is not writable, and loses nothing."""

import pytest
from ledger import Ledger
from waiting import wait_until
from world import Login, condition, get, local, wait_ready

pytestmark = pytest.mark.e2e
SHARD, OTHER = "shop-2048-4096", "shop-0-2048"
GATES = "app.kubernetes.io/component=gate"


def _node_of(instance: str) -> str:
    return str(get("pod", instance)["spec"]["nodeName"])


def test_the_primarys_node_dies_and_returns(shop: Login, ledger: Ledger) -> None:
    primaries = {s: str(get("shard", s)["status"]["primary"]) for s in (SHARD, OTHER)}
    node = _node_of(primaries[SHARD])
    hit = [s for s, primary in primaries.items() if _node_of(primary) == node]
    local("kill", node)
    try:
        for shard in hit:

            def not_writable(shard: str = shard) -> str | None:
                seen = condition(get("shard", shard), "Writable")
                return seen["message"] if seen.get("status") == "False" else None

            message = wait_until("Writable=False", not_writable, seconds=120, every=1)
            assert primaries[shard] in message
        for shard in primaries.keys() - hit:
            assert condition(get("shard", shard), "Writable")["status"] == "True"
    finally:
        local("start", node)
    for shard, primary in primaries.items():
        wait_ready("shard", shard, seconds=300)
        assert get("shard", shard)["status"]["primary"] == primary, "nobody fails over here yet"
    ledger.wait_for_more(100)
    ledger.verify()


def test_a_frozen_replica_does_not_stop_writes(shop: Login, ledger: Ledger) -> None:
    spared = {_node_of(get("shard", s)["status"]["primary"]) for s in (SHARD, OTHER)}
    gates = {pod["spec"]["nodeName"] for pod in get("pods", selector=GATES)}
    instances = [i for s in (SHARD, OTHER) for i in get("shard", s)["status"]["instances"]]
    nodes = [i["node"] for i in instances if i["role"] == "replica" and i["node"] not in spared]
    node = next((n for n in nodes if n not in gates), nodes[0])
    local("freeze", node)
    try:
        # with a gate on it, its clients go on when Kubernetes has missed the node for 40 s
        ledger.wait_for_more(200, seconds=180)
    finally:
        local("thaw", node)
    ledger.verify()
