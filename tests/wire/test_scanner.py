"""The end of an answer is found wherever its bytes are cut, and only there."""

import captures
import pytest

from mitosis_gate.errors import MalformedPacket
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import frame
from mitosis_gate.wire.scanner import Expect, Scanner

WHOLE = (1 << 24) - 1
EXPECTED = {
    c.COM_QUERY: Expect.FIRST,
    c.COM_PING: Expect.FIRST,
    c.COM_INIT_DB: Expect.FIRST,
    c.COM_STMT_PREPARE: Expect.PREPARED,
    c.COM_STMT_EXECUTE: Expect.FIRST,
    c.COM_FIELD_LIST: Expect.FIELDS,
    c.COM_STATISTICS: Expect.TEXT,
}


def answers():
    for name in captures.NAMES:
        conversation = captures.read(name)
        for number, exchange in enumerate(conversation.exchanges):
            if exchange.kind in EXPECTED:
                yield pytest.param(
                    exchange, conversation.keeps_eof, id=f"{name}-{number}-{exchange.kind:#04x}"
                )


def scan(scanner, expect, pieces):
    scanner.begin(expect, False)
    out = []
    for number, piece in enumerate(pieces):
        assert not scanner.done, "it ended too early"
        out.append(scanner.feed(piece))
        assert not scanner.done or number == len(pieces) - 1
    return b"".join(out)


@pytest.mark.parametrize(("exchange", "keeps_eof"), list(answers()))
def test_recorded_answers_end_where_they_end_however_they_are_cut(exchange, keeps_eof):
    answer, expect = exchange.answer, EXPECTED[exchange.kind]
    scanner = Scanner(keeps_eof)
    for cut in range(1, len(answer)):
        assert scan(scanner, expect, [answer[:cut], answer[cut:]]) == answer
        assert scanner.done
    assert scan(scanner, expect, [bytes((b,)) for b in answer]) == answer
    assert scanner.done


@pytest.mark.parametrize(("exchange", "keeps_eof"), list(answers()))
def test_what_comes_after_the_end_is_an_error(exchange, keeps_eof):
    scanner = Scanner(keeps_eof)
    scanner.begin(EXPECTED[exchange.kind], False)
    with pytest.raises(MalformedPacket):
        scanner.feed(exchange.answer + b"\x01\x00\x00\x01\x00")


def result(rows, keeps_eof, status=2, warnings=0):
    columns = [packets.Column("a").pack(), packets.Column("b").pack()]
    payloads = packets.result_set(columns, rows, status, warnings, not keeps_eof)
    return framed(payloads)


def framed(payloads, sequence=1):
    data = b""
    for payload in payloads:
        data += frame(payload, sequence)
        sequence += len(payload) // WHOLE + 1
    return data


@pytest.mark.parametrize("keeps_eof", [True, False])
def test_the_end_tells_status_and_warnings(keeps_eof):
    scanner = Scanner(keeps_eof)
    scanner.begin(Expect.FIRST, False)
    scanner.feed(result([b"\x011\x012"], keeps_eof, status=3, warnings=7))
    assert scanner.done
    assert (scanner.status, scanner.warnings) == (3, 7)
    assert (scanner.ok.status, scanner.ok.warnings) == (3, 7)


@pytest.mark.parametrize("keeps_eof", [True, False])
def test_an_error_in_the_middle_of_rows_ends_the_answer(keeps_eof):
    data = result([b"\x011\x012"], keeps_eof)
    cut = len(data) - (9 if keeps_eof else 11)
    data = data[:cut] + frame(packets.error_payload(1317, "70100", "interrupted"), 6)
    scanner = Scanner(keeps_eof)
    assert scan(scanner, Expect.FIRST, [data]) == data
    assert scanner.done
    assert scanner.error.number == 1317


def test_one_error_is_forgotten_by_the_next_answer():
    scanner = Scanner(False)
    scanner.begin(Expect.FIRST, False)
    scanner.feed(frame(packets.error_payload(1064, "42000", "x"), 1))
    assert scanner.error is not None
    scan(scanner, Expect.FIRST, [result([], False)])
    assert scanner.error is None


@pytest.mark.parametrize("keeps_eof", [True, False])
def test_answers_with_the_same_columns_and_others_follow_each_other(keeps_eof):
    scanner = Scanner(keeps_eof)
    one = result([b"\x011\x012"], keeps_eof)
    two = result([b"\x013\x014"] * 3, keeps_eof)
    other = framed(
        packets.result_set([packets.Column("z").pack()], [b"\x01x"], 2, 0, not keeps_eof)
    )
    for answer in (one, two, other, one, framed([packets.Ok().pack()]), two):
        assert scan(scanner, Expect.FIRST, [answer]) == answer
        assert scanner.done
        for cut in range(1, len(answer)):
            assert scan(scanner, Expect.FIRST, [answer[:cut], answer[cut:]]) == answer
            assert scanner.done


def test_several_results_are_one_answer():
    more = 2 | c.STATUS_MORE_RESULTS
    data = result([b"\x011\x012"], False, status=more) + framed([packets.Ok().pack()], 6)
    scanner = Scanner(False)
    for cut in range(1, len(data)):
        assert scan(scanner, Expect.FIRST, [data[:cut], data[cut:]]) == data
        assert scanner.done


@pytest.mark.parametrize("size", [WHOLE - 1, WHOLE, WHOLE + 1, 2 * WHOLE])
@pytest.mark.parametrize("first", [0x01, 0xFE])
def test_rows_longer_than_a_packet_are_passed_over(size, first):
    row = bytes((first,)) + bytes(size - 1) if size >= WHOLE or first != 0xFE else b"\x01" * size
    data = result([row, b"\x011\x012"], False)
    scanner = Scanner(False)
    step = 1 << 18
    assert (
        scan(scanner, Expect.FIRST, [data[i : i + step] for i in range(0, len(data), step)]) == data
    )
    assert scanner.done


def tracked_ok():
    variable = b"\x09time_zone\x06+02:00"
    entries = b"\x00" + bytes((len(variable),)) + variable
    return bytes.fromhex("00 01 00 0240 0000 02") + b"hi" + bytes((len(entries),)) + entries


def test_the_state_of_the_session_is_cut_out_for_a_client_that_does_not_know_it():
    data = frame(tracked_ok(), 1)
    for cut in range(1, len(data)):
        scanner = Scanner(False)
        scanner.begin(Expect.FIRST, True)
        out = scanner.feed(data[:cut]) + scanner.feed(data[cut:])
        assert scanner.done
        assert out == frame(packets.Ok(1, 0, 2, 0, b"hi").pack(), 1)
        assert scanner.ok.changes.variables == {"time_zone": b"+02:00"}


def test_the_state_of_the_session_is_left_for_a_client_that_knows_it():
    data = frame(tracked_ok(), 1)
    scanner = Scanner(False)
    scanner.begin(Expect.FIRST, False)
    assert scanner.feed(data) == data


def test_a_backend_that_wants_a_file_of_the_client_is_refused():
    scanner = Scanner(False)
    scanner.begin(Expect.FIRST, False)
    with pytest.raises(MalformedPacket):
        scanner.feed(frame(b"\xfb/etc/passwd", 1))


def test_an_empty_packet_where_none_may_be_is_an_error():
    scanner = Scanner(False)
    scanner.begin(Expect.FIRST, False)
    with pytest.raises(MalformedPacket):
        scanner.feed(b"\0\0\0\x01")
