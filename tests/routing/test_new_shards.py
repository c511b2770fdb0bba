"""A shard that never had a primary stands in the table with epoch 0, which is not "no epoch"."""

from mitosis_routing.codec import from_json, to_json
from mitosis_routing.keyspace import SlotRange
from mitosis_routing.table import RoutingTable, ShardRoute, ShardState


def test_an_epoch_of_zero_is_written_and_read() -> None:
    shard = ShardRoute("shop-0-16", SlotRange(0, 16), ShardState.NO_PRIMARY, epoch=0)
    table = RoutingTable("shop", version=1, slots=16, shards=(shard,))
    assert to_json(table)["shards"][0]["epoch"] == 0
    assert from_json(to_json(table)) == table
