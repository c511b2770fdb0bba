"""`mitosis route`: the same slot as MySQL computes, and the shard that owns it."""

import json
from typing import Any
from zlib import crc32

import pytest
from click.testing import CliRunner

from fakes.cli import FakeCluster
from mitosis_operator.cli import main, routes
from mitosis_operator.cli.errors import CliError
from mitosis_routing.hashing import KeyKind
from mitosis_routing.keyspace import SlotRange
from mitosis_routing.table import (
    InstanceRoute,
    OtherTables,
    Role,
    RoutingTable,
    ShardRoute,
    ShardState,
    TableRule,
)


def a_table(**more: Any) -> RoutingTable:
    def shard(start: int, end: int, state: ShardState, reason: str = "") -> ShardRoute:
        name = f"shop-{start}-{end}"
        primary = InstanceRoute(f"{name}-1", Role.PRIMARY, "10.0.0.1")
        return ShardRoute(name, SlotRange(start, end), state, 4, (primary,), reason=reason)

    values: dict[str, Any] = {
        "keyspace": "shop",
        "version": 7,
        "slots": 4096,
        "shards": (
            shard(0, 2048, ShardState.SERVING),
            shard(2048, 4096, ShardState.NO_PRIMARY, "its node is gone"),
        ),
        "tables": (TableRule("users", "user_id"), TableRule("countries", reference=True)),
    }
    return RoutingTable(**(values | more))


@pytest.mark.parametrize("value", ["1", "2", "42", "4711", "abc", "ü"])
def test_the_slot_is_what_mysql_computes_and_its_owner_is_named(value: str) -> None:
    found = routes.find(a_table(), "users", value, None)
    slot = crc32(value.encode()) % 4096
    assert found.slot == slot
    assert [s.name for s in found.shards] == ["shop-0-2048" if slot < 2048 else "shop-2048-4096"]


@pytest.mark.parametrize(
    ("value", "kind", "key"),
    [
        ("042", KeyKind.INTEGER, b"42"),
        ("+42", KeyKind.INTEGER, b"42"),
        ("-7", KeyKind.INTEGER, b"-7"),
        ("042", None, b"042"),
        ("042", KeyKind.TEXT, b"042"),
        ("0x00ff", KeyKind.BINARY, b"\x00\xff"),
        ("2026-01-01", KeyKind.DATE, b"2026-01-01"),
    ],
)
def test_the_kind_of_the_column_decides_what_is_hashed(
    value: str, kind: KeyKind | None, key: bytes
) -> None:
    assert routes.key_bytes(value, kind) == key


@pytest.mark.parametrize(
    ("value", "kind"), [("x", KeyKind.INTEGER), ("4.5", KeyKind.INTEGER), ("0xg", KeyKind.BINARY)]
)
def test_a_value_that_is_no_such_key_is_refused(value: str, kind: KeyKind) -> None:
    with pytest.raises(CliError, match=f"no {kind} key: write"):
        routes.key_bytes(value, kind)


def test_a_reference_table_is_on_every_shard() -> None:
    found = routes.find(a_table(), "countries", "DE", None)
    assert found.slot is None and len(found.shards) == 2


def test_a_table_without_rule_is_sharded_by_the_default_key() -> None:
    found = routes.find(a_table(default_sharding_key="user_id"), "visits", "42", None)
    assert found.slot == crc32(b"42") % 4096 and "user_id" in found.why


def test_an_unsharded_table_is_on_the_shard_of_slot_zero() -> None:
    found = routes.find(a_table(other_tables=OtherTables.UNSHARDED), "settings", "x", None)
    assert [s.name for s in found.shards] == ["shop-0-2048"]


def test_a_table_that_may_not_exist_is_refused_with_those_that_may() -> None:
    with pytest.raises(CliError, match="rules for: users, countries"):
        routes.find(a_table(), "visits", "42", None)


def test_a_slot_without_owner_is_an_error() -> None:
    with pytest.raises(CliError, match="no shard of shop owns slot"):
        routes.find(a_table(shards=()), "users", "42", None)


def test_a_shard_without_primary_says_why() -> None:
    value = next(v for v in map(str, range(100)) if crc32(v.encode()) % 4096 >= 2048)
    assert (
        "primary  none: its node is gone" in routes.find(a_table(), "users", value, None).to_text()
    )


def test_the_command_answers_as_text_and_as_json() -> None:
    cluster = FakeCluster(tables={"shop": a_table()})
    words = ["route", "shop", "users", "0001", "--kind", "integer"]
    text = CliRunner().invoke(main, words, obj=cluster)
    slot = crc32(b"1") % 4096
    assert text.exit_code == 0 and f"slot     {slot}" in text.output
    body = json.loads(CliRunner().invoke(main, [*words, "-o", "json"], obj=cluster).output)
    assert body["slot"] == slot
    assert body["shards"][0]["epoch"] == 4
