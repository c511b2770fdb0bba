"""Real agents with a real mysqld each, on loopback: processes as a pod would run them.

    async with a_shard(tmp_path) as (primary, second, third): ...

The first shard of a run is initialised and cloned; the others start from copies of its volumes.
"""

import asyncio
import atexit
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pymysql

from mitosis_local.certificates import Authority
from mitosis_operator.errors import AgentUnreachable
from mitosis_operator.mysql.instance import (
    Accounts,
    Arguments,
    Clone,
    Follow,
    Initialise,
    InstanceStatus,
    Operation,
    OperationState,
    Progress,
    Promote,
    UserGrant,
)
from mitosis_operator.mysql.remote import AgentClient, client_context
from mysqld import ensure, free_port, program

HOST = "127.0.0.1"
SHARD = "shop-0-4096"
KEYSPACE = "shop"
LIMIT_SECONDS = 90
APP = UserGrant("app", "secret-of-app", ("SELECT", "INSERT", "UPDATE", "DELETE"))

T = TypeVar("T")


async def until(
    look: Callable[[], Awaitable[T]], is_good: Callable[[T], bool], what: str = "it"
) -> T:
    end = time.monotonic() + LIMIT_SECONDS
    while True:
        seen = await look()
        if is_good(seen):
            return seen
        assert time.monotonic() < end, f"{what} did not come true; last seen: {seen}"
        await asyncio.sleep(0.05)


class World:
    """One shard's certificates, passwords and agents, in one folder."""

    def __init__(self, folder: Path) -> None:
        ensure()
        self.folder = folder
        self.authority = Authority("test authority")
        self.agents: list[Agent] = []
        self.authority.pair.write(folder, "ca")
        self.issue_client("mitosis-operator")
        secrets = folder / "system"
        secrets.mkdir()
        for name in ("gate", "replication", "donor"):
            (secrets / name).write_text(f"password-of-{name}")

    def issue_client(self, name: str) -> None:
        self.authority.issue(name).write(self.folder, name)

    def client(self, port: int, name: str = "mitosis-operator") -> AgentClient:
        folder = self.folder

        def context() -> ssl.SSLContext:
            return client_context(folder / "ca.crt", folder / f"{name}.crt", folder / f"{name}.key")

        return AgentClient(context, port)

    def agent(self, serial: int, shard: str = SHARD) -> "Agent":
        agent = Agent(self, serial, shard)
        self.agents.append(agent)
        return agent

    def close(self) -> None:
        for agent in self.agents:
            agent.kill()


