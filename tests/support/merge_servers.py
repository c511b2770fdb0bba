"""The scratch server of a gate, started as in its pod, for tests and benchmarks.

with MergeServer() as merge, GateProcess(table, users, merge.option) as gate: ...
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql

import mysqld
from mitosis_gate import merge_server

READY_SECONDS = 120


def _tmpfs() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class MergeServer:
    """`stop` or `kill`, then `start`, is what a restart of its container does."""

    def __init__(self, *options: str) -> None:
        self._program = mysqld.program("mysqld", mysqld.ensure())
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="merge-", dir=_tmpfs())
        self.folder = Path(self._folder.name)
        self.socket = self.folder / "run" / "mysqld.sock"
        self.log = self.folder / "merge.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def option(self) -> str:
        return f"--merge-socket={self.socket}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mitosis_gate.merge_server"),
                    f"--data-dir={self.folder / 'data'}",
                    f"--socket={self.socket}",
                    f"--mysqld={self._program}",
                    *("--", "--user=root", *self._options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + READY_SECONDS
        while not (self.socket.exists() and self._answers()):
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"the merge server did not start:\n{self.log.read_text()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        return merge_server.run([f"--socket={self.socket}", "--check"]) == 0

    def stop(self) -> None:
        """As a node does it: SIGTERM, and time to end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, number)
            self.process.wait(READY_SECONDS)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """As the gate's own account there."""
        password = (self.socket.parent / merge_server.PASSWORD_FILE).read_text()
        with (
            pymysql.connect(
                unix_socket=str(self.socket), user=merge_server.USER, password=password
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return list(cursor.fetchall())
