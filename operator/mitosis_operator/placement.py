"""Which node an instance goes to, and what is wrong with where instances lie. Pure.

Hard: a ready node without another instance of the shard, with room for the volume, CPU and memory,
and for the first instance a node in the primary IDC. Best effort, hard with `strict`: no two
instances in one rack, and no more than two in one IDC where there are several IDCs (with five or
seven instances: no more than an even spread gives).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mitosis_operator.models import quantities, rules
from mitosis_operator.models.cluster import Node
from mitosis_operator.models.template import Durability, InstanceTemplate


@dataclass(frozen=True)
class Demand:
    """One instance to place: of which shard, how big, and what the shard asks of its places."""

    shard: str
    primary_idc: str
    instances: int
    volume_bytes: int
    cpu_millis: int
    memory_bytes: int
    durability: Durability = Durability.RACK
    strict: bool = False

    @classmethod
    def of(cls, shard: str, template: InstanceTemplate, volume_bytes: int = 0) -> "Demand":
        """What one instance needs; without `volume_bytes` a volume of one step, as at the start."""
        return cls(
            shard=shard,
            primary_idc=template.primary_idc,
            instances=template.instances,
            volume_bytes=volume_bytes or template.storage.step_bytes,
            cpu_millis=template.resources.lower.cpu_millis,
            memory_bytes=template.resources.lower.memory_bytes,
            durability=template.durability,
            strict=template.strict_placement,
        )


@dataclass(frozen=True)
class Placed:
    """An instance of the shard and the node that its volume is bound or promised to."""

    instance: str
    node: str


@dataclass(frozen=True)
class Chosen:
    node: Node
    compromises: tuple[str, ...] = ()
    """Best-effort rules that this choice breaks, in sentences."""


@dataclass(frozen=True)
class Refusal:
    node: str
    reason: str


@dataclass(frozen=True)
class NoRoom:
    demand: Demand
    refusals: tuple[Refusal, ...] = ()

    @property
    def message(self) -> str:
        """For the condition: each node and why it will not do."""
        detail = "; ".join(f"{r.node}: {r.reason}" for r in self.refusals)
        return f"no node for an instance of {self.demand.shard}: {detail or 'there are no nodes'}"


@dataclass(frozen=True)
class _Surroundings:
    """What the rules look at besides the node itself."""

    demand: Demand
    nodes: Mapping[str, Node]
    placed: Sequence[Placed]
    per_idc: int | None
    """How many instances of the shard one IDC may hold; None when the rule does not apply."""
    racks_known: bool
    load: Mapping[str, int]

    def in_idc(self, idc: str) -> int:
        return sum(1 for p in self.placed if p.node in self.nodes and self.nodes[p.node].idc == idc)

    def occupied_idcs(self) -> frozenset[str]:
        return frozenset(self.nodes[p.node].idc for p in self.placed if p.node in self.nodes)

    def rack_mate(self, node: Node) -> str:
        """An instance that lies in the same rack already; empty when there is none."""
        for p in self.placed:
            other = self.nodes.get(p.node)
            if other is not None and node.rack and _rack(other) == _rack(node):
                return p.instance
        return ""


def place(
    demand: Demand,
    nodes: Sequence[Node],
    placed: Sequence[Placed],
    load: Mapping[str, int] | None = None,
) -> Chosen | NoRoom:
    """Choose a node for one more instance. The same facts always give the same node.

    `placed` are the shard's own instances, `load` the number of all instances on each node.
    """
    around = _surroundings(demand.instances, nodes, placed, demand, load or {})
    refusals, candidates = [], []
    for node in sorted(nodes, key=lambda n: n.name):
        broken = _broken_wishes(node, around)
        reason = _why_not(node, around) or ("; ".join(broken) if demand.strict else "")
        if reason:
            refusals.append(Refusal(node.name, reason))
        else:
            candidates.append((node, broken))
    if not candidates:
        return NoRoom(demand, tuple(refusals))
    return Chosen(*min(candidates, key=lambda c: _rank(c[0], c[1], around)))


def violations(
    template: InstanceTemplate,
    placed: Sequence[Placed],
    nodes: Sequence[Node],
    primary: str = "",
) -> tuple[str, ...]:
    """Say which rules the places of a shard's instances break now; labels of nodes may change.

    `primary` names the primary; empty leaves its IDC unjudged.
    """
    around = _surroundings(template.instances, nodes, placed, Demand.of("", template), {})
    return (
        *_lost_nodes(around),
        *_shared(around, lambda node: node.name, "node"),
        *_shared(around, lambda node: "/".join(_rack(node)) if node.rack else "", "rack"),
        *_unlabelled(around),
        *_crowded_idcs(around),
        *_misplaced_primary(around, primary),
    )


def _surroundings(
    instances: int,
    nodes: Sequence[Node],
    placed: Sequence[Placed],
    demand: Demand,
    load: Mapping[str, int],
) -> _Surroundings:
    idcs = {n.idc for n in nodes if n.idc}
    spread = -(-instances // len(idcs)) if idcs else 0
    return _Surroundings(
        demand=demand,
        nodes={n.name: n for n in nodes},
        placed=placed,
        per_idc=max(2, spread) if len(idcs) > 1 else None,
        racks_known=any(n.rack for n in nodes),
        load=load,
    )


def _rack(node: Node) -> tuple[str, str]:
    return node.idc, node.rack


def _why_not(node: Node, around: _Surroundings) -> str:
    """The hard rule that this node breaks; empty when it may be chosen."""
    demand = around.demand
    for p in around.placed:
        if p.node == node.name:
            return f"it holds {p.instance}"
    if unusable := rules.why_unusable(node):
        return unusable
    if not around.placed and node.idc != demand.primary_idc:
        return f"the first instance must lie in primaryIDC {demand.primary_idc}"
    return _why_too_small(node, demand)


def _why_too_small(node: Node, demand: Demand) -> str:
    free, largest = node.free_volume_bytes, node.largest_volume_bytes
    room = free if largest is None or free is None else min(free, largest)
    if room is not None and room < demand.volume_bytes:
        return (
            f"it has {quantities.rough_bytes(max(room, 0))} for volumes, "
            f"{quantities.rough_bytes(demand.volume_bytes)} are needed"
        )
    if node.free_cpu_millis is not None and node.free_cpu_millis < demand.cpu_millis:
        return f"it has {max(node.free_cpu_millis, 0)}m CPU left, {demand.cpu_millis}m are needed"
    if node.free_memory_bytes is not None and node.free_memory_bytes < demand.memory_bytes:
        return (
            f"it has {quantities.rough_bytes(max(node.free_memory_bytes, 0))} memory left, "
            f"{quantities.rough_bytes(demand.memory_bytes)} are needed"
        )
    return ""


def _broken_wishes(node: Node, around: _Surroundings) -> tuple[str, ...]:
    broken = []
    if around.racks_known and not node.rack:
        broken.append("its rack is unknown")
    if mate := around.rack_mate(node):
        broken.append(f"its rack {node.rack} holds {mate}")
    if around.per_idc is not None:
        if not node.idc:
            broken.append("its IDC is unknown")
        elif around.in_idc(node.idc) >= around.per_idc:
            broken.append(f"its IDC {node.idc} holds {around.in_idc(node.idc)} instances")
    return tuple(broken)


_Rank = tuple[int, bool, bool, bool, int, int, int, str]


def _rank(node: Node, broken: tuple[str, ...], around: _Surroundings) -> _Rank:
    """Lower is better: rules kept, then IDCs, then few neighbours, then much room, then the name.

    A second IDC comes before a second instance in the first one; after that replicas stay near the
    primary, so that a failover need not leave its IDC. Where only other IDCs acknowledge, they go
    there instead: with one such replica, its loss would stop all writes.
    """
    home = around.demand.primary_idc
    occupied = around.occupied_idcs()
    wants_home = around.demand.durability is Durability.RACK
    return (
        len(broken),
        home not in occupied and node.idc != home,
        len(occupied) == 1 and node.idc in occupied,
        (node.idc == home) is not wants_home,
        around.in_idc(node.idc),
        around.load.get(node.name, 0),
        -(node.free_volume_bytes or 0),
        node.name,
    )


def _lost_nodes(around: _Surroundings) -> tuple[str, ...]:
    return tuple(
        f"{p.instance} lies on node {p.node}, which the cluster does not have"
        for p in around.placed
        if p.node not in around.nodes
    )


def _shared(around: _Surroundings, place: Callable[[Node], str], word: str) -> tuple[str, ...]:
    """One sentence for each place that holds more than one instance; an empty name is no place."""
    tenants: dict[str, list[str]] = {}
    for p in around.placed:
        if p.node in around.nodes and (name := place(around.nodes[p.node])):
            tenants.setdefault(name, []).append(p.instance)
    return tuple(
        f"{' and '.join(sorted(instances))} lie in one {word}: {name}"
        for name, instances in sorted(tenants.items())
        if len(instances) > 1
    )


def _unlabelled(around: _Surroundings) -> tuple[str, ...]:
    found = []
    for p in around.placed:
        node = around.nodes.get(p.node)
        if node is None:
            continue
        if around.racks_known and not node.rack:
            found.append(f"the rack of {p.instance} is unknown: label node {node.name} with it")
        if around.per_idc is not None and not node.idc:
            found.append(f"the IDC of {p.instance} is unknown: label node {node.name} with it")
    return tuple(found)


def _crowded_idcs(around: _Surroundings) -> tuple[str, ...]:
    if around.per_idc is None:
        return ()
    counts = {idc: around.in_idc(idc) for idc in around.occupied_idcs() if idc}
    return tuple(
        f"IDC {idc} holds {count} instances, more than {around.per_idc}"
        for idc, count in sorted(counts.items())
        if count > around.per_idc
    )


def _misplaced_primary(around: _Surroundings, primary: str) -> tuple[str, ...]:
    wanted = around.demand.primary_idc
    for p in around.placed:
        node = around.nodes.get(p.node)
        if p.instance == primary and node is not None and node.idc != wanted:
            return (f"the primary {primary} lies in IDC {node.idc or 'unknown'}, not in {wanted}",)
    return ()
