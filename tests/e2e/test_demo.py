"""`make demo`: a sharded database that a newcomer can query, and a second run changes nothing."""

import sys

import pytest
from world import Login, get, kubectl, run

pytestmark = pytest.mark.e2e


def _objects() -> dict[str, tuple[str, int]]:
    """Identity and generation of what the demo made: a change of either is a change."""
    seen = {}
    for kind in ("keyspaces", "shards", "pods", "persistentvolumeclaims", "secrets"):
        for body in get(kind):
            meta = body["metadata"]
            seen[f"{kind}/{meta['name']}"] = (meta["uid"], meta.get("generation", 0))
    return seen


def test_the_demo_shows_instances_rows_and_queries(demo_output: str) -> None:
    for word in ("shop-0-2048-1", "node-", "idc-1", "64", "primary", "kubectl", "mysql"):
        assert word in demo_output


def test_a_second_demo_changes_nothing(shop: Login) -> None:
    tables = ("users", "orders", "order_items")
    before = _objects(), [sum(n for (n,) in _counts(shop, t)) for t in tables]
    run(sys.executable, "-m", "mitosis_local.demo")
    assert (_objects(), [sum(n for (n,) in _counts(shop, t)) for t in tables]) == before
    assert before[1][0] == 10_000


def _counts(shop: Login, table: str) -> tuple[tuple[int], ...]:
    """One row for each row of the table: the gate does not count over shards yet."""
    return tuple((1,) for _ in shop.query(f"SELECT user_id FROM {table}"))


def test_each_shard_holds_only_rows_of_its_slots(shop: Login) -> None:
    for shard in get("shards", selector="mitosis.dev/keyspace=shop"):
        slots, primary = shard["spec"]["slots"], shard["status"]["primary"]
        sql = (
            "SELECT COUNT(*), SUM(CRC32(user_id) MOD 4096 < {start}"
            " OR CRC32(user_id) MOD 4096 >= {end}) FROM shop.users"
        ).format(**slots)
        words = ("mysql", "-uroot", "-S", "/run/mysqld/mysqld.sock", "-N", "-B", "-e", sql)
        rows, strangers = kubectl("exec", primary, "--", *words).out.split()
        assert int(rows) > 4000 and int(strangers) == 0


def test_primaries_are_in_their_idc_and_instances_apart(shop: Login) -> None:
    for shard in get("shards", selector="mitosis.dev/keyspace=shop"):
        instances = shard["status"]["instances"]
        primary = next(i for i in instances if i["role"] == "primary")
        assert primary["idc"] == "idc-1"
        assert len({i["node"] for i in instances}) == len({i["rack"] for i in instances}) == 3
        assert len({i["idc"] for i in instances}) == 2


def test_printer_columns_tell_the_state(shop: Login) -> None:
    out = kubectl("get", "keyspaces,shards").out
    assert "shop-0-2048" in out and "0-2048" in out and "Ready" in out
