"""SELECT statements, made at random, and what may be expected of their rows."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from oracle.expressions import Expressions, Source
from oracle.schemas import Table, View

_BRANCH = re.compile(r"\b(?:CASE|IF)\b")
_LOOKS = re.compile(r"\b(?:JOIN|SELECT|LIMIT)\b")
_NAMED = re.compile(r"\b(users|orders)(?= [uov]\b)")


@dataclass(frozen=True)
class Statement:
    text: str
    reads: bool = True
    sorted_by: tuple[int, ...] = ()
    """Columns of the result that must come in the same order, and not only be the same."""
    any_rows: bool = False
    """LIMIT without a whole order: only how many rows there are is certain."""
    widens: bool = False
    """MySQL makes its groups in a temporary table or without one, and with one an INT column is
    told as BIGINT, an ENUM as VARCHAR: which way depends on its plan."""
    folds: bool = False
    """Of values that are equal and look different any may stand for the others."""

    @property
    def branches(self) -> bool:
        """MySQL gives a number of CASE or IF the digits of the branch that was taken, or those of
        the column when its rows went through a temporary table: which way depends on its plan."""
        return bool(_BRANCH.search(self.text))

    @property
    def looks_as_planned(self) -> bool:
        """Which rows MySQL looks at is its plan's: of reads, of writes that end at their LIMIT, and
        of those that read other rows. So is how often it meets a text that is no number."""
        return self.reads or bool(_LOOKS.search(self.text))


class Queries:
    def __init__(self, tables: Sequence[Table], views: Sequence[View], r: random.Random) -> None:
        self.tables = {t.name: t for t in tables}
        self.views = {v.over: v.name for v in views}
        self.r = r
        self.make = Expressions(r)

    def statement(self) -> Statement:
        forms = (
            (self.plain, 20),
            (self.sorted, 16),
            (self.grouped, 18),
            (self.totals, 10),
            (self.distinct, 7),
            (self.subquery, 8),
            (self.union, 6),
            (self.common_table, 4),
            (self.window, 4),
            (self.derived, 4),
            (self.having, 3),
        )
        return self.r.choices([f for f, _ in forms], [w for _, w in forms])[0]()

    # FROM

    def source(self, alias: str = "") -> tuple[Source, str]:
        name = self.r.choice(("users", "users", "orders", "orders", "tags", "countries"))
        alias = alias or name[0]
        return Source(alias, self.tables[name]), f"{name} {alias}"

    def sources(self, most: int = 2) -> tuple[list[Source], str]:
        """Tables with aliases, and the text behind FROM."""
        r = self.r
        if most < 2 or self.make.chance(0.6):
            source, text = self.source()
            return [source], text
        users, orders = Source("u", self.tables["users"]), Source("o", self.tables["orders"])
        countries = Source("c", self.tables["countries"])
        tags = Source("t", self.tables["tags"])
        kind = r.choice(("JOIN", "JOIN", "LEFT JOIN", "INNER JOIN", "RIGHT JOIN"))
        form = r.randrange(10)
        if form < 4:
            more = r.choice(("", "", f" AND {self.make.condition([orders], 0)}"))
            on = f"ON o.user_id = u.user_id{more}"
            return [users, orders], f"users u {kind} orders o {on}"
        if form == 4:
            return [users, orders], "users u JOIN orders o USING (user_id)"
        if form == 5:
            return [users, countries], f"users u {kind} countries c ON c.code = u.country"
        if form == 6:
            return [users, orders], "users u, orders o"
        if form == 7:
            return [users, orders], f"users u {kind} orders o ON o.n = u.age"
        if form == 8:
            return [tags, users], f"tags t {kind} users u ON u.age = t.weight"
        other = Source("v", self.tables["users"])
        return [users, other], f"users u {kind} users v ON v.age = u.age AND v.user_id <> u.user_id"

    def where(self, sources: Sequence[Source], share: float = 0.6) -> str:
        return f" WHERE {self.make.condition(sources)}" if self.make.chance(share) else ""

    def from_where(self, most: int = 2) -> tuple[list[Source], str]:
        sources, text = self.sources(most)
        if text == "users u, orders o":
            glue = self.r.choice(("u.user_id = o.user_id", "u.age = o.n"))
            more = f" AND {self.make.condition(sources, 1)}" if self.make.chance(0.4) else ""
            return sources, f" FROM {self.seen(text)} WHERE {glue}{more}"
        return sources, f" FROM {self.seen(text)}{self.where(sources)}"

    def seen(self, text: str) -> str:
        """The tables of a FROM, some of them through their views."""
        return _NAMED.sub(lambda m: self.views[m[1]] if self.make.chance(0.12) else m[1], text)

    def keys(self, sources: Sequence[Source]) -> list[str]:
        """What makes an order whole: the primary keys."""
        return [f"{s.alias}.{name}" for s in sources for name in s.table.key]

    def direction(self) -> str:
        return self.r.choice(("", "", " DESC", " ASC"))

    def limit(self, share: float = 0.4) -> str:
        if not self.make.chance(share):
            return ""
        count, offset = self.r.choice((0, 1, 2, 5, 10, 1000)), self.r.choice((0, 1, 3, 20))
        return self.r.choice(
            (f" LIMIT {count}", f" LIMIT {count} OFFSET {offset}", f" LIMIT {offset}, {count}")
        )

    # statements

    def plain(self) -> Statement:
        sources, rest = self.from_where()
        if len(sources) == 1 and self.make.chance(0.3):
            select = "*"
        else:
            parts = [self.make.any(sources)[0] for _ in range(self.r.randint(1, 3))]
            if self.make.chance(0.2):
                parts[0] += " AS first_one"
            select = ", ".join(parts)
        limit = self.limit(0.15)
        return Statement(f"SELECT {select}{rest}{limit}", any_rows=bool(limit))

    def sorted(self) -> Statement:
        sources, rest = self.from_where()
        keys = []
        for _ in range(self.r.randint(1, 2)):
            found = self.make.column(sources, sortable=True)
            assert found is not None
            keys.append(found[0] if self.make.chance(0.8) else self.make.number(sources, 1))
        parts = [*keys, self.make.any(sources)[0]]
        names = list(keys)
        if self.make.chance(0.2):
            names[0] = "1"
        elif self.make.chance(0.2):
            parts[0] += " AS k"
            names[0] = "k"
        if self.make.chance(0.25):
            parts, names = parts[len(keys) :], list(keys)
            shown: tuple[int, ...] = ()
        else:
            shown = tuple(range(len(keys)))
        order = [f"{name}{self.direction()}" for name in names]
        limit = self.limit()
        if limit or not shown:
            order += [f"{key}{self.direction()}" for key in self.keys(sources)]
            shown = tuple(range(len(parts)))
        text = f"SELECT {', '.join(parts)}{rest} ORDER BY {', '.join(order)}{limit}"
        return Statement(text, sorted_by=shown)

    def aggregate(self, sources: Sequence[Source]) -> str:
        r = self.r
        exact = self.make.column(sources, ("int", "dec")) or ("1", None)
        column = self.make.column(sources, sortable=True) or exact
        number = self.make.number(sources, 1)
        bits = self.make.column(sources, ("int",)) or ("1", None)
        forms = (
            "COUNT(*)",
            "COUNT(*)",
            f"COUNT({column[0]})",
            f"SUM({exact[0]})",
            f"SUM({number})",
            f"AVG({exact[0]})",
            f"AVG({number})",
            f"MIN({column[0]})",
            f"MAX({column[0]})",
            f"COUNT(DISTINCT {column[0]})",
            f"SUM(DISTINCT {exact[0]})",
            f"BIT_OR({bits[0]})",
            f"BIT_AND({bits[0]})",
            f"BIT_XOR({bits[0]})",
            f"SUM({exact[0]}) + COUNT(*)",
            f"GROUP_CONCAT({exact[0]} ORDER BY {exact[0]})",
            f"IFNULL(MAX({exact[0]}), 0)",
            f"STDDEV_POP({bits[0]} % 10)",
            f"COUNT(DISTINCT {exact[0]}, {column[0]})",
            f"COUNT(DISTINCT {self.keys(sources)[0]})",
            f"COUNT(DISTINCT {self.keys(sources)[0]}, {column[0]})",
            f"AVG(DISTINCT {exact[0]})",
            f"MIN(DISTINCT {column[0]})",
            f"MAX({exact[0]}) - MIN({exact[0]})",
            f"GROUP_CONCAT(DISTINCT {exact[0]} ORDER BY {exact[0]} DESC SEPARATOR '/')",
            f"VAR_SAMP({bits[0]} % 10)",
        )
        form = r.choice(forms)
        return f"{form} AS agg" if self.make.chance(0.15) else form

    def grouped(self) -> Statement:
        sources, rest = self.from_where()
        groups = []
        for _ in range(self.r.choice((1, 1, 1, 2))):
            found = self.make.column(sources, sortable=True)
            assert found is not None
            groups.append(found[0] if self.make.chance(0.85) else self.make.number(sources, 1))
        aggregates = [self.aggregate(sources) for _ in range(self.r.randint(1, 2))]
        parts, by = [*groups, *aggregates], list(groups)
        if self.make.chance(0.2):
            by[0] = "1"
        elif self.make.chance(0.15):
            parts[0] += " AS g"
            by[0] = "g"
        text = f"SELECT {', '.join(parts)}{rest} GROUP BY {', '.join(by)}"
        if self.make.chance(0.1):
            return Statement(f"{text} WITH ROLLUP", widens=True, folds=True)
        if self.make.chance(0.15):
            text += f" HAVING {self.r.choice(('COUNT(*) > 1', 'COUNT(*) % 2 = 1', 'MAX(1) = 1'))}"
        if self.make.chance(0.5):
            order = [f"{g}{self.direction()}" for g in by]
            shown = tuple(range(len(groups)))
            if self.make.chance(0.3):
                order.insert(0, f"{len(groups) + 1}{self.direction()}")
                shown = (len(groups), *shown)
            limit = self.limit(0.5)
            return Statement(
                f"{text} ORDER BY {', '.join(order)}{limit}", sorted_by=shown, folds=True
            )
        return Statement(text, folds=True)

    def totals(self) -> Statement:
        sources, rest = self.from_where()
        parts = [self.aggregate(sources) for _ in range(self.r.randint(1, 3))]
        return Statement(f"SELECT {', '.join(parts)}{rest}", folds=True)

    def having(self) -> Statement:
        sources, rest = self.from_where()
        found = self.make.column(sources, sortable=True)
        assert found is not None
        condition = self.r.choice(
            ("COUNT(*) > 1", "COUNT(*) BETWEEN 2 AND 5", f"{found[0]} IS NOT NULL")
        )
        text = f"SELECT {found[0]}, COUNT(*){rest} GROUP BY {found[0]} HAVING {condition}"
        return Statement(text, folds=True)

    def distinct(self) -> Statement:
        sources, rest = self.from_where()
        columns = []
        for _ in range(self.r.choice((1, 1, 2))):
            found = self.make.column(sources, sortable=True)
            assert found is not None
            columns.append(found[0])
        text = f"SELECT DISTINCT {', '.join(columns)}{rest}"
        if self.make.chance(0.5):
            order = [f"{c}{self.direction()}" for c in columns]
            shown = tuple(range(len(columns)))
            text += f" ORDER BY {', '.join(order)}{self.limit()}"
            return Statement(text, sorted_by=shown, folds=True)
        return Statement(text, folds=True)

    def subquery(self) -> Statement:
        source, text = self.source()
        other, inner = self.source("x")
        column = (self.make.column([source], ("int",)) or (self.keys([source])[0], None))[0]
        number = (self.make.column([other], ("int",)) or (self.keys([other])[0], None))[0]
        condition = f"({self.make.condition([other], 1)})" if self.make.chance(0.6) else "1 = 1"
        rest = f"FROM {inner} WHERE {condition}"
        mine = self.keys([source])[0]
        forms = (
            f"SELECT {mine} FROM {text} WHERE {column} IN (SELECT {number} {rest})",
            f"SELECT {mine} FROM {text} WHERE EXISTS (SELECT 1 {rest} AND {number} = {column})",
            f"SELECT {mine} FROM {text} WHERE NOT EXISTS (SELECT 1 {rest} AND {number} = {column})",
            f"SELECT {mine}, (SELECT COUNT(*) {rest}) AS c FROM {text}",
            f"SELECT {mine}, (SELECT MAX({number}) {rest} AND {number} < {column}) FROM {text}",
            f"SELECT {mine} FROM {text} WHERE {column} > (SELECT AVG({number}) {rest})",
            f"SELECT {mine} FROM {text} WHERE {column} NOT IN "
            f"(SELECT {number} {rest} AND {number} IS NOT NULL)",
        )
        return Statement(self.r.choice(forms))

    def union(self) -> Statement:
        parts = []
        for _ in range(self.r.choice((2, 2, 3))):
            sources, rest = self.from_where(1)
            column = self.make.column(sources, ("int",)) or (self.keys(sources)[0], None)
            parts.append(f"SELECT {column[0]}{rest}")
        glue = self.r.choice(
            (" UNION ALL ", " UNION ALL ", " UNION ", " UNION DISTINCT ", " EXCEPT ", " INTERSECT ")
        )
        if self.make.chance(0.25):
            parts = [f"({part} ORDER BY 1 LIMIT {self.r.choice((0, 2, 5))})" for part in parts]
        text = glue.join(parts)
        if self.make.chance(0.3):
            return Statement(f"{text} ORDER BY 1{self.direction()}", sorted_by=(0,), folds=True)
        return Statement(text, folds=True)

    def common_table(self) -> Statement:
        sources, rest = self.from_where(1)
        column = self.make.column(sources, ("int",)) or (self.keys(sources)[0], None)
        key = self.keys(sources)[0]
        forms = (
            f"WITH w AS (SELECT {key} AS k, {column[0]} AS v{rest}) SELECT k, v FROM w WHERE v > 0",
            f"WITH w AS (SELECT {column[0]} AS v, COUNT(*) AS c{rest} GROUP BY {column[0]}) "
            "SELECT SUM(c), COUNT(*) FROM w",
            f"WITH w AS (SELECT {key} AS k{rest}) SELECT COUNT(*) FROM w a JOIN w b ON a.k = b.k",
            "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) "
            f"SELECT i, (SELECT COUNT(*){rest}) FROM n",
        )
        return Statement(self.r.choice(forms), folds=True)

    def window(self) -> Statement:
        sources, rest = self.from_where(1)
        keys = ", ".join(self.keys(sources))
        part = self.make.column(sources, ("int", "date", "enum")) or (keys, None)
        exact = self.make.column(sources, ("int", "dec")) or ("1", None)
        key = self.keys(sources)[0]
        over = self.r.choice(
            (
                f"ROW_NUMBER() OVER (ORDER BY {keys})",
                f"ROW_NUMBER() OVER (PARTITION BY {part[0]} ORDER BY {keys})",
                f"SUM({exact[0]}) OVER (PARTITION BY {part[0]})",
                f"COUNT(*) OVER (PARTITION BY {key})",
                f"RANK() OVER (ORDER BY {part[0]})",
                f"LAG({exact[0]}) OVER (ORDER BY {keys})",
                "COUNT(*) OVER ()",
            )
        )
        return Statement(f"SELECT {keys}, {over}{rest}", widens=True)

    def derived(self) -> Statement:
        sources, rest = self.from_where(1)
        column = self.make.column(sources, ("int",)) or (self.keys(sources)[0], None)
        key = self.keys(sources)[0]
        limit = f" ORDER BY {', '.join(self.keys(sources))} LIMIT 7"
        forms = (
            f"SELECT d.k, d.v FROM (SELECT {key} AS k, {column[0]} AS v{rest}) d WHERE d.v > 1",
            f"SELECT COUNT(*), SUM(d.v) FROM (SELECT {key} AS k, {column[0]} AS v{rest}{limit}) d",
            f"SELECT d.c FROM (SELECT {column[0]} AS v, COUNT(*) AS c{rest} "
            f"GROUP BY {column[0]}) d",
            f"SELECT u.user_id, d.k FROM users u JOIN (SELECT {key} AS k{rest}) d "
            "ON d.k = u.user_id",
        )
        return Statement(self.r.choice(forms), folds=True)
