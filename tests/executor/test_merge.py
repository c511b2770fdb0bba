"""Answers of several shards become one only when they mean the same."""

import pytest

from mitosis_gate.errors import ShardsDisagree
from mitosis_gate.executor import merge
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.packets import Column, Ok

NUMBER = Column("n", c.TYPE_LONGLONG, 63, 20, c.FLAG_NOT_NULL)
TEXT = Column("t", c.TYPE_VAR_STRING, 255, 200)


def packed(*columns: Column) -> list[bytes]:
    return [column.pack() for column in columns]


def test_equal_columns_are_those_of_the_first_shard() -> None:
    first = packed(NUMBER, TEXT)
    assert merge.agreed_columns([("a", first), ("b", packed(NUMBER, TEXT))]) is first


def test_another_scale_is_another_meaning_and_of_text_it_is_none() -> None:
    def decimals(kind: int, count: int) -> list[bytes]:
        return packed(Column("n", kind, 63, decimals=count))

    assert merge.agreed_columns(
        [("a", decimals(c.TYPE_VAR_STRING, 31)), ("b", decimals(c.TYPE_VAR_STRING, 0))]
    )
    with pytest.raises(ShardsDisagree):
        merge.agreed_columns(
            [("a", decimals(c.TYPE_NEWDECIMAL, 2)), ("b", decimals(c.TYPE_NEWDECIMAL, 4))]
        )


def test_length_and_nullability_may_differ() -> None:
    other = Column("n", c.TYPE_LONGLONG, 63, 11)
    assert merge.agreed_columns([("a", packed(NUMBER)), ("b", packed(other))])


@pytest.mark.parametrize(
    "other",
    [
        Column("n", c.TYPE_LONG, 63),
        Column("m", c.TYPE_LONGLONG, 63),
        Column("n", c.TYPE_LONGLONG, 255),
        Column("n", c.TYPE_LONGLONG, 63, flags=c.FLAG_UNSIGNED),
        Column("n", c.TYPE_LONGLONG, 254),
    ],
)
def test_columns_of_another_meaning_are_refused_by_name(other: Column) -> None:
    with pytest.raises(ShardsDisagree, match="'n' is not the same on a and b"):
        merge.agreed_columns([("a", packed(NUMBER)), ("b", packed(other))])


@pytest.mark.parametrize(
    ("narrow", "wide"), [(c.TYPE_LONG, c.TYPE_LONGLONG), (c.TYPE_BLOB, c.TYPE_LONG_BLOB)]
)
def test_what_is_computed_may_have_another_width_and_is_told_in_the_widest(
    narrow: int, wide: int
) -> None:
    small, big = (packed(NUMBER, Column("x", kind, 63)) for kind in (narrow, wide))
    for answers in ([small, big], [big, small], [small, big, small]):
        shards = list(zip("abc", answers, strict=False))
        assert merge.agreed_columns(shards, widens=True) == big
        with pytest.raises(ShardsDisagree):
            merge.agreed_columns(shards)


def test_a_column_of_a_table_has_one_width() -> None:
    small, big = (
        packed(Column("x", kind, 63, original_table="t")) for kind in (c.TYPE_LONG, c.TYPE_LONGLONG)
    )
    with pytest.raises(ShardsDisagree):
        merge.agreed_columns([("a", small), ("b", big)], widens=True)


def test_json_may_be_text_or_bytes() -> None:
    text, plain = (
        packed(Column("j", c.TYPE_JSON, charset, original_table="t")) for charset in (255, 63)
    )
    assert merge.agreed_columns([("a", text), ("b", plain)], widens=True) == text
    with pytest.raises(ShardsDisagree):
        merge.agreed_columns([("a", text), ("b", plain)])


def test_another_number_of_columns_is_refused() -> None:
    with pytest.raises(ShardsDisagree, match="a answers with 2 columns and c with 1"):
        merge.agreed_columns(
            [("a", packed(NUMBER, TEXT)), ("b", packed(NUMBER, TEXT)), ("c", packed(NUMBER))]
        )


def test_copies_that_change_alike_give_the_first_answer() -> None:
    first = Ok(3, info=b"Rows matched: 3")
    assert merge.same_effect([("a", first), ("b", Ok(3))]) is first


@pytest.mark.parametrize("other", [Ok(2), Ok(3, last_insert_id=8)])
def test_copies_that_change_differently_are_refused(other: Ok) -> None:
    with pytest.raises(ShardsDisagree, match="on a and"):
        merge.same_effect([("a", Ok(3, last_insert_id=7)), ("b", other)])
