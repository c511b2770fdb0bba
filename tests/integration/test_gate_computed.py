"""INSERT whose sharding key is an expression or a default, against the same on one MySQL."""

from collections.abc import Iterator

import pytest
from both import Both, World, ask, say, world_of
from gates import PASSWORD, USER, Shards

from mitosis_routing.table import TableRule

pytestmark = pytest.mark.mysql

RULES = (
    TableRule("numbers", "id"),
    TableRule("words", "w"),
    TableRule("days", "d"),
    TableRule("moments", "m"),
    TableRule("bytes", "b"),
    TableRule("made", "id"),
    TableRule("uuids", "id"),
    TableRule("fives", "id"),
    TableRule("rates", reference=True),
)
SCHEMA = (
    "CREATE TABLE numbers (id BIGINT NOT NULL PRIMARY KEY, note VARCHAR(60), n INT, "
    "seen DATETIME(6))",
    "CREATE TABLE words (w VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin "
    "NOT NULL PRIMARY KEY, n INT)",
    "CREATE TABLE days (d DATE NOT NULL PRIMARY KEY, n INT)",
    "CREATE TABLE moments (m DATETIME(6) NOT NULL PRIMARY KEY, same DATETIME(6), "
    "made DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6))",
    "CREATE TABLE bytes (b VARBINARY(40) NOT NULL PRIMARY KEY, n INT)",
    "CREATE TABLE made (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT)",
    "CREATE TABLE uuids (id BINARY(16) NOT NULL DEFAULT (UUID_TO_BIN(UUID())) PRIMARY KEY, "
    "n INT, other CHAR(36) DEFAULT (UUID()))",
    "CREATE TABLE fives (id INT NOT NULL DEFAULT 5 PRIMARY KEY, n INT, "
    "w VARCHAR(30) DEFAULT (CONCAT('it''s \\\\ ', n)))",
    "CREATE TABLE rates (id VARCHAR(40) PRIMARY KEY, rate INT)",
)
TABLES = ("numbers", "words", "days", "moments", "bytes", "made", "uuids", "fives", "rates")
NOT_DURABLE = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with world_of(RULES, SCHEMA, NOT_DURABLE) as world:
        yield world


@pytest.fixture(scope="module")
def shards(world: World) -> Shards:
    return world.shards


@pytest.fixture
def both(world: World) -> Iterator[Both]:
    with world.both() as both:
        for table in TABLES:
            for connection in both:
                ask(connection, f"DELETE FROM {table}")
        yield both


def are_at_home(shards: Shards, table: str, key: str) -> int:
    """Assert that each row is on the shard of its key; say how many there are."""
    found = shards.rows(f"SELECT CRC32({key}) MOD 64 FROM {table}")
    for shard, rows in enumerate(found):
        assert all(slot // 32 == shard for (slot,) in rows), table
    return sum(map(len, found))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO numbers (id, note) VALUES (1+1, 'a'), (2*3, 'b'), (5, 'c'), (-(4), 'd')",
        "INSERT INTO numbers (note, id) VALUES ('a', CAST('12' AS SIGNED)), ('b', 10 DIV 3)",
        "INSERT INTO numbers SET id = LENGTH('four') + 1, note = UPPER('x')",
        "INSERT INTO numbers VALUES (IF(1 = 1, 7, 8), 'x', 1 + 1, NULL)",
        "INSERT INTO numbers (id) VALUES (10 / 2), (FLOOR(7.9)), (ROUND(8.2)), (TRUE), (~0 >> 1)",
        "INSERT INTO numbers (id) VALUES (POW(2, 10)), (+3), ((4)), (CRC32('x')), (1 IN (1, 2))",
        "INSERT INTO numbers (id) VALUES (JSON_EXTRACT('[17]', '$[0]'))",
        "REPLACE INTO numbers (id, note) VALUES (1 + 1, 'b'), (1 + 1, 'c'), (1 + 2, 'd')",
        "INSERT INTO numbers (id, n) VALUES (1 + 1, 5), (2, 6), (1 + 2, 7) "
        "ON DUPLICATE KEY UPDATE n = n + VALUES(n), note = CONCAT('x', n)",
        "INSERT IGNORE INTO numbers (id) VALUES (1 + 1), (2), (3)",
        "INSERT INTO numbers (id) VALUES (1 + 1), (2), (3)",
        "INSERT INTO numbers (id, n) VALUES (1 + 1, 'many'), (3, 1)",
        "INSERT INTO numbers (id) VALUES (9223372036854775807 + 1)",
        "INSERT INTO numbers (id) VALUES (NO_SUCH_FUNCTION_HERE(1))",
        "INSERT INTO numbers (id) VALUES (COUNT(*))",
        "INSERT INTO numbers (id, note) VALUES (1 + 1)",
        "INSERT INTO numbers (note) VALUES ('no key')",
        "INSERT INTO numbers (id, note) VALUES (DEFAULT, 'no key')",
        "INSERT INTO numbers () VALUES ()",
        "INSERT INTO words VALUES (CONCAT('a', 'b'), 1), ('c' 'd', 2), (UPPER('é'), 3)",
        "INSERT INTO words VALUES (HEX('abc'), 1), (REPEAT('x', 60), 2), (SHA1('a'), 3)",
        "INSERT INTO words VALUES (CONCAT('it''s \\\\ ', CHAR(10 USING utf8mb4)), 1)",
        "INSERT INTO words VALUES (SUBSTRING_INDEX('www.mysql.com', '.', 2), 2)",
        "INSERT INTO days VALUES ('2026-01-31' + INTERVAL 1 MONTH, 1), (DATE'2026-03-01', 2)",
        "INSERT INTO days VALUES (LAST_DAY('2026-02-03'), 1), (DATE('2026-01-01 3:4:5'), 2)",
        "INSERT INTO moments (m, made) VALUES (TIMESTAMP('2026-01-01', '10:11:12.25'), NULL)",
        "INSERT INTO bytes VALUES (UNHEX('00ff27'), 1), (MD5('x'), 2), (UUID_TO_BIN("
        "'6ccd780c-baba-1026-9564-5b8c656024db', 1), 3)",
        "INSERT INTO made (id, n) VALUES (2 + 3, 1), (5 * 2, 2)",
        "INSERT INTO fives (n) VALUES (1)",
        "INSERT INTO fives SET n = 1",
        "INSERT INTO fives VALUES (DEFAULT, 1, DEFAULT)",
        "INSERT INTO fives () VALUES ()",
        "INSERT INTO fives (n, w) VALUES (1, 'a') ON DUPLICATE KEY UPDATE w = 'b'",
        "REPLACE INTO fives (n) VALUES (2)",
    ],
)
def test_values_are_stored_as_one_server_stores_them(
    both: Both, shards: Shards, statement: str
) -> None:
    both.say(statement)
    both.same("SHOW WARNINGS")
    table = statement.replace("IGNORE ", "").split()[2]
    key = next(rule.sharding_key for rule in RULES if rule.name == table)
    both.same(f"SELECT * FROM {table}")
    are_at_home(shards, table, str(key))


