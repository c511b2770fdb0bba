"""Names of tables in DDL, and on which shards the tables are."""

from dataclasses import dataclass

from mitosis_gate.planner.keys import Halt
from mitosis_gate.planner.layout import Layout, Living, Place
from mitosis_gate.planner.lexer import BadSql
from mitosis_gate.planner.plan import Refuse
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.statement import Statement
from mitosis_routing.table import TableRule


@dataclass(slots=True)
class Names:
    """Reads names of tables from tokens."""

    statement: Statement
    at: int

    def name(self) -> str:
        """The next name; it must belong to the keyspace."""
        first = self._part()
        if not self.statement.is_mark(self.at, "."):
            self._check(self.statement.database)
            return first
        self.at += 1
        self._check(first)
        return self._part()

    def skip(self, *words: str) -> bool:
        """Step over these words, if they come next."""
        ahead = [self.statement.word(self.at + i) for i in range(len(words))]
        if ahead == list(words):
            self.at += len(words)
            return True
        return False

    def _part(self) -> str:
        tokens = self.statement.tokens
        if self.at >= len(tokens) or not tokens[self.at].is_name:
            raise BadSql("the name of a table is missing")
        self.at += 1
        return tokens[self.at - 1].text

    def _check(self, database: str) -> None:
        if database != self.statement.layout.keyspace:
            raise Halt(
                refuse(
                    f"tables are made and changed only in keyspace "
                    f"{self.statement.layout.keyspace}, not in {database}",
                    1044,
                )
            )


def place_of(layout: Layout, name: str) -> Place:
    place = layout.place(layout.keyspace, name)
    if not isinstance(place, Place):
        raise Halt(place)
    return place


def shards_for(layout: Layout, living: Living) -> tuple[int, ...]:
    return (layout.first,) if living is Living.UNSHARDED else layout.everywhere


def living_of(rule: TableRule) -> Living:
    if rule.reference:
        return Living.REFERENCE
    return Living.SHARDED if rule.sharding_key else Living.UNSHARDED


def refused_name(layout: Layout, place: Place, new: str) -> Refuse | None:
    """Why a table cannot go by another name: the rules for that name must store it alike."""
    rule = layout.rule_of(new, tuple(c.name for c in place.table.columns))
    if isinstance(rule, Refuse):
        return rule
    key = rule.sharding_key.lower()
    if living_of(rule) is place.living and key == place.key_name.lower():
        return None
    return refuse(
        f"by the rules of the keyspace {new} would be stored in another way than {place.table.name}"
    )
