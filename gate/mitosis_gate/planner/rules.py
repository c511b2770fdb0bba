"""What is kept of a planned shape: from the literals of a statement to its plan, unparsed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol
from zlib import crc32

from mitosis_gate import relay
from mitosis_gate.planner.layout import Layout
from mitosis_gate.planner.pins import KeyReader, Literal, Pin, Slot
from mitosis_gate.planner.plan import (
    AnyShard,
    EveryShard,
    ExplainOne,
    Finish,
    Flag,
    GateExplain,
    KeyedWrite,
    LimitedWrite,
    Merge,
    MovedRows,
    OneShard,
    Plan,
    Refuse,
    Scatter,
    SplitWrite,
    UnknownTable,
)
from mitosis_gate.planner.refusals import refuse
from mitosis_routing.hashing import KeyKind


class Rule(Protocol):
    @property
    def cacheable(self) -> bool:
        """Whether every statement of the same shape may be planned with it."""

    def bind(self, literals: Sequence[Literal]) -> Plan:
        """Plan the statement of this shape that has these literals."""

    def slots(self) -> frozenset[int]:
        """Which literals decide the plan."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same plan whatever the literals are."""

    plan: Plan
    cacheable: bool = True

    def bind(self, literals: Sequence[Literal]) -> Plan:
        return self.plan

    def slots(self) -> frozenset[int]:
        return frozenset()


class Flagged(Rule, Protocol):
    """A rule whose plans for one shard all have the same flags."""

    @property
    def flags(self) -> Flag: ...


class Several(Protocol):
    """Plans a statement for several shards together."""

    def bind(self, literals: Sequence[Literal], mask: int) -> Plan:
        """Rows that matter lie on the shards of `mask` only."""


_QUOTE, _SPACE, _ZERO = b"' 0"


class Point(relay.PointState):
    """One sharded table whose key equals one literal: the shape of nearly all statements.

    Plain whole numbers and plain text, which need no conversion, go straight from the bytes of the
    statement to the plan; everything else goes to the rule that knows all cases.
    """

    __slots__ = ("_otherwise",)
    cacheable = True

    def __init__(self, layout: Layout, reader: KeyReader, slot: Slot, otherwise: Flagged) -> None:
        column = reader.column
        plain = not (slot.negative or slot.introducer)
        self.index = slot.index
        self._plans = layout.plans_by_slot(otherwise.flags)
        self._mask = layout.slots_mask
        self._otherwise = otherwise
        self._digits = reader.digits if plain else 0
        self._characters = column.length + 2 if plain and column.kind is KeyKind.TEXT else 0

    def bind(self, literals: Sequence[Literal]) -> Plan:
        literal = literals[self.index]
        if type(literal) is bytes:
            if len(literal) < self._digits:
                if literal.isdigit() and literal[0] != _ZERO:
                    return self._plans[crc32(literal) & self._mask]
            elif (
                len(literal) <= self._characters
                and literal[0] == _QUOTE
                and literal.isascii()
                and literal[-2] != _SPACE
                and b"\\" not in literal
                and literal.count(b"'") == 2
            ):
                return self._plans[crc32(literal[1:-1]) & self._mask]
        return self._otherwise.bind(literals)

    def of_number(self, digits: bytes) -> Plan | None:
        """As `bind`, for nothing but digits; None when these are no plain number of the column."""
        if 0 < len(digits) < self._digits and digits[0] != _ZERO:
            return self._plans[crc32(digits) & self._mask]
        return None

    def slots(self) -> frozenset[int]:
        return frozenset((self.index,))


