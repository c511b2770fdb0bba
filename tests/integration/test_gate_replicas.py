"""Reads from replicas: who asks for them, which statements, and never older than one's own writes.

The table `countries` has another row on each server, written behind replication's back, so that a
read tells where it ran.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mysql.connector
import pytest
from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from waiting import wait_until

from mitosis_routing.table import InstanceRoute, Role, RoutingTable, ShardState
from mysqld import Mysqld

pytestmark = pytest.mark.mysql

GTIDS = ("--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--innodb-flush-log-at-trx-commit=0")
WHERE = "SELECT name FROM countries WHERE code = 'xx'"
LIMITS = ("--hold-seconds=60", "--hold-event-seconds=60", "--hold-pause-seconds=0")


class Replicated(Shards):
    """One shard whose primary has two replicas."""

    def __init__(self) -> None:
        super().__init__(1, options=(*GTIDS, "--server-id=1"))
        self.replicas = [Mysqld(options=(*GTIDS, f"--server-id={n}")) for n in (2, 3)]

    @property
    def primary(self) -> Mysqld:
        return self.servers[0]

    def __enter__(self) -> "Replicated":
        super().__enter__()
        self.primary.query("CREATE USER repl@'%' IDENTIFIED BY 'repl'")
        self.primary.query("GRANT REPLICATION SLAVE ON *.* TO repl@'%'")
        self.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(100))")
        self.run("CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(100))")
        self.run("CREATE FUNCTION twice(a INT) RETURNS INT DETERMINISTIC RETURN 2 * a")
        for replica in self.replicas:
            replica.start()
            replica.query(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', "
                f"SOURCE_PORT={self.primary.port}, SOURCE_USER='repl', SOURCE_PASSWORD='repl', "
                "SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1"
            )
            replica.query("START REPLICA")
        self.catch_up()
        for number, server in enumerate([self.primary, *self.replicas]):
            with server.connect(database=KEYSPACE) as connection, connection.cursor() as cursor:
                cursor.execute("SET sql_log_bin = 0")
                name = f"replica {number}" if number else "primary"
                cursor.execute(f"INSERT INTO countries VALUES ('xx', '{name}')")
        for replica in self.replicas:
            replica.query("SET GLOBAL super_read_only = 1")
        return self

    def __exit__(self, *failure: Any) -> None:
        for replica in self.replicas:
            replica.__exit__(None, None, None)
        super().__exit__(*failure)

    def catch_up(self) -> None:
        ((executed,),) = self.primary.query("SELECT @@global.gtid_executed")
        for replica in self.replicas:
            wait = "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, 60)"
            assert replica.query(wait, executed) == [(0,)]

    def table(self, version: int = 1, replicas: int = 2) -> RoutingTable:
        table = super().table(version)
        shard = table.shards[0]
        others = []
        for number, server in enumerate(self.replicas[:replicas], 2):
            ((uuid,),) = server.query("SELECT @@server_uuid")
            name = f"{shard.name}-{number}"
            others.append(InstanceRoute(name, Role.REPLICA, "127.0.0.1", server.port, uuid))
        return table.with_shard(replace(shard, instances=(*shard.instances, *others)))


@pytest.fixture(scope="module")
def shards() -> Iterator[Replicated]:
    with Replicated() as running:
        yield running


@pytest.fixture
def gate(shards: Replicated) -> Iterator[GateProcess]:
    shards.run("DELETE FROM users")
    shards.catch_up()
    with GateProcess(shards.table(), shards.users(), *LIMITS) as running:
        yield running
    for replica in shards.replicas:
        replica.query("START REPLICA SQL_THREAD")


def lag(shards: Replicated) -> None:
    """From here on the replicas apply nothing."""
    for replica in shards.replicas:
        replica.query("STOP REPLICA SQL_THREAD")


def ask(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def where(connection: Any) -> str:
    ((name,),) = ask(connection, WHERE)
    return str(name)


def test_a_user_with_the_suffix_stays_with_one_replica(gate: GateProcess) -> None:
    with gate.connect(user=f"{USER}_r") as reader, gate.connect() as writer:
        places = {where(reader) for _ in range(20)}
        assert len(places) == 1
        assert places < {"replica 1", "replica 2"}
        assert where(writer) == "primary"
        assert ask(reader, "SELECT CURRENT_USER()") == [(f"{USER}@%",)]


def test_the_suffix_needs_the_password_of_the_user(gate: GateProcess) -> None:
    with pytest.raises(Exception, match="Access denied"):
        gate.connect(user=f"{USER}_r", password="wrong")
    with pytest.raises(Exception, match="Access denied"):
        gate.connect(user="nobody_r")


def test_a_setting_and_a_comment_ask_for_replicas_too(gate: GateProcess) -> None:
    with gate.connect() as connection:
        assert where(connection) == "primary"
        ask(connection, "SET gate_read_from = 'replica'")
        assert where(connection).startswith("replica")
        assert ask(connection, "SELECT @@gate_read_from") == [("replica",)]
        ask(connection, "SET gate_read_from = 'primary'")
        assert where(connection) == "primary"
        hinted = f"/*gate: read=replica */ {WHERE}"
        assert ask(connection, hinted)[0][0].startswith("replica")
        assert where(connection) == "primary"
    with gate.connect(user=f"{USER}_r") as reader:
        assert ask(reader, f"/*gate: read=primary */ {WHERE}") == [("primary",)]
        assert where(reader).startswith("replica")


@pytest.mark.parametrize(
    "statement",
    [
        f"{WHERE} FOR UPDATE",
        f"{WHERE} LOCK IN SHARE MODE",
        "SELECT name, twice(1) FROM countries WHERE code = 'xx'",
        "SELECT name, LAST_INSERT_ID() FROM countries WHERE code = 'xx'",
        "SELECT name, @@version FROM countries WHERE code = 'xx'",
    ],
)
def test_what_does_more_than_read_runs_on_the_primary(gate: GateProcess, statement: str) -> None:
    with gate.connect(user=f"{USER}_r") as reader:
        assert ask(reader, statement)[0][0] == "primary"


def test_transactions_run_on_the_primary(gate: GateProcess) -> None:
    with gate.connect(user=f"{USER}_r") as reader:
        ask(reader, "BEGIN")
        assert where(reader) == "primary"
        ask(reader, "COMMIT")
        ask(reader, "SET autocommit = 0")
        assert where(reader) == "primary"


def test_prepared_reads_go_to_replicas_too(gate: GateProcess) -> None:
    connection = mysql.connector.connect(
        host="127.0.0.1",
        port=gate.port,
        user=f"{USER}_r",
        password=PASSWORD,
        database=KEYSPACE,
        use_pure=True,
        autocommit=True,
        ssl_disabled=True,
    )
    with connection, connection.cursor(prepared=True) as cursor:
        for _ in range(3):
            cursor.execute("SELECT name FROM countries WHERE code = %s", ("xx",))
            ((name,),) = cursor.fetchall()
            assert name.startswith("replica")


def test_a_session_sees_what_it_wrote_also_when_replicas_lag(
    gate: GateProcess, shards: Replicated
) -> None:
    with gate.connect(user=f"{USER}_r") as reader:
        assert where(reader).startswith("replica")
        lag(shards)
        for number in range(5):
            ask(reader, f"INSERT INTO users VALUES ({number}, 'mine')")
            assert ask(reader, f"SELECT name FROM users WHERE user_id = {number}") == [("mine",)]
        ask(reader, "BEGIN")
        ask(reader, "UPDATE users SET name = 'later' WHERE user_id = 1")
        ask(reader, "COMMIT")
        assert ask(reader, "SELECT name FROM users WHERE user_id = 1") == [("later",)]
        assert where(reader) == "primary", "until a replica has it"
        for replica in shards.replicas:
            replica.query("START REPLICA SQL_THREAD")
        shards.catch_up()
        assert where(reader).startswith("replica")


def test_a_session_that_wrote_nothing_reads_replicas_that_lag(
    gate: GateProcess, shards: Replicated
) -> None:
    lag(shards)
    with gate.connect(user=f"{USER}_r") as reader, gate.connect() as writer:
        ask(writer, "INSERT INTO users VALUES (1, 'new')")
        assert ask(reader, "SELECT * FROM users WHERE user_id = 1") == []
        assert where(reader).startswith("replica")


def test_a_token_makes_another_session_wait_for_the_writes_of_one(
    gate: GateProcess, shards: Replicated
) -> None:
    lag(shards)
    with gate.connect(user=f"{USER}_r") as writer, gate.connect(user=f"{USER}_r") as reader:
        ask(writer, "INSERT INTO users VALUES (1, 'new')")
        ((token,),) = ask(writer, "SELECT @@gate_gtids")
        assert ask(reader, "SELECT * FROM users WHERE user_id = 1") == []
        ask(reader, f"SET gate_gtids = '{token}'")
        assert ask(reader, "SELECT name FROM users WHERE user_id = 1") == [("new",)]
        with pytest.raises(Exception, match="can't be set to the value"):
            ask(reader, "SET gate_gtids = 'shop-0-64=x) OR SLEEP(1'")


def test_replicas_serve_while_there_is_no_primary_or_one_of_them_is_gone(
    gate: GateProcess, shards: Replicated
) -> None:
    with gate.connect(user=f"{USER}_r") as reader:
        assert where(reader).startswith("replica")
        table = shards.table(2)
        lost = replace(table.shards[0], state=ShardState.NO_PRIMARY, reason="its node is dead")
        gate.publish(table.with_shard(lost))
        line = f'mitosis_gate_routing_version{{keyspace="{KEYSPACE}"}} 2.0'
        wait_until("it is obeyed", lambda: line in gate.metrics(), seconds=60, every=0.05)
        assert where(reader).startswith("replica")
        gate.publish(shards.table(3, replicas=1))
        line = line.replace("2.0", "3.0")
        wait_until("it is obeyed", lambda: line in gate.metrics(), seconds=60, every=0.05)
        assert where(reader) == "replica 1"
        gate.publish(shards.table(4, replicas=0))
        line = line.replace("3.0", "4.0")
        wait_until("it is obeyed", lambda: line in gate.metrics(), seconds=60, every=0.05)
        assert where(reader) == "primary"
