"""`vectors.json` freezes the way from a value to its slot; a real mysqld agrees with each."""

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from mitosis_routing.hashing import (
    Doubt,
    KeyColumn,
    KeyKind,
    Value,
    is_slot_count,
    key_bytes,
    key_column,
    slot_of,
)
from mysqld import Mysqld

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())


def column_of(vector: dict[str, Any]) -> KeyColumn:
    column = key_column(vector["type"], vector["collation"], vector["padSpace"])
    assert isinstance(column, KeyColumn), column
    return column


def value_of(vector: dict[str, Any]) -> Value:
    value = vector["value"]
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    return value.encode() if isinstance(value, str) else value


def as_sent(vector: dict[str, Any]) -> int | str | bytes:
    """What a driver turns into a number, a string or a binary string."""
    value = vector["value"]
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['type']} {v['value']}")
def test_value_has_these_bytes_and_this_slot(vector: dict[str, Any]) -> None:
    key = key_bytes(value_of(vector), column_of(vector), stored=True)
    assert isinstance(key, bytes)
    assert (key.hex(), slot_of(key, 4096)) == (vector["key"], vector["slot"])


@pytest.mark.mysql
def test_mysqld_hashes_stored_values_alike() -> None:
    with Mysqld() as server, server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE v")
        cursor.execute("USE v")
        for number, vector in enumerate(VECTORS):
            collation = f"COLLATE {vector['collation']}" if vector["collation"] else ""
            cursor.execute(f"CREATE TABLE t{number} (k {vector['type']} {collation} NOT NULL)")
            cursor.execute(f"INSERT INTO t{number} VALUES (%s)", (as_sent(vector),))
            cursor.execute(f"SELECT CRC32(k), CRC32(k) MOD 4096 FROM t{number}")
            key = bytes.fromhex(vector["key"])
            assert cursor.fetchall() == ((crc32(key), vector["slot"]),), vector


def test_the_same_number_in_any_spelling_has_the_same_key() -> None:
    column = KeyColumn(KeyKind.INTEGER)
    spellings: tuple[Value, ...] = (42, b"42", b" 42", b"042", b"+42", 42.0)
    keys = {key_bytes(value, column, stored=False) for value in spellings}
    assert keys == {b"42"}


@pytest.mark.parametrize(
    ("value", "column", "stored", "doubt"),
    [
        (None, KeyColumn(KeyKind.INTEGER), True, Doubt.NULL),
        (128, KeyColumn(KeyKind.INTEGER, low=-128, high=127), False, Doubt.NO_ROW),
        (1.5, KeyColumn(KeyKind.INTEGER), False, Doubt.UNSURE),
        (1e300, KeyColumn(KeyKind.INTEGER), False, Doubt.UNSURE),
        (float("nan"), KeyColumn(KeyKind.INTEGER), False, Doubt.UNSURE),
        (b"1e3", KeyColumn(KeyKind.INTEGER), False, Doubt.UNSURE),
        (b"", KeyColumn(KeyKind.INTEGER), True, Doubt.UNSURE),
        (b"4 2", KeyColumn(KeyKind.INTEGER), True, Doubt.UNSURE),
        (5, KeyColumn(KeyKind.TEXT), False, Doubt.UNSURE),
        (b"\xff", KeyColumn(KeyKind.TEXT), False, Doubt.UNSURE),
        ("é".encode(), KeyColumn(KeyKind.TEXT, last_character=0x7F), True, Doubt.UNSURE),
        (b"abc", KeyColumn(KeyKind.TEXT, length=2), True, Doubt.NO_ROW),
        (b"a ", KeyColumn(KeyKind.TEXT, pad_space=True), True, Doubt.TRAILING_SPACE),
        (b"abc", KeyColumn(KeyKind.BINARY, length=2), False, Doubt.NO_ROW),
        (b"a", KeyColumn(KeyKind.BINARY, length=2, fixed=True), False, Doubt.NO_ROW),
        (b"2026-02-30", KeyColumn(KeyKind.DATE), True, Doubt.UNSURE),
        (b"20260203", KeyColumn(KeyKind.DATE), True, Doubt.UNSURE),
        (b"2026-02-03 00:00:00.1", KeyColumn(KeyKind.DATETIME), True, Doubt.UNSURE),
        (b"2026-02-03 25:00:00", KeyColumn(KeyKind.DATETIME), True, Doubt.UNSURE),
    ],
)
def test_nothing_is_guessed(value: Value, column: KeyColumn, stored: bool, doubt: Doubt) -> None:
    assert key_bytes(value, column, stored=stored) is doubt


@pytest.mark.parametrize(
    ("column_type", "collation", "clause"),
    [
        ("double", "", "DOUBLE"),
        ("decimal(10,2)", "", "decimal(10,2)"),
        ("timestamp", "", "TIMESTAMP"),
        ("json", "", "JSON"),
        ("blob", "", "BLOB"),
        ("text", "utf8mb4_bin", "TEXT"),
        ("enum('a','b')", "utf8mb4_bin", "enum"),
        ("int(5) unsigned zerofill", "", "ZEROFILL"),
        ("varchar(5)", "utf8mb4_0900_ai_ci", "utf8mb4_0900_ai_ci"),
        ("varchar(5)", "latin1_bin", "latin1_bin"),
    ],
)
def test_a_column_that_cannot_be_hashed_says_why(
    column_type: str, collation: str, clause: str
) -> None:
    reason = key_column(column_type, collation)
    assert isinstance(reason, str) and clause in reason


def test_slots_are_a_power_of_two() -> None:
    assert [n for n in range(20) if is_slot_count(n)] == [1, 2, 4, 8, 16]
    assert not is_slot_count(131072)
