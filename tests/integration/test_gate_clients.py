"""Clients of many kinds at a real gate: TLS by user, certificates, old passwords, compression,
PROXY headers, limits of users, and who is thrown out when."""

import json
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pymysql
import pytest
from gates import KEYSPACE, PASSWORD, READER, READER_PASSWORD, USER, GateProcess, Shards
from waiting import wait_until

from mitosis_gate.wire import auth, packets
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.codec import frame
from mitosis_routing.table import RoutingTable, UserLimits, UserTls
from mysqld import ServerTls, program, server_tls

pytestmark = pytest.mark.mysql
LIMITS = UserLimits(connections=3, statements=2, rows=50, bytes=1_000_000, seconds=5)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    return server_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2) as running:
        running.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(2000))")
        yield running


@pytest.fixture(scope="module")
def gate(shards: Shards, tls: ServerTls) -> Iterator[GateProcess]:
    with GateProcess(
        shards.table(),
        shards.users(),
        f"--client-ca-file={tls.ca}",
        "--native-passwords=true",
        "--idle-transaction-seconds=1",
        tls=tls,
    ) as running:
        with running.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO users VALUES (%s, %s)", [(n, "n" * 100) for n in range(1, 101)]
            )
        yield running


def told(table: RoutingTable, name: str, **what: Any) -> RoutingTable:
    users = tuple(replace(u, **what) if u.name == name else u for u in table.users)
    return replace(table, users=users)


@pytest.fixture
def publish(gate: GateProcess, shards: Shards) -> Iterator[Any]:
    """Say something of the reader, and take it back."""
    versions = iter(range(gate_version(gate) + 1, 1 << 30))

    def say(**what: Any) -> None:
        version = next(versions)
        gate.publish(told(shards.table(version), READER, **what))
        wait_until("the table is obeyed", lambda: gate_version(gate) == version, seconds=60)

    yield say
    say()


def gate_version(gate: GateProcess) -> int:
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{gate.admin_port}/routing") as answer:
        found: int = json.loads(answer.read())["keyspaces"][0]["version"]
        return found


def reader(gate: GateProcess, **settings: Any) -> Any:
    return gate.connect(user=READER, password=READER_PASSWORD, **settings)


def refused(gate: GateProcess, **settings: Any) -> tuple[int, str]:
    with pytest.raises(pymysql.MySQLError) as problem:
        reader(gate, **settings)
    return problem.value.args[0], problem.value.args[1]


def one(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()[0][0]


def test_tls_is_asked_of_a_user(gate, publish, tls):
    publish(tls=UserTls.REQUIRED)
    code, text = refused(gate)
    assert code == 1045 and "must connect with TLS" in text
    with reader(gate, ssl_disabled=False, ssl_ca=str(tls.ca)) as connection:
        assert one(connection, "SELECT 1") == 1
    with gate.connect() as other:  # nobody else is asked
        assert one(other, "SELECT 1") == 1


def test_a_certificate_is_asked_of_a_user(gate, publish, tls, tmp_path):
    shown = {"ssl_cert": str(tls.certificate("client")), "ssl_key": str(tls.key("client"))}
    encrypted = {"ssl_disabled": False, "ssl_ca": str(tls.ca)}
    publish(tls=UserTls.X509)
    assert "must connect with TLS" in refused(gate)[1]
    assert "must show a certificate" in refused(gate, **encrypted)[1]
    with reader(gate, **encrypted, **shown) as connection:
        assert one(connection, "SELECT 1") == 1
    publish(tls=UserTls.X509, tls_subject="/CN=somebody else")
    assert "/CN=somebody else" in refused(gate, **encrypted, **shown)[1]
    publish(tls=UserTls.X509, tls_subject="/CN=client")
    with reader(gate, **encrypted, **shown) as connection:
        assert one(connection, "SELECT 1") == 1


def test_a_certificate_of_another_authority_is_no_certificate(gate, tls, tmp_path):
    stranger = server_tls(tmp_path)
    with pytest.raises((pymysql.MySQLError, OSError)):
        gate.connect(
            ssl_disabled=False,
            ssl_ca=str(tls.ca),
            ssl_cert=str(stranger.certificate("client")),
            ssl_key=str(stranger.key("client")),
        )


def test_connections_of_a_user_are_limited(gate, publish):
    publish(limits=LIMITS)
    open_ones = [reader(gate) for _ in range(3)]
    code, text = refused(gate)
    assert code == 1226 and "limits.connections = 3" in text
    open_ones.pop().close()

    def enters() -> bool:
        with reader(gate) as connection:
            return bool(one(connection, "SELECT 1") == 1)

    wait_until("the place is free again", enters, seconds=60)
    for connection in open_ones:
        connection.close()


@pytest.mark.parametrize("where", ["", " WHERE user_id > 0"])
def test_rows_are_limited(gate, publish, where):
    publish(limits=LIMITS)
    with reader(gate) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        with pytest.raises(pymysql.MySQLError) as problem:
            cursor.execute(f"SELECT * FROM users{where}")
        assert problem.value.args[0] == 1226
        assert "limits.rows = 50" in problem.value.args[1]
        assert one(connection, "SELECT COUNT(*) FROM users") == 100
        cursor.execute("SELECT * FROM users ORDER BY user_id LIMIT 50")
        assert len(cursor.fetchall()) == 50


@pytest.mark.parametrize("count", [49, 50, 51, 200])
def test_rows_of_one_shard_are_limited_exactly(gate, publish, count):
    publish(limits=LIMITS)
    rows = " UNION ALL ".join(["SELECT 'x' FROM users WHERE user_id = 1"] * count)
    with reader(gate) as connection, connection.cursor() as cursor:
        if count <= 50:
            cursor.execute(rows)
            assert len(cursor.fetchall()) == count
        else:
            with pytest.raises(pymysql.MySQLError) as problem:
                cursor.execute(rows)
            assert problem.value.args[0] == 1226
        assert one(connection, "SELECT user_id FROM users WHERE user_id = 1") == 1


def test_bytes_are_limited(gate, publish):
    publish(limits=LIMITS)
    rows = " UNION ALL ".join(["SELECT REPEAT('x', 100000) FROM users WHERE user_id = 1"] * 20)
    with reader(gate) as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.MySQLError) as problem:
            cursor.execute(rows)
        assert problem.value.args[0] == 1226 and "limits.bytes" in problem.value.args[1]
        assert one(connection, "SELECT user_id FROM users WHERE user_id = 1") == 1


