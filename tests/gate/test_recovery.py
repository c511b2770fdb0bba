"""Which prepared branches a gate ends, and when."""

from mitosis_gate.executor.xids import Xid, new_gtrid
from mitosis_gate.recovery import Branch, due
from mitosis_routing.keyspace import SlotRange


def a_branch(gtrid: bytes = b"", shard: str = "shop-16-32") -> Branch:
    return Branch("shop", shard, Xid(gtrid or new_gtrid(SlotRange(0, 16)), b"16-32"))


def test_a_branch_is_left_to_its_gate_for_some_seconds() -> None:
    branch = a_branch()
    assert due({branch: 100.0}, (), now=104.9, settle_seconds=5) == []
    assert due({branch: 100.0}, (), now=105.0, settle_seconds=5) == [branch]


def test_a_transaction_whose_commit_runs_here_is_nobody_elses() -> None:
    branch, other = a_branch(), a_branch()
    seen = {branch: 100.0, other: 100.0}
    assert due(seen, {branch.xid.gtrid}, now=200, settle_seconds=5) == [other]


def test_each_branch_of_a_transaction_is_settled() -> None:
    one = a_branch()
    two = a_branch(one.xid.gtrid, "shop-32-48")
    assert due({one: 1.0, two: 1.0}, (), now=9, settle_seconds=5) == [one, two]
