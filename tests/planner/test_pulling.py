"""What a pull asks for each column, as SQL; that it is the value itself is shown on servers."""

import pytest

from mitosis_gate.planner.pulling import base_type, charset, expression, quoted
from mitosis_gate.planner.schema import Column


@pytest.mark.parametrize(
    ("column", "sql"),
    [
        (Column("id", "bigint unsigned"), b"`id`"),
        (Column("a`b", "varchar(9)", "utf8mb4_bin"), b"`a``b`"),
        (Column("f", "float"), b"CAST(`f` AS DOUBLE)"),
        (Column("f", "float(7,3) unsigned"), b"CAST(`f` AS DOUBLE)"),
        (Column("d", "double"), b"`d`"),
        (Column("d", "double(9,2)"), b"CAST(`d` AS DOUBLE)"),
        (Column("v", "varchar(9)", "latin1_swedish_ci"), b"CAST(`v` AS BINARY)"),
        (Column("v", "varchar(9)", "utf8mb3_bin"), b"`v`"),
        (Column("b", "varbinary(9)"), b"`b`"),
    ],
)
def test_expressions(column: Column, sql: bytes) -> None:
    assert expression(column) == sql


def test_a_timestamp_is_asked_for_as_what_is_stored() -> None:
    assert b"UNIX_TIMESTAMP(`t`.`ts`)" in expression(Column("ts", "timestamp(6)"), b"t")


def test_parts_of_a_type() -> None:
    assert base_type(Column("d", "decimal(10,2) unsigned")) == "decimal"
    assert base_type(Column("i", "int unsigned")) == "int"
    assert charset(Column("v", "char(1)", "cp932_japanese_ci")) == "cp932"
    assert quoted(b"a`b") == b"`a``b`"
