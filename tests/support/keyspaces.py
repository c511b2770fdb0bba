"""Keyspaces for tests of the planner: schemas as information_schema tells them, and tables."""

from mitosis_gate.planner.schema import Column, Schema, Table
from mitosis_gate.planner.table_keys import PRIMARY, UniqueKey
from mitosis_routing.keyspace import equal_ranges
from mitosis_routing.table import (
    OtherTables,
    RoutingTable,
    ShardRoute,
    ShardState,
    TableRule,
    UniqueKeys,
)

_BIN = {"collation": "utf8mb4_0900_bin"}
_PADDED = {"collation": "utf8mb4_bin", "pad_space": True}
_TEXT = {"collation": "utf8mb4_0900_ai_ci", "nullable": True}


def _table(name: str, *columns: Column) -> Table:
    return Table(name, columns)


def _view(name: str, select: str, *columns: Column, listed: str = "") -> Table:
    """A view as SHOW CREATE VIEW tells it."""
    start = "CREATE ALGORITHM=UNDEFINED DEFINER=`app`@`%` SQL SECURITY DEFINER VIEW"
    return Table(name, columns, True, f"{start} `{name}`{listed} AS {select}")


SCHEMA = Schema(
    {
        table.name: table
        for table in (
            _table("users", Column("user_id", "bigint"), Column("name", "varchar(64)", **_TEXT)),
            _table(
                "orders",
                Column("order_id", "bigint"),
                Column("user_id", "bigint"),
                Column("total", "decimal(10,2)"),
            ),
            _table(
                "order_items",
                Column("user_id", "bigint unsigned"),
                Column("order_id", "bigint"),
                Column("sku", "varchar(20)", **_TEXT),
            ),
            Table(
                "accounts",
                (
                    Column("id", "bigint", auto_increment=True),
                    Column("user_id", "bigint"),
                    Column("mail", "varchar(64)", **_TEXT),
                ),
                unique_keys=(
                    UniqueKey("both", ("user_id", "mail"), ("user_id", "mail")),
                    UniqueKey("mail", ("mail(10)",), ()),
                    UniqueKey(PRIMARY, ("id",), ("id",)),
                ),
            ),
            _table("counters", Column("id", "tinyint"), Column("n", "int")),
            _table("generated", Column("id", "bigint", auto_increment=True), Column("n", "int")),
            _table("mails", Column("address", "varchar(8)", **_BIN), Column("n", "int")),
            _table("padded", Column("address", "varchar(8)", **_PADDED), Column("n", "int")),
            _table("codes", Column("code", "char(4)", **_PADDED), Column("n", "int")),
            _table("tokens", Column("token", "varbinary(16)"), Column("n", "int")),
            _table("uuids", Column("uuid", "binary(4)"), Column("n", "int")),
            _table("days", Column("day", "date"), Column("n", "int")),
            _table("moments", Column("moment", "datetime(3)"), Column("n", "int")),
            _table("wrong", Column("name", "varchar(8)", **_TEXT)),
            _table("loose", Column("id", "bigint", nullable=True)),
            _table("floats", Column("x", "double")),
            _table("keyless", Column("n", "int")),
            _table("countries", Column("code", "char(2)", **_BIN), Column("name", "varchar(40)")),
            _table(
                "tariffs", Column("id", "int", auto_increment=True), Column("price", "decimal(8,2)")
            ),
            _table("notes", Column("id", "bigint", auto_increment=True), Column("text", "text")),
            _table("visits", Column("tenant_id", "bigint"), Column("at", "datetime")),
            _view(
                "totals",
                "select `orders`.`user_id` AS `user_id`,sum(`orders`.`total`) AS `sum` "
                "from `orders` group by `orders`.`user_id`",
                Column("user_id", "bigint"),
                Column("sum", "decimal(32,2)", nullable=True),
            ),
            _view(
                "big_orders",
                "select `orders`.`order_id` AS `order_id`,`orders`.`user_id` AS `user_id`,"
                "`orders`.`total` AS `total` from `orders` where (`orders`.`total` > 100) "
                "WITH CASCADED CHECK OPTION",
                Column("order_id", "bigint"),
                Column("user_id", "bigint"),
                Column("total", "decimal(10,2)"),
            ),
            _view(
                "renamed",
                "select `big_orders`.`user_id` AS `user_id`,`big_orders`.`total` AS `total` "
                "from `big_orders`",
                Column("who", "bigint"),
                Column("spent", "decimal(10,2)"),
                listed=" (`who`,`spent`)",
            ),
            _view(
                "spread",
                "select `users`.`name` AS `name`,`orders`.`total` AS `total` from (`users` join "
                "`orders` on((`users`.`user_id` = `orders`.`order_id`)))",
                Column("name", "varchar(64)", **_TEXT),
                Column("total", "decimal(10,2)"),
            ),
            _view(
                "dearest",
                "select `orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `orders` "
                "order by `orders`.`total` desc",
                Column("user_id", "bigint"),
                Column("total", "decimal(10,2)"),
            ),
            _view(
                "country_names",
                "select `countries`.`name` AS `name` from `countries`",
                Column("name", "varchar(40)"),
            ),
            _view(
                "note_texts",
                "select `notes`.`text` AS `text` from `notes`",
                Column("text", "text"),
            ),
            _view(
                "mine",
                "select `orders`.`order_id` AS `order_id` from `orders` where "
                "(`orders`.`total` > length(current_user()))",
                Column("order_id", "bigint"),
            ),
            _view(
                "broken",
                "select `gone`.`a` AS `a` from `gone`",
                Column("a", "bigint"),
            ),
            Table("untold", (Column("a", "bigint"),), view=True),
            _view("one", "select 1 AS `a`", Column("a", "bigint")),
        )
    },
    version=1,
)

_KEYS = {
    "users": "user_id",
    "orders": "user_id",
    "order_items": "user_id",
    "accounts": "user_id",
    "counters": "id",
    "generated": "id",
    "mails": "address",
    "padded": "address",
    "codes": "code",
    "tokens": "token",
    "uuids": "uuid",
    "days": "day",
    "moments": "moment",
    "wrong": "name",
    "loose": "id",
    "floats": "x",
    "keyless": "id",
    "invoices": "user_id",
}
RULES = (
    *(TableRule(name, key) for name, key in _KEYS.items()),
    TableRule("countries", reference=True),
    TableRule("tariffs", reference=True),
    TableRule("currencies", reference=True),
)


def routing_table(
    shards: int,
    rules: tuple[TableRule, ...] = RULES,
    default_key: str = "",
    others: OtherTables = OtherTables.REFUSE,
    unique: UniqueKeys = UniqueKeys.WARN,
) -> RoutingTable:
    return RoutingTable(
        keyspace="shop",
        version=1,
        slots=4096,
        shards=tuple(
            ShardRoute(f"shop-{r}", r, ShardState.SERVING, 1) for r in equal_ranges(4096, shards)
        ),
        tables=rules,
        default_sharding_key=default_key,
        other_tables=others,
        unique_keys=unique,
    )


KEYSPACES = {
    "four shards": routing_table(4),
    "four shards and unsharded tables": routing_table(4, others=OtherTables.UNSHARDED),
    "four shards, uniqueKeys: strict": routing_table(4, unique=UniqueKeys.STRICT),
    "four shards by tenant_id": routing_table(4, (), "tenant_id", OtherTables.UNSHARDED),
    "one shard": routing_table(1),
    "one shard, uniqueKeys: strict": routing_table(1, unique=UniqueKeys.STRICT),
    "one shard, nothing sharded": routing_table(1, (), "", OtherTables.UNSHARDED),
}
