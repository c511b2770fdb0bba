"""Compile the optional C part of the gate: into the checkout when run, into the wheel when built.

    python scripts/compiled_part.py

Without a C compiler or the headers of Python it says so and does nothing: the gate works without,
at a higher cost for each statement. The limited API is used, so what is compiled with Python 3.11
serves every later version on the same kind of machine.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path("gate") / "mitosis_gate" / "relay"
NAME = "_compiled.abi3.so"
IN_WHEEL = f"mitosis_gate/relay/{NAME}"
FLAGS = "-O2 -Wall -Wextra -Wno-unused-parameter -fPIC -fvisibility=hidden -shared".split()


class CompileFailed(Exception):
    pass


def why_not() -> str:
    """What is missing for compiling; empty when nothing is."""
    if not shutil.which(compiler()[0]):
        return f"the C compiler `{compiler()[0]}` is not here (Debian: apt install gcc)"
    if not (headers() / "Python.h").exists():
        return f"{headers()} has no Python.h (Debian: apt install python3-dev)"
    return ""


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def headers() -> Path:
    return Path(sysconfig.get_paths()["include"])


def compile_to(target: Path) -> None:
    """Raises CompileFailed with what the compiler says; the target is there whole or as before."""
    sources = map(str, sorted((ROOT / FOLDER).glob("*.c")))
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / NAME
        words = [*compiler(), *FLAGS, f"-I{headers()}", "-o", str(made), *sources]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            raise CompileFailed(f"{shlex.join(words)} failed:\n{done.stdout}{done.stderr}")
        made.replace(target)


class CompiledPart(BuildHookInterface[Any]):
    """A wheel for this kind of machine when it can be compiled, else a pure one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return  # the Makefile compiles into the checkout, and anew when the source changes
        if missing := why_not():
            self.app.display_warning(f"without the compiled part of the gate: {missing}")
            return
        target = Path(self.directory) / NAME
        target.parent.mkdir(parents=True, exist_ok=True)
        compile_to(target)
        build_data["force_include"][str(target)] = IN_WHEEL
        build_data["pure_python"] = False
        machine = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"cp311-abi3-{machine}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        (Path(self.directory) / NAME).unlink(missing_ok=True)


def main() -> int:
    if missing := why_not():
        print(f"the gate goes without its compiled part: {missing}")
        return 0
    try:
        compile_to(ROOT / FOLDER / NAME)
    except CompileFailed as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
