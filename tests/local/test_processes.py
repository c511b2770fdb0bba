import os
import signal
from pathlib import Path

import pytest

from mitosis_local.errors import LocalError
from mitosis_local.paths import Paths
from mitosis_local.processes import Processes, kill, start_time
from mitosis_local.shell import wait_for


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(Paths(tmp_path))


def test_a_started_program_is_known_logged_and_ended(processes: Processes) -> None:
    processes.start("talker", ["sh", "-c", "echo hello; exec sleep 1000"])
    assert processes.alive("talker")
    wait_for("its log", lambda: processes.log("talker").read_text() == "hello\n", 10)
    processes.kill("talker")
    assert not processes.alive("talker")


def test_starting_again_what_runs_changes_nothing(processes: Processes) -> None:
    processes.start("sleeper", ["sleep", "1000"])
    first = processes.pid("sleeper")
    processes.start("sleeper", ["sleep", "1000"])
    assert processes.pid("sleeper") == first is not None
    processes.kill("sleeper")


def test_a_stranger_with_the_same_process_id_is_not_ours(
    processes: Processes, tmp_path: Path
) -> None:
    """After a reboot the recorded ids belong to others."""
    processes.start("sleeper", ["sleep", "1000"])
    pid = processes.pid("sleeper")
    record = tmp_path / "run" / "processes" / "sleeper.json"
    content = record.read_text()
    record.write_text(content.replace(f'"pid": {pid}', f'"pid": {os.getpid()}'))
    assert not processes.alive("sleeper")
    record.write_text(content)
    processes.kill("sleeper")


def test_the_end_of_a_program_is_told_with_its_log(processes: Processes) -> None:
    processes.start("short", ["true"])
    wait_for("its end", lambda: not processes.alive("short"), 10)
    with pytest.raises(LocalError, match=r"short ended; read .*short\.log"):
        processes.ensure_alive("short")


def test_a_zombie_counts_as_gone() -> None:
    child = os.fork()
    if child == 0:
        signal.pause()
    assert start_time(child) is not None
    kill([child])
    assert start_time(child) is None
    assert os.waitpid(child, 0)[0] == child
