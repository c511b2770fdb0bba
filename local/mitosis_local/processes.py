"""Background processes of the cluster: started once, known by process id and start time.

The start time tells a process of ours from a stranger that got the same id after a reboot.
"""

import json
import os
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from mitosis_local.errors import LocalError
from mitosis_local.paths import Paths
from mitosis_local.shell import run, wait_for

# the process is nobody's child, so it leaves no zombie behind in the program that started it
LAUNCH = """
log=$1 groups=$2; shift 2
setsid sh -c '
  for group in $1; do echo $$ > "$group/cgroup.procs" || exit 1; done
  shift; exec "$@"' sh "$groups" "$@" >> "$log" 2>&1 < /dev/null &
echo $!
"""


def start_time(pid: int) -> int | None:
    """Clock ticks since boot at which a process began; None when it is gone or only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


class Processes:
    def __init__(self, paths: Paths) -> None:
        self._records = paths.run / "processes"
        self._logs = paths.logs

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def start(self, name: str, command: Sequence[str | Path], groups: Iterable[Path] = ()) -> None:
        """Start a program in the given cgroups; nothing happens when it runs already."""
        if self.alive(name):
            return
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        words = " ".join(str(group) for group in groups)
        pid = int(run("sh", "-c", LAUNCH, "sh", self.log(name), words, *command))
        record = json.dumps({"pid": pid, "started": start_time(pid)})
        (self._records / f"{name}.json").write_text(record)

    def pid(self, name: str) -> int | None:
        """Process id of a program of ours that runs now."""
        try:
            record = json.loads((self._records / f"{name}.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        pid = int(record["pid"])
        return pid if start_time(pid) == record["started"] is not None else None

    def alive(self, name: str) -> bool:
        return self.pid(name) is not None

    def ensure_alive(self, name: str) -> None:
        if not self.alive(name):
            raise LocalError(f"{name} ended; read {self.log(name)}")

    def names(self) -> list[str]:
        return sorted(path.stem for path in self._records.glob("*.json"))

    def kill(self, *names: str) -> None:
        kill(pid for pid in map(self.pid, names) if pid)


def kill(pids: Iterable[int], seconds: float = 20) -> None:
    """SIGKILL, and wait until they are gone."""
    begun = {pid: began for pid in pids if (began := start_time(pid)) is not None}
    for pid in begun:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    wait_for(
        f"the end of processes {sorted(begun)}",
        lambda: not any(start_time(pid) == began for pid, began in begun.items()),
        seconds,
    )
