"""A shard that moves, a primary that takes no writes, a table that cannot be confirmed."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymysql
import pytest
from gates import GateProcess, Shards
from patience import until
from waiting import wait_until

from fakes.api_server import FakeApiServer
from fakes.kube import FakeKube
from mitosis_local.certificates import Authority
from mitosis_operator.gates import Confirmations, Gates
from mitosis_operator.mysql.remote import client_context
from mitosis_routing import codec
from mitosis_routing.hashing import slot_of
from mitosis_routing.keyspace import SlotRange
from mitosis_routing.table import RoutingTable, ShardRoute, ShardState
from mysqld import free_port

pytestmark = pytest.mark.mysql

NOT_DURABLE = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
LIMITS = ("--hold-seconds=30", "--hold-event-seconds=60", "--hold-pause-seconds=0")


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2, options=NOT_DURABLE) as running:
        running.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(100))")
        yield running


@pytest.fixture(autouse=True)
def _empty(shards: Shards) -> None:
    shards.run("DELETE FROM users")


def home(user_id: int) -> int:
    return slot_of(str(user_id).encode(), 64) // 32


ONE = next(n for n in range(1, 1000) if home(n) == 0)
OTHER = next(n for n in range(1, 1000) if home(n) == 1)


def ask(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def moving(table: RoutingTable, version: int, seconds: float = 60.0) -> RoutingTable:
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    shard = replace(
        table.shards[0],
        state=ShardState.MOVING,
        deadline=deadline.isoformat(),
        reason="a switchover",
    )
    return replace(table.with_shard(shard), version=version)


def serving(table: RoutingTable, version: int, epoch: int = 1) -> RoutingTable:
    shard = replace(table.shards[0], state=ShardState.SERVING, epoch=epoch, deadline="", reason="")
    return replace(table.with_shard(shard), version=version)


def publish(gate: GateProcess, table: RoutingTable) -> None:
    gate.publish(table)
    line = f'mitosis_gate_routing_version{{keyspace="shop"}} {table.version}.0'
    wait_until("the table is obeyed", lambda: line in gate.metrics(), seconds=60, every=0.02)


def held(gate: GateProcess, count: int) -> None:
    """At least so many: the gate's own work, such as recovery, waits as well."""

    def waiting() -> bool:
        lines = gate.metrics().splitlines()
        (line,) = [x for x in lines if x.startswith("mitosis_gate_held_statements ")]
        return float(line.split()[1]) >= count

    wait_until("statements wait", waiting, seconds=60, every=0.02)


class Asking(threading.Thread):
    """A statement that is expected to wait."""

    def __init__(self, gate: GateProcess, statement: str) -> None:
        super().__init__(daemon=True)
        self._gate, self._statement = gate, statement
        self.rows: list[tuple[Any, ...]] | None = None
        self.error: pymysql.MySQLError | None = None

    def run(self) -> None:
        try:
            with self._gate.connect() as connection:
                self.rows = ask(connection, self._statement)
        except pymysql.MySQLError as exc:
            self.error = exc

    def answer(self) -> list[tuple[Any, ...]]:
        self.join(60)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        assert self.rows is not None
        return self.rows


@contextmanager
def a_gate(shards: Shards, *options: str) -> Iterator[GateProcess]:
    with GateProcess(shards.table(), shards.users(), *LIMITS, *options) as gate:
        yield gate


def test_statements_wait_while_the_shard_moves_and_go_on_afterwards(shards: Shards) -> None:
    with a_gate(shards) as gate:
        publish(gate, moving(shards.table(), 2))
        users = [n for n in range(1, 1000) if home(n) == 0][:3]
        asking = []
        for user in users:
            asking.append(Asking(gate, f"INSERT INTO users VALUES ({user}, 'held')"))
            asking[-1].start()
            held(gate, len(asking))
        with gate.connect() as connection:
            ask(connection, f"INSERT INTO users VALUES ({OTHER}, 'serves')")
        assert shards.rows("SELECT * FROM users")[0] == []
        publish(gate, serving(shards.table(), 3, epoch=2))
        for thread in asking:
            thread.answer()
        found = shards.rows("SELECT user_id FROM users ORDER BY user_id")[0]
        assert found == [(user,) for user in users]


