"""Where things lie in the one cache folder: `$MITOSIS_CACHE`, else `~/.cache/mitosis`.

Everything here can be deleted at any time while no cluster runs; the next `up` makes it again.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
GO_MODULE = CHECKOUT / "local"


@dataclass(frozen=True)
class Paths:
    cache: Path

    @property
    def bin(self) -> Path:
        """Programs for people, found by name: MySQL's, kubectl and Helm."""
        return self.cache / "bin"

    @property
    def programs(self) -> Path:
        return self.cache / "programs"

    @property
    def rootfs(self) -> Path:
        return self.cache / "rootfs"

    @property
    def images(self) -> Path:
        return self.cache / "images"

    @property
    def run(self) -> Path:
        """State of the live cluster; gone after `down`."""
        return self.cache / "run"

    @property
    def logs(self) -> Path:
        """Outlives `down`, so that the reason of a failure can still be read."""
        return self.cache / "logs"

    @property
    def kubeconfig(self) -> Path:
        return self.run / "kubeconfig"


def from_environment() -> Paths:
    chosen = os.environ.get("MITOSIS_CACHE")
    return Paths((Path(chosen) if chosen else Path.home() / ".cache" / "mitosis").resolve())


def key_of(*parts: str | bytes) -> str:
    """A short name for a content: the same parts give the same name."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


@contextmanager
def only_one(paths: Paths, what: str) -> Iterator[None]:
    """Two programs that build the same thing at the same time wait for each other."""
    paths.cache.mkdir(parents=True, exist_ok=True)
    with (paths.cache / f"{what}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
