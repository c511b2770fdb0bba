"""KILL, process lists, limits of time: sessions of several workers and gates, on real mysqlds."""

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from gates import READER, READER_PASSWORD, GateProcess, Shards
from waiting import wait_until

pytestmark = pytest.mark.mysql
ONE = "SELECT SLEEP(600) FROM users WHERE user_id = 1"
LONG = f"{ONE} UNION ALL {ONE}"
"""SLEEP() itself is not ended with an error, but its second row is."""


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2) as running:
        running.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(100))")
        yield running


@pytest.fixture(scope="module")
def gates(
    shards: Shards, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GateProcess, GateProcess]]:
    """One of two workers and one of a single process, which know each other."""
    key = tmp_path_factory.mktemp("peers") / "key"
    key.write_bytes(b"the key of all gates of this release")
    several = GateProcess(shards.table(), shards.users(), "--workers=2", "--slow-seconds=0.5")
    single = GateProcess(shards.table(), shards.users(), "--slow-seconds=0.5")
    for gate, peer in ((several, single), (single, several)):
        gate.add(f"--peers=127.0.0.1:{peer.admin_port}", f"--peers-key-file={key}")
    with several, single:
        with single.connect() as connection, connection.cursor() as cursor:
            for number in range(1, 9):
                cursor.execute("INSERT INTO users VALUES (%s, 'n')", (number,))
        yield several, single


def rows(connection: Any, sql: str) -> list[dict[str, Any]]:
    with connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


class Victim:
    """A session whose statement runs in a thread of its own."""

    def __init__(self, gate: GateProcess) -> None:
        self.connection = gate.connect()
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            self.id = cursor.fetchall()[0][0]
        self.error: Exception | None = None
        self.result: Any = None

    def run(self, sql: str) -> threading.Thread:
        def work() -> None:
            try:
                with self.connection.cursor() as cursor:
                    cursor.execute(sql)
                    self.result = cursor.fetchall()
            except pymysql.MySQLError as exc:
                self.error = exc

        self.error = None
        thread = threading.Thread(target=work)
        thread.start()
        return thread

    @property
    def code(self) -> int:
        assert self.error is not None, f"no error but {self.result}"
        return int(self.error.args[0])


def running(server_rows: list[list[tuple[Any, ...]]], text: str = "SLEEP(600)") -> list[Any]:
    return [row for rows_ in server_rows for row in rows_ if row[7] and text in row[7]]


def sleeping(shards: Shards) -> list[Any]:
    found = running([server.query("SHOW FULL PROCESSLIST") for server in shards.servers])
    return [row for row in found if "PROCESSLIST" not in row[7]]


def end(shards: Shards, killer: Any, victim: Victim, thread: threading.Thread, how: str) -> None:
    wait_until("the statement runs", lambda: sleeping(shards), seconds=60, every=0.02)
    with killer.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"{how} {victim.id}")
    thread.join(60)
    assert not thread.is_alive()
    wait_until("nothing runs", lambda: not sleeping(shards), seconds=60, every=0.02)


@pytest.mark.parametrize("killer", [0, 1])
@pytest.mark.parametrize("home", [0, 1])
@pytest.mark.parametrize("sql", [LONG, "SELECT SLEEP(600) FROM users"])
def test_kill_query_ends_the_statement_and_nothing_else(gates, shards, home, killer, sql):
    """One shard or several, from the same gate or another, inside a transaction that stays open."""
    victim = Victim(gates[home])
    with victim.connection, victim.connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE users SET name = 'mine' WHERE user_id = 1")
        end(shards, gates[killer], victim, victim.run(sql), "KILL QUERY")
        assert victim.code == 1317
        cursor.execute("SELECT name FROM users WHERE user_id = 1")
        assert cursor.fetchall() == (("mine",),)
        cursor.execute("ROLLBACK")
        cursor.execute("SELECT name FROM users WHERE user_id = 1")
        assert cursor.fetchall() == (("n",),)


@pytest.mark.parametrize("home", [0, 1])
def test_kill_ends_the_session_and_its_transaction(gates, shards, home):
    victim = Victim(gates[home])
    with victim.connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE users SET name = 'mine' WHERE user_id = 2")
    end(shards, gates[1 - home], victim, victim.run(LONG), "KILL")
    assert victim.code in (2006, 2013)
    with gates[home].connect() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE users SET name = 'n' WHERE user_id = 2")  # waits for no lock
        cursor.execute("SELECT name FROM users WHERE user_id = 2")
        assert cursor.fetchall() == (("n",),)
    with contextlib.suppress(pymysql.MySQLError):
        victim.connection.close()


def test_all_workers_know_of_each_other(gates, shards):
    """The kernel gives connections to workers as it likes: enough of them, and both have some."""
    victims = [Victim(gates[0]) for _ in range(12)]
    assert len({victim.id >> 17 for victim in victims}) == 2
    with gates[0].connect() as connection:
        known = {row["id"]: row["worker"] for row in rows(connection, "GATE SHOW SESSIONS")}
        assert {known[victim.id] for victim in victims} == {1, 2}
        for victim in victims:
            with connection.cursor() as cursor:
                cursor.execute(f"KILL CONNECTION {victim.id}")
    for victim in victims:
        with pytest.raises(pymysql.MySQLError):
            victim.connection.ping(reconnect=False)


