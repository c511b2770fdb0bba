"""mysqld as a child process: kept running, or kept stopped, as the agent wants it.

One thread, the keeper, starts every mysqld and lives as long as the agent: the kernel kills mysqld
when that thread is gone (PR_SET_PDEATHSIG), so that a killed agent leaves no writer behind.
mysqld ends with code 16 when it wants to be started again (after CLONE, or RESTART).
"""

import collections
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mitosis_operator.agent.errors import OperationFailed
from mitosis_operator.errors import MysqlError
from mitosis_operator.mysql.connection import Connection
from mitosis_operator.mysql.instance import MysqldState

RESTART_WANTED = 16
LONG_ENOUGH_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0
READY_POLL_SECONDS = 0.1
KEPT_LINES = 40
LAST_WORDS_SECONDS = 2.0
HOPELESS = 3
"""Short lives in a row after which nobody waits for the next one."""
PR_SET_PDEATHSIG = 1
M_ARENA_MAX = -8

_libc = ctypes.CDLL(None, use_errno=True)


def share_one_heap() -> None:
    """glibc gives threads heaps of their own, and each request has a thread: the memory of all of
    them stays. Other C libraries have no such call and no such habit."""
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(M_ARENA_MAX, 1)


@dataclass(frozen=True)
class Child:
    """What is known about the process now."""

    state: MysqldState
    pid: int | None
    uptime_seconds: float | None
    restarts: int
    message: str


def pause_seconds(failures: int) -> float:
    """How long to wait before the next start, after this many short lives in a row."""
    return min(LONGEST_PAUSE_SECONDS, 0.25 * 2**failures) if failures else 0.0


