"""What to do about a shard, from what is seen of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from mitosis_operator import names
from mitosis_operator.models import status as kinds
from mitosis_operator.models.status import ShardStatus
from mitosis_operator.models.template import DeletionPolicy
from mitosis_operator.reconcile import members, report, roles, route
from mitosis_operator.reconcile.actions import (
    Action,
    AddFinalizer,
    ApplyShared,
    Call,
    DeletePod,
    DeleteVolume,
    DropFinalizer,
    LabelPod,
    Publish,
    RetireVolume,
)
from mitosis_operator.reconcile.report import Fact
from mitosis_operator.reconcile.roles import Intent
from mitosis_operator.reconcile.seen import InstanceSeen, Seen, Stage
from mitosis_routing.table import Role, ShardRoute, ShardState

BUSY_SECONDS = 1.0
"""How soon to look again while something is in progress."""
BEING_CREATED = "the shard is being created"
FAILED_SECONDS = 4.0
"""How soon while what was asked of an agent keeps failing."""


@dataclass(frozen=True)
class Decision:
    status: ShardStatus
    """Written before the actions are taken: it holds the intent."""
    actions: tuple[Action, ...] = ()
    requeue_seconds: float | None = None
    """None: the usual pace."""


def decide(seen: Seen, now: datetime, load: Mapping[str, int] | None = None) -> Decision:
    """`load` counts all instances on each node, for placement."""
    if seen.shard.meta.deleting:
        return _delete(seen, now)
    if problem := seen.refusal:
        return Decision(report.refused(seen, problem.reason, problem.message, now))
    intent = roles.intend(seen)
    wanted = route.desired(seen, intent, _reason_for_clients(seen, intent))
    if seen.shard.template.paused:
        return _pause(seen, intent, wanted, now)
    member = members.decide(seen, load or {})
    calls = roles.calls(seen, intent)
    actions = (
        *_first(seen),
        *member.actions,
        *_publication(seen, intent, wanted),
        *calls,
        *_labels(seen, intent, wanted),
    )
    status = report.describe(seen, intent, wanted, member.no_room, now)
    return Decision(status, actions, _pace(seen, intent, actions, calls))


def _reason_for_clients(seen: Seen, intent: Intent) -> str:
    """Steady while the shard is made: each change of it is a new table for every gate."""
    if intent.stage is not Stage.COMPLETE:
        return BEING_CREATED
    return report.why_not_writable(seen, intent)[1]


def _first(seen: Seen) -> tuple[Action, ...]:
    has_finalizer = names.FINALIZER in seen.shard.meta.finalizers
    return (ApplyShared(),) if has_finalizer else (AddFinalizer(), ApplyShared())


def _publication(seen: Seen, intent: Intent, wanted: ShardRoute) -> tuple[Action, ...]:
    """Only what differs, only once there is a primary, and never an epoch that has passed."""
    if not intent.primary or not seen.has_table or wanted == seen.published:
        return ()
    if seen.published is not None and seen.published.epoch > wanted.epoch:
        return ()
    return (Publish(wanted),)


def _labels(seen: Seen, intent: Intent, wanted: ShardRoute) -> tuple[Action, ...]:
    """A primary keeps its label while it is down: a drain must not take its node for free."""
    actions = []
    shown = {i.name: i.role for i in wanted.instances}
    for instance in seen.instances:
        if instance.pod is None or instance.pod.terminating:
            continue
        role = shown.get(instance.name, Role.NONE).value
        if instance.name == intent.primary and intent.stage is Stage.COMPLETE:
            role = names.ROLE_PRIMARY
        if instance.pod.role != role:
            actions.append(LabelPod(instance.name, role))
    return tuple(actions)


def _pace(
    seen: Seen, intent: Intent, actions: tuple[Action, ...], calls: tuple[Call, ...]
) -> float | None:
    failing = any(
        roles.last_failure(i) for i in seen.instances if any(c.instance == i.name for c in calls)
    )
    if failing:
        return FAILED_SECONDS
    acts = any(not isinstance(action, ApplyShared) for action in actions)
    ready = all(report.is_ready(seen, intent, i) for i in seen.instances)
    return BUSY_SECONDS if acts or not ready else None


def _pause(seen: Seen, intent: Intent, wanted: ShardRoute, now: datetime) -> Decision:
    """Nothing is decided and nothing done; what is seen is still told."""
    kept = seen.shard.status
    status = report.describe(seen, Intent(kept.primary, kept.epoch, seen.stage), wanted, "", now)
    fact = Fact(
        kinds.PAUSED, True, "Paused", "spec.paused is true: nothing is changed, nothing is repaired"
    )
    conditions = report.with_facts(status.conditions, (fact,), now, seen.shard.meta.generation)
    return Decision(replace(status, conditions=conditions))


def _delete(seen: Seen, now: datetime) -> Decision:
    """Take it out of the table, end its pods, then keep or delete the volumes, then let it go.

    A volume is retired only after its pod has ended: until then a mysqld may write to it.
    """
    if names.FINALIZER not in seen.shard.meta.finalizers:
        return Decision(seen.shard.status)
    published = _withdrawal(seen)
    pods = [i for i in seen.instances if i.pod is not None]
    if pods:
        ended = tuple(
            DeletePod(i.name, "its shard is being deleted")
            for i in pods
            if i.pod and not i.pod.terminating
        )
        stuck = [i.name for i in pods if i.node is not None and not i.node.ready]
        message = f"{len(pods)} pod(s) are ending"
        if stuck:
            message += f"; {', '.join(stuck)}: the node is not ready, its end cannot be seen"
        return Decision(report.deleting(seen, message, now), (*published, *ended), BUSY_SECONDS)
    volumes = tuple(_farewell(seen, i) for i in seen.instances if i.volume)
    message = f"{len(volumes)} volume(s) are let go"
    return Decision(report.deleting(seen, message, now), (*published, *volumes, DropFinalizer()))


def _withdrawal(seen: Seen) -> tuple[Action, ...]:
    before = seen.published
    if before is None:
        return ()
    gone = ShardRoute(
        name=before.name,
        slots=before.slots,
        state=ShardState.NO_PRIMARY,
        epoch=before.epoch,
        reason="the shard is being deleted",
    )
    return () if gone == before else (Publish(gone),)


def _farewell(seen: Seen, instance: InstanceSeen) -> Action:
    if seen.shard.template.deletion_policy is DeletionPolicy.DELETE:
        return DeleteVolume(instance.name)
    return RetireVolume(instance.name)
