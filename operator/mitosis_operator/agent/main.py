"""Start of the agent: lock the volume, read what is remembered, start mysqld if there is good data,
serve. SIGTERM: end writes if this is the primary, stop mysqld in order, then end."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from mitosis_operator.agent import config, decisions, lifecycle
from mitosis_operator.agent.certificates import Certificates, watch
from mitosis_operator.agent.errors import AgentFailure
from mitosis_operator.agent.heartbeat import Heartbeat
from mitosis_operator.agent.lifecycle import Mysqld, log
from mitosis_operator.agent.operations import Operations
from mitosis_operator.agent.probes import probes
from mitosis_operator.agent.server import Handle, Listener, api
from mitosis_operator.agent.settings import Settings
from mitosis_operator.agent.state import Memory, lock_volume, open_store
from mitosis_operator.agent.status import Monitor
from mitosis_operator.agent.tools import Tools
from mitosis_operator.agent.verbs import stop_gently
from mitosis_operator.mysql.instance import DataState

LOCK_SECONDS = 30.0
API_THREADS = 16
PROBE_THREADS = 8
ALIVE_SECONDS = 60.0


def main() -> None:
    lifecycle.share_one_heap()
    try:
        settings = Settings.from_environment(os.environ)
        Agent(settings).run()
    except AgentFailure as exc:
        log(str(exc))
        sys.exit(1)


class Agent:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ended = threading.Event()
        self._last_tick = time.monotonic()
        self._refused: tuple[str, ...] = ()

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        settings = self._settings
        lock = lock_volume(settings.state, LOCK_SECONDS)
        fresh = Memory(settings.keyspace, settings.shard, settings.instance)
        store, problem = open_store(settings.state, settings.datadir, fresh)
        mysqld = Mysqld(self._normal_start, settings.socket, inherit=(lock,))
        tools = Tools(settings, store, mysqld, self._command, threading.Lock())
        monitor = Monitor(tools, problem, lambda: self._refused)
        operations = Operations(tools)
        certificates = Certificates(settings)
        if store.memory.data_state is DataState.GOOD:
            mysqld.want(offline=decisions.starts_offline(store.memory))
        keeper = self._thread(mysqld.keep)
        self._thread(lambda: Heartbeat(tools).beat_for_ever(self._ended))
        self._thread(lambda: watch(certificates, tools, self._ended, self._tick))
        self._serve(settings.api_port, api(monitor.status, operations), API_THREADS, certificates)
        self._serve(settings.probe_port, probes(monitor.status, self._is_alive), PROBE_THREADS)
        log(f"agent of {settings.instance} serves; data is {store.memory.data_state.value}")
        self._wait_for_end(mysqld)
        self._stop(tools, operations)
        keeper.join()

    def _wait_for_end(self, mysqld: Mysqld) -> None:
        is_init = os.getpid() == 1
        while not self._ended.wait(1.0 if is_init else None):
            mysqld.reap_orphans()

    def _stop(self, tools: Tools, operations: Operations) -> None:
        log("the agent ends: mysqld is stopped")
        operations.close()
        tools.mysqld.close()
        stop_gently(tools)

    def _serve(
        self, port: int, handle: Handle, threads: int, tls: Certificates | None = None
    ) -> None:
        is_v6 = ":" in self._settings.pod_ip
        listener = Listener(port, handle, threads, tls.context if tls else None, is_v6)
        self._thread(listener.serve_forever)

    def _thread(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        return thread

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._ended.set()

    def _tick(self) -> None:
        self._last_tick = time.monotonic()

    def _is_alive(self) -> bool:
        return time.monotonic() - self._last_tick < ALIVE_SECONDS

    def _normal_start(self, offline: bool) -> list[str]:
        return self._command(offline=offline)

    def _command(self, *, offline: bool = False, initialise: bool = False) -> list[str]:
        """The configuration is written anew for each start: the user's part may have changed."""
        settings = self._settings
        path = settings.run / "my.cnf"
        extra = self._read_extra()
        self._refused = extra.refused
        path.write_text(config.render(settings, extra, plugins=not initialise))
        command = [settings.mysqld, f"--defaults-file={path}", *settings.mysqld_arguments]
        if initialise:
            return [*command, "--initialize-insecure"]
        return [*command, "--offline-mode=ON"] if offline else command

    def _read_extra(self) -> config.Extra:
        path = self._settings.config / "extra.cnf"
        return config.read_extra(path.read_text() if path.is_file() else "")


if __name__ == "__main__":
    main()