class Agent:
    def __init__(self, world: World, serial: int, shard: str) -> None:
        self.world, self.serial, self.shard = world, serial, shard
        self.name = f"{shard}-{serial}"
        self.folder = world.folder / self.name
        self.volume = self.folder / "volume"
        self.api_port, self.probe_port, self.mysql_port = free_port(), free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.options: tuple[str, ...] = ("-m", "mitosis_operator.agent.main")
        for folder in ("volume", "run", "tls", "config"):
            (self.folder / folder).mkdir(parents=True)
        self.renew_certificate()
        self.client = world.client(self.api_port)

    def renew_certificate(self) -> None:
        pair = self.world.authority.issue(self.name, [self.name])
        pair.write(self.folder / "tls", "tls")
        shutil.copy(self.world.folder / "ca.crt", self.folder / "tls" / "ca.crt")

    def take_volume_from(self, world: Path) -> None:
        source = world / self.name / "volume"
        subprocess.run(["cp", "-a", "--reflink=auto", f"{source}/.", self.volume], check=True)

    @property
    def log(self) -> str:
        return (self.folder / "agent.log").read_text(errors="replace")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "MITOSIS_INSTANCE": self.name,
            "MITOSIS_SHARD": self.shard,
            "MITOSIS_KEYSPACE": KEYSPACE,
            "MITOSIS_NAMESPACE": "test",
            "MITOSIS_SERIAL": str(self.serial),
            "MITOSIS_POD_IP": HOST,
            "MITOSIS_DATA_DIR": str(self.volume),
            "MITOSIS_RUN_DIR": str(self.folder / "run"),
            "MITOSIS_TLS_DIR": str(self.folder / "tls"),
            "MITOSIS_SYSTEM_SECRET_DIR": str(self.world.folder / "system"),
            "MITOSIS_CONFIG_DIR": str(self.folder / "config"),
            "MITOSIS_MYSQLD": str(program("mysqld")),
            "MITOSIS_MYSQLD_ARGS": "--user=root --innodb-redo-log-capacity=16M",
            "MITOSIS_MEMORY_LIMIT_BYTES": str(512 << 20),
            "MITOSIS_API_PORT": str(self.api_port),
            "MITOSIS_PROBE_PORT": str(self.probe_port),
            "MITOSIS_MYSQL_PORT": str(self.mysql_port),
        }

    async def start(self) -> "Agent":
        self._spawn()
        await until(self._serves, bool, f"agent {self.name} serves")
        return self

    def _spawn(self) -> None:
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.options],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def _serves(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.log
        try:
            await self.status()
        except AgentUnreachable:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60)

    def stop(self) -> None:
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)

    async def status(self) -> InstanceStatus:
        return await self.client.status(HOST, self.name)

    async def until(
        self, is_good: Callable[[InstanceStatus], bool], what: str = "status"
    ) -> InstanceStatus:
        return await until(self.status, is_good, f"{what} of {self.name}")

    def operation(self, args: Arguments, epoch: int = 1, lease: int = 1, id: str = "") -> Operation:
        return Operation(id or uuid.uuid4().hex, epoch, lease, self.shard, args)

    async def begin(self, args: Arguments, epoch: int = 1, **more: Any) -> OperationState:
        return await self.client.start(HOST, self.name, self.operation(args, epoch, **more))

    async def end(self, operation_id: str) -> OperationState:
        async def look() -> OperationState | None:
            return await self.client.operation(HOST, self.name, operation_id)

        ended = await until(
            look, lambda o: o is not None and o.state is not Progress.RUNNING, operation_id
        )
        assert ended is not None
        return ended

    async def attempt(self, args: Arguments, epoch: int = 1, **more: Any) -> OperationState:
        return await self.end((await self.begin(args, epoch, **more)).id)

    async def do(self, args: Arguments, epoch: int = 1, **more: Any) -> OperationState:
        ended = await self.attempt(args, epoch, **more)
        assert ended.state is Progress.DONE, f"{ended}\n{self.log}"
        return ended

    async def until_done(self, args: Arguments, epoch: int = 1) -> None:
        async def attempt() -> OperationState:
            return await self.attempt(args, epoch)

        what = f"{args} of {self.name}"
        await until(attempt, lambda ended: ended.state is Progress.DONE, what)

    def clone_of(self, donor: "Agent", discard_gtid: str | None = None) -> Clone:
        return Clone(HOST, donor.mysql_port, donor.name, discard_gtid)

    async def kill_mysqld(self) -> int:
        """Return the pid that it had."""
        pid = (await self.status()).mysqld.pid
        assert pid is not None, "no mysqld runs"
        os.kill(pid, signal.SIGKILL)
        return pid

    def after(self, source: "Agent", source_executed: str | None = None) -> Follow:
        return Follow(HOST, source.mysql_port, source.name, True, source_executed)

    def connect(self, user: str = "root", **more: Any) -> "pymysql.connections.Connection[Any]":
        """Over the unix socket."""
        path = str(self.folder / "run" / "mysqld.sock")
        return pymysql.connect(
            unix_socket=path, user=user, charset="utf8mb4", autocommit=True, **more
        )

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


def accounts(hash: str = "1", users: tuple[UserGrant, ...] = (APP,), serials: int = 3) -> Accounts:
    return Accounts(KEYSPACE, users, tuple(range(1, serials + 1)), hash)


Three = tuple[Agent, Agent, Agent]
_template: list[Path] = []


@asynccontextmanager
async def a_shard(folder: Path) -> AsyncIterator[Three]:
    """A primary at epoch 1 that waits for one acknowledgement, and two replicas that follow it."""
    if not _template:
        _template.append(await _make_template())
    world = World(folder)
    try:
        for serial in (1, 2, 3):
            agent = world.agent(serial)
            agent.take_volume_from(_template[0])
            await agent.start()
        first, second, third = world.agents
        await serve(first, second, third)
        yield first, second, third
    finally:
        world.close()


async def serve(primary: Agent, *replicas: Agent, epoch: int = 1) -> None:
    """As the operator does it: a replica that comes before its source is told again."""
    promotion = await primary.begin(Promote(1, True), epoch)
    for replica in replicas:
        await replica.until_done(replica.after(primary), epoch)
    ended = await primary.end(promotion.id)
    assert ended.state is Progress.DONE, ended
    await primary.until(lambda s: s.semi_sync is not None and s.semi_sync.clients == len(replicas))


async def _make_template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="agents-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    world = World(folder)
    try:
        first, *others = [await world.agent(serial).start() for serial in (1, 2, 3)]
        await first.do(Initialise())
        await first.do(accounts())
        for other in others:
            await other.do(other.clone_of(first))
        for agent in world.agents:
            agent.stop()
    finally:
        world.close()
    return folder
