"""Helm chart, Secret and keyspace, each brought only when it is not there as it should be."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mitosis_local import images
from mitosis_local.errors import CommandFailed, LocalError
from mitosis_local.paths import CHECKOUT, from_environment
from mitosis_local.progress import Tell, step
from mitosis_local.shell import run, succeeds, wait_for
from mitosis_operator.cli import overview
from mitosis_operator.cli.cluster import Address, KubeCluster
from mitosis_operator.cli.errors import CliError
from mitosis_operator.models.status import KeyspacePhase

RELEASE = "mitosis"
NAMESPACE = "mitosis"
KEYSPACE = "shop"
SECRET = "shop-users"
USERS = ("owner", "app")
CHART = CHECKOUT / "helm" / "mitosis"
EXAMPLE = CHECKOUT / "manifests" / "examples" / "shop.yaml"
ROLLOUT_SECONDS = 180
READY_SECONDS = 300
PAUSE_SECONDS = 1.0
NAMESPACE_MANIFEST = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": NAMESPACE,
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
    },
}


@dataclass(frozen=True)
class Place:
    """A cluster, and the programs to speak to it with."""

    programs: Path
    kubeconfig: Path

    def helm(self, *words: str, text: str | None = None) -> str:
        return self._run("helm", "--namespace", NAMESPACE, *words, text=text)

    def kubectl(self, *words: str, text: str | None = None) -> str:
        return self._run("kubectl", "--namespace", NAMESPACE, *words, text=text)

    def _run(self, program: str, *words: str, text: str | None) -> str:
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        return run(self.programs / program, *words, env=environment, text=text)


def connect(place: Place) -> KubeCluster:
    return KubeCluster.connect(Address(NAMESPACE, str(place.kubeconfig)))


def release(place: Place) -> None:
    """Install or upgrade the chart with the images that were built, and wait until all runs."""
    values = json.dumps(image_values(images.values(images.last_built(from_environment()))))
    with step("Helm chart"):
        place.kubectl("apply", "--filename=-", text=json.dumps(NAMESPACE_MANIFEST))
        if _is_deployed(place, values):
            return
        options = ["--install", "--values=-", f"--timeout={ROLLOUT_SECONDS}s"]
        place.helm("upgrade", RELEASE, str(CHART), *options, text=values)
    with step("operator and gate") as tell:
        for name in ("operator", "gate"):
            _wait_for_rollout(place, f"{RELEASE}-{name}", tell)


def image_values(built: Mapping[str, object]) -> dict[str, object]:
    """Values of the chart: repository and tag of each image."""
    return {name: {"image": image} for name, image in built.items()}


def _is_deployed(place: Place, values: str) -> bool:
    """Whether the release is what the chart would give now; an upgrade would add a revision."""
    try:
        have = json.loads(place.helm("status", RELEASE, "--output=json"))
        version = json.loads(place.kubectl("version", "--output=json"))
    except CommandFailed:
        return False
    kubernetes = version["serverVersion"]["gitVersion"]
    options = ["--no-hooks", f"--kube-version={kubernetes}", "--values=-"]
    wanted = place.helm("template", RELEASE, str(CHART), *options, text=values)
    is_same = wanted.strip() == have["manifest"].strip()
    return bool(have["info"]["status"] == "deployed" and is_same)


def _wait_for_rollout(place: Place, deployment: str, tell: Tell) -> None:
    def is_out() -> bool:
        found = json.loads(place.kubectl("get", "deployment", deployment, "--output=json"))
        wanted, status = found["spec"]["replicas"], found.get("status", {})
        fresh = status.get("observedGeneration") == found["metadata"]["generation"]
        updated, ready = status.get("updatedReplicas", 0), status.get("readyReplicas", 0)
        tell(f"{deployment}: {ready} of {wanted} ready")
        return bool(fresh and updated == ready == wanted == status.get("replicas"))

    try:
        wait_for(deployment, is_out, ROLLOUT_SECONDS, pause_seconds=PAUSE_SECONDS)
    except LocalError as exc:
        pods = place.kubectl("get", "pods", "--output=wide")
        raise LocalError(
            f"{exc}\n{pods}\nread: python -m mitosis_local kubectl -n {NAMESPACE} "
            f"describe pods, and logs deployment/{deployment}"
        ) from exc


def keyspace(place: Place) -> None:
    """Apply the example and wait until all its shards are ready."""
    with step(f"keyspace {KEYSPACE}") as tell:
        _make_passwords(place)
        place.kubectl("apply", f"--filename={EXAMPLE}")
        objects = connect(place)
        try:
            wait_for(
                f"keyspace {KEYSPACE}",
                lambda: _is_ready(objects, tell),
                READY_SECONDS,
                pause_seconds=PAUSE_SECONDS,
            )
        except LocalError as exc:
            raise LocalError(
                f"{exc}\n{describe(objects)}\nread: "
                f"python -m mitosis_local kubectl -n {NAMESPACE} logs deployment/{RELEASE}-operator"
            ) from exc


def _make_passwords(place: Place) -> None:
    """Random ones, once; they are written to the cluster and nowhere else."""
    environment = os.environ | {"KUBECONFIG": str(place.kubeconfig)}
    kubectl = ["env", f"KUBECONFIG={environment['KUBECONFIG']}", str(place.programs / "kubectl")]
    if succeeds(*kubectl, "--namespace", NAMESPACE, "get", "secret", SECRET):
        return
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET},
        "stringData": {user: secrets.token_hex(16) for user in USERS},
    }
    place.kubectl("create", "--filename=-", text=json.dumps(body))


def passwords(objects: KubeCluster) -> Mapping[str, str]:
    return {user: objects.secret_value(SECRET, user) for user in USERS}


def _is_ready(objects: KubeCluster, tell: Tell) -> bool:
    try:
        (view,) = overview.look(objects, KEYSPACE)
    except CliError as exc:
        tell(str(exc))
        return False
    tell(progress_of(view))
    refuse(view)
    return is_ready(view)


def refuse(view: overview.KeyspaceView) -> None:
    """Waiting helps nobody when the operator has refused the keyspace."""
    if view.status.phase is KeyspacePhase.REFUSED:
        raise LocalError(f"the operator refuses {view.name}: {'; '.join(view.remarks)}")


def is_ready(view: overview.KeyspaceView) -> bool:
    status = view.status
    return status.phase is KeyspacePhase.READY and status.ready_shards == status.desired_shards > 0


def progress_of(view: overview.KeyspaceView) -> str:
    if not view.shards:
        return view.status.phase_reason or "no shards yet"
    return ", ".join(
        f"{shard.name} {shard.status.phase.value} {shard.status.ready}".strip()
        for shard in view.shards
    )


def describe(objects: KubeCluster) -> str:
    """All that the objects say is wrong, for the error of a wait that ended in vain."""
    try:
        views = overview.look(objects, KEYSPACE)
    except CliError as exc:
        return str(exc)
    lines = [f"{view.name}: {remark}" for view in views for remark in view.remarks]
    for shard in (shard for view in views for shard in view.shards):
        lines += [f"{shard.name}: {remark}" for remark in shard.remarks]
        lines += [f"{i.name}: {i.state} {i.message}" for i in shard.status.instances if i.message]
    return "\n".join(lines) or "nothing in the status says why"
