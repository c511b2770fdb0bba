"""From a table and a value to slot, shard and primary, by the published routing table. Pure."""

from dataclasses import dataclass
from typing import Any

from mitosis_operator.cli.errors import CliError
from mitosis_routing.hashing import KeyKind, slot_of
from mitosis_routing.table import OtherTables, RoutingTable, ShardRoute, TableRule


@dataclass(frozen=True)
class Route:
    """Where rows are: one shard, or with `slot` None each of `shards` whole."""

    keyspace: str
    table: str
    why: str
    shards: tuple[ShardRoute, ...]
    slot: int | None = None

    def to_text(self) -> str:
        lines = [f"{self.keyspace}.{self.table}: {self.why}"]
        if self.slot is not None:
            lines.append(f"slot     {self.slot}")
        for shard in self.shards:
            lines.append(f"shard    {shard.name} (slots {shard.slots}, {shard.state.value})")
            lines.append(f"primary  {_primary(shard)}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        return {
            "keyspace": self.keyspace,
            "table": self.table,
            "slot": self.slot,
            "shards": [
                {
                    "name": shard.name,
                    "slots": {"start": shard.slots.start, "end": shard.slots.end},
                    "state": shard.state.value,
                    "epoch": shard.epoch,
                    "primary": shard.primary.name if shard.primary else None,
                }
                for shard in self.shards
            ],
        }


def find(table: RoutingTable, name: str, value: str, kind: KeyKind | None) -> Route:
    rule = next((t for t in table.tables if t.name == name), None)
    if rule is None:
        return _without_rule(table, name, value, kind)
    if rule.reference:
        return Route(table.keyspace, name, "a reference table, whole on each shard", table.shards)
    return _by_key(table, rule, value, kind)


def key_bytes(value: str, kind: KeyKind | None) -> bytes:
    """What MySQL hashes for this value in a column of that kind."""
    try:
        if kind is KeyKind.INTEGER:
            return str(int(value)).encode()
        if kind is KeyKind.BINARY:
            return bytes.fromhex(value.removeprefix("0x"))
    except ValueError:
        wanted = "a whole number" if kind is KeyKind.INTEGER else "bytes in hex, as in 0x00ff"
        raise CliError(f"{value!r} is no {kind} key: write {wanted}") from None
    return value.encode()


def _by_key(table: RoutingTable, rule: TableRule, value: str, kind: KeyKind | None) -> Route:
    slot = slot_of(key_bytes(value, kind), table.slots)
    owners = tuple(s for s in table.shards if s.slots.contains(slot))
    if not owners:
        raise CliError(
            f"no shard of {table.keyspace} owns slot {slot}: see `mitosis status {table.keyspace}`"
        )
    why = f"sharded by {rule.sharding_key}, here {value}"
    return Route(table.keyspace, rule.name, why, owners, slot)


def _without_rule(table: RoutingTable, name: str, value: str, kind: KeyKind | None) -> Route:
    if table.default_sharding_key:
        return _by_key(table, TableRule(name, table.default_sharding_key), value, kind)
    if table.other_tables is OtherTables.UNSHARDED:
        first = tuple(s for s in table.shards if s.slots.contains(0))
        return Route(table.keyspace, name, "unsharded, whole on the shard of slot 0", first)
    known = ", ".join(t.name for t in table.tables) or "none"
    raise CliError(f"{table.keyspace} has no rule for a table {name!r}; it has rules for: {known}")


def _primary(shard: ShardRoute) -> str:
    if shard.primary is None:
        return f"none: {shard.reason or shard.state.value}"
    return f"{shard.primary.name} at {shard.primary.host}:{shard.primary.port}, epoch {shard.epoch}"
