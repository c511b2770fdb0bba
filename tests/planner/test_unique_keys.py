"""Unique keys: as information_schema tells them, and as they are read from statements."""

import pytest
from keyspaces import SCHEMA, routing_table

from mitosis_gate.planner import schema, table_keys
from mitosis_gate.planner.layout import Layout
from mitosis_gate.planner.lexer import shape_of, tokens_of
from mitosis_gate.planner.plan import DEFAULT_VARIANT
from mitosis_gate.planner.statement import Statement
from mitosis_gate.planner.table_keys import PRIMARY, UniqueKey
from mitosis_gate.planner.unique_keys import NewKeys

LAYOUT = Layout(SCHEMA, routing_table(4))


def keys_in(element: str) -> NewKeys:
    sql = element.encode()
    shape = shape_of(sql)
    statement = Statement(
        sql, tuple(tokens_of(shape)), tuple(shape.literals), LAYOUT, DEFAULT_VARIANT
    )
    keys = NewKeys(statement)
    keys.add_elements(list(statement.parts(0, len(statement.tokens))))
    return keys


@pytest.mark.parametrize(
    ("element", "name", "parts", "columns"),
    [
        ("id INT PRIMARY KEY", PRIMARY, "id", "id"),
        ("id INT KEY", PRIMARY, "id", "id"),
        ("id INT UNIQUE", "", "id", "id"),
        ("id INT UNIQUE KEY", "", "id", "id"),
        ("id DECIMAL(10, 2) DEFAULT (1 + 2) UNIQUE", "", "id", "id"),
        ("id SERIAL", "", "id", "id"),
        ("`key` INT UNIQUE", "", "key", "key"),
        ("PRIMARY KEY (id)", PRIMARY, "id", "id"),
        ("PRIMARY KEY USING BTREE (a DESC, b ASC) COMMENT 'x'", PRIMARY, "a, b", "a b"),
        ("CONSTRAINT p PRIMARY KEY (id)", PRIMARY, "id", "id"),
        ("CONSTRAINT PRIMARY KEY (id)", PRIMARY, "id", "id"),
        ("UNIQUE (a)", "", "a", "a"),
        ("UNIQUE KEY (a)", "", "a", "a"),
        ("UNIQUE USING HASH (a)", "", "a", "a"),
        ("UNIQUE INDEX k (a)", "k", "a", "a"),
        ("UNIQUE k (a)", "k", "a", "a"),
        ("UNIQUE KEY k USING BTREE (a)", "k", "a", "a"),
        ("UNIQUE KEY `btree` (`a b`)", "btree", "a b", "a b"),
        ("CONSTRAINT c UNIQUE (a)", "c", "a", "a"),
        ("CONSTRAINT c UNIQUE KEY k (a)", "k", "a", "a"),
        ("CONSTRAINT UNIQUE KEY (a)", "", "a", "a"),
        ("UNIQUE k (a(10), b)", "k", "a(10), b", "b"),
        ("UNIQUE k ((a + 1), (LOWER(b)) DESC)", "k", "(a + 1), (LOWER(b))", ""),
        ("UNIQUE k ((a\n +  1))", "k", "(a + 1)", ""),
    ],
)
def test_a_unique_key(element: str, name: str, parts: str, columns: str) -> None:
    (key,) = keys_in(element).found
    assert (key.name, ", ".join(key.parts), " ".join(key.columns)) == (name, parts, columns)


@pytest.mark.parametrize(
    "element",
    [
        "id INT NOT NULL DEFAULT 5 COMMENT 'UNIQUE'",
        "id INT REFERENCES `primary` (`key`)",
        "id INT DEFAULT (IF(a, b, c)) CHECK (id > 0)",
        "KEY (a)",
        "INDEX k (a)",
        "FULLTEXT KEY (a)",
        "SPATIAL INDEX (a)",
        "CONSTRAINT c FOREIGN KEY (a) REFERENCES t (`unique`)",
        "CONSTRAINT c CHECK (a > 0)",
        "CHECK (a > 0)",
        "UNIQUE",
        "PRIMARY KEY",
        "CONSTRAINT",
        "CONSTRAINT c",
        "id",
    ],
)
def test_no_unique_key(element: str) -> None:
    assert keys_in(element).found == []


@pytest.mark.parametrize(
    ("element", "numbered"),
    [
        ("Id INT AUTO_INCREMENT PRIMARY KEY", {"id"}),
        ("id SERIAL", {"id"}),
        ("id BIGINT UNSIGNED SERIAL DEFAULT VALUE", {"id"}),
        ("id INT COMMENT 'AUTO_INCREMENT' PRIMARY KEY", set()),
        ("`auto_increment` INT", set()),
        ("id INT AUTO_INCREMENT, id INT", set()),
    ],
)
def test_columns_that_are_numbered(element: str, numbered: set[str]) -> None:
    assert keys_in(element).numbered == numbered


def test_keys_as_information_schema_tells_them() -> None:
    rows = [
        (b"a", b"PRIMARY", b"id", b"", b""),
        (b"a", b"k", b"", b"", b"lower(`mail`)"),
        (b"a", b"k", b"mail", b"10", b""),
        (b"a", b"k", b"id", b"", b""),
        (b"b", b"PRIMARY", b"x", b"", b""),
    ]
    found = table_keys.from_rows(rows)
    assert found == {
        "a": (
            UniqueKey(PRIMARY, ("id",), ("id",)),
            UniqueKey("k", ("(lower(`mail`))", "mail(10)", "id"), ("id",)),
        ),
        "b": (UniqueKey(PRIMARY, ("x",), ("x",)),),
    }
    columns = [(name, b"id", b"int", b"", 0, 0, 0, 0) for name in (b"a", b"c")]
    tables = schema.from_rows(columns, keys=found).tables
    assert (tables["a"].unique_keys, tables["c"].unique_keys) == (found["a"], ())
