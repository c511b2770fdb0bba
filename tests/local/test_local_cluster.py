"""The local cluster keeps its promises: nodes, names, disks, faults. Runs on the real one."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from mitosis_local import cgroups, cluster, faults, images
from mitosis_local.capacity import quantity
from mitosis_local.errors import LocalError
from mitosis_local.nodes import KERNEL_SETTINGS
from mitosis_local.paths import from_environment
from mitosis_local.processes import Processes
from mitosis_local.shell import run, wait_for
from mitosis_local.state import Settings, State

pytestmark = pytest.mark.e2e
SPACE = "local-cluster-test"
SERVER = "cd /data; echo $(hostname) >> started; exec python3 -m http.server 8000 --directory /data"
CLAIM_SIZE = "1Gi"
GIB = 1 << 30
SECONDS = 120


def kubectl(*words: str, text: str | None = None) -> str:
    paths = from_environment()
    command = [paths.bin / "kubectl", "--kubeconfig", paths.kubeconfig, "--namespace", SPACE]
    return run(*command, *words, text=text)


def get(*words: str) -> Any:
    return json.loads(kubectl("get", *words, "--output=json"))


def workload(replicas: int) -> dict[str, Any]:
    """A web server with a disk on every node, as restricted as the product's own pods."""
    labels = {"app": "web"}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }
    container = {
        "name": "web",
        "image": images.base_name(),
        "command": ["sh", "-c", SERVER],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "readinessProbe": {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": CLAIM_SIZE}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web"},
        "spec": {
            "serviceName": "web",
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "topologySpreadConstraints": [spread],
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 999,
                        "fsGroup": 999,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }


def apply(*bodies: dict[str, Any]) -> None:
    kubectl("apply", "--filename=-", text="\n---\n".join(map(json.dumps, bodies)))


@pytest.fixture(scope="module")
def pods() -> Iterator[dict[str, str]]:
    """Node -> pod of a workload with one pod and one disk on each node."""
    known = cluster.up()
    meta = {"name": SPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    port = {"name": "http", "port": 80, "targetPort": 8000}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [port]},
    }
    apply(service, workload(len(known.nodes)))
    try:
        kubectl("rollout", "status", "statefulset/web", f"--timeout={SECONDS}s")
        found = get("pods")["items"]
        yield {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in found}
    finally:
        kubectl("delete", "namespace", SPACE, "--timeout=120s")


def inside(pod: str, script: str) -> str:
    return kubectl("exec", pod, "--", "python3", "-c", script)


def ready(kind: str, name: str, value: str = "True") -> Callable[[], bool]:
    def look() -> bool:
        conditions = get(kind, name)["status"]["conditions"]
        return any(c["type"] == "Ready" and c["status"] == value for c in conditions)

    return look


def answers(pod: str) -> bool:
    """Whether a pod serves, asked from the hub."""
    address = get("pod", pod)["status"].get("podIP", "")
    command = cluster.in_hub("curl", "-s", "-m", "2", "-o", "/dev/null", f"{address}:8000")
    return bool(address) and subprocess.run(command).returncode == 0


def test_the_cluster_is_healthy_and_a_second_up_changes_nothing(pods: dict[str, str]) -> None:
    before = cluster.status()
    assert before.healthy
    known: State = cluster.up()
    assert known.settings == before.settings
    assert len(pods) == len(known.nodes), "one pod and one disk on every node"


def test_other_settings_are_refused_while_it_runs(pods: dict[str, str]) -> None:
    with pytest.raises(LocalError, match="take it down first"):
        cluster.up(Settings(nodes=1))


def test_every_pod_reaches_every_other_by_the_name_of_the_service(pods: dict[str, str]) -> None:
    script = (
        "import urllib.request as u\n"
        "ask = lambda: u.urlopen('http://web/started', timeout=5).read().decode().split()[-1]\n"
        "print(*{ask() for _ in range(60)})"
    )
    for pod in pods.values():
        wait_until(  # each node learns of ready pods in its own time
            f"{pod} reaches all",
            lambda p=pod: set(inside(p, script).split()) == set(pods.values()),
            seconds=60,
        )


def test_pods_reach_the_api_server_and_names_of_others_do_not_exist(pods: dict[str, str]) -> None:
    pod = next(iter(pods.values()))
    script = (
        "import socket, ssl, urllib.request as u\n"
        "folder = '/var/run/secrets/kubernetes.io/serviceaccount/'\n"
        "trust = ssl.create_default_context(cafile=folder + 'ca.crt')\n"
        "address = 'https://kubernetes.default.svc/version'\n"
        "print('gitVersion' in u.urlopen(address, context=trust, timeout=5).read().decode())\n"
        "try: print(socket.gethostbyname('example.org'))\n"
        "except socket.gaierror: print('unknown')"
    )
    assert inside(pod, script).split() == ["True", "unknown"]


