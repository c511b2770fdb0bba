"""Where the rows of each table live: the routing table's rules joined with the schema."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from mitosis_gate.planner.plan import Flag, OneShard, Refuse, UnknownTable, ViewNamed
from mitosis_gate.planner.refusals import NOT_SUPPORTED, refuse
from mitosis_gate.planner.schema import Schema, Table
from mitosis_routing.hashing import KeyColumn, key_column
from mitosis_routing.table import OtherTables, RoutingTable, TableRule

SYSTEM_DATABASES = frozenset({"information_schema", "performance_schema", "mysql", "sys"})


class Living(StrEnum):
    SHARDED = "sharded"
    REFERENCE = "reference"
    """Whole on every shard."""
    UNSHARDED = "unsharded"
    """Whole on the shard that owns slot 0."""
    SYSTEM = "system"
    """MySQL's own: each server has its own content."""


@dataclass(frozen=True, slots=True)
class Place:
    """How one table is stored."""

    living: Living
    database: str
    table: Table
    key: KeyColumn | None = None
    """Only SHARDED: what the sharding key is hashed by."""
    key_name: str = ""
    key_index: int = -1

    def is_key(self, column: str) -> bool:
        return self.living is Living.SHARDED and column.lower() == self.key_name.lower()


class Layout:
    """All that the planner asks about a keyspace, computed once.

    Sets of shards are written as bit masks: bit i stands for `RoutingTable.shards[i]`.
    """

    def __init__(self, schema: Schema, table: RoutingTable) -> None:
        self.schema = schema
        self.keyspace = table.keyspace
        self.owners = table.slot_owners()
        self.count = len(table.shards)
        self.bits = tuple(1 << owner if owner >= 0 else 0 for owner in self.owners)
        """For each slot the mask of its shard."""
        self.everything = (1 << self.count) - 1
        self.first = self.owners[0] if self.owners else -1
        self.everywhere = tuple(range(self.count))
        self.slots_mask = table.slots - 1
        self.slots = table.slots
        self.default_key = table.default_sharding_key
        self.other_tables = table.other_tables
        self.unique_keys = table.unique_keys
        self.rules = {rule.name: rule for rule in table.tables}
        self.views = {
            name: found for name, found in schema.tables.items() if found.view and self.count > 1
        }
        """Those that are more than a table: with one shard MySQL answers for them."""
        self.whole_views: frozenset[str] = frozenset()
        """Views in several shards whose rows are all on the first one, and can be written there."""
        self.written_views: Mapping[str, Place] = {}
        """Views in several shards that are written like the one table below them."""
        self.below: Mapping[str, Place] = {}
        """The tables below those, by the names of the views."""
        self.broken = "; ".join(table.problems())
        self._table = table
        self._plans: dict[Flag, tuple[OneShard, ...]] = {}
        self._places: dict[str, Place | Refuse] = {}

    @property
    def single(self) -> bool:
        return self.count == 1

    @property
    def has_sharded(self) -> bool:
        """Whether some table is, or by its columns would be, divided."""
        return bool(self.default_key) or any(r.sharding_key for r in self.rules.values())

    @property
    def only_unsharded(self) -> bool:
        return not self.rules and not self.default_key

    def leave_to_first(self, names: frozenset[str]) -> None:
        """These views are like unsharded tables."""
        self.whole_views = names
        self.views = {name: view for name, view in self.views.items() if name not in names}

    def write_through(self, views: Mapping[str, Place], below: Mapping[str, Place]) -> None:
        """These views can be targets of writes: see `target`."""
        self.written_views, self.below = views, below

    def target(self, database: str, name: str) -> Place | UnknownTable | Refuse:
        """As `place`, for what is written."""
        view = self.written_views.get(name) if database == self.keyspace else None
        return view or self.place(database, name)

    def name_of(self, shard: int) -> str:
        return self._table.shards[shard].name

    def one(self, shard: int, flags: Flag = Flag.NONE) -> OneShard:
        """The plan for one shard; the same object for the same arguments."""
        return _one_shard(shard, flags)

    def plans_by_slot(self, flags: Flag) -> tuple[OneShard, ...]:
        """The plan for a key of each slot."""
        plans = self._plans.get(flags)
        if plans is None:
            plans = self._plans[flags] = tuple(self.one(owner, flags) for owner in self.owners)
        return plans

    def shards_of(self, mask: int) -> tuple[int, ...]:
        return tuple(i for i in self.everywhere if mask >> i & 1)

    def rule_of(self, name: str, columns: tuple[str, ...]) -> TableRule | Refuse:
        """The rule for a table of the keyspace with these columns.

        A rule without key and reference stands for an unsharded table.
        """
        rule = self.rules.get(name)
        if rule is not None:
            return rule
        if self.default_key and self.default_key.lower() in {c.lower() for c in columns}:
            return TableRule(name, self.default_key)
        if self.other_tables is OtherTables.UNSHARDED:
            return TableRule(name)
        wish = f" or give it the column {self.default_key}" if self.default_key else ""
        return refuse(
            f"the keyspace does not say how table {name} is stored: name it in spec.tables with a "
            f"shardingKey or reference: true{wish}, or set otherTables: unsharded"
        )

    def place(self, database: str, name: str) -> Place | UnknownTable | Refuse:
        if database != self.keyspace:
            return self._foreign(database, name)
        found = self._places.get(name)
        if found is not None:
            return found
        table = self.schema.tables.get(name)
        if table is None:
            return UnknownTable(database, name)
        place = self._places[name] = self._judge(table)
        return place

    def _foreign(self, database: str, name: str) -> Place | Refuse:
        if database.lower() in SYSTEM_DATABASES:
            return Place(Living.SYSTEM, database.lower(), Table(name, ()))
        return refuse(
            f"table {database}.{name} is not in keyspace {self.keyspace}: a statement cannot leave "
            "its keyspace",
            1044,
        )

    def _judge(self, table: Table) -> Place | Refuse:
        if table.view:
            if self.single or table.name in self.whole_views:
                return Place(Living.UNSHARDED, self.keyspace, table)
            return _view(table.name)
        rule = self.rule_of(table.name, tuple(c.name for c in table.columns))
        if isinstance(rule, Refuse):
            return rule
        if rule.reference:
            return Place(Living.REFERENCE, self.keyspace, table)
        if not rule.sharding_key:
            return Place(Living.UNSHARDED, self.keyspace, table)
        return self._sharded(table, rule.sharding_key)

    def _sharded(self, table: Table, key: str) -> Place | Refuse:
        column = table.column(key)
        if column is None:
            return refuse(f"table {table.name} has no column {key}, its sharding key: add it")
        facts = key_column(column.type, column.collation, column.pad_space)
        if isinstance(facts, str):
            return refuse(f"column {key} of {table.name} cannot be a sharding key: {facts}")
        if column.nullable:
            return refuse(
                f"column {key} of {table.name} is its sharding key and must be NOT NULL: "
                "ALTER TABLE on each shard before anything is written"
            )
        return Place(
            Living.SHARDED, self.keyspace, table, facts, column.name, table.index(column.name)
        )


def _view(name: str) -> ViewNamed:
    plain = refuse(f"{name} is a view: over several shards it can only be read")
    return ViewNamed(NOT_SUPPORTED, plain.sqlstate, plain.message, name)


@cache
def _one_shard(shard: int, flags: Flag) -> OneShard:
    return OneShard(shard, flags)