def test_a_move_that_is_undone_leaves_transactions_alone(shards: Shards) -> None:
    with a_gate(shards, "--moving-drain-seconds=60") as gate, gate.connect() as connection:
        ask(connection, "BEGIN")
        ask(connection, f"INSERT INTO users VALUES ({ONE}, 'before')")
        publish(gate, moving(shards.table(), 2))
        ask(connection, f"UPDATE users SET name = 'during' WHERE user_id = {ONE}")
        publish(gate, serving(shards.table(), 3))
        ask(connection, "COMMIT")
        assert shards.rows("SELECT name FROM users")[0] == [("during",)]


@pytest.mark.parametrize(
    ("drain", "deadline"), [("0.2", 60.0), ("60", 0.2)], ids=["drain time", "deadline"]
)
def test_a_transaction_that_stays_open_too_long_is_ended(
    shards: Shards, drain: str, deadline: float
) -> None:
    with a_gate(shards, f"--moving-drain-seconds={drain}") as gate, gate.connect() as connection:
        ask(connection, "BEGIN")
        ask(connection, f"INSERT INTO users VALUES ({ONE}, 'never')")
        publish(gate, moving(shards.table(), 2, deadline))
        wait_until(
            "the transaction is ended",
            lambda: (
                not shards.servers[0].query("SELECT 1 FROM information_schema.innodb_trx LIMIT 1")
            ),
            seconds=60,
        )
        with pytest.raises(pymysql.MySQLError) as error:
            ask(connection, f"UPDATE users SET name = 'x' WHERE user_id = {ONE}")
        assert error.value.args[0] == 1213
        assert "shop-0-32" in error.value.args[1]
        assert "moving (a switchover)" in error.value.args[1]
        ask(connection, "ROLLBACK")
        publish(gate, serving(shards.table(), 3, epoch=2))
        ask(connection, f"INSERT INTO users VALUES ({ONE}, 'again')")
    assert shards.rows("SELECT name FROM users")[0] == [("again",)]


def test_what_was_held_goes_to_the_new_owners_after_a_split(shards: Shards) -> None:
    """Both halves live on the second server here: what counts is that the old name is gone."""
    with a_gate(shards) as gate:
        table = shards.table()
        publish(gate, moving(table, 2))
        asking = Asking(gate, f"INSERT INTO users VALUES ({ONE}, 'moved')")
        asking.start()
        held(gate, 1)
        owner = table.shards[1].instances
        halves = [
            ShardRoute(
                f"shop-{start}-{start + 16}",
                SlotRange(start, start + 16),
                ShardState.SERVING,
                1,
                owner,
            )
            for start in (0, 16)
        ]
        publish(gate, replace(table, version=3, shards=(*halves, table.shards[1])))
        asking.answer()
    assert shards.rows("SELECT name FROM users") == [[], [("moved",)]]


def test_a_primary_that_became_read_only_is_waited_for(shards: Shards) -> None:
    server = shards.servers[0]
    with a_gate(shards) as gate, gate.connect() as connection:
        ask(connection, f"INSERT INTO users VALUES ({ONE}, 'n')")
        server.query("SET GLOBAL super_read_only = 1")
        try:
            asking = Asking(gate, f"UPDATE users SET name = 'later' WHERE user_id = {ONE}")
            asking.start()
            held(gate, 1)
            assert ask(connection, f"SELECT name FROM users WHERE user_id = {ONE}") == [("n",)]
            server.query("SET GLOBAL super_read_only = 0, GLOBAL read_only = 0")
            asking.answer()
        finally:
            server.query("SET GLOBAL super_read_only = 0, GLOBAL read_only = 0")
        assert ask(connection, f"SELECT name FROM users WHERE user_id = {ONE}") == [("later",)]


