"""The chart gives what it says, with no more rights than needed, and refuses what cannot work."""

import json
import subprocess
import tomllib
from typing import Any

import chart
import pytest
import script_files
import yaml

from mitosis_gate import merge_server
from mitosis_gate import settings as gate_settings
from mitosis_operator import names
from mitosis_operator.settings import Settings as OperatorSettings

DIGEST = "sha256:" + "0" * 64
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "own registry and digest": {
        "image": {"registry": "registry.example.com/db", "pullSecrets": ["pull"]},
        "gate": {"image": {"digest": DIGEST}},
    },
    "two namespaces": {"namespaces": ["shop", "bank"]},
    "monitoring": {
        "metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    },
    "load balancer": {"gate": {"service": {"type": "LoadBalancer", "nodePort": 30306}}},
    "pinned": {
        "operator": {
            "nodeSelector": {"role": "db"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "high",
            "extraEnv": [{"name": "MITOSIS_POLL_SECONDS", "value": "1"}],
        }
    },
    "no CRDs": {"crds": {"install": False}},
}
BAD = {
    "unknown key": {"replicas": 3},
    "unknown nested key": {"gate": {"replica": 3}},
    "negative replicas": {"operator": {"replicas": -1}},
    "text for a number": {"gate": {"drainSeconds": "long"}},
    "unknown log level": {"operator": {"logLevel": "LOUD"}},
    "broken digest": {"gate": {"image": {"digest": "sha256:abc"}}},
    "unknown service type": {"gate": {"service": {"type": "Public"}}},
    "namespace that is no name": {"namespaces": ["Shop_1"]},
    "unknown pull policy": {"image": {"pullPolicy": "Sometimes"}},
    "no workers": {"gate": {"workers": 0}},
}
everything = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


@everything
def test_every_pod_satisfies_the_restricted_standard(values: dict[str, Any]) -> None:
    specs = list(chart.pod_specs(chart.render(values)))
    assert {name for name, _ in specs} == {"mitosis-operator", "mitosis-gate", "mitosis-test"}
    for name, spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        for container in spec.get("initContainers", []) + spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["requests"], name
            assert container["resources"]["limits"]["memory"], name
        for volume in spec.get("volumes", []):
            assert volume.keys() & {"secret", "emptyDir"}, name


@everything
def test_no_right_is_given_by_wildcard(values: dict[str, Any]) -> None:
    objects = chart.render(values)
    roles = chart.pick(objects, "Role") + chart.pick(objects, "ClusterRole")
    assert roles
    for role in roles:
        for rule in role["rules"]:
            for words in rule.values():
                assert "*" not in words, role["metadata"]["name"]


def test_rights_in_the_whole_cluster_are_to_read_nodes_and_storage() -> None:
    (role,) = chart.pick(chart.render(), "ClusterRole")
    assert {resource for rule in role["rules"] for resource in rule["resources"]} == {
        "nodes",
        "storageclasses",
        "csistoragecapacities",
    }
    assert {v for rule in role["rules"] for v in rule["verbs"]} == {"get", "list", "watch"}


def test_rights_on_keyspaces_are_given_in_the_named_namespaces_only() -> None:
    objects = chart.render({"namespaces": ["shop", "bank"]})
    places = {
        (role["metadata"]["name"], role["metadata"]["namespace"])
        for role in chart.pick(objects, "Role")
    }
    assert places == {
        ("mitosis-operator-release", "mitosis"),
        *(
            (name, place)
            for name in ("mitosis-operator", "mitosis-gate")
            for place in ("shop", "bank")
        ),
    }
    for binding in chart.pick(objects, "RoleBinding"):
        assert {subject["namespace"] for subject in binding["subjects"]} == {"mitosis"}


def test_the_gate_may_only_read_and_lists_no_secrets() -> None:
    role = chart.one(chart.render(), "Role", "mitosis-gate")
    rights = {r: set(rule["verbs"]) for rule in role["rules"] for r in rule["resources"]}
    assert rights == {"routingtables": {"get", "list", "watch"}, "secrets": {"get"}}


@pytest.mark.parametrize("resource", ["keyspaces", "secrets", "configmaps", "routingtables"])
def test_the_operator_deletes_nothing_that_people_made(resource: str) -> None:
    """What it made itself there goes with its owner, by Kubernetes' own garbage collection."""
    for role in chart.pick(chart.render(), "Role"):
        for rule in role["rules"]:
            assert resource not in rule["resources"] or "delete" not in rule["verbs"]


def test_open_transactions_have_time_before_the_gate_is_killed() -> None:
    deployment = chart.one(
        chart.render({"gate": {"drainSeconds": 100}}), "Deployment", "mitosis-gate"
    )
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert chart.environment(container)["MITOSIS_GATE_DRAIN_SECONDS"] == "100"
    assert spec["terminationGracePeriodSeconds"] > 100 + pause


def test_the_gate_reads_what_the_chart_tells_it() -> None:
    hold = {"slots": 9, "seconds": 1.5, "eventSeconds": 3, "pauseSeconds": 4}
    values = {
        "namespaces": ["shop", "bank"],
        "gate": {
            **{"workers": 3, "tls": {"require": True}, "maxClients": 7, "maxBackends": 5},
            **{"hold": hold, "leaseSeconds": 77, "lockWaitSeconds": 6},
        },
    }
    deployment = chart.one(chart.render(values), "Deployment", "mitosis-gate")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = chart.environment(container)
    known = {f.upper() for f in gate_settings.Settings.__dataclass_fields__}
    prefix = gate_settings.ENVIRONMENT_PREFIX
    assert {name.removeprefix(prefix) for name in environment} <= known
    settings = gate_settings.from_arguments([], environment)
    assert settings.namespaces == ("bank", "shop")
    assert (settings.workers, settings.max_clients, settings.max_backends) == (3, 7, 5)
    assert settings.require_tls and settings.tls_dir is not None
    assert (settings.hold_slots, settings.hold_seconds) == (9, 1.5)
    assert (settings.hold_event_seconds, settings.hold_pause_seconds) == (3, 4)
    assert (settings.lease_seconds, settings.lock_wait_seconds) == (77, 6)
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert mounts["tls"] == str(settings.tls_dir)
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert ports == {
        "mysql": settings.listen_port,
        "http": settings.admin_port,
        "door": settings.door_port,
    }
    assert mounts["door-tls"] == str(settings.door_tls_dir)
    assert settings.door_port == names.GATE_DOOR_PORT


def test_the_merge_server_is_a_sidecar_with_memory_for_its_data() -> None:
    merge = {"maxRows": 5, "maxBytes": 300_000_000, "concurrency": 3, "sizeLimit": "64Mi"}
    deployment = chart.one(chart.render({"gate": {"merge": merge}}), "Deployment", "mitosis-gate")
    spec = deployment["spec"]["template"]["spec"]
    (gate,) = spec["containers"]
    (sidecar,) = spec["initContainers"]
    assert sidecar["restartPolicy"] == "Always", "or the gate would wait for its end"
    assert "readinessProbe" not in sidecar, "a gate without merge server serves all else"
    assert sidecar["image"] == gate["image"]
    settings = gate_settings.from_arguments([], chart.environment(gate))
    assert settings.merge_socket is not None
    assert (settings.merge_max_rows, settings.merge_max_bytes) == (5, 300_000_000)
    assert settings.merge_concurrency == 3
    folders = {m["name"]: m["mountPath"] for m in sidecar["volumeMounts"]}
    seen = {m["name"]: m["mountPath"] for m in gate["volumeMounts"]}
    assert seen["merge-socket"] == folders["merge-socket"] == str(settings.merge_socket.parent)
    assert "merge-data" not in seen
    volumes = {v["name"]: v.get("emptyDir") for v in spec["volumes"]}
    assert volumes["merge-data"] == {"medium": "Memory", "sizeLimit": "64Mi"}
    with pytest.raises(SystemExit) as ended:
        merge_server.run([*sidecar["command"][1:], *sidecar["args"], "--help"])
    assert ended.value.code == 0


def test_without_merge_server_the_gate_knows_of_none() -> None:
    objects = chart.render({"gate": {"merge": {"enabled": False}}})
    spec = chart.one(objects, "Deployment", "mitosis-gate")["spec"]["template"]["spec"]
    assert "initContainers" not in spec
    assert "merge" not in json.dumps(spec)


def test_the_operator_reads_what_the_chart_tells_it() -> None:
    values = {
        "namespaces": ["shop"],
        "fullnameOverride": "db",
        "topology": {"idcLabel": "example.com/idc", "rackLabel": "example.com/rack"},
        "instance": {"image": {"repository": "mysql-and-agent", "tag": "9"}},
        "operator": {"workers": 3, "logLevel": "DEBUG"},
    }
    objects = chart.render(values)
    (container,) = chart.one(objects, "Deployment", "db-operator")["spec"]["template"]["spec"][
        "containers"
    ]
    settings = OperatorSettings.from_environment(
        chart.environment(container) | {"MITOSIS_NAMESPACE": "mitosis"}
    )
    assert (settings.namespaces, settings.prefix) == (("shop",), "db")
    assert (settings.idc_label, settings.rack_label) == ("example.com/idc", "example.com/rack")
    assert settings.instance_image == "mysql-and-agent:9"
    assert settings.gate_service == "db-gate.mitosis.svc:3306"
    assert (settings.workers, settings.log_level) == (3, "DEBUG")
    assert container["ports"][0]["containerPort"] == settings.probe_port
    role = chart.one(objects, "Role", "db-operator-release")
    named = {n for rule in role["rules"] for n in rule.get("resourceNames", [])}
    assert named == {
        settings.lease_name,
        settings.ca_secret,
        settings.operator_tls_secret,
        settings.gate_tls_secret,
    }


def test_an_own_certificate_takes_the_place_of_the_made_one() -> None:
    objects = chart.render({"gate": {"tls": {"secretName": "public-tls"}}})
    spec = chart.one(objects, "Deployment", "mitosis-gate")["spec"]["template"]["spec"]
    secrets = [v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v]
    assert secrets == ["public-tls", "mitosis-gate-tls"], "the operator's door keeps the made one"


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "mitosis/gate:{version}"),
        ({"gate": {"image": {"tag": "7"}}}, "mitosis/gate:7"),
        ({"image": {"registry": "r.example.com/"}}, "r.example.com/mitosis/gate:{version}"),
        (VALUES["own registry and digest"], f"registry.example.com/db/mitosis/gate@{DIGEST}"),
    ],
)
def test_images_come_from_registry_repository_and_tag_or_digest(
    values: dict[str, Any], image: str
) -> None:
    deployment = chart.one(chart.render(values), "Deployment", "mitosis-gate")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == image.format(version=_version())


