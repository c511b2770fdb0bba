"""Metrics of the operator, all in one place; described in docs/metrics.md."""

from prometheus_client import Counter, Gauge, Histogram

KUBE_REQUESTS = Counter(
    "mitosis_operator_kube_requests_total", "Requests to the API server", ["method", "status"]
)
AGENT_REQUESTS = Counter(
    "mitosis_operator_agent_requests_total", "Requests to agents", ["request", "result"]
)
RECONCILES = Counter(
    "mitosis_operator_reconciles_total", "Passes over one object", ["kind", "result"]
)
RECONCILE_SECONDS = Histogram(
    "mitosis_operator_reconcile_seconds",
    "Time of one pass over one object",
    ["kind"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ACTIONS = Counter("mitosis_operator_actions_total", "Steps taken", ["step", "result"])
PUBLICATIONS = Counter(
    "mitosis_operator_publications_total", "Routing tables published", ["result"]
)
QUEUE_LENGTH = Gauge("mitosis_operator_queue_length", "Objects that wait for a pass")
LEADER = Gauge("mitosis_operator_leader", "1 while this process holds the Lease")
SHARDS = Gauge("mitosis_shards", "Shards by phase", ["namespace", "keyspace", "phase"])
SHARD_WRITABLE = Gauge(
    "mitosis_shard_writable",
    "1 while the shard has a published, writable primary",
    ["namespace", "shard"],
)
SHARD_EPOCH = Gauge("mitosis_shard_epoch", "Epoch of the shard", ["namespace", "shard"])
INSTANCE_USED_PERCENT = Gauge(
    "mitosis_instance_disk_used_percent",
    "Part of the volume in use",
    ["namespace", "shard", "instance"],
)
INSTANCE_LAG_SECONDS = Gauge(
    "mitosis_instance_lag_seconds",
    "Age of the newest change applied",
    ["namespace", "shard", "instance"],
)
CERTIFICATE_EXPIRY = Gauge(
    "mitosis_certificate_expiry_timestamp_seconds", "When a certificate expires", ["secret"]
)
LOOP_TICK = Gauge(
    "mitosis_operator_loop_tick_timestamp_seconds", "When the event loop last showed it is alive"
)
