"""Statements on views: literals of both texts, parameters, and definitions that go too far."""

import pytest
from keyspaces import KEYSPACES, SCHEMA

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.pictures import are_alike
from mitosis_gate.planner.plan import (
    AnyShard,
    Ddl,
    Finish,
    Merge,
    OneShard,
    Refuse,
    UnknownTable,
    Variant,
)
from mitosis_gate.planner.schema import Column, Schema, Table

FOUR = KEYSPACES["four shards"]


def planner(**views: str) -> Planner:
    """The usual tables, and views of one column `a`."""
    made = {
        name: Table(name, (Column("a", "bigint"),), True, f"CREATE VIEW `{name}` AS {select}")
        for name, select in views.items()
    }
    return Planner(Schema({**SCHEMA.tables, **made}), FOUR)


def text_of(plan: object) -> bytes:
    assert isinstance(plan, Merge)
    return plan.text


def test_literals_of_the_statement_and_of_the_view_stay_apart() -> None:
    one = planner(v="select `orders`.`total` AS `a` from `orders` where (`orders`.`total` > 100)")
    for _ in range(3):
        for low, high in ((1, 2), (33, 44)):
            sql = f"SELECT {low}, SUM(a) FROM v WHERE a < {high} AND a <> 'it\\'s'".encode()
            text = text_of(one.route(sql))
            assert text.startswith(b"SELECT %d, SUM(a) FROM (select " % low)
            assert b"(`orders`.`total` > 100)" in text
            assert text.endswith(b"WHERE a < %d AND a <> 'it\\'s'" % high)
    assert one.cached_shapes == 1


@pytest.mark.parametrize(
    ("sql", "needed"),
    [
        (b"SELECT * FROM renamed WHERE spent > ? AND who = ?", (1,)),
        (b"SELECT ? FROM renamed r, totals t WHERE r.who = t.user_id AND r.who = ?", (1,)),
        (b"SELECT * FROM big_orders WHERE total > ?", ()),
    ],
)
def test_parameters_that_decide(sql: bytes, needed: tuple[int, ...]) -> None:
    prepared = planner().prepare(sql)
    assert prepared.parameters == sql.count(b"?") and prepared.needed == needed
    assert isinstance(prepared.describe, AnyShard)
    if needed:
        found = prepared.route([5])
        assert found == planner().route(b"SELECT * FROM orders WHERE user_id = 5")
        assert isinstance(found, OneShard)
    else:
        assert isinstance(prepared.route([]), Merge)


def test_a_list_of_keys_in_the_view_and_one_in_the_statement() -> None:
    one = planner(v="select `orders`.`user_id` AS `a` from `orders` where `user_id` in (1,2,3,4)")
    assert one.route(b"SELECT * FROM v WHERE a IN (4)") == one.route(
        b"SELECT * FROM users WHERE user_id = 4"
    )


def test_an_unknown_table_is_told_with_the_view_that_names_it() -> None:
    one = planner(v="select `broken`.`a` AS `a` from `broken`")
    assert one.route(b"SELECT * FROM broken") == UnknownTable("shop", "gone", "broken")
    assert one.route(b"SELECT * FROM v") == UnknownTable("shop", "gone", "v")
    assert one.route(b"SELECT * FROM v, gone") == UnknownTable("shop", "gone")


def test_an_invalid_view_has_no_columns() -> None:
    definition = "CREATE VIEW `v` AS select `users`.`gone` AS `a` from `users`"
    tables = {**SCHEMA.tables, "v": Table("v", (), True, definition)}
    one = Planner(Schema(tables), FOUR)
    assert one.route(b"SELECT 1 FROM v") == UnknownTable("shop", "v", "v")
    dropped = one.route(b"DROP VIEW v")
    assert isinstance(dropped, Ddl) and dropped.shards == (0, 1, 2, 3)


def test_names_of_another_database_are_no_views() -> None:
    plan = planner().route(b"SELECT a FROM one", Variant("information_schema"))
    assert isinstance(plan, Refuse | AnyShard) and plan != planner().route(b"SELECT a FROM one")
    whole = planner().route(b"SELECT * FROM shop.totals", Variant("information_schema"))
    assert whole == planner().route(b"SELECT * FROM totals")


@pytest.mark.parametrize("branches", [1, 2])
def test_views_that_are_nested_too_deeply_or_grow_too_long(branches: int) -> None:
    views = {"v0": "select `orders`.`user_id` AS `a` from `orders`"}
    for n in range(1, 40):
        select = f"select `v{n - 1}`.`a` AS `a` from `v{n - 1}`"
        views[f"v{n}"] = " union all ".join([select] * branches)
    one = planner(**views)
    assert isinstance(one.route(b"SELECT a FROM v3 WHERE a = 1"), OneShard)
    plan = one.route(b"SELECT a FROM v39")
    assert isinstance(plan, Refuse) and ("too deeply" in plan.message or "too long" in plan.message)


def test_a_definition_must_be_readable_in_the_character_set_of_the_session() -> None:
    one = planner(v="select `users`.`user_id` AS `a` from `users` where (`users`.`name` = 'é')")
    latin = Variant(utf8=False)
    assert isinstance(one.route(b"SELECT COUNT(*) FROM v"), Merge)
    assert isinstance(one.route(b"SELECT COUNT(*) FROM v WHERE a = 5", latin), OneShard)
    plan = one.route(b"SELECT COUNT(*) FROM v", latin)
    assert isinstance(plan, Refuse) and "SET NAMES utf8mb4" in plan.message


def test_a_definition_whose_syntax_is_not_understood_is_finished() -> None:
    one = planner(v="select straight_join `orders`.`user_id` AS `a` from `orders` group by `a` "
                    "with rollup")  # fmt: skip
    assert isinstance(one.route(b"SELECT * FROM v"), Finish)


def test_gates_wait_for_one_another_when_a_view_gets_another_definition() -> None:
    new = planner().route(b"CREATE OR REPLACE VIEW v AS SELECT user_id FROM users")
    other = planner().route(b"CREATE OR REPLACE VIEW v AS SELECT user_id FROM orders")
    changed = planner().route(b"ALTER VIEW totals AS SELECT user_id FROM users")
    gone = planner().route(b"DROP VIEW IF EXISTS totals, v")
    assert isinstance(new, Ddl) and isinstance(other, Ddl)
    assert isinstance(changed, Ddl) and isinstance(gone, Ddl)
    assert not new.reroutes and changed.reroutes
    assert new.made[0][0] == "v" and new.made != other.made
    assert not are_alike(new.made[0][1], other.made[0][1])
    assert [name for name, _ in gone.gone] == ["totals"]
    assert not are_alike(gone.gone[0][1], changed.made[0][1])
