"""GTID sets are values: what the server would answer, without a server."""

import pytest

from mitosis_operator.mysql.gtid import BadGtidSet, GtidSet

A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
B = "4f22ab58-82db-22f2-af44-d91bb0530673"

READ = [
    ("", ""),
    (f"{A}:1-5", f"{A}:1-5"),
    (f"{A}:1-3:4-5", f"{A}:1-5"),
    (f"{A}:7:1-3", f"{A}:1-3:7"),
    (f"{A.upper()}:1", f"{A}:1"),
    (f"{B}:1-2,\n{A}:1", f"{A}:1,{B}:1-2"),
    (f"{A}:1-10:hb:1-3", f"{A}:1-10:hb:1-3"),
    (f"{A}:hb:2-3:1:other:7", f"{A}:hb:1-3:other:7"),
    (f"{A}:5-3", ""),
    (f"{A}:1-3,{A}:2-9", f"{A}:1-9"),
]

SUBTRACT = [
    (f"{A}:1-10", "", f"{A}:1-10"),
    (f"{A}:1-10", f"{A}:1-10", ""),
    (f"{A}:1-10", f"{A}:3-4:6", f"{A}:1-2:5:7-10"),
    (f"{A}:1-10", f"{B}:1-10", f"{A}:1-10"),
    (f"{A}:1-10:hb:1-2", f"{A}:1-10", f"{A}:hb:1-2"),
    (f"{A}:5-6", f"{A}:1-5", f"{A}:6"),
    (f"{A}:1-3:8-9", f"{A}:2-8", f"{A}:1:9"),
]


@pytest.mark.parametrize(("text", "written"), READ)
def test_a_set_is_written_in_one_form_only(text: str, written: str) -> None:
    assert str(GtidSet.parse(text)) == written


@pytest.mark.parametrize(("all", "part", "rest"), SUBTRACT)
def test_subtracting_leaves_what_only_the_first_has(all: str, part: str, rest: str) -> None:
    assert GtidSet.parse(all).subtract(GtidSet.parse(part)) == GtidSet.parse(rest)


@pytest.mark.parametrize(("all", "part", "rest"), SUBTRACT)
def test_a_union_contains_both_sides(all: str, part: str, rest: str) -> None:
    both = GtidSet.parse(all).union(GtidSet.parse(part))
    assert both.contains(GtidSet.parse(all)) and both.contains(GtidSet.parse(part))
    assert GtidSet.parse(all).contains(GtidSet.parse(part)) is (
        GtidSet.parse(part).subtract(GtidSet.parse(all)).is_empty
    )


def test_transactions_are_counted_over_all_sources_and_tags() -> None:
    assert GtidSet.parse(f"{A}:1-10:hb:1-3,{B}:7").count == 14


@pytest.mark.parametrize("text", ["nonsense", f"{A}", f"{A}:0", f"{A}:1-x", f"{A}:9tag:1", "1:2"])
def test_what_is_no_set_is_refused(text: str) -> None:
    with pytest.raises(BadGtidSet):
        GtidSet.parse(text)
