"""A Shard: a range of slots and the instances that hold it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mitosis_operator import names
from mitosis_operator.models import rules
from mitosis_operator.models.cluster import Node, StorageClass
from mitosis_operator.models.keyspace import MAX_SLOTS, Keyspace
from mitosis_operator.models.meta import Meta
from mitosis_operator.models.problems import Problem, Severity, worst
from mitosis_operator.models.reading import Reader, Unreadable
from mitosis_operator.models.status import ShardStatus
from mitosis_operator.models.template import InstanceTemplate
from mitosis_routing.keyspace import SlotRange


@dataclass(frozen=True)
class Shard:
    meta: Meta
    keyspace: str
    slots: SlotRange
    template: InstanceTemplate
    status: ShardStatus = ShardStatus()

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Shard":
        """Raise Unreadable, naming the field, for what no schema would let through."""
        spec = Reader(body).part("spec")
        slots = spec.part("slots")
        try:
            slot_range = SlotRange(slots.integer("start"), slots.integer("end"))
        except ValueError as exc:
            raise Unreadable(str(exc)) from exc
        return cls(
            meta=Meta.from_body(body),
            keyspace=spec.text("keyspace"),
            slots=slot_range,
            template=InstanceTemplate.read(spec),
            status=ShardStatus.from_body(body),
        )

    @property
    def name(self) -> str:
        return self.meta.name

    @property
    def namespace(self) -> str:
        return self.meta.namespace

    def to_spec(self) -> dict[str, Any]:
        return {
            "keyspace": self.keyspace,
            "slots": {"start": self.slots.start, "end": self.slots.end},
            **self.template.to_spec(),
        }

    def completed_from(self, keyspace: Keyspace) -> "Shard":
        """Take the primary IDC, the one field that a Shard may leave open, from its Keyspace."""
        if self.template.primary_idc:
            return self
        idc = keyspace.template.primary_idc
        return replace(self, template=replace(self.template, primary_idc=idc))

    def instance_names(self) -> tuple[str, ...]:
        """Names of a new shard's instances: serials from 1."""
        serials = range(1, self.template.instances + 1)
        return tuple(names.instance(self.name, serial) for serial in serials)

    def next_serial(self, used: Iterable[int]) -> int:
        """The lowest serial that no volume has, retired ones included."""
        taken = set(used)
        return next(s for s in range(1, len(taken) + 2) if s not in taken)

    def problems(
        self,
        keyspace: Keyspace | None,
        *,
        siblings: "Sequence[Shard]" = (),
        storage_classes: Sequence[StorageClass] | None = None,
        nodes: Sequence[Node] | None = None,
    ) -> tuple[Problem, ...]:
        """Everything that is wrong, refusals first. Facts that are None are not judged.

        `siblings` are the other Shards of the same keyspace. Of two that overlap the one that has
        an epoch, because it has had a primary, is left in peace.
        """
        found = [*_own_problems(self), *rules.template_problems(self.template)]
        if keyspace is None and self.keyspace:
            found.append(
                Problem(
                    "UnknownKeyspace",
                    f"Keyspace {self.keyspace} does not exist in namespace {self.namespace}: "
                    "apply it first, or correct spec.keyspace",
                )
            )
        elif keyspace is not None:
            misplaced = tuple(_range_problems(self, keyspace, siblings))
            found += misplaced or _refused_with(keyspace, self, siblings)
        template = self.completed_from(keyspace).template if keyspace else self.template
        if storage_classes is not None:
            found += rules.storage_class_problems(template.storage, storage_classes)
        if nodes is not None:
            found += rules.node_problems(template, nodes)
        return tuple(sorted(found, key=lambda p: list(Severity).index(p.severity)))


def _own_problems(shard: Shard) -> Iterable[Problem]:
    right = names.shard(shard.keyspace, shard.slots.start, shard.slots.end)
    if shard.name != right:
        yield Problem("BadName", f"the name of this Shard does not tell its slots: name it {right}")
    if not shard.keyspace:
        yield Problem(
            "UnknownKeyspace",
            "keyspace is empty: write the name of the Keyspace that this Shard belongs to",
        )
    if shard.slots.end > MAX_SLOTS:
        yield Problem("BadRange", f"slots {shard.slots} are too many: end at {MAX_SLOTS} or before")


def _refused_with(
    keyspace: Keyspace, shard: Shard, siblings: "Sequence[Shard]"
) -> Iterable[Problem]:
    """A Shard that holds nothing yet is not begun while its Keyspace is refused.

    Judged here from the same facts, because the Keyspace's own status may be older than they are.
    """
    if shard.status.epoch or keyspace.status.shard_names:
        return
    ranges = {s.slots for s in (*siblings, shard)}
    problem = worst(keyspace.problems(shards=sorted(ranges)), Severity.REFUSED)
    if problem is not None:
        yield Problem(
            "KeyspaceRefused",
            f"Keyspace {keyspace.name} is refused, so its Shards wait: {problem.message}",
        )


def _range_problems(
    shard: Shard, keyspace: Keyspace, siblings: "Sequence[Shard]"
) -> Iterable[Problem]:
    if shard.slots.end > keyspace.slots:
        yield Problem(
            "BadRange",
            f"slots {shard.slots} exceed Keyspace {keyspace.name}, which has slots 0 to "
            f"{keyspace.slots}: end at {keyspace.slots} or before",
        )
    for other in siblings:
        if other.name == shard.name or not shard.slots.overlaps(other.slots):
            continue
        if shard.status.epoch and not other.status.epoch:
            continue  # this one already serves; the newcomer is the one to refuse
        yield Problem(
            "OverlappingRange",
            f"slots {shard.slots} overlap those of Shard {other.name}: "
            "choose a range that no Shard has",
        )
