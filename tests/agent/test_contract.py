"""Operator and agent read what the other writes, also from the neighbouring version."""

from typing import Any

import pytest

from mitosis_operator.mysql.codec import BadJson
from mitosis_operator.mysql.instance import (
    Accounts,
    Arguments,
    Clone,
    CloneStatus,
    DataState,
    DiskStatus,
    Fence,
    Follow,
    GtidStatus,
    Initialise,
    InstanceStatus,
    MysqldState,
    MysqldStatus,
    Operation,
    OperationState,
    Progress,
    Promote,
    ReadOnlyStatus,
    ReplicationStatus,
    Restart,
    Role,
    SemiSyncStatus,
    Shutdown,
    ThreadState,
    UserGrant,
    Verb,
)

BARE = InstanceStatus(
    instance="shop-0-4096-1",
    shard="shop-0-4096",
    keyspace="shop",
    agent_version="0.1.0",
    data_state=DataState.EMPTY,
    epoch=0,
    role=Role.NONE,
    writable=False,
    mysqld=MysqldStatus(MysqldState.STOPPED),
    disk=DiskStatus(64, 60, 6.25),
)
FULL = InstanceStatus(
    instance="shop-0-4096-2",
    shard="shop-0-4096",
    keyspace="shop",
    agent_version="0.1.0",
    data_state=DataState.GOOD,
    epoch=3,
    role=Role.REPLICA,
    writable=False,
    mysqld=MysqldStatus(MysqldState.RUNNING, 17, "9.7.4", "uuid", 12.5, 1, ""),
    disk=DiskStatus(64, 60, 6.25),
    fenced_epoch=2,
    gtid=GtidStatus("u:1-3", "u:2-3", "u:1"),
    replication=ReplicationStatus(
        "10.0.0.1", 3306, "mitosis_repl_2", ThreadState.CONNECTING, ThreadState.YES, 2003, "no"
    ),
    semi_sync=SemiSyncStatus(False, True, 0, 0),
    read_only=ReadOnlyStatus(True, True, False),
    clone=CloneStatus("Completed", "RECOVERY", "10.0.0.1:3306", 10, 10),
    accounts_hash="h",
    operation=OperationState("op", Verb.FOLLOW, Progress.DONE),
    message="receiving failed: no",
)
ASKED: list[Arguments] = [
    Initialise(),
    Clone("10.0.0.1", 3306, "shop-0-4096-1"),
    Clone("10.0.0.1", 3306, "shop-0-4096-1", "u:1"),
    Follow("10.0.0.1", 3306, "shop-0-4096-1", True, "u:1-3"),
    Promote(1, True),
    Fence(),
    Accounts("shop", (UserGrant("app", "secret", ("SELECT",)),), (1, 2, 3), "h"),
    Restart(),
    Shutdown(),
]


@pytest.mark.parametrize("status", [BARE, FULL])
def test_a_status_arrives_as_it_was_sent(status: InstanceStatus) -> None:
    assert InstanceStatus.from_json(status.to_json()) == status


@pytest.mark.parametrize("args", ASKED)
def test_an_operation_arrives_as_it_was_sent(args: Arguments) -> None:
    operation = Operation("op", 3, 2, "shop-0-4096", args)
    assert Operation.from_json("op", operation.to_json()) == operation


def test_names_in_json_are_camel_case() -> None:
    body = FULL.to_json()
    assert body["replication"]["lastIoErrno"] == 2003
    assert body["dataState"] == "good" and body["mysqld"]["serverUuid"] == "uuid"


def test_fields_of_a_later_version_are_ignored() -> None:
    assert InstanceStatus.from_json(BARE.to_json() | {"novelty": 1}) == BARE


def test_fields_with_a_default_may_be_missing() -> None:
    body = {k: v for k, v in BARE.to_json().items() if k not in ("message", "fencedEpoch")}
    assert InstanceStatus.from_json(body) == BARE


BAD: list[tuple[dict[str, Any], str]] = [
    ({"epoch": None}, "epoch: expected int, found null"),
    ({"epoch": True}, "epoch: expected int, found bool"),
    ({"epoch": "3"}, "epoch: expected int, found str"),
    ({"verb": "destroy"}, "verb: expected one of initialise"),
    ({"args": []}, "args.: expected an object, found list"),
    ({"args": {"minAcks": 1}}, "args.semiSync: missing"),
]


@pytest.mark.parametrize(("change", "reason"), BAD)
def test_a_bad_operation_is_refused_with_the_field(change: dict[str, Any], reason: str) -> None:
    body = Operation("op", 3, 2, "s", Promote(1, True)).to_json() | change
    with pytest.raises(BadJson) as caught:
        Operation.from_json("op", body)
    assert reason in str(caught.value)


def test_a_password_is_neither_shown_nor_told_in_an_error() -> None:
    operation = Operation("op", 3, 2, "s", Accounts("shop", (UserGrant("a", "pw-1", ()),), (), ""))
    assert "pw-1" not in repr(operation)
    body = operation.to_json()
    body["args"]["users"][0]["password"] = ["pw-1"]
    with pytest.raises(BadJson) as caught:
        Operation.from_json("op", body)
    assert str(caught.value) == "args.users[0].password: expected str, found list"
