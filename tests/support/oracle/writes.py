"""INSERT, REPLACE, UPDATE and DELETE, made at random."""

import random
from collections.abc import Sequence

from oracle.expressions import Expressions, Source
from oracle.queries import Statement
from oracle.schemas import Column, Table


class Writes:
    def __init__(self, tables: Sequence[Table], r: random.Random) -> None:
        self.tables = tables
        self.r = r
        self.make = Expressions(r)

    def statement(self) -> Statement:
        forms = (
            (self.insert, 9),
            (self.update, 8),
            (self.delete, 4),
            (self.copy, 1),
            (self.joined, 1),
            (self.nested, 3),
            (self.met, 2),
        )
        return Statement(self.r.choices([f for f, _ in forms], [w for _, w in forms])[0](), False)

    def table(self) -> Table:
        return self.r.choices(self.tables, (5, 5, 3, 2))[0]

    def insert(self) -> str:
        table = self.table()
        verb = self.r.choice(("INSERT INTO", "INSERT INTO", "INSERT IGNORE INTO", "REPLACE INTO"))
        rows = ", ".join(self.row(table) for _ in range(self.r.choice((1, 1, 2, 5))))
        names = f" ({', '.join(c.name for c in table.columns)})" if self.make.chance(0.4) else ""
        tail = ""
        if verb == "INSERT INTO" and self.make.chance(0.35):
            column = self.payload(table)
            value = self.r.choice((f"VALUES({column.name})", column.kind.literal(self.r)))
            tail = f" ON DUPLICATE KEY UPDATE {column.name} = {value}"
        return f"{verb} {table.name}{names} VALUES {rows}{tail}"

    def row(self, table: Table) -> str:
        """Some rows have a sharding key that is computed."""
        row = table.row(self.r)
        if not self.make.chance(0.06):
            return row
        key, comma, rest = row.removeprefix("(").partition(",")
        form = self.r.choice(("CONCAT({}, '')", "TRIM({})")) if key[0] == "'" else "{} + 1 - 1"
        return f"({form.format(key)}{comma}{rest}"

    def payload(self, table: Table) -> Column:
        return self.r.choice([c for c in table.columns if c.name not in table.key])

    def update(self) -> str:
        table = self.table()
        column = self.payload(table)
        value = "NULL" if self.make.chance(0.15) else column.kind.literal(self.r)
        if column.kind.name == "int" and self.make.chance(0.4):
            value = f"{column.name} + 1"
        source = Source(table.name, table)
        tail = self.tail(table)
        verb = self.r.choice(("UPDATE", "UPDATE", "UPDATE", "UPDATE IGNORE"))
        return f"{verb} {table.name} SET {column.name} = {value}{self.where(source)}{tail}"

    def where(self, source: Source) -> str:
        condition = self.make.condition([source], 1)
        if not self.make.chance(0.5):
            condition = self.make.key_condition([source])
        return f" WHERE {condition}" if self.make.chance(0.9) else ""

    def tail(self, table: Table) -> str:
        if not self.make.chance(0.15):
            return ""
        return f" ORDER BY {', '.join(table.key)} LIMIT {self.r.choice((1, 3, 10))}"

    def delete(self) -> str:
        table = self.table()
        where = f" WHERE {self.make.key_condition([Source(table.name, table)])}"
        if self.make.chance(0.3):
            where = f" WHERE {self.make.condition([Source(table.name, table)], 1)}"
        return f"DELETE FROM {table.name}{where}{self.tail(table)}"

    def joined(self) -> str:
        """Over two tables whose rows live together."""
        users, orders = Source("u", self.tables[0]), Source("o", self.tables[1])
        condition = self.make.condition([users, orders], 0)
        on = "u.user_id = o.user_id"
        return self.r.choice(
            (
                f"DELETE o FROM orders o JOIN users u ON {on} WHERE o.n = 3 AND {condition}",
                f"UPDATE users u JOIN orders o ON {on} SET u.age = 4 WHERE {condition}",
                f"UPDATE users u, orders o SET u.age = u.age + 1 WHERE {on} AND o.n = 1",
            )
        )

    def met(self) -> str:
        """Over two tables whose rows meet across shards, of which one is written."""
        users, orders, tags = (
            Source(name, table) for name, table in zip("uot", self.tables, strict=False)
        )
        numbers = {"u": "u.age", "o": "o.n", "t": "t.weight"}
        one, other = self.r.sample((users, orders, tags), 2)
        kind = self.r.choice(("JOIN", "JOIN", "INNER JOIN", "LEFT JOIN"))
        both = f"{one.table.name} {one.alias} {kind} {other.table.name} {other.alias}"
        on = f"{numbers[one.alias]} = {numbers[other.alias]}"
        where = f" WHERE {self.make.condition([one, other], 1)}"
        if self.make.chance(0.4):
            return f"DELETE {one.alias} FROM {both} ON {on}{where}"
        payload = self.payload(one.table)
        value = payload.kind.literal(self.r)
        if payload.kind.name == "int" and self.make.chance(0.5):
            value = f"{one.column(payload)} + 1"
        return f"UPDATE {both} ON {on} SET {one.column(payload)} = {value}{where}"

    def nested(self) -> str:
        """With a subquery about a table whose rows live elsewhere, or beside."""
        table, other = self.table(), self.table()
        source, inner = Source(table.name, table), Source("x", other)
        number = (self.make.column([inner], ("int",)) or ("1", None))[0]
        mine = self.r.choice([c for c in table.columns if c.kind.name == "int"] or table.columns)
        column = source.column(mine)
        rest = f"FROM {other.name} x WHERE ({self.make.condition([inner], 1)})"
        condition = self.r.choice(
            (
                f"{column} IN (SELECT {number} {rest})",
                f"{column} NOT IN (SELECT {number} {rest} AND {number} IS NOT NULL)",
                f"EXISTS (SELECT 1 {rest} AND {number} = {column})",
                f"{column} > (SELECT AVG({number}) {rest})",
                f"{column} = (SELECT MAX({number}) {rest}) AND {self.make.condition([source], 0)}",
            )
        )
        numbers = [c for c in table.columns if c.kind.name == "int" and c.name not in table.key]
        if numbers and self.make.chance(0.4):
            value = f"(SELECT COUNT(*) {rest})"
            if self.make.chance(0.5):
                value = f"(SELECT MIN({number}) % 3 {rest} AND {number} = {column})"
            assigned = self.r.choice(numbers).name
            return f"UPDATE {table.name} SET {assigned} = {value}{self.where(source)}"
        if self.make.chance(0.5):
            return f"DELETE FROM {table.name} WHERE {condition}"
        payload = self.payload(table)
        value = payload.kind.literal(self.r)
        return f"UPDATE {table.name} SET {payload.name} = {value} WHERE {condition}"

    def copy(self) -> str:
        return self.r.choice(
            (
                "REPLACE INTO countries (code) SELECT 'ZZ' FROM countries LIMIT 1",
                "INSERT IGNORE INTO orders (user_id, n) SELECT user_id, 9 FROM users "
                f"WHERE user_id = {self.r.randrange(1, 41)}",
                "INSERT IGNORE INTO orders (user_id, n) SELECT user_id, 8 FROM users "
                f"WHERE user_id < {self.r.randrange(1, 10)}",
            )
        )
