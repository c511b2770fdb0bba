"""A plan from the cache is the plan that parsing would have given, whatever the literals are."""

import random

import pytest
from keyspaces import KEYSPACES, SCHEMA

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.lexer import shape_of
from mitosis_gate.planner.plan import Merge, OneShard, Plan, Refuse, Scatter, Variant
from mitosis_gate.planner.shapes import ShapeCache
from mitosis_routing.hashing import slot_of

TABLE = KEYSPACES["four shards"]
VALUES = [
    *(str(n) for n in (0, 1, 2, 4, 7, 42, 128, 300, 1000, 99999)),
    *("-1", "- 42", "007", "4.0", "4.5", "1e3", "0x2A", "x'2A'", "b'1'", "9223372036854775807"),
    *("9223372036854775808", "NULL", "TRUE", "DEFAULT", "'1'", '"42"', "' 7'", "'7 '", "'x'"),
    *("''", "'it''s'", "'a\\'b'", "'a' 'b'", "_utf8mb4'42'", "N'42'", "@a", "1 + 1", "ABS(4)"),
    *("'2026-11-21'", "(42)", "'; DROP TABLE users; --'", "'/*'", "'`'", "user_id", "?"),
]
TEMPLATES = [
    "SELECT * FROM users WHERE user_id = {}",
    "SELECT * FROM users WHERE user_id = {} AND name = {}",
    "SELECT * FROM users WHERE name = {} OR user_id = {}",
    "SELECT {}, u.* FROM users u WHERE u.user_id IN ({}, {})",
    "SELECT * FROM users WHERE user_id IN ({}, {}, {}) LIMIT {}",
    "SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id AND o.total > {} "
    "WHERE u.user_id = {}",
    "SELECT * FROM users u JOIN orders o WHERE u.user_id = {} AND o.user_id = {}",
    "SELECT * FROM mails WHERE address = {}",
    "SELECT * FROM counters WHERE id = {} AND n = {}",
    "SELECT * FROM days WHERE day = {}",
    "INSERT INTO users (user_id, name) VALUES ({}, {})",
    "INSERT INTO users (user_id, name) VALUES ({}, {}), ({}, {})",
    "INSERT INTO tariffs VALUES ({}, {})",
    "INSERT INTO orders SELECT * FROM orders WHERE user_id = {}",
    "INSERT INTO users SET user_id = {} ON DUPLICATE KEY UPDATE name = {}",
    "UPDATE users SET name = {} WHERE user_id = {}",
    "UPDATE users SET name = {} WHERE user_id = {} OR user_id = {}",
    "DELETE FROM orders WHERE user_id = {} AND order_id = {} LIMIT {}",
    "EXPLAIN SELECT * FROM users WHERE user_id = {}",
    "SET @a = {}, autocommit = {}",
    "KILL {}",
    "SELECT {}; SELECT {}",
]


def statements(seed: int, count: int) -> list[bytes]:
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        template = chance.choice(TEMPLATES)
        values = [chance.choice(VALUES) for _ in range(template.count("{}"))]
        made.append(template.format(*values).encode())
    return made


@pytest.mark.parametrize("seed", range(4))
def test_generated_statements_have_one_plan(seed: int) -> None:
    cached = Planner(SCHEMA, TABLE)
    uncached = Planner(SCHEMA, TABLE, cache_bytes=0)
    found: set[type[Plan]] = set()
    for sql in statements(seed, 1500):
        plan = cached.route(sql)
        assert plan == uncached.route(sql), sql
        found.add(type(plan))
    assert cached.cached_shapes > 50
    assert uncached.cached_shapes == 0
    assert {OneShard, Scatter, Refuse} <= found


def test_the_plan_of_a_known_statement_is_the_same_object() -> None:
    planner = Planner(SCHEMA, TABLE)
    sql = b"SELECT * FROM users WHERE user_id = %d"
    plans = {id(planner.route(sql % number)) for number in range(2000)}
    assert len(plans) == 4


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT COUNT(*) FROM users",
        b"SELECT COUNT(*) FROM users WHERE user_id > 5",
        b"SELECT name FROM users WHERE name > 'a'",
        b"SELECT name FROM users ORDER BY name LIMIT 5",
    ],
)
def test_a_read_of_several_shards_is_planned_once_for_a_text(sql: bytes) -> None:
    planner = Planner(SCHEMA, TABLE)
    plans = [planner.route(sql) for _ in range(5)]
    assert plans[-1] is plans[-2] and isinstance(plans[-1], Merge | Scatter)
    assert plans[-1] == Planner(SCHEMA, TABLE).route(sql)
    other = sql.replace(b"5", b"6").replace(b"'a'", b"'b'")
    assert planner.route(other) == Planner(SCHEMA, TABLE).route(other)
    for number in range(1000):
        planner.route(b"SELECT name FROM users WHERE name > '%d'" % number)
    assert planner.route(sql) == plans[0]
    assert planner.route(sql, Variant(utf8=False)) is not planner.route(sql)


