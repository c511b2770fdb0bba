"""COM_STMT_EXECUTE and COM_QUERY with attributes, as real clients send them."""

from random import Random

import captures
import pytest

from mitosis_gate.errors import GateError, WrongArguments
from mitosis_gate.planner.lexer import shape_of, unquoted
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets, statements


def executions():
    conversation = captures.read("connector-prepared")
    names = bool(conversation.login.capabilities & c.CLIENT_QUERY_ATTRIBUTES)
    sent = [e.command[4:] for e in conversation.exchanges if e.kind == c.COM_STMT_EXECUTE]
    return names, sent


def test_values_of_a_real_client_are_read():
    names, (first, second, third) = executions()
    sent = statements.execution(first, 4, names, None)
    assert statements.values(sent, (0, 1, 2, 3), names, {}) == [
        7,
        b"seven",
        7.25,
        b"2026-03-04 05:06:07.089000",
    ]
    sent = statements.execution(second, 4, names, None)
    assert statements.values(sent, (0, 1, 2, 3), names, {}) == [-8, None, 0.5, None]
    sent = statements.execution(third, 1, names, None)
    assert statements.values(sent, (0,), names, {}) == [7]


def test_only_wanted_values_come_back():
    names, (first, *_) = executions()
    sent = statements.execution(first, 4, names, None)
    assert statements.values(sent, (2,), names, {}) == [7.25]
    assert statements.values(sent, (), names, {}) == []


def test_a_packet_is_packed_again_for_another_number():
    names, sent = executions()
    for payload, parameters in zip(sent, (4, 4, 1), strict=True):
        read = statements.execution(payload, parameters, names, None)
        expected = payload[:1] + b"\x09\0\0\0" + bytes((payload[5] & ~7,)) + payload[6:]
        assert read.pack(9, with_types=True) == expected


def test_types_that_the_client_sent_before_are_put_back():
    names, (first, *_) = executions()
    whole = statements.execution(first, 4, names, None)
    short = statements.execution(whole.pack(1, with_types=False), 4, names, whole.types)
    assert short.pack(1, with_types=True) == whole.pack(1, with_types=True)


def test_types_that_were_never_sent_are_an_error():
    names, (first, *_) = executions()
    short = statements.execution(first, 4, names, None).pack(1, with_types=False)
    with pytest.raises(WrongArguments):
        statements.execution(short, 4, names, None)


def test_a_packet_that_is_cut_off_is_never_more_than_an_error():
    names, (first, *_) = executions()
    for end in range(len(first)):
        try:
            sent = statements.execution(first[:end], 4, names, None)
            statements.values(sent, (0, 1, 2, 3), names, {})
        except GateError:
            continue
        pytest.fail(f"{end} of {len(first)} bytes were taken for all")


def test_a_statement_without_parameters_has_none():
    sent = statements.execution(b"\x17\x01\0\0\0\x01\x01\0\0\0", 0, False, None)
    assert sent.pack(5, True) == b"\x17\x05\0\0\0\x00\x01\0\0\0"


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        (c.TYPE_TINY, b"\xff", -1),
        (c.TYPE_TINY | 0x8000, b"\xff", 255),
        (c.TYPE_SHORT, b"\xfe\xff", -2),
        (c.TYPE_LONG | 0x8000, b"\xff\xff\xff\xff", 4294967295),
        (c.TYPE_LONGLONG, b"\xff" * 8, -1),
        (c.TYPE_LONGLONG | 0x8000, b"\xff" * 8, 2**64 - 1),
        (c.TYPE_DOUBLE, b"\0\0\0\0\0\0\xf8\x3f", 1.5),
        (c.TYPE_NEWDECIMAL, b"\x041.50", b"1.50"),
        (c.TYPE_VAR_STRING, b"\xfc\x2c\x01" + b"x" * 300, b"x" * 300),
        (c.TYPE_DATE, b"\x04\xea\x07\x01\x02", b"2026-01-02"),
        (c.TYPE_DATETIME, b"\x07\xea\x07\x01\x02\x03\x04\x05", b"2026-01-02 03:04:05"),
        (c.TYPE_DATETIME, b"\x00", b"0000-00-00"),
        (c.TYPE_TIME, b"\x08\x01\x01\0\0\0\x02\x03\x04", b"-26:03:04"),
        (c.TYPE_TIME, b"\x00", b"00:00:00"),
        (c.TYPE_NULL, b"", None),
    ],
)
def test_each_type_is_read_as_mysql_writes_it(kind, data, value):
    types = kind.to_bytes(2, "little")
    payload = b"\x17\x01\0\0\0\0\x01\0\0\0" + b"\0" + b"\x01" + types + data
    sent = statements.execution(payload, 1, False, None)
    assert statements.values(sent, (0,), False, {}) == [value]


