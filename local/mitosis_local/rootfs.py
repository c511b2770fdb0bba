"""The Debian sid root file system: base of the images, and MySQL for tests on the host.

The wrappers start MySQL's programs through the root file system's own loader, without chroot: the
process id and the parent stay what the caller expects, paths are the host's, and no root is needed.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mitosis_local.errors import Missing
from mitosis_local.paths import Paths, from_environment, key_of, only_one
from mitosis_local.shell import run

SUITE = "sid"
PACKAGES = ("ca-certificates", "mysql-client-core", "mysql-server-core", "python3")
APT_OPTION = 'Acquire::Check-Valid-Until "false"'
WRAPPED = ("mysql", "mysqladmin", "mysqlbinlog", "mysqld", "mysqldump")

WRAPPER = """#!/bin/sh
# MySQL finds defaults options only in the first place
first=--no-defaults
case "${{1:-}}" in --no-defaults | --defaults-* | --print-defaults) first=$1; shift ;; esac
exec {loader} --library-path {libraries} --argv0 {program} {program} "$first" {options} "$@"
"""


def key(packages: Sequence[str] = PACKAGES) -> str:
    return key_of(SUITE, *packages)


def folder(paths: Paths, packages: Sequence[str] = PACKAGES) -> Path:
    return paths.rootfs / key(packages)


def ensure(paths: Paths | None = None) -> Path:
    """Return the root file system, made now if it is not in the cache; wrappers included."""
    paths = paths or from_environment()
    with only_one(paths, "rootfs"):
        if not folder(paths).is_dir():
            _build(folder(paths), PACKAGES)
        for name in WRAPPED:
            _wrap(paths, name)
    return folder(paths)


def ensure_with(packages: Sequence[str], paths: Paths | None = None) -> Path:
    """Return a root file system of its own with these packages, for what is compared with."""
    paths = paths or from_environment()
    with only_one(paths, "rootfs"):
        if not folder(paths, packages).is_dir():
            _build(folder(paths, packages), packages)
    return folder(paths, packages)


def _build(target: Path, packages: Sequence[str]) -> None:
    if not shutil.which("mmdebstrap"):
        raise Missing("mmdebstrap is not installed: apt-get install mmdebstrap")
    making = target.with_name(f"{target.name}.making")
    if making.exists():
        shutil.rmtree(making)
    making.mkdir(parents=True)
    run(
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        f"--aptopt={APT_OPTION}",
        f"--include={','.join(packages)}",
        SUITE,
        making,
    )
    for machine_file in ("etc/resolv.conf", "etc/hostname"):
        (making / machine_file).unlink(missing_ok=True)
    making.rename(target)


def wrapper(root: Path, name: str) -> str:
    libraries = root / "usr/lib/x86_64-linux-gnu"
    options = [f"--character-sets-dir={root}/usr/share/mysql/charsets"]
    if name != "mysqlbinlog":
        options.append(f"--plugin-dir={root}/usr/lib/mysql/plugin")
    if name == "mysqld":
        options += [f"--basedir={root}/usr", f"--lc-messages-dir={root}/usr/share/mysql"]
    program = root / ("usr/sbin" if name == "mysqld" else "usr/bin") / name
    return WRAPPER.format(
        loader=libraries / "ld-linux-x86-64.so.2",
        libraries=libraries,
        program=program,
        options=" ".join(options),
    )


def _wrap(paths: Paths, name: str) -> None:
    content, target = wrapper(folder(paths), name), paths.bin / name
    if target.exists() and target.read_text() == content:
        return
    paths.bin.mkdir(parents=True, exist_ok=True)
    making = paths.bin / f".{name}.{os.getpid()}"
    making.write_text(content)
    making.chmod(0o755)
    making.rename(target)
