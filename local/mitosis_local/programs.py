"""Kubernetes' programs, built from local/go.mod into the cache."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from mitosis_local.errors import CommandFailed, Missing
from mitosis_local.paths import GO_MODULE, Paths, key_of, only_one

GO_FLAGS = "-mod=readonly -buildvcs=false"
FOR_PEOPLE = ("helm", "kubectl")
NAMES = {"server": "etcd"}  # what `go install` calls etcd
Tell = Callable[[str], None]


def kubernetes_version(module: str) -> str:
    found = re.search(r"^require k8s\.io/kubernetes (v[\d.]+)", module, re.MULTILINE)
    if not found:
        raise Missing(f"{GO_MODULE}/go.mod names no version of k8s.io/kubernetes")
    return found[1]


def linker_flags(version: str) -> str:
    """The programs ask here which version they are; Helm refuses charts for v0.0.0."""
    base, (major, minor) = "k8s.io/component-base/version", version[1:].split(".")[:2]
    told = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X {base}.{name}={value}" for name, value in told.items())])


def _module() -> str:
    return (GO_MODULE / "go.mod").read_text()


def key() -> str:
    files = ("go.mod", "go.sum", "pause/main.go")
    contents = [(GO_MODULE / file).read_bytes() for file in files]
    return key_of(*contents, GO_FLAGS, linker_flags(kubernetes_version(_module())))


def folder(paths: Paths) -> Path:
    return paths.programs / key()


def ensure(paths: Paths, tell: Tell) -> Path:
    """Return the folder with the programs, built now if it is not in the cache."""
    with only_one(paths, "programs"):
        if not folder(paths).is_dir():
            _build(folder(paths), tell)
        for name in FOR_PEOPLE:
            _link(paths, name)
    return folder(paths)


def _link(paths: Paths, name: str) -> None:
    link, program = paths.bin / name, folder(paths) / name
    if not link.is_symlink() or link.readlink() != program:
        paths.bin.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(program)


def _build(target: Path, tell: Tell) -> None:
    making = target.with_name(f"{target.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    flags = linker_flags(kubernetes_version(_module()))
    command = ["go", "install", "-v", "-trimpath", "-ldflags", flags, "tool", "./pause"]
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": GO_FLAGS, "GOBIN": str(making)}
    lines, done = [], 0
    with subprocess.Popen(
        command,
        cwd=GO_MODULE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            done += not line.startswith("go: ")
            tell(f"{done} packages compiled" if done else "downloading sources")
    if process.returncode:
        raise CommandFailed(command, process.returncode, "".join(lines))
    for built, name in NAMES.items():
        (making / built).rename(making / name)
    making.rename(target)
