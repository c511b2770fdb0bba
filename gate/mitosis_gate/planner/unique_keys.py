"""Unique keys of sharded tables that do not contain the sharding key.

MySQL keeps a key unique on one server, so a key without the sharding key is unique only within a
shard: two shards can store the same value, and no error tells. Such keys are found in the text of
the statement that makes them, before any shard sees it; `Keyspace.spec.uniqueKeys` says whether it
is refused, or runs with a warning for each key.

It is so in a keyspace of one shard too: a split would let the key down without a word.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from mitosis_gate.planner.plan import Ddl, Plan
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.schema import Table
from mitosis_gate.planner.statement import Span, Statement
from mitosis_gate.planner.table_keys import PRIMARY, UniqueKey
from mitosis_routing.table import UniqueKeys

MUST_CONTAIN = 1503
"""MySQL's error for a unique key without the columns that say in which partition a row lies."""
_CONSTRAINTS = frozenset({"PRIMARY", "UNIQUE", "FOREIGN", "CHECK"})
_NO_COLUMN = frozenset({"KEY", "INDEX", "FULLTEXT", "SPATIAL", "LIKE", *_CONSTRAINTS})
_WAYS = frozenset({"BTREE", "HASH", "RTREE"})
_ENDS = frozenset({"REFERENCES", "AFTER", "PARTITION"})
"""Behind these words a column has no more attributes, and names may look like some."""


@dataclass(slots=True)
class NewKeys:
    """The unique keys that one statement makes, and the columns that are numbered from the
    sequence."""

    statement: Statement
    found: list[UniqueKey] = field(default_factory=list)
    numbered: set[str] = field(default_factory=set)
    """In lower case."""

    def know(self, table: Table) -> None:
        """The columns that are there already."""
        self.numbered |= {c.name.lower() for c in table.columns if c.auto_increment}

    def copy(self, table: Table) -> None:
        """CREATE TABLE ... LIKE makes the keys that this table has."""
        self.know(table)
        self.found += table.unique_keys

    def add_elements(self, parts: Sequence[Span]) -> None:
        """Columns, keys and constraints, as in the parentheses of CREATE TABLE."""
        for first, last in parts:
            self._add_element(first, last)

    def add_action(self, part: Span) -> None:
        """One of ALTER TABLE."""
        statement, (first, last) = self.statement, part
        action, at = statement.word(first), first + 1
        if action not in ("ADD", "MODIFY", "CHANGE"):
            return
        if statement.word(at) == "COLUMN":
            at += 1
        if action == "ADD" and statement.is_mark(at, "("):
            self.add_elements(list(statement.parts(at + 1, statement.closing(at) - 1)))
        else:
            self._add_element(at + 1 if action == "CHANGE" else at, last)

    def add_index(self, on: int) -> None:
        """CREATE UNIQUE INDEX; `on` is the place of ON."""
        name = next((at + 1 for at in range(on) if self.statement.word(at) == "INDEX"), on)
        self._add_key(self.statement.tokens[name].text, on, len(self.statement.tokens))

    def _add_element(self, first: int, last: int) -> None:
        statement, symbol = self.statement, ""
        is_constraint = statement.word(first) == "CONSTRAINT"
        if is_constraint:
            first += 1
            if first < last and statement.word(first) not in _CONSTRAINTS:
                symbol = statement.tokens[first].text
                first += 1
        word = statement.word(first)
        if word == "PRIMARY":
            self._add_key(PRIMARY, first, last)
        elif word == "UNIQUE":
            self._add_key(self._index_name(first + 1) or symbol, first, last)
        elif first + 1 < last and not is_constraint and word not in _NO_COLUMN:
            self._add_column(first, last)

    def _index_name(self, at: int) -> str:
        statement = self.statement
        if statement.word(at) in ("KEY", "INDEX"):
            at += 1
        if statement.is_mark(at, "(") or statement.word(at + 1) in _WAYS:
            return ""
        return statement.tokens[at].text if at < len(statement.tokens) else ""

    def _add_key(self, name: str, first: int, last: int) -> None:
        statement = self.statement
        opened = next((at for at in range(first, last) if statement.is_mark(at, "(")), None)
        if opened is None:
            return  # MySQL will not take it
        texts, columns = [], []
        for start, end in statement.parts(opened + 1, statement.closing(opened) - 1):
            token = statement.tokens[start]
            if token.is_name and not statement.is_mark(start + 1, "("):
                columns.append(token.text)
                texts.append(token.text)
            else:
                texts.append(self._text(start, end))
        self.found.append(UniqueKey(name, tuple(texts), tuple(columns)))

    def _text(self, start: int, end: int) -> str:
        """A prefix or an expression, in one line."""
        if self.statement.word(end - 1) in ("ASC", "DESC"):
            end -= 1
        return " ".join(self.statement.text(start, end).decode(errors="replace").split())

    def _add_column(self, first: int, last: int) -> None:
        name = self.statement.tokens[first].text
        words = tuple(self._attributes(first + 1, last))
        is_serial = words[:1] == ("SERIAL",) or ("SERIAL", "DEFAULT") in pairwise(words)
        self.numbered.discard(name.lower())
        if is_serial or "AUTO_INCREMENT" in words:
            self.numbered.add(name.lower())
        if "PRIMARY" in words or _has_key_alone(words):
            self.found.append(UniqueKey(PRIMARY, (name,), (name,)))
        if "UNIQUE" in words or is_serial:
            self.found.append(UniqueKey("", (name,), (name,)))

    def _attributes(self, first: int, last: int) -> Iterator[str]:
        """The words of a column's definition that stand in no parentheses, empty for all else."""
        depth = 0
        for at in range(first, last):
            token = self.statement.tokens[at]
            if token.word in _ENDS:
                return
            if self.statement.is_mark(at, "("):
                depth += 1
            elif self.statement.is_mark(at, ")"):
                depth -= 1
            if depth == 0:
                yield token.word


