"""What the machine must have. Debian's programs are installed when they are missing."""

import os
import platform
import re
import shutil
import sys
from pathlib import Path

from mitosis_local.errors import CommandFailed, Missing
from mitosis_local.paths import Paths
from mitosis_local.shell import run, succeeds

PYTHON = (3, 11)
GO = (1, 26)
DISK_GIB = 15
MEMORY_GIB = 8
PATHS = ("/usr/local/go/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")
# program or file -> Debian package
PACKAGES = {
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "/usr/include/stdio.h": "libc6-dev",
    "buildah": "buildah",
    "cc": "gcc",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "ip": "iproute2",
    "iptables": "iptables",
    "losetup": "mount",
    "mkfs.xfs": "xfsprogs",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
    "runc": "runc",
}


def is_there(what: str) -> bool:
    return Path(what).exists() if what.startswith("/") else shutil.which(what) is not None


def missing_packages() -> list[str]:
    return sorted({package for what, package in PACKAGES.items() if not is_there(what)})


def go_version(text: str) -> tuple[int, int] | None:
    found = re.search(r"go(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _problems_of_go() -> list[str]:
    want = ".".join(map(str, GO))
    if not shutil.which("go"):
        return [f"Go is not installed: install Go {want} or newer and put it on the PATH"]
    text = run("go", "version")
    found = go_version(text)
    if found is None or found < GO:
        return [f"Go {want} or newer is needed, this is `{text}`: install a newer one"]
    return []


def _problems_of_room(paths: Paths) -> list[str]:
    place = paths.cache
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free >> 30
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    problems = []
    if free < DISK_GIB:
        problems.append(
            f"{place} has {free} GiB free, {DISK_GIB} are needed: "
            "make room, or set MITOSIS_CACHE to a folder on another disk"
        )
    if memory < MEMORY_GIB - 1:
        problems.append(f"the machine has {memory} GiB of memory, {MEMORY_GIB} are needed")
    return problems


def _problems_of_kernel() -> list[str]:
    known = Path("/proc/filesystems").read_text().split()
    problems = []
    for name in ("overlay", "xfs"):
        if name not in known and not succeeds("modprobe", name):
            problems.append(f"the kernel has no {name} file system: load its module")
    if not Path("/dev/loop-control").exists() and not succeeds("modprobe", "loop"):
        problems.append("the kernel has no loop devices: load the module `loop`")
    return problems


def problems(paths: Paths) -> list[str]:
    """One sentence for each thing that is missing and that we cannot provide."""
    if platform.system() != "Linux":
        return ["the local cluster needs Linux"]
    found = []
    if platform.machine() != "x86_64":
        found.append(f"the local cluster needs an x86_64 machine, this is {platform.machine()}")
    if os.geteuid() != 0:
        found.append("the local cluster needs root: it makes namespaces, mounts and cgroups")
    if sys.version_info < PYTHON:
        found.append(f"Python {'.'.join(map(str, PYTHON))} or newer is needed")
    found += _problems_of_go() + _problems_of_room(paths) + _problems_of_kernel()
    if missing := missing_packages():
        if not shutil.which("apt-get"):
            packages = ", ".join(missing)
            found.append(
                f"install what these Debian packages hold, apt-get is not here: {packages}"
            )
    return found


def ensure(paths: Paths) -> list[str]:
    """Install what is missing from Debian and return it; raise when something else is missing."""
    _complete_path()
    if found := problems(paths):
        raise Missing("\n".join(found))
    packages = missing_packages()
    if packages:
        _install(packages)
    if left := missing_packages():
        raise Missing(f"these Debian packages did not bring what they should: {', '.join(left)}")
    return packages


def _complete_path() -> None:
    """Root's usual folders; a shell started by sudo or cron may lack them."""
    have = os.environ.get("PATH", "").split(":")
    os.environ["PATH"] = ":".join([*have, *(path for path in PATHS if path not in have)])


def _install(packages: list[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    try:
        run(*install, env=environment)
    except CommandFailed:
        run("apt-get", "update", env=environment)
        run(*install, env=environment)
