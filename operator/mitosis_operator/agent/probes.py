"""What kubelet and Prometheus may ask. Only readiness looks at MySQL: a slow, full, cloning or
stopped mysqld is no reason to kill the agent that could report and mend it."""

from collections.abc import Callable, Iterator

from mitosis_operator.agent import status as facts
from mitosis_operator.agent.server import Answer, Handle
from mitosis_operator.mysql.instance import InstanceStatus, MysqldState


def probes(status: Callable[[], InstanceStatus], is_alive: Callable[[], bool]) -> Handle:
    def handle(method: str, path: str, body: bytes) -> Answer:
        match path:
            case "/healthz":
                return _plain(is_alive(), "the agent's loop runs", "the agent's loop is dead")
            case "/startupz":
                return _plain(True, "the agent serves", "")
            case "/readyz":
                ready = facts.is_ready(status())
                return _plain(ready, "its role is in effect", "its role is not in effect")
            case "/metrics":
                return Answer(200, "".join(metrics(status())), "text/plain; version=0.0.4")
        return Answer(404, "unknown\n", "text/plain")

    return handle


def _plain(good: bool, yes: str, no: str) -> Answer:
    return Answer(200 if good else 503, f"{yes if good else no}\n", "text/plain")


def metrics(status: InstanceStatus) -> Iterator[str]:
    """What is not known is left out, rather than told as 0."""
    lag = status.replication.lag_seconds if status.replication else None
    semi_sync = status.semi_sync
    values: dict[str, tuple[str, float | None]] = {
        "mysqld_up": ("mysqld runs and answers", status.mysqld.state is MysqldState.RUNNING),
        "mysqld_restarts": ("starts after an unplanned end", status.mysqld.restarts),
        "writable": ("accepts writes of clients", status.writable),
        "epoch": ("highest epoch seen", status.epoch),
        "replication_lag_seconds": ("age of the newest heartbeat", lag),
        "disk_total_bytes": ("size of the volume", status.disk.total_bytes),
        "disk_available_bytes": ("free on the volume", status.disk.available_bytes),
        "semi_sync_clients": (
            "replicas that acknowledge",
            semi_sync.clients if semi_sync else None,
        ),
        "semi_sync_wait_sessions": (
            "commits that wait for an acknowledgement",
            semi_sync.wait_sessions if semi_sync else None,
        ),
    }
    labels = f'instance="{status.instance}",shard="{status.shard}",keyspace="{status.keyspace}"'
    for name, (text, value) in values.items():
        if value is not None:
            yield f"# HELP mitosis_instance_{name} {text}\n# TYPE mitosis_instance_{name} gauge\n"
            yield f"mitosis_instance_{name}{{{labels}}} {float(value):g}\n"
