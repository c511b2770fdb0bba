"""Real clients through a gate process to real mysqlds: what they send and get is MySQL's."""

import contextlib
import subprocess
import threading

import mysql.connector
import pymysql
import pytest
from gates import KEYSPACE, PASSWORD, READER, READER_PASSWORD, USER, GateProcess, Shards
from waiting import wait_until

from mysqld import program, server_tls

pytestmark = pytest.mark.mysql
WHOLE = (1 << 24) - 1


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    tls = server_tls(tmp_path_factory.mktemp("tls"))
    with Shards(2, tls=tls, options=("--max-allowed-packet=256M",)) as running:
        running.run(
            "CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(100), doc LONGBLOB)"
        )
        running.run(
            "CREATE TABLE orders (id BIGINT NOT NULL AUTO_INCREMENT, user_id BIGINT NOT NULL, "
            "total DECIMAL(10,2), placed DATETIME(3), PRIMARY KEY (user_id, id), KEY (id))"
        )
        running.run("CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(100))")
        yield running


@pytest.fixture(scope="module")
def gate(shards):
    """TLS towards the backends, TLS offered to clients."""
    with GateProcess(
        shards.table(),
        shards.users(),
        "--max-packet-bytes=200000000",
        tls=shards.tls,
        backend_tls=True,
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def empty_tables(shards):
    shards.run("DELETE FROM users")
    shards.run("DELETE FROM orders")


def add_users(gate, count):
    with gate.connect() as connection, connection.cursor() as cursor:
        for number in range(count):
            cursor.execute("INSERT INTO users (user_id, name) VALUES (%s, 'n')", (number,))


def shard_of(shards, user_id):
    """Index of the shard that holds the row."""
    found = shards.rows(f"SELECT COUNT(*) FROM users WHERE user_id = {user_id}")
    return [rows[0][0] for rows in found].index(1)


def two_users(gate, shards):
    """Ids of one user on each shard."""
    add_users(gate, 8)
    ids = {shard_of(shards, number): number for number in range(8)}
    return ids[0], ids[1]


@pytest.fixture(params=["plain", "tls"])
def ssl_settings(request, shards):
    if request.param == "plain":
        return {"ssl_disabled": True}
    return {"ssl_disabled": False, "ssl_ca": str(shards.tls.ca), "ssl_verify_identity": True}


def test_pymysql_writes_and_reads(gate, shards, ssl_settings):
    with gate.connect(**ssl_settings) as connection, connection.cursor() as cursor:
        for number in range(10):
            assert cursor.execute("INSERT INTO users (user_id) VALUES (%s)", (number,)) == 1
        cursor.execute("SELECT user_id FROM users WHERE user_id = 7")
        assert cursor.fetchall() == ((7,),)
        cursor.execute("SELECT user_id FROM users")
        assert sorted(cursor.fetchall()) == [(n,) for n in range(10)]
    counts = [rows[0][0] for rows in shards.rows("SELECT COUNT(*) FROM users")]
    assert sum(counts) == 10 and all(counts)


def connector(gate, **settings):
    defaults = {
        "host": "localhost",
        "port": gate.port,
        "user": USER,
        "password": PASSWORD,
        "database": KEYSPACE,
        "use_pure": True,
    }
    return mysql.connector.connect(**(defaults | settings))


@pytest.fixture(params=["plain", "tls"])
def connector_tls(request, shards):
    if request.param == "plain":
        return {"ssl_disabled": True}
    return {"ssl_ca": str(shards.tls.ca), "ssl_verify_identity": True}


def test_connector_writes_and_reads(gate, connector_tls):
    with connector(gate, **connector_tls) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO users (user_id, name) VALUES (5, 'f')")
        connection.commit()
        cursor.execute("SELECT name FROM users WHERE user_id = 5")
        assert cursor.fetchall() == [("f",)]


def test_connector_prepares(gate, shards, connector_tls):
    one, other = two_users(gate, shards)
    with (
        connector(gate, autocommit=True, **connector_tls) as connection,
        connection.cursor(prepared=True) as cursor,
    ):
        for user in (one, other, one):
            cursor.execute("UPDATE users SET name = ? WHERE user_id = ?", (f"name {user}", user))
            assert cursor.rowcount in (0, 1)  # the second time nothing changes
        for user in (one, other, one, other):
            cursor.execute("SELECT name, NULL, user_id FROM users WHERE user_id = ?", (user,))
            assert cursor.fetchall() == [(f"name {user}", None, user)]


def test_attributes_of_a_query_do_not_hide_it(gate, shards):
    one, other = two_users(gate, shards)
    with connector(gate, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.add_attribute("colour", "blue")
        cursor.add_attribute("size", 3)
        for user in (one, other):
            cursor.execute(f"SELECT user_id FROM users WHERE user_id = {user}")
            assert cursor.fetchall() == [(user,)]
    with (
        connector(gate, autocommit=True) as connection,
        connection.cursor(prepared=True) as cursor,
    ):
        cursor.add_attribute("colour", "blue")
        for user in (one, other):
            cursor.execute("SELECT user_id FROM users WHERE user_id = ?", (user,))
            assert cursor.fetchall() == [(user,)]


def run_mysql(gate, shards, statements, *options, user=USER, password=PASSWORD):
    command = [
        str(program("mysql")),
        *("--host=127.0.0.1", f"--port={gate.port}", f"--user={user}", f"--password={password}"),
        *("--batch", "--skip-column-names", *options),
    ]
    return subprocess.run(command, input=statements, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("mode", ["DISABLED", "REQUIRED", "VERIFY_CA"])
def test_the_mysql_client_writes_and_reads(gate, shards, mode):
    options = [f"--ssl-mode={mode}"]
    if mode == "VERIFY_CA":
        options.append(f"--ssl-ca={shards.tls.ca}")
    done = run_mysql(
        gate,
        shards,
        "INSERT INTO users (user_id, name) VALUES (9, 'nine');\n"
        "SELECT user_id, name FROM users WHERE user_id = 9;\nSELECT DATABASE();\n",
        *options,
        KEYSPACE,
    )
    assert done.stdout.splitlines() == ["9\tnine", KEYSPACE], done.stderr


def test_the_mysql_client_chooses_its_database_later(gate, shards):
    done = run_mysql(gate, shards, f"USE {KEYSPACE};\nSELECT COUNT(*) FROM users WHERE user_id=1;")
    assert done.stdout.splitlines() == ["0"], done.stderr


@pytest.mark.parametrize("mode", ["DISABLED", "REQUIRED"])
def test_a_wrong_password_is_1045(gate, shards, mode):
    done = run_mysql(gate, shards, "SELECT 1", f"--ssl-mode={mode}", password="wrong")
    assert "ERROR 1045 (28000)" in done.stderr
    assert not done.stdout


def test_a_backend_is_entered_with_the_account_of_the_client(gate):
    with (
        gate.connect(user=READER, password=READER_PASSWORD) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT CURRENT_USER()")
        assert cursor.fetchall() == ((f"{READER}@%",),)
        with pytest.raises(pymysql.err.OperationalError) as refused:
            cursor.execute("INSERT INTO users (user_id) VALUES (1)")
        assert refused.value.args[0] == 1142


@pytest.mark.parametrize("size", [WHOLE - 1, WHOLE, WHOLE + 1, 2 * WHOLE])
def test_packets_around_the_largest_size_pass_both_ways(gate, size):
    # the statement is a payload of exactly `size` bytes, with COM_QUERY in front
    head, tail = "INSERT INTO users (user_id, doc) VALUES (1, '", "')"
    value = "x" * (size - 1 - len(head) - len(tail))
    with gate.connect(max_allowed_packet=1 << 30) as connection, connection.cursor() as cursor:
        cursor.execute(head + value + tail)
        cursor.execute("SELECT doc FROM users WHERE user_id = 1")
        ((got,),) = cursor.fetchall()
        assert got == value.encode()
        # and one row whose payload, with the length before the value, has exactly `size` bytes
        length = size - (4 if size - 4 <= 0xFFFFFF else 9)
        cursor.execute(f"SELECT REPEAT('y', {length}) FROM users WHERE user_id = 1")
        ((got,),) = cursor.fetchall()
        assert len(got) == length
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == ((1,),)


def test_errors_of_mysql_pass_unchanged(gate, shards):
    one, _ = two_users(gate, shards)
    with gate.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.err.IntegrityError) as refused:
            cursor.execute(f"INSERT INTO users (user_id) VALUES ({one})")
        assert refused.value.args == (1062, f"Duplicate entry '{one}' for key 'users.PRIMARY'")
        cursor.execute("SHOW WARNINGS")
        assert cursor.fetchall()[0][1] == 1062


def test_ids_and_counts_come_from_the_statement_before(gate, shards):
    one, other = two_users(gate, shards)
    with gate.connect() as connection, connection.cursor() as cursor:
        for user in (one, other, one):
            cursor.execute(f"INSERT INTO orders (user_id, total) VALUES ({user}, 1.5)")
            made = cursor.lastrowid
            cursor.execute("SELECT LAST_INSERT_ID()")
            assert cursor.fetchall() == ((made,),)
        cursor.execute(f"UPDATE orders SET total = 2 WHERE user_id = {one}")
        cursor.execute("SELECT ROW_COUNT()")
        assert cursor.fetchall() == ((2,),)


def own_answer_or_refusal(cursor, question):
    """Whose connection the pool gave to whom is chance; what may be answered is not."""
    try:
        cursor.execute(question)
        return cursor.fetchall()[0][0]
    except pymysql.MySQLError as refused:
        assert refused.args[0] == 1235
        return None


def test_two_sessions_do_not_see_each_others_counts(gate, shards):
    one, _ = two_users(gate, shards)
    with gate.connect() as first, gate.connect() as second:
        with first.cursor() as a, second.cursor() as b:
            for _ in range(5):
                a.execute(f"SELECT * FROM orders WHERE user_id = {one}")
                b.execute(f"SELECT * FROM users WHERE user_id = {one}")
                assert own_answer_or_refusal(a, "SELECT FOUND_ROWS()") in (0, None)
                a.execute(f"SELECT * FROM orders WHERE user_id = {one}")
                b.execute(f"UPDATE users SET name = UUID() WHERE user_id = {one}")
                assert own_answer_or_refusal(a, "SELECT ROW_COUNT()") in (-1, None)
                a.execute("SHOW WARNINGS")
                assert a.fetchall() == ()


def test_two_sessions_do_not_see_each_others_id(gate, shards):
    one, _ = two_users(gate, shards)
    with gate.connect() as first, gate.connect() as second:
        with first.cursor() as a, second.cursor() as b:
            a.execute(f"INSERT INTO orders (user_id) VALUES ({one})")
            b.execute(f"INSERT INTO orders (user_id) VALUES ({one})")
            made = a.lastrowid, b.lastrowid
            a.execute("SELECT LAST_INSERT_ID()")
            b.execute("SELECT LAST_INSERT_ID()")
            assert (a.fetchall()[0][0], b.fetchall()[0][0]) == made


def test_a_transaction_is_rolled_back_and_committed(gate, shards):
    one, other = two_users(gate, shards)
    with gate.connect(autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute(f"UPDATE users SET name = 'changed' WHERE user_id = {one}")
        connection.rollback()
        cursor.execute(f"SELECT name FROM users WHERE user_id = {one}")
        assert cursor.fetchall() == (("n",),)
        connection.commit()
        cursor.execute(f"UPDATE users SET name = 'changed' WHERE user_id = {other}")
        connection.commit()
    names = shards.rows("SELECT name FROM users WHERE name <> 'n'")
    assert sorted(map(len, names)) == [0, 1]


def test_begin_goes_to_the_shard_of_the_first_statement(gate, shards):
    one, other = two_users(gate, shards)
    with gate.connect() as connection, connection.cursor() as cursor:
        for user in (one, other):
            cursor.execute("BEGIN")
            cursor.execute("SAVEPOINT early")
            cursor.execute(f"UPDATE users SET name = 'x' WHERE user_id = {user}")
            cursor.execute("ROLLBACK TO early")
            cursor.execute(f"SELECT name FROM users WHERE user_id = {user}")
            assert cursor.fetchall() == (("n",),)
            cursor.execute("COMMIT")


def test_a_transaction_of_mode_single_stays_on_one_shard_and_usable(gate, shards):
    one, other = two_users(gate, shards)
    with gate.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET transaction_mode = 'single'")
        cursor.execute("START TRANSACTION")
        cursor.execute(f"UPDATE users SET name = 'mine' WHERE user_id = {one}")
        with pytest.raises(pymysql.err.MySQLError) as refused:
            cursor.execute(f"UPDATE users SET name = 'mine' WHERE user_id = {other}")
        assert "[gate]" in refused.value.args[1] and "transaction" in refused.value.args[1]
        cursor.execute("COMMIT")
    changed = shards.rows("SELECT user_id FROM users WHERE name = 'mine'")
    assert sorted(changed) == [[], [(one,)]]


def test_a_client_that_goes_away_leaves_no_transaction(gate, shards):
    one, _ = two_users(gate, shards)
    connection = gate.connect()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"UPDATE users SET name = 'gone' WHERE user_id = {one}")
    connection._force_close()
    with gate.connect() as after, after.cursor() as cursor:
        cursor.execute(f"UPDATE users SET name = 'next' WHERE user_id = {one}")  # waits for no lock
    found = shards.rows("SELECT name FROM users WHERE name IN ('gone', 'next')")
    assert sorted(found) == [[], [("next",)]]


def test_a_client_that_goes_away_leaves_no_statement_running(gate, shards):
    one, _ = two_users(gate, shards)
    connection = gate.connect()
    with contextlib.suppress(pymysql.err.MySQLError):
        connection._execute_command(
            3, f"SELECT SLEEP(3600) FROM users WHERE user_id = {one}".encode()
        )
    server = shards.servers[shard_of(shards, one)]

    def sleeping():
        rows = server.query("SHOW PROCESSLIST")
        return [row for row in rows if row[7] and "SLEEP(3600)" in row[7]]

    wait_until("the statement runs", sleeping, seconds=10, every=0.02)
    connection._force_close()
    wait_until("the statement is killed", lambda: not sleeping(), seconds=10, every=0.02)


def test_variables_of_a_session_follow_it_to_each_shard_and_to_nobody_else(gate, shards):
    one, other = two_users(gate, shards)
    with gate.connect() as mine, gate.connect() as theirs:
        with mine.cursor() as a, theirs.cursor() as b:
            a.execute("SET time_zone = '+05:00', sql_mode = 'STRICT_ALL_TABLES'")
            a.execute("SET NAMES latin1")
            for user in (one, other, one):
                shown = (
                    f"SELECT @@time_zone, @@character_set_results FROM users WHERE user_id = {user}"
                )
                a.execute(shown)
                b.execute(shown)
                assert a.fetchall() == (("+05:00", "latin1"),)
                assert b.fetchall() == (("SYSTEM", "utf8mb4"),)


def test_a_bad_value_is_refused_by_mysql_and_changes_nothing(gate):
    with gate.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.err.OperationalError) as refused:
            cursor.execute("SET time_zone = 'nowhere'")
        assert refused.value.args[0] == 1298
        cursor.execute("SELECT @@time_zone")
        assert cursor.fetchall() == (("SYSTEM",),)


def test_resetting_a_connection_forgets_everything(gate, shards):
    with connector(gate) as connection, connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+05:00', @mine = 5")
        connection.cmd_reset_connection()
        cursor.execute("SELECT @@time_zone, @mine")
        assert cursor.fetchall() == [("SYSTEM", None)]


def test_two_users_share_no_connection(gate):
    with gate.connect() as app, gate.connect(user=READER, password=READER_PASSWORD) as reader:
        for connection, name in ((app, USER), (reader, READER)) * 3:
            with connection.cursor() as cursor:
                cursor.execute("SELECT USER()")
                assert cursor.fetchall()[0][0].startswith(f"{name}@")


def test_a_slow_reader_makes_the_gate_no_larger(gate, shards):
    one, _ = two_users(gate, shards)
    before = gate.resident_bytes()
    connection = gate.connect()
    try:
        # the answer is 100 MB, of which the client reads nothing
        rows = " UNION ALL ".join(
            f"SELECT REPEAT('x', 1000000) FROM users WHERE user_id = {one}" for _ in range(100)
        )
        connection._execute_command(3, rows.encode())
        connection._sock.settimeout(20)
        server = shards.servers[shard_of(shards, one)]
        wait_until(
            "mysqld waits for its reader",
            lambda: any("Sending to client" in str(r[6]) for r in server.query("SHOW PROCESSLIST")),
            seconds=20,
            every=0.05,
        )
        assert gate.resident_bytes() - before < 20_000_000
        total = 0
        while total < 100_000_000:
            total += len(connection._sock.recv(1 << 20))
        assert gate.resident_bytes() - before < 20_000_000
    finally:
        connection._force_close()


def test_a_lost_backend_in_a_transaction_leads_to_rollback(shards, tmp_path):
    with GateProcess(shards.table(), shards.users(), tls=shards.tls, backend_tls=True) as gate:
        one, other = two_users(gate, shards)
        server = shards.servers[shard_of(shards, one)]
        with gate.connect() as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"UPDATE users SET name = 'lost' WHERE user_id = {one}")
            for row in server.query("SHOW PROCESSLIST"):
                if row[1] == USER:
                    server.query(f"KILL {row[0]}")
            for _ in range(2):
                with pytest.raises(pymysql.err.OperationalError) as refused:
                    cursor.execute(f"SELECT 1 FROM users WHERE user_id = {one}")
                assert refused.value.args[0] in (1213, 1317)
                assert "shop-" in refused.value.args[1]
            cursor.execute("ROLLBACK")
            cursor.execute(f"SELECT name FROM users WHERE user_id = {one}")
            assert cursor.fetchall() == (("n",),)


def test_many_clients_share_few_connections(shards):
    with GateProcess(
        shards.table(),
        shards.users(),
        "--max-backends=4",
        "--pool-wait-seconds=20",
        tls=shards.tls,
        backend_tls=True,
    ) as gate:
        add_users(gate, 8)
        failures = []

        def work(number):
            try:
                with gate.connect() as connection, connection.cursor() as cursor:
                    for turn in range(50):
                        user = (number + turn) % 8
                        cursor.execute(f"SELECT user_id FROM users WHERE user_id = {user}")
                        assert cursor.fetchall() == ((user,),)
            except Exception as exc:
                failures.append(exc)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        for server in shards.servers:
            users = [row[1] for row in server.query("SHOW PROCESSLIST")]
            assert users.count(USER) <= 8  # the gate of the module has some of its own


def test_a_full_pool_names_the_shard_and_the_numbers(shards):
    with GateProcess(
        shards.table(),
        shards.users(),
        "--max-backends=1",
        "--pool-wait-seconds=0.1",
        tls=shards.tls,
        backend_tls=True,
    ) as gate:
        one, _ = two_users(gate, shards)
        with gate.connect() as first, gate.connect() as second:
            with first.cursor() as a, second.cursor() as b:
                a.execute("BEGIN")
                a.execute(f"SELECT 1 FROM users WHERE user_id = {one} FOR UPDATE")
                with pytest.raises(pymysql.err.MySQLError) as refused:
                    b.execute(f"SELECT 1 FROM users WHERE user_id = {one}")
                assert refused.value.args[0] == 1203
                assert "all 1 connections" in refused.value.args[1]
                a.execute("ROLLBACK")
                b.execute(f"SELECT 1 FROM users WHERE user_id = {one}")
