"""Find and remove what a cluster leaves on the machine, however it ended."""

import json
import os
import shutil
from pathlib import Path

from mitosis_local import cgroups, mounts, network
from mitosis_local.paths import Paths
from mitosis_local.processes import Processes, kill
from mitosis_local.shell import run, wait_for

LOOP_SECONDS = 20


def _made(paths: Paths) -> Path:
    return paths.cache / "made-folders.json"


def remember_folders(paths: Paths, made: list[Path]) -> None:
    """Keep which fixed folders were not on the machine before, so that they can go again."""
    known = set(made_folders(paths)) | set(made)
    _made(paths).write_text(json.dumps(sorted(map(str, known))))


def made_folders(paths: Paths) -> list[Path]:
    try:
        return [Path(name) for name in json.loads(_made(paths).read_text())]
    except FileNotFoundError:
        return []


def groups() -> list[str]:
    """Cgroups of nodes, whoever made them and whenever."""
    found = {
        path.name
        for hierarchy in cgroups.hierarchies()
        for path in hierarchy.glob("mitosis-node-*")
    }
    return sorted(found)


def in_namespaces(namespaces: list[str]) -> set[int]:
    """Processes that live in one of the network namespaces."""
    inodes = {(network.FOLDER / name).stat().st_ino for name in namespaces}
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                inode = (entry / "ns" / "net").stat().st_ino
            except OSError:
                continue
            if inode in inodes:
                found.add(int(entry.name))
    return found - {os.getpid()}


def clean(paths: Paths) -> None:
    """Remove everything; works without any record of what was started."""
    processes, namespaces = Processes(paths), network.ours()
    for group in groups():
        cgroups.kill(group)
    processes.kill(*processes.names())
    kill(in_namespaces(namespaces))
    mounts.unmount(paths.run)
    for device in mounts.loop_devices():
        run("losetup", "--detach", device)
    wait_for(
        "the loop devices to go",
        lambda: not mounts.loop_devices(),
        LOOP_SECONDS,
    )
    for namespace in namespaces:
        network.remove(namespace)
    for group in groups():
        cgroups.remove(group)
    for folder in made_folders(paths):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    _made(paths).unlink(missing_ok=True)
    if paths.run.exists() and not mounts.below(paths.run):
        shutil.rmtree(paths.run)


def find(paths: Paths) -> list[str]:
    """Describe what is still there; empty when the machine is as it was."""
    processes = Processes(paths)
    found = [f"process {processes.pid(name)} ({name})" for name in processes.names()]
    found += [f"network namespace {name}" for name in network.ours()]
    found += [f"cgroup {name}" for name in groups()]
    found += [f"mount {path}" for path in mounts.below(paths.run)]
    found += [f"loop device {name}" for name in mounts.loop_devices()]
    found += [f"folder {path}" for path in made_folders(paths) if path.exists()]
    if paths.run.exists():
        found.append(f"folder {paths.run}")
    return found
