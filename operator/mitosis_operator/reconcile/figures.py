"""What Prometheus sees of shards, set anew by each pass: a new leader shows all within one resync.

Labels of what is gone are removed, otherwise its last figures would be shown for ever.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable

from prometheus_client import Gauge

from mitosis_operator import metrics
from mitosis_operator.models import conditions, status
from mitosis_operator.models.conditions import Truth
from mitosis_operator.models.status import InstanceState, ShardPhase, ShardStatus

OF_A_SHARD = (metrics.SHARD_WRITABLE, metrics.SHARD_EPOCH)
OF_AN_INSTANCE = (metrics.INSTANCE_USED_PERCENT, metrics.INSTANCE_LAG_SECONDS)


class Figures:
    def __init__(self) -> None:
        self._instances: dict[tuple[str, str], frozenset[str]] = {}

    def show_shard(self, namespace: str, shard: str, seen: ShardStatus) -> None:
        writable = conditions.find(seen.conditions, status.WRITABLE)
        is_writable = writable is not None and writable.status is Truth.TRUE
        metrics.SHARD_WRITABLE.labels(namespace, shard).set(int(is_writable))
        metrics.SHARD_EPOCH.labels(namespace, shard).set(seen.epoch)
        self._show_instances(namespace, shard, seen.instances)

    def forget_shard(self, namespace: str, shard: str) -> None:
        self._show_instances(namespace, shard, ())
        self._instances.pop((namespace, shard), None)
        for gauge in OF_A_SHARD:
            _remove(gauge, namespace, shard)

    def show_keyspace(self, namespace: str, keyspace: str, shards: Iterable[ShardStatus]) -> None:
        phases = Counter(shard.phase for shard in shards)
        for phase in ShardPhase:
            metrics.SHARDS.labels(namespace, keyspace, phase.value).set(phases[phase])

    def forget_keyspace(self, namespace: str, keyspace: str) -> None:
        for phase in ShardPhase:
            _remove(metrics.SHARDS, namespace, keyspace, phase.value)

    def _show_instances(
        self, namespace: str, shard: str, instances: Iterable[InstanceState]
    ) -> None:
        shown = tuple(instances)
        for instance in shown:
            place = (namespace, shard, instance.name)
            _set(metrics.INSTANCE_USED_PERCENT, instance.used_percent, *place)
            _set(metrics.INSTANCE_LAG_SECONDS, instance.lag_seconds, *place)
        names = frozenset(i.name for i in shown)
        for gone in self._instances.get((namespace, shard), frozenset()) - names:
            for gauge in OF_AN_INSTANCE:
                _remove(gauge, namespace, shard, gone)
        self._instances[namespace, shard] = names


def _set(gauge: Gauge, value: float | None, *labels: str) -> None:
    """A figure that is not known is not shown: the last one would look like the present."""
    if value is None:
        _remove(gauge, *labels)
    else:
        gauge.labels(*labels).set(value)


def _remove(gauge: Gauge, *labels: str) -> None:
    with contextlib.suppress(KeyError):
        gauge.remove(*labels)