def test_a_transaction_on_a_primary_that_became_read_only_is_over(shards: Shards) -> None:
    server = shards.servers[0]
    with a_gate(shards) as gate, gate.connect() as connection:
        ask(connection, f"INSERT INTO users VALUES ({ONE}, 'n')")
        ask(connection, "BEGIN")
        ask(connection, f"SELECT * FROM users WHERE user_id = {ONE}")
        server.query("SET GLOBAL super_read_only = 1")
        try:
            with pytest.raises(pymysql.MySQLError) as error:
                ask(connection, f"UPDATE users SET name = 'x' WHERE user_id = {ONE}")
        finally:
            server.query("SET GLOBAL super_read_only = 0, GLOBAL read_only = 0")
        assert error.value.args[0] == 1213
        assert "shop-0-32" in error.value.args[1]
        ask(connection, "ROLLBACK")
        assert ask(connection, f"SELECT name FROM users WHERE user_id = {ONE}") == [("n",)]


def kill_all(shards: Shards) -> None:
    """Every connection of clients to the first server, as when its process is replaced."""
    server = shards.servers[0]
    for (thread,) in server.query(
        "SELECT id FROM information_schema.processlist WHERE user = 'app'"
    ):
        server.query(f"KILL {thread}")


SLEEPING = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT%%GET_%%'"


def test_a_read_is_repeated_when_its_connection_breaks_and_a_write_is_not(shards: Shards) -> None:
    server = shards.servers[0]
    with a_gate(shards) as gate, gate.connect() as connection:
        ask(connection, f"INSERT INTO users VALUES ({ONE}, 'n')")
        with server.connect(database="shop") as locker:
            ask(locker, "LOCK TABLES users WRITE")
            reading = Asking(gate, f"SELECT name FROM users WHERE user_id = {ONE}")
            writing = Asking(gate, f"UPDATE users SET name = 'x' WHERE user_id = {ONE}")
            for thread in (reading, writing):
                thread.start()
            waiting = (
                "SELECT COUNT(*) FROM information_schema.processlist "
                "WHERE user = 'app' AND state LIKE 'Waiting for table%%'"
            )
            wait_until("both wait", lambda: server.query(waiting) == [(2,)], seconds=60, every=0.05)
            kill_all(shards)
            with pytest.raises(pymysql.MySQLError) as error:
                writing.answer()
            assert error.value.args[0] == 1317
            assert "what it did there is unknown" in error.value.args[1]
            ask(locker, "UNLOCK TABLES")
        assert reading.answer() == [("n",)]


# what the operator is told


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("identities")
    authority = Authority("test authority")
    authority.pair.write(folder, "ca")
    authority.issue("mitosis-gate", ("mitosis-gate",)).write(folder, "tls")
    authority.issue("mitosis-operator", ("mitosis-operator",)).write(folder, "operator")
    return folder


async def confirmed(identities: Path, port: int, version: int, seconds: float) -> Confirmations:
    kube = FakeKube()
    labels = {"app.kubernetes.io/name": "mitosis", "app.kubernetes.io/component": "gate"}
    await kube.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "gate-1", "namespace": "db", "labels": labels},
            "status": {"phase": "Running", "podIP": "127.0.0.1"},
        }
    )
    context = client_context(
        identities / "ca.crt", identities / "operator.crt", identities / "operator.key"
    )
    gates = Gates(kube, lambda: context, "db", "mitosis-gate", port)
    deadline = asyncio.get_running_loop().time() + seconds
    found = await gates.confirm("shop", version, deadline)
    # TLS says goodbye behind the answer, and the loop ends here
    await until(lambda: not is_connected_to(port))
    return found


