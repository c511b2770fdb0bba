"""The life of a gate process: logins, faults around it, and its end."""

import json
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest
from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from ledger import TABLE, Ledger
from waiting import wait_until

from mitosis_gate.connection_ids import worker_of
from mitosis_routing.hashing import slot_of
from mitosis_routing.table import Role, RoutingTable, ShardRoute, ShardState, TableRule
from mysqld import server_tls

pytestmark = pytest.mark.mysql

RULES = (TableRule("users", "user_id"), TableRule("ledger", "user_id"))
NOT_DURABLE = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
USERS = "CREATE TABLE IF NOT EXISTS users (user_id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(50))"


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2, RULES, options=NOT_DURABLE) as shards:
        for statement in (USERS, TABLE):
            shards.run(statement)
        yield shards


@pytest.fixture(autouse=True)
def _rows(shards: Shards) -> None:
    shards.run("DELETE FROM users")
    shards.run("DELETE FROM ledger")


@pytest.fixture
def gate(shards: Shards) -> Iterator[GateProcess]:
    with GateProcess(shards.table(), shards.users(), "--hold-seconds=5") as gate:
        yield gate


def ask(connection: Any, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall())


def admin(gate: GateProcess, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{gate.admin_port}{path}") as answer:
        return json.loads(answer.read())


def user_of(shard: int, after: int = 0) -> int:
    return next(n for n in range(after + 1, after + 1000) if home(n) == shard)


def home(user_id: int) -> int:
    return slot_of(str(user_id).encode(), 64) // 32


def with_state(table: RoutingTable, index: int, state: ShardState, reason: str) -> RoutingTable:
    shard = replace(table.shards[index], state=state, reason=reason)
    return replace(table.with_shard(shard), version=table.version + 1)


def with_epoch(table: RoutingTable, index: int) -> RoutingTable:
    old: ShardRoute = table.shards[index]
    return replace(table.with_shard(replace(old, epoch=old.epoch + 1)), version=table.version + 1)


# logins


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"password": "wrong"}, 1045),
        ({"password": ""}, 1045),
        ({"user": "nobody"}, 1045),
        ({"user": "mitosis_gate", "password": "gate-secret"}, 1045),
        ({"user": "root", "password": ""}, 1045),
        ({"database": "nowhere"}, 1049),
    ],
)
def test_who_cannot_log_in_is_told_why(
    gate: GateProcess, settings: dict[str, str], code: int
) -> None:
    with pytest.raises(pymysql.err.OperationalError) as error:
        gate.connect(**settings)
    assert error.value.args[0] == code
    assert PASSWORD not in gate.log_text()


def test_a_reader_cannot_write_however_it_is_dressed(gate: GateProcess) -> None:
    with gate.connect(user="reader", password="reader-secret") as reader:
        assert ask(reader, "SELECT * FROM users") == []
        for statement in (
            "INSERT INTO users VALUES (1, 'x')",
            "/* harmless */ DELETE FROM users WHERE user_id = 1",
            "/*!80000 DELETE */ FROM users WHERE user_id = 1",
            "TRUNCATE TABLE users",
            "DROP TABLE users",
        ):
            with pytest.raises(pymysql.MySQLError) as error:
                ask(reader, statement)
            assert error.value.args[0] in (1142, 1064, 1235), statement


# the routing table


def test_a_shard_without_primary_holds_statements_until_it_has_one(
    gate: GateProcess, shards: Shards
) -> None:
    table = shards.table()
    user = user_of(0)
    away = with_state(table, 0, ShardState.NO_PRIMARY, "its node is gone")
    with gate.connect() as connection, gate.connect() as other:
        gate.publish(away)
        wait_until(
            "version 2 is obeyed",
            lambda: admin(gate, "/routing/shop?version=2&timeout=10"),
            seconds=20,
        )
        done = threading.Event()

        def write() -> None:
            ask(connection, f"INSERT INTO users VALUES ({user}, 'held')")
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        assert ask(other, f"SELECT * FROM users WHERE user_id = {user_of(1)}") == []
        assert not done.is_set(), "the other shard serves, this one is held"
        gate.publish(replace(with_epoch(table, 0), version=3))
        writer.join(20)
        assert done.is_set()
        assert ask(other, f"SELECT name FROM users WHERE user_id = {user}") == [("held",)]


