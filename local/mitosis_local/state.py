"""What a cluster was started with; kept beside it while it runs."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mitosis_local.errors import LocalError
from mitosis_local.paths import Paths
from mitosis_local.topology import Node, topology

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Settings:
    nodes: int = 5
    api_port: int = 16443
    gate_port: int = 13306
    room_per_node: str = "600Gi"


@dataclass(frozen=True)
class State:
    settings: Settings
    programs: Path
    boot: str

    @property
    def nodes(self) -> tuple[Node, ...]:
        return topology(self.settings.nodes)


def boot() -> str:
    return BOOT_ID.read_text().strip()


def _file(paths: Paths) -> Path:
    return paths.run / "state.json"


def save(paths: Paths, state: State) -> None:
    content = {
        "settings": asdict(state.settings),
        "programs": str(state.programs),
        "boot": state.boot,
    }
    _file(paths).write_text(json.dumps(content, indent=2) + "\n")


def complete(paths: Paths, is_so: bool) -> None:
    """Note that everything was started; else a start or an end was interrupted."""
    file = paths.run / "complete"
    if is_so:
        file.touch()
    else:
        file.unlink(missing_ok=True)


def is_complete(paths: Paths) -> bool:
    return (paths.run / "complete").exists()


def load(paths: Paths) -> State | None:
    """The cluster that was started last and not taken down; it may be dead."""
    try:
        content = json.loads(_file(paths).read_text())
    except FileNotFoundError:
        return None
    except json.JSONDecodeError:
        return None
    settings = Settings(**content["settings"])
    return State(settings, Path(content["programs"]), content["boot"])


def require(paths: Paths) -> State:
    state = load(paths)
    if state is None or state.boot != boot():
        raise LocalError("no local cluster is running; start it with `python -m mitosis_local up`")
    return state
