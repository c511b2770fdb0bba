"""Start, look at and take down the cluster."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitosis_local import (
    cgroups,
    controlplane,
    dns,
    images,
    leftovers,
    mounts,
    network,
    nodes,
    prerequisites,
    programs,
    relay,
    rootfs,
    state,
)
from mitosis_local.api import Api, ApiError
from mitosis_local.errors import LocalError
from mitosis_local.network import inside
from mitosis_local.paths import GO_MODULE, Paths, from_environment, only_one
from mitosis_local.processes import Processes
from mitosis_local.progress import say, step
from mitosis_local.shell import wait_for
from mitosis_local.state import Settings, State
from mitosis_local.topology import HUB, Node, topology

NODES_READY_SECONDS = 120


@dataclass(frozen=True)
class NodeStatus:
    node: Node
    running: bool
    frozen: bool
    connected: bool
    ready: bool
    pods: int


@dataclass(frozen=True)
class Status:
    settings: Settings
    api_ready: bool
    dead: tuple[str, ...]
    nodes: tuple[NodeStatus, ...]

    @property
    def healthy(self) -> bool:
        return self.api_ready and not self.dead and all(node.ready for node in self.nodes)


def up(
    settings: Settings | None = None, with_images: bool = False, paths: Paths | None = None
) -> State:
    """Start the cluster, or find it running; what an interrupted start left is removed first.

    A cluster that was up is never thrown away: what stopped is started again, with its data.
    """
    paths, settings = paths or from_environment(), settings or Settings()
    with only_one(paths, "cluster"):
        known = state.load(paths)
        if known is None or not state.is_complete(paths) or not _is_still_there(known):
            return _start(paths, settings, with_images)
        if known.settings != settings:
            raise LocalError(
                f"a local cluster with {_in_words(known.settings)} runs, asked for is one with "
                f"{_in_words(settings)}; take it down first: `python -m mitosis_local down`"
            )
        if _status(paths, known).healthy:
            say(f"the local cluster runs already: {settings.nodes} nodes")
        else:
            _repair(paths, known)
        if with_images:
            load_images(paths)
        return known


def _is_still_there(known: State) -> bool:
    namespaces = [HUB, *(node.namespace for node in known.nodes)]
    return known.boot == state.boot() and all(map(network.exists, namespaces))


def _repair(paths: Paths, known: State) -> None:
    """Undo every fault and start what stopped."""
    say("the local cluster is there but not healthy: starting what stopped")
    for node in known.nodes:
        if cgroups.is_frozen(node.namespace):
            cgroups.thaw(node.namespace)
        network.connect(node)
    _run(paths, known)


def _in_words(settings: Settings) -> str:
    return (
        f"{settings.nodes} nodes of {settings.room_per_node} "
        f"(ports {settings.api_port} and {settings.gate_port})"
    )


def _start(paths: Paths, settings: Settings, with_images: bool) -> State:
    members = topology(settings.nodes)
    with step("prerequisites"):
        prerequisites.ensure(paths)
    with step("Kubernetes' programs, Debian with MySQL") as tell, ThreadPoolExecutor(1) as beside:
        debian = beside.submit(rootfs.ensure, paths)
        folder = programs.ensure(paths, tell)
        debian.result()
    if with_images:
        images.build(paths)
    _require_ours(paths)
    if leftovers.find(paths):
        with step("removing what an earlier cluster left"):
            leftovers.clean(paths)
    with step("images for the nodes"):
        seed = images.seed(paths, folder)
    for port in (settings.api_port, settings.gate_port):
        relay.require_free(port)
    shutil.rmtree(paths.logs, ignore_errors=True)
    started = State(settings, folder, state.boot())
    mounts.share(nodes.shared(paths))
    state.save(paths, started)
    with step("network, certificates and the nodes' files"):
        network.make(members)
        controlplane.write_certificates(paths, members, settings.api_port)
        # early, because it takes longest
        controlplane.start_api_server(paths, folder, Processes(paths))
        leftovers.remember_folders(paths, nodes.make_fixed_folders())
        _each(members, lambda node: _prepare(paths, node, seed))
        _remember_loaded(paths, seed.names)
    _run(paths, started)
    state.complete(paths, True)
    return started


def _prepare(paths: Paths, node: Node, seed: images.Seed) -> None:
    nodes.prepare(paths, node)
    images.copy_seed(seed.root, nodes.layout(paths, node).containerd)


def _run(paths: Paths, known: State) -> None:
    """Start everything that does not run, and wait until all of it is ready."""
    processes, folder, members = Processes(paths), known.programs, known.nodes
    api = controlplane.api_from_host(paths, known.settings.api_port)
    with step("control plane"):
        controlplane.start_api_server(paths, folder, processes)
        _start_relay(paths, known, processes)
        _each(members, lambda node: nodes.start_containerd(paths, node, processes))
        controlplane.wait_for_api(api, processes)
        controlplane.start_controllers(paths, folder, processes)
    with step("name service and disks"):
        dns.start(paths, folder, processes, api)
        _start_disks(paths, known, processes)
    with step(f"{len(members)} nodes"):
        _each(members, lambda node: nodes.start_kubelet(paths, folder, node, processes))
        wait_for(
            "all nodes to be ready",
            lambda: _all_ready(api, members, processes),
            NODES_READY_SECONDS,
            processes.log(nodes.program_name(members[0], "kubelet")),
        )


def _require_ours(paths: Paths) -> None:
    """A machine has room for one cluster; never take down one that lives in another cache folder.

    The state is written before the first namespace is made and goes after the last.
    """
    known = state.load(paths)
    if known and known.boot == state.boot():
        return
    if strangers := leftovers.in_namespaces(network.ours()):
        pid = min(strangers)
        command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:120]
        raise LocalError(
            f"another local cluster runs on this machine, from another cache folder than "
            f"{paths.cache} (process {pid}: {command.strip()}); "
            "take it down with its own MITOSIS_CACHE first"
        )


def _each(members: Sequence[Node], act: Callable[[Node], Any]) -> None:
    with ThreadPoolExecutor(len(members)) as pool:
        list(pool.map(act, members))


def _module(name: str, *arguments: str | Path) -> list[str | Path]:
    """The command line of one of our own background programs, importable from anywhere."""
    return ["env", f"PYTHONPATH={GO_MODULE}", sys.executable, "-m", name, *arguments]


def _start_relay(paths: Paths, started: State, processes: Processes) -> None:
    ports = (started.settings.api_port, started.settings.gate_port)
    command = _module(
        "mitosis_local.relay",
        f"--api-port={ports[0]}",
        f"--gate-port={ports[1]}",
        f"--pki={controlplane.pki(paths)}",
    )
    processes.start("relay", command)


def _start_disks(paths: Paths, started: State, processes: Processes) -> None:
    command = _module(
        "mitosis_local.disks",
        f"--nodes={paths.run / 'nodes'}",
        f"--pki={controlplane.pki(paths)}",
        f"--per-node={started.settings.room_per_node}",
    )
    processes.start("disks", inside(HUB, *command))


def _ready_nodes(api: Api) -> set[str]:
    return {
        node["metadata"]["name"]
        for node in api.items("/api/v1/nodes")
        for condition in node["status"].get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }


def _all_ready(api: Api, members: Sequence[Node], processes: Processes) -> bool:
    for name in processes.names():
        processes.ensure_alive(name)
    return {node.name for node in members} <= _ready_nodes(api)


def down(paths: Paths | None = None) -> None:
    """Take everything down and make sure that nothing is left."""
    paths = paths or from_environment()
    with only_one(paths, "cluster"):
        _require_ours(paths)
        if not leftovers.find(paths):
            say("no local cluster is there")
            return
        with step("taking the local cluster down"):
            state.complete(paths, False)
            leftovers.clean(paths)
    if left := leftovers.find(paths):
        raise LocalError("these are still there: " + ", ".join(left))


def status(paths: Paths | None = None) -> Status:
    paths = paths or from_environment()
    return _status(paths, state.require(paths))


def _status(paths: Paths, known: State) -> Status:
    processes = Processes(paths)
    try:
        api = controlplane.api_from_host(paths, known.settings.api_port)
        api_ready = api.is_ready()
        ready = _ready_nodes(api) if api_ready else set()
        pods = api.items("/api/v1/pods") if api_ready else []
    except (ApiError, OSError):
        api_ready, ready, pods = False, set(), []
    found = tuple(
        NodeStatus(
            node,
            running=processes.alive(nodes.program_name(node, "kubelet")),
            frozen=cgroups.is_frozen(node.namespace),
            connected=network.exists(HUB) and network.is_connected(node),
            ready=node.name in ready,
            pods=sum(pod["spec"].get("nodeName") == node.name for pod in pods),
        )
        for node in known.nodes
    )
    dead = tuple(name for name in processes.names() if not processes.alive(name))
    return Status(known.settings, api_ready, dead, found)


def load_images(paths: Paths | None = None) -> images.Tags:
    """Build what changed and bring it to the nodes of the running cluster."""
    paths = paths or from_environment()
    known = state.require(paths)
    _require_running(paths, known)
    tags = images.build(paths)
    names = images.references(tags)
    with step("images to the nodes"):
        has = images.layers_of(paths, _loaded(paths))
        archive = paths.run / "images.tar"
        images.archive_for(paths, names, has, archive)
        _each(known.nodes, lambda node: nodes.import_images(paths, node, archive))
        archive.unlink()
        _remember_loaded(paths, [*_loaded(paths), *names])
    return tags


def _require_running(paths: Paths, known: State) -> None:
    processes = Processes(paths)
    for node in known.nodes:
        if not processes.alive(nodes.program_name(node, "containerd")):
            raise LocalError(f"{node.name} is off and cannot take images; start it first")


def _loaded(paths: Paths) -> list[str]:
    """Images that every node has."""
    found: list[str] = json.loads((paths.run / "loaded.json").read_text())
    return found


def _remember_loaded(paths: Paths, names: Sequence[str]) -> None:
    (paths.run / "loaded.json").write_text(json.dumps(sorted(set(names))))


def environment(paths: Paths | None = None) -> dict[str, str]:
    """Environment of programs that run in the hub."""
    paths = paths or from_environment()
    known = state.require(paths)
    path = f"{known.programs}:{paths.bin}:{os.environ.get('PATH', '')}"
    return os.environ | {"KUBECONFIG": str(paths.run / "kubeconfig-hub"), "PATH": path}


def in_hub(*command: str | Path) -> list[str]:
    """The command line that runs a program in the hub, where pods are reached by address."""
    return [str(word) for word in inside(HUB, *command)]
