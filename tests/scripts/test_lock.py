"""Lock files that do not give what pyproject.toml asks are named."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import script_files

lock: Any = script_files.load("lock")
PROJECT: dict[str, Any] = {
    "project": {"optional-dependencies": {"gate": ["uvloop>=0.21", "sqlglot[c]>=28"]}},
    "dependency-groups": {"local": [], "test": ["pytest>=8"], "check": []},
}
GATE = "sqlglot[c]==28.1.0 \\\n    --hash=sha256:00\nuvloop==0.22.0 ; sys_platform != 'win32' \\\n"
DEV = GATE + "pytest==8.3.0 \\\n    --hash=sha256:00\n"


def written(folder: Path, dev: str = DEV, gate: str = GATE) -> Path:
    (folder / "requirements").mkdir()
    (folder / "requirements" / "dev.lock").write_text(dev)
    (folder / "requirements" / "gate.lock").write_text(gate)
    return folder


def test_the_projects_own_locks_are_fresh() -> None:
    project = tomllib.loads((script_files.ROOT / "pyproject.toml").read_text())
    assert lock.find_stale(project, script_files.ROOT) == []


def test_locks_that_give_what_is_asked_are_fresh(tmp_path: Path) -> None:
    assert lock.find_stale(PROJECT, written(tmp_path)) == []


@pytest.mark.parametrize(
    ("dev", "gate", "stale"),
    [
        (DEV, GATE.replace("0.22.0", "0.20.0"), ["gate.lock"]),
        (DEV, "", ["gate.lock", "gate.lock"]),
        (DEV.replace("pytest", "tox"), GATE, ["dev.lock"]),
    ],
)
def test_what_is_missing_or_too_old_is_named(
    tmp_path: Path, dev: str, gate: str, stale: list[str]
) -> None:
    found = lock.find_stale(PROJECT, written(tmp_path, dev, gate))
    assert [text.split()[0].removeprefix("requirements/") for text in found] == stale


def test_a_lock_that_is_not_there_is_stale(tmp_path: Path) -> None:
    assert len(lock.find_stale(PROJECT, tmp_path)) == 5


def test_the_images_locks_are_cuts_of_the_one_that_is_tested() -> None:
    dev, gate = lock.locks(PROJECT)
    assert "--constraint" not in lock.command(dev, upgrade=False)
    assert {"--constraint", "requirements/dev.lock"} <= set(lock.command(gate, upgrade=False))
    assert "--generate-hashes" in lock.command(gate, upgrade=False)