def test_a_shard_that_stays_without_primary_is_an_error_that_says_why(
    gate: GateProcess, shards: Shards
) -> None:
    gate.publish(with_state(shards.table(), 0, ShardState.NO_PRIMARY, "its node is gone"))
    admin(gate, "/routing/shop?version=2&timeout=10")
    with gate.connect() as connection:
        assert ask(connection, f"SELECT * FROM users WHERE user_id = {user_of(1)}") == []
        with pytest.raises(pymysql.MySQLError) as error:
            ask(connection, f"SELECT * FROM users WHERE user_id = {user_of(0)}")
        code, text = error.value.args
        assert code == 1205 and "its node is gone" in text and "shop-0-32" in text
        with pytest.raises(pymysql.MySQLError):
            ask(connection, "SELECT * FROM users")


def test_a_gate_that_starts_while_a_shard_is_away_serves_the_others(shards: Shards) -> None:
    away = with_state(shards.table(), 0, ShardState.NO_PRIMARY, "its node is gone")
    with GateProcess(away, shards.users()) as gate, gate.connect() as connection:
        ask(connection, f"INSERT INTO users VALUES ({user_of(1)}, 'served')")
        assert ask(connection, f"SELECT name FROM users WHERE user_id = {user_of(1)}") == [
            ("served",)
        ]


def test_a_new_epoch_closes_the_connections_of_the_old_one(
    gate: GateProcess, shards: Shards
) -> None:
    user = user_of(0)
    threads = f"SELECT id FROM information_schema.processlist WHERE user = '{USER}'"
    with gate.connect() as open_one, gate.connect() as idle:
        ask(idle, f"SELECT * FROM users WHERE user_id = {user}")
        ask(open_one, "BEGIN")
        ask(open_one, f"INSERT INTO users VALUES ({user}, 'old epoch')")
        before = set(shards.servers[0].query(threads))
        assert before
        gate.publish(with_epoch(shards.table(), 0))
        admin(gate, "/routing/shop?version=2&timeout=10")
        with pytest.raises(pymysql.MySQLError) as error:
            ask(open_one, f"UPDATE users SET name = 'x' WHERE user_id = {user}")
        assert error.value.args[0] == 1213
        ask(open_one, "ROLLBACK")
        assert ask(open_one, f"SELECT * FROM users WHERE user_id = {user}") == []
        wait_until(
            "old connections are closed",
            lambda: not before & set(shards.servers[0].query(threads)),
            seconds=20,
        )


def test_an_older_table_is_not_obeyed(gate: GateProcess, shards: Shards) -> None:
    newer = with_epoch(with_epoch(shards.table(), 0), 1)
    gate.publish(newer)
    admin(gate, "/routing/shop?version=3&timeout=10")
    gate.publish(replace(shards.table(), version=9))
    wait_until("it is refused", lambda: "is not obeyed" in gate.log_text(), seconds=20)
    (shop,) = admin(gate, "/routing")["keyspaces"]
    assert [s["epoch"] for s in shop["shards"]] == [2, 2]


def test_another_server_at_the_address_is_not_used(gate: GateProcess, shards: Shards) -> None:
    table = shards.table()
    other = replace(table.shards[0].instances[0], server_uuid="0" * 36)
    wrong = replace(table.shards[0], instances=(other,), epoch=2)
    with gate.connect() as connection, pytest.raises(pymysql.MySQLError) as error:
        gate.publish(replace(table.with_shard(wrong), version=2))
        admin(gate, "/routing/shop?version=2&timeout=10")
        ask(connection, f"SELECT * FROM users WHERE user_id = {user_of(0)}")
    assert "another server answers there" in error.value.args[1]


