"""Texts that the session makes, and answers of which it makes one of several."""

from random import Random

import pytest

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.planner.lexer import shape_of, tokens_of
from mitosis_gate.planner.pinning import Pinning, pinning_of
from mitosis_gate.session.batches import AnswerPart
from mitosis_gate.session.last import Left, Message, spliced
from mitosis_gate.session.prepared import pieces_of, written
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import Splitter, frame


@pytest.mark.parametrize(
    ("sql", "literals", "text"),
    [
        (b"SELECT ?", [b"5"], b"SELECT 5"),
        (b"SELECT a FROM t LIMIT?", [b"5"], b"SELECT a FROM t LIMIT 5"),
        (b"SELECT 1-?", [b"-5"], b"SELECT 1- -5"),
        (b"SELECT ?AND ?", [b"1", b"2"], b"SELECT 1 AND 2"),
        (b"SELECT '?', `?`, ? -- ?", [b"'x'"], b"SELECT '?', `?`, 'x' -- ?"),
        (b"INSERT INTO t VALUES (?,?)", [b"'a'", b"NULL"], b"INSERT INTO t VALUES ('a',NULL)"),
    ],
)
def test_parameters_are_written_where_they_stand(
    sql: bytes, literals: list[bytes], text: bytes
) -> None:
    assert written(pieces_of(sql), literals) == text


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        (b"SELECT ROW_COUNT() AS n", b"SELECT  3  AS n"),
        (b"SELECT row_count ( ), Found_Rows()", b"SELECT  3 ,  9 "),
        (b"SELECT @@warning_count + @@session.error_count", b"SELECT  2  +  1 "),
        (b"SELECT 'ROW_COUNT()', `row_count` FROM t", b"SELECT 'ROW_COUNT()', `row_count` FROM t"),
    ],
)
def test_what_is_asked_is_written_into_the_statement(sql: bytes, text: bytes) -> None:
    left = Left(3, 9, (Message(b"Warning", 1, "w"), Message(b"Error", 2, "e")))
    assert spliced(sql, tokens_of(shape_of(sql)), left.values()) == text


@pytest.mark.parametrize(
    ("sql", "pinning"),
    [
        (b"CREATE TEMPORARY TABLE t (a INT)", Pinning(("temporary table",))),
        (b"LOCK TABLES t READ", Pinning(("locked tables",))),
        (b"UNLOCK TABLES", Pinning(ends="locked tables")),
        (b"CALL p(@a)", Pinning(("procedure",), sets_any=True)),
        (b"SELECT GET_LOCK('a', 1)", Pinning(("user lock",), locks=(b"'a'",))),
        (b"SELECT GET_LOCK(@a, 1)", Pinning(("user lock",), has_unknown_lock=True)),
        (b"DO RELEASE_LOCK('a')", Pinning(ends="user lock")),
        (b"SELECT RELEASE_ALL_LOCKS()", Pinning(ends="user lock", releases_all=True)),
        (b"SELECT IS_FREE_LOCK('a')", Pinning()),
        (b"SELECT LAST_INSERT_ID(7)", Pinning(sets_last_id=True)),
        (
            b"SELECT @A := 1, @`b c` := 2, @d FROM t",
            Pinning(("user variable",), variables=("a", "b c")),
        ),
        (
            b"SELECT a, b INTO @a, @B FROM t WHERE c = @c",
            Pinning(("user variable",), variables=("a", "b")),
        ),
    ],
)
def test_what_a_statement_leaves_has_a_name(sql: bytes, pinning: Pinning) -> None:
    assert pinning_of(sql) == pinning


class Sink:
    """What a session gets of one of several answers."""

    def __init__(self) -> None:
        self.data = b""
        self.sequence = -1

    def answer_part(self, data: bytes) -> None:
        self.data += data

    def answer_of_part(self, connection: object, data: bytes, sequence: int) -> None:
        self.data += data
        self.sequence = sequence


@pytest.mark.parametrize("ends_with_ok", [True, False])
@pytest.mark.parametrize("more_follows", [True, False])
def test_packets_of_several_answers_are_counted_through(
    ends_with_ok: bool, more_follows: bool
) -> None:
    rows = [packets.text_row([b"x" * n]) for n in range(400)]
    column = packets.Column("a").pack()
    payloads = packets.result_set([column], rows, c.STATUS_AUTOCOMMIT, 3, ends_with_ok)
    data = b"".join(frame(payload, number) for number, payload in enumerate(payloads, 1))
    random = Random(5)
    for _ in range(20):
        sink = Sink()
        part = AnswerPart(sink, 250, more_follows)  # type: ignore[arg-type]
        last_at = len(data) - len(payloads[-1]) - 4
        # as the scanner lets them through: no header in pieces, the last packet as a whole
        starts = [0]
        for payload in payloads[:-1]:
            starts.append(starts[-1] + 4 + len(payload))
        cuts = sorted(random.sample(starts[1:], 5))
        for start, end in zip([0, *cuts], [*cuts, last_at], strict=True):
            part.answer_part(data[start:end])
        part.answer_end(BackendConnection.__new__(BackendConnection), data[last_at:])
        assert sink.sequence == 250 + len(payloads)
        splitter = Splitter(1 << 20)
        splitter.sequence = 250
        splitter.feed(sink.data)
        found = []
        while (payload := splitter.next()) is not None:
            found.append(payload)
        assert found[:-1] == payloads[:-1]
        end = packets.ok(found[-1], False) if ends_with_ok else packets.read_eof(found[-1])
        assert bool(end.status & c.STATUS_MORE_RESULTS) == more_follows
        assert end.warnings == 3
