"""Rows of a group become one row; the judge is what MySQL says for all rows at once."""

import random
import struct
from decimal import Decimal
from typing import Any

import pytest

from mitosis_gate.errors import MysqlError, ResultTooLarge
from mitosis_gate.executor.merging.groups import Groups, Resorted
from mitosis_gate.executor.merging.keys import Keys
from mitosis_gate.executor.merging.rows import BinaryRows, TextRows
from mitosis_gate.executor.merging.values import double_text, mean
from mitosis_gate.planner.plan import Compare, Fold, Out, Recipe, SortKey
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.packets import Column, read_text_row, text_row

INT = Column("n", c.TYPE_LONGLONG, 63)
COUNT = Column("c", c.TYPE_LONGLONG, 63, flags=c.FLAG_NOT_NULL)
BITS = Column("b", c.TYPE_LONGLONG, 63, flags=c.FLAG_UNSIGNED)
DOUBLE = Column("d", c.TYPE_DOUBLE, 63, decimals=31)
TEXT = Column("t")
BINARY = Column("w", c.TYPE_VAR_STRING, 63)
BY_FIRST = (SortKey(0, Compare.NUMBER),)


def decimal(scale: int) -> Column:
    return Column("x", c.TYPE_NEWDECIMAL, 63, decimals=scale)


def folded(
    recipe: Recipe, columns: list[Column], rows: list[list[Any]], block: int = 1000
) -> list[list[Any]]:
    """What comes out of sorted rows that come in blocks; values are texts or None."""
    resorted = None
    if recipe.resort:
        wanted = None if recipe.limit is None else recipe.limit + recipe.offset
        resorted = Resorted(recipe.resort, columns, False, wanted, 1 << 20)
    groups = Groups(recipe, columns, TextRows(), False, resorted)
    keys = Keys(recipe.order, columns, TextRows(), False)
    packed = [text_row([None if v is None else str(v).encode() for v in row]) for row in rows]
    out: list[bytes] = []
    for start in range(0, len(packed), block):
        part = packed[start : start + block]
        out += groups.add(keys.of(part), part)
    out += groups.end()
    return [[None if v is None else v.decode() for v in read_text_row(row)] for row in out]


def total(out: Out, column: Column, values: list[Any], *more: Column) -> Any:
    """One column of all rows, with what it needs behind it; a row is a value or a tuple."""
    columns = [column, *more]
    rows = [list(v) if isinstance(v, tuple) else [v] for v in values]
    recipe = Recipe(groups=0, columns=(out,))
    ((value,),) = folded(recipe, columns, rows)
    return value


@pytest.mark.parametrize(
    ("out", "column", "values", "expected"),
    [
        (Out(0, Fold.COUNT), COUNT, ["3", "0", "9"], "12"),
        (Out(0, Fold.SUM), decimal(2), ["1.50", None, "-0.25"], "1.25"),
        (Out(0, Fold.SUM), decimal(2), [None, None], None),
        (Out(0, Fold.SUM), decimal(2), ["0.10", "-0.10"], "0.00"),
        (Out(0, Fold.SUM), decimal(0), ["9" * 40, "1"], "1" + "0" * 40),
        (Out(0, Fold.SUM), DOUBLE, ["0.1", "0.2"], "0.30000000000000004"),
        (Out(0, Fold.MIN, (0,)), INT, ["5", None, "-7", "2"], "-7"),
        (Out(0, Fold.MAX, (0,)), INT, ["5", None, "-7", "2"], "5"),
        (Out(0, Fold.MAX, (0,)), INT, [None, None], None),
        (Out(0, Fold.BIT_OR), BITS, ["1", "6"], "7"),
        (Out(0, Fold.BIT_AND), BITS, [str((1 << 64) - 1), "6"], "6"),
        (Out(0, Fold.BIT_XOR), BITS, ["3", "6"], "5"),
    ],
)
def test_totals(out: Out, column: Column, values: list[Any], expected: Any) -> None:
    assert total(out, column, values) == expected


