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
        )
        return Statement(self.r.choices([f for f, _ in forms], [w for _, w in forms])[0](), False)

    def table(self) -> Table:
        return self.r.choices(self.tables, (5, 5, 3, 2))[0]

    def insert(self) -> str:
        table = self.table()
        verb = self.r.choice(("INSERT INTO", "INSERT INTO", "INSERT IGNORE INTO", "REPLACE INTO"))
        rows = ", ".join(table.row(self.r) for _ in range(self.r.choice((1, 1, 2, 5))))
        names = f" ({', '.join(c.name for c in table.columns)})" if self.make.chance(0.4) else ""
        tail = ""
        if verb == "INSERT INTO" and self.make.chance(0.35):
            column = self.payload(table)
            value = self.r.choice((f"VALUES({column.name})", column.kind.literal(self.r)))
            tail = f" ON DUPLICATE KEY UPDATE {column.name} = {value}"
        return f"{verb} {table.name}{names} VALUES {rows}{tail}"

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
