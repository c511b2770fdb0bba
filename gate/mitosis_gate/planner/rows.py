"""Rows of INSERT and REPLACE, cut apart by shard and put together again as bytes of the client.

A row's text is copied, never written anew: the only bytes that are not the client's are the
AUTO_INCREMENT numbers and, where the statement does not name that column, its name. A number is
decimal digits made here, so that nothing a client sends can become SQL by this way: see `rewrite`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from mitosis_gate.planner.layout import Layout, Place
from mitosis_gate.planner.lexer import END
from mitosis_gate.planner.pins import KeyReader, Literal, Slot, is_plain_number
from mitosis_gate.planner.plan import (
    Flag,
    NumberedWrite,
    OneShard,
    Part,
    Plan,
    Refuse,
    SplitWrite,
    Wrote,
)
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.rewrite import Template, render
from mitosis_gate.planner.schema import Column
from mitosis_routing.hashing import Doubt, KeyColumn, KeyKind, key_column, slot_of


@dataclass(frozen=True, slots=True)
class Row:
    """One row; its text is `before`, `value`, `after`."""

    before: Template
    value: Template = ()
    """What the client gives for the AUTO_INCREMENT column, in whose place the number is put."""
    after: Template = ()
    number: Slot | None = None
    """The literal that `value` is; None: NULL, DEFAULT or nothing."""
    key: Slot | None = None
    """Sharded tables: the sharding key; None: it is the AUTO_INCREMENT column."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole statement: `head`, the rows with commas between them, `tail`."""

    head: Template
    rows: tuple[Row, ...]
    tail: Template
    wrote: Wrote
    hint_at: int
    is_listed: bool = False
    """The head names the columns, which the client's own statement does not."""

    def sql(self, texts: Sequence[bytes], literals: Sequence[Literal]) -> bytes:
        return render(self.head, literals) + b", ".join(texts) + render(self.tail, literals)


@dataclass(frozen=True, slots=True)
class RowsRule:
    """Rows whose keys are literals: to one shard as they are, to several in parts."""

    layout: Layout
    place: Place
    reader: KeyReader | None
    """How the sharding key is read; None: a reference table."""
    auto: Column | None
    """The AUTO_INCREMENT column, if the gate gives its numbers."""
    numbers: KeyReader | None
    frame: Frame | None
    """None: the statement cannot be cut apart; why, says `uncut`."""
    flags: Flag
    keys: tuple[Slot, ...] = ()
    """Those of all rows, when all have one in a literal."""
    plain: tuple[int, ...] = ()
    """Places of the keys in the literals; empty when one has a sign or an introducer."""
    uncut: Refuse | None = None

    cacheable = True

    def bind(self, literals: Sequence[Literal]) -> Plan:
        if self.auto is not None:
            return self._numbered(self.auto, literals)
        assert self.reader is not None
        layout, digits = self.layout, self.reader.digits
        mask = 0
        for literal in {literals[index] for index in self.plain}:
            if not is_plain_number(literal, digits):
                mask = 0
                break
            mask |= layout.bits[crc32(literal) & layout.slots_mask]
        if mask and not mask & (mask - 1):
            return layout.one(mask.bit_length() - 1, self.flags)
        return self._row_by_row(literals)

    def _row_by_row(self, literals: Sequence[Literal]) -> Plan:
        """Look at each key; most statements end here because their rows are of several shards."""
        found = -1
        owners: list[int] = []
        for number, slot in enumerate(self.keys, 1):
            owner = self._owner(literals, slot, number)
            if isinstance(owner, Refuse):
                return owner
            owners.append(owner)
            found = owner if found in (-1, owner) else -2
        if found >= -1:
            return self.layout.one(max(found, 0), self.flags)
        if self.frame is None:
            assert self.uncut is not None
            return self.uncut
        rows = self.frame.rows
        texts = (render(row.before, literals) for row in rows)
        return self._split(owners, texts, [0] * len(rows), literals)

    def _owner(self, literals: Sequence[Literal], slot: Slot, row: int) -> int | Refuse:
        assert self.reader is not None
        key = self.reader.read(literals[slot.index], slot)
        if not isinstance(key, Doubt):
            return self.layout.owners[slot_of(key, self.layout.slots)]
        if self.layout.single and key is not Doubt.TRAILING_SPACE:
            return 0
        return doubtful(self.place, key, row)

    def _split(
        self,
        owners: Sequence[int],
        texts: Iterator[bytes],
        generated: Sequence[int],
        literals: Sequence[Literal],
    ) -> SplitWrite:
        """`generated`: for each row the number that it got, 0 for none."""
        assert self.frame is not None
        by_shard: dict[int, list[tuple[int, bytes, int]]] = {}
        for row, (owner, text, number) in enumerate(zip(owners, texts, generated, strict=True), 1):
            by_shard.setdefault(owner, []).append((row, text, number))
        parts = tuple(
            Part(
                shard,
                self.frame.sql([text for _, text, _ in found], literals),
                tuple(row for row, _, _ in found),
                tuple(number for _, _, number in found if number),
            )
            for shard, found in sorted(by_shard.items())
        )
        return SplitWrite(
            parts,
            self.frame.wrote,
            self.flags,
            in_order=self.frame.wrote is not Wrote.INSERT,
            hint_at=self.frame.hint_at,
            number_column=(self.place.table.name, self.auto.name) if self.auto else None,
        )

    # AUTO_INCREMENT

    def _numbered(self, auto: Column, literals: Sequence[Literal]) -> Plan:
        assert self.numbers is not None
        if self.frame is None:
            assert self.uncut is not None
            return self.uncut
        found: list[int | None] = []
        for row in self.frame.rows:
            number = self._given(row, literals)
            if isinstance(number, Refuse):
                return number
            found.append(number)
        rows = BoundRows(self, _own(literals), tuple(found))
        return NumberedWrite(
            self.place.table.name, auto.name, self.numbers.column.high, rows, self.flags
        )

    def _given(self, row: Row, literals: Sequence[Literal]) -> int | None | Refuse:
        """The number that the client gives; None: one is wanted; -1: MySQL will refuse it."""
        if row.number is None:
            return None
        assert self.numbers is not None
        number = self.numbers.read(literals[row.number.index], row.number)
        if number is Doubt.NULL:
            return None
        if number is Doubt.NO_ROW:
            return -1
        if isinstance(number, Doubt):
            return unnumbered(self.place, self.auto)
        return int(number)

    def numbered(
        self,
        literals: Sequence[Literal],
        given: Sequence[int | None],
        first: int,
        keep_zeros: bool,
    ) -> OneShard | SplitWrite | Refuse:
        assert self.frame is not None
        owners: list[int] = []
        texts: list[bytes] = []
        generated: list[int] = []
        following = first
        for place, (row, number) in enumerate(zip(self.frame.rows, given, strict=True), 1):
            made = 0
            if number is None or (number == 0 and not keep_zeros):
                made, following = following, following + 1
            value = b"%d" % made if made else render(row.value, literals)
            owner = self._owner_of(row, literals, made, place)
            if isinstance(owner, Refuse):
                return owner
            owners.append(owner)
            texts.append(render(row.before, literals) + value + render(row.after, literals))
            generated.append(made)
        if self.reader is None:
            return self._everywhere(texts, generated, literals)
        if following == first and len(set(owners)) == 1 and not self.frame.is_listed:
            return self.layout.one(owners[0], self.flags)
        return self._split(owners, iter(texts), generated, literals)

    def _owner_of(
        self, row: Row, literals: Sequence[Literal], made: int, place: int
    ) -> int | Refuse:
        if self.reader is None:
            return 0
        if row.key is not None:
            return self._owner(literals, row.key, place)
        if made:
            return self.layout.owners[slot_of(b"%d" % made, self.layout.slots)]
        assert row.number is not None
        return self._owner(literals, row.number, place)

    def _everywhere(
        self, texts: Sequence[bytes], generated: Sequence[int], literals: Sequence[Literal]
    ) -> SplitWrite:
        assert self.frame is not None and self.auto is not None
        sql = self.frame.sql(texts, literals)
        rows, numbers = tuple(range(1, len(texts) + 1)), tuple(n for n in generated if n)
        return SplitWrite(
            tuple(Part(shard, sql, rows, numbers) for shard in self.layout.everywhere),
            self.frame.wrote,
            self.flags,
            alike=True,
            hint_at=self.frame.hint_at,
            number_column=(self.place.table.name, self.auto.name),
        )

    def slots(self) -> frozenset[int]:
        deciding = {slot.index for slot in self.keys}
        if self.auto is not None and self.frame is not None:
            for row in self.frame.rows:
                deciding.update(s.index for s in (row.number, row.key) if s is not None)
        return frozenset(deciding)