def test_a_disk_grows_while_it_is_used(pods: dict[str, str]) -> None:
    pod = pods["node-1"]
    size = "import os; s = os.statvfs('/data'); print(s.f_blocks * s.f_frsize)"
    before, claim = int(inside(pod, size)), f"data-{pod}"
    larger = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    kubectl("patch", "pvc", claim, "--patch", json.dumps(larger))
    wait_for(
        "the claim to have grown",
        lambda: get("pvc", claim)["status"]["capacity"]["storage"] == "3Gi",
        30,
    )
    assert before < GIB and 2 * GIB < int(inside(pod, size)) < 3 * GIB
    assert get("pod", pod)["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_disk_is_filled_and_given_back(pods: dict[str, str]) -> None:
    pod = pods["node-2"]
    used = "import os; s = os.statvfs('/data'); print(100 - 100 * s.f_bavail / s.f_blocks)"
    before = float(inside(pod, used))
    faults.fill(f"data-{pod}", 84)
    assert float(inside(pod, used)) == pytest.approx(84, abs=1)
    faults.unfill(f"data-{pod}")
    assert float(inside(pod, used)) == pytest.approx(before, abs=1)


def test_the_room_of_a_node_counts_what_its_disks_take(pods: dict[str, str]) -> None:
    def taken() -> dict[str, int]:
        found = json.loads(kubectl("get", "pv", "--output=json"))["items"]
        sums: dict[str, int] = {}
        for volume in found:
            node = volume["metadata"]["annotations"].get("disks.local.mitosis.dev/node")
            size = volume["spec"]["capacity"]["storage"]
            sums[node] = sums.get(node, 0) + quantity(size)
        return sums

    total = quantity(cluster.status().settings.room_per_node)
    listed = ("get", "csistoragecapacities", "--namespace=kube-system", "--output=json")

    def agrees() -> bool:
        published = {
            item["nodeTopology"]["matchLabels"]["kubernetes.io/hostname"]: quantity(
                item["capacity"]
            )
            for item in json.loads(kubectl(*listed))["items"]
        }
        return published == {node: total - taken().get(node, 0) for node in pods}

    wait_for("the published room to agree with the volumes", agrees, 30)


def test_a_killed_node_is_silent_and_comes_back_with_its_data(pods: dict[str, str]) -> None:
    node = "node-5"
    pod = pods[node]
    faults.kill_node(node)
    try:
        assert cgroups.processes(f"mitosis-{node}") == set()
        assert not cluster.status().healthy
        assert not answers(pod)
        wait_for(f"{node} to be missed", ready("node", node, "Unknown"), 60)
    finally:
        faults.start_node(node)
    wait_for(f"{node} to be ready", ready("node", node), SECONDS)
    wait_for(f"{pod} to serve again", lambda: answers(pod), SECONDS)
    script = "print(len(open('/data/started').read().split()))"
    assert int(inside(pod, script)) == 2, "the same disk, started twice"


def test_a_frozen_node_accepts_connections_and_answers_nothing_until_it_thaws(
    pods: dict[str, str],
) -> None:
    node = "node-4"
    pod = pods[node]
    address = get("pod", pod)["status"]["podIP"]
    faults.freeze(node)
    try:
        connects = f"exec 3<>/dev/tcp/{address}/8000"
        assert (
            subprocess.run(cluster.in_hub("timeout", "2", "bash", "-c", connects)).returncode == 0
        )
        assert not answers(pod)
        # one request stays under way and is answered after the thaw, by the same process
        waiting = cluster.in_hub("curl", "-s", "-m", "60", "-o", os.devnull, f"{address}:8000")
        with subprocess.Popen(waiting) as request:
            assert request.poll() is None
            faults.thaw(node)
            assert request.wait(60) == 0
    finally:
        faults.thaw(node)
    assert get("pod", pod)["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_cut_node_is_missed_and_healed_without_a_restart(pods: dict[str, str]) -> None:
    node = "node-3"
    pod = pods[node]
    faults.cut(node)
    try:
        assert not answers(pod)
        assert cgroups.processes(f"mitosis-{node}"), "a cut node keeps running"
        wait_for(f"{node} to be missed", ready("node", node, "Unknown"), 60)
    finally:
        faults.heal(node)
    wait_for(f"{node} to be ready", ready("node", node), SECONDS)
    wait_for(f"{pod} to answer", lambda: answers(pod), SECONDS)
    assert get("pod", pod)["status"]["containerStatuses"][0]["restartCount"] == 0


def test_the_hosts_own_network_and_kernel_settings_are_untouched(pods: dict[str, str]) -> None:
    assert "172.30." not in run("ip", "route") and "10.244." not in run("ip", "route")
    assert "KUBE" not in run("iptables", "-S")
    kubelet = Processes(from_environment()).pid("node-1-kubelet")
    for name in KERNEL_SETTINGS:
        own, hosts = Path(f"/proc/{kubelet}/root/proc/sys/{name}"), Path(f"/proc/sys/{name}")
        assert not own.samefile(hosts), f"the kubelet would write {name} of the host"