def test_text_is_compared_by_its_weight() -> None:
    out = Out(0, Fold.MIN, (1,), Compare.BYTES)
    assert total(out, TEXT, [("b", "2"), ("B", "2"), ("a", "1"), ("c", "3")], BINARY) == "a"


def test_a_mean_is_the_sum_through_the_count() -> None:
    out = Out(0, Fold.AVG, (1, 2))
    rows = [("1.5000", "3", "2"), ("9.0000", "9", "1"), (None, None, "0")]
    assert total(out, decimal(4), rows, decimal(0), COUNT) == "4.0000"
    assert total(out, decimal(4), [(None, None, "0")] * 2, decimal(0), COUNT) is None


@pytest.mark.parametrize(
    ("total_", "count", "scale", "shown", "expected"),
    [
        ("2", 3, 0, 4, "0.6667"),
        ("-2", 3, 0, 4, "-0.6667"),
        ("2.00000", 3, 5, 9, "0.666666666"),  # the division ends there, and nothing is rounded
        ("2.00", 3, 2, 6, "0.666667"),
        ("2.00000000000000", 3, 14, 18, "0.666666666666666666"),
    ],
)
def test_means_are_rounded_as_mysql_rounds(
    total_: str, count: int, scale: int, shown: int, expected: str
) -> None:
    assert format(mean(Decimal(total_), count, scale, shown), "f") == expected


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1e14, "100000000000000"),
        (1e15, "1e15"),
        (1234567890123456.8, "1234567890123456.8"),
        (1e-15, "0.000000000000001"),
        (1e-16, "1e-16"),
        (-1.5e300, "-1.5e300"),
        (0.1, "0.1"),
        (-0.0, "-0"),
        (3.0, "3"),
    ],
)
def test_doubles_look_as_mysql_writes_them(number: float, text: str) -> None:
    assert double_text(31, number) == text.encode()


@pytest.mark.parametrize("block", [1, 2, 3, 1000])
def test_groups_are_folded_wherever_blocks_end(block: int) -> None:
    dice = random.Random(block)
    rows = sorted([dice.randrange(6), dice.randrange(100)] for _ in range(80))
    recipe = Recipe(order=BY_FIRST, groups=1, columns=(Out(0), Out(1, Fold.SUM)))
    expected: dict[int, int] = {}
    for group, value in rows:
        expected[group] = expected.get(group, 0) + value
    out = folded(recipe, [INT, decimal(0)], rows, block)
    assert out == [[str(g), str(s)] for g, s in sorted(expected.items())]


@pytest.mark.parametrize("block", [1, 2, 7, 1000])
def test_distinct_values_count_once_whatever_the_shards(block: int) -> None:
    dice = random.Random(block)
    rows = sorted([dice.randrange(4), dice.randrange(5), 1] for _ in range(60))
    order = (SortKey(0, Compare.NUMBER), SortKey(1, Compare.NUMBER))
    outs = (Out(0), Out(2, Fold.COUNT), Out(2, Fold.COUNT_DISTINCT, (1,)))
    recipe = Recipe(order=order, groups=1, values=1, columns=outs)
    groups = sorted({row[0] for row in rows})
    expected = [
        [
            str(g),
            str(sum(row[0] == g for row in rows)),
            str(len({row[1] for row in rows if row[0] == g})),
        ]
        for g in groups
    ]
    assert folded(recipe, [INT, INT, COUNT], rows, block) == expected


def test_null_is_no_distinct_value() -> None:
    recipe = Recipe(
        order=BY_FIRST,
        groups=0,
        values=1,
        columns=(Out(1, Fold.COUNT_DISTINCT, (0,)), Out(2, Fold.SUM_DISTINCT, (0,))),
    )
    rows = [[None, 0, None], [1, 1, 1], [1, 1, 1], [4, 1, 4]]
    assert folded(recipe, [INT, COUNT, decimal(0)], rows) == [["2", "5"]]


