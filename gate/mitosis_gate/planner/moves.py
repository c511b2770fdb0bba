"""UPDATE that assigns the sharding key: nothing happens to the place of a row, or it moves.

The new key must be a literal, so that all rows end on one shard. Rows that match are read as they
will be, deleted, and inserted there; rows that have the key already are updated in place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mitosis_gate.planner.keys import Source, pin_of
from mitosis_gate.planner.layout import Layout
from mitosis_gate.planner.lexer import Kind
from mitosis_gate.planner.pins import AllOf, KeyReader, Literal, OneOf, Slot
from mitosis_gate.planner.plan import Flag, MovedRows, Plan
from mitosis_gate.planner.refusals import key_changed
from mitosis_gate.planner.rewrite import Template, copied, joined, render
from mitosis_gate.planner.statement import Span, Statement
from mitosis_routing.hashing import Doubt, slot_of


def move_rule(
    statement: Statement, source: Source, places: dict[str, int], flags: Flag
) -> "MoveRule | None":
    """None: it cannot be moved, whatever the setting. `places`: where the clauses begin."""
    first, at = places["SET"] + 1, places.get("WHERE", len(statement.tokens))
    assigned: list[tuple[str, Template]] = []
    new: Slot | None = None
    names: set[str] = set()
    if "ORDER" in places or "LIMIT" in places or statement.word(1) == "IGNORE":
        return None
    for start, last in statement.parts(first, at):
        value = _value(statement, start, last)
        if value is None:
            return None
        name = statement.tokens[value[0] - 2].text
        tokens = statement.tokens[value[0] : value[1]]
        if any(t.is_name and t.text.lower() in names for t in tokens):
            return None  # MySQL computes from left to right, with the new values
        text = copied(statement, *value)
        if len(tokens) == 1 and tokens[0].word == "DEFAULT":
            text = (b"DEFAULT(`" + name.encode().replace(b"`", b"``") + b"`)",)
        if source.place.is_key(name):
            new = _slot(statement, value)
            if new is None:
                return None
        names.add(name.lower())
        assigned.append((name.lower(), text))
    if new is None or source.place.key is None:
        return None
    end = len(statement.tokens)
    return MoveRule(
        statement.layout,
        KeyReader(source.place.key, statement.variant.utf8, stored=True),
        pin_of(source, statement.layout.everything),
        new,
        source.place.table.name,
        source.place.key_name,
        tuple(assigned),
        copied(statement, 1, places["SET"]),
        copied(statement, at + 1, end) if at < end else (),
        copied(statement, 0, at),
        flags,
    )


def _value(statement: Statement, first: int, last: int) -> Span | None:
    """Where the value of an assignment stands; its name is the token before `=`."""
    place = first
    while place + 1 < last and statement.is_mark(place + 1, "."):
        place += 2
    if not (statement.is_mark(place + 1, "=") or statement.is_mark(place + 1, ":=")):
        return None
    return (place + 2, last) if place + 2 < last else None


def _slot(statement: Statement, span: Span) -> Slot | None:
    tokens = statement.tokens[span[0] : span[1]]
    if tokens[-1].kind is not Kind.LITERAL:
        return None
    if len(tokens) == 1:
        return Slot(tokens[0].slot)
    return Slot(tokens[1].slot, negative=True) if tokens[0].text == "-" else None


@dataclass(frozen=True, slots=True)
class MoveRule:
    layout: Layout
    reader: KeyReader
    pin: AllOf
    new: Slot
    table: str
    key: str
    assigned: tuple[tuple[str, Template], ...]
    source: Template
    """The table with its alias."""
    where: Template
    head: Template
    """The statement before WHERE."""
    flags: Flag

    cacheable = True

    def bind(self, literals: Sequence[Literal]) -> Plan:
        key = self.reader.read(literals[self.new.index], self.new)
        if isinstance(key, Doubt):
            return key_changed(self.key)
        owner = self.layout.owners[slot_of(key, self.layout.slots)]
        if self._old(literals) == key:
            return self.layout.one(owner, self.flags)  # it says the key that the rows have
        new = render(dict(self.assigned)[self.key.lower()], literals)
        name = b"`" + self.key.encode().replace(b"`", b"``") + b"`"
        where = render(self.where, literals)
        both = b"(" + where + b") AND " if where else b""
        return MovedRows(
            self.layout.shards_of(self.pin.mask(literals)),
            owner,
            self.table,
            tuple((column, render(text, literals)) for column, text in self.assigned),
            render(self.source, literals),
            both + b"NOT (" + name + b" <=> " + new + b")",
            render(joined((*self.head, b" WHERE ")), literals) + both + name + b" <=> " + new,
            key_changed(self.key),
            self.flags,
        )

    def _old(self, literals: Sequence[Literal]) -> bytes | Doubt | None:
        """The key that WHERE names, if it names one."""
        pins = self.pin.pins
        if len(pins) != 1 or not isinstance(pins[0], OneOf) or len(pins[0].choices) != 1:
            return None
        slot = pins[0].choices[0]
        return pins[0].reader.read(literals[slot.index], slot)

    def slots(self) -> frozenset[int]:
        return self.pin.slots() | {self.new.index}
