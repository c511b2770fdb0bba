"""Builder of routing tables: `a_table(version=2, primary="shop-0-2048-1")`."""

from collections.abc import Sequence

from mitosis_routing.keyspace import SlotRange, equal_ranges
from mitosis_routing.table import (
    InstanceRoute,
    OtherTables,
    Role,
    RoutingTable,
    SecretKey,
    ShardRoute,
    ShardState,
    TableRule,
    UserRef,
)

SLOTS = 4096
RULES = (
    TableRule("users", "user_id"),
    TableRule("orders", "user_id"),
    TableRule("order_items", "user_id"),
    TableRule("ledger", "user_id"),
    TableRule("countries", reference=True),
)


def a_shard(
    slots: SlotRange,
    epoch: int = 1,
    state: ShardState = ShardState.SERVING,
    keyspace: str = "shop",
    host: str = "127.0.0.1",
    port: int = 3306,
    server_uuid: str = "",
    serial: int = 1,
) -> ShardRoute:
    """A shard of one instance, its primary."""
    name = f"{keyspace}-{slots}"
    primary = InstanceRoute(f"{name}-{serial}", Role.PRIMARY, host, port, server_uuid)
    return ShardRoute(name, slots, state, epoch, (primary,))


def a_table(
    version: int = 1,
    keyspace: str = "shop",
    shards: Sequence[ShardRoute] | None = None,
    epochs: Sequence[int] = (1, 1),
    users: Sequence[str] = ("app",),
    rules: Sequence[TableRule] = RULES,
    other_tables: OtherTables = OtherTables.REFUSE,
) -> RoutingTable:
    """A whole table; the Secret of each user is called like the user."""
    if shards is None:
        ranges = equal_ranges(SLOTS, len(epochs))
        shards = [a_shard(r, e, keyspace=keyspace) for r, e in zip(ranges, epochs, strict=True)]
    return RoutingTable(
        keyspace=keyspace,
        version=version,
        slots=SLOTS,
        shards=tuple(shards),
        tables=tuple(rules),
        other_tables=other_tables,
        users=tuple(a_user(name) for name in users),
        gate_account=a_user("mitosis_gate"),
    )


def a_user(name: str, version: str = "1") -> UserRef:
    return UserRef(name, SecretKey(name, "password"), version)
