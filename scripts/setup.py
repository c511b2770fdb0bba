"""Make `.venv` as the lock files say, with the project itself installed editable.

Runs with nothing but Python, and on an old one at least as far as the sentence that says so: no
syntax here may be newer than Python 3.6.
"""

import shutil
import subprocess
import sys
from pathlib import Path

NEEDED = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
LOCK = Path("requirements") / "dev.lock"


class Failed(Exception):
    pass


def main() -> int:
    try:
        check_python(sys.version_info[:2], sys.executable)
        set_up(ROOT)
    except Failed as exc:
        print(f"setup: {exc}", file=sys.stderr)
        return 1
    return 0


def check_python(version: tuple, executable: str) -> None:
    if tuple(version) < NEEDED:
        found = ".".join(str(part) for part in version)
        raise Failed(
            f"{executable} is Python {found}, Mitosis needs 3.11 or newer; "
            "name another one: make PYTHON=python3.12 ..."
        )


def set_up(root: Path) -> None:
    """Does nothing to what is there already and right; an environment of another Python goes."""
    venv = root / ".venv"
    python = venv / "bin" / "python"
    uv = find_uv()
    if not is_usable(python):
        shutil.rmtree(str(venv), ignore_errors=True)
        make_environment(venv, with_pip=not uv)
    elif not uv and not succeeds(str(python), "-m", "pip", "--version"):
        run("give .venv a pip", str(python), "-m", "ensurepip")
    for step, words in installs(root, python, uv):
        run(step, *words)


def installs(root: Path, python: Path, uv: str) -> tuple:
    """Everything from the lock by its hash first; then the project builds with what came by it."""
    pip = [uv, "pip"] if uv else [str(python), "-m", "pip"]
    end = ["--python", str(python)] if uv else ["--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", *end]
    return (
        (f"install what {LOCK} names", [*install, "--require-hashes", "-r", str(root / LOCK)]),
        (
            "install the project",
            [*install, "--no-deps", "--no-build-isolation", "-e", str(root)],
        ),
    )


def find_uv() -> str:
    """uv is quicker than pip; a shim on the path that does not run does not count."""
    uv = shutil.which("uv") or ""
    return uv if uv and succeeds(uv, "--version") else ""


def is_usable(python: Path) -> bool:
    """Whether the environment runs, and runs the Python that runs this."""
    wanted = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    return python.exists() and succeeds(str(python), "-c", wanted)


def make_environment(venv: Path, with_pip: bool) -> None:
    words = [sys.executable, "-m", "venv", str(venv)]
    if not with_pip:
        words.append("--without-pip")
    run("make .venv (on Debian and Ubuntu it needs: apt install python3-venv)", *words)


def succeeds(*words: str) -> bool:
    try:
        done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        return False
    return done.returncode == 0


def run(step: str, *words: str) -> None:
    if subprocess.run(words).returncode:
        raise Failed(f"could not {step}; what failed: {' '.join(words)}")


if __name__ == "__main__":
    sys.exit(main())
