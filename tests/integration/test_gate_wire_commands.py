"""Commands of the protocol other than a query, as bytes, through a gate to real mysqlds."""

import struct

import pymysql
import pytest
from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from pymysql.constants import CLIENT
from waiting import wait_until

from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets

pytestmark = pytest.mark.mysql


@pytest.fixture(scope="module")
def shards():
    with Shards(2) as running:
        running.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name LONGTEXT, born DATETIME)")
        running.run("CREATE TABLE countries (code CHAR(2) PRIMARY KEY)")
        yield running


@pytest.fixture(scope="module")
def gate(shards):
    with GateProcess(shards.table(), shards.users(), "--max-statements=20") as running:
        yield running


class Raw:
    """A PyMySQL connection of which only the packets are used."""

    def __init__(self, gate, **settings):
        self.connection = gate.connect(**settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection._force_close()

    def send(self, command, data=b""):
        self.connection._execute_command(command, data)

    def packet(self):
        """The next payload, also when it is an error."""
        head = self.connection._read_bytes(4)
        self.connection._next_seq_id = (head[3] + 1) % 256
        return self.connection._read_bytes(int.from_bytes(head[:3], "little"))

    def ask(self, command, data=b""):
        self.send(command, data)
        return self.packet()

    def rows(self):
        """Of a binary result whose first packet was not read yet; EOF after columns and rows."""
        count = self.packet()[0]
        for _ in range(count + 1):
            self.packet()
        found = []
        while (payload := self.packet())[0] != c.EOF:
            found.append(payload)
        return found

    def prepare(self, sql):
        answer = packets.prepared(self.ask(c.COM_STMT_PREPARE, sql))
        for number in (answer.parameters, answer.columns):
            for _ in range(number + 1 if number else 0):
                self.packet()
        return answer

    def query(self, sql):
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()


@pytest.fixture
def raw(gate, shards):
    shards.run("DELETE FROM users")
    with Raw(gate) as client:
        for number in range(6):
            client.query(f"INSERT INTO users VALUES ({number}, 'n{number}', NULL)")
        yield client


def execute(statement, *values, types=True, flags=0):
    """COM_STMT_EXECUTE with BIGINT parameters."""
    body = struct.pack("<IBI", statement, flags, 1)
    if values:
        body += bytes((len(values) + 7) // 8) + (b"\x01" if types else b"\x00")
        body += b"\x08\x00" * len(values) if types else b""
        body += struct.pack(f"<{len(values)}q", *values)
    return body


def test_types_may_be_left_out_after_the_first_execution(raw):
    statement = raw.prepare(b"SELECT user_id FROM users WHERE user_id = ?").statement_id
    for number in range(6):  # rows of both shards: a shard has seen the types or has not
        raw.send(c.COM_STMT_EXECUTE, execute(statement, number, types=number == 0))
        (row,) = raw.rows()
        assert struct.unpack_from("<q", row, 2) == (number,)


def test_two_statements_with_the_same_text_and_other_types_do_not_disturb_each_other(gate, raw):
    text = b"SELECT user_id FROM users WHERE user_id = ?"
    with Raw(gate) as other:
        mine = raw.prepare(text).statement_id
        theirs = other.prepare(text).statement_id
        raw.send(c.COM_STMT_EXECUTE, execute(mine, 3))
        assert len(raw.rows()) == 1
        as_text = struct.pack("<IBI", theirs, 0, 1) + b"\0\x01\xfd\x00" + b"\x013"
        other.send(c.COM_STMT_EXECUTE, as_text)
        assert len(other.rows()) == 1
        raw.send(c.COM_STMT_EXECUTE, execute(mine, 3, types=False))
        (row,) = raw.rows()
        assert struct.unpack_from("<q", row, 2) == (3,)


def pinned(gate, reason):
    """How many sessions the gate keeps a connection for, for this reason."""
    line = next(
        (n for n in gate.metrics().splitlines() if f'pinned_sessions{{reason="{reason}"}}' in n),
        "0",
    )
    return float(line.split()[-1])


def open_cursor(client, sql, *values):
    """Return the statement and the status flags at the end of the columns."""
    statement = client.prepare(sql)
    client.send(
        c.COM_STMT_EXECUTE, execute(statement.statement_id, *values, flags=c.CURSOR_READ_ONLY)
    )
    for _ in range(client.packet()[0]):
        client.packet()
    return statement.statement_id, packets.read_eof(client.packet()).status


def fetch(client, statement, count):
    """Rows, and the status flags behind them; or the error."""
    client.send(c.COM_STMT_FETCH, struct.pack("<II", statement, count))
    rows = []
    while (payload := client.packet())[0] not in (c.EOF, c.ERR):
        rows.append(payload)
    if payload[0] == c.ERR:
        return rows, packets.error(payload)
    return rows, packets.read_eof(payload).status


MANY = b"SELECT ? + 0 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5"


def test_a_cursor_gives_rows_as_they_are_fetched(gate, raw):
    statement, status = open_cursor(raw, MANY, 1)
    assert status & c.STATUS_CURSOR_EXISTS
    assert pinned(gate, "cursor") == 1
    rows, status = fetch(raw, statement, 2)
    assert len(rows) == 2 and not status & c.STATUS_LAST_ROW_SENT
    assert raw.query("SELECT name FROM users WHERE user_id = 3") == (("n3",),)
    rows, status = fetch(raw, statement, 2)
    assert len(rows) == 2 and not status & c.STATUS_LAST_ROW_SENT
    rows, status = fetch(raw, statement, 9)
    assert len(rows) == 1 and status & c.STATUS_LAST_ROW_SENT
    assert pinned(gate, "cursor") == 0
    _, error = fetch(raw, statement, 1)
    assert error.number == 1421


@pytest.mark.parametrize("end", ["reset", "close", "again", "leave"])
def test_a_cursor_ends_with_its_statement(gate, raw, end):
    with Raw(gate) as client:
        statement, _ = open_cursor(client, MANY, 1)
        other, _ = open_cursor(client, MANY, 1)
        assert pinned(gate, "cursor") == 2
        for number in (statement, other):
            if end == "reset":
                assert client.ask(c.COM_STMT_RESET, struct.pack("<I", number))[0] == c.OK
            elif end == "close":
                client.send(c.COM_STMT_CLOSE, struct.pack("<I", number))
            elif end == "again":
                client.send(c.COM_STMT_EXECUTE, execute(number, 7))
                assert len(client.rows()) == 5
        if end != "leave":
            client.query("SELECT 1")
            assert pinned(gate, "cursor") == 0
    wait_until("no cursor is left", lambda: pinned(gate, "cursor") == 0, seconds=60)


def test_two_cursors_of_one_text_do_not_disturb_each_other(raw):
    first, _ = open_cursor(raw, MANY, 1)
    second, _ = open_cursor(raw, MANY, 1)
    assert len(fetch(raw, first, 3)[0]) == 3
    assert len(fetch(raw, second, 1)[0]) == 1
    assert len(fetch(raw, first, 9)[0]) == 2
    assert len(fetch(raw, second, 9)[0]) == 4


def test_a_cursor_over_several_shards_gives_all_rows_at_once(raw):
    statement = raw.prepare(b"SELECT user_id FROM users WHERE user_id >= ?").statement_id
    raw.send(c.COM_STMT_EXECUTE, execute(statement, 2, flags=c.CURSOR_READ_ONLY))
    assert len(raw.rows()) == 4


def test_long_data_reaches_the_shard_in_pieces(raw):
    statement = raw.prepare(b"UPDATE users SET name = ? WHERE user_id = ?").statement_id
    for piece in (b"long ", b"x" * 100_000, b" end"):
        raw.send(c.COM_STMT_SEND_LONG_DATA, struct.pack("<IH", statement, 0) + piece)
    body = struct.pack("<IBI", statement, 0, 1) + b"\0\x01\xfc\x00\x08\x00" + struct.pack("<q", 4)
    assert packets.ok(raw.ask(c.COM_STMT_EXECUTE, body), False).affected == 1
    ((name,),) = raw.query("SELECT name FROM users WHERE user_id = 4")
    assert name == "long " + "x" * 100_000 + " end"
    # the second time without it
    body = struct.pack("<IBI", statement, 0, 1) + b"\0\x01\xfc\x00\x08\x00\x05short"
    assert raw.ask(c.COM_STMT_EXECUTE, body + struct.pack("<q", 4))[0] == c.OK
    assert raw.query("SELECT name FROM users WHERE user_id = 4") == (("short",),)


def test_resetting_a_statement_forgets_its_long_data(raw):
    statement = raw.prepare(b"UPDATE users SET name = ? WHERE user_id = ?").statement_id
    raw.send(c.COM_STMT_SEND_LONG_DATA, struct.pack("<IH", statement, 0) + b"forgotten")
    assert raw.ask(c.COM_STMT_RESET, struct.pack("<I", statement))[0] == c.OK
    body = struct.pack("<IBI", statement, 0, 1) + b"\0\x01\xfc\x00\x08\x00\x05fresh"
    raw.ask(c.COM_STMT_EXECUTE, body + struct.pack("<q", 1))
    assert raw.query("SELECT name FROM users WHERE user_id = 1") == (("fresh",),)


def test_a_closed_statement_is_unknown_and_the_connection_goes_on(raw):
    statement = raw.prepare(b"SELECT name FROM users WHERE user_id = ?").statement_id
    raw.send(c.COM_STMT_CLOSE, struct.pack("<I", statement))
    assert packets.error(raw.ask(c.COM_STMT_EXECUTE, execute(statement, 1))).number == 1243
    assert raw.ask(c.COM_PING)[0] == c.OK


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x01\0\0\0\0", b"\xff" * 30])
def test_a_broken_execution_is_never_more_than_an_error(gate, raw, body):
    with Raw(gate) as client:
        client.prepare(b"SELECT name FROM users WHERE user_id = ?")
        assert client.ask(c.COM_STMT_EXECUTE, body)[0] == c.ERR
    assert raw.ask(c.COM_PING)[0] == c.OK


def test_one_client_may_not_keep_statements_without_end(gate, raw):
    with Raw(gate) as client:
        for _ in range(20):
            client.prepare(b"SELECT 1")
        assert packets.error(client.ask(c.COM_STMT_PREPARE, b"SELECT 1")).number == 1461


def test_prepared_statements_outnumber_what_a_backend_keeps(raw):
    for turn in range(5):
        for number in range(20):
            text = f"SELECT user_id + {turn * 20 + number} FROM users WHERE user_id = ?"
            statement = raw.prepare(text.encode()).statement_id
            raw.send(c.COM_STMT_EXECUTE, execute(statement, 1))
            (row,) = raw.rows()
            assert struct.unpack_from("<q", row, 2) == (1 + turn * 20 + number,)
            raw.send(c.COM_STMT_CLOSE, struct.pack("<I", statement))


def test_a_statement_that_mysql_cannot_prepare_is_its_error(raw):
    answer = packets.error(raw.ask(c.COM_STMT_PREPARE, b"SELECT nothing FROM users WHERE 1 = ?"))
    assert answer.number in (1054, 1235)
    assert raw.ask(c.COM_PING)[0] == c.OK


def test_transactions_may_be_controlled_by_prepared_statements(raw):
    for text, kept in ((b"ROLLBACK", "n1"), (b"COMMIT", "changed")):
        raw.query("BEGIN")
        raw.query("UPDATE users SET name = 'changed' WHERE user_id = 1")
        try:
            statement = raw.prepare(text).statement_id
        except IndexError:
            pytest.fail("it could not be prepared")
        assert raw.ask(c.COM_STMT_EXECUTE, execute(statement))[0] == c.OK
        assert raw.query("SELECT name FROM users WHERE user_id = 1") == ((kept,),)


def test_statistics_are_one_line(raw):
    assert raw.ask(c.COM_STATISTICS).startswith(b"Uptime: ")
    assert raw.ask(c.COM_PING)[0] == c.OK


def test_fields_of_a_table_are_listed(raw):
    raw.send(c.COM_FIELD_LIST, b"users\0")
    names = []
    while (payload := raw.packet())[0] != c.EOF:
        names.append(packets.column(payload).name)
    assert names == ["user_id", "name", "born"]
    assert raw.ask(c.COM_PING)[0] == c.OK


@pytest.mark.parametrize(("option", "first"), [(0, c.EOF), (1, c.EOF), (9, c.ERR)])
def test_multi_statements_are_switched(raw, option, first):
    assert raw.ask(c.COM_SET_OPTION, struct.pack("<H", option))[0] == first


def test_the_answer_to_that_is_an_ok_that_looks_like_eof_where_these_are_deprecated(gate):
    with Raw(gate, client_flag=c.CLIENT_DEPRECATE_EOF) as client:
        answer = client.ask(c.COM_SET_OPTION, struct.pack("<H", 0))
        assert answer == bytes((c.EOF, 0, 0, c.STATUS_AUTOCOMMIT, 0, 0, 0))


def test_a_session_is_killed_by_its_own_user_only(gate, raw):
    with Raw(gate) as victim:
        number = victim.connection.thread_id()
        with Raw(gate, user="reader", password="reader-secret") as stranger:
            answer = stranger.ask(c.COM_PROCESS_KILL, struct.pack("<I", number))
            assert packets.error(answer).number == 1095
        assert victim.ask(c.COM_PING)[0] == c.OK
        assert raw.ask(c.COM_PROCESS_KILL, struct.pack("<I", number))[0] == c.OK
        with pytest.raises(pymysql.err.OperationalError):
            victim.ask(c.COM_PING)
    assert packets.error(raw.ask(c.COM_PROCESS_KILL, struct.pack("<I", number))).number == 1094


def test_found_rows_are_counted_as_the_client_asked(gate, raw):
    unchanged = "UPDATE users SET name = name WHERE user_id = 2"
    with gate.connect() as plain, gate.connect(client_flag=CLIENT.FOUND_ROWS) as found:
        with plain.cursor() as a, found.cursor() as b:
            for _ in range(2):
                assert a.execute(unchanged) == 0
                assert b.execute(unchanged) == 1


def test_a_reset_ends_transaction_and_variables(gate, raw):
    raw.query("SET @mine = 5, time_zone = '+03:00'")
    raw.query("BEGIN")
    raw.query("UPDATE users SET name = 'reset' WHERE user_id = 1")
    assert raw.ask(c.COM_RESET_CONNECTION)[0] == c.OK
    assert raw.query("SELECT @mine, @@time_zone") == ((None, "SYSTEM"),)
    assert raw.query("SELECT name FROM users WHERE user_id = 1") == (("n1",),)


# CLIENT_OPTIONAL_RESULTSET_METADATA

METADATA = c.CLIENT_OPTIONAL_RESULTSET_METADATA


_LAST = 0x7FFFFFFF
"""Stands for the statement that was prepared last."""


def answers(client, *commands):
    """All packets of the answers, each with its number; those of statements are left out."""
    found = []
    for command in commands:
        number = getattr(client, "prepared", b"")
        client.send(command[0], command[1:].replace(struct.pack("<I", _LAST), number))
        client.connection._next_seq_id = 0
        client.send(c.COM_PING)
        head = client.connection._read_bytes(4)
        while True:
            size = int.from_bytes(head[:3], "little")
            found.append((head[3], client.connection._read_bytes(size)))
            head = client.connection._read_bytes(4)
            if head[3] == 1:  # the answer to the ping
                client.connection._read_bytes(int.from_bytes(head[:3], "little"))
                break
        if command[0] == c.COM_STMT_PREPARE:
            ((one, first), *_) = found
            client.prepared = first[1:5]
            found[0] = (one, first[:1] + first[5:])
    return found


def set_metadata(mode):
    return b"\x03SET resultset_metadata = " + mode


@pytest.mark.parametrize("deprecates_eof", [0, c.CLIENT_DEPRECATE_EOF])
@pytest.mark.parametrize("mode", [b"FULL", b"NONE", b"DEFAULT"])
def test_metadata_stay_away_as_from_a_server(gate, shards, raw, mode, deprecates_eof):
    commands = [
        set_metadata(mode),
        b"\x03SELECT 1, 'a'",
        b"\x03SHOW WARNINGS",
        b"\x03SELECT no_such_column",
        b"\x03SELECT code FROM countries",
        b"\x03DO 1",
        b"\x16SELECT code FROM countries WHERE code = ?",
        b"\x17" + execute(_LAST, 5),
        b"\x16SELECT 5",
        b"\x17" + execute(_LAST, flags=1),
        b"\x1c" + struct.pack("<II", _LAST, 5),
        b"\x16DO 1",
        b"\x04countries\0",
        b"\x1f",
        b"\x03SELECT 1",
    ]
    if deprecates_eof:  # the EOF behind columns of the gate does not tell that more follows
        commands.append(b"\x03SELECT 1; SELECT 2, 3; DO 1")
    flags = METADATA | deprecates_eof | CLIENT.MULTI_STATEMENTS
    direct = pymysql.connect(
        host="127.0.0.1",
        port=shards.servers[0].port,
        user=USER,
        password=PASSWORD,
        database=KEYSPACE,
        client_flag=flags,
        autocommit=None,
    )
    with Raw(gate, client_flag=flags, autocommit=None) as through:
        server = Raw.__new__(Raw)
        server.connection = direct
        with server:
            for command in commands:
                assert answers(through, command) == answers(server, command), command


def test_rows_of_several_shards_come_without_metadata(gate, raw):
    with Raw(gate, client_flag=METADATA, autocommit=None) as client:
        (ok,) = answers(client, set_metadata(b"none"))
        assert ok[1][0] == c.OK
        for sql, rows in (
            (b"SELECT user_id FROM users ORDER BY user_id", [b"%d" % n for n in range(6)]),
            (b"SELECT COUNT(*) FROM users", [b"6"]),
            (b"SELECT user_id FROM users WHERE user_id = 3", [b"3"]),
        ):
            first, end, *rest = answers(client, b"\x03" + sql)
            assert first == (1, b"\1\0") and end[1][0] == c.EOF
            assert [payload for _, payload in rest[:-1]] == [packets.text_row([r]) for r in rows]
            assert [number for number, _ in rest] == list(range(3, 4 + len(rows)))


def test_metadata_cannot_be_left_out_for_clients_that_did_not_agree(gate):
    with Raw(gate) as client:
        with pytest.raises(pymysql.MySQLError) as raised:
            client.query("SET resultset_metadata = NONE")
        assert raised.value.args == (3640, "The client doesn't support optional metadata transfer")
        client.query("SET resultset_metadata = FULL")
        assert client.query("SELECT @@resultset_metadata") == (("FULL",),)
        with pytest.raises(pymysql.MySQLError) as raised:
            client.query("SET resultset_metadata = 5")
        assert raised.value.args[0] == 1231
