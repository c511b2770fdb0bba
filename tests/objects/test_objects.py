from dataclasses import replace
from datetime import UTC, datetime

import pytest

from manifests import good
from mitosis_operator import names
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.models.shard import Shard
from mitosis_operator.models.template import GI, Mysql
from mitosis_operator.objects import (
    config,
    credentials,
    disruption,
    events,
    routing,
    shards,
    volume,
)
from mitosis_routing.keyspace import SlotRange
from mitosis_routing.table import RoutingTable, TableRule

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHARD_LABELS = {
    "app.kubernetes.io/name": "mitosis",
    "app.kubernetes.io/managed-by": "mitosis-operator",
    "mitosis.dev/keyspace": "shop",
    "mitosis.dev/shard": "shop-0-2048",
}


def with_meta(kind):
    body = good(kind)
    body["metadata"] |= {"namespace": "mitosis", "uid": f"uid-of-{kind}"}
    return body


def a_shard(**template):
    shard = Shard.from_body(with_meta("Shard"))
    return replace(shard, template=replace(shard.template, **template))


def a_keyspace():
    return Keyspace.from_body(with_meta("Keyspace"))


def owner(body):
    (only,) = body["metadata"]["ownerReferences"]
    assert only["controller"] is True
    return only["kind"], only["name"], only["uid"]


def test_a_volume_claim_is_the_instances_and_nobodys_child():
    assert volume.build(a_shard(), 2, "node-4", 64 * GI, "fast") == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "shop-0-2048-2",
            "namespace": "mitosis",
            "labels": {
                **SHARD_LABELS,
                "app.kubernetes.io/component": "instance",
                "mitosis.dev/instance": "shop-0-2048-2",
                "mitosis.dev/state": "active",
            },
            "annotations": {"mitosis.dev/node": "node-4"},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": "64Gi"}},
            "storageClassName": "fast",
        },
    }


def test_without_a_storage_class_the_clusters_default_decides():
    assert "storageClassName" not in volume.build(a_shard(), 1, "node-1", GI)["spec"]


def test_a_claim_knows_its_node_and_whether_it_is_retired():
    claim = volume.build(a_shard(), 1, "node-1", GI)
    assert volume.node_of(claim) == "node-1"
    assert not volume.is_retired(claim)
    patch = volume.retired(NOW)["metadata"]
    claim["metadata"]["labels"] |= patch["labels"]
    assert volume.is_retired(claim)
    assert patch["annotations"] == {"mitosis.dev/retired-at": "2026-01-02T03:04:05Z"}


def test_a_claim_of_somebody_else_has_no_node():
    assert volume.node_of({"metadata": {"name": "x"}}) == ""
    assert not volume.is_retired({"metadata": {"name": "x"}})


def test_the_configuration_is_an_option_file_in_a_fixed_order():
    body = config.build(a_shard(mysql=Mysql(config={"b": "2", "a": "1"})))
    assert body["metadata"]["name"] == "shop-0-2048-config"
    assert body["data"] == {"extra.cnf": "[mysqld]\na = 1\nb = 2\n"}
    assert owner(body) == ("Shard", "shop-0-2048", "uid-of-Shard")


def test_a_certificate_secret_belongs_to_its_instance():
    body = credentials.tls(a_shard(), "shop-0-2048-1", certificate="C", key="K", ca="A")
    assert body["metadata"]["name"] == "shop-0-2048-1-tls"
    assert body["type"] == "kubernetes.io/tls"
    assert credentials.read(body) == {"tls.crt": b"C", "tls.key": b"K", "ca.crt": b"A"}
    assert owner(body) == ("Shard", "shop-0-2048", "uid-of-Shard")


def test_the_system_secret_holds_a_password_for_each_account():
    passwords = {"gate": "g", "replication": "r", "donor": "d"}
    body = credentials.system(a_keyspace(), passwords)
    assert body["metadata"]["name"] == "shop-system"
    assert credentials.read(body) == {"gate": b"g", "replication": b"r", "donor": b"d"}
    assert owner(body) == ("Keyspace", "shop", "uid-of-Keyspace")


