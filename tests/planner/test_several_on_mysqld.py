"""Generated SELECTs over several shards give the rows that one server with all rows gives.

The plans are carried out here in the plainest way: what a recipe says is done to lists of values,
and what is pulled goes into tables of a scratch database. So this judges the plans, whatever the
executor makes of them.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cmp_to_key
from typing import Any

import pytest
from keyspaces import routing_table
from pymysql.err import MySQLError

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import (
    AnyShard,
    Compare,
    Finish,
    Fold,
    Merge,
    OneShard,
    Out,
    Plan,
    Pull,
    Recipe,
    Refuse,
    Scatter,
    SortKey,
)
from mitosis_gate.planner.schema import QUERY, Column, Schema, from_rows
from mitosis_routing.hashing import slot_of
from mitosis_routing.table import OtherTables, TableRule
from mysqld import Mysqld

pytestmark = pytest.mark.mysql

Row = tuple[Any, ...]
TABLE = routing_table(
    4,
    (TableRule("t", "k"), TableRule("d", "k"), TableRule("r", reference=True)),
    others=OtherTables.UNSHARDED,
)
DEFINITIONS = (
    "CREATE TABLE t (k BIGINT NOT NULL, n INT, b BIGINT UNSIGNED, m DECIMAL(12,2), x DOUBLE, "
    "f FLOAT, c VARCHAR(20), g VARCHAR(20) COLLATE utf8mb4_general_ci, v VARBINARY(20), "
    "e ENUM('low','mid','high'), s SET('a','b','c'), y YEAR, p BIT(4), day DATE, at DATETIME(3), "
    "ts TIMESTAMP NULL, h TIME, j JSON, PRIMARY KEY (k))",
    "CREATE TABLE d (id BIGINT NOT NULL, k BIGINT NOT NULL, n INT, c VARCHAR(20), m DECIMAL(9,5), "
    "PRIMARY KEY (id, k))",
    "CREATE TABLE r (n INT NOT NULL PRIMARY KEY, c VARCHAR(20))",
    "CREATE TABLE u (k BIGINT NOT NULL PRIMARY KEY, w VARCHAR(20))",
)
COLUMNS = "k n b m x f c g v e s y p day at ts h".split()
NUMBERS = "k n b m x y".split()
DISTINCTS = (
    "COUNT(DISTINCT m)",
    "COUNT(DISTINCT c)",
    "SUM(DISTINCT n)",
    "COUNT(DISTINCT n, c)",
    "COUNT(DISTINCT k)",
)
EXPRESSIONS = ("COUNT(*) + 1", "SUM(n) / COUNT(*)", "GROUP_CONCAT(n ORDER BY k)")


@dataclass
class World:
    whole: Any
    shards: list[Any]
    scratch: Any
    planner: Planner
    schema: Schema

    def rows(self, cursor: Any, sql: bytes | str) -> list[Row]:
        cursor.execute(sql)
        return list(cursor.fetchall())


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Mysqld() as server:
        cursors = []
        for database in ("shop", "shop0", "shop1", "shop2", "shop3", "scratch"):
            cursor = server.connect(autocommit=True).cursor()
            cursor.execute(f"CREATE DATABASE {database}")
            cursor.execute(f"USE {database}")
            for definition in DEFINITIONS if database != "scratch" else ():
                cursor.execute(definition)
            cursors.append(cursor)
        cursors[0].execute(QUERY)
        schema = from_rows(cursors[0].fetchall())
        cursors[-1].execute("SET SESSION sql_mode = REPLACE(@@sql_mode, 'ONLY_FULL_GROUP_BY', '')")
        world = World(cursors[0], cursors[1:5], cursors[5], Planner(schema, TABLE), schema)
        fill(world, random.Random(7))
        yield world


def fill(world: World, chance: random.Random) -> None:
    def some(make: Callable[[], str]) -> str:
        return "NULL" if chance.random() < 0.12 else make()

    words = ("'a'", "'A'", "'b'", "'ä'", "'zz'", "'a '", "'a\\t'", "''", "'Z'", "'ß'", "'ss'")
    owners = TABLE.slot_owners()
    for k in range(60):
        row = ", ".join(
            [
                str(k),
                some(lambda: str(chance.randrange(-3, 6))),
                some(lambda: str(chance.choice((0, 1, 2**64 - 1, 7)))),
                some(lambda: f"{chance.randrange(-400, 400)}.{chance.randrange(10)}5"),
                some(lambda: str(chance.choice((0.5, -2.25, 1e10, 3, 0)))),
                some(lambda: str(chance.choice((0.1, 1.1, 16777217, -0.0)))),
                *(some(lambda: chance.choice(words)) for _ in range(3)),
                some(lambda: chance.choice(("'low'", "'mid'", "'high'"))),
                some(lambda: chance.choice(("'a'", "'b,c'", "''", "'a,c'"))),
                some(lambda: chance.choice(("1999", "2024", "0"))),
                some(lambda: chance.choice(("b'1'", "b'1001'", "b'0'"))),
                some(lambda: f"'2024-0{chance.randrange(1, 4)}-1{chance.randrange(3)}'"),
                some(lambda: f"'2024-01-01 10:00:0{chance.randrange(3)}.12{chance.randrange(3)}'"),
                some(lambda: f"'2024-10-27 0{chance.randrange(4)}:30:00'"),
                some(lambda: chance.choice(("'-12:30:00'", "'10:00:00'", "'100:00:01'"))),
                some(lambda: chance.choice(("'[1, 2]'", "'{\"a\": 1}'"))),
            ]
        )
        shard = world.shards[owners[slot_of(b"%d" % k, TABLE.slots)]]
        for cursor in (world.whole, shard):
            cursor.execute(f"INSERT INTO t VALUES ({row})")
        for number in range(chance.randrange(4)):
            detail = (
                f"{chance.randrange(90)}{number}, {k}, {chance.randrange(4)}, "
                f"{chance.choice(words)}, {chance.randrange(1000)}.{chance.randrange(99999):05}"
            )
            for cursor in (world.whole, shard):
                cursor.execute(f"INSERT INTO d VALUES ({detail})")
    for n in range(5):
        for cursor in (world.whole, *world.shards):
            cursor.execute(f"INSERT INTO r VALUES ({n}, {words[n]})")
    for k in range(0, 60, 7):
        for cursor in (world.whole, world.shards[TABLE.slot_owners()[0]]):
            cursor.execute(f"INSERT INTO u VALUES ({k}, {words[k % 11]})")


# The plainest executor


def carried_out(world: World, plan: Plan, sql: str) -> list[Row]:
    match plan:
        case OneShard(shard):
            return world.rows(world.shards[shard], sql)
        case AnyShard(shards):
            return world.rows(world.shards[shards[0]], sql)
        case Scatter(shards):
            return [row for shard in shards for row in world.rows(world.shards[shard], sql)]
        case Merge(shards, text, recipe):
            answers = [world.rows(world.shards[shard], text) for shard in shards]
            return merged(answers, recipe)
        case Finish():
            return finished(world, plan)
    raise AssertionError(plan)


def compared(keys: Sequence[SortKey], one: Row, other: Row) -> int:
    for key in keys:
        a, b = one[key.column], other[key.column]
        if a == b:
            continue
        if a is None or b is None:
            less = a is None
        else:
            if key.compare is Compare.BYTES:
                assert isinstance(a, bytes) and isinstance(b, bytes), (a, b)
            less = a < b
        return -1 if less is not key.descending else 1
    return 0


def merged(answers: list[list[Row]], recipe: Recipe) -> list[Row]:
    order = cmp_to_key(lambda a, b: compared(recipe.order, a, b))
    for rows in answers:
        assert [order(r) for r in rows] == sorted(order(r) for r in rows), "not in order"
    rows = sorted((row for rows in answers for row in rows), key=order)
    if recipe.groups is None:
        out = [row[recipe.hidden :] for row in rows]
    else:
        groups: list[list[Row]] = []
        for row in rows:
            keys = recipe.order[: recipe.groups]
            if groups and compared(keys, groups[-1][0], row) == 0:
                groups[-1].append(row)
            else:
                groups.append([row])
        if not groups and recipe.groups == 0:
            groups = [[]]
        wholes = [folded(group, recipe) for group in groups]
        wholes.sort(key=cmp_to_key(lambda a, b: compared(recipe.resort, a, b)))
        out = [tuple(whole[o.column] for o in recipe.columns) for whole in wholes]
    end = None if recipe.limit is None else recipe.offset + recipe.limit
    return out[recipe.offset : end]


def folded(rows: list[Row], recipe: Recipe) -> Row:
    whole = list(rows[0]) if rows else [None] * (1 + max(o.column for o in recipe.columns))
    for out in recipe.columns:
        whole[out.column] = one_value(rows, out, recipe)
    return tuple(whole)


def one_value(rows: list[Row], out: Out, recipe: Recipe) -> Any:
    values = [row[out.column] for row in rows if row[out.column] is not None]
    match out.fold:
        case Fold.FIRST:
            return rows[0][out.column]
        case Fold.COUNT:
            return sum(values)
        case Fold.SUM:
            return sum(values) if values else None
        case Fold.AVG:
            total, count = ([row[i] for row in rows if row[i] is not None] for i in out.inputs)
            if not sum(count):
                return None
            digits = -values[0].as_tuple().exponent if isinstance(values[0], Decimal) else None
            average = sum(total) / sum(count)
            return average if digits is None else Average(average, digits)
        case Fold.MIN | Fold.MAX:
            known = [row for row in rows if row[out.inputs[0]] is not None]
            best = min if out.fold is Fold.MIN else max
            return best(known, key=lambda r: r[out.inputs[0]])[out.column] if known else None
        case Fold.COUNT_DISTINCT:
            seen = {tuple(row[i] for i in out.inputs) for row in rows}
            return sum(1 for value in seen if None not in value)
        case Fold.SUM_DISTINCT:
            distinct = {row[out.inputs[0]] for row in rows} - {None}
            return sum(distinct) if distinct else None
        case _:
            result = 2**64 - 1 if out.fold is Fold.BIT_AND else 0
            for value in values:
                bits = int(value)
                result = {
                    Fold.BIT_AND: result & bits,
                    Fold.BIT_OR: result | bits,
                    Fold.BIT_XOR: result ^ bits,
                }[out.fold]
            return result


class Average(Decimal):
    """Equal to what MySQL shows of it."""

    def __new__(cls, value: Decimal, digits: int) -> "Average":
        return super().__new__(cls, value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def finished(world: World, plan: Finish) -> list[Row]:
    scratch, values = world.scratch, ()
    if plan.values:
        values = world.rows(world.shards[0], b"SELECT " + b", ".join(plan.values))[0]
    pulled: list[list[Row]] = []
    for pull in plan.pulls:
        scratch.execute(f"DROP TABLE IF EXISTS `{pull.name}`")
        columns = [pull.table.columns[i] for i in pull.columns]
        scratch.execute(f"CREATE TABLE `{pull.name}` ({', '.join(map(defined, columns))})")
        rows = [
            row
            for shard in pull.shards
            for row in world.rows(world.shards[shard], looked_up(pull, plan, pulled, shard))
        ]
        pulled.append(rows)
        if rows:
            marks = ", ".join(["%s"] * len(columns))
            scratch.execute("SET time_zone = '+00:00'")
            scratch.executemany(f"INSERT INTO `{pull.name}` VALUES ({marks})", rows)
    scratch.execute("SET time_zone = 'SYSTEM'")
    text = b"".join(
        piece if isinstance(piece, bytes) else scratch.mogrify("%s", (values[piece],)).encode()
        for piece in plan.text
    )
    return world.rows(scratch, text)


def defined(column: Column) -> str:
    collation = f" COLLATE {column.collation}" if column.collation else ""
    return f"`{column.name}` {column.declared}{collation} NULL"


def looked_up(pull: Pull, plan: Finish, pulled: list[list[Row]], shard: int) -> bytes:
    """The text of a pull, narrowed by everything that may narrow it."""
    text = pull.text.replace(b"`shop`.", b"`shop%d`." % shard)
    where = pull.where
    for lookup in pull.lookups:
        names = [
            plan.pulls[lookup.pull].table.columns[i].name for i in plan.pulls[lookup.pull].columns
        ]
        place = [n.lower() for n in names].index(lookup.other.lower())
        values = {row[place] for row in pulled[lookup.pull]} - {None}
        listed = ", ".join(repr(v) if not isinstance(v, Decimal) else str(v) for v in values)
        text += (
            b" AND " if where else b" WHERE "
        ) + f"`{lookup.column}` IN ({listed or 'NULL'})".encode()
        where = True
    return text + pull.tail


# Statements


class Writer:
    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def one_of(self, *choices: str) -> str:
        return self._chance.choice(choices)

    def select(self) -> tuple[str, bool]:
        """A statement, and whether it orders its rows."""
        kind = self._chance.randrange(10)
        make = [self.ordered, self.ordered, self.grouped, self.grouped, self.total, self.distinct]
        return make[kind]() if kind < len(make) else self.mixed()

    def where(self, alias: str = "") -> str:
        a = f"{alias}." if alias else ""
        parts = [
            f"{a}n > {self._chance.randrange(-3, 4)}",
            f"{a}c = 'a'",
            f"{a}n IN (1, 2, {self._chance.randrange(5)})",
            f"{a}n IS NOT NULL",
            f"{a}k BETWEEN {self._chance.randrange(30)} AND 45",
            f"({a}n = 1 OR {a}c LIKE 'z%')",
            f"NOT {a}n = 2",
        ]
        chosen = self._chance.sample(parts, self._chance.choice((0, 0, 1, 2)))
        return f" WHERE {' AND '.join(chosen)}" if chosen else ""

    def limit(self) -> str:
        return self.one_of("", "", " LIMIT 7", " LIMIT 3, 5", " LIMIT 4 OFFSET 50")

    def ordered(self) -> tuple[str, bool]:
        keys = self._chance.sample(COLUMNS, self._chance.randrange(1, 4))
        if self._chance.random() < 0.3:
            keys.insert(
                0, self.one_of("n + 1", "ABS(n)", "UPPER(c)", "YEAR(day)", "-m", "n IS NULL")
            )
        order = ", ".join(k + self.one_of("", " DESC", " ASC") for k in keys) + ", k"
        columns = self.one_of(
            "*", "k, c, n AS nn", "c, t.*", "DISTINCT k, n, c, " + ", ".join(COLUMNS)
        )
        return f"SELECT {columns} FROM t{self.where()} ORDER BY {order}{self.limit()}", True

    def aggregate(self, alias: str = "") -> str:
        a = f"{alias}." if alias else ""
        column = a + self._chance.choice(NUMBERS[:-1])
        other = a + self._chance.choice("k n b m x f y day at h".split())
        return self.one_of(
            "COUNT(*)",
            f"COUNT({other})",
            f"SUM({column})",
            f"AVG({a}{self.one_of('k', 'n', 'm')})",
            f"MIN({other})",
            f"MAX({other})",
            f"BIT_XOR({a}n)",
            f"BIT_AND({a}b)",
            f"BIT_OR({a}k)",
        )

    def grouped(self) -> tuple[str, bool]:
        groups = self._chance.sample(
            "n c g v e s y p day at h m b k YEAR(day) n+1".split(), self._chance.choice((1, 1, 2))
        )
        if self._chance.random() < 0.2:
            groups.append("DATE(at)")
        shown = [g for g in groups if g not in ("c", "g")]
        totals = [self.aggregate() for _ in range(self._chance.randrange(1, 3))]
        if self._chance.random() < 0.3:
            totals.append(self.one_of(*DISTINCTS))
        totals = [f"{total} AS a{i}" for i, total in enumerate(totals)]
        tail = self.one_of("", "", " WITH ROLLUP", " HAVING COUNT(*) > 1", "", "")
        order = ""
        if not tail.startswith(" WITH") and self._chance.random() < 0.6:
            keys = [g + self.one_of("", " DESC") for g in groups]
            self._chance.shuffle(keys)
            if self._chance.random() < 0.4:
                keys.insert(0, "a0" + self.one_of("", " DESC"))
            order = " ORDER BY " + ", ".join(keys) + self.limit()
        columns = ", ".join(shown + totals)
        return (
            f"SELECT {columns} FROM t{self.where()} GROUP BY {', '.join(groups)}{tail}{order}",
            bool(order),
        )

    def total(self) -> tuple[str, bool]:
        totals = [self.aggregate() for _ in range(self._chance.randrange(1, 4))]
        if self._chance.random() < 0.4:
            totals.append(self.one_of("COUNT(DISTINCT n)", "COUNT(DISTINCT c)", "SUM(DISTINCT m)"))
        if self._chance.random() < 0.2:
            totals.append(self.one_of(*EXPRESSIONS))
        where = self.one_of(self.where(), self.where(), " WHERE n = 77")
        return f"SELECT {', '.join(totals)} FROM t{where}", False

    def distinct(self) -> tuple[str, bool]:
        columns = self._chance.sample(
            "n e s y p day at h m b n+1".split(), self._chance.randrange(1, 3)
        )
        order = [c + self.one_of("", " DESC") for c in columns]
        self._chance.shuffle(order)
        tail = " ORDER BY " + ", ".join(order) + self.limit() if self._chance.random() < 0.7 else ""
        return f"SELECT DISTINCT {', '.join(columns)} FROM t{self.where()}{tail}", bool(tail)

    def mixed(self) -> tuple[str, bool]:
        """Those whose line begins with `=` have a whole order."""
        line = self._chance.choice(MIXED.splitlines())
        w = self.where("a")
        key = self._chance.randrange(60)
        sql = line.removeprefix("= ").replace("{w}", w).replace("{k}", str(key))
        return sql.replace("{and}", f"{w} AND" if w else " WHERE"), line.startswith("= ")


MIXED = """\
= SELECT a.k, b.id, b.m FROM t a JOIN d b ON a.k = b.k{w} ORDER BY b.m, a.k, b.id
SELECT a.k, b.id FROM t a LEFT JOIN d b ON a.n = b.n AND b.m > 500{w}
= SELECT a.k, b.k FROM t a JOIN t b ON a.n = b.n{w} ORDER BY a.k, b.k LIMIT 20
SELECT b.n, SUM(b.m), COUNT(*) FROM t a JOIN d b ON a.k = b.k{w} GROUP BY b.n
SELECT a.k FROM t a{and} EXISTS (SELECT 1 FROM d WHERE d.k = a.k AND d.n = 2)
= SELECT a.k FROM t a{and} a.k IN (SELECT k FROM d WHERE n > 1) ORDER BY 1
SELECT a.k FROM t a{and} a.k NOT IN (SELECT k FROM d WHERE n > 1)
SELECT a.k FROM t a{and} a.n NOT IN (SELECT n FROM d WHERE m < 300)
SELECT a.k, (SELECT COUNT(*) FROM d WHERE d.n = a.n) FROM t a{w}
SELECT a.k, (SELECT COUNT(*) FROM d WHERE d.k = a.k) FROM t a{w}
= SELECT k FROM t UNION SELECT k FROM d ORDER BY k DESC LIMIT 9
SELECT k, n FROM t WHERE n = 1 UNION ALL SELECT k, n FROM d WHERE n = 2
WITH q AS (SELECT n, COUNT(*) z FROM t GROUP BY n) SELECT a.k, q.z FROM t a JOIN q ON q.n = a.n{w}
SELECT k, RANK() OVER (ORDER BY n, k) FROM t
= SELECT k, id, ROW_NUMBER() OVER (PARTITION BY k ORDER BY m, id) FROM d ORDER BY m, id, k
= SELECT a.k, u.w FROM t a JOIN u ON u.k = a.k{w} ORDER BY a.k
SELECT a.k, u.w FROM u LEFT JOIN t a ON u.k = a.k
= SELECT a.k, r.c FROM t a JOIN r ON r.n = a.n{w} ORDER BY r.n DESC, a.k
SELECT r.n, COUNT(a.k) FROM r LEFT JOIN t a ON r.n = a.n GROUP BY r.n
SELECT * FROM (SELECT k, COUNT(*) z FROM d GROUP BY k) q WHERE q.z > 1
SELECT q.z, COUNT(*) FROM (SELECT k, COUNT(*) z FROM d GROUP BY k) q GROUP BY q.z
SELECT COUNT(*) FROM (SELECT k FROM d LIMIT 5) q
SELECT COUNT(*) FROM (SELECT DISTINCT n FROM d) q
SELECT q.* FROM (SELECT * FROM t) q WHERE q.k = {k}
SELECT q.* FROM (SELECT k, n FROM t ORDER BY n, k LIMIT 9) q WHERE q.k = {k}
SELECT q.n, q.z FROM (SELECT n, k, COUNT(*) z FROM d GROUP BY n, k) q WHERE q.k = {k}
SELECT q.k, q.z FROM (SELECT MAX(k) k, n z FROM d GROUP BY n) q WHERE q.k = {k}
SELECT q.k, q.z FROM (SELECT k, COUNT(*) OVER (PARTITION BY n) z FROM d) q WHERE q.k = {k}
WITH q AS (SELECT * FROM d) SELECT q.id, a.n FROM q JOIN t a ON a.k = q.k WHERE a.k = {k}
WITH q AS (SELECT * FROM d) SELECT x.id FROM q x JOIN q y ON x.k = y.k WHERE x.k = {k}
WITH q AS (SELECT * FROM d) SELECT x.id FROM q x LEFT JOIN q y ON x.k = y.k AND y.k = {k}
SELECT q.k, q.n FROM (SELECT k, n FROM t UNION ALL SELECT k, n FROM d) q WHERE q.k = {k}
= SELECT a.ts, a.f, a.j FROM t a JOIN u ON u.k = a.k ORDER BY a.k
SELECT shop.t.k FROM t JOIN d ON d.id = t.k
SELECT COUNT(*), CURRENT_USER() FROM t a, d b WHERE a.c = b.c
= SELECT k FROM t WHERE (k, n) IN (({k}, 1), (7, 2), (3, 3)) ORDER BY k
SELECT k FROM t WHERE (n, k) IN ((1, {k}))
SELECT k FROM t WHERE k = {k} OR k IN (1, {k}) OR (k = 5 AND n = 1)
SELECT a.k FROM t a WHERE a.k = {k} AND a.k IN (SELECT k FROM d)
SELECT a.k FROM t a WHERE a.k = {k} AND a.n IN (SELECT n FROM d WHERE d.k = a.k)
SELECT a.k FROM t a WHERE a.k = {k} AND EXISTS (SELECT * FROM d WHERE d.k = a.k GROUP BY d.n)
SELECT a.k, b.id FROM t a JOIN (SELECT k, id FROM d) b ON b.k = a.k WHERE a.k = {k}
SELECT a.k, b.z FROM t a JOIN (SELECT k, SUM(m) z FROM d GROUP BY k) b ON b.k = a.k
SELECT a.k, b.z FROM t a LEFT JOIN (SELECT k, SUM(m) z FROM d GROUP BY k) b ON b.k = a.k
= SELECT k, COUNT(*), MAX(id) FROM d GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 8
= SELECT n, COUNT(*), COUNT(DISTINCT k) FROM d GROUP BY 1 ORDER BY 1 DESC
= SELECT n AS c, COUNT(*) FROM d GROUP BY d.n ORDER BY c
= SELECT DISTINCT n, k FROM d ORDER BY 2 DESC, 1 LIMIT 5
SELECT COUNT(*) + 1, AVG(n) * 2 FROM t{w}
SELECT COUNT(*) FROM t GROUP BY c HAVING COUNT(*) > 3
"""


def test_rows_are_those_of_one_server(world: World) -> None:
    writer = Writer(11)
    seen: Counter[str] = Counter()
    for _ in range(800):
        sql, ordered = writer.select()
        plan = world.planner.route(sql.encode())
        try:
            expected = world.rows(world.whole, sql)
        except MySQLError:
            seen["wrong"] += 1
            continue
        assert not isinstance(plan, Refuse), (sql, plan)
        found = carried_out(world, plan, sql)
        if ordered:
            assert found == expected, (sql, plan)
        else:
            assert Counter(found) == Counter(expected), (sql, plan)
        seen[type(plan).__name__] += 1
        seen["with rows"] += bool(expected)
    assert seen["Merge"] > 300 and seen["Finish"] > 150 and seen["with rows"] > 500, seen
    assert seen["wrong"] < 200, seen
