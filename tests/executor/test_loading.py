"""Rows as they come from a shard become parameters; nothing is decoded, nothing may shift."""

import random

import pytest

from mitosis_gate.errors import MergeTooLarge, MysqlError, NotSupported
from mitosis_gate.executor import scratch_tables
from mitosis_gate.executor.loading import Meter, no_room, parameters
from mitosis_gate.planner.plan import Pull
from mitosis_gate.planner.schema import Column, Table
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import read_lenenc_bytes

VALUES = (b"", b"a", b"\xfb", b"\xfb" * 251, b"x" * 250, b"x" * 251, b"y" * 70_000, b"\xfc\xfb")


def read_back(nulls: bytes, values: bytes, count: int) -> list[bytes | None]:
    """As a server reads the parameters of an execution."""
    found: list[bytes | None] = []
    at = 0
    for n in range(count):
        if nulls[n >> 3] >> (n & 7) & 1:
            found.append(None)
        else:
            value, at = read_lenenc_bytes(values, at)
            found.append(value)
    assert at == len(values)
    return found


@pytest.mark.parametrize("width", [1, 2, 3, 8, 9])
def test_parameters_are_the_values_of_the_rows(width: int) -> None:
    chance = random.Random(width)
    for share_of_nulls in (0.0, 0.2, 1.0):
        rows = [
            [
                None if chance.random() < share_of_nulls else chance.choice(VALUES)
                for _ in range(width)
            ]
            for _ in range(17)
        ]
        nulls, values = parameters([packets.text_row(row) for row in rows], width)
        expected = [value for row in rows for value in row]
        assert read_back(nulls, values, len(expected)) == expected


def test_the_caps_are_named_with_their_settings() -> None:
    meter = Meter(10, 100)
    meter.add(10, 100)
    assert meter.rows_left == 0
    with pytest.raises(MergeTooLarge, match=r"more than 10 rows.*--merge-max-rows"):
        meter.add(1, 0)
    meter = Meter(10, 100)
    with pytest.raises(MergeTooLarge, match=r"more than 100 bytes.*--merge-max-bytes"):
        meter.add(1, 101)


def test_a_full_merge_server_says_what_helps() -> None:
    full = no_room(MysqlError(1114, "HY000", "The table 'g0' is full"))
    assert isinstance(full, MergeTooLarge) and "sizeLimit" in full.text
    other = MysqlError(1690, "22003", "out of range")
    assert no_room(other) is other


KINDS = Table(
    "kinds",
    (
        Column("id", "bigint unsigned", declared="bigint unsigned"),
        Column("e`", "enum('a','b')", "latin1_swedish_ci", False, True, False, "enum('A','b')"),
        Column("j", "json", nullable=True),
    ),
)


def pull(*columns: int) -> Pull:
    return Pull("g0", KINDS, columns, (0,), b"SELECT")


def test_tables_have_the_columns_as_declared() -> None:
    assert scratch_tables.create(pull(1, 0), temporary=True) == (
        b"CREATE TEMPORARY TABLE `g0` (`e``` enum('A','b') COLLATE latin1_swedish_ci NULL, "
        b"`id` bigint unsigned NOT NULL) ENGINE=InnoDB"
    )
    assert scratch_tables.create(pull(), temporary=False, database=b"x") == (
        b"CREATE TABLE `x`.`g0` (`nothing` tinyint NULL) ENGINE=InnoDB"
    )
    assert scratch_tables.insert(pull(0, 2), 2) == (
        b"INSERT INTO `g0` VALUES (?,CONVERT(? USING utf8mb4)),(?,CONVERT(? USING utf8mb4))"
    )


@pytest.mark.parametrize(
    ("column", "values", "question", "literals"),
    [
        (Column("n", "int"), [b"1", b"-2"], b"SELECT DISTINCT `n` ", b"1,-2"),
        (
            Column("v", "varchar(9)", "latin1_bin"),
            [b"", b"E9"],
            b"SELECT DISTINCT HEX(`v`) ",
            b"_latin1 x'',_latin1 x'E9'",
        ),
        (Column("b", "varbinary(9)"), [b"00"], b"SELECT DISTINCT HEX(`b`) ", b"x'00'"),
    ],
)
def test_keys_for_a_lookup(
    column: Column, values: list[bytes], question: bytes, literals: bytes
) -> None:
    asked = scratch_tables.key_values(column, "g0", 11)
    assert asked is not None and asked.startswith(question) and asked.endswith(b" LIMIT 11")
    assert scratch_tables.key_literals(column, values) == literals


@pytest.mark.parametrize("kind", ["float", "datetime", "enum('a')", "json", "bit(3)"])
def test_kinds_without_literals_are_not_looked_up(kind: str) -> None:
    assert scratch_tables.key_values(Column("x", kind), "g0", 1) is None


@pytest.mark.parametrize(
    ("kind", "charset", "value", "literal"),
    [
        (c.TYPE_LONGLONG, 63, b"-5", b"-5"),
        (c.TYPE_DOUBLE, 63, b"1.5", b"1.5e0"),
        (c.TYPE_VAR_STRING, 255, b"app@%", b"_utf8mb4'app@%'"),
        (c.TYPE_VAR_STRING, 8, b"it's", b"_latin1 x'69742773'"),
        (c.TYPE_VAR_STRING, 255, b"a\\", b"_utf8mb4 x'615c'"),
        (c.TYPE_VAR_STRING, 255, None, b"NULL"),
    ],
)
def test_values_of_a_shard_as_literals(
    kind: int, charset: int, value: bytes | None, literal: bytes
) -> None:
    definition = packets.Column("x", kind, charset).pack()
    assert scratch_tables.value_literal(definition, value) == literal


def test_a_value_in_a_character_set_of_no_client_is_refused() -> None:
    definition = packets.Column("x", c.TYPE_VAR_STRING, 28).pack()
    with pytest.raises(NotSupported, match="character_set_results"):
        scratch_tables.value_literal(definition, b"x")
