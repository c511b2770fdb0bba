"""Break the cluster on purpose, and repair it: for tests and for those who want to see."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mitosis_local import capacity, cgroups, controlplane, network, nodes, state
from mitosis_local.errors import LocalError
from mitosis_local.paths import Paths, from_environment
from mitosis_local.processes import Processes
from mitosis_local.shell import run
from mitosis_local.state import State
from mitosis_local.topology import Node, node_named

FILLER = ".filled-by-mitosis-local"


def _find(name: str, paths: Paths | None) -> tuple[Paths, State, Node]:
    paths = paths or from_environment()
    known = state.require(paths)
    return paths, known, node_named(name, known.nodes)


def kill_node(name: str, paths: Paths | None = None) -> None:
    """Pull a node's plug: silence on the network first, then everything ends at one moment.

    The cable goes first because a machine without power sends no FIN and no RST.
    """
    _, _, node = _find(name, paths)
    network.disconnect(node)
    cgroups.kill(node.namespace)
    cgroups.require_empty(node.namespace)


def start_node(name: str, paths: Paths | None = None) -> None:
    """Switch a killed node on again, with its disks and images; nothing happens when it runs."""
    paths, known, node = _find(name, paths)
    processes = Processes(paths)
    if processes.alive(nodes.program_name(node, "kubelet")):
        return
    network.connect(node)
    nodes.start_containerd(paths, node, processes)
    nodes.start_kubelet(paths, known.programs, node, processes)


def freeze(name: str, paths: Paths | None = None) -> None:
    """Stop a whole node between two instructions: connections open, nothing answers."""
    cgroups.freeze(_find(name, paths)[2].namespace)


def thaw(name: str, paths: Paths | None = None) -> None:
    """Let a frozen node go on as if nothing had been."""
    cgroups.thaw(_find(name, paths)[2].namespace)


def cut(name: str, paths: Paths | None = None) -> None:
    """Take a node off the network; its pods keep running."""
    network.disconnect(_find(name, paths)[2])


def heal(name: str, paths: Paths | None = None) -> None:
    network.connect(_find(name, paths)[2])


@dataclass(frozen=True)
class Disk:
    """A mounted volume of a claim."""

    claim: str
    node: str
    mount: Path


def disks(paths: Paths | None = None) -> list[Disk]:
    paths = paths or from_environment()
    known = state.require(paths)
    api = controlplane.api_from_host(paths, known.settings.api_port)
    found = []
    for volume in api.items("/api/v1/persistentvolumes"):
        local, claim = volume["spec"].get("local"), volume["spec"].get("claimRef")
        if local and claim:
            mount = Path(local["path"])
            found.append(Disk(claim["name"], mount.parents[1].name, mount))
    return found


def _chosen(target: str, paths: Paths | None) -> Sequence[Disk]:
    known = disks(paths)
    chosen = [disk for disk in known if target in (disk.claim, disk.node)]
    if not chosen:
        claims = ", ".join(disk.claim for disk in known) or "none"
        raise LocalError(f"{target!r} is neither a claim nor a node with claims; claims: {claims}")
    return chosen


def fill(target: str, percent: float, paths: Paths | None = None) -> None:
    """Use up a claim's volume, or all volumes of a node, until `percent` of it is taken."""
    for disk in _chosen(target, paths):
        filler = disk.mount / FILLER
        filler.unlink(missing_ok=True)
        room = os.statvfs(disk.mount)
        total = room.f_blocks * room.f_frsize
        used = total - room.f_bavail * room.f_frsize
        more = min(capacity.fill_bytes(total, used, percent), room.f_bavail * room.f_frsize)
        if more:
            run("fallocate", "--length", str(more), filler)


def unfill(target: str, paths: Paths | None = None) -> None:
    for disk in _chosen(target, paths):
        (disk.mount / FILLER).unlink(missing_ok=True)
