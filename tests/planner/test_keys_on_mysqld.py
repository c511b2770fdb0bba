"""A real mysqld is the judge of what the planner makes of literals as sharding keys.

Stored: when the planner names the bytes of a key, MySQL stores a value that hashes the same, in
strict mode and without it. Compared: each row that MySQL finds equal to a literal hashes as the
planner said, and where the planner says that no row can match, MySQL finds none.
"""

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import pytest
from pymysql.err import MySQLError

from mitosis_gate.planner.pins import KeyReader, Slot
from mitosis_routing.hashing import Doubt, KeyColumn, key_column
from mysqld import Mysqld

pytestmark = pytest.mark.mysql

NUMBERS = [
    *"0 1 42 042 42.0 42. 42.5 41.5 .5 4.2e1 127 128 255 256 300 0x2A x'2A' 0b101010".split(),
    "9223372036854775807",
    "9223372036854775808",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
]
QUOTED = [
    "'42'", '"42"', "' 42'", "'42 '", "'+42'", "'-42'", "'042'", "'4_2'", "'42x'", "'42.0'", "''",
    "' '", "'- 42'", "'+-42'", "'4 2'", "'0'", "'-0'", "'9007199254740993'",
    "'18446744073709551615'", "'a'", "'A'", "'a '", "'a  '", "' a'", "'ab'", "'ab '", "'abcd'",
    "'abcde'", "'abcd '", "'abcd  '", "'é'", "'éééé'", "'ééééé'", "'it''s'", "'i\\'s'", "'a\\nb'",
    "'a\\%'", "'a\\0'", "'\\Z'", "\"i's\"", "'a\\0\\0\\0'", "x'61'", "x'6100'", "x'61000000'",
    "0x61", "0x6", "x'20'", "x'6120'", "N'a'", "_utf8mb4'a'", "_binary'a'", "_binary'a '",
    "_utf8mb4'é'", "b'1100001'", "'𝄞'", "_binary'42'", "_binary x'61'", "_binary x'3432'",
    "_utf8mb4 x'61'", "_binary 0x61", "'2026-11-21'", "'2026-11-2'", "'20261121'", "20261121",
    "'2026-11-21 00:00:00'", "'2026-11-21 01:02:03'", "'2026-11-21T01:02:03'",
    "'2026-11-21 01:02:03.5'", "'2026-11-21 01:02:03.50'", "'2026-11-21 01:02:03.456'",
    "'2026-11-21 01:02:03.4567'", "'2026-11-21 01:02'", "'0000-00-00'", "'2026-02-30'",
    "'2026-00-01'", "'26-11-21'",
]  # fmt: skip
LITERALS = [*NUMBERS, *(f"-{n}" for n in NUMBERS if n[0].isdigit() and n[1:2] != "x"), *QUOTED]
COLUMNS = [
    ("tinyint", "", False),
    ("tinyint unsigned", "", False),
    ("int", "", False),
    ("bigint", "", False),
    ("bigint unsigned", "", False),
    ("varchar(4)", "utf8mb4_0900_bin", False),
    ("varchar(4)", "utf8mb4_bin", True),
    ("char(4)", "utf8mb4_0900_bin", False),
    ("char(4)", "utf8mb4_bin", True),
    ("varchar(4)", "ascii_bin", True),
    ("varchar(4)", "utf8mb3_bin", True),
    ("varbinary(4)", "", False),
    ("binary(4)", "", False),
    ("date", "", False),
    ("datetime", "", False),
    ("datetime(3)", "", False),
]


@pytest.fixture(scope="module")
def cursor() -> Iterator[Any]:
    with Mysqld() as server, server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE k")
        cursor.execute("USE k")
        yield cursor


def reader(column_type: str, collation: str, pad_space: bool, stored: bool) -> KeyReader:
    column = key_column(column_type, collation, pad_space)
    assert isinstance(column, KeyColumn)
    return KeyReader(column, utf8=True, stored=stored)


def read(reader: KeyReader, literal: str) -> bytes | Doubt:
    for introducer in ("_utf8mb4", "_binary"):
        if literal.startswith(introducer):
            slot = Slot(0, introducer=introducer)
            return reader.read(literal.removeprefix(introducer).strip().encode(), slot)
    negative = literal.startswith("-")
    return reader.read(literal.removeprefix("-").encode(), Slot(0, negative=negative))


@pytest.mark.parametrize(("column_type", "collation", "pad_space"), COLUMNS)
def test_stored_values_hash_as_planned(
    cursor: Any, column_type: str, collation: str, pad_space: bool
) -> None:
    stored = reader(column_type, collation, pad_space, stored=True)
    known = 0
    for mode in ("STRICT_TRANS_TABLES", ""):
        cursor.execute("SET sql_mode = %s", (mode,))
        for literal in LITERALS:
            key = read(stored, literal)
            if isinstance(key, Doubt):
                continue
            known += 1
            make_table(cursor, column_type, collation)
            cursor.execute(f"INSERT INTO t VALUES ({literal})")
            cursor.execute("SELECT CRC32(k) FROM t")
            assert cursor.fetchall() == ((crc32(key),),), (mode, literal, key)
    assert known > 1


@pytest.mark.parametrize(("column_type", "collation", "pad_space"), COLUMNS)
def test_rows_that_match_hash_as_planned(
    cursor: Any, column_type: str, collation: str, pad_space: bool
) -> None:
    """The table holds what all literals leave in it that the gate would have let through."""
    stored = reader(column_type, collation, pad_space, stored=True)
    compared = reader(column_type, collation, pad_space, stored=False)
    cursor.execute("SET sql_mode = ''")
    make_table(cursor, column_type, collation)
    for literal in LITERALS:
        if isinstance(read(stored, literal), bytes):
            cursor.execute(f"INSERT INTO t VALUES ({literal})")
    matched = 0
    for literal in LITERALS:
        key = read(compared, literal)
        if key is Doubt.UNSURE:
            continue
        expected = {crc32(key)} if isinstance(key, bytes) else set()
        try:
            cursor.execute(f"SELECT CRC32(k) FROM t WHERE k = {literal}")
        except MySQLError:
            continue  # the client would get this error from any shard
        found = {row[0] for row in cursor.fetchall()}
        matched += len(found)
        assert found <= expected, (literal, key)
    assert matched > 0


def make_table(cursor: Any, column_type: str, collation: str) -> None:
    collate = f"COLLATE {collation}" if collation else ""
    cursor.execute("DROP TABLE IF EXISTS t")
    cursor.execute(f"CREATE TABLE t (k {column_type} {collate} NOT NULL) ENGINE = MEMORY")
