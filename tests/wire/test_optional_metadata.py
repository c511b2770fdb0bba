"""Metadata that may stay away: what a client gets, in whatever pieces it comes."""

import pytest

from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import frame, frames
from mitosis_gate.wire.optional_metadata import OptionalMetadata

A, B = packets.Column("a").pack(), packets.Column("b").pack()
ROW = packets.text_row([b"1", None])
OK = packets.Ok().pack()
MORE = packets.Ok(status=c.STATUS_MORE_RESULTS).pack()
EOF = packets.eof(2)
QUERY = frame(b"\x03SELECT", 0)
PREPARE = frame(b"\x16SELECT", 0)


def prepared(parameters: int, columns: int) -> bytes:
    counts = columns.to_bytes(2, "little") + parameters.to_bytes(2, "little")
    return b"\0\1\0\0\0" + counts + b"\0\0\0"


def answered(
    command: bytes, answer: list[bytes], *, wanted: bool, keeps_eof: bool, size: int = 1 << 20
) -> list[tuple[int, bytes]]:
    """The packets that the client gets of an answer that comes in pieces of `size` bytes."""
    metadata = OptionalMetadata(keeps_eof, lambda: wanted)
    heard = b"".join(metadata.unpack(command[n : n + size]) for n in range(0, len(command), size))
    assert heard == command
    data, _ = frames(answer, 1)
    told = b"".join(metadata.pack(data[n : n + size]) for n in range(0, len(data), size))
    assert metadata.pack(frame(OK, 9)) == frame(OK, 9), "nothing is due any more"
    found = []
    while told:
        end = 4 + int.from_bytes(told[:3], "little")
        found.append((told[3], told[4:end]))
        told = told[end:]
    return found


@pytest.mark.parametrize("size", [1, 3, 7, 1 << 20])
@pytest.mark.parametrize("keeps_eof", [False, True])
def test_results_say_that_definitions_follow(keeps_eof: bool, size: int) -> None:
    end = [EOF, ROW, EOF] if keeps_eof else [ROW, EOF + b"\0\0"]
    found = answered(QUERY, [b"\2", A, B, *end], wanted=True, keeps_eof=keeps_eof, size=size)
    assert found == list(enumerate([b"\2\1", A, B, *end], 1))


@pytest.mark.parametrize("size", [1, 3, 7, 1 << 20])
@pytest.mark.parametrize("keeps_eof", [False, True])
def test_or_leave_them_out(keeps_eof: bool, size: int) -> None:
    end = [EOF, ROW, EOF] if keeps_eof else [ROW, EOF + b"\0\0"]
    found = answered(QUERY, [b"\2", A, B, *end], wanted=False, keeps_eof=keeps_eof, size=size)
    assert found == list(enumerate([b"\2\0", *end], 1))


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ([OK], [OK]),
        ([b"\xff\1\2"], [b"\xff\1\2"]),
        ([b"\1", A, ROW, b"\xff\1\2"], [b"\1\0", ROW, b"\xff\1\2"]),
        (
            [b"\1", A, ROW, b"\xfe" + MORE[1:], MORE, b"\1", B, b"\xfe" + OK[1:]],
            [b"\1\0", ROW, b"\xfe" + MORE[1:], MORE, b"\1\0", b"\xfe" + OK[1:]],
        ),
    ],
)
def test_answers_of_any_kind_end_where_they_end(answer: list[bytes], left: list[bytes]) -> None:
    found = answered(QUERY, answer, wanted=False, keeps_eof=False)
    assert found == list(enumerate(left, 1))


@pytest.mark.parametrize("keeps_eof", [False, True])
@pytest.mark.parametrize(("parameters", "columns"), [(0, 0), (1, 0), (0, 2), (2, 1)])
def test_prepare_says_it_at_its_end(keeps_eof: bool, parameters: int, columns: int) -> None:
    ends = [EOF] if keeps_eof else []
    groups = [[A] * n + ends for n in (parameters, columns) if n]
    answer = [prepared(parameters, columns), *sum(groups, [])]
    found = answered(PREPARE, answer, wanted=True, keeps_eof=keeps_eof)
    assert found == list(enumerate([answer[0] + b"\1", *answer[1:]], 1))
    found = answered(PREPARE, answer, wanted=False, keeps_eof=keeps_eof)
    assert found == list(enumerate([answer[0] + b"\0", *ends * len(groups)], 1))


def test_lists_of_fields_are_empty() -> None:
    command = frame(b"\x04t\0", 0)
    found = answered(command, [A, B, EOF], wanted=False, keeps_eof=True)
    assert found == [(1, EOF)]
    found = answered(command, [A, B, EOF], wanted=True, keeps_eof=True)
    assert found == [(1, A), (2, B), (3, EOF)]


def test_rows_longer_than_a_packet_pass() -> None:
    long = b"\xfe" + (20_000_000).to_bytes(8, "little") + b"\xfe" * 20_000_000
    end = b"\xfe" + OK[1:]
    data, _ = frames([b"\1", A, long, ROW, end], 1)
    metadata = OptionalMetadata(False, lambda: False)
    metadata.unpack(QUERY)
    told = b"".join(metadata.pack(data[n : n + 1_000_000]) for n in range(0, len(data), 1_000_000))
    assert told == frames([b"\1\0", long, ROW, end], 1)[0]


def test_commands_without_an_answer_are_not_waited_for() -> None:
    metadata = OptionalMetadata(False, lambda: True)
    metadata.unpack(frame(b"\x19\1\0\0\0", 0) + frame(b"\x18\1\0\0\0\0\0a", 0) + QUERY)
    assert metadata.pack(frames([b"\1", A, ROW], 1)[0]) == frames([b"\1\1", A, ROW], 1)[0]


def test_a_file_of_the_client_has_the_numbers_that_the_session_expects() -> None:
    metadata = OptionalMetadata(False, lambda: False)
    metadata.unpack(QUERY)
    asked = frames([b"\1", A, b"\xfe" + MORE[1:], b"\xfbfile"], 1)[0]
    assert metadata.pack(asked) == frames([b"\1\0", b"\xfe" + MORE[1:], b"\xfbfile"], 1)[0]
    assert metadata.unpack(frame(b"\x03row", 4)) == frame(b"\x03row", 5)
    assert metadata.unpack(frame(b"", 5)) == frame(b"", 6)
    assert metadata.pack(frame(OK, 7)) == frame(OK, 6)
    metadata.unpack(QUERY)
    assert metadata.pack(frames([b"\1", A], 1)[0]) == frame(b"\1\0", 1)
