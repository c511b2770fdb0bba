"""What GATE SHOW and SHOW PROCESSLIST look like: from plain values to columns and rows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import version as version_of
from typing import Any

from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.charsets import BINARY_ID, DEFAULT_ID
from mitosis_routing.table import RoutingTable

Row = Mapping[str, Any]
Table = tuple[Sequence[bytes], Sequence[bytes]]
LONGEST_INFO = 100
"""Of the statement, in SHOW PROCESSLIST without FULL."""
_PROCESSES = (
    ("ID", "CAST(%s AS UNSIGNED)", "id"),
    ("USER", "%s", "user"),
    ("HOST", "%s", "host"),
    ("DB", "%s", "db"),
    ("COMMAND", "%s", "command"),
    ("TIME", "%s", "seconds"),
    ("STATE", "%s", "state"),
    ("INFO", "%s", "info"),
)


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """A column of nothing but whole numbers is BIGINT, one with fractions DOUBLE, the rest text."""
    kinds = [_kind([row[place] for row in rows]) for place in range(len(names))]
    columns = [_column(name, kind) for name, kind in zip(names, kinds, strict=True)]
    packed = [packets.text_row(_text(value) for value in row) for row in rows]
    return columns, packed


def _kind(values: Sequence[Any]) -> int:
    known = [v for v in values if v is not None]
    if known and all(isinstance(v, int) for v in known):
        return c.TYPE_LONGLONG
    if known and all(isinstance(v, int | float) for v in known):
        return c.TYPE_DOUBLE
    return c.TYPE_VAR_STRING


def _column(name: str, kind: int) -> bytes:
    if kind == c.TYPE_VAR_STRING:
        return packets.Column(name, kind, DEFAULT_ID, 65535).pack()
    decimals = 31 if kind == c.TYPE_DOUBLE else 0
    return packets.Column(name, kind, BINARY_ID, 21, c.FLAG_BINARY, decimals).pack()


def _text(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, float):
        return f"{value:.3f}".encode()
    return str(value).encode()


def sessions(rows: Sequence[Row]) -> Table:
    names = ("id", "gate", "worker", "user", "keyspace", "host", "db", "command", "seconds")
    names += ("state", "transaction", "pins", "program", "info")  # type: ignore[assignment]
    return table(names, [[row[name] for name in names] for row in _by_id(rows)])


def _by_id(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: int(row["id"]))


def process_list(rows: Sequence[Row], full: bool) -> Table:
    """As mysqld shows it."""
    names = ("Id", "User", "Host", "db", "Command", "Time", "State", "Info")
    longest = None if full else LONGEST_INFO
    return table(
        names,
        [
            [
                *(row[n] for n in ("id", "user", "host", "db", "command", "seconds", "state")),
                row["info"][:longest] if row["info"] is not None else None,
            ]
            for row in _by_id(rows)
        ],
    )


def processes_select(rows: Sequence[Row]) -> bytes:
    """The rows as a SELECT; every value is a literal in hexadecimal, so none can be code."""
    selects: list[str] = []
    for row in _by_id(rows):
        values = [
            form % _literal(row[key]) + (f" AS {name}" if not selects else "")
            for name, form, key in _PROCESSES
        ]
        selects.append("SELECT " + ", ".join(values))
    return ("(" + " UNION ALL ".join(selects) + ")").encode()


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    data = str(value).encode()
    return f"CONVERT(0x{data.hex()} USING utf8mb4)" if data else "''"


def pools(rows: Sequence[Row]) -> Table:
    names = ("shard", "instance", "epoch", "gate", "worker", "connections", "idle", "waiting")
    ordered = sorted(rows, key=lambda r: (r["shard"], r["instance"], r["gate"], r["worker"]))
    return table(names, [[row[name] for name in names] for row in ordered])


def plans(rows: Sequence[Row]) -> Table:
    """One row for each shape and user, of all processes; the most time comes first."""
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0, 0.0, 0])
    for row in rows:
        entry = sums[row["user"], row["shape"]]
        entry[0] += row["count"]
        entry[1] += row["seconds"]
        entry[2] = max(entry[2], row["longest"])
        entry[3] += row["rows"]
    ordered = sorted(sums.items(), key=lambda item: (-item[1][1], -item[1][0]))
    names = ("user", "count", "seconds", "longest", "rows", "shape")
    return table(
        names,
        [
            [user, int(count), float(seconds), float(longest), int(rows_sent), shape]
            for (user, shape), (count, seconds, longest, rows_sent) in ordered
        ],
    )


def shards(routing: RoutingTable) -> Table:
    names = ("shard", "slots", "state", "epoch", "primary", "host", "port", "replicas", "reason")
    rows = []
    for shard in routing.shards:
        primary = shard.primary
        replicas = [i.name for i in shard.instances if i is not primary]
        rows.append(
            [
                shard.name,
                str(shard.slots),
                shard.state.value,
                shard.epoch,
                primary.name if primary else None,
                primary.host if primary else None,
                primary.port if primary else None,
                ", ".join(replicas),
                shard.reason,
            ]
        )
    return table(names, rows)


def ddl(rows: Sequence[Row]) -> Table:
    names = ("id", "statement", "state", "shards", "started", "changed", "error")
    return table(names, [[row[name] for name in names] for row in rows])


def version(server: str, routing: RoutingTable, processes: Sequence[Row]) -> Table:
    rows: list[list[Any]] = [
        ["gate", version_of("mitosis")],
        ["server", server],
        ["keyspace", routing.keyspace],
        ["routing table", str(routing.version)],
        ["gates", str(len({p["gate"] for p in processes}))],
        ["processes", str(len(processes))],
    ]
    return table(("name", "value"), rows)