def test_a_plain_secret_belongs_to_nobody():
    body = credentials.plain("s", "mitosis", {"password": "x", "empty": ""})
    assert credentials.read(body) == {"password": b"x", "empty": b""}
    assert credentials.read({"metadata": {"name": "s"}}) == {}
    assert "ownerReferences" not in body["metadata"]


@pytest.mark.parametrize(("count", "replicas"), [(3, 1), (5, 3), (7, 5)])
def test_a_drain_may_take_one_replica_and_never_the_primary(count, replicas):
    primary, others = disruption.build(a_shard(instances=count))
    assert primary["spec"] == {
        "minAvailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {
            "matchLabels": {"mitosis.dev/shard": "shop-0-2048", "mitosis.dev/role": "primary"}
        },
    }
    assert others["spec"]["minAvailable"] == replicas
    assert others["spec"]["selector"]["matchLabels"]["mitosis.dev/role"] == "replica"
    assert primary["metadata"]["name"] != others["metadata"]["name"]


def test_a_single_instance_has_no_budget_that_would_block_drains():
    assert disruption.build(a_shard(instances=1)) == ()


def test_a_keyspace_becomes_equal_shards_with_its_template():
    first, second = shards.build_missing(a_keyspace(), [])
    assert first["metadata"] == {
        "name": "shop-0-2048",
        "namespace": "mitosis",
        "labels": SHARD_LABELS,
        "ownerReferences": first["metadata"]["ownerReferences"],
    }
    assert owner(first) == ("Keyspace", "shop", "uid-of-Keyspace")
    assert second["metadata"]["name"] == "shop-2048-4096"
    read = Shard.from_body(first)
    assert (read.keyspace, read.slots) == ("shop", SlotRange(0, 2048))
    assert read.template == a_keyspace().template


def test_shards_that_exist_are_not_built_again():
    (body,) = shards.build_missing(a_keyspace(), [SlotRange(0, 2048)])
    assert body["metadata"]["name"] == "shop-2048-4096"


def test_a_routing_table_is_read_back_as_it_was_built():
    table = RoutingTable("shop", 3, 4096, tables=(TableRule("users", "user_id"),))
    body = routing.build(a_keyspace(), table, "77")
    assert body["metadata"]["resourceVersion"] == "77"
    assert body["metadata"]["name"] == "shop"
    assert routing.read(body) == table
    assert owner(body) == ("Keyspace", "shop", "uid-of-Keyspace")


def test_a_first_routing_table_has_no_resource_version():
    body = routing.build(a_keyspace(), RoutingTable("shop", 1, 4096))
    assert "resourceVersion" not in body["metadata"]


def test_an_event_names_the_object_and_the_reason():
    body = events.build(with_meta("Shard"), events.WARNING, "NoRoom", "no node", now=NOW)
    assert body["involvedObject"] == {
        "apiVersion": "mitosis.dev/v1alpha1",
        "kind": "Shard",
        "name": "shop-0-2048",
        "namespace": "mitosis",
        "uid": "uid-of-Shard",
    }
    assert (body["type"], body["reason"], body["message"]) == ("Warning", "NoRoom", "no node")
    assert body["lastTimestamp"] == "2026-01-02T03:04:05Z"


def test_the_same_event_has_the_same_name_and_another_one_another():
    def name(message):
        event = events.build(with_meta("Shard"), events.NORMAL, "Made", message, now=NOW)
        return event["metadata"]["name"]

    assert name("one") == name("one")
    assert name("one") != name("two")


def test_a_long_message_is_cut_to_what_kubernetes_takes():
    body = events.build(with_meta("Shard"), events.NORMAL, "Made", "ü" * 1000, now=NOW)
    assert len(body["message"].encode()) <= 1024
    assert body["message"].endswith("ü ...")


def test_names_and_serials_belong_together():
    assert names.serial_of(names.instance("shop-0-2048", 12)) == 12
