"""The tool as a whole: help comes at once, and version needs no cluster."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from mitosis_operator.cli import main

HEAVY = ("kubernetes", "rich", "kopf", "aiohttp", "cryptography")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mitosis_operator.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["status", "route", "mysql", "version"])
def test_each_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0 and "Usage:" in result.output


def test_version_names_the_format_that_is_read() -> None:
    result = CliRunner().invoke(main, ["version"])
    assert result.exit_code == 0 and "format 1" in result.output


def test_an_unknown_kind_of_key_is_refused_before_anything_is_asked() -> None:
    result = CliRunner().invoke(main, ["route", "shop", "users", "1", "--kind", "float"])
    assert result.exit_code == 2 and "integer" in result.output
