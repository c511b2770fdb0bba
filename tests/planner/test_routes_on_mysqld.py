"""Generated statements find on the planned shards what one server with all rows finds.

The same rows are in one database as a whole and, by the hash of their keys, in four others. A
statement that the planner lets through must give the same rows, or change the same rows, both
ways. What it refuses is counted, so that it cannot pass by refusing everything.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from keyspaces import KEYSPACES, SCHEMA
from pymysql.err import MySQLError

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import (
    AnyShard,
    EveryShard,
    Finish,
    Merge,
    OneShard,
    Plan,
    Refuse,
    Scatter,
    SplitWrite,
)
from mitosis_routing.hashing import slot_of
from mysqld import Mysqld

pytestmark = pytest.mark.mysql

TABLE = KEYSPACES["four shards"]
DEFINITIONS = (
    "CREATE TABLE users (user_id BIGINT NOT NULL, name VARCHAR(64))",
    "CREATE TABLE orders (order_id BIGINT, user_id BIGINT NOT NULL, total DECIMAL(10,2))",
    "CREATE TABLE order_items (user_id BIGINT UNSIGNED NOT NULL, order_id BIGINT, sku VARCHAR(20))",
    "CREATE TABLE countries (code CHAR(2) COLLATE utf8mb4_0900_bin, name VARCHAR(40))",
)
USERS = 24
KEYS = (1, 4, 7, 11, 12, 18, 23, 99)
KEY_OF = {"users": "user_id", "orders": "user_id", "order_items": "user_id", "countries": "name"}
OTHER_OF = {"users": "name", "orders": "order_id", "order_items": "order_id", "countries": "code"}


@dataclass
class World:
    whole: Any
    shards: list[Any]

    def rows(self, cursor: Any, sql: str) -> Counter[tuple[Any, ...]]:
        cursor.execute(sql)
        return Counter(cursor.fetchall())

    def planned_rows(self, plan: Plan, sql: str) -> Counter[tuple[Any, ...]]:
        found: Counter[tuple[Any, ...]] = Counter()
        for shard in places(plan):
            found += self.rows(self.shards[shard], sql)
        return found


def places(plan: Plan) -> tuple[int, ...]:
    match plan:
        case OneShard(shard):
            return (shard,)
        case AnyShard(shards):
            return (random.choice(shards),)
        case Scatter(shards) | EveryShard(shards):
            return shards
    raise AssertionError(f"not expected here: {plan}")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Mysqld() as server:
        cursors = []
        for database in ("whole", "shop0", "shop1", "shop2", "shop3"):
            cursor = server.connect(autocommit=False).cursor()
            cursor.execute(f"CREATE DATABASE {database}")
            cursor.execute(f"USE {database}")
            # Else comparing text with numbers is an error in writes, if the optimizer gets to it.
            cursor.execute("SET sql_mode = ''")
            for definition in DEFINITIONS:
                cursor.execute(definition)
            cursors.append(cursor)
        fill(World(cursors[0], cursors[1:]))
        yield World(cursors[0], cursors[1:])


def fill(world: World) -> None:
    owners = TABLE.slot_owners()
    for user in range(1, USERS + 1):
        rows = [f"INSERT INTO users VALUES ({user}, 'n{user % 5}')"]
        for order in range(user % 4):
            number = (user * 7 + order) % 15
            rows.append(f"INSERT INTO orders VALUES ({number}, {user}, {number}.5)")
            rows.append(f"INSERT INTO order_items VALUES ({user}, {number}, 'n{order}')")
        shard = owners[slot_of(b"%d" % user, TABLE.slots)]
        for row in rows:
            world.whole.execute(row)
            world.shards[shard].execute(row)
    for code in range(4):
        for cursor in (world.whole, *world.shards):
            cursor.execute(f"INSERT INTO countries VALUES ('c{code}', 'n{code}')")
    for cursor in (world.whole, *world.shards):
        cursor.execute("COMMIT")


class Writer:
    """Makes statements at random; names of sources are unique within one statement."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._names = 0

    def select(self) -> str:
        kind = self._chance.randrange(12)
        if kind == 0:
            return f"{self._block([])} UNION ALL {self._block([])}"
        if kind == 1:
            return f"SELECT d.k FROM ({self._block([])}) d"
        if kind == 2:
            return f"WITH c AS ({self._block([])}) SELECT c.k FROM c"
        return self._block([])

    def change(self) -> str:
        sources, clause = self._from()
        alias, table = self._chance.choice(sources)
        where = self._where(sources, [])
        if self._chance.random() < 0.5:
            return f"DELETE {alias} FROM {clause}{where}"
        column = {"users": "name", "countries": "name", "orders": "total"}.get(table, "order_id")
        return f"UPDATE {clause} SET {alias}.{column} = '{self._chance.randrange(9)}'{where}"

    def _block(self, outer: list[tuple[str, str]]) -> str:
        sources, clause = self._from()
        columns = ", ".join(f"{a}.{KEY_OF[t]}" for a, t in sources[1:])
        first, table = sources[0]
        shown = f"{first}.{KEY_OF[table]} AS k" + (f", {columns}" if columns and not outer else "")
        tail = self._chance.choice(("", "", "", " GROUP BY 1", " ORDER BY 1"))
        if tail == " GROUP BY 1":
            shown = f"{first}.{KEY_OF[table]} AS k"
        if outer:
            tail = ""
        return f"SELECT {shown} FROM {clause}{self._where(sources, outer)}{tail}"

    def _from(self) -> tuple[list[tuple[str, str]], str]:
        sources = [self._source()]
        clause = f"{sources[0][1]} {sources[0][0]}"
        for _ in range(self._chance.choice((0, 0, 1, 1, 2))):
            alias, table = self._source()
            join = self._chance.choice(("JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "CROSS JOIN"))
            last, last_table = sources[-1]
            both = "countries" not in (table, last_table)
            sources.append((alias, table))
            if join == "CROSS JOIN":
                clause += f" CROSS JOIN {table} {alias}"
            elif both and len(sources) == 2 and self._chance.random() < 0.2:
                clause += f" {join} {table} {alias} USING (user_id)"
            else:
                clause += f" {join} {table} {alias} ON {self._condition(sources, [])}"
                if self._chance.random() < 0.6:
                    clause += f" AND {alias}.{KEY_OF[table]} = {last}.{KEY_OF[last_table]}"
        return sources, clause

    def _source(self) -> tuple[str, str]:
        self._names += 1
        tables = ("users", "users", "orders", "orders", "order_items", "countries")
        return f"t{self._names}", self._chance.choice(tables)

    def _where(self, sources: list[tuple[str, str]], outer: list[tuple[str, str]]) -> str:
        parts = [self._condition(sources, outer) for _ in range(self._chance.randrange(3))]
        if outer and self._chance.random() < 0.8:
            (a, t), (b, u) = self._chance.choice(sources), self._chance.choice(outer)
            parts.append(f"{a}.{KEY_OF[t]} = {b}.{KEY_OF[u]}")
        if not outer and self._chance.random() < 0.3:
            inner = self._block(sources)
            parts.append(f"{self._chance.choice(('', 'NOT '))}EXISTS ({inner})")
        if not outer and self._chance.random() < 0.6:
            key = self._chance.choice(KEYS)
            chosen = sources if self._chance.random() < 0.4 else [self._chance.choice(sources)]
            parts.extend(f"{a}.{KEY_OF[t]} = {key}" for a, t in chosen if t != "countries")
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def _condition(self, sources: list[tuple[str, str]], outer: list[tuple[str, str]]) -> str:
        alias, table = self._chance.choice(sources)
        key, other = f"{alias}.{KEY_OF[table]}", f"{alias}.{OTHER_OF[table]}"
        first, second = self._chance.choice(KEYS), self._chance.choice(KEYS)
        far_alias, far_table = self._chance.choice(sources + outer)
        if table == "countries":
            return f"{alias}.code <> 'c{self._chance.randrange(4)}'"
        return self._chance.choice(
            (
                f"{key} = {first}",
                f"{key} IN ({first}, {second})",
                f"({key} = {first} OR {key} = {second})",
                f"({key} = {first} OR {other} = '{second}')",
                f"NOT {key} = {first}",
                f"({key}, {other}) = ({first}, '{second}')",
                f"{key} > {first}",
                f"{key} <=> {first}",
                f"{other} IS NOT NULL",
                f"{key} = {far_alias}.{KEY_OF[far_table]}",
                f"{other} = {far_alias}.{OTHER_OF[far_table]}",
                f"({key} = {first} XOR {other} = '{second}')",
                f"{key} BETWEEN {first} AND {second}",
                f"{key} = {first} IS NOT TRUE",
            )
        )


def test_reads_find_the_same_rows(world: World) -> None:
    planner, writer = Planner(SCHEMA, TABLE), Writer(1)
    seen: Counter[str] = Counter()
    for _ in range(3000):
        sql = writer.select()
        plan = planner.route(sql.encode())
        if isinstance(plan, Refuse | Merge | Finish):  # see test_several_on_mysqld
            seen["elsewhere"] += 1
            continue
        try:
            expected = world.rows(world.whole, sql)
        except MySQLError:
            seen["wrong"] += 1
            continue
        assert world.planned_rows(plan, sql) == expected, (sql, plan)
        seen[type(plan).__name__] += 1
        seen["with rows"] += bool(expected)
    assert seen["OneShard"] > 300 and seen["Scatter"] > 200 and seen["AnyShard"] > 30, seen
    assert seen["with rows"] > 400 and seen["elsewhere"] < 2200, seen


def test_writes_change_the_same_rows(world: World) -> None:
    planner, writer = Planner(SCHEMA, TABLE), Writer(2)
    seen: Counter[str] = Counter()
    for _ in range(2000):
        sql = writer.change()
        plan = planner.route(sql.encode())
        if isinstance(plan, Refuse):
            seen["refused"] += 1
            continue
        try:
            world.whole.execute(sql)
        except MySQLError:
            seen["wrong"] += 1
            continue
        for shard, part in parts(plan, sql):
            world.shards[shard].execute(part)
        seen[type(plan).__name__] += 1
        seen["with rows"] += world.whole.rowcount > 0
        same = all(contents(world, table) for table in KEY_OF)
        for cursor in (world.whole, *world.shards):
            cursor.execute("ROLLBACK")
        assert same, (sql, plan)
    assert seen["OneShard"] > 200 and seen["SplitWrite"] > 10, seen
    assert seen["with rows"] > 100, seen


def parts(plan: Plan, sql: str) -> list[tuple[int, bytes | str]]:
    if isinstance(plan, SplitWrite):
        return [(part.shard, part.sql) for part in plan.parts]
    return [(shard, sql) for shard in places(plan)]


def contents(world: World, table: str) -> bool:
    """Whether the shards together hold the rows of the whole; each, for reference tables."""
    sql = f"SELECT * FROM {table}"
    expected = world.rows(world.whole, sql)
    if table == "countries":
        return all(world.rows(shard, sql) == expected for shard in world.shards)
    found: Counter[tuple[Any, ...]] = Counter()
    for shard in world.shards:
        found += world.rows(shard, sql)
    return found == expected
