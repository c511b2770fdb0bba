"""The project's container images: built from the Dockerfile, brought to the nodes.

Each image is named by the hash of all that goes into it, so a tag never changes its meaning and an
unchanged image is not built again. All share one base layer, made from the Debian root file system.
The nodes get it from a *seed*: the content of a containerd that has the base and the newest images
already; its files are linked, not copied. A new image then travels without the base.
"""

import configparser
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from mitosis_local import rootfs
from mitosis_local.errors import LocalError, Missing
from mitosis_local.nodes import PAUSE_IMAGE
from mitosis_local.paths import CHECKOUT, Paths, key_of, only_one
from mitosis_local.progress import step
from mitosis_local.shell import run, succeeds, wait_for

PYTHON = "3.14"
PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
NAME = "io.containerd.image.name"
CONTAINERD_SECONDS = 30
# what of a containerd is written once and may be linked, and what must be copied
LINKED = ("io.containerd.content.v1.content", "io.containerd.snapshotter.v1.overlayfs/snapshots")
COPIED = (
    "io.containerd.metadata.v1.bolt/meta.db",
    "io.containerd.snapshotter.v1.overlayfs/metadata.db",
)
SCRIPT = """#!/usr/bin/python3
import sys

from {module} import {function}

sys.exit({function}())
"""

Json = dict[str, Any]
Tags = Mapping[str, str]


@dataclass(frozen=True)
class Target:
    """One image: its stage of the Dockerfile, and what of the project it holds."""

    name: str
    lock: str
    scripts: tuple[str, ...]
    packages: tuple[str, ...]
    built_with: tuple[str, ...] = ()
    """What else of the project decides what is in the wheel."""

    @property
    def repository(self) -> str:
        return f"localhost/mitosis-{self.name}"


TARGETS = (
    Target(
        "operator",
        "operator.lock",
        ("mitosis-operator",),
        ("operator/mitosis_operator", "routing/mitosis_routing"),
    ),
    Target(
        "instance",
        "agent.lock",
        ("mitosis-agent",),
        ("operator/mitosis_operator", "routing/mitosis_routing"),
    ),
    Target(
        "gate",
        "gate.lock",
        ("mitosis-gate", "mitosis-gate-merge"),
        ("gate/mitosis_gate", "routing/mitosis_routing"),
        ("scripts/compiled_part.py",),
    ),
)


