"""What the agent must not forget: `.agent/state.json` on the volume, flushed before it acts.

The epoch, the role told at that epoch, the fence, the data state, and the results of operations.
"""

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mitosis_operator.agent.errors import BadVolume
from mitosis_operator.mysql import codec
from mitosis_operator.mysql.instance import DataState, OperationState, Progress, Role

FORMAT = 1
KEPT_OPERATIONS = 200
RESTARTED = "the agent was restarted while this operation ran; ask again under another id"


@dataclass(frozen=True)
class Memory:
    keyspace: str
    shard: str
    instance: str
    format_version: int = FORMAT
    data_state: DataState = DataState.EMPTY
    epoch: int = 0
    lease: int = 0
    role: Role = Role.NONE
    fenced_epoch: int = 0
    operations: tuple[OperationState, ...] = ()
    """Oldest first."""

    def find(self, operation_id: str) -> OperationState | None:
        return next((o for o in self.operations if o.id == operation_id), None)

    @property
    def running(self) -> OperationState | None:
        return next((o for o in self.operations if o.state is Progress.RUNNING), None)

    @property
    def latest(self) -> OperationState | None:
        return self.running or (self.operations[-1] if self.operations else None)

    def with_operation(self, operation: OperationState) -> "Memory":
        """Replace the one with this id, or add it; the oldest are forgotten."""
        if self.find(operation.id):
            changed = tuple(operation if o.id == operation.id else o for o in self.operations)
        else:
            changed = (*self.operations, operation)[-KEPT_OPERATIONS:]
        return replace(self, operations=changed)


class Store:
    """The one holder of Memory; every change is on disk before it is seen by anybody."""

    def __init__(self, folder: Path, memory: Memory) -> None:
        self._path = folder / "state.json"
        self._lock = threading.Lock()
        self._memory = memory

    @property
    def memory(self) -> Memory:
        return self._memory

    def update(self, change: Callable[[Memory], Memory]) -> Memory:
        """`change` may raise to leave everything as it is."""
        with self._lock:
            changed = change(self._memory)
            if changed != self._memory:
                write_durably(self._path, json.dumps(codec.to_json(changed), indent=1))
                self._memory = changed
            return changed


def open_store(folder: Path, datadir: Path, fresh: Memory) -> tuple[Store, str]:
    """Return the store, and what is wrong with the volume ("" when nothing is).

    A volume of another shard, or with data and no state, is UNKNOWN: reported and never touched.
    """
    found = _read(folder / "state.json")
    if found is None:
        if has_data(datadir):
            problem = f"{datadir} holds data that no agent put there; this agent leaves it alone"
            return Store(folder, replace(fresh, data_state=DataState.UNKNOWN)), problem
        return Store(folder, fresh), ""
    owner, expected = _identity(found), _identity(fresh)
    if owner != expected:
        problem = (
            f"this volume belongs to instance {found.instance} of shard {found.shard}, keyspace"
            f" {found.keyspace}; this agent leaves it alone"
        )
        return Store(folder, replace(fresh, data_state=DataState.UNKNOWN)), problem
    store = Store(folder, found)
    store.update(_end_running)
    return store, ""


def _identity(memory: Memory) -> tuple[str, str, str]:
    return memory.keyspace, memory.shard, memory.instance


def _end_running(memory: Memory) -> Memory:
    ended = tuple(
        replace(o, state=Progress.FAILED, error=RESTARTED) if o.state is Progress.RUNNING else o
        for o in memory.operations
    )
    return replace(memory, operations=ended)


def _read(path: Path) -> Memory | None:
    if not path.exists():
        return None
    try:
        memory = codec.from_json(Memory, json.loads(path.read_text()))
    except ValueError as exc:
        raise BadVolume(f"cannot read {path}: {exc}") from exc
    if memory.format_version != FORMAT:
        raise BadVolume(
            f"{path} was written by another version of the agent (format {memory.format_version},"
            f" this one reads {FORMAT}): use the image of the operator's version"
        )
    return memory


def has_data(datadir: Path) -> bool:
    return datadir.is_dir() and any(datadir.iterdir())


def write_durably(path: Path, text: str) -> None:
    making = path.with_suffix(".making")
    with making.open("w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    making.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def lock_volume(folder: Path, limit_seconds: float) -> int:
    """Return the descriptor that holds the lock.

    mysqld inherits it: as long as an old mysqld lives, even after its agent, nobody else gets the
    volume.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    end = time.monotonic() + limit_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(handle)
                raise BadVolume(
                    f"{folder.parent} is in use by another agent or mysqld for more than"
                    f" {limit_seconds:.0f} s; only one may run on a volume"
                ) from None
            time.sleep(0.1)
