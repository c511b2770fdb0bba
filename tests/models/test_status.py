from dataclasses import fields

import pytest

from manifests import schema
from mitosis_operator.models.conditions import Condition, Truth
from mitosis_operator.models.status import (
    ActiveOperation,
    InstanceState,
    KeyspacePhase,
    KeyspaceStatus,
    PlacementState,
    ShardPhase,
    ShardStatus,
    ShardStorage,
)
from mitosis_routing.table import Role

CONDITION = Condition("Ready", Truth.TRUE, "AllServe", "all serve", "2026-01-01T00:00:00Z", 3)
FULL_SHARD = ShardStatus(
    phase=ShardPhase.READY,
    phase_reason="all instances serve",
    slot_range="0-2048",
    primary="shop-0-2048-1",
    epoch=4,
    ready="1/1",
    instances=(
        InstanceState(
            name="shop-0-2048-1",
            serial=1,
            role=Role.PRIMARY,
            node="node-1",
            rack="r1",
            idc="idc-1",
            size_bytes=2**36,
            used_bytes=2**35,
            used_percent=50.0,
            gtid_executed="uuid:1-5",
            lag_seconds=0.5,
            state="running",
            message="fine",
            server_uuid="uuid",
            pod_ip="10.0.0.1",
        ),
    ),
    storage=ShardStorage(2**36, 50.0),
    placement=PlacementState(False, ("two lie in one rack",)),
    active_operation=ActiveOperation("Switchover", "s", "u", "fence"),
    conditions=(CONDITION,),
    observed_generation=3,
)
FULL_KEYSPACE = KeyspaceStatus(
    phase=KeyspacePhase.READY,
    phase_reason="all shards serve",
    desired_shards=2,
    ready_shards=2,
    ready="2/2",
    shard_names=("shop-0-2048", "shop-2048-4096"),
    routing_version=7,
    endpoint="mitosis-gate:3306",
    conditions=(CONDITION,),
    observed_generation=3,
)
CASES = [("Shard", FULL_SHARD), ("Keyspace", FULL_KEYSPACE)]


@pytest.mark.parametrize(("kind", "status"), CASES)
def test_a_status_that_is_written_and_read_again_is_the_same(kind, status):
    assert type(status).from_body({"status": status.to_body()}) == status


@pytest.mark.parametrize(("kind", "status"), CASES)
def test_an_object_without_a_status_reads_as_a_new_one(kind, status):
    assert type(status).from_body({"metadata": {"name": "shop"}}) == type(status)()


@pytest.mark.parametrize(("kind", "status"), CASES)
def test_the_case_above_names_every_field(kind, status):
    for value in (status, *getattr(status, "instances", ())):
        default = InstanceState("", 0) if isinstance(value, InstanceState) else type(value)()
        same = [f.name for f in fields(value) if getattr(value, f.name) == getattr(default, f.name)]
        assert same == []


@pytest.mark.parametrize(("kind", "status"), CASES)
def test_the_schema_prunes_nothing_of_a_status_and_promises_nothing_more(kind, status):
    compare(status.to_body(), schema(kind)["properties"]["status"], "status")


def compare(body, part, path):
    if isinstance(body, dict):
        assert set(body) == set(part["properties"]), path
        for name, inner in body.items():
            compare(inner, part["properties"][name], f"{path}.{name}")
    elif isinstance(body, list):
        for inner in body:
            compare(inner, part["items"], f"{path}[]")


@pytest.mark.parametrize("kind", ["Shard", "Keyspace"])
def test_the_schema_allows_exactly_the_phases_that_the_models_know(kind):
    phases = {"Shard": ShardPhase, "Keyspace": KeyspacePhase}[kind]
    allowed = schema(kind)["properties"]["status"]["properties"]["phase"]["enum"]
    assert allowed == [p.value for p in phases]
