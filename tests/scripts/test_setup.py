"""`make setup` says what is missing, and installs from the lock by hash."""

import sys
from pathlib import Path
from typing import Any

import pytest
import script_files

setup: Any = script_files.load("setup")


@pytest.mark.parametrize("version", [(3, 6), (3, 10)])
def test_an_old_python_is_refused_with_what_to_do(version: tuple[int, int]) -> None:
    with pytest.raises(setup.Failed, match=r"needs 3\.11 or newer; .*make PYTHON="):
        setup.check_python(version, "/usr/bin/python3")


@pytest.mark.parametrize("version", [(3, 11), (3, 14)])
def test_a_newer_python_is_accepted(version: tuple[int, int]) -> None:
    setup.check_python(version, "/usr/bin/python3")


@pytest.mark.parametrize("uv", ["", "/usr/bin/uv"])
def test_dependencies_come_by_hash_and_the_project_last_without_them(uv: str) -> None:
    python = Path("/x/.venv/bin/python")
    (_, dependencies), (_, project) = setup.installs(Path("/x"), python, uv)
    assert dependencies[0] == project[0] == (uv or str(python))
    assert {"--require-hashes", "/x/requirements/dev.lock"} <= set(dependencies)
    assert {"--no-deps", "--no-build-isolation"} <= set(project)
    assert project[-2:] == ["-e", "/x"]


def test_an_environment_of_another_python_or_a_broken_one_is_not_used(tmp_path: Path) -> None:
    assert setup.is_usable(Path(sys.executable))
    assert not setup.is_usable(tmp_path / "python")
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    assert not setup.is_usable(other)


def test_a_shim_that_does_not_run_is_no_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert setup.find_uv() == ""
    shim = tmp_path / "uv"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    assert setup.find_uv() == ""


def test_a_step_that_fails_is_named_with_its_command() -> None:
    with pytest.raises(setup.Failed, match="could not make tea; what failed: false"):
        setup.run("make tea", "false")


def test_the_file_is_read_by_pythons_that_are_too_old() -> None:
    """Otherwise they show a syntax error in place of the sentence."""
    import ast

    text = (script_files.ROOT / "scripts" / "setup.py").read_text()
    ast.parse(text, feature_version=(3, 7))
