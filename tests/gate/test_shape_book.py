"""Statements by shape: no value of anybody's data is kept or logged."""

import json

import pytest

from mitosis_gate.backends.account import Account
from mitosis_gate.shape_book import LONGEST_SHAPE, MOST_SHAPES, ShapeBook, shape_text

APP = Account("shop", "app", "secret")


@pytest.mark.parametrize(
    ("sql", "shape"),
    [
        (b"SELECT * FROM users WHERE user_id = 7", "SELECT * FROM users WHERE user_id = ?"),
        (b"SELECT 'it''s', \"x\",\n  0x41, 1.5e3", "SELECT ?, ?, ?, ?"),
        (b"UPDATE t SET a = 'open", "(not understood)"),
        (b"SELECT X'41' FROM t -- the end", "SELECT ? FROM t -- the end"),
    ],
)
def test_literals_are_left_out(sql, shape):
    assert shape_text(sql) == shape


@pytest.mark.parametrize("end", [0, 1, 10, 50_000])
def test_a_long_statement_that_is_cut_shows_no_value(end):
    sql = b"INSERT INTO t VALUES " + b"(1, 'private, \\' data'), " * 50_000
    text = shape_text(sql[: len(sql) - end])
    assert "private" not in text and "data" not in text
    assert text.startswith("INSERT INTO t VALUES (?, ?)") and len(text) < LONGEST_SHAPE + 10


def test_statements_of_one_shape_are_counted_together():
    book = ShapeBook()
    book.note(APP, b"SELECT 1", 64, 0.0, None)
    book.note(APP, b"SELECT 2", 1, 0.5, 3)
    (entry,) = book.describe()
    assert (entry["shape"], entry["count"], entry["seconds"], entry["rows"]) == (
        "SELECT ?",
        65,
        0.5,
        3,
    )
    assert entry["longest"] == 0.5


def test_the_book_is_bounded():
    book = ShapeBook()
    for number in range(MOST_SHAPES + 10):
        book.note(APP, b"SELECT a%d" % number, 1, 0.0, None)
    assert len(book.describe()) == MOST_SHAPES


def test_a_slow_statement_is_one_line_of_json(caplog):
    book = ShapeBook()
    sql = b"SELECT name FROM users WHERE name = 'private'"
    book.note(APP, sql, 1, 2.5, 10)
    book.note_slow(APP, sql, 2.5, 4, 10)
    line = json.loads(caplog.records[0].getMessage())
    assert line["slow"] == "SELECT name FROM users WHERE name = ?"
    assert (line["user"], line["seconds"], line["shards"], line["rows"]) == ("app", 2.5, 4, 10)
    assert "private" not in caplog.text
