"""Rows are cut the same way wherever the chunks of an answer end."""

import random

import pytest

from mitosis_gate.errors import MalformedPacket
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import frame, frames, packets_of
from mitosis_gate.wire.packets import Column, Ok
from mitosis_gate.wire.row_scanner import RowScanner

COLUMNS = [Column("a").pack(), Column("b", c.TYPE_LONGLONG).pack()]
ROWS = [packets.text_row([b"x" * n, b"%d" % n]) for n in (0, 1, 200, 251, 3)] + [
    packets.text_row([None, None])
]


def answer(rows: list[bytes], end: bytes, keeps_eof: bool = False) -> bytes:
    head = packets.result_head(COLUMNS, c.STATUS_AUTOCOMMIT, not keeps_eof)
    return frames([*head, *rows, end], 1)[0]


def ending(keeps_eof: bool, warnings: int = 0) -> bytes:
    return packets.result_end(c.STATUS_AUTOCOMMIT, warnings, not keeps_eof)


def fed(data: bytes, pieces: list[int], keeps_eof: bool = False) -> RowScanner:
    scanner = RowScanner(keeps_eof)
    start = 0
    for end in [*pieces, len(data)]:
        if end > start:
            scanner.feed(data[start:end])
            start = end
    return scanner


@pytest.mark.parametrize("keeps_eof", [False, True])
def test_chunks_may_end_anywhere(keeps_eof: bool) -> None:
    data = answer(ROWS, ending(keeps_eof, 3), keeps_eof)
    dice = random.Random(5)
    cuts = [[n] for n in range(len(data))]
    cuts += [sorted(dice.sample(range(len(data)), 20)) for _ in range(200)]
    cuts.append(list(range(len(data))))
    for cut in cuts:
        scanner = fed(data, cut, keeps_eof)
        assert scanner.done and scanner.is_headed
        assert scanner.columns == COLUMNS
        assert scanner.take() == ROWS
        assert scanner.ok.warnings == 3 and scanner.error is None


def test_an_error_ends_rows() -> None:
    data = answer(ROWS, packets.error_payload(1317, "70100", "interrupted"))
    scanner = fed(data, [100, 101])
    assert scanner.done and scanner.take() == ROWS
    assert scanner.error is not None and scanner.error.number == 1317


def test_an_answer_without_rows_is_headed_by_its_end() -> None:
    scanner = fed(frame(Ok(affected=2).pack(), 1), [3])
    assert scanner.done and scanner.is_headed and scanner.columns == []
    assert scanner.ok.affected == 2


@pytest.mark.parametrize("size", [c.MAX_PAYLOAD - 4, c.MAX_PAYLOAD, 2 * c.MAX_PAYLOAD - 9])
def test_a_row_of_several_packets_is_one_row(size: int) -> None:
    rows = [packets.text_row([b"1"]), packets.text_row([b"x" * size]), packets.text_row([b"2"])]
    data = answer(rows, ending(False))
    assert sum(map(packets_of, rows)) > 3 or size < c.MAX_PAYLOAD - 4
    scanner = fed(data, list(range(1 << 20, len(data), 1 << 20)))
    assert scanner.done and scanner.take() == rows


def test_what_rows_cost_is_counted_until_they_are_taken() -> None:
    scanner = fed(answer(ROWS, ending(False)), [])
    assert scanner.row_bytes > sum(map(len, ROWS))
    scanner.take()
    assert scanner.row_bytes == 0


@pytest.mark.parametrize(
    "data",
    [
        frame(Ok().pack(), 1) + b"more",
        frame(b"\xfbfile", 1),
        frame(b"", 1),
        frame(Ok(status=c.STATUS_MORE_RESULTS).pack(), 1),
    ],
)
def test_what_no_read_answers_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        fed(data, [])
