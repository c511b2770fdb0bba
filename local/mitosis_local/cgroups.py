"""A node's cgroup: what runs in it, freezing it, ending it.

Version 1 has a hierarchy per controller, version 2 one for all. The kubelet makes `kubepods` below
the node's group; containerd, kubelet and kube-proxy run in `system` beside it, so that the group
holds everything that would stop if the machine stopped.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from mitosis_local.errors import LocalError
from mitosis_local.processes import start_time
from mitosis_local.shell import wait_for

ROOT = Path("/sys/fs/cgroup")
SYSTEM = "system"
CONTROLLERS = "+cpu +cpuset +io +memory +pids"


def is_unified() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def hierarchies() -> list[Path]:
    if is_unified():
        return [ROOT]
    found = [path for path in ROOT.iterdir() if (path / "cgroup.procs").exists()]
    return sorted(path for path in found if not path.is_symlink())


def make(name: str) -> None:
    """Make the group of a node in every hierarchy; a second call changes nothing."""
    if is_unified():
        (ROOT / "cgroup.subtree_control").write_text(CONTROLLERS)
    for hierarchy in hierarchies():
        for group in (hierarchy / name, hierarchy / name / SYSTEM):
            group.mkdir(exist_ok=True)
            if hierarchy.name == "cpuset":
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (group / file).write_text((hierarchy / file).read_text())
    if is_unified():
        (ROOT / name / "cgroup.subtree_control").write_text(CONTROLLERS)


def system_groups(name: str) -> list[Path]:
    return [hierarchy / name / SYSTEM for hierarchy in hierarchies()]


def exists(name: str) -> bool:
    return any((hierarchy / name).is_dir() for hierarchy in hierarchies())


def _groups(name: str) -> Iterator[Path]:
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            yield Path(folder)


def processes(name: str) -> set[int]:
    """Everything that runs in the group or below it."""
    found: set[int] = set()
    for group in _groups(name):
        try:
            found.update(int(pid) for pid in (group / "cgroup.procs").read_text().split())
        except OSError:
            continue  # the group went away meanwhile
    return {pid for pid in found if start_time(pid) is not None}


def _freezer(name: str) -> Path:
    return ROOT / name / "cgroup.freeze" if is_unified() else ROOT / "freezer" / name


def is_frozen(name: str) -> bool:
    if is_unified():
        events = ROOT / name / "cgroup.events"
        return events.exists() and "frozen 1" in events.read_text()
    state = _freezer(name) / "freezer.state"
    return state.exists() and state.read_text().strip() == "FROZEN"


def freeze(name: str, seconds: float = 20) -> None:
    """Stop everything in the group between two instructions; return when it stands still."""
    if is_unified():
        _freezer(name).write_text("1")
    else:
        (_freezer(name) / "freezer.state").write_text("FROZEN")
    wait_for(f"cgroup {name} to freeze", lambda: is_frozen(name), seconds, pause_seconds=0.01)


def thaw(name: str) -> None:
    if is_unified():
        _freezer(name).write_text("0")
    else:
        (_freezer(name) / "freezer.state").write_text("THAWED")


def kill(name: str, seconds: float = 30) -> None:
    """End everything in the group at one moment, so that nothing sees the others die.

    Frozen processes take the signal when they thaw, before their next instruction.
    """
    if not exists(name):
        return
    try:
        freeze(name)
    finally:
        _signal_all(name)
        thaw(name)

    def empty() -> bool:
        _signal_all(name)
        return not processes(name)

    wait_for(f"cgroup {name} to be empty after SIGKILL", empty, seconds)


def _signal_all(name: str) -> None:
    for pid in processes(name):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def remove(name: str, seconds: float = 20) -> None:
    def gone() -> bool:
        for group in _groups(name):
            try:
                group.rmdir()
            except OSError:
                continue  # the kernel lets a group go a moment after its last process
        return not exists(name)

    wait_for(f"cgroup {name} to be removed", gone, seconds)


def require_empty(name: str) -> None:
    left = processes(name)
    if left:
        raise LocalError(f"processes {sorted(left)} of {name} are still alive")