def test_what_the_session_has_set_counts(both: Both, shards: Shards) -> None:
    both.say("SET @a = 40, @t = 'text', time_zone = '+05:00', div_precision_increment = 0")
    both.say("INSERT INTO numbers (id, note) VALUES (@a + 2, @t), (@a, 'x')")
    both.say("INSERT INTO words VALUES (@t, 1), (CONCAT(@t, @a), 2)")
    both.say("INSERT INTO words VALUES (CONCAT(7 / 2, FROM_UNIXTIME(0)), 1)")
    both.say("SET NAMES latin1")
    both.say("INSERT INTO words VALUES (CONCAT('plain', @a), 1)")
    both.say("SELECT @b := 5")
    both.say("INSERT INTO numbers (id) VALUES (@b)")
    both.say("SET NAMES utf8mb4")
    both.same("SELECT * FROM numbers")
    both.same("SELECT * FROM words")
    assert are_at_home(shards, "numbers", "id") == 3


def test_the_last_number_of_another_table(both: Both) -> None:
    both.say("INSERT INTO made (n) VALUES (1)")
    ((made,),) = ask(both.gate, "SELECT LAST_INSERT_ID()")
    ask(both.gate, "INSERT INTO numbers (id, n, note) VALUES (LAST_INSERT_ID(), 1, 'x')")
    ask(both.gate, "INSERT INTO numbers (id, n) VALUES (LAST_INSERT_ID() + 1, LAST_INSERT_ID())")
    assert sorted(ask(both.gate, "SELECT id, n FROM numbers")) == [(made, 1), (made + 1, made)]


def test_values_that_are_other_ones_each_time(both: Both, shards: Shards) -> None:
    gate = both.gate
    ask(gate, "INSERT INTO words (w, n) VALUES (UUID(), 1), (UUID(), 2), (UUID(), 3)")
    ask(gate, "INSERT INTO numbers (id) VALUES (UUID_SHORT() DIV 2), (FLOOR(RAND() * 1000000))")
    ask(gate, "INSERT INTO uuids (n) VALUES (1), (2), (3), (4), (5)")
    ask(gate, "INSERT INTO uuids (id, n) VALUES (DEFAULT, 1), (UUID_TO_BIN(UUID()), 2)")
    ask(gate, "INSERT INTO uuids SET n = 1")
    assert are_at_home(shards, "words", "w") == 3
    assert are_at_home(shards, "numbers", "id") == 2
    assert are_at_home(shards, "uuids", "id") == 8
    rows = ask(gate, "SELECT HEX(id), other FROM uuids")
    assert len({row[0] for row in rows}) == len({row[1] for row in rows}) == 8


