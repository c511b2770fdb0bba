"""What becomes of connections and transactions when the routing table changes."""

from dataclasses import replace

import mysql.connector
import pymysql
import pytest
from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from waiting import wait_until

from mitosis_routing.table import ShardState
from mysqld import free_port

pytestmark = pytest.mark.mysql


@pytest.fixture(scope="module")
def shards():
    with Shards(2) as running:
        running.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(100))")
        running.run("CREATE TABLE countries (code CHAR(2) PRIMARY KEY)")
        yield running


@pytest.fixture(autouse=True)
def empty_tables(shards):
    shards.run("DELETE FROM users")


@pytest.fixture
def gate(shards):
    with GateProcess(
        shards.table(), shards.users(), "--hold-seconds=1", "--drain-seconds=10"
    ) as running:
        yield running


def two_users(gate, shards):
    with gate.connect() as connection, connection.cursor() as cursor:
        for number in range(8):
            cursor.execute(f"INSERT INTO users VALUES ({number}, 'n')")
    found = shards.rows("SELECT MIN(user_id) FROM users")
    return found[0][0][0], found[1][0][0]


def threads(server):
    return {row[0] for row in server.query("SHOW PROCESSLIST") if row[1] == USER}


def changed(shards, index, **fields):
    """The table of the shards with another version, and other facts about one of them."""
    table = shards.table(version=2)
    return table.with_shard(replace(table.shards[index], **fields))


def obeys(gate, version):
    return lambda: (
        f'mitosis_gate_routing_version{{keyspace="{KEYSPACE}"}} {version}.0' in (gate.metrics())
    )


def publish(gate, table):
    gate.publish(table)
    wait_until("the table is obeyed", obeys(gate, table.version), seconds=10, every=0.05)


def test_a_higher_epoch_closes_idle_connections_of_that_shard_only(gate, shards):
    one, other = two_users(gate, shards)
    before = [threads(server) for server in shards.servers]
    assert all(before)
    publish(gate, changed(shards, 0, epoch=2))
    wait_until(
        "connections of the old epoch are gone",
        lambda: not before[0] & threads(shards.servers[0]),
        seconds=10,
        every=0.05,
    )
    with gate.connect() as connection, connection.cursor() as cursor:
        for user in (one, other):
            cursor.execute(f"SELECT user_id FROM users WHERE user_id = {user}")
            assert cursor.fetchall() == ((user,),)
    assert before[1] & threads(shards.servers[1])


def test_a_transaction_on_an_older_epoch_ends_with_an_error_and_nothing_is_kept(gate, shards):
    one, other = two_users(gate, shards)
    with gate.connect() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"UPDATE users SET name = 'old' WHERE user_id = {one}")
        publish(gate, changed(shards, 0, epoch=2))
        with pytest.raises(pymysql.err.OperationalError) as refused:
            cursor.execute(f"UPDATE users SET name = 'older' WHERE user_id = {one}")
        assert refused.value.args[0] == 1213
        with pytest.raises(pymysql.err.OperationalError) as refused:
            cursor.execute("COMMIT")
        assert refused.value.args[0] == 1213
        cursor.execute(f"UPDATE users SET name = 'new' WHERE user_id = {one}")
        cursor.execute(f"SELECT name FROM users WHERE user_id = {other}")
        assert cursor.fetchall() == (("n",),)
    assert shards.rows("SELECT name FROM users WHERE name <> 'n'")[0] == [("new",)]


def test_a_transaction_on_the_other_shard_goes_on(gate, shards):
    _, other = two_users(gate, shards)
    with gate.connect() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"UPDATE users SET name = 'kept' WHERE user_id = {other}")
        publish(gate, changed(shards, 0, epoch=2))
        cursor.execute("COMMIT")
    assert shards.rows("SELECT name FROM users WHERE name <> 'n'")[1] == [("kept",)]


def test_without_a_primary_a_statement_waits_and_then_says_why(gate, shards):
    one, other = two_users(gate, shards)
    publish(
        gate,
        changed(shards, 0, state=ShardState.NO_PRIMARY, reason="its node is dead"),
    )
    with gate.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.err.OperationalError) as refused:
            cursor.execute(f"SELECT 1 FROM users WHERE user_id = {one}")
        assert refused.value.args[0] == 1205
        assert "shop-0-32" in refused.value.args[1]
        assert "its node is dead" in refused.value.args[1]
        cursor.execute(f"SELECT user_id FROM users WHERE user_id = {other}")
        assert cursor.fetchall() == ((other,),)


