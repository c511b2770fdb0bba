"""A child process is kept running, or kept stopped; here a shell stands in for mysqld."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mitosis_operator.agent.errors import OperationFailed
from mitosis_operator.agent.lifecycle import Mysqld, pause_seconds
from mitosis_operator.mysql.instance import MysqldState


class Stand:
    """A keeper whose children run a script of the test."""

    def __init__(self, folder: Path) -> None:
        self.script = folder / "script"
        self.mysqld = Mysqld(self._command, folder / "no.sock")
        self.keeper = threading.Thread(target=self.mysqld.keep, daemon=True)
        self.keeper.start()

    def _command(self, offline: bool) -> list[str]:
        return ["/bin/sh", str(self.script), "offline" if offline else "online"]

    def run(self, script: str) -> None:
        self.script.write_text(script)
        self.mysqld.want(offline=False)

    def close(self) -> None:
        self.mysqld.close()
        self.mysqld.end_process(1)
        self.keeper.join(10)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


def never() -> bool:
    return False


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (1, 0.5), (2, 1), (5, 8), (7, 30), (99, 30)]
)
def test_the_pause_between_starts_grows_and_has_an_end(failures: int, seconds: float) -> None:
    assert pause_seconds(failures) == seconds


def test_a_server_that_ends_again_and_again_is_not_waited_for(stand: Stand) -> None:
    stand.run("echo '[ERROR] unknown variable x'; exit 1")
    with pytest.raises(OperationFailed, match="unknown variable x"):
        stand.mysqld.wait_ready(60, never)
    child = stand.mysqld.child()
    assert "unknown variable x" in child.message and child.restarts >= 1


def test_a_wait_ends_when_it_is_interrupted(stand: Stand) -> None:
    stand.run("exec sleep 60")
    with pytest.raises(OperationFailed, match="still starting"):
        stand.mysqld.wait_ready(60, lambda: True)


def test_a_server_that_does_not_stop_is_killed(stand: Stand, tmp_path: Path) -> None:
    up = tmp_path / "up"
    os.mkfifo(up)
    stand.run(f"trap '' TERM; echo > {up}; while :; do sleep 60; done")
    up.read_text()  # returns when the trap is set
    stand.mysqld.stop(0.1)
    assert stand.mysqld.child().state is MysqldState.STOPPED


def test_nothing_is_started_once_the_agent_ends(stand: Stand) -> None:
    stand.mysqld.close()
    stand.run("exec sleep 60")
    stand.keeper.join(10)
    assert not stand.keeper.is_alive()
    assert stand.mysqld.child().state is MysqldState.STOPPED