@pytest.mark.parametrize("begins", [False, True])
def test_now_is_one_moment(both: Both, shards: Shards, begins: bool) -> None:
    gate = both.gate
    if begins:
        ask(gate, "BEGIN")
        ask(gate, "INSERT INTO numbers (id) VALUES (1), (2), (3), (4)")
    ask(gate, "INSERT INTO moments (m, same) VALUES (NOW(6), NOW(6))")
    ask(
        gate,
        "INSERT INTO moments (m, same) VALUES (NOW(6) + INTERVAL 1 SECOND, NOW(6)), "
        "(NOW(6) + INTERVAL 2 SECOND, NOW(6)), (NOW(6) + INTERVAL 3 SECOND, NOW(6))",
    )
    if begins:
        ask(gate, "COMMIT")
    assert are_at_home(shards, "moments", "m") == 4
    assert ask(gate, "SELECT m = same, made = same FROM moments ORDER BY m LIMIT 1") == [(1, 1)]
    for column in ("same", "made"):
        assert len(ask(gate, f"SELECT DISTINCT {column} FROM moments")) == 2
    assert ask(gate, "SELECT NOW() > '2020-01-01', @@timestamp > 1") == [(1, 1)]


def test_it_is_part_of_the_open_transaction(both: Both) -> None:
    for end in ("ROLLBACK", "COMMIT"):
        both.say("BEGIN")
        both.say("INSERT INTO numbers (id) VALUES (1 + 1), (1 + 2), (2 + 2), (3 + 2)")
        both.say("INSERT INTO numbers (id) VALUES (6), (1 + 1)")
        both.say("INSERT INTO numbers (id) VALUES (3 + 3)")
        both.say(end)
        both.same("SELECT * FROM numbers")


def test_copies_of_reference_tables_stay_equal(both: Both, shards: Shards) -> None:
    ask(both.gate, "INSERT INTO rates VALUES (UUID(), 1), ('a', RAND() * 1000), (@@hostname, 3)")
    one, other = shards.rows("SELECT * FROM rates")
    assert one == other and len(one) == 3


@pytest.mark.parametrize("binary", [False, True])
def test_prepared_statements(world: World, both: Both, shards: Shards, binary: bool) -> None:
    """In text and in the binary protocol."""
    import mysql.connector

    if not binary:
        both.say("PREPARE p FROM 'INSERT INTO words VALUES (CONCAT(?, ''-'', ?), ?)'")
        both.say("SET @a = 'x', @b = 5, @c = 1")
        both.say("EXECUTE p USING @a, @b, @c")
        both.say("EXECUTE p USING @b, @a, @c")
    else:
        for port, user, password in (
            (world.gate.port, USER, PASSWORD),
            (world.plain.port, "root", ""),
        ):
            with mysql.connector.connect(
                host="127.0.0.1", port=port, user=user, password=password, database="shop"
            ) as connection:
                cursor = connection.cursor(prepared=True)
                sql = "INSERT INTO words VALUES (CONCAT(%s, '-', %s), %s)"
                for values in (("é", 1, 2), ("z", 10, None), ("y", "it's", 3)):
                    cursor.execute(sql, values)
                    assert cursor.rowcount == 1
                cursor.execute("INSERT INTO numbers (id, n) VALUES (? + 1, ?)", (4, 5))
                connection.commit()
    both.same("SELECT * FROM words")
    both.same("SELECT * FROM numbers")
    are_at_home(shards, "words", "w")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("INSERT INTO numbers (n, id) VALUES (1, n + 1)", "names the column n"),
        ("INSERT INTO numbers (id) VALUES (CAST('1x' AS SIGNED))", "Truncated incorrect INTEGER"),
        ("INSERT INTO numbers (id) VALUES (LAST_INSERT_ID(5))", "LAST_INSERT_ID(value)"),
        ("INSERT INTO numbers (id) VALUES (ROW_COUNT())", "ROW_COUNT"),
        ("INSERT INTO numbers (id) VALUES (3 / 2)", "not certain"),
        ("INSERT INTO words VALUES (REPEAT('x', 61), 2)", "Data too long for column 'w' at row 1"),
        ("INSERT INTO numbers (id) VALUES (NULL + 1)", "cannot be null"),
        ("INSERT INTO numbers (id) VALUES (ROW_NUMBER() OVER ())", "window functions"),
        ("INSERT INTO numbers (id) VALUES (/*!80000 1 + */ 1)", "executable comment"),
    ],
)
def test_what_is_not_certain_is_refused(both: Both, statement: str, told: str) -> None:
    said = say(both.gate, statement)
    assert said.error and told in said.error[1], said
    assert ask(both.gate, "SELECT COUNT(*) FROM numbers") == [(0,)]


def test_the_plan_is_shown(both: Both) -> None:
    rows = ask(both.gate, "GATE EXPLAIN INSERT INTO words VALUES (UUID(), 1)")
    assert [row[1] for row in rows] == [
        "compute values on any one shard",
        "write the rows where they belong",
    ]
    said = say(both.gate, "/*gate: scatter=deny */ INSERT INTO words VALUES (UUID(), 1)")
    assert "scatter=deny" in said.error[1]