def _has_key_alone(words: Sequence[str]) -> bool:
    """`id BIGINT KEY` makes it the primary key."""
    behind = pairwise(("", *words))
    return any(word == "KEY" and before not in ("PRIMARY", "UNIQUE") for before, word in behind)


def judged(plan: Ddl, table: str, key: str, keys: NewKeys, exists: bool = False) -> Plan:
    """The plan with a warning for each key of `table` that does not contain the sharding key `key`,
    or the refusal of the first. Nothing for tables without a sharding key.

    `exists`: the statement does nothing when the table is there, as it is, and is not refused.
    """
    if not key:
        return plan
    apart = [k for k in keys.found if key.lower() not in {c.lower() for c in k.columns}]
    if keys.statement.layout.unique_keys is UniqueKeys.STRICT and apart and not exists:
        return refuse(
            f"{_shown(apart[0])} of {table} does not contain the sharding key {key}, so it would "
            f"be unique only within a shard: add {key} to the key, or set uniqueKeys: warn in the "
            "Keyspace",
            MUST_CONTAIN,
        )
    warnings = tuple(
        (
            MUST_CONTAIN,
            f"{_shown(k)} of {table} does not contain the sharding key {key}: it is unique only "
            f"within a shard; with {key} among its columns it is unique over all shards",
        )
        for k in apart
        if not _is_numbered(k, keys.numbered)
    )
    return replace(plan, warnings=warnings)


def _is_numbered(key: UniqueKey, numbered: set[str]) -> bool:
    """Whether its values come from the sequence, which gives each to one row of all shards."""
    return len(key.parts) == 1 and [c.lower() in numbered for c in key.columns] == [True]


def _shown(key: UniqueKey) -> str:
    title = "PRIMARY KEY" if key.name == PRIMARY else f"UNIQUE KEY {key.name}".rstrip()
    return f"{title} ({', '.join(key.parts)})"
