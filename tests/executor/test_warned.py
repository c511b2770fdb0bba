"""What several servers warn of is told as often as one server would tell it."""

import pytest

from mitosis_gate.executor.warned import Told, Warned


def truncated(value: str, count: int = 1) -> list[Told]:
    return [(b"Warning", 1292, f"Truncated incorrect DOUBLE value: '{value}'")] * count


def told_by(sql: str, *servers: list[Told]) -> list[int]:
    """How many warnings of each server are new."""
    warned = Warned(sql.encode())
    return [len(warned.new(told)) for told in servers]


@pytest.mark.parametrize(
    "where",
    [
        "name + 0 = 'red'",
        "'red' <=> name + 0",
        'age>"red"',
        "age IN ('red', 'x')",
        "age = 5 AND (age <> 'red')",
    ],
)
def test_a_text_that_is_compared_is_converted_once(where: str) -> None:
    sql = f"UPDATE IGNORE users SET age = 1 WHERE {where}"
    shard = truncated("red") + truncated("a row", 3)
    assert told_by(sql, shard, shard, truncated("red"), []) == [4, 3, 0, 0]


@pytest.mark.parametrize(
    "where", ["age BETWEEN 'red' AND 'x'", "age = 1 + 'red'", "name LIKE 'red'", "name > 'red2'"]
)
def test_a_text_that_is_converted_for_each_row_is_told_for_each(where: str) -> None:
    sql = f"UPDATE IGNORE users SET age = 1 WHERE {where}"
    assert told_by(sql, truncated("red", 2), truncated("red", 3)) == [2, 3]


def test_a_row_with_the_same_text_is_told_besides() -> None:
    sql = "UPDATE IGNORE users SET age = 1 WHERE name + 0 = 'red'"
    assert told_by(sql, truncated("red", 2), truncated("red"), truncated("red", 3)) == [2, 0, 2]


def test_a_text_that_is_compared_twice_is_told_twice() -> None:
    sql = "UPDATE IGNORE users SET age = 1 WHERE name + 0 = 'red' OR age = 'red'"
    assert told_by(sql, truncated("red"), truncated("red", 2), truncated("red", 2)) == [1, 1, 0]


def test_a_quote_inside_the_text_is_read_as_mysql_reads_it() -> None:
    assert told_by("DELETE FROM t WHERE a = 'it''s'", *[truncated("it's")] * 2) == [1, 0]


def test_words_of_the_statement_are_told_once() -> None:
    deprecated: list[Told] = [(b"Warning", 1287, "'VALUES function' is deprecated")]
    assert told_by("INSERT ...", deprecated, deprecated) == [1, 0]


def test_rows_are_told_by_each_server() -> None:
    row: list[Told] = [(b"Warning", 1265, "Data truncated for column 'age' at row 1")]
    assert told_by("UPDATE t SET age = '7x' WHERE a = '7x'", row, row) == [1, 1]


def test_a_statement_that_cannot_be_read_compares_nothing() -> None:
    assert told_by("DELETE FROM t WHERE a = 'x", truncated("x"), truncated("x")) == [1, 1]