def test_time_is_limited_also_where_the_session_wishes_more(gate, publish):
    publish(limits=replace(LIMITS, seconds=0.5))
    with reader(gate) as connection, connection.cursor() as cursor:
        cursor.execute("SET gate_statement_seconds = 100")
        with pytest.raises(pymysql.MySQLError) as problem:
            cursor.execute("SELECT SLEEP(600) FROM users")
        assert problem.value.args[0] == 3024
        assert "limits.seconds = 0.5" in problem.value.args[1]


def test_statements_at_the_same_time_are_limited(gate, shards, publish):
    publish(limits=UserLimits(statements=1))
    busy = reader(gate)
    with reader(gate) as connection, connection.cursor() as cursor:
        busy._execute_command(3, b"SELECT SLEEP(600) FROM users")
        wait_until(
            "the other statement runs",
            lambda: "SLEEP(600)" in str(shards.servers[0].query("SHOW FULL PROCESSLIST")),
            seconds=60,
            every=0.02,
        )

        def is_refused() -> bool:
            try:
                cursor.execute("SELECT 1 FROM users WHERE user_id = 1")
                return False
            except pymysql.MySQLError as problem:
                assert problem.args[0] == 1226 and "limits.statements = 1" in problem.args[1]
                return True

        assert is_refused()
        busy._force_close()
        wait_until("it has ended", lambda: not is_refused(), seconds=60, every=0.02)


def test_a_silent_transaction_is_rolled_back(gate, shards):
    connection = gate.connect()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE users SET name = 'mine' WHERE user_id = 1")

    def ended() -> bool:
        with gate.connect() as other:
            return bool(
                one(
                    other,
                    f"SELECT COUNT(*) FROM information_schema.PROCESSLIST "
                    f"WHERE ID = {connection.thread_id()}",
                )
                == 0
            )

    wait_until("the session is closed", ended, seconds=60)
    connection._sock.settimeout(20)
    with pytest.raises(pymysql.MySQLError) as problem:
        connection.query("SELECT 1")
    assert problem.value.args[0] in (4031, 2006, 2013)
    with gate.connect() as other, other.cursor() as cursor:
        cursor.execute("UPDATE users SET name = 'n' WHERE user_id = 1")  # waits for no lock
    connection._force_close()


def test_a_new_password_takes_the_place_of_the_old_one(gate, shards):
    """No proof of the old one is kept anywhere: the next login needs the new one."""
    users = json.loads((gate.folder / "users.json").read_text())
    users[KEYSPACE][READER] = "new secret"
    for server in shards.servers:
        server.query(f"ALTER USER {READER}@'%%' IDENTIFIED BY %s", "new secret")
    reader(gate).close()
    (gate.folder / "users.json").write_text(json.dumps(users))
    version = gate_version(gate) + 1
    try:
        gate.publish(told(shards.table(version), READER, version=str(version)))

        def enters() -> bool:
            with gate.connect(user=READER, password="new secret") as connection:
                return bool(one(connection, "SELECT 1") == 1)

        wait_until("the new password opens", enters, seconds=60)
        assert refused(gate)[0] == 1045
    finally:
        (gate.folder / "users.json").write_text(json.dumps(shards.users()))
        for server in shards.servers:
            server.query(f"ALTER USER {READER}@'%%' IDENTIFIED BY %s", READER_PASSWORD)
        gate.publish(told(shards.table(version + 1), READER, version=str(version + 1)))
        wait_until("the old one opens", lambda: bool(reader(gate).close() or True), seconds=60)