class Mysqld:
    def __init__(
        self, command: Callable[[bool], list[str]], socket_path: Path, inherit: tuple[int, ...] = ()
    ) -> None:
        """`command(offline)` gives the command line of a normal start."""
        self._command = command
        self._socket = socket_path
        self._inherit = inherit
        self._changed = threading.Condition()
        self._wanted = False
        self._offline = True
        self._closing = False
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._started_at = 0.0
        self._asked_to_stop = False
        self._failures = 0
        self._starts = 0
        self._planned = 0
        self._exit = ""
        self._lines: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
        self._births = threading.Lock()
        self._children: set[int] = set()

    def child(self) -> Child:
        with self._changed:
            process = self._process
            restarts = max(0, self._starts - self._planned)
            if process is None:
                return Child(MysqldState.STOPPED, None, None, restarts, self._exit)
            state = MysqldState.RUNNING if self._ready else MysqldState.STARTING
            uptime = time.monotonic() - self._started_at
            return Child(state, process.pid, uptime, restarts, "" if self._ready else self._exit)

    def want(self, *, offline: bool) -> None:
        """Have it running from now on. `offline`: the next start is made with clients shut out."""
        with self._changed:
            if self._closing:
                return
            if not self._wanted:
                self._wanted, self._failures = True, 0
                self._planned += 1
            self._offline = offline
            self._changed.notify_all()

    def set_offline(self, offline: bool) -> None:
        """How starts are made from now on, also the one that mysqld asks for by itself."""
        with self._changed:
            self._offline = offline

    def stop(self, term_seconds: float) -> None:
        """Return when no mysqld runs; it stays so until `want`. Killed when it takes too long."""
        with self._changed:
            self._wanted = False
            self._changed.notify_all()
        self.end_process(term_seconds)

    def end_process(self, term_seconds: float) -> None:
        """Return when the present process is dead; the keeper starts another if one is wanted."""
        with self._changed:
            process = self._process
            if process is None:
                return
            self._asked_to_stop = True
            process.terminate()
            if not self._wait_for(lambda: self._process is not process, term_seconds):
                process.kill()
                self._wait_for(lambda: self._process is not process, None)

    def wait_ready(self, limit_seconds: float, interrupted: Callable[[], bool]) -> None:
        """Raise OperationFailed, with mysqld's own words, when it does not come up in time, or
        ends again and again."""
        end = time.monotonic() + limit_seconds
        with self._changed:
            while not self._ready:
                left = end - time.monotonic()
                if left <= 0 or interrupted() or self._failures >= HOPELESS:
                    raise OperationFailed(f"mysqld is not ready: {self._exit or 'still starting'}")
                self._changed.wait(min(left, 0.5))

    def close(self) -> None:
        """The agent ends: nothing is started any more. The keeper ends once the process is gone."""
        with self._changed:
            self._closing, self._wanted = True, False
            self._changed.notify_all()

    def last_errors(self) -> str:
        """The errors among mysqld's last lines, else its last line."""
        lines = list(self._lines)
        errors = [line for line in lines if "[ERROR]" in line] or lines[-1:]
        return " | ".join(line.partition("[ERROR] ")[2] or line for line in errors[-3:])

    def keep(self) -> None:
        """The keeper's loop."""
        while True:
            with self._changed:
                self._wait_for(lambda: self._wanted or self._closing, None)
                pause = pause_seconds(self._failures)
                if self._wait_for(lambda: self._closing or not self._wanted, pause):
                    if self._closing:
                        return
                    continue
                self._start()
            self._live()

    def run_once(self, command: list[str]) -> None:
        """Run a mysqld that ends by itself (`--initialize`); raises OperationFailed."""
        self._lines.clear()
        process = self._popen(command)
        self._pump(process)
        code = process.wait()
        self._children.discard(process.pid)
        if code:
            raise OperationFailed(f"mysqld --initialize ended with {code}: {self.last_errors()}")

    def _start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._lines.clear()
        self._ready, self._asked_to_stop = False, False
        self._started_at = time.monotonic()
        self._starts += 1
        try:
            self._process = self._popen(self._command(self._offline))
        except OSError as exc:
            self._exit = f"cannot start mysqld: {exc}"
            self._failures += 1
        self._changed.notify_all()

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        agent = os.getpid()

        def die_with_agent() -> None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != agent:
                os._exit(1)

        with self._births:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "MYSQLD_PARENT_PID": str(agent)},
                preexec_fn=die_with_agent,  # safe beside threads: it takes no lock
                pass_fds=self._inherit,
                start_new_session=True,  # signals of a terminal are for the agent
            )
            self._children.add(process.pid)
        return process

    def reap_orphans(self) -> None:
        """As process 1 of the container: collect what others left, never our own children."""
        with self._births, contextlib.suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if found.si_pid in self._children:
                    return
                os.waitpid(found.si_pid, 0)

    def _live(self) -> None:
        """From the start of the process to its end."""
        process = self._process
        if process is None:
            return
        pump = threading.Thread(target=self._pump, args=(process,), name="mysqld-log", daemon=True)
        pump.start()
        waiter = threading.Thread(target=process.wait, name="mysqld-wait", daemon=True)
        waiter.start()
        while waiter.is_alive():
            waiter.join(None if self._ready else READY_POLL_SECONDS)
            if not self._ready and waiter.is_alive() and self._answers():
                with self._changed:
                    self._ready, self._exit = True, ""
                    self._changed.notify_all()
        pump.join(LAST_WORDS_SECONDS)
        self._children.discard(process.pid)
        self._ended(process.returncode)

    def _ended(self, code: int) -> None:
        with self._changed:
            lived = time.monotonic() - self._started_at
            if code == RESTART_WANTED or self._asked_to_stop:
                self._exit, self._failures = "", 0
                self._planned += self._wanted
            else:
                how = f"killed by signal {-code}" if code < 0 else f"ended with {code}"
                self._exit = f"mysqld {how}: {self.last_errors()}"
                self._failures = 1 if lived > LONG_ENOUGH_SECONDS else self._failures + 1
                log(self._exit)
            self._process, self._ready = None, False
            self._changed.notify_all()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self._socket)):
                return False
        try:
            Connection.to_socket(self._socket, limit_seconds=2).close()
        except MysqlError:
            return False
        return True

    def _pump(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with contextlib.closing(process.stdout) as lines:
            for line in lines:
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()
                self._lines.append(line.decode(errors="replace").rstrip())

    def _wait_for(self, predicate: Callable[[], bool], seconds: float | None) -> bool:
        return self._changed.wait_for(predicate, seconds)


def log(message: str) -> None:
    """One line on the container's error stream, where mysqld writes too."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(f"{stamp} [agent] {message}", file=sys.stderr, flush=True)  # noqa: T201  its log