def test_a_kill_that_comes_late_hits_nobody(gates, shards):
    """Statements that end by themselves, and a KILL QUERY beside each: only 1317 or the rows."""
    victim = Victim(gates[1])
    with gates[1].connect() as other, gates[1].connect() as killer:
        with other.cursor() as calm, killer.cursor() as kill, victim.connection:
            for _ in range(40):
                thread = victim.run("SELECT name FROM users WHERE user_id = 1")
                kill.execute(f"KILL QUERY {victim.id}")
                thread.join(60)
                assert victim.error is None or victim.code == 1317
                for user in range(1, 9):
                    calm.execute(f"SELECT user_id FROM users WHERE user_id = {user}")
                    assert calm.fetchall() == ((user,),)


def test_sessions_of_others_are_neither_seen_nor_ended(gates, shards):
    victim = Victim(gates[0])
    with (
        victim.connection,
        gates[1].connect(user=READER, password=READER_PASSWORD) as reader,
        reader.cursor() as cursor,
    ):
        with pytest.raises(pymysql.MySQLError) as refused:
            cursor.execute(f"KILL {victim.id}")
        assert refused.value.args[0] == 1095
        with pytest.raises(pymysql.MySQLError) as unknown:
            cursor.execute("KILL 4294967295")
        assert unknown.value.args[0] == 1094
        cursor.execute("SHOW PROCESSLIST")
        assert {row[1] for row in cursor.fetchall()} == {READER}


def test_who_has_the_privilege_sees_and_ends_all(gates, shards):
    for server in shards.servers:
        server.query(f"GRANT PROCESS, CONNECTION_ADMIN ON *.* TO {READER}@'%'")
    victim = Victim(gates[0])
    try:
        with gates[1].connect(user=READER, password=READER_PASSWORD) as reader:
            assert victim.id in {row["Id"] for row in rows(reader, "SHOW PROCESSLIST")}
            with reader.cursor() as cursor:
                cursor.execute(f"KILL {victim.id}")
        with pytest.raises(pymysql.MySQLError):
            victim.connection.ping(reconnect=False)
    finally:
        for server in shards.servers:
            revoked = f"REVOKE PROCESS, CONNECTION_ADMIN ON *.* FROM {READER}@'%'"
            server.query(revoked)


def test_a_process_list_shows_what_runs(gates, shards):
    victim = Victim(gates[0])
    thread = victim.run(LONG)
    wait_until("the statement runs", lambda: sleeping(shards), seconds=60, every=0.02)
    with gates[1].connect() as connection, connection.cursor() as cursor:
        (found,) = [r for r in rows(connection, "SHOW FULL PROCESSLIST") if r["Id"] == victim.id]
        assert (found["Command"], found["Info"], found["db"]) == ("Query", LONG, "shop")
        assert found["State"].startswith("on shard shop-")
        cursor.execute(
            "SELECT p.ID, INFO FROM information_schema.PROCESSLIST p WHERE INFO LIKE '%SLEEP(600)%'"
            " AND p.INFO NOT LIKE '%PROCESSLIST%' ORDER BY TIME"
        )
        assert cursor.fetchall() == ((victim.id, LONG),)
        cursor.execute("SELECT COUNT(*) > 1 FROM information_schema.processlist")
        assert cursor.fetchall() == ((1,),)
        cursor.execute(f"KILL QUERY {victim.id}")
    thread.join(60)
    victim.connection.close()


@pytest.mark.parametrize("sql", [LONG, "SELECT SLEEP(600) FROM users"])
def test_a_statement_ends_at_its_time(gates, sql):
    with gates[1].connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET gate_statement_seconds = 0.5")
        with pytest.raises(pymysql.MySQLError) as ended:
            cursor.execute(sql)
        assert ended.value.args[0] == 3024
        assert "gate_statement_seconds = 0.5" in ended.value.args[1]
        cursor.execute("SELECT COUNT(*) FROM users WHERE user_id = 1")
        assert cursor.fetchall() == ((1,),)


def test_a_slow_statement_is_logged_without_its_values(gates):
    with gates[1].connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT SLEEP(1), 'private' FROM users WHERE user_id = 3")
        cursor.fetchall()

    def line() -> dict[str, Any] | None:
        for text in gates[1].log_text().splitlines():
            if '"slow"' in text and "SLEEP(?), ? FROM" in text:
                found: dict[str, Any] = json.loads(text[text.index("{") :])
                return found
        return None

    found = wait_until("the log has it", line, seconds=60)
    assert found["user"] == "app" and found["shards"] == 1 and found["seconds"] >= 0.5
    assert "private" not in gates[1].log_text()


def test_gate_show(gates, shards):
    with gates[1].connect() as connection, connection.cursor() as cursor:
        for _ in range(200):
            cursor.execute("SELECT name FROM users WHERE user_id = 5")
        shown = rows(connection, "GATE SHOW SHARDS")
        assert [row["state"] for row in shown] == ["serving", "serving"]
        assert {row["shard"] for row in rows(connection, "GATE SHOW POOLS")} == {
            row["shard"] for row in shown
        }
        assert len({row["gate"] for row in rows(connection, "GATE SHOW POOLS")}) == 2
        facts = {row["name"]: row["value"] for row in rows(connection, "GATE SHOW VERSION")}
        assert (facts["gates"], facts["processes"]) == ("2", "3")
        plans = {row["shape"]: row for row in rows(connection, "GATE SHOW PLANS")}
        point = plans["SELECT name FROM users WHERE user_id = ?"]
        assert point["count"] >= 64 and point["user"] == "app"
        with pytest.raises(pymysql.MySQLError) as unknown:
            cursor.execute("GATE SHOW NOTHING")
        assert "GATE SHOW SESSIONS" in unknown.value.args[1]