def run_mysql(gate: GateProcess, sql: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(program("mysql")),
        *("--host=127.0.0.1", f"--port={gate.port}", f"--user={USER}", f"--password={PASSWORD}"),
        *("--batch", "--skip-column-names", *options),
        KEYSPACE,
    ]
    return subprocess.run(command, input=sql, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("algorithm", ["zlib", "zstd"])
@pytest.mark.parametrize("mode", ["DISABLED", "REQUIRED"])
def test_the_mysql_client_compresses(gate, algorithm, mode):
    big = "x" * 3_000_000
    done = run_mysql(
        gate,
        "SELECT name FROM users WHERE user_id = 7;\n"
        f"SELECT LENGTH('{big}') FROM users WHERE user_id = 7;\n"
        "SELECT REPEAT('y', 20000000) FROM users WHERE user_id = 7;\n"
        "SELECT COUNT(*) FROM users;\nSHOW STATUS LIKE 'Compression';\n",
        f"--compression-algorithms={algorithm}",
        f"--ssl-mode={mode}",
        "--max-allowed-packet=64M",
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[:2] == ["n" * 100, "3000000"]
    assert (lines[2], lines[3]) == ("y" * 20_000_000, "100")


def login(sock: socket.socket, plugin: bytes, secret: str = PASSWORD) -> bytes:
    """Log in by hand; return the last payload."""
    greeting = packets.greeting(payload(sock))
    native = plugin == c.NATIVE_PASSWORD
    proof = (auth.native_scramble if native else auth.scramble)(secret, greeting.nonce)
    capabilities = (
        c.CLIENT_PROTOCOL_41
        | c.CLIENT_SECURE_CONNECTION
        | c.CLIENT_PLUGIN_AUTH
        | c.CLIENT_CONNECT_WITH_DB
        | c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    )
    answer = packets.Login(capabilities, 1 << 24, 255, USER, proof, KEYSPACE, plugin)
    sock.sendall(frame(answer.pack(), 1))
    found = payload(sock)
    return payload(sock) if found == b"\x01\x03" else found


def payload(sock: socket.socket) -> bytes:
    head = b""
    while len(head) < 4:
        head += sock.recv(4 - len(head)) or b"\0\0\0\0"
    body = b""
    while len(body) < int.from_bytes(head[:3], "little"):
        body += sock.recv(int.from_bytes(head[:3], "little") - len(body))
    return body


def test_an_old_client_shows_its_password_in_the_old_way(gate):
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as sock:
        assert login(sock, c.NATIVE_PASSWORD)[:1] == b"\0"
        sock.sendall(frame(b"\x03SELECT name FROM users WHERE user_id = 7", 0))
        assert payload(sock) == b"\x01"
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as sock:
        assert packets.error(login(sock, c.NATIVE_PASSWORD, "wrong")).number == 1045


@pytest.fixture(scope="module")
def balanced(shards: Shards) -> Iterator[GateProcess]:
    """Everybody at this gate comes through a balancer. The port for probes is the admin port."""
    with GateProcess(shards.table(), shards.users(), "--proxy-protocol=127.0.0.0/8") as running:
        yield running


V2 = (
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"
    + bytes((10, 9, 8, 7, 10, 0, 0, 1))
    + b"\x13\x88\x0c\xea"
)
HEADERS = {
    "version 1": (b"PROXY TCP4 10.9.8.7 10.0.0.1 5000 3306\r\n", "10.9.8.7:5000"),
    "version 2": (V2, "10.9.8.7:5000"),
    "the balancer itself": (b"PROXY UNKNOWN\r\n", "127.0.0.1:"),
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("in_pieces", [False, True])
def test_the_client_behind_a_balancer_is_known(balanced, name, in_pieces):
    header, host = HEADERS[name]
    with socket.create_connection(("127.0.0.1", balanced.port), timeout=20) as sock:
        for piece in [bytes((b,)) for b in header] if in_pieces else [header]:
            sock.sendall(piece)
        assert login(sock, c.CACHING_SHA2)[:1] == b"\0"
        sock.sendall(frame(b"\x03SHOW PROCESSLIST", 0))
        answer = b""
        while host.encode() not in answer:
            piece = sock.recv(65536)
            assert piece, answer
            answer += piece


def test_without_its_header_nobody_is_greeted(balanced):
    with socket.create_connection(("127.0.0.1", balanced.port), timeout=20) as sock:
        sock.sendall(b"\x01" * 16)
        assert packets.error(payload(sock)).number == 1043


def test_a_header_from_elsewhere_is_no_header(gate):
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as sock:
        payload(sock)
        sock.sendall(HEADERS["version 1"][0])
        assert packets.error(payload(sock)).number in (1043, 1153, 1156)
