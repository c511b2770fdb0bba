"""Throw-away mysqld processes for tests, from the cached Debian root file system.

    with Mysqld("--gtid-mode=ON", "--enforce-gtid-consistency=ON") as server:
        with server.connect() as connection: ...

A test that needs one carries `@pytest.mark.mysql`. root has no password and comes in over the
unix socket only; over TCP come the accounts a test creates.
"""

import atexit
import shutil
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql

from mitosis_local import rootfs
from mitosis_local.certificates import Authority
from mitosis_local.paths import Paths, from_environment, only_one
from mitosis_local.shell import run

READY_SECONDS = 60
STOP_SECONDS = 60
SMALL = (
    "--innodb-buffer-pool-size=64M",
    "--innodb-redo-log-capacity=16M",
    "--innodb-numa-interleave=OFF",
    "--mysqlx=OFF",
    "--secure-file-priv=NULL",
    "--table-open-cache=400",
    "--table-definition-cache=400",
)


def ensure() -> Paths:
    """Make what is missing: the root file system, the wrappers, the initialised template."""
    paths = from_environment()
    rootfs.ensure(paths)
    template = template_datadir(paths)
    with only_one(paths, "mysqld-template"):
        if not template.is_dir():
            making = template.with_name(template.name + ".making")
            shutil.rmtree(making, ignore_errors=True)
            making.parent.mkdir(parents=True, exist_ok=True)
            run(
                program("mysqld", paths),
                "--initialize-insecure",
                "--user=root",
                f"--datadir={making}",
                *SMALL,
            )
            (making / "auto.cnf").unlink()  # else every copy would have the same server_uuid
            making.rename(template)
    return paths


def template_datadir(paths: Paths) -> Path:
    return paths.cache / "mysqld-template" / rootfs.key()


def program(name: str, paths: Paths | None = None) -> Path:
    """Path of `mysqld`, `mysql`, `mysqldump`, `mysqladmin` or `mysqlbinlog`."""
    return (paths or from_environment()).bin / name


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class ServerTls:
    """A small authority and what it signed: `server` for mysqld, `client` for who connects."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    def certificate(self, name: str = "server") -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str = "server") -> Path:
        return self.folder / f"{name}.key"

    @property
    def options(self) -> tuple[str, ...]:
        return (
            f"--ssl-ca={self.ca}",
            f"--ssl-cert={self.certificate()}",
            f"--ssl-key={self.key()}",
        )


def server_tls(folder: Path, names: Sequence[str] = ("localhost", "127.0.0.1")) -> ServerTls:
    authority = Authority("test authority")
    authority.pair.write(folder, "ca")
    authority.issue("server", names).write(folder, "server")
    authority.issue("client", names).write(folder, "client")
    return ServerTls(folder)


class Mysqld:
    """One server. Entering starts it, leaving kills it and removes its folder.

    `stop` or `kill`, then `start` with the same data and port, is a restart.
    """

    def __init__(
        self,
        *arguments: str,
        options: Sequence[str] = (),
        performance_schema: bool = False,
        initialised: bool = True,
        tls: ServerTls | None = None,
    ) -> None:
        """`initialised=False` prepares an empty folder only, for a test that fills it itself."""
        self._paths = ensure()
        self.folder = Path(tempfile.mkdtemp(prefix="mysqld-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.datadir = self.folder / "data"
        self.socket = self.folder / "mysqld.sock"
        self.log = self.folder / "error.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._options = (
            *SMALL,
            f"--performance-schema={'ON' if performance_schema else 'OFF'}",
            *(tls.options if tls else ()),
            *options,
            *arguments,
        )
        if initialised:
            run("cp", "-a", "--reflink=auto", template_datadir(self._paths), self.datadir)

    @property
    def pid(self) -> int:
        assert self.process is not None, "the server was not started"
        return self.process.pid

    def __enter__(self) -> Self:
        if self.process is None:
            self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._remove()

    def command(self, *more: str) -> list[str]:
        """The whole command line, for a test whose subject starts mysqld itself."""
        return [
            str(program("mysqld", self._paths)),
            "--user=root",
            f"--datadir={self.datadir}",
            f"--socket={self.socket}",
            f"--pid-file={self.folder / 'mysqld.pid'}",
            f"--log-error={self.log}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            *self._options,
            *more,
        ]

    def start(self, *more: str) -> Self:
        assert self.process is None or self.process.poll() is not None, "it is running already"
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            self.command(*more), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        atexit.register(self.kill)
        self._wait_until_ready()
        return self

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while True:
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(f"mysqld ended with {self.process.returncode}:\n{self.tail()}")
            if self._listens():
                self.connect().close()
                return
            if time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"mysqld not ready in {READY_SECONDS} s:\n{self.tail()}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def tail(self, lines: int = 30) -> str:
        if not self.log.exists():
            return "(no error log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def connect(self, **settings: Any) -> "pymysql.connections.Connection[Any]":
        """As root over the unix socket; with `host` or `port` over TCP instead."""
        defaults: dict[str, Any] = {"user": "root", "charset": "utf8mb4", "autocommit": True}
        if "host" in settings or "port" in settings:
            defaults |= {"host": "127.0.0.1", "port": self.port}
        else:
            defaults |= {"unix_socket": str(self.socket)}
        return pymysql.connect(**(defaults | settings))

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement as root and return its rows."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall())

    def stop(self) -> None:
        """Shut down in order, as SIGTERM does."""
        self._end(kill=False)

    def kill(self) -> None:
        self._end(kill=True)

    def _end(self, kill: bool) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            if kill:
                self.process.kill()
            else:
                self.process.terminate()
            self.process.wait(STOP_SECONDS)
        atexit.unregister(self.kill)
