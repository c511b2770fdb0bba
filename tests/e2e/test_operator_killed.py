"""The operator dies after each step of making a shard; the next one goes on from what it sees.

The operator of this test is a process of its own beside the installed one, in a namespace that the
installed one does not serve, so that a death costs no wait for the kubelet.
"""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import wait_until
from world import apply, get, is_true, kubectl, local

from mitosis_local import cluster

pytestmark = pytest.mark.e2e
NAMESPACE, KEYSPACE, SHARD = "faults", "mortal", "mortal-0-4096"
DIED_ON_DEMAND = 70
STEPS_OF_A_SHARD = {
    "add-finalizer",
    "apply-shared",
    "make-certificate",
    "create-volume",
    "create-pod",
    "publish-no-primary",
    "initialise",
    "accounts",
    "clone",
    "follow",
    "promote",
    "publish-serving",
}
ALL_SECONDS = 420


class Operators:
    """One operator after another; never two, because each death is seen before the next start."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._running: subprocess.Popen[bytes] | None = None
        self.deaths = 0

    def start(self, fault: str = "") -> None:
        image = json.loads(local("images", "--print").out)["instance"]
        environment = cluster.environment()
        settings = {
            "MITOSIS_KUBECONFIG": environment["KUBECONFIG"],
            "MITOSIS_NAMESPACE": NAMESPACE,
            "MITOSIS_PREFIX": NAMESPACE,
            "MITOSIS_PROBE_PORT": "18080",
            "MITOSIS_INSTANCE_IMAGE": f"{image['repository']}:{image['tag']}",
            "MITOSIS_FAULT_AFTER_STEP": fault,
        }
        command = cluster.in_hub(Path(sys.executable).with_name("mitosis-operator"))
        with self._log.open("ab") as output:
            self._running = subprocess.Popen(
                command, env=environment | settings, stdout=output, stderr=output
            )

    def live_until(self, done: Callable[[], bool], seconds: float, fault: str = "") -> None:
        """Start the next one whenever one died on demand; any other end is a failure."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {self._tail()}"
            if self._running is None:
                self.start(fault)
            self._bury()
            time.sleep(0.5)

    def stop(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None
            self._free_lease()

    def _bury(self) -> None:
        assert self._running is not None
        code = self._running.poll()
        if code is not None:
            assert code == DIED_ON_DEMAND, f"the operator ended with {code}: {self._tail()}"
            self.deaths += 1
            self._running = None
            self._free_lease()

    def _free_lease(self) -> None:
        """Its holder is known to be dead, so nobody need wait until the Lease has run out."""
        free = json.dumps({"spec": {"holderIdentity": ""}})
        words = ("patch", f"lease/{NAMESPACE}-operator", "--type=merge", "-p", free)
        kubectl(*words, namespace=NAMESPACE, check=False)

    def _tail(self) -> str:
        return "\n".join(self._log.read_text().splitlines()[-30:])


@pytest.fixture
def operators(demo_output: str, tmp_path: Path) -> Iterator[Operators]:
    kubectl("create", "namespace", NAMESPACE)
    operators = Operators(tmp_path / "operator.log")
    try:
        yield operators
    finally:
        operators.stop()
        kubectl("delete", "keyspace", "--all", "--wait=false", namespace=NAMESPACE)
        operators.live_until(lambda: not get("pods", namespace=NAMESPACE), seconds=180)
        operators.live_until(lambda: not get("keyspaces", namespace=NAMESPACE), seconds=60)
        operators.stop()
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def _is_ready() -> bool:
    return is_true(get("keyspace", KEYSPACE, namespace=NAMESPACE), "Ready")


def test_a_shard_comes_to_be_although_the_operator_dies_after_each_step(
    operators: Operators,
) -> None:
    spec = {
        "primaryIDC": "idc-1",
        "tables": [{"name": "t", "shardingKey": "id"}],
        "users": [{"name": "app", "passwordSecret": {"name": "app"}, "grants": ["ALL"]}],
        "deletionPolicy": "Delete",
    }
    apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "app"},
            "stringData": {"password": secrets.token_urlsafe(12)},
        },
        {
            "apiVersion": "mitosis.dev/v1alpha1",
            "kind": "Keyspace",
            "metadata": {"name": KEYSPACE},
            "spec": spec,
        },
        namespace=NAMESPACE,
    )
    operators.live_until(_is_ready, ALL_SECONDS, fault="*")

    shard = get("shard", SHARD, namespace=NAMESPACE)
    died_after = set(shard["metadata"]["annotations"]["mitosis.dev/faults-done"].split(","))
    assert died_after >= STEPS_OF_A_SHARD
    assert operators.deaths >= len(STEPS_OF_A_SHARD)
    claims = get("persistentvolumeclaims", namespace=NAMESPACE)
    assert sorted(c["metadata"]["name"] for c in claims) == [f"{SHARD}-{n}" for n in (1, 2, 3)]
    assert shard["status"]["epoch"] == 1
    assert is_true(shard, "Writable") and is_true(shard, "Replicated")
    table = get("routingtable", KEYSPACE, namespace=NAMESPACE)["spec"]
    assert [s["state"] for s in table["shards"]] == ["serving"]


def test_a_second_operator_takes_over_when_the_leader_is_killed(demo_output: str) -> None:
    """The installed pair: the other leads within the Lease's time and half a minute to spare."""
    before = get("lease", "mitosis-operator")["spec"]
    leader = before["holderIdentity"]
    pods = get("pods", selector="app.kubernetes.io/component=operator")
    name = next(p["metadata"]["name"] for p in pods if leader.startswith(p["metadata"]["name"]))
    kubectl("delete", "pod", name, "--grace-period=0", "--force")

    def taken() -> bool:
        now = get("lease", "mitosis-operator")["spec"]
        other = now["holderIdentity"] not in ("", leader)
        return bool(other and now["leaseTransitions"] > before["leaseTransitions"])

    wait_until("another leader", taken, seconds=45, every=1)