def _sources(folders: Iterable[str]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((CHECKOUT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so":
                yield path


def _lock(target: Target) -> Path:
    return CHECKOUT / "requirements" / target.lock


def tag(target: Target) -> str:
    """Hash of everything the image is made from."""
    files = [CHECKOUT / "Dockerfile", CHECKOUT / "pyproject.toml", _lock(target)]
    files += (CHECKOUT / file for file in target.built_with)
    files += _sources(target.packages)
    parts: list[str | bytes] = [rootfs.key(), target.name, PYTHON]
    for file in files:
        parts += [str(file.relative_to(CHECKOUT)), file.read_bytes()]
    return key_of(*parts)


def tags() -> Tags:
    return {target.name: tag(target) for target in TARGETS}


def reference(name: str, its_tag: str) -> str:
    return f"localhost/mitosis-{name}:{its_tag}"


def values(known: Tags) -> Json:
    """Repository and tag of each image, as the chart's values want them."""
    return {
        target.name: {"repository": target.repository, "tag": known[target.name]}
        for target in TARGETS
    }


# --- context of the build -------------------------------------------------------------------


def _installer() -> list[str]:
    """pip of this Python, else uv: a virtual environment has one of the two that made it."""
    if succeeds(sys.executable, "-m", "pip", "--version"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    uv = shutil.which("uv")
    if uv and succeeds(uv, "--version"):
        return [uv, "pip", "install"]
    raise Missing(f"neither pip nor uv is there: run `{sys.executable} -m ensurepip`")


def _platform(installer: Sequence[str]) -> list[str]:
    if "pip" == installer[1]:
        return ["--python-platform", f"x86_64-{PLATFORMS[0]}", "--no-compile-bytecode"]
    machine = [f"{platform}_x86_64" for platform in PLATFORMS]
    return [*(f"--platform={name}" for name in machine), "--no-compile"]


def _dependencies(paths: Paths, target: Target) -> Path:
    """Folder with the locked dependencies for the image's Python, from wheels only."""
    folder = paths.images / "dependencies" / key_of(PYTHON, _lock(target).read_bytes())
    if not folder.exists():
        making = folder.with_name(f"{folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        installer = _installer()
        options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
        options += [f"--python-version={PYTHON}", *_platform(installer)]
        run(*installer, *options, f"--target={making}", "--requirement", _lock(target))
        shutil.rmtree(making / "bin", ignore_errors=True)
        making.rename(folder)
    return folder


def _wheel(folder: Path) -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=CHECKOUT)
    return next(folder.glob("*.whl"))


def _script(wheel: zipfile.ZipFile, name: str) -> str:
    """The program that the wheel's entry point describes."""
    entry = next(file for file in wheel.namelist() if file.endswith(".dist-info/entry_points.txt"))
    parsed = configparser.ConfigParser()
    parsed.read_string(wheel.read(entry).decode())
    module, function = parsed["console_scripts"][name].split(":")
    return SCRIPT.format(module=module, function=function)


def _belongs(file: str, target: Target) -> bool:
    package = file.split("/")[0]
    return package.endswith(".dist-info") or package in {Path(p).name for p in target.packages}


def context(paths: Paths, folder: Path, targets: Sequence[Target] = TARGETS) -> None:
    """Fill a folder with what the Dockerfile copies."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    shutil.copy(CHECKOUT / "Dockerfile", folder)
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(_wheel(Path(scratch))) as wheel:
        for target in targets:
            (folder / "dependencies").mkdir(exist_ok=True)
            run("cp", "-a", _dependencies(paths, target), folder / "dependencies" / target.name)
            files = [file for file in wheel.namelist() if _belongs(file, target)]
            wheel.extractall(folder / "project" / target.name, files)
            for name in target.scripts:
                script = folder / "bin" / name
                script.write_text(_script(wheel, name))
                script.chmod(0o755)


# --- blobs ----------------------------------------------------------------------------------


def _layout(paths: Paths) -> Path:
    """One folder of blobs for all images."""
    return paths.images / "layout"


def _blob(paths: Paths, digest: str) -> Path:
    return _layout(paths) / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _put(paths: Paths, content: bytes) -> Json:
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    _blob(paths, digest).parent.mkdir(parents=True, exist_ok=True)
    _blob(paths, digest).write_bytes(content)
    return {"digest": digest, "size": len(content)}


def _put_file(paths: Paths, file: Path) -> Json:
    with file.open("rb") as handle:
        digest = "sha256:" + hashlib.file_digest(handle, "sha256").hexdigest()
    size = file.stat().st_size
    file.rename(_blob(paths, digest))
    return {"digest": digest, "size": size}


def _put_image(paths: Paths, layer: Json, settings: Json) -> Json:
    """An image of one layer; returns its descriptor."""
    config: Json = {
        "architecture": "amd64",
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "history": [{"created_by": "mitosis_local"}],  # buildah wants one entry per layer
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, **_put(paths, json.dumps(config).encode())},
        "layers": [{"mediaType": LAYER, **layer}],
    }
    return {"mediaType": MANIFEST, **_put(paths, json.dumps(manifest).encode())}


def _record(paths: Paths, name: str) -> Path:
    return paths.images / "built" / f"{name.rsplit('/', 1)[-1].replace(':', '-')}.json"


def _remember(paths: Paths, name: str, descriptor: Json) -> None:
    _record(paths, name).parent.mkdir(parents=True, exist_ok=True)
    _record(paths, name).write_text(json.dumps(descriptor))


def _descriptor(paths: Paths, name: str) -> Json | None:
    """The image of that name, when all of it is in the cache."""
    try:
        found: Json = json.loads(_record(paths, name).read_text())
    except FileNotFoundError:
        return None
    return found if _blob(paths, found["digest"]).exists() else None


def _pause(paths: Paths, folder: Path) -> Json:
    program = (folder / "pause").read_bytes()
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        entry = tarfile.TarInfo("pause")
        entry.size, entry.mode = len(program), 0o755
        layer.addfile(entry, BytesIO(program))
    settings = {"Entrypoint": ["/pause"], "User": "65535:65535"}
    return _put_image(paths, _put(paths, buffer.getvalue()), settings)


def base_name() -> str:
    return f"localhost/mitosis-base:{rootfs.key()}"


def _base(paths: Paths) -> Json:
    """The root file system as an image."""
    if found := _descriptor(paths, base_name()):
        return found
    archive = paths.images / "base.tar"
    (_layout(paths) / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    # device nodes are the runtime's business
    options = ["--sort=name", "--numeric-owner", "--exclude=./dev/*", "--exclude=./proc/*"]
    run("tar", *options, "-C", rootfs.ensure(paths), "-cf", archive, ".")
    found = _put_image(paths, _put_file(paths, archive), {"Cmd": ["/bin/sh"]})
    _remember(paths, base_name(), found)
    return found


def _read(paths: Paths, digest: str) -> Json:
    content: Json = json.loads(_blob(paths, digest).read_text())
    return content


def _parts(paths: Paths, descriptor: Json) -> list[str]:
    """Digests of an image: manifest, configuration, layers."""
    manifest = _read(paths, descriptor["digest"])
    layers = [layer["digest"] for layer in manifest["layers"]]
    return [descriptor["digest"], manifest["config"]["digest"], *layers]


def _archive(paths: Paths, wanted: Mapping[str, Json], without: Iterable[str], file: Path) -> None:
    """Write images as one archive that containerd imports, leaving out blobs it has already."""
    index = {
        "schemaVersion": 2,
        "manifests": [{**found, "annotations": {NAME: name}} for name, found in wanted.items()],
    }
    digests = {part for found in wanted.values() for part in _parts(paths, found)} - set(without)

    def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, BytesIO(content))

    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        add(archive, "index.json", json.dumps(index).encode())
        for digest in sorted(digests):
            blob = _blob(paths, digest)
            archive.add(blob, f"blobs/sha256/{blob.name}")


# --- build ----------------------------------------------------------------------------------


def _buildah(paths: Paths, *words: str | Path) -> str:
    """buildah with storage of its own, where it leaves no mount behind and has no network."""
    storage = paths.images / "storage"
    options: list[str | Path] = ["--root", storage, "--runroot", paths.images / "storage-run"]
    alone = ("unshare", "--mount", "--net", "buildah")
    return run(*alone, *options, "--storage-driver", "overlay", *words)


def _base_in_storage(paths: Paths) -> None:
    """Let buildah know the base under its name."""
    done = paths.images / "storage" / f"base-{rootfs.key()}"
    if done.exists():
        return
    descriptor = _base(paths)
    with tempfile.TemporaryDirectory(dir=paths.images) as scratch:
        folder = Path(scratch)
        shutil.copy(_blob(paths, descriptor["digest"]), folder / "manifest.json")
        for digest in _parts(paths, descriptor)[1:]:
            (folder / digest.removeprefix("sha256:")).hardlink_to(_blob(paths, digest))
        image = _buildah(paths, "pull", f"dir:{folder}").splitlines()[-1]
    _buildah(paths, "tag", image, base_name())
    done.touch()


def _build_target(paths: Paths, folder: Path, target: Target, its_tag: str) -> None:
    name = reference(target.name, its_tag)
    _buildah(
        paths,
        "build",
        "--isolation=chroot",
        "--layers",
        "--pull-never",
        f"--build-arg=BASE={base_name()}",
        f"--target={target.name}",
        f"--tag={name}",
        folder,
    )
    _buildah(paths, "push", "--disable-compression", name, f"oci:{_layout(paths)}:{its_tag}")
    index = json.loads((_layout(paths) / "index.json").read_text())
    for found in index["manifests"]:
        annotations = found.pop("annotations", {})
        if annotations.get("org.opencontainers.image.ref.name") == its_tag:
            _remember(paths, name, found)
            return
    raise LocalError(f"buildah wrote no manifest for {name} into {_layout(paths)}")


def _missing(paths: Paths, wanted: Tags) -> list[Target]:
    return [
        target
        for target in TARGETS
        if not _descriptor(paths, reference(target.name, wanted[target.name]))
    ]


def build(paths: Paths) -> Tags:
    """Build the images whose content changed; return the tag of each."""
    with only_one(paths, "images"):
        wanted = tags()
        if _missing(paths, wanted):
            with step("base image"):
                _base(paths)
                _base_in_storage(paths)
            with step("dependencies and wheel"):
                wanted = _consistent_context(paths)
            for target in _missing(paths, wanted):
                with step(f"image {target.name}"):
                    _build_target(paths, _context_folder(paths), target, wanted[target.name])
            _forget_others(paths, [PAUSE_IMAGE, base_name(), *references(wanted)])
        _last(paths).write_text(json.dumps(wanted))
        return wanted


def _forget_others(paths: Paths, names: Sequence[str]) -> None:
    """Remove images that a change of code has replaced, and the blobs that only they had."""
    keep = {_record(paths, name) for name in names}
    for record in set(_record(paths, "x").parent.glob("*.json")) - keep:
        record.unlink()
    known = _buildah(paths, "images", "--noheading", "--format={{.Name}}:{{.Tag}}").splitlines()
    old = [name for name in known if name not in names and "<none>" not in name]
    if old:
        _buildah(paths, "rmi", "--force", *old)
    found = (_descriptor(paths, name) for name in names)
    needed = {digest for each in found if each for digest in _parts(paths, each)}
    for blob in (_layout(paths) / "blobs" / "sha256").iterdir():
        if f"sha256:{blob.name}" not in needed:
            blob.unlink()
    index = _layout(paths) / "index.json"
    content = json.loads(index.read_text())
    content["manifests"] = [each for each in content["manifests"] if each["digest"] in needed]
    index.write_text(json.dumps(content))


def _context_folder(paths: Paths) -> Path:
    return paths.images / "context"


def _consistent_context(paths: Paths) -> Tags:
    """Copy the sources, again if somebody wrote to them meanwhile: a tag must not lie."""
    wanted = tags()
    while True:
        context(paths, _context_folder(paths))
        now = tags()
        if now == wanted:
            return wanted
        wanted = now


def _last(paths: Paths) -> Path:
    return paths.images / "last.json"


def last_built(paths: Paths) -> Tags:
    try:
        found: Tags = json.loads(_last(paths).read_text())
    except FileNotFoundError as exc:
        raise LocalError("no image was built yet; run `images` without `--print`") from exc
    return found


def layers_of(paths: Paths, names: Iterable[str]) -> set[str]:
    """Digests of all layers of the images that are in the cache."""
    found = (_descriptor(paths, name) for name in names)
    return {digest for each in found if each for digest in _parts(paths, each)[2:]}


def references(known: Tags) -> list[str]:
    return [reference(name, its_tag) for name, its_tag in known.items()]


def archive_for(paths: Paths, names: Sequence[str], without: Iterable[str], file: Path) -> None:
    """Write images into one archive, without the layers that its reader has."""
    wanted = {}
    for name in names:
        found = _descriptor(paths, name)
        if found is None:
            raise LocalError(f"{name} is not built; run `images` first")
        wanted[name] = found
    _archive(paths, wanted, without, file)


# --- seed -----------------------------------------------------------------------------------


def _seed_folder(paths: Paths, folder: Path) -> Path:
    return paths.images / "seed" / key_of(rootfs.key(), folder.name)


@contextmanager
def _containerd(root: Path) -> Iterator[list[str | Path]]:
    """A containerd for a moment, without network and pods; yields how to talk to it."""
    with tempfile.TemporaryDirectory(prefix="mitosis-seed-") as scratch:
        place = Path(scratch)
        socket, config, log = place / "s", place / "config.toml", root.with_suffix(".log")
        config.write_text(
            f'version = 2\nroot = "{root}"\nstate = "{place / "state"}"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
            f'[grpc]\n  address = "{socket}"\n'
        )
        with log.open("w") as output:
            process = subprocess.Popen(
                ["unshare", "--mount", "containerd", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            control: list[str | Path] = ["ctr", "--address", socket, "--namespace", "k8s.io"]
            wait_for("containerd", lambda: succeeds(*control, "version"), CONTAINERD_SECONDS, log)
            yield control
        finally:
            process.terminate()
            process.wait(CONTAINERD_SECONDS)


@dataclass(frozen=True)
class Seed:
    """What a node starts with: the folder, and the names of the images in it."""

    root: Path
    names: tuple[str, ...]


def seed(paths: Paths, folder: Path) -> Seed:
    """Make or renew the seed: pause, base and the images that were built last."""
    with only_one(paths, "seed"):
        place = _seed_folder(paths, folder)
        root, record = place / "containerd", place / "names.json"
        built = references(last_built(paths)) if _last(paths).exists() else []
        fixed = [PAUSE_IMAGE, base_name()]
        _base(paths)
        _remember(paths, PAUSE_IMAGE, _pause(paths, folder))
        names = [*fixed, *built]
        has = json.loads(record.read_text()) if record.exists() else []
        if has != names:
            if not has:
                shutil.rmtree(place, ignore_errors=True)
                root.mkdir(parents=True)
            _renew(paths, root, has, names)
            record.write_text(json.dumps(names))
        return Seed(root, tuple(names))


def _renew(paths: Paths, root: Path, has: Sequence[str], names: Sequence[str]) -> None:
    archive = root.with_name("new.tar")
    new = [name for name in names if name not in has]
    with _containerd(root) as control:
        if new:
            archive_for(paths, new, layers_of(paths, has), archive)
            run(*control, "images", "import", archive)
            archive.unlink()
        for old in set(has) - set(names):
            run(*control, "images", "rm", "--sync", old)


def copy_seed(root: Path, target: Path) -> None:
    """Give a node its own containerd content: links to what never changes, copies of the rest."""
    for name in (*LINKED, *COPIED):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        run("cp", "-al", root / name, target / name)
    for name in COPIED:
        shutil.copy2(root / name, target / name)
