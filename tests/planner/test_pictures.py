"""Which changes of tables a gate with an older picture would not notice."""

import pytest
from keyspaces import KEYSPACES, SCHEMA

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.pictures import are_alike
from mitosis_gate.planner.plan import Ddl, Plan, Refuse

FOUR = Planner(SCHEMA, KEYSPACES["four shards"])


def plan(sql: str) -> Plan:
    return FOUR.route(sql.encode())


def ddl(sql: str) -> Ddl:
    found = plan(sql)
    assert isinstance(found, Ddl), found
    return found


@pytest.mark.parametrize(
    ("action", "reroutes"),
    [
        ("ADD COLUMN age INT", False),
        ("ADD COLUMN age INT FIRST, ADD KEY (age)", False),
        ("DROP COLUMN name", False),
        ("ALTER COLUMN name SET DEFAULT 'x'", False),
        ("RENAME INDEX a TO b", False),
        ("ENGINE = InnoDB", False),
        ("MODIFY user_id BIGINT UNSIGNED NOT NULL", True),
        ("MODIFY COLUMN name TEXT", True),
        ("MODIFY name VARCHAR(64) FIRST", True),
        ("CHANGE name title VARCHAR(64)", True),
        ("RENAME COLUMN name TO title", True),
        ("CONVERT TO CHARACTER SET utf8mb4", True),
        ("ADD KEY (name), MODIFY name TEXT", True),
    ],
)
def test_users(action: str, reroutes: bool) -> None:
    assert ddl(f"ALTER TABLE users {action}").reroutes is reroutes


@pytest.mark.parametrize(
    ("action", "reroutes"),
    [
        ("MODIFY order_id BIGINT NULL", False),
        ("MODIFY total DECIMAL(12,4) NOT NULL", False),
        ("MODIFY total DECIMAL(12,4) AFTER order_id", True),
        ("MODIFY total DOUBLE", True),
        ("MODIFY order_id BIGINT NOT NULL AUTO_INCREMENT", True),
    ],
)
def test_numbers_that_are_no_key(action: str, reroutes: bool) -> None:
    assert ddl(f"ALTER TABLE orders {action}").reroutes is reroutes


USERS = "CREATE TABLE users ({}, name VARCHAR(64))"


@pytest.mark.parametrize(
    ("created", "alike"),
    [
        (USERS.format("user_id BIGINT NOT NULL PRIMARY KEY"), True),
        (USERS.format("`USER_ID` bigint(20) NOT NULL, KEY (name)"), True),
        ("CREATE TABLE users (user_id BIGINT NOT NULL, age INT, name VARCHAR(10))", True),
        ("CREATE TABLE users (user_id BIGINT NOT NULL PRIMARY KEY)", True),
        (USERS.format("user_id BIGINT UNSIGNED NOT NULL"), False),
        (USERS.format("user_id INT NOT NULL"), False),
        (USERS.format("user_id VARBINARY(20) NOT NULL"), False),
        (USERS.format("user_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY"), False),
        ("CREATE TABLE users (name VARCHAR(64), user_id BIGINT NOT NULL)", False),
        ("CREATE TABLE users (user_id BIGINT NOT NULL, name INT)", False),
        ("CREATE TABLE users LIKE orders", True),
    ],
)
def test_a_table_that_comes_back(created: str, alike: bool) -> None:
    ((name, before),) = ddl("DROP TABLE users").gone
    ((also, after),) = ddl(created).made
    assert name == also == "users"
    assert are_alike(before, after) is alike


def test_text_keys_are_alike_when_their_collations_are() -> None:
    def key(collation: str) -> str:
        sql = f"CREATE TABLE users (user_id VARCHAR(20) COLLATE {collation} NOT NULL)"
        return ddl(sql).made[0][1]

    assert are_alike(key("utf8mb4_bin"), key("utf8mb4_bin"))
    assert not are_alike(key("utf8mb4_bin"), key("utf8mb4_0900_bin"))


def test_a_name_may_change_hands_between_tables_that_are_alike_only() -> None:
    refused = plan("RENAME TABLE counters TO loose, generated TO counters")
    assert isinstance(refused, Refuse)
    assert "counters would stand for another kind of table" in refused.message
    swapped = ddl("RENAME TABLE users TO order_items, orders TO users, order_items TO orders")
    assert dict(swapped.made).keys() == {"users", "orders"}


def test_what_a_rename_makes_and_leaves() -> None:
    renamed = ddl("ALTER TABLE users RENAME TO orders")
    assert [name for name, _ in renamed.made] == ["orders"]
    assert [name for name, _ in renamed.gone] == ["users"]
    assert renamed.made[0][1] == renamed.gone[0][1]
