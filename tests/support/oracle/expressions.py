"""Expressions of a wanted kind over the columns of some tables."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from oracle.kinds import KINDS, Kind
from oracle.schemas import Column, Table


@dataclass(frozen=True)
class Source:
    alias: str
    table: Table

    def column(self, column: Column) -> str:
        return f"{self.alias}.{column.name}"


class Expressions:
    def __init__(self, r: random.Random) -> None:
        self.r = r

    def chance(self, share: float) -> bool:
        return self.r.random() < share

    def column(
        self, sources: Sequence[Source], kinds: Sequence[str] = (), sortable: bool = False
    ) -> tuple[str, Kind] | None:
        found = [
            (source.column(c), c.kind)
            for source in sources
            for c in source.table.columns
            if (not kinds or c.kind.name in kinds) and (not sortable or c.kind.sortable)
        ]
        return self.r.choice(found) if found else None

    def literal(self, kind: str) -> str:
        return self.r.choice([k for k in KINDS if k.name == kind]).literal(self.r)

    def number(self, sources: Sequence[Source], depth: int = 2) -> str:
        """A whole number or a DECIMAL: exact."""
        r = self.r
        column = self.column(sources, ("int", "dec", "year"))
        if depth == 0 or column is None or self.chance(0.35):
            if column is None or self.chance(0.15):
                return str(r.randint(-3, 9))
            return column[0]
        small = self.column(sources, ("int",))
        text = self.text(sources, 0)
        forms = (
            lambda: f"{self.number(sources, depth - 1)} + {r.randint(0, 9)}",
            lambda: f"({self.number(sources, 0)} - {self.number(sources, 0)} % 7)",
            lambda: f"{column[0]} % {r.randint(2, 5)}",
            lambda: f"CHAR_LENGTH({text})",
            lambda: f"IFNULL({column[0]}, {r.randint(0, 3)})",
            lambda: f"COALESCE({small[0] if small else 1}, 0) * 2",
            lambda: f"CASE WHEN {self.condition(sources, 0)} THEN 1 ELSE {column[0]} END",
            lambda: f"IF({self.condition(sources, 0)}, {column[0]}, NULL)",
            lambda: f"ABS({column[0]} % 100)",
            lambda: f"ROUND({column[0]} % 1000, 1)",
            lambda: f"{column[0]} % 50 / 4",
            lambda: f"GREATEST(IFNULL({column[0]}, 0), 2)",
            lambda: f"NULLIF({column[0]}, 1)",
            lambda: f"JSON_LENGTH({self.json(sources)})",
            lambda: f"CAST({column[0]} % 10 AS SIGNED)",
        )
        return str(r.choice(forms)())

    def text(self, sources: Sequence[Source], depth: int = 1) -> str:
        column = self.column(sources, ("str",))
        if column is None:
            return self.r.choice(("'a'", "'B'", "'abc'"))
        if depth == 0 or self.chance(0.5):
            return column[0]
        forms = (
            f"UPPER({column[0]})",
            f"CONCAT({column[0]}, '!')",
            f"LEFT({column[0]}, 2)",
            f"COALESCE({column[0]}, 'none')",
            f"CONCAT('<', {self.text(sources, depth - 1)}, '>')",
            f"TRIM({column[0]})",
        )
        return self.r.choice(forms)

    def json(self, sources: Sequence[Source]) -> str:
        column = self.column(sources, ("json",))
        return column[0] if column else "'[1, 2]'"

    def any(self, sources: Sequence[Source]) -> tuple[str, bool]:
        """Something to select, and whether equal values can look different."""
        if self.chance(0.7):
            found = self.column(sources)
            assert found is not None
            return found[0], found[1].folds
        if self.chance(0.5):
            return self.number(sources), False
        if self.chance(0.6):
            return self.text(sources), True
        moment = self.column(sources, ("date", "datetime"))
        if moment is None:
            return self.condition(sources, 0), False
        form = self.r.choice(
            ("YEAR({})", "DATE_ADD({}, INTERVAL 1 DAY)", "LAST_DAY({})", "MONTH({})", "DATE({})")
        )
        return form.format(moment[0]), False

    def condition(self, sources: Sequence[Source], depth: int = 2) -> str:
        r = self.r
        if depth and self.chance(0.4):
            left, right = self.condition(sources, depth - 1), self.condition(sources, depth - 1)
            form = r.choice(("{} AND {}", "{} AND {}", "({} OR {})", "NOT ({}) AND {}"))
            return str(form.format(left, right))
        if self.chance(0.35):
            return self.key_condition(sources)
        found = self.column(sources, sortable=True)
        assert found is not None
        column, kind = found
        if kind.name == "json" or self.chance(0.12):
            return f"{column} IS {r.choice(('', 'NOT '))}NULL"
        value = kind.literal(r)
        forms = [f"{column} {r.choice(('=', '<>', '<', '>', '<=', '>=', '<=>'))} {value}"]
        forms.append(f"{column} IN ({value}, {kind.literal(r)})")
        if kind.name in ("int", "dec", "date", "datetime"):
            forms.append(f"{column} BETWEEN {value} AND {kind.literal(r)}")
        if kind.name == "str":
            forms.append(f"{column} LIKE {r.choice(('%a%', 'a%', '_', '%b'))!r}")
        return r.choice(forms)

    def key_condition(self, sources: Sequence[Source]) -> str:
        source = self.r.choice(sources)
        name = source.table.sharding_key or source.table.key[0]
        column = next(c for c in source.table.columns if c.name == name)
        value = lambda: column.kind.literal(self.r)  # noqa: E731
        form = self.r.choice(
            (
                "{0} = {1}",
                "{0} = {1}",
                "{1} = {0}",
                "({0}, {0}) = ({1}, {1})",
                "({0}, 1) IN (({1}, 1), ({2}, 1))",
                "{0} IN ({1})",
                "{0} + 0 = {1}",
                "{0} NOT IN ({1}, {2})",
                "{0} IN ({1}, {2}, {3})",
                "({0} = {1} OR {0} = {2})",
                "{0} > {1}",
                "{0} BETWEEN {1} AND {2}",
                "{0} <> {1}",
            )
        )
        return form.format(source.column(column), value(), value(), value())
