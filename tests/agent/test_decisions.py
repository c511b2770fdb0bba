"""Which operations an agent begins: what it remembers, what is asked, the answer."""

from dataclasses import replace

import pytest

from mitosis_operator.agent import decisions
from mitosis_operator.agent.state import Memory
from mitosis_operator.mysql.instance import (
    Accounts,
    Arguments,
    Clone,
    DataState,
    Fence,
    Follow,
    Initialise,
    Operation,
    OperationState,
    Progress,
    Promote,
    Restart,
    Role,
    Verb,
)

SHARD = "shop-0-4096"
EMPTY = Memory("shop", SHARD, f"{SHARD}-1")
GOOD = replace(EMPTY, data_state=DataState.GOOD, epoch=5, lease=2)
PRIMARY = replace(GOOD, role=Role.PRIMARY)
REPLICA = replace(GOOD, role=Role.REPLICA)
FENCED = replace(GOOD, fenced_epoch=5)
CLONING = replace(GOOD, data_state=DataState.CLONING)
INITIALISING = replace(EMPTY, data_state=DataState.INITIALISING)
FOREIGN = replace(EMPTY, data_state=DataState.UNKNOWN)
BUSY = GOOD.with_operation(OperationState("other", Verb.CLONE, Progress.RUNNING))

PROMOTE = Promote(1, True)
FOLLOW = Follow("10.0.0.1", 3306, f"{SHARD}-2", True)
CLONE = Clone("10.0.0.1", 3306, f"{SHARD}-2")
RECLONE = replace(CLONE, discard_gtid="")
ACCOUNTS = Accounts("shop", (), (1,), "h")

CASES: list[tuple[Memory, Arguments, int, int, str]] = [
    # remembered, asked, epoch, lease, part of the reason ("" = it begins)
    (GOOD, FOLLOW, 5, 2, ""),
    (GOOD, FOLLOW, 4, 2, "epoch 4 is over"),
    (GOOD, FOLLOW, 4, 9, "epoch 4 is over"),
    (GOOD, FOLLOW, 5, 1, "deposed"),
    (GOOD, FOLLOW, 5, 3, ""),
    (GOOD, FOLLOW, 6, 0, ""),
    (GOOD, Fence(), 4, 2, "epoch 4 is over"),
    (GOOD, Fence(), 5, 1, "deposed"),
    (BUSY, FOLLOW, 5, 2, "operation other (clone) is still running"),
    (BUSY, FOLLOW, 6, 2, "operation other (clone) is still running"),
    (BUSY, Fence(), 5, 2, ""),
    (EMPTY, Initialise(), 1, 1, ""),
    (INITIALISING, Initialise(), 1, 1, ""),
    (CLONING, Initialise(), 5, 2, "the volume is cloning"),
    (GOOD, Initialise(), 5, 2, "the volume is good"),
    (EMPTY, CLONE, 1, 1, ""),
    (INITIALISING, CLONE, 1, 1, ""),
    (CLONING, CLONE, 5, 2, ""),
    (GOOD, CLONE, 5, 2, "the volume is good"),
    (GOOD, RECLONE, 5, 2, ""),
    (PRIMARY, RECLONE, 5, 2, "the primary of epoch 5"),
    (PRIMARY, RECLONE, 6, 2, ""),
    (FOREIGN, Initialise(), 1, 1, "belongs to somebody else"),
    (FOREIGN, Fence(), 1, 1, "belongs to somebody else"),
    (FOREIGN, RECLONE, 1, 1, "belongs to somebody else"),
    (GOOD, PROMOTE, 5, 2, ""),
    (PRIMARY, PROMOTE, 5, 2, ""),
    (REPLICA, PROMOTE, 5, 2, "a replica in epoch 5"),
    (REPLICA, PROMOTE, 6, 2, ""),
    (FENCED, PROMOTE, 5, 2, "fenced at epoch 5"),
    (FENCED, PROMOTE, 6, 2, ""),
    (EMPTY, PROMOTE, 1, 1, "the data of this volume is empty"),
    (CLONING, PROMOTE, 5, 2, "the data of this volume is cloning"),
    (INITIALISING, PROMOTE, 1, 1, "the data of this volume is initialising"),
    (CLONING, FOLLOW, 5, 2, "the data of this volume is cloning"),
    (PRIMARY, FOLLOW, 5, 2, "the primary of epoch 5"),
    (PRIMARY, FOLLOW, 6, 2, ""),
    (FENCED, FOLLOW, 5, 2, ""),
    (GOOD, ACCOUNTS, 5, 2, ""),
    (PRIMARY, ACCOUNTS, 5, 2, ""),
    (PRIMARY, ACCOUNTS, 6, 2, "not yet of epoch 6"),
    (REPLICA, ACCOUNTS, 6, 2, "accounts are written on the primary"),
    (EMPTY, ACCOUNTS, 1, 1, "the data of this volume is empty"),
    (PRIMARY, Restart(), 5, 2, ""),
]


