"""A real gate in front of real mysqlds, without Kubernetes, for tests and benchmarks.

with Shards(2) as shards, GateProcess(shards.table(), shards.users()) as gate: ...
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql

from mitosis_routing import codec, shard_objects
from mitosis_routing.keyspace import equal_ranges
from mitosis_routing.table import (
    InstanceRoute,
    Role,
    RoutingTable,
    SecretKey,
    ShardRoute,
    ShardState,
    TableRule,
    UserRef,
)
from mysqld import Mysqld, ServerTls, free_port

KEYSPACE = "shop"
SLOTS = 64
USER, PASSWORD = "app", "pass'word 1"
READER, READER_PASSWORD = "reader", "reader-secret"
GATE_USER, GATE_PASSWORD = "mitosis_gate", "gate-secret"
READY_SECONDS = 60
RULES = (
    TableRule("users", sharding_key="user_id"),
    TableRule("orders", sharding_key="user_id"),
    TableRule("countries", reference=True),
)


class Shards:
    """One mysqld for each shard, with the accounts that the operator would make."""

    def __init__(
        self,
        count: int,
        rules: Sequence[TableRule] = RULES,
        tls: ServerTls | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.rules = tuple(rules)
        self.tls = tls
        self.servers = [Mysqld(tls=tls, options=options) for _ in range(count)]

    def __enter__(self) -> Self:
        try:
            with ThreadPoolExecutor() as pool:
                list(pool.map(self._start, self.servers))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self.servers:
            server.__exit__(kind, error, trace)

    def _start(self, server: Mysqld) -> None:
        server.start()
        server.query(f"CREATE DATABASE {KEYSPACE}")
        for user, password, grants in (
            (USER, PASSWORD, "ALL"),
            (READER, READER_PASSWORD, "SELECT"),
            (GATE_USER, GATE_PASSWORD, "SELECT, SHOW VIEW"),
        ):
            server.query(f"CREATE USER {user}@'%%' IDENTIFIED BY %s", password)
            server.query(f"GRANT {grants} ON {KEYSPACE}.* TO {user}@'%'")
        account = f"'{GATE_USER}'@'%'"
        server.query(f"GRANT {', '.join(shard_objects.GATE_ON_ALL)} ON *.* TO {account}")
        for statement in (
            *shard_objects.SCHEMA,
            *shard_objects.gate_grants(account),
            *shard_objects.user_grants(f"'{USER}'@'%'"),
            *shard_objects.user_grants(f"'{READER}'@'%'"),
        ):
            server.query(statement)

    def run(self, statement: str) -> None:
        """On every shard, as root."""
        for server in self.servers:
            with server.connect(database=KEYSPACE) as connection, connection.cursor() as cursor:
                cursor.execute(statement)

    def rows(self, statement: str) -> list[list[tuple[Any, ...]]]:
        """What each shard answers, as root."""
        found = []
        for server in self.servers:
            with server.connect(database=KEYSPACE) as connection, connection.cursor() as cursor:
                cursor.execute(statement)
                found.append(list(cursor.fetchall()))
        return found

    def table(self, version: int = 1) -> RoutingTable:
        ranges = equal_ranges(SLOTS, len(self.servers))
        shards = tuple(
            self._route(f"{KEYSPACE}-{r.start}-{r.end}", replace(r), server)
            for r, server in zip(ranges, self.servers, strict=True)
        )
        return RoutingTable(
            KEYSPACE,
            version,
            SLOTS,
            shards,
            self.rules,
            users=(_user(USER), _user(READER)),
            gate_account=_user(GATE_USER),
            ca=self.tls.ca.read_text() if self.tls else "",
        )

    def _route(self, name: str, slots: Any, server: Mysqld) -> ShardRoute:
        ((uuid,),) = server.query("SELECT @@server_uuid")
        instance = InstanceRoute(
            "localhost" if self.tls else f"{name}-1", Role.PRIMARY, "127.0.0.1", server.port, uuid
        )
        return ShardRoute(name, slots, ShardState.SERVING, 1, (instance,))

    def users(self) -> Mapping[str, Mapping[str, str]]:
        accounts = {USER: PASSWORD, READER: READER_PASSWORD, GATE_USER: GATE_PASSWORD}
        return {KEYSPACE: accounts}


def _user(name: str) -> UserRef:
    return UserRef(name, SecretKey(name, "password"))


class GateProcess:
    """`mitosis-gate` with files in place of Kubernetes."""

    def __init__(
        self,
        table: RoutingTable,
        users: Mapping[str, Mapping[str, str]],
        *options: str,
        tls: ServerTls | None = None,
        backend_tls: bool = False,
        prefix: Sequence[str] = (),
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gate-")
        self.folder = Path(self._folder.name)
        self.port = free_port()
        self.admin_port = free_port()
        self.log = self.folder / "gate.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.publish(table)
        (self.folder / "users.json").write_text(json.dumps(users))
        self._command = [
            *prefix,
            sys.executable,
            "-m",
            "mitosis_gate.main",
            f"--listen-port={self.port}",
            "--listen-host=127.0.0.1",
            f"--admin-port={self.admin_port}",
            "--admin-host=127.0.0.1",
            f"--routing-file={self.folder / 'routing.json'}",
            f"--users-file={self.folder / 'users.json'}",
            f"--backend-tls={'required' if backend_tls else 'disabled'}",
            *options,
        ]
        if tls is not None:
            for name, source in (("tls.crt", tls.certificate()), ("tls.key", tls.key())):
                (self.folder / name).write_bytes(source.read_bytes())
            self._command.append(f"--tls-dir={self.folder}")

    def add(self, *options: str) -> None:
        """Before the start: options that need the ports of other gates."""
        self._command += options

    def publish(self, table: RoutingTable) -> None:
        """Put another table in force; the gate looks at the file several times a second."""
        new = self.folder / "routing.new"
        new.write_text(json.dumps(codec.to_json(table)))
        new.rename(self.folder / "routing.json")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__(None, None, None)
                raise RuntimeError(f"the gate did not start:\n{self.log_text()}")
            time.sleep(0.02)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._text = self.log.read_text(errors="replace") if self.log.exists() else ""
        self._folder.cleanup()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else self._text

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz") as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics") as answer:
            text: str = answer.read().decode()
            return text

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def connect(self, **settings: Any) -> "pymysql.connections.Connection[Any]":
        defaults: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": USER,
            "password": PASSWORD,
            "database": KEYSPACE,
            "autocommit": True,
            "ssl_disabled": True,
        }
        return pymysql.connect(**(defaults | settings))
