"""What the demo prints at its end: where everything is, and how to go on."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from mitosis_local.demo import shop
from mitosis_local.demo.install import KEYSPACE, NAMESPACE, SECRET
from mitosis_local.demo.load import Connection, Gate, query
from mitosis_local.paths import CHECKOUT, Paths
from mitosis_local.state import State
from mitosis_operator.cli import overview, tree
from mitosis_operator.cli.cluster import Cluster
from mitosis_routing.table import RoutingTable

USER_ID = 4711
COUNTED = ("users", "orders", "order_items")


@dataclass(frozen=True)
class Example:
    title: str
    sql: str


QUERIES = (
    Example("by key: one shard", f"SELECT * FROM users WHERE user_id = {USER_ID}"),
    Example(
        "scatter: every shard, rows put together",
        "SELECT user_id, order_id, ordered_at, total FROM orders WHERE total > 4130",
    ),
    Example(
        "join: what one user bought, with a reference table, inside its shard",
        "SELECT u.name, c.name AS country, o.order_id, i.product, i.quantity, i.price\n"
        "FROM users u\n"
        "JOIN countries c ON c.code = u.country\n"
        "JOIN orders o ON o.user_id = u.user_id\n"
        "JOIN order_items i ON i.user_id = o.user_id AND i.order_id = o.order_id\n"
        f"WHERE u.user_id = {USER_ID}\n"
        "ORDER BY o.order_id, i.position",
    ),
)


def show(objects: Cluster, gate: Gate, table: RoutingTable, paths: Paths, known: State) -> None:
    out = tree.console()
    out.print()
    tree.show(overview.look(objects, KEYSPACE), out)
    with gate.session("app") as connection:
        show_counts(out, count_rows(connection, table))
        for example in QUERIES:
            show_query(out, connection, example)
    out.print()
    out.print(next_steps(paths, known), markup=False, soft_wrap=True)


def count_rows(connection: Connection, table: RoutingTable) -> Mapping[str, Sequence[int]]:
    """Rows of each shard, counted by its own mysqld: the keys of one shard are asked for there."""
    users = [int(str(row[0])) for row in query(connection, "SELECT user_id FROM users")]
    counts = {}
    for shard, user_ids in shop.by_shard(users, table).items():
        keys = ", ".join(map(str, user_ids)) or "NULL"
        counts[shard] = [
            int(
                str(
                    query(connection, f"SELECT COUNT(*) FROM {name} WHERE user_id IN ({keys})")[0][
                        0
                    ]
                )
            )
            for name in COUNTED
        ]
    return counts


def show_counts(out: Console, counts: Mapping[str, Sequence[int]]) -> None:
    result = Table("rows in", *COUNTED, box=None, header_style="dim")
    for shard, row in counts.items():
        result.add_row(shard, *(f"{count:,}" for count in row))
    out.print()
    out.print(result)


def show_query(out: Console, connection: Connection, example: Example) -> None:
    begun = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(example.sql)
        rows = cursor.fetchall()
        names = [column[0] for column in cursor.description]
    took = 1000 * (time.perf_counter() - begun)
    result = Table(*names, box=None, header_style="dim")
    for row in rows:
        result.add_row(*map(str, row))
    out.print()
    size = f"{len(rows)} row{'s' if len(rows) != 1 else ''}"
    out.print(f"[bold]{example.title}[/bold]  [dim]{size}, {took:.1f} ms[/dim]")
    out.print(Syntax(example.sql, "sql", background_color="default"))
    out.print(result)


def next_steps(paths: Paths, known: State) -> str:
    password = f"kubectl -n {NAMESPACE} get secret {SECRET} -o jsonpath='{{.data.app}}' | base64 -d"
    programs = ":".join(str(p) for p in (known.programs, paths.bin, own_programs()))
    return f"""\
Go on by yourself:

  export KUBECONFIG={paths.kubeconfig} PATH={programs}:$PATH
  kubectl -n {NAMESPACE} get keyspaces,shards
  mitosis -n {NAMESPACE} status --watch
  mitosis -n {NAMESPACE} route {KEYSPACE} orders {USER_ID}
  mysql -h 127.0.0.1 -P {known.settings.gate_port} -u app -p"$({password})" {KEYSPACE}
  make down
"""


def own_programs() -> Path:
    """Where `mitosis` is installed."""
    return CHECKOUT / ".venv" / "bin"