def test_nothing_is_one_row_without_groups_and_none_with_them() -> None:
    outs = (
        Out(1, Fold.COUNT_DISTINCT, (0,)),
        Out(2, Fold.SUM),
        Out(3, Fold.BIT_AND),
        Out(0, Fold.MIN, (0,)),
    )
    columns = [INT, COUNT, decimal(0), BITS]
    recipe = Recipe(order=BY_FIRST, groups=0, values=1, columns=outs)
    assert folded(recipe, columns, []) == [["0", None, str((1 << 64) - 1), None]]
    assert folded(Recipe(order=BY_FIRST, groups=1, columns=(Out(0),)), [INT], []) == []


@pytest.mark.parametrize("block", [1, 3, 100])
def test_distinct_rows_keep_the_first_of_equals_and_lose_their_keys(block: int) -> None:
    recipe = Recipe(hidden=1, order=BY_FIRST, groups=1)
    rows = [[1, "a"], [1, "A"], [2, "b"], [3, "c"], [3, "C"], [3, "c"]]
    assert folded(recipe, [INT, TEXT], rows, block) == [["a"], ["b"], ["c"]]


def test_a_lonely_row_goes_out_as_its_shard_sent_it() -> None:
    outs = (Out(2), Out(3, Fold.AVG, (0, 1)))
    order = (SortKey(2, Compare.NUMBER),)
    recipe = Recipe(hidden=2, order=order, groups=1, columns=outs)
    columns = [decimal(0), COUNT, INT, decimal(4)]
    rows = [["4", "3", 1, "as it came"], ["1", "1", 2, "1.0000"], ["2", "1", 2, "2.0000"]]
    assert folded(recipe, columns, rows) == [["1", "as it came"], ["2", "1.5000"]]


def test_folded_rows_can_be_sorted_by_what_was_folded() -> None:
    recipe = Recipe(
        order=BY_FIRST,
        groups=1,
        columns=(Out(0), Out(1, Fold.COUNT)),
        resort=(SortKey(1, Compare.NUMBER, True), SortKey(0, Compare.NUMBER)),
        limit=3,
    )
    rows = [[n // 2, (n // 2) % 50 + 1] for n in range(10_000)]
    assert folded(recipe, [INT, COUNT], rows, 500)[:3] == [
        ["49", "100"],
        ["99", "100"],
        ["149", "100"],
    ]


def test_sorting_without_a_limit_is_bounded() -> None:
    recipe = Recipe(
        order=BY_FIRST, groups=1, columns=(Out(0), Out(1)), resort=(SortKey(0, Compare.NUMBER),)
    )
    rows = [[n, "x" * 1000] for n in range(2000)]
    with pytest.raises(ResultTooLarge, match="--max-sort-bytes"):
        folded(recipe, [INT, TEXT], rows)


def test_a_sum_past_all_digits_is_an_error() -> None:
    nines = "9" * 65
    with pytest.raises(MysqlError, match="out of range"):
        total(Out(0, Fold.SUM), decimal(0), [nines, nines])


def test_bits_of_strings_need_one_length() -> None:
    assert total(Out(0, Fold.BIT_OR), BINARY, ["a", "b"]) == "c"
    with pytest.raises(MysqlError, match="equal length"):
        total(Out(0, Fold.BIT_OR), BINARY, ["a", "bb"])


def test_binary_rows_are_folded_like_text() -> None:
    columns = [INT, COUNT, decimal(2), DOUBLE]
    rows = BinaryRows(columns)
    places = [0, 1, 2, 3]

    def row(group: int, count: int, amount: bytes | None, number: float) -> bytes:
        packed = [struct.pack("<q", group), struct.pack("<q", count), amount]
        return rows.pack([*packed, struct.pack("<d", number)], places)

    given = [row(1, 2, b"1.50", 0.5), row(1, 3, b"2.00", 1.0), row(2, 1, None, 2.0)]
    given.append(row(2, 1, None, 3.0))
    outs = (Out(0), Out(1, Fold.COUNT), Out(2, Fold.SUM), Out(3, Fold.MAX, (3,)))
    recipe = Recipe(order=BY_FIRST, groups=1, columns=outs)
    groups = Groups(recipe, columns, rows, True)
    keys = Keys(recipe.order, columns, rows, True)
    out = groups.add(keys.of(given), given) + groups.end()
    assert out == [row(1, 5, b"3.50", 1.0), row(2, 2, None, 3.0)]
