"""Other proxies in front of one mysqld, for benchmarks that compare in one run."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from mitosis_local import rootfs
from mysqld import Mysqld, free_port

READY_SECONDS = 30


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Peer:
    """A proxy's process; a subclass says its configuration and its command."""

    name = ""

    def __init__(self, server: Mysqld) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix=f"{self.name}-")
        self.process = subprocess.Popen(
            self.command(Path(self._folder.name), server.port),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self._wait_until_ready()

    def command(self, folder: Path, server_port: int) -> list[str]:
        raise NotImplementedError

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        self.close()
        sys.exit(f"{self.name} does not listen")

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._folder.cleanup()


class HaProxy(Peer):
    """TCP mode, one thread: a blind relay."""

    name = "haproxy"

    def command(self, folder: Path, server_port: int) -> list[str]:
        config = folder / "haproxy.cfg"
        config.write_text(
            "global\n nbthread 1\n"
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 10m\n timeout server 10m\n"
            f"listen mysql\n bind 127.0.0.1:{self.port}\n server one 127.0.0.1:{server_port}\n"
        )
        return ["haproxy", "-db", "-q", "-f", str(config)]


class Router(Peer):
    """MySQL Router as Debian has it, one I/O thread, TLS passed through: its cheapest way."""

    name = "router"

    def command(self, folder: Path, server_port: int) -> list[str]:
        root = rootfs.ensure_with(("mysql-router",))
        libraries = root / "usr/lib/x86_64-linux-gnu"
        config = folder / "router.conf"
        config.write_text(
            f"[DEFAULT]\nname=bench\nplugin_folder={root}/usr/lib/mysqlrouter/plugin\n"
            f"logging_folder={folder}\nruntime_folder={folder}\ndata_folder={folder}\n"
            "[io]\nthreads=1\n[logger]\nlevel=error\n"
            f"[routing:one]\nbind_address=127.0.0.1\nbind_port={self.port}\n"
            f"destinations=127.0.0.1:{server_port}\nrouting_strategy=first-available\n"
            "protocol=classic\nclient_ssl_mode=PASSTHROUGH\nserver_ssl_mode=AS_CLIENT\n"
        )
        paths = (libraries, root / "usr/lib/mysql-router", root / "usr/lib/mysqlrouter/private")
        return [
            str(libraries / "ld-linux-x86-64.so.2"),
            "--library-path",
            ":".join(map(str, paths)),
            str(root / "usr/bin/mysqlrouter"),
            f"--config={config}",
        ]


def missing_programs(*names: str) -> str:
    """What to say when a program that Debian packages is not installed; empty when all are."""
    missing = [name for name in names if not shutil.which(name)]
    return (
        f"not installed: {', '.join(missing)}; Debian has packages of these names"
        if missing
        else ""
    )