def test_a_single_replica_has_no_budget_that_would_block_a_drain() -> None:
    budgets = chart.pick(chart.render({"operator": {"replicas": 1}}), "PodDisruptionBudget")
    assert [b["metadata"]["name"] for b in budgets] == ["mitosis-gate"]


def test_selectors_find_their_own_pods_only() -> None:
    objects = chart.render()
    labels = {
        d["metadata"]["name"]: d["spec"]["template"]["metadata"]["labels"]
        for d in chart.pick(objects, "Deployment")
    }
    services = {
        s["metadata"]["name"]: s["spec"]["selector"] for s in chart.pick(objects, "Service")
    }
    for service, selector in services.items():
        found = {d for d, have in labels.items() if selector.items() <= have.items()}
        assert found == {service.removesuffix("-admin").removesuffix("-peers")}


def test_gates_find_each_other_and_share_a_key() -> None:
    objects = chart.render()
    gate = chart.one(objects, "Deployment", "mitosis-gate")
    containers = gate["spec"]["template"]["spec"]["containers"]
    (container,) = [c for c in containers if c["name"] == "gate"]
    told = {e["name"]: e["value"] for e in container["env"] if "value" in e}
    host, port = told["MITOSIS_GATE_PEERS"].split(":")
    (service,) = [
        s
        for s in chart.pick(objects, "Service")
        if host == f"{s['metadata']['name']}.{s['metadata']['namespace']}.svc"
    ]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"]
    assert [str(p["port"]) for p in service["spec"]["ports"]] == [port]
    mounts = [m["mountPath"] for m in container["volumeMounts"]]
    assert told["MITOSIS_GATE_PEERS_KEY_FILE"].rpartition("/")[0] in mounts