@dataclass(frozen=True, slots=True)
class BoundRows:
    """The rows of one statement that waits for its AUTO_INCREMENT numbers."""

    rule: RowsRule = field(compare=False)
    literals: tuple[Literal, ...]
    given: tuple[int | None, ...]

    def wanted(self, keep_zeros: bool) -> tuple[int, int]:
        zeros = (None,) if keep_zeros else (None, 0)
        count = sum(1 for number in self.given if number in zeros)
        return count, max((number for number in self.given if number), default=0)

    def split(self, first: int, keep_zeros: bool) -> OneShard | SplitWrite | Refuse:
        return self.rule.numbered(self.literals, self.given, first, keep_zeros)


def _own(literals: Sequence[Literal]) -> tuple[Literal, ...]:
    """Without the END that the cached way of the planner leaves behind them."""
    return tuple(literals[:-1] if literals and literals[-1] == END else literals)


def number_column(auto: Column) -> KeyColumn | None:
    """The range of an AUTO_INCREMENT column; None when it is no integer."""
    column = key_column(auto.type.replace(" zerofill", ""))
    return column if isinstance(column, KeyColumn) and column.kind is KeyKind.INTEGER else None


def missing_key(place: Place) -> Refuse:
    return refuse(
        f"Column '{place.key_name}' cannot be null: it is the sharding key of "
        f"{place.table.name}, so each row must give it a value",
        1048,
    )


def unnumbered(place: Place, auto: Column | None) -> Refuse:
    name = auto.name if auto else ""
    return refuse(
        f"the AUTO_INCREMENT column {name} of {place.table.name} must get a whole number, NULL or "
        "DEFAULT, or be left out: the gate gives the numbers and cannot tell what this value is"
    )


def doubtful(place: Place, doubt: Doubt, row: int) -> Refuse:
    key, name = place.key_name, place.table.name
    if doubt is Doubt.NULL:
        return missing_key(place)
    if doubt is Doubt.NO_ROW and place.key is not None and place.key.kind is KeyKind.INTEGER:
        return refuse(f"Out of range value for column '{key}' at row {row}", 1264)
    if doubt is Doubt.NO_ROW:
        return refuse(f"Data too long for column '{key}' at row {row}", 1406)
    if doubt is Doubt.TRAILING_SPACE:
        return refuse(
            f"the value of {key} at row {row} ends with a space, which the collation of {name} "
            "does not tell from the value without it: leave out the space, or use the collation "
            "utf8mb4_0900_bin"
        )
    return refuse(
        f"it is not certain what MySQL stores for the sharding key {key} at row {row}: write the "
        "value in the type of the column, and text in utf8mb4"
    )