@dataclass(frozen=True, slots=True)
class Routed:
    """A statement on sharded tables.

    Rows that matter lie on the shards that the masks of all `pins` name together. One shard: it
    gets the statement. Several: a read goes to those of `root`, the table that all others follow
    by their keys, unless `spread` plans it or says why it is not done.
    """

    layout: Layout
    flags: Flag
    pins: tuple[Pin, ...]
    unsharded: bool
    """Whether a table that lives on one shard only takes part."""
    root: Pin | None
    spread: Refuse | Several | None

    cacheable = True

    def bind(self, literals: Sequence[Literal]) -> Plan:
        mask = 1 << self.layout.first if self.unsharded else 0
        for pin in self.pins:
            mask |= pin.mask(literals)
        if not mask:
            return any_shard(self.layout.everywhere, self.flags)
        if not mask & (mask - 1):
            return self.layout.one(mask.bit_length() - 1, self.flags)
        if isinstance(self.spread, Refuse):
            return self.spread
        if self.spread is not None:
            return self.spread.bind(literals, mask)
        shards = self.layout.shards_of(self.root.mask(literals) if self.root else mask)
        return Scatter(shards, self.flags)

    def slots(self) -> frozenset[int]:
        return frozenset().union(*(pin.slots() for pin in self.pins))


@dataclass(frozen=True, slots=True)
class Unpinned:
    """A read whose keys are not understood: its rows can lie on every shard.

    With other literals of the same shape they may be understood.
    """

    layout: Layout
    several: Several | Refuse

    cacheable = False

    def bind(self, literals: Sequence[Literal]) -> Plan:
        if isinstance(self.several, Refuse):
            return self.several
        return self.several.bind(literals, self.layout.everything)

    def slots(self) -> frozenset[int]:
        return frozenset()


@cache
def any_shard(shards: tuple[int, ...], flags: Flag = Flag.NONE) -> AnyShard:
    return AnyShard(shards, flags)


@dataclass(frozen=True, slots=True)
class Mapped:
    """The plan of another statement, changed: EXPLAIN, for example."""

    inner: Rule
    change: Callable[[Plan], Plan]

    @property
    def cacheable(self) -> bool:
        return self.inner.cacheable

    def bind(self, literals: Sequence[Literal]) -> Plan:
        return self.change(self.inner.bind(literals))

    def slots(self) -> frozenset[int]:
        return self.inner.slots()


@dataclass(frozen=True, slots=True)
class GateExplained:
    """GATE EXPLAIN of a statement: its plan is shown."""

    inner: Rule
    text: tuple[bytes | int, ...]
    """A template of the statement."""
    analyze: bool

    @property
    def cacheable(self) -> bool:
        return self.inner.cacheable

    def bind(self, literals: Sequence[Literal]) -> Plan:
        text = b"".join(_text(p, literals) if isinstance(p, int) else p for p in self.text)
        return GateExplain(self.inner.bind(literals), text, self.analyze)

    def slots(self) -> frozenset[int]:
        return self.inner.slots()


def _text(slot: int, literals: Sequence[Literal]) -> bytes:
    literal = literals[slot]
    return literal if isinstance(literal, bytes) else b"?"


def explained(plan: Plan) -> Plan:
    """EXPLAIN shows how one server does it, so it is for statements that one server answers."""
    if isinstance(plan, OneShard | AnyShard):
        return replace(plan, flags=Flag.OUTSIDE)
    if isinstance(plan, EveryShard):
        return AnyShard(plan.shards, Flag.OUTSIDE)
    if isinstance(plan, Refuse | UnknownTable):
        return plan
    shards = shards_of(plan)
    if not shards:
        return refuse("EXPLAIN shows how a server reads or changes rows: this statement does not")
    return ExplainOne(
        shards[0],
        f"this is how one of {len(shards)} shards does it; GATE EXPLAIN shows all that is done",
    )


def shards_of(plan: Plan) -> tuple[int, ...]:
    """The shards that a plan certainly uses, in ascending order."""
    if isinstance(plan, Finish):
        return tuple(sorted({shard for pull in plan.pulls for shard in pull.shards}))
    if isinstance(plan, OneShard):
        return (plan.shard,)
    if isinstance(
        plan, AnyShard | Scatter | Merge | EveryShard | LimitedWrite | KeyedWrite | MovedRows
    ):
        return plan.shards
    if isinstance(plan, SplitWrite):
        return tuple(part.shard for part in plan.parts)
    return ()
