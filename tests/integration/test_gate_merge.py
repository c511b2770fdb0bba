"""Merged results of real shards: sorted, long, stopped early, killed; in both row formats."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import mysql.connector
import pymysql
import pytest
from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from patience import until

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import GATE_VARIANT, Target
from mitosis_gate.backends.pool import Pool
from mitosis_gate.settings import Settings
from mitosis_routing.table import TableRule

pytestmark = pytest.mark.mysql

NOT_DURABLE = (
    "--innodb-flush-log-at-trx-commit=0",
    "--skip-log-bin",
    "--cte-max-recursion-depth=1000000",
    "--max-allowed-packet=128M",
)
ROWS = 20_000
LONG = 17 << 20
MANY = "SELECT s.id, REPEAT('x', 200) FROM numbers s FORCE INDEX (PRIMARY), times t WHERE t.n < 200"


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    rules = (TableRule("numbers", "id"), TableRule("times", reference=True))
    with Shards(2, rules, options=NOT_DURABLE) as shards:
        yield shards


@pytest.fixture(scope="module")
def gate(shards: Shards) -> Iterator[GateProcess]:
    with GateProcess(shards.table(), shards.users()) as gate:
        with gate.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE numbers (id INT PRIMARY KEY, part INT, name VARCHAR(20), "
                "body LONGTEXT)"
            )
            cursor.execute("CREATE TABLE times (n INT PRIMARY KEY)")
        for number in range(2):
            rows = (
                "WITH RECURSIVE c AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM c "
                f"WHERE i + 1 < {ROWS}) SELECT"
            )
            with shards.servers[number].connect(database=KEYSPACE, autocommit=True) as connection:
                with connection.cursor() as cursor:
                    cursor.execute(
                        f"INSERT INTO numbers {rows} i * 2 + {number}, i % 10, "
                        "IF(i % 7, CONCAT('n', i % 100), NULL), NULL FROM c"
                    )
                    cursor.execute(f"INSERT INTO times {rows} i FROM c LIMIT 200")
        yield gate


@pytest.fixture
def cursor(gate: GateProcess) -> Iterator[Any]:
    with gate.connect(max_allowed_packet=128 << 20) as connection:
        with connection.cursor() as cursor:
            yield cursor


def test_all_shards_read_one_clock(cursor: Any) -> None:
    cursor.execute("SELECT id, NOW(6) FROM numbers WHERE id < 10 ORDER BY id")
    rows = cursor.fetchall()
    moments = {moment for _, moment in rows}
    assert len(rows) == 10 and len(moments) == 1
    cursor.execute("SELECT NOW(6) > %s", tuple(moments))
    assert cursor.fetchall() == ((1,),)


def test_a_limit_of_the_session_is_not_taken_for_each_shard(cursor: Any) -> None:
    cursor.execute("SET sql_select_limit = 3")
    with pytest.raises(pymysql.err.NotSupportedError, match="write LIMIT into the statement"):
        cursor.execute("SELECT id FROM numbers")
    cursor.execute("SELECT id FROM numbers ORDER BY id LIMIT 5")
    assert len(cursor.fetchall()) == 5
    cursor.execute("SET sql_select_limit = DEFAULT")
    cursor.execute("SELECT id FROM numbers WHERE id < 8")
    assert len(cursor.fetchall()) == 8


def test_a_long_result_is_sorted(cursor: Any) -> None:
    cursor.execute("SELECT id FROM numbers ORDER BY id DESC")
    assert [n for (n,) in cursor.fetchall()] == list(range(2 * ROWS - 1, -1, -1))


def prepared(gate: GateProcess) -> Any:
    return mysql.connector.connect(
        host="127.0.0.1",
        port=gate.port,
        user=USER,
        password=PASSWORD,
        database=KEYSPACE,
        use_pure=True,
    )


@pytest.fixture
def uneven(shards: Shards) -> Iterator[GateProcess]:
    """The second shard puts derived tables into temporary ones, and so tells numbers as INT."""
    with shards.servers[1].connect(autocommit=True) as root, root.cursor() as cursor:
        cursor.execute("SET GLOBAL optimizer_switch = 'derived_merge=off'")
        try:
            with GateProcess(shards.table(), shards.users()) as gate:
                yield gate
        finally:
            cursor.execute("SET GLOBAL optimizer_switch = 'derived_merge=on'")


@pytest.mark.parametrize("end", ["ORDER BY id", "ORDER BY id LIMIT 5", "", "LIMIT 9"])
def test_numbers_that_shards_tell_in_other_widths_are_one_column(
    uneven: GateProcess, end: str
) -> None:
    derived = (
        "SELECT id, IF(part = 3, NULL, part > 3) AS more, part + 0 AS p, name FROM numbers "
        "WHERE id < 20"
    )
    select = f"SELECT id, more, name, p FROM ({derived}) d"
    expected = [
        (n, None if part == 3 else int(part > 3), f"n{n // 2}" if n // 2 % 7 else None, part)
        for n in range(20)
        for part in (n // 2 % 10,)
    ]
    with uneven.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"{select} {end}")
        found = [list(cursor.fetchall())]
    binary = prepared(uneven)
    statement = binary.cursor(prepared=True)
    try:
        statement.execute(f"{select} WHERE id >= %s {end}", (0,))
        found.append(statement.fetchall())
    finally:
        statement.close()
        binary.close()
    for rows in found:
        if "ORDER" in end:
            assert rows == expected[: len(rows)]
        assert len(rows) == (int(end.split()[-1]) if "LIMIT" in end else 20)
        assert set(rows) <= set(expected)


def test_a_prepared_statement_merges_binary_rows(gate: GateProcess) -> None:
    connection = prepared(gate)
    cursor = connection.cursor(prepared=True)
    try:
        cursor.execute("SELECT name, id FROM numbers WHERE id < %s ORDER BY name DESC, id", (50,))
        rows = cursor.fetchall()
        named = sorted((row for row in rows if row[0] is not None), key=lambda row: row[1])
        named.sort(key=lambda row: row[0], reverse=True)
        assert len(named) == 42
        assert rows == [*named, *((None, n) for n in (0, 1, 14, 15, 28, 29, 42, 43))]
        cursor.execute(
            "SELECT part, COUNT(*), SUM(id), AVG(id), MIN(id) FROM numbers WHERE id < %s "
            "GROUP BY part ORDER BY part",
            (40,),
        )
        expected = [(n, 4, 8 * n + 42, Decimal(f"{2 * n + 10}.5000"), 2 * n) for n in range(10)]
        assert cursor.fetchall() == expected
    finally:
        cursor.close()
        connection.close()


def test_rows_longer_than_a_packet_are_merged(cursor: Any) -> None:
    for number, letter in ((2, "a"), (5, "b")):
        cursor.execute(f"UPDATE numbers SET body = REPEAT('{letter}', {LONG}) WHERE id = {number}")
    cursor.execute("SELECT id, body FROM numbers WHERE body IS NOT NULL ORDER BY id DESC")
    assert [(n, body[0], len(body)) for n, body in cursor.fetchall()] == [
        (5, "b", LONG),
        (2, "a", LONG),
    ]
    cursor.execute("UPDATE numbers SET body = NULL WHERE id IN (2, 5)")


def test_a_killed_merge_ends_on_the_shards_too(
    gate: GateProcess, shards: Shards, cursor: Any
) -> None:
    slow = gate.connect(cursorclass=pymysql.cursors.SSCursor)
    number = slow.thread_id()
    with slow.cursor() as other:
        other.execute(f"{MANY} ORDER BY s.id")
        assert other.fetchone()[0] == 0
        cursor.execute(f"KILL QUERY {number}")
        with pytest.raises(pymysql.MySQLError) as error:
            while other.fetchone():
                pass
        assert error.value.args[0] == 1317
    slow.close()
    for server in shards.servers:
        until_quiet(server)


def until_quiet(server: Any) -> None:
    def is_quiet() -> bool:
        rows = server.query("SELECT info FROM information_schema.processlist")
        return not any(info and "REPEAT('x', 200)" in info for (info,) in rows)

    asyncio.run(until(is_quiet))


async def test_a_statement_that_is_stopped_leaves_its_connection(
    gate: GateProcess, shards: Shards
) -> None:
    server = shards.servers[0]
    target = Target("shop", 1, "shop-1", "127.0.0.1", server.port, "", None)
    pool = Pool(target, Settings())
    lane = pool.lane(Account(KEYSPACE, USER, PASSWORD), GATE_VARIANT)
    connection = await pool.acquire(lane)
    for binary in (False, True):
        stream = await connection.stream(MANY.encode(), binary=binary)
        assert await stream.next_rows()
        await stream.stop()
        assert stream.is_over and connection.alive and not connection.busy
        (row,) = (await connection.query(b"SELECT CONNECTION_ID()")).values()
        assert int(row[0] or 0) == connection.thread_id
    short = await connection.stream(b"SELECT 1 UNION SELECT 2")
    await short.stop()
    assert connection.alive and not connection.busy
    connection.close("done")
