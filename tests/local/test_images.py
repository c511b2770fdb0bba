import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from mitosis_local import images
from mitosis_local.errors import LocalError
from mitosis_local.paths import Paths


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one file in each package."""
    root = tmp_path / "checkout"
    for target in images.TARGETS:
        for package in target.packages:
            (root / package).mkdir(parents=True, exist_ok=True)
            (root / package / "main.py").write_text("1")
        (root / "requirements").mkdir(exist_ok=True)
        (root / "requirements" / target.lock).write_text("")
    (root / "scripts").mkdir()
    for name in ("Dockerfile", "pyproject.toml", "scripts/compiled_part.py"):
        (root / name).write_text("")
    monkeypatch.setattr(images, "CHECKOUT", root)
    return root


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("gate/mitosis_gate/main.py", {"gate"}),
        ("operator/mitosis_operator/main.py", {"operator", "instance"}),
        ("routing/mitosis_routing/main.py", {"operator", "instance", "gate"}),
        ("requirements/agent.lock", {"instance"}),
        ("scripts/compiled_part.py", {"gate"}),
        ("Dockerfile", {"operator", "instance", "gate"}),
    ],
)
def test_only_the_images_that_hold_a_file_change_with_it(
    checkout: Path, file: str, changed: set[str]
) -> None:
    before = images.tags()
    (checkout / file).write_text("2")
    after = images.tags()
    assert {name for name in before if before[name] != after[name]} == changed


def test_compiled_files_do_not_make_a_new_image(checkout: Path) -> None:
    before = images.tags()
    cache = checkout / "gate/mitosis_gate/__pycache__"
    cache.mkdir()
    (cache / "main.pyc").write_bytes(b"x")
    (cache.parent / "_compiled.abi3.so").write_bytes(b"x")
    assert images.tags() == before


def test_the_program_is_the_entry_point_of_the_wheel() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as wheel:
        entry = "[console_scripts]\nmitosis-gate = mitosis_gate.main:main\n"
        wheel.writestr("mitosis-1.dist-info/entry_points.txt", entry)
        script = images._script(wheel, "mitosis-gate")
    assert "from mitosis_gate.main import main\n\nsys.exit(main())" in script


def an_image(paths: Paths, name: str, *layers: bytes) -> None:
    """An image in the cache with the given layers."""
    parts = [{"mediaType": images.LAYER, **images._put(paths, layer)} for layer in layers]
    config = {"mediaType": images.CONFIG, **images._put(paths, b"{}")}
    manifest = {"schemaVersion": 2, "mediaType": images.MANIFEST, "config": config, "layers": parts}
    put = images._put(paths, json.dumps(manifest).encode())
    images._remember(paths, name, {"mediaType": images.MANIFEST, **put})


def test_an_archive_leaves_out_the_layers_that_its_reader_has(tmp_path: Path) -> None:
    paths, file = Paths(tmp_path), tmp_path / "images.tar"
    an_image(paths, "localhost/old:1", b"base", b"old code")
    an_image(paths, "localhost/new:1", b"base", b"new code")
    has = images.layers_of(paths, ["localhost/old:1"])
    images.archive_for(paths, ["localhost/new:1"], has, file)
    with tarfile.open(file) as archive:
        blobs = [
            handle.read()
            for member in archive.getmembers()
            if member.name.startswith("blobs/") and (handle := archive.extractfile(member))
        ]
        index = archive.extractfile("index.json")
        assert index is not None
        (found,) = json.load(index)["manifests"]
    assert b"new code" in blobs and b"base" not in blobs
    assert found["annotations"] == {images.NAME: "localhost/new:1"}


def test_an_image_that_was_not_built_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="localhost/x:1 is not built"):
        images.archive_for(Paths(tmp_path), ["localhost/x:1"], (), tmp_path / "images.tar")
