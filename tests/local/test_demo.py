"""The demo's data and decisions; the demo itself runs in the end-to-end tests."""

from collections import Counter
from zlib import crc32

import pytest
from objects import condition, keyspace, shard

from mitosis_local.demo import install, load, shop
from mitosis_operator.cli import overview
from mitosis_routing.keyspace import equal_ranges
from mitosis_routing.table import RoutingTable, ShardRoute, ShardState

TABLE = RoutingTable(
    "shop",
    version=1,
    slots=4096,
    shards=tuple(ShardRoute(f"shop-{r}", r, ShardState.SERVING, 1) for r in equal_ranges(4096, 2)),
)


def test_the_shop_is_the_same_each_time() -> None:
    assert [shop.customer(n) for n in (1, 4711)] == [shop.customer(n) for n in (1, 4711)]


def test_each_batch_lies_in_one_shard_and_no_customer_is_lost() -> None:
    seen: Counter[int] = Counter()
    for batch in shop.batches(range(1, 2001), TABLE, 100):
        assert len(batch) <= 100
        assert len({crc32(str(c.user_id).encode()) % 4096 < 2048 for c in batch}) == 1
        seen.update(c.user_id for c in batch)
    assert seen == Counter(range(1, 2001))


def test_rows_of_a_customer_carry_its_key_and_add_up() -> None:
    for user_id in (1, 77, 4711):
        found = shop.customer(user_id)
        assert {row[0] for row in (found.user, *found.orders, *found.items)} == {user_id}
        assert len({row[:2] for row in found.orders}) == len(found.orders) > 0
        assert len({row[:3] for row in found.items}) == len(found.items)
        for _, order_id, _, total in found.orders:
            bought = (r for r in found.items if r[1] == order_id)
            assert total == sum(quantity * price for *_, quantity, price in bought)


def test_both_shards_get_about_half_of_the_customers() -> None:
    sizes = [len(ids) for ids in shop.by_shard(range(1, shop.USERS + 1), TABLE).values()]
    assert all(abs(size - shop.USERS / 2) < shop.USERS * 0.03 for size in sizes)


def test_comments_of_the_schema_are_not_sent() -> None:
    text = "-- a; b\nCREATE TABLE t (\n  a INT -- no\n);\n\nSELECT 1;\n"
    assert load.statements(text)[1] == "SELECT 1"
    assert load.statements(text)[0].startswith("CREATE TABLE t")


@pytest.mark.parametrize(
    ("phase", "ready", "is_ready"),
    [("Ready", 2, True), ("Ready", 1, False), ("Creating", 2, False), ("Refused", 0, False)],
)
def test_a_keyspace_is_ready_when_it_says_so_and_all_its_shards_are(
    phase: str, ready: int, is_ready: bool
) -> None:
    body = keyspace(phase=phase, shards=2)
    body["status"]["shards"] = {"desired": 2, "ready": ready}
    (view,) = overview.assemble([body], [])
    assert install.is_ready(view) is is_ready


def test_progress_names_each_shard_or_why_there_is_none() -> None:
    (view,) = overview.assemble([keyspace()], [shard(ready="1/3", phase="Creating")])
    assert install.progress_of(view) == "shop-0-2048 Creating 1/3"
    (view,) = overview.assemble([keyspace(phaseReason="no Secret shop-users")], [])
    assert install.progress_of(view) == "no Secret shop-users"


def test_a_refused_keyspace_ends_the_wait_with_its_reason() -> None:
    body = keyspace(phase="Refused", conditions=[condition("Accepted", "False", "write 1 or 3")])
    (view,) = overview.assemble([body], [])
    with pytest.raises(install.LocalError, match="write 1 or 3"):
        install.refuse(view)