def test_long_data_counts_as_the_value():
    payload = b"\x17\x01\0\0\0\0\x01\0\0\0" + b"\0" + b"\x01\xfe\0\x08\0" + b"\x07\0\0\0\0\0\0\0"
    sent = statements.execution(payload, 2, False, None)
    assert statements.values(sent, (0, 1), False, {0: b"long"}) == [b"long", 7]


def test_the_text_is_found_behind_query_attributes():
    conversation = captures.read("mysql-client")
    texts = [
        statements.query_text(e.command[4:])
        for e in conversation.exchanges
        if e.kind == c.COM_QUERY
    ]
    assert b"SELECT id, name FROM t" in texts
    assert b"SHOW WARNINGS" in texts


WITH_ATTRIBUTES = (
    b"\x03\x02\x01"  # COM_QUERY, two attributes, one set
    b"\x02\x01"  # the second is NULL, types follow
    b"\xfe\x00\x06colour\x08\x80\x05other"
    b"\x04blue"
)


def test_the_text_is_found_behind_attributes_with_values():
    assert statements.query_text(WITH_ATTRIBUTES + b"SELECT 1") == b"SELECT 1"


def test_query_attributes_that_are_cut_off_are_an_error():
    for end in range(1, len(WITH_ATTRIBUTES)):
        with pytest.raises(GateError):
            statements.query_text(WITH_ATTRIBUTES[:end])


@pytest.mark.parametrize(
    ("value", "kind", "written"),
    [
        (None, c.TYPE_LONGLONG, b"NULL"),
        (-7, c.TYPE_LONG, b"-7"),
        (1 << 63, c.TYPE_LONGLONG, b"9223372036854775808"),
        (0.5, c.TYPE_DOUBLE, b"0.5e0"),
        (1e300, c.TYPE_DOUBLE, b"1e+300"),
        (b"12", c.TYPE_NEWDECIMAL, b"12."),
        (b"-12.50", c.TYPE_NEWDECIMAL, b"-12.50"),
        (b"1 OR 1", c.TYPE_NEWDECIMAL, b"'1 OR 1'"),
        (b"2026-03-04", c.TYPE_DATE, b"DATE'2026-03-04'"),
        (b"2026-03-04 05:06:07.089000", c.TYPE_DATETIME, b"TIMESTAMP'2026-03-04 05:06:07.089000'"),
        (b"0000-00-00", c.TYPE_DATE, b"'0000-00-00'"),
        (b"-34:22:11", c.TYPE_TIME, b"TIME'-34:22:11'"),
        (b"it's \\ \0", c.TYPE_VAR_STRING, b"'it\\'s \\\\ \\0'"),
        ("é".encode(), c.TYPE_STRING, "'é'".encode()),
        (b"\xff'", c.TYPE_STRING, b"_binary'\xff\\''"),
        (b"abc", c.TYPE_BLOB, b"_binary'abc'"),
    ],
)
def test_a_bound_value_is_written_as_sql_of_its_type(value, kind, written):
    assert statements.literal_of(value, kind) == written


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_number_that_sql_cannot_write_is_refused(value):
    with pytest.raises(WrongArguments):
        statements.literal_of(value, c.TYPE_DOUBLE)


def test_no_bytes_can_end_a_literal_early():
    """Whatever the value is, the lexer that cuts statements sees one literal."""
    random = Random(11)
    alphabet = b"'\"\\\0ax;-#/*`?\xc3\xa9\xff"
    for _ in range(3000):
        value = bytes(random.choice(alphabet) for _ in range(random.randrange(12)))
        for kind in (c.TYPE_STRING, c.TYPE_BLOB, c.TYPE_NEWDECIMAL):
            written = statements.literal_of(value, kind)
            shape = shape_of(b"SELECT " + written + b" FROM t")
            (literal,) = shape.literals
            assert written.removeprefix(b"_binary") == literal
            assert unquoted(literal) == value or literal.rstrip(b".") == value


def test_a_row_of_the_gates_own_is_written_in_binary():
    columns = [
        packets.Column("n", c.TYPE_LONGLONG),
        packets.Column("none", c.TYPE_VAR_STRING),
        packets.Column("text", c.TYPE_VAR_STRING),
        packets.Column("small", c.TYPE_SHORT),
        packets.Column("real", c.TYPE_DOUBLE),
    ]
    row = packets.text_row([b"-2", None, b"abc", b"513", b"0.5"])
    packed = statements.binary_row(columns, row)
    assert packed == (
        b"\0" + bytes((1 << 3,)) + b"\xfe" + b"\xff" * 7 + b"\x03abc" + b"\x01\x02"
        b"\0\0\0\0\0\0\xe0\x3f"
    )
