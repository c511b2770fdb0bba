"""Packets read from recorded conversations, and packed again."""

import captures
import pytest

from mitosis_gate.errors import BadHandshake, GateError, MalformedPacket, NotSupported
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import lenenc, lenenc_bytes


@pytest.mark.parametrize("name", captures.NAMES)
def test_the_greeting_of_mysqld_is_packed_as_it_was_read(name):
    raw = captures.pieces(name)[0][1][4:]
    greeting = packets.greeting(raw)
    assert greeting.plugin == c.CACHING_SHA2
    assert len(greeting.nonce) == c.NONCE_BYTES
    assert greeting.pack() == raw


@pytest.mark.parametrize("name", captures.NAMES)
def test_the_login_of_real_clients_is_packed_as_it_was_read(name):
    raw = captures.pieces(name)[1][1][4:]
    login = packets.login(raw)
    assert (login.user, login.database, login.plugin) == ("app", "d", c.CACHING_SHA2)
    if login.capabilities & c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA:
        assert login.pack() == raw


def test_the_attributes_of_a_login_are_read():
    assert captures.read("mysql-client").login.attributes["program_name"] == "mysql"


@pytest.mark.parametrize("name", captures.NAMES)
def test_a_login_that_is_cut_off_is_never_more_than_an_error(name):
    raw = captures.pieces(name)[1][1][4:]
    for end in range(len(raw)):
        try:
            packets.login(raw[:end])
        except BadHandshake:
            continue


def test_a_login_of_the_old_protocol_is_refused():
    with pytest.raises(BadHandshake):
        packets.login(bytes(40))


def test_every_answer_of_mysqld_is_understood():
    conversation = captures.read("pymysql-fast-login")
    answers = [captures.payloads(e.answer, 1) for e in conversation.exchanges]
    first = [a[0] for a in answers]
    inserted = next(packets.ok(p, False) for p in first if p[0] == 0 and p[1] == 1)
    assert (inserted.affected, inserted.last_insert_id) == (1, 2)
    updated = next(packets.ok(p, False) for p in first if b"Rows matched" in p)
    assert updated.info == b"Rows matched: 2  Changed: 1  Warnings: 0"
    (refused,) = [packets.error(p) for p in first if p[0] == c.ERR]
    assert (refused.number, refused.state) == (1054, "42S22")
    assert refused.text == "Unknown column 'nothing' in 'field list'"


def test_columns_and_rows_of_mysqld_are_packed_as_they_were_read():
    conversation = captures.read("pymysql-fast-login")
    answer = next(a.answer for a in conversation.exchanges if b"SELECT * FROM t" in a.command)
    count, *rest = captures.payloads(answer, 1)
    columns, rows = rest[: count[0]], rest[count[0] + 1 : -1]
    assert [packets.column(p).name for p in columns] == ["id", "name", "price", "born", "doc"]
    assert [packets.column(p).pack() for p in columns] == columns
    values = [packets.read_text_row(p) for p in rows]
    assert values[0] == [b"1", b"b", b"1.50", b"2026-01-02 00:00:00.000", b"[1]"]
    assert [packets.text_row(v) for v in values] == rows


def test_null_and_empty_text_differ():
    assert packets.read_text_row(packets.text_row([None, b""])) == [None, b""]


def test_what_a_session_changed_is_read_from_ok():
    ok = packets.ok(bytes.fromhex("000000 0240 0000 00") + _block(), True)
    assert ok.changes.variables == {"time_zone": b"+02:00"}
    assert ok.changes.schema == "d"
    plain = packets.ok(ok.pack(), True)
    assert plain.changes == packets.NO_CHANGES
    assert not plain.status & c.STATUS_SESSION_STATE_CHANGED


def _block() -> bytes:
    variable = b"\x09time_zone\x06+02:00"
    entries = b"\x00" + bytes((len(variable),)) + variable + b"\x01\x02\x01d"
    return bytes((len(entries),)) + entries


@pytest.mark.parametrize(
    "payload",
    [b"\x00", b"\x00\x01", b"\x00\x00\x00\x02", b"\x00\x00\x00\x02\x00\x00\x00\x05ab", b"\x00\xfe"],
)
def test_a_broken_ok_is_an_error(payload):
    with pytest.raises(MalformedPacket):
        packets.ok(payload, True)


def test_an_error_of_the_gate_says_so():
    read = packets.error(packets.error_packet(NotSupported("no such thing: do another")))
    assert (read.number, read.state) == (1235, "42000")
    assert read.text == "[gate] no such thing: do another"


def test_an_error_of_a_backend_goes_on_unchanged():
    payload = packets.error_payload(1062, "23000", "Duplicate entry '1' for key 't.PRIMARY'")
    assert packets.error_packet(packets.error(payload)) == payload


@pytest.mark.parametrize("data", [b"", b"\x09", b"\x0a5.7", b"\x0a9\0\x01", b"\xff\x10\x04#08004x"])
def test_a_broken_greeting_is_an_error(data):
    with pytest.raises(GateError):
        packets.greeting(data)


@pytest.mark.parametrize(
    "ok",
    [
        packets.Ok(),
        packets.Ok(3, 7, c.STATUS_IN_TRANS, 2),
        packets.Ok(251, 7, c.STATUS_IN_TRANS, 2),
        packets.Ok(3, 1 << 40, c.STATUS_AUTOCOMMIT, 9, b"Rows matched: 3"),
        packets.Ok(1, 0, c.STATUS_AUTOCOMMIT, 0, b"x"),
    ],
)
@pytest.mark.parametrize("first", [c.OK, c.EOF])
def test_an_ok_packet_is_told_without_the_state_of_the_session(ok, first):
    flags = ok.status | c.STATUS_SESSION_STATE_CHANGED
    sent = b"".join(
        (
            bytes((first,)) + lenenc(ok.affected) + lenenc(ok.last_insert_id),
            flags.to_bytes(2, "little") + ok.warnings.to_bytes(2, "little"),
            lenenc_bytes(ok.info) + b"\x05\x03\x03\x00\x01x",
        )
    )
    assert packets.without_session_state(sent) == ok.pack(first)
    assert packets.status_and_warnings(sent) == (flags, ok.warnings)


def test_an_ok_packet_that_is_too_short_is_malformed():
    with pytest.raises(MalformedPacket):
        packets.status_and_warnings(b"\0\0\0\2")