# faults


def test_a_backend_lost_in_a_transaction_means_rollback(gate: GateProcess, shards: Shards) -> None:
    user = user_of(1)
    with gate.connect() as connection:
        ask(connection, "BEGIN")
        ask(connection, f"INSERT INTO users VALUES ({user}, 'lost')")
        ((thread,),) = shards.servers[1].query(
            "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx"
        )
        shards.servers[1].query(f"KILL {thread}")
        with pytest.raises(pymysql.MySQLError) as error:
            ask(connection, f"SELECT * FROM users WHERE user_id = {user}")
        assert error.value.args[0] in (1213, 1317)
        with pytest.raises(pymysql.MySQLError) as error:
            ask(connection, f"INSERT INTO users VALUES ({user}, 'half a transaction')")
        assert error.value.args[0] == 1213, "nothing of it runs until ROLLBACK"
        ask(connection, "ROLLBACK")
        assert ask(connection, f"SELECT * FROM users WHERE user_id = {user}") == []


def test_a_mysqld_killed_under_load_loses_nothing_acknowledged(gate: GateProcess) -> None:
    """Its own shards, because they are killed; durable, because that is what is asked."""
    with Shards(2, RULES) as own:
        own.run(TABLE)
        with GateProcess(own.table(), own.users()) as front:
            with Ledger(lambda: front.connect(read_timeout=20)) as ledger:
                ledger.wait_for(100)
                own.servers[0].kill()
                own.servers[0].start()
                ledger.wait_for_more(100)
            ledger.verify()
            ledger.verify([s.connect(database=KEYSPACE) for s in own.servers])


def test_a_gate_killed_under_load_loses_nothing_acknowledged(shards: Shards) -> None:
    gates = [GateProcess(shards.table(), shards.users()) for _ in range(2)]
    with gates[0], gates[1]:
        turn = iter(range(1 << 30))

        def connect() -> Any:
            """As through a Service: another gate when one is gone."""
            return gates[next(turn) % 2].connect(read_timeout=20)

        with Ledger(connect) as ledger:
            ledger.wait_for(200)
            assert gates[0].process is not None
            gates[0].process.kill()
            ledger.wait_for_more(200)
        ledger.verify([s.connect(database=KEYSPACE) for s in shards.servers])


def test_the_reader_of_a_killed_query_goes_on(gate: GateProcess) -> None:
    with gate.connect() as sleeper, gate.connect() as killer:
        ((number,),) = ask(sleeper, "SELECT CONNECTION_ID()")
        failure: list[Any] = []

        def sleep() -> None:
            try:
                ask(sleeper, f"SELECT SLEEP(60) FROM users WHERE user_id = {user_of(0)}")
            except pymysql.MySQLError as exc:
                failure.append(exc.args[0])

        ask(killer, f"INSERT INTO users VALUES ({user_of(0)}, 'x')")
        thread = threading.Thread(target=sleep)
        thread.start()
        wait_until(
            "the query ends",
            lambda: ask(killer, f"KILL QUERY {number}") is not None and not thread.is_alive(),
            seconds=20,
        )
        assert failure == [] or failure == [1317]
        assert ask(sleeper, "SELECT 1") == [(1,)]
        with pytest.raises(pymysql.MySQLError) as error:
            ask(killer, "KILL 123456789")
        assert error.value.args[0] == 1094


# the end


def test_sigterm_lets_transactions_finish_and_takes_nobody_new(shards: Shards) -> None:
    user = user_of(0)
    with GateProcess(shards.table(), shards.users(), "--drain-seconds=30") as gate:
        assert gate.process is not None
        with gate.connect() as busy, gate.connect() as idle:
            ask(idle, "SELECT 1")
            ask(busy, "BEGIN")
            ask(busy, f"INSERT INTO users VALUES ({user}, 'finished')")
            gate.process.send_signal(signal.SIGTERM)
            wait_until("not ready", lambda: not gate._is_ready(), seconds=10)
            with pytest.raises(pymysql.MySQLError):
                gate.connect()
            with pytest.raises(pymysql.MySQLError):
                ask(idle, "SELECT 1")
            ask(busy, f"UPDATE users SET name = 'committed' WHERE user_id = {user}")
            ask(busy, "COMMIT")
            assert gate.process.wait(20) == 0
    rows = [row for shard in shards.rows("SELECT name FROM users") for row in shard]
    assert rows == [("committed",)]