def test_rows_of_one_shape_are_merged_by_one_recipe() -> None:
    """Who merges keeps what it knows by the identity of the recipe."""
    planner = Planner(SCHEMA, TABLE)
    plans = [
        planner.route(b"SELECT name FROM users WHERE name > '%d' ORDER BY name LIMIT 5" % number)
        for number in range(5)
    ]
    recipes = [plan.recipe for plan in plans[2:] if isinstance(plan, Merge)]
    assert len(recipes) == 3 and all(recipe is recipes[0] for recipe in recipes)


@pytest.mark.parametrize(
    "template",
    [
        "SELECT * FROM users WHERE user_id = {}",
        "SELECT * FROM users WHERE user_id = '{}'",
        "UPDATE users SET name = 'x' WHERE user_id = {}",
        "DELETE FROM users WHERE user_id = {}",
        "INSERT INTO users VALUES ({}, 'x')",
    ],
)
def test_numbers_go_where_their_hash_says(template: str) -> None:
    planner = Planner(SCHEMA, TABLE)
    owners = TABLE.slot_owners()
    for number in (*range(50), 2**31, 2**53 + 1, 2**63 - 1):
        plan = planner.route(template.format(number).encode())
        assert isinstance(plan, OneShard)
        assert plan.shard == owners[slot_of(b"%d" % number, 4096)]


def test_a_shape_that_is_seen_once_is_not_kept() -> None:
    planner = Planner(SCHEMA, TABLE)
    for number in range(200):
        planner.route(b"SELECT * FROM users WHERE user_id = 1 /* request %d */" % number)
    assert planner.cached_shapes == 0


def test_the_cache_is_bounded_in_bytes() -> None:
    planner = Planner(SCHEMA, TABLE, cache_bytes=200_000)
    for number in range(2000):
        for _ in range(3):
            planner.route(b"SELECT c%d FROM users WHERE user_id = 1" % number)
    assert 20 < planner.cached_shapes < 220


def test_shapes_in_use_outlive_others() -> None:
    planner = Planner(SCHEMA, TABLE, cache_bytes=200_000)
    used = b"SELECT name FROM users WHERE user_id = 5 LIMIT 1"
    key = shape_of(used).texts
    cache: ShapeCache = planner._cache
    for number in range(1000):
        planner.route(used)
        planner.route(b"SELECT c%d FROM users WHERE user_id = 1" % (number // 2))
    assert cache.find(key) is not None


def test_large_values_do_not_count_as_shapes() -> None:
    planner = Planner(SCHEMA, TABLE)
    for size in (1, 1000, 1_000_000):
        sql = b"INSERT INTO users VALUES (1, '%s')" % (b"x" * size)
        assert isinstance(planner.route(sql), OneShard)
    assert planner.cached_shapes == 1


def test_text_of_another_character_set_is_not_hashed() -> None:
    planner = Planner(SCHEMA, TABLE)
    latin = Variant(utf8=False)
    sql = "SELECT * FROM mails WHERE address = '{}'"
    for text, utf8_plan, latin_plan in (("abc", OneShard, OneShard), ("é", OneShard, Scatter)):
        for _ in range(3):
            statement = sql.format(text).encode()
            assert type(planner.route(statement)) is utf8_plan
            assert type(planner.route(statement, latin)) is latin_plan


def test_names_belong_to_the_current_database() -> None:
    planner = Planner(SCHEMA, TABLE)
    inside, outside = Variant(database="shop"), Variant(database="information_schema")
    for _ in range(3):
        assert isinstance(planner.route(b"SELECT * FROM users WHERE user_id = 1", inside), OneShard)
        refused = planner.route(b"SELECT * FROM users WHERE user_id = 1", outside)
        assert isinstance(refused, Refuse)
        qualified = b"SELECT * FROM shop.users WHERE user_id = 1"
        assert isinstance(planner.route(qualified, outside), OneShard)


NUMBERS = ("1", "42", "0", "007", "9223372036854775807", "9223372036854775808", "4" * 40, "")
BEFORE_A_NUMBER = (
    "SELECT * FROM users WHERE user_id = ",
    "SELECT * FROM users WHERE user_id = -",
    "SELECT * FROM users WHERE user_id = -- \n",
    "SELECT * FROM users WHERE user_id = 1 -- ",
    "SELECT * FROM users WHERE user_id = 1 AND name = ",
    "SELECT * FROM users u WHERE u.user_id = 1 LIMIT ",
    "SELECT * FROM mails WHERE address = ",
    "SELECT * FROM users WHERE user_id = user_",
    "SELECT * FROM users WHERE user_id = 1.",
    "SELECT * FROM users WHERE user_id = @",
    "SELECT 1 FROM users WHERE user_id = 1 /* ",
)


@pytest.mark.parametrize("before", BEFORE_A_NUMBER)
def test_what_ends_with_a_number_has_the_plan_that_parsing_gives(before: str) -> None:
    planner = Planner(SCHEMA, TABLE)
    for _ in range(3):
        for number in NUMBERS:
            sql = f"{before}{number}".encode()
            assert planner.route(sql) == Planner(SCHEMA, TABLE).route(sql), sql
