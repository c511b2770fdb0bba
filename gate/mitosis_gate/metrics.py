"""Every figure that the gate shows on /metrics, by subject.

With several workers each process writes to files in PROMETHEUS_MULTIPROC_DIR, which must be set
before this module is imported; whichever worker is asked then answers for all of them.
"""

import contextlib
import functools
import os
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"mitosis_gate_{name}", text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str, mode: str = "livesum") -> Gauge:
    return Gauge(
        f"mitosis_gate_{name}",
        text,
        labels,
        registry=REGISTRY,
        multiprocess_mode=mode,  # type: ignore[arg-type]  # the values are literals in the stub
    )


# clients
CLIENTS = _gauge("clients", "Client connections that are open")
LOGINS = _counter("logins_total", "Logins, by outcome: accepted, refused, broken", "outcome")
PROTOCOL_VIOLATIONS = _counter(
    "protocol_violations_total", "Connections closed for what they sent", "kind"
)

# statements
STATEMENTS = _counter("statements_total", "Statements, by kind of plan", "plan")
REFUSALS = _counter("refusals_total", "Statements answered with an error of the gate", "code")
STATEMENT_SECONDS = Histogram(
    "mitosis_gate_statement_seconds",
    "Time of statements that need more than one shard or the gate itself",
    ["plan"],
    registry=REGISTRY,
    buckets=_SECONDS,
)
MERGE_SERVER_ROWS = _counter("merge_server_rows_total", "Rows brought to the merge server")
MERGE_SERVER_BYTES = _counter("merge_server_bytes_total", "Bytes of these rows")
INTERRUPTED = _counter(
    "interrupted_total", "Statements that were ended early, by reason: kill, time, size", "reason"
)
SLOW = _counter("slow_statements_total", "Statements slower than --slow-seconds")
PINNED = _gauge("pinned_sessions", "Sessions that keep their backend, by reason", "reason")

# transactions over several shards
TRANSACTIONS = _counter(
    "transactions_total",
    "Transactions over several shards: committed in one or in two phases, serially, "
    "partly, rolled back, unknown",
    "outcome",
)
PREPARED_BRANCHES = _gauge(
    "prepared_branches",
    "Branches of transactions that were prepared when recovery last looked",
    "keyspace",
    mode="livemax",
)
SETTLED_BRANCHES = _counter(
    "settled_branches_total", "Branches that recovery has ended, by outcome", "outcome"
)

# backends
BACKENDS = _gauge("backends", "Connections to instances", "instance", "state")
BACKEND_CONNECTS = _counter(
    "backend_connects_total", "New connections to instances, by outcome", "instance", "outcome"
)
BACKENDS_CLOSED = _counter(
    "backends_closed_total", "Backend connections closed, by reason", "reason"
)

# holding
HELD = _gauge("held_statements", "Statements that wait for a shard to take them")
HELD_TOTAL = _counter(
    "holds_total",
    "Statements that waited for a shard: passed, expired, or turned away (event, full, pause)",
    "outcome",
)
TRANSACTIONS_ENDED = _counter(
    "transactions_ended_total", "Open transactions ended because their shard moved", "shard"
)

# routing table
ROUTING_VERSION = _gauge(
    "routing_version", "Version of the routing table obeyed", "keyspace", mode="livemin"
)
ROUTING_AGE_SECONDS = _gauge(
    "routing_age_seconds",
    "Time since the API server last confirmed the routing tables",
    mode="livemax",
)
ROUTING_REFUSED = _counter(
    "routing_refused_total", "Routing tables that were not obeyed, by reason", "reason"
)
ROUTING_WATCH_ERRORS = _counter(
    "routing_watch_errors_total", "Failed lists and watches of routing tables", "kind"
)
SECRET_ERRORS = _counter("secret_errors_total", "Passwords that could not be read", "keyspace")

# schema
SCHEMA_LOADS = _counter("schema_loads_total", "Readings of a keyspace's schema", "outcome")
DDL = _counter("ddl_total", "DDL statements sent to the shards: done, partly, failed", "outcome")


@functools.cache
def of_plan(kind: str) -> tuple[Counter, Histogram]:
    """Number and time of the statements of one kind of plan."""
    return STATEMENTS.labels(plan=kind), STATEMENT_SECONDS.labels(plan=kind)


def exposition() -> bytes:
    """What /metrics answers, for all workers."""
    if MULTIPROCESS_DIR not in os.environ:
        return generate_latest(REGISTRY)
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together)


def forget_process(pid: int) -> None:
    """Take the gauges of a dead worker out of the sums."""
    if MULTIPROCESS_DIR in os.environ:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def forget_keyspace(keyspace: str) -> None:
    """Stop showing a keyspace that is gone; with several workers its last version stays visible."""
    if MULTIPROCESS_DIR not in os.environ:
        with contextlib.suppress(KeyError):
            ROUTING_VERSION.remove(keyspace)


def prepare_directory(path: Path) -> None:
    """Make the folder of the workers' figures, without what an earlier run left in it."""
    path.mkdir(parents=True, exist_ok=True)
    for old in path.glob("*.db"):
        old.unlink()
