import copy
from dataclasses import replace

import pytest

from manifests import good
from mitosis_operator import names
from mitosis_operator.models.shard import Shard
from mitosis_operator.models.template import Mysql
from mitosis_operator.objects import pod
from mitosis_operator.objects.pod import PodSettings

SETTINGS = PodSettings(image="registry.example/default:1")


def a_shard(**template):
    body = good("Shard")
    body["metadata"] |= {"namespace": "mitosis", "uid": "u-1"}
    shard = Shard.from_body(body)
    return replace(shard, template=replace(shard.template, **template))


def build(shard=None, node="node-1", settings=SETTINGS):
    return pod.build(shard or a_shard(), 1, node, settings)


def container(body):
    (only,) = body["spec"]["containers"]
    return only


def test_the_pod_is_named_labelled_and_owned():
    meta = build()["metadata"]
    assert meta["name"] == "shop-0-2048-1"
    assert meta["labels"] == {
        "app.kubernetes.io/name": "mitosis",
        "app.kubernetes.io/component": "instance",
        "app.kubernetes.io/managed-by": "mitosis-operator",
        "mitosis.dev/keyspace": "shop",
        "mitosis.dev/shard": "shop-0-2048",
        "mitosis.dev/instance": "shop-0-2048-1",
        "mitosis.dev/role": "none",
    }
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "mitosis.dev/v1alpha1",
            "kind": "Shard",
            "name": "shop-0-2048",
            "uid": "u-1",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_the_agent_is_told_who_it_is_and_where_things_are():
    env = {e["name"]: e.get("value", e.get("valueFrom")) for e in container(build())["env"]}
    assert env == {
        "MITOSIS_INSTANCE": "shop-0-2048-1",
        "MITOSIS_SHARD": "shop-0-2048",
        "MITOSIS_KEYSPACE": "shop",
        "MITOSIS_NAMESPACE": "mitosis",
        "MITOSIS_SERIAL": "1",
        "MITOSIS_DATA_DIR": "/var/lib/mysql",
        "MITOSIS_RUN_DIR": "/run/mysqld",
        "MITOSIS_TLS_DIR": "/etc/mitosis/tls",
        "MITOSIS_SYSTEM_SECRET_DIR": "/etc/mitosis/system",
        "MITOSIS_CONFIG_DIR": "/etc/mitosis/config",
        "MITOSIS_API_PORT": "8443",
        "MITOSIS_PROBE_PORT": "8080",
        "MITOSIS_MYSQL_PORT": "3306",
        "MITOSIS_POD_IP": {"fieldRef": {"fieldPath": "status.podIP"}},
        "MITOSIS_MEMORY_LIMIT_BYTES": {
            "resourceFieldRef": {"containerName": "mysql", "resource": "limits.memory"}
        },
    }


def test_every_mount_has_its_volume_and_every_volume_its_mount():
    body = build()
    mounts = {m["name"]: m["mountPath"] for m in container(body)["volumeMounts"]}
    volumes = {v.pop("name"): v for v in copy.deepcopy(body["spec"]["volumes"])}
    assert mounts == {
        "data": "/var/lib/mysql",
        "run": "/run/mysqld",
        "tmp": "/tmp",
        "tls": "/etc/mitosis/tls",
        "system": "/etc/mitosis/system",
        "config": "/etc/mitosis/config",
    }
    assert volumes.keys() == mounts.keys()
    assert volumes["data"] == {"persistentVolumeClaim": {"claimName": "shop-0-2048-1"}}
    assert volumes["tls"]["secret"]["secretName"] == "shop-0-2048-1-tls"
    assert volumes["system"]["secret"]["secretName"] == "shop-system"
    assert volumes["config"]["configMap"]["name"] == "shop-0-2048-config"


def test_the_restricted_pod_security_standard_holds():
    spec = build()["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(build())["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    allowed = {"persistentVolumeClaim", "emptyDir", "secret", "configMap"}
    assert all(set(v) - {"name"} <= allowed for v in spec["volumes"])
    assert spec["automountServiceAccountToken"] is False


def test_the_pod_goes_to_the_chosen_node_and_stays_when_it_is_away():
    spec = build(node="node-4")["spec"]
    rule = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["nodeSelectorTerms"] == [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-4"]}]}
    ]
    assert [t["key"] for t in spec["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]
    assert not any("tolerationSeconds" in t for t in spec["tolerations"])


def test_the_bounds_of_the_class_become_requests_and_limits():
    assert container(build())["resources"] == {
        "requests": {"cpu": "1", "memory": "2Gi"},
        "limits": {"cpu": "2", "memory": "4Gi"},
    }


def test_probes_ask_the_agent():
    only = container(build())
    paths = {k: only[k]["httpGet"] for k in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {
        "startupProbe": {"path": "/startupz", "port": "probes"},
        "livenessProbe": {"path": "/healthz", "port": "probes"},
        "readinessProbe": {"path": "/readyz", "port": "probes"},
    }
    assert {"name": "probes", "containerPort": names.PROBE_PORT, "protocol": "TCP"} in only["ports"]


@pytest.mark.parametrize(
    ("image", "expected"),
    [("registry.example/own:2", "registry.example/own:2"), ("", "registry.example/default:1")],
)
def test_the_image_of_the_spec_wins_over_the_setting(image, expected):
    assert container(build(a_shard(mysql=Mysql(image))))["image"] == expected


def test_pull_secrets_are_named_only_when_there_are_some():
    assert "imagePullSecrets" not in build()["spec"]
    settings = replace(SETTINGS, image_pull_secrets=("pull",))
    assert build(settings=settings)["spec"]["imagePullSecrets"] == [{"name": "pull"}]


def test_a_pod_that_the_cluster_filled_in_has_not_drifted():
    live = build()
    live["metadata"]["labels"][names.LABEL_ROLE] = "primary"
    live["spec"]["dnsPolicy"] = "ClusterFirst"
    live["spec"]["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    assert not pod.has_drifted(live, build())


def test_another_spec_is_a_drift():
    assert pod.has_drifted(build(a_shard(mysql=Mysql("registry.example/own:2"))), build())


def test_other_options_of_mysqld_are_a_drift_because_it_reads_them_when_it_starts():
    tuned = a_shard(mysql=Mysql(config={"max_connections": "500"}))
    assert pod.has_drifted(build(tuned), build(a_shard(mysql=Mysql(config={}))))


@pytest.mark.parametrize("revision", ["0-0123456789abcdef", ""])
def test_a_pod_of_an_older_operator_has_not_drifted(revision):
    live = build()
    live["metadata"]["annotations"][names.ANNOTATION_POD_REVISION] = revision
    assert not pod.has_drifted(live, build())


def test_paused_or_a_larger_disk_do_not_change_the_pod():
    shard = a_shard()
    other = a_shard(paused=not shard.template.paused)
    assert pod.revision(build(shard)) == pod.revision(build(other))


def test_the_role_is_a_label():
    assert pod.role_patch("primary") == {"metadata": {"labels": {"mitosis.dev/role": "primary"}}}
