"""What Prometheus sees follows what each pass sees, and forgets what is gone."""

from objects import instance, shard
from prometheus_client import REGISTRY

from mitosis_operator.models.status import ShardStatus
from mitosis_operator.reconcile.figures import Figures


def figure(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def seen(*serials: int, **status: object) -> ShardStatus:
    instances = [instance(f"shop-0-2048-{n}", usedPercent=50.0 + n) for n in serials]
    return ShardStatus.from_body(shard(instances=instances, **status))


def of_instance(serial: int) -> float | None:
    labels = {"namespace": "fig", "shard": "s", "instance": f"shop-0-2048-{serial}"}
    return figure("mitosis_instance_disk_used_percent", **labels)


def test_a_shard_is_writable_when_its_condition_says_so() -> None:
    figures = Figures()
    figures.show_shard("fig", "s", seen(1))
    assert figure("mitosis_shard_writable", namespace="fig", shard="s") == 1
    figures.show_shard("fig", "s", seen(1, conditions=[]))
    assert figure("mitosis_shard_writable", namespace="fig", shard="s") == 0
    assert figure("mitosis_shard_epoch", namespace="fig", shard="s") == 1


def test_an_instance_that_is_gone_is_shown_no_more() -> None:
    figures = Figures()
    figures.show_shard("fig", "s", seen(1, 2))
    assert (of_instance(1), of_instance(2)) == (51.0, 52.0)
    figures.show_shard("fig", "s", seen(2))
    assert (of_instance(1), of_instance(2)) == (None, 52.0)


def test_a_figure_that_is_not_known_is_not_shown() -> None:
    figures = Figures()
    figures.show_shard("fig", "s", seen(1))
    silent = {k: v for k, v in instance("shop-0-2048-1").items() if k != "usedPercent"}
    figures.show_shard("fig", "s", ShardStatus.from_body(shard(instances=[silent])))
    assert of_instance(1) is None


def test_a_shard_that_is_gone_leaves_nothing() -> None:
    figures = Figures()
    figures.show_shard("fig", "s", seen(1))
    figures.forget_shard("fig", "s")
    assert of_instance(1) is None
    assert figure("mitosis_shard_writable", namespace="fig", shard="s") is None
    figures.forget_shard("fig", "never seen")


def test_shards_are_counted_by_phase() -> None:
    def count(phase: str) -> float | None:
        return figure("mitosis_shards", namespace="fig", keyspace="shop", phase=phase)

    figures = Figures()
    figures.show_keyspace("fig", "shop", [seen(1), seen(2), seen(3, phase="Degraded")])
    assert (count("Ready"), count("Degraded"), count("Refused")) == (2, 1, 0)
    figures.show_keyspace("fig", "shop", [seen(1)])
    assert (count("Ready"), count("Degraded")) == (1, 0)
    figures.forget_keyspace("fig", "shop")
    assert count("Ready") is None