def test_a_statement_that_waits_goes_on_with_the_new_primary(shards):
    with GateProcess(shards.table(), shards.users(), "--hold-seconds=30") as gate:
        one, _ = two_users(gate, shards)
        publish(gate, changed(shards, 0, state=ShardState.NO_PRIMARY, reason="failover"))
        with gate.connect() as connection:
            text = f"SELECT user_id FROM users WHERE user_id = {one}"
            connection._execute_command(3, text.encode())
            gate.publish(replace(changed(shards, 0, epoch=2), version=3))
            connection._read_query_result()
            assert connection._result.rows == ((one,),)


def test_a_server_that_is_not_the_one_of_the_table_gets_nothing(gate, shards):
    one, other = two_users(gate, shards)
    (instance,) = shards.table().shards[0].instances
    wrong = replace(instance, server_uuid="00000000-0000-0000-0000-000000000000")
    publish(gate, changed(shards, 0, instances=(wrong,), epoch=2))
    with gate.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.err.MySQLError) as refused:
            cursor.execute(f"UPDATE users SET name = 'lost' WHERE user_id = {one}")
        assert "another server answers there" in refused.value.args[1]
    assert shards.rows("SELECT COUNT(*) FROM users WHERE name = 'lost'") == [[(0,)], [(0,)]]


def test_an_instance_that_does_not_answer_is_named(gate, shards):
    one, _ = two_users(gate, shards)
    (instance,) = shards.table().shards[0].instances
    publish(gate, changed(shards, 0, instances=(replace(instance, port=free_port()),), epoch=2))
    with gate.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.err.MySQLError) as refused:
            cursor.execute(f"SELECT 1 FROM users WHERE user_id = {one}")
        assert refused.value.args[0] == 1429
        assert "shop-0-32-1" in refused.value.args[1]


def test_a_mysqld_that_restarts_is_waited_for(shards):
    with GateProcess(shards.table(), shards.users(), "--hold-seconds=60") as gate:
        one, _ = two_users(gate, shards)
        server = shards.servers[0]
        with gate.connect() as connection:
            server.kill()
            wait_until(
                "the gate has noticed",
                lambda: connection.ping(reconnect=False) is None,
                seconds=5,
                every=0.05,
            )
            text = f"SELECT user_id FROM users WHERE user_id = {one}"
            connection._execute_command(3, text.encode())
            server.start()
            connection._read_query_result()
            assert connection._result.rows == ((one,),)


def test_prepared_statements_outlive_the_connections_they_were_prepared_on(gate, shards):
    one, other = two_users(gate, shards)
    with (
        mysql.connector.connect(
            host="127.0.0.1",
            port=gate.port,
            user=USER,
            password=PASSWORD,
            database=KEYSPACE,
            use_pure=True,
            ssl_disabled=True,
            autocommit=True,
        ) as connection,
        connection.cursor(prepared=True) as cursor,
    ):
        text = "SELECT user_id FROM users WHERE user_id = ?"
        for user in (one, other, one):
            cursor.execute(text, (user,))
            assert cursor.fetchall() == [(user,)]
        publish(gate, changed(shards, 0, epoch=2))
        for user in (other, one, other, one):
            cursor.execute(text, (user,))
            assert cursor.fetchall() == [(user,)]


def test_a_gate_that_stops_lets_transactions_finish(gate, shards):
    one, _ = two_users(gate, shards)
    busy, idle = gate.connect(), gate.connect()
    with busy.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"UPDATE users SET name = 'last' WHERE user_id = {one}")
        gate.process.terminate()
        with pytest.raises(pymysql.err.MySQLError) as refused:
            idle._read_packet()
        assert refused.value.args[0] == 2013  # an error that nobody asked for, then the end
        cursor.execute("COMMIT")
    gate.process.wait(30)
    assert gate.process.returncode == 0
    assert shards.rows("SELECT name FROM users WHERE name = 'last'")[0] == [("last",)]
    busy._force_close()
    idle._force_close()