def is_connected_to(port: int) -> bool:
    """Whether this process has a connection to that port."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            with socket.fromfd(int(name), socket.AF_INET, socket.SOCK_STREAM) as sock:
                if sock.getpeername()[1:2] == (port,):
                    return True
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_the_operator_learns_when_nothing_older_runs(
    shards: Shards, identities: Path, workers: int
) -> None:
    port = free_port()
    door = (f"--door-port={port}", f"--door-tls-dir={identities}", f"--workers={workers}")
    with a_gate(shards, "--moving-drain-seconds=600", *door) as gate:
        with gate.connect() as one, gate.connect() as other:
            for connection, user in ((one, ONE), (other, OTHER)):
                ask(connection, "BEGIN")
                ask(connection, f"INSERT INTO users VALUES ({user}, 'n')")
            found = asyncio.run(confirmed(identities, port, 1, 60))
            assert found.everybody, found.missing
            gate.publish(moving(shards.table(), 2, seconds=600))
            found = asyncio.run(confirmed(identities, port, 2, 6))
            assert found.missing == ("gate-1 still has something running on shop-0-32",)
            ask(one, "COMMIT")
            found = asyncio.run(confirmed(identities, port, 2, 60))
            assert found.everybody, found.missing
            ask(other, "COMMIT")
    assert shards.rows("SELECT name FROM users") == [[("n",)], [("n",)]]


# the lease


class ApiServer(threading.Thread):
    """A fake API server with a loop of its own, that can go away and come back."""

    def __init__(self, table: RoutingTable, users: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__(daemon=True)
        self._table, self._users = table, users
        self._loop: asyncio.AbstractEventLoop
        self._is_up = threading.Event()
        self._ended = asyncio.Event()
        self.server = FakeApiServer()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self.server:
            for user, password in self._users["shop"].items():
                self.server.put_secret(user, {"password": password.encode()})
            await self.server.put("shop", codec.to_json(self._table))
            self._is_up.set()
            await self._ended.wait()

    def __enter__(self) -> "ApiServer":
        self.start()
        assert self._is_up.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self.join(60)

    def breaks(self, broken: bool) -> None:
        def do() -> None:
            self.server.broken = 1 << 30 if broken else 0
            self.server.cut_watches()

        self._loop.call_soon_threadsafe(do)


class KubernetesGate(GateProcess):
    """As in a cluster: tables and passwords come from an API server."""

    def __init__(self, shards: Shards, url: str, account: Path, *options: str) -> None:
        super().__init__(shards.table(), shards.users(), *options)
        files = ("--routing-file", "--users-file")
        self._command = [part for part in self._command if not part.startswith(files)]
        self._command += [
            f"--api-server={url}",
            f"--service-account-dir={account}",
            "--namespaces=mitosis",
        ]


def test_without_a_confirmed_table_writes_wait_and_reads_go_on(
    shards: Shards, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("token")
    with (
        ApiServer(shards.table(), shards.users()) as api,
        KubernetesGate(shards, api.server.url, tmp_path, *LIMITS, "--lease-seconds=3") as gate,
        gate.connect() as connection,
        gate.connect() as inside,
    ):
        ask(connection, f"INSERT INTO users VALUES ({ONE}, 'n')")
        ask(inside, "BEGIN")
        ask(inside, f"SELECT * FROM users WHERE user_id = {OTHER}")
        api.breaks(True)
        wait_until("the lease is over", lambda: "holding writes" in gate.log_text(), seconds=60)
        writing = Asking(gate, f"UPDATE users SET name = 'later' WHERE user_id = {ONE}")
        writing.start()
        held(gate, 1)
        assert ask(connection, f"SELECT name FROM users WHERE user_id = {ONE}") == [("n",)]
        assert ask(inside, f"SELECT * FROM users WHERE user_id = {OTHER}") == []
        api.breaks(False)
        writing.answer()
        ask(inside, f"INSERT INTO users VALUES ({OTHER}, 'inside')")
        ask(inside, "COMMIT")
    assert shards.rows("SELECT name FROM users") == [[("later",)], [("inside",)]]
