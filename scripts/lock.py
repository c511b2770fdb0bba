"""Write the lock files from pyproject.toml, or say (`--check`, no network) where they do not fit.

One resolution for everything, `dev.lock`; the locks of the images are cuts of it, so that what is
tested is what runs.
"""

import argparse
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
GROUPS = ("local", "test", "check")
OPTIONS = (
    *("--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-emit-index-url", "--no-annotate", "--no-header", "--quiet"),
)


@dataclass(frozen=True)
class Lock:
    name: str
    extras: tuple[str, ...]
    groups: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return Path("requirements") / f"{self.name}.lock"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, say what is stale")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if options.check:
        return report(find_stale(project, ROOT))
    for lock in locks(project):
        subprocess.run(command(lock, options.upgrade), cwd=ROOT, check=True)
        print(f"wrote {lock.path}")
    return 0


def report(problems: Iterable[str]) -> int:
    found = list(problems)
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


def locks(project: Mapping[str, object]) -> tuple[Lock, ...]:
    """`dev` comes first: the others are constrained by it."""
    extras = tuple(_table(project, "project", "optional-dependencies"))
    return (Lock("dev", extras, GROUPS), *(Lock(extra, (extra,)) for extra in extras))


def command(lock: Lock, upgrade: bool) -> list[str]:
    words = ["uv", "pip", "compile", "pyproject.toml", *OPTIONS, "--output-file", str(lock.path)]
    words += [word for extra in lock.extras for word in ("--extra", extra)]
    words += [word for group in lock.groups for word in ("--group", group)]
    if lock.name != "dev":
        words += ["--constraint", "requirements/dev.lock"]
    return [*words, "--upgrade"] if upgrade else words


def find_stale(project: Mapping[str, object], root: Path) -> list[str]:
    """Say for each lock what pyproject.toml asks and the lock does not give."""
    found = []
    for lock in locks(project):
        path = root / lock.path
        have = versions(path.read_text()) if path.exists() else {}
        for wish in wishes(project, lock):
            version = have.get(canonicalize_name(wish.name))
            if version is None or not wish.specifier.contains(version, prereleases=True):
                found.append(f"{lock.path} does not give `{wish}`: run `make lock`")
    return found


def wishes(project: Mapping[str, object], lock: Lock) -> list[Requirement]:
    extras = _table(project, "project", "optional-dependencies")
    groups = _table(project, "dependency-groups")
    texts = [text for name in lock.extras for text in extras[name]]
    texts += [text for name in lock.groups for text in groups[name]]
    return [Requirement(text) for text in texts]


def versions(text: str) -> dict[str, str]:
    """Names and versions in a lock file; with several for one name (markers) the last counts."""
    pins = (line.split(" ")[0].split("==") for line in text.splitlines() if "==" in line[:80])
    return {canonicalize_name(pin[0].split("[")[0]): pin[1] for pin in pins if len(pin) == 2}


def _table(project: Mapping[str, object], *path: str) -> Mapping[str, list[str]]:
    found: object = project
    for name in path:
        assert isinstance(found, Mapping)
        found = found[name]
    assert isinstance(found, Mapping)
    return found


if __name__ == "__main__":
    sys.exit(main())
