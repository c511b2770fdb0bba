"""The tables that a statement names, and how their rows depend on one another by their keys."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mitosis_gate.planner.layout import Living, Place
from mitosis_gate.planner.pins import AllOf, Pin
from mitosis_gate.planner.plan import Refuse, UnknownTable
from mitosis_gate.planner.schema import Column
from mitosis_routing.hashing import KeyColumn, KeyKind


class Halt(Exception):
    """A table that the statement names decides the plan: it is unknown, or not for this gate."""

    def __init__(self, plan: UnknownTable | Refuse) -> None:
        super().__init__()
        self.plan = plan


@dataclass(eq=False)
class Source:
    place: Place
    alias: str
    nullable: bool = False
    """Its rows may be missing in the result: it is on the inner side of an outer join."""
    top: bool = False
    """It stands in the FROM of the whole statement, not in a subquery."""
    at: int = -1
    """Place of the token that names it, -1 when that is not known."""
    pins: list[Pin] = field(default_factory=list)
    follows: list["Source"] = field(default_factory=list)

    def leaders(self) -> list["Source"]:
        """Itself and all sources whose keys its own rows are bound to."""
        found = [self]
        for source in found:
            found.extend(s for s in source.follows if s not in found)
        return found


@dataclass(eq=False)
class Derived:
    """A derived table, or a common table expression where it is named."""

    keys: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    """Its columns, in lower case, that are sharding keys of sources inside: of those only the rows
    matter whose keys the column has in a row that matters."""
    columns: dict[str, Column] = field(default_factory=dict)
    """Its columns, in lower case, that are columns of tables inside, as they are there."""
    names: tuple[str, ...] = ()
    """All its columns in their order, in lower case, if that is known."""
    ordered: bool = False
    """Its ORDER BY is that of a SELECT around it that has nothing else in FROM and no own order."""
    inside: "tuple[Source, ...]" = ()
    """Sources one of whose rows is in each of its rows."""
    nullable: bool = False


Member = Source | Derived
"""What a FROM names."""


@dataclass(eq=False)
class Block:
    """One SELECT, UPDATE or DELETE with its own FROM."""

    parent: "Block | None"
    sources: list[Source] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    """The sources and, in between, the derived tables."""
    derived: dict[str, Derived] = field(default_factory=dict)
    aliases: dict[str, Source | None] = field(default_factory=dict)
    """None: a derived table, whose columns are not known here."""
    using: set[str] = field(default_factory=set)
    within: list[Source] = field(default_factory=list)
    """All sources of the block and of the queries in it."""
    odd_join: str = ""
    """A join that must not be repeated on several shards, if there is one: RIGHT, NATURAL."""

    @property
    def opaque(self) -> bool:
        return None in self.aliases.values()

    @property
    def only_derived(self) -> Derived | None:
        """The derived table that its FROM is, and nothing else."""
        alone = len(self.members) == len(self.aliases) == 1
        return self.members[0] if alone and isinstance(self.members[0], Derived) else None


def hash_alike(one: KeyColumn | None, other: KeyColumn | None) -> bool:
    """Whether values that are equal in both columns have the same bytes to hash."""
    if one is None or other is None or one.kind is not other.kind:
        return False
    if one.kind is KeyKind.TEXT:
        return one.pad_space == other.pad_space and one.fixed == other.fixed
    if one.kind is KeyKind.BINARY:
        return one.fixed == other.fixed and (not one.fixed or one.length == other.length)
    return one.decimals == other.decimals


def pin_of(source: Source, everything: int) -> AllOf:
    """All that restricts the rows of a source, by itself and by those it follows."""
    return AllOf(everything, tuple(pin for leader in source.leaders() for pin in leader.pins))


def common_root(sources: Sequence[Source]) -> Source | None:
    """The source that all others follow, itself in the result in any case; None if there is none.

    On each shard the statement then finds all rows that belong to the root's rows there.
    """
    for source in sources:
        if source.top and not source.nullable:
            if all(source in other.leaders() for other in sources):
                return source
    return None


def sharded(sources: Sequence[Source]) -> list[Source]:
    return [s for s in sources if s.place.living is Living.SHARDED]
