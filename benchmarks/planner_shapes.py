"""CPU time of the gate's planner: statements whose shape is known, and statements that are parsed.

    python benchmarks/planner_shapes.py

prints one JSON line: microseconds for each kind of statement, the best of several rounds, because
whatever else runs on the machine only adds. `parsed` are planned from scratch, as on first sight.
"""

import json
import time
import timeit
from collections.abc import Callable

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.schema import Column, Schema, Table
from mitosis_routing.keyspace import equal_ranges
from mitosis_routing.table import RoutingTable, ShardRoute, ShardState, TableRule

ROUNDS = 7
SCHEMA = Schema(
    {
        "users": Table("users", (Column("user_id", "bigint"), Column("name", "varchar(64)"))),
        "orders": Table("orders", (Column("order_id", "bigint"), Column("user_id", "bigint"))),
        "mails": Table("mails", (Column("address", "varchar(64)", "utf8mb4_0900_bin"),)),
    }
)
TABLE = RoutingTable(
    keyspace="shop",
    version=1,
    slots=4096,
    shards=tuple(ShardRoute(f"shop-{r}", r, ShardState.SERVING, 1) for r in equal_ranges(4096, 4)),
    tables=(
        TableRule("users", "user_id"),
        TableRule("orders", "user_id"),
        TableRule("mails", "address"),
    ),
)
STATEMENTS = {
    "point_select": b"SELECT name FROM users WHERE user_id = 50123",
    "point_select_by_text": b"SELECT address FROM mails WHERE address = 'someone@example.com'",
    "point_select_of_an_orm": b"SELECT `users`.`user_id`, `users`.`name` FROM `users` "
    b"WHERE `users`.`user_id` = 50123 LIMIT 21",
    "point_update": b"UPDATE users SET name = 'somebody' WHERE user_id = 50123",
    "insert": b"INSERT INTO orders (order_id, user_id) VALUES (123456, 50123)",
    "join": b"SELECT u.name, o.order_id FROM users u JOIN orders o ON o.user_id = u.user_id "
    b"WHERE u.user_id = 50123 AND o.order_id > 7 ORDER BY o.order_id LIMIT 10",
    "insert_of_100_rows": b"INSERT INTO orders (order_id, user_id) VALUES "
    + b", ".join(b"(%d, 50123)" % n for n in range(100)),
    "select_in_100_values": b"SELECT name FROM users WHERE user_id IN (%s)"
    % b", ".join(b"%d" % n for n in range(100)),
}


def microseconds(action: Callable[[], object], number: int) -> float:
    rounds = timeit.repeat(action, number=number, repeat=ROUNDS, timer=time.process_time)
    return round(min(rounds) / number * 1e6, 2)


def main() -> None:
    warm, cold = Planner(SCHEMA, TABLE), Planner(SCHEMA, TABLE, cache_bytes=0)
    cached, parsed = {}, {}
    for name, sql in STATEMENTS.items():
        for _ in range(3):
            warm.route(sql)
        cached[name] = microseconds(lambda sql=sql: warm.route(sql), 2000)  # type: ignore[misc]
        parsed[name] = microseconds(lambda sql=sql: cold.route(sql), 50)  # type: ignore[misc]
    prepared = warm.prepare(b"SELECT name FROM users WHERE user_id = ?")
    cached["prepared_execute"] = microseconds(lambda: prepared.route((50123,)), 20000)
    print(json.dumps({"benchmark": "planner_shapes", "cached_us": cached, "parsed_us": parsed}))


if __name__ == "__main__":
    main()