def test_what_is_left_at_the_end_of_the_drain_is_rolled_back(shards: Shards) -> None:
    with GateProcess(shards.table(), shards.users(), "--drain-seconds=0.5") as gate:
        assert gate.process is not None
        with gate.connect() as busy:
            ask(busy, "BEGIN")
            ask(busy, f"INSERT INTO users VALUES ({user_of(0)}, 'never')")
            gate.process.send_signal(signal.SIGTERM)
            assert gate.process.wait(20) == 0
    wait_until(
        "it is rolled back",
        lambda: (
            shards.servers[0].query("SELECT COUNT(*) FROM information_schema.innodb_trx") == [(0,)]
        ),
        seconds=20,
    )
    assert shards.rows("SELECT * FROM users") == [[], []]


# settings of the process


def test_bad_settings_end_it_with_a_sentence() -> None:
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "mitosis_gate.main", "--workers=none"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--workers cannot be 'none'" in done.stderr


def test_workers_share_the_port_and_one_admin_port(shards: Shards) -> None:
    with GateProcess(shards.table(), shards.users(), "--workers=2") as gate:
        assert gate.process is not None
        seen = set()

        def both_serve() -> bool:
            with gate.connect() as connection:
                ((number,),) = ask(connection, "SELECT CONNECTION_ID()")
                seen.add(worker_of(number))
            return len(seen) == 2

        wait_until("both workers serve", both_serve, seconds=30, every=0.01)
        with gate.connect() as connection:
            ask(connection, f"INSERT INTO users VALUES ({user_of(0)}, 'x')")
            wait_until(
                "figures of all workers",
                lambda: "mitosis_gate_clients 1.0" in gate.metrics(),
                seconds=10,
            )
        gate.publish(with_epoch(shards.table(), 0))
        assert admin(gate, "/routing/shop?version=2&timeout=20") == {
            "keyspace": "shop",
            "version": 2,
        }
        children = Path(f"/proc/{gate.pid}/task/{gate.pid}/children").read_text().split()
        assert len(children) == 2
        subprocess.run(["kill", "-9", children[0]], check=True)
        wait_until(
            "the dead worker is replaced",
            lambda: (
                gate._is_ready()
                and Path(f"/proc/{gate.pid}/task/{gate.pid}/children").read_text().split()
                != children
            ),
            seconds=30,
        )
        gate.process.send_signal(signal.SIGTERM)
        assert gate.process.wait(20) == 0


def test_backends_are_entered_by_tls_and_by_name(tmp_path: Path) -> None:
    tls = server_tls(tmp_path)
    with (
        Shards(1, RULES, tls=tls, options=NOT_DURABLE) as shards,
        GateProcess(shards.table(), shards.users(), tls=tls, backend_tls=True) as gate,
    ):
        shards.run(USERS)
        with gate.connect(ssl_disabled=False, ssl_ca=str(tls.ca)) as connection:
            ((_, cipher),) = ask(connection, "SHOW STATUS LIKE 'Ssl_cipher'")
            assert cipher, "the gate speaks TLS with its backend"
        table = shards.table()
        shard = table.shards[0]
        stranger = replace(shard.instances[0], name="another-name", role=Role.PRIMARY)
        wrong = replace(shard, instances=(stranger,), epoch=2)
        with gate.connect() as connection, pytest.raises(pymysql.MySQLError) as error:
            gate.publish(replace(table.with_shard(wrong), version=2))
            admin(gate, "/routing/shop?version=2&timeout=10")
            ask(connection, "SELECT 1")
        assert "another-name" in error.value.args[1]