def test_crds_stay_when_the_release_goes() -> None:
    crds = chart.pick(chart.render(), "CustomResourceDefinition")
    assert {c["spec"]["names"]["kind"] for c in crds} == {"Keyspace", "Shard", "RoutingTable"}
    for crd in crds:
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert not chart.pick(chart.render(VALUES["no CRDs"]), "CustomResourceDefinition")


def test_monitoring_is_there_when_asked_for() -> None:
    assert not chart.pick(chart.render(), "ServiceMonitor")
    objects = chart.render(VALUES["monitoring"])
    services = chart.pick(objects, "Service")
    for monitor in chart.pick(objects, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        (service,) = (s for s in services if selector.items() <= s["metadata"]["labels"].items())
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    (rule,) = chart.pick(objects, "PrometheusRule")
    for group in rule["spec"]["groups"]:
        for alert in group["rules"]:
            assert alert["annotations"].keys() == {"summary", "description"}


def test_alerts_watch_figures_that_the_programs_show() -> None:
    import re

    from prometheus_client import REGISTRY

    from mitosis_gate import metrics as gate_metrics
    from mitosis_operator import metrics as operator_metrics

    assert operator_metrics.LEADER
    shown = {
        name
        for registry in (REGISTRY, gate_metrics.REGISTRY)
        for metric in registry.collect()
        for name in (metric.name, f"{metric.name}_total")
    }
    alerts = (chart.CHART / "files" / "alerts.yaml").read_text()
    expressions = " ".join(
        alert["expr"] for group in yaml.safe_load(alerts) for alert in group["rules"]
    )
    watched = set(re.findall(r"mitosis_[a-z_]+", expressions))
    assert watched and watched <= shown


@pytest.mark.parametrize("values", BAD.values(), ids=BAD)
def test_bad_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(chart.Refused, match="don't meet the specifications of the schema"):
        chart.render(values)


def test_every_value_has_a_rule_in_the_schema() -> None:
    """What values.yaml offers passes, and a misspelled neighbour of each value does not."""
    values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
    for section, body in values.items():
        wrong = {f"{section}x": body}
        with pytest.raises(chart.Refused):
            chart.render(wrong)
    assert chart.render(values) == chart.render()


def test_the_chart_passes_lint() -> None:
    command = [chart.generate.helm(), "lint", "--strict", str(chart.CHART)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_chart_and_project_have_one_version() -> None:
    described = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
    assert described["version"] == described["appVersion"] == _version()


def _version() -> str:
    project = tomllib.loads((script_files.ROOT / "pyproject.toml").read_text())
    return str(project["project"]["version"])
