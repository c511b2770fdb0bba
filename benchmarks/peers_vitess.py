"""Vitess in front of two mysqlds, each a shard: vtgate, two vttablets, etcd.

Built from the Go module proxy on first use, into the cache: some minutes. Vitess 0.23.0 is checked
against Go 1.25, whose toolchain Go fetches by itself.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import pymysql

from mitosis_local import programs
from mitosis_local.paths import from_environment
from mysqld import Mysqld, free_port

VERSION = "v0.23.0"
TOOLCHAIN = "go1.25.5"
NAMES = ("vtgate", "vttablet", "vtctldclient")
READY_SECONDS = 120
CELL = "zone1"
NOT_ROOT = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
"""Vitess refuses to run as root: root of the machine under another number."""
PASSWORD = "vitess"
KEYRANGES = ("-80", "80-")


def ensure() -> Path:
    """Folder of the programs, built now when they are not in the cache."""
    folder = from_environment().cache / "vitess" / f"{VERSION}-{TOOLCHAIN}"
    if all((folder / name).exists() for name in NAMES):
        return folder
    print(f"building Vitess {VERSION}; this takes some minutes", flush=True)
    with tempfile.TemporaryDirectory(prefix="vitess-") as made:
        module = Path(made)
        packages = [f"vitess.io/vitess/go/cmd/{name}" for name in NAMES]
        imports = "".join(f'import _ "{package}"\n' for package in packages)
        (module / "go.mod").write_text(
            f"module bench\n\ngo 1.25\n\nrequire vitess.io/vitess {VERSION}\n"
        )
        (module / "tools.go").write_text(f"//go:build tools\n\npackage bench\n\n{imports}")
        environment = {
            **os.environ,
            "GOTOOLCHAIN": TOOLCHAIN,
            "GOFLAGS": "-mod=mod",
            "GOBIN": str(folder),
        }
        for words in (("mod", "tidy"), ("install", *packages)):
            done = subprocess.run(
                ["go", *words], cwd=module, env=environment, capture_output=True, text=True
            )
            if done.returncode:
                sys.exit(f"cannot build Vitess: {done.stderr[-2000:]}")
    return folder


class Vitess:
    """One keyspace with two shards on two mysqlds that exist already."""

    name = "vtgate"

    def __init__(
        self, servers: Sequence[Mysqld], keyspace: str, tables: dict[str, str], create: str
    ) -> None:
        """`tables`: the column by which each table is sharded."""
        assert len(servers) == len(KEYRANGES)
        self._bin = ensure()
        self._folder = Path(tempfile.mkdtemp(prefix="vitess-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self.port = free_port()
        self.keyspace = keyspace
        self._servers = servers
        self._topology = ""
        try:
            self._start(tables, create)
        except BaseException:
            self.close()
            raise

    def _start(self, tables: dict[str, str], create: str) -> None:
        self._start_etcd()
        self._control(
            "AddCellInfo", "--root=/vitess/zone", f"--server-address={self._topology}", CELL
        )
        self._control("CreateKeyspace", "--durability-policy=none", self.keyspace)
        self.tablets = [
            self._start_tablet(number, server, keyrange)
            for number, (server, keyrange) in enumerate(
                zip(self._servers, KEYRANGES, strict=True), 100
            )
        ]
        for number in range(100, 100 + len(self._servers)):
            self._until(
                f"tablet {number}",
                partial(
                    self._control, "TabletExternallyReparented", f"{CELL}-{number:010}", check=False
                ),
            )
        vschema = {
            "sharded": True,
            "vindexes": {"by_hash": {"type": "xxhash"}},
            "tables": {
                table: {"column_vindexes": [{"column": column, "name": "by_hash"}]}
                for table, column in tables.items()
            },
        }
        self._control("ApplyVSchema", f"--vschema={json.dumps(vschema)}", self.keyspace)
        self.gate = self._start_gate()
        self._until("vtgate", lambda: self._serves(create))

    def _start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._topology = client.removeprefix("http://")
        self._run(
            "etcd",
            str(programs.folder(from_environment()) / "etcd"),
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )
        self._until("etcd", lambda: self._control("GetCellInfoNames", check=False))

    def _topology_words(self) -> list[str]:
        return [
            "--topo-implementation=etcd2",
            f"--topo-global-server-address={self._topology}",
            "--topo-global-root=/vitess/global",
        ]

    def _control(self, *words: str, check: bool = True) -> bool:
        program = str(self._bin / "vtctldclient")
        done = subprocess.run(
            [program, "--server=internal", *self._topology_words(), *words],
            capture_output=True,
            text=True,
        )
        if check and done.returncode:
            sys.exit(f"vtctldclient {' '.join(words)}: {done.stderr[-1000:]}")
        return done.returncode == 0

    def _start_tablet(self, number: int, server: Mysqld, keyrange: str) -> subprocess.Popen[bytes]:
        server.query(f"CREATE DATABASE IF NOT EXISTS vt_{self.keyspace}")
        server.query(f"CREATE USER vitess@localhost IDENTIFIED BY '{PASSWORD}'")
        server.query("GRANT ALL ON *.* TO vitess@localhost")
        kinds = ("app", "dba", "allprivs", "filtered", "repl")
        users = [f"--db-{kind}-user=vitess" for kind in kinds]
        users += [f"--db-{kind}-password={PASSWORD}" for kind in kinds]
        return self._run(
            f"vttablet-{number}",
            str(self._bin / "vttablet"),
            *self._topology_words(),
            f"--tablet-path={CELL}-{number:010}",
            f"--init-keyspace={self.keyspace}",
            f"--init-shard={keyrange}",
            "--init-tablet-type=replica",
            f"--init-db-name-override=vt_{self.keyspace}",
            f"--port={free_port()}",
            f"--grpc-port={free_port()}",
            "--service-map=grpc-queryservice,grpc-tabletmanager",
            "--tablet-hostname=127.0.0.1",
            f"--db-socket={server.socket}",
            *users,
            "--unmanaged",
        )

    def _start_gate(self) -> subprocess.Popen[bytes]:
        return self._run(
            "vtgate",
            str(self._bin / "vtgate"),
            *self._topology_words(),
            f"--cell={CELL}",
            f"--cells-to-watch={CELL}",
            "--tablet-types-to-wait=PRIMARY",
            f"--mysql-server-port={self.port}",
            "--mysql-server-bind-address=127.0.0.1",
            "--mysql-auth-server-impl=none",
            f"--port={free_port()}",
            f"--grpc-port={free_port()}",
        )

    def _run(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.out").open("wb") as out:
            process = subprocess.Popen(
                (*NOT_ROOT, *command), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self._processes.append(process)
        return process

    def _serves(self, create: str) -> bool:
        """Whether the table can be made through it, which needs every shard."""
        try:
            with (
                pymysql.connect(
                    host="127.0.0.1", port=self.port, user="any", database=self.keyspace
                ) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute(create)
        except pymysql.MySQLError:
            return False
        return True

    def _until(self, what: str, is_there: Callable[[], bool]) -> None:
        end = time.monotonic() + READY_SECONDS
        while not is_there():
            if time.monotonic() > end or any(p.poll() is not None for p in self._processes):
                for log in self._folder.glob("*.out"):
                    print(f"{log.name}: {log.read_text(errors='replace')[-1500:]}", file=sys.stderr)
                sys.exit(f"{what} does not come up")
            time.sleep(0.5)

    @property
    def pid(self) -> int:
        return self.gate.pid

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
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