@pytest.mark.parametrize(("memory", "args", "epoch", "lease", "reason"), CASES)
def test_an_operation_begins_or_says_why_not(
    memory: Memory, args: Arguments, epoch: int, lease: int, reason: str
) -> None:
    found = decisions.refusal(memory, Operation("op", epoch, lease, SHARD, args))
    assert (reason in found) if found and reason else (found or "") == reason


def test_an_operation_for_another_shard_is_refused() -> None:
    found = decisions.refusal(GOOD, Operation("op", 5, 2, "shop-0-2048", Fence()))
    assert found == f"{SHARD}-1 is of shard {SHARD}, not of shop-0-2048"


REMEMBERED: list[tuple[Memory, Arguments, int, Role, int]] = [
    # remembered, asked, epoch, then: role, fenced epoch
    (GOOD, PROMOTE, 5, Role.PRIMARY, 0),
    (REPLICA, PROMOTE, 6, Role.PRIMARY, 0),
    (GOOD, FOLLOW, 5, Role.REPLICA, 0),
    (FENCED, FOLLOW, 5, Role.REPLICA, 5),
    (PRIMARY, Fence(), 6, Role.NONE, 6),
    (PRIMARY, Restart(), 5, Role.PRIMARY, 0),
    (PRIMARY, Restart(), 6, Role.NONE, 0),
    (REPLICA, RECLONE, 5, Role.NONE, 0),
]


@pytest.mark.parametrize(("memory", "args", "epoch", "role", "fenced"), REMEMBERED)
def test_role_and_fence_are_remembered_before_the_operation_acts(
    memory: Memory, args: Arguments, epoch: int, role: Role, fenced: int
) -> None:
    after = decisions.accepted(memory, Operation("op", epoch, 3, SHARD, args))
    assert (after.epoch, after.lease, after.role, after.fenced_epoch) == (epoch, 3, role, fenced)
    assert after.running == OperationState(
        "op", Operation("", 0, 0, "", args).verb, Progress.RUNNING
    )


def test_a_promotion_does_not_end_in_writes_once_a_fence_came() -> None:
    begun = decisions.accepted(GOOD, Operation("a", 5, 2, SHARD, PROMOTE))
    assert decisions.may_write(begun, 5)
    fenced = decisions.accepted(begun, Operation("b", 5, 2, SHARD, Fence()))
    assert not decisions.may_write(fenced, 5)


def test_a_promotion_does_not_end_in_writes_once_a_higher_epoch_came() -> None:
    begun = decisions.accepted(GOOD, Operation("a", 5, 2, SHARD, PROMOTE))
    assert not decisions.may_write(replace(begun, epoch=6), 5)


@pytest.mark.parametrize(
    ("memory", "offline"),
    [
        (PRIMARY, False),
        (GOOD, False),
        (FENCED, True),
        (replace(FENCED, role=Role.REPLICA), False),
        (replace(FENCED, epoch=6, role=Role.PRIMARY), False),
        (CLONING, True),
        (INITIALISING, True),
    ],
)
def test_mysqld_starts_with_clients_shut_out(memory: Memory, offline: bool) -> None:
    assert decisions.starts_offline(memory) is offline
