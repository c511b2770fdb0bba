"""Definitions of columns in DDL, and whether one can be the sharding key.

Judged from the text, before any shard sees it: the key exists, is NOT NULL, of a type that hashes
the same everywhere, and text has a `_bin` collation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mitosis_gate.planner.effects import effects_of
from mitosis_gate.planner.lexer import Kind, Token
from mitosis_gate.planner.plan import Refuse
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.statement import Span, Statement
from mitosis_routing.hashing import KeyColumn, key_column
from mitosis_routing.table import TableRule

_NOT_COLUMNS = frozenset(
    "KEY INDEX UNIQUE PRIMARY CONSTRAINT FOREIGN CHECK FULLTEXT SPATIAL LIKE".split()
)


@dataclass(frozen=True, slots=True)
class Definition:
    """One column, from its tokens."""

    name: str
    type: str
    tokens: tuple[Token, ...]

    def has(self, *words: str) -> bool:
        own = [t.word for t in self.tokens]
        return any(tuple(own[i : i + len(words)]) == words for i in range(len(own)))

    def after(self, *words: str) -> str:
        """The word or name behind these words, in lower case."""
        own = [t.word for t in self.tokens]
        for i in range(len(own) - len(words)):
            if tuple(own[i : i + len(words)]) == words:
                follower = self.tokens[i + len(words)]
                return follower.text.strip("'\"").lower()
        return ""


def refused_table(
    statement: Statement,
    rule: TableRule,
    definitions: Sequence[Definition],
    parts: Sequence[Span],
    options: Sequence[Token],
) -> Refuse | None:
    key = rule.sharding_key
    definition = next((d for d in definitions if d.name.lower() == key.lower()), None)
    if definition is None:
        return refuse(
            f"table {rule.name} has no column {key}, which is its sharding key: add the column, "
            "NOT NULL"
        )
    primary = any(_is_primary_with(statement, part, key) for part in parts)
    primary |= definition.has("PRIMARY", "KEY")
    primary |= definition.has("KEY") and not definition.has("UNIQUE", "KEY")  # KEY alone means it
    if not (definition.has("NOT", "NULL") or primary):
        return refuse(f"column {key} is the sharding key and must be NOT NULL: say so")
    if definition.has("AS"):
        return refuse(
            f"column {key} is the sharding key and cannot be a generated column: the gate must "
            "find its value in the statement"
        )
    facts = key_facts(definition, table_collation(options))
    if isinstance(facts, str):
        return refuse(f"column {key} cannot be the sharding key: {facts}")
    return None


def _is_primary_with(statement: Statement, part: Span, key: str) -> bool:
    """Whether a part of the definition is a primary key that has the column."""
    tokens = statement.tokens[part[0] : part[1]]
    words = [t.word for t in tokens]
    if "PRIMARY" not in words or (tokens[0].kind is Kind.QUOTED):
        return False
    if words[0] not in ("PRIMARY", "CONSTRAINT"):
        return False
    return any(t.is_name and t.text.lower() == key.lower() for t in tokens)


def key_facts(definition: Definition, table_collation: str) -> KeyColumn | str:
    collation = definition.after("COLLATE")
    character_set = definition.after("CHARACTER", "SET") or definition.after("CHARSET")
    if not collation and character_set:
        collation = "binary" if character_set == "binary" else f"{character_set}_general_ci"
    collation = collation or table_collation or "utf8mb4_0900_ai_ci"
    return key_column(definition.type, collation)


def table_collation(options: Sequence[Token]) -> str:
    """What the options of the table say; empty when they say nothing."""
    found = {"COLLATE": "", "CHARSET": "", "SET": ""}
    for at, token in enumerate(options):
        if token.word in found:
            rest = [t for t in options[at + 1 : at + 3] if t.text != "="]
            found[token.word] = rest[0].text.strip("'\"").lower() if rest else ""
    if found["COLLATE"]:
        return found["COLLATE"]
    character_set = found["CHARSET"] or found["SET"]
    if not character_set:
        return ""
    return "binary" if character_set == "binary" else f"{character_set}_general_ci"


def definition_of(statement: Statement, part: Span) -> Definition | None:
    """The column that a part defines; None for keys and constraints."""
    tokens = statement.tokens[part[0] : part[1]]
    if len(tokens) < 2 or not tokens[0].is_name or tokens[0].word in _NOT_COLUMNS:
        return None
    return Definition(tokens[0].text, _type_of(tokens[1:]), tokens[1:])


def _type_of(tokens: Sequence[Token]) -> str:
    """As information_schema would write it: `varchar(64)`, `bigint unsigned`."""
    text = tokens[0].text.lower()
    rest = list(tokens[1:])
    if len(rest) >= 3 and rest[0].text == "(" and rest[2].text == ")":
        text += f"({rest[1].text})"
        rest = rest[3:]
    attributes = [t.word.lower() for t in rest if t.word in ("UNSIGNED", "ZEROFILL")]
    return " ".join([text, *attributes])


def differing_default(statement: Statement, span: Span, table: str) -> Refuse | None:
    """Why a default cannot be that of a reference table: each shard would compute its own."""
    for at in range(*span):
        if statement.word(at) != "DEFAULT" or not statement.is_mark(at + 1, "("):
            continue
        tokens = statement.tokens[at + 2 : statement.closing(at + 1) - 1]
        function = effects_of(tokens).differs_by_server
        if function:
            return refuse(
                f"{function} in a default has another value on each shard, and reference table "
                f"{table} must be the same on all: leave the default out and write the value "
                "(INSERT ... VALUES may say it)"
            )
    return None
