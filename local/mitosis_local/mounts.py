"""Mounts and loop devices below the cluster's folder."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from mitosis_local.shell import run

DISK = re.compile(r"/node-\d+/disks/pvc-[0-9a-f-]+\.(img|making)")


def below(folder: Path) -> list[Path]:
    """Mount points at or below a folder, the deepest and latest first."""
    found = []
    for line in Path("/proc/mounts").read_text().splitlines():
        target = Path(line.split()[1].encode().decode("unicode_escape"))
        if target == folder or folder in target.parents:
            found.append(target)
    return found[::-1]


def share(folder: Path) -> None:
    """Make the folder a mount of its own that passes on what is mounted below it."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder not in below(folder):
        run("mount", "--bind", folder, folder)
    run("mount", "--make-shared", folder)


def unmount(folder: Path) -> None:
    for target in below(folder):
        run("umount", "--lazy", target)


def is_disk(file: str) -> bool:
    """Whether a loop device's file is a disk of a node.

    Known by its name: the path is told without its beginning once the shared folder is unmounted.
    """
    return DISK.search(file) is not None


def loop_devices() -> list[str]:
    """Loop devices of the cluster's disks, their files there or deleted."""
    listing = run("losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE")
    pairs = (line.split(" ", 1) for line in listing.splitlines())
    return [name for name, file in pairs if is_disk(file)]


def holding(path: Path) -> Path:
    """The mount point that holds a path."""
    while not os.path.ismount(path):
        path = path.parent
    return path


def hidden(command: Sequence[str | Path], binds: Mapping[Path, Path]) -> list[str | Path]:
    """The command line that runs a program with some host paths replaced by ours.

    For programs with fixed paths: they would leave files on the host, or change its kernel
    settings. Mounts below a shared folder still pass in both directions.
    """
    lines = []
    for target in sorted({holding(target) for target in binds}):
        lines.append(f"mount --make-private {shlex.quote(str(target))}")
    for target, source in binds.items():
        lines.append(f"mount --bind {shlex.quote(str(source))} {shlex.quote(str(target))}")
    script = " && ".join([*lines, 'exec "$@"'])
    unshare: list[str | Path] = ["unshare", "--mount", "--propagation", "unchanged"]
    return [*unshare, "sh", "-c", script, "sh", *command]
