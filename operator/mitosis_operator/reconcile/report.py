"""The status of a shard: what people read, in words that say what is wrong and what helps."""

from dataclasses import dataclass, replace
from datetime import datetime

from mitosis_operator.models import status as kinds
from mitosis_operator.models.conditions import Condition, Truth, find, with_condition
from mitosis_operator.models.problems import Severity, worst
from mitosis_operator.models.status import (
    InstanceState,
    PlacementState,
    ShardPhase,
    ShardStatus,
    ShardStorage,
)
from mitosis_operator.mysql.instance import DataState, InstanceStatus, MysqldState, Progress, Verb
from mitosis_operator.placement import Placed, violations
from mitosis_operator.reconcile.roles import (
    Intent,
    has_accounts,
    is_following,
    is_writable_at,
    last_failure,
)
from mitosis_operator.reconcile.route import is_serving
from mitosis_operator.reconcile.seen import (
    BOOTSTRAPPED,
    InstanceSeen,
    Seen,
    Stage,
    Unreachable,
    wanted_acks,
)
from mitosis_routing.table import Role, ShardRoute

USERS_READY = "UsersReady"
UP_TO_DATE = "UpToDate"
PUBLISHING = "Publishing"


@dataclass(frozen=True)
class Fact:
    """One condition before it is joined with the earlier ones."""

    type: str
    status: bool | Truth
    reason: str
    message: str = ""


def with_facts(
    conditions: tuple[Condition, ...], facts: tuple[Fact, ...], now: datetime, generation: int
) -> tuple[Condition, ...]:
    for fact in facts:
        conditions = with_condition(
            conditions,
            fact.type,
            fact.status,
            fact.reason,
            fact.message,
            now=now,
            generation=generation,
        )
    return conditions


def describe(
    seen: Seen, intent: Intent, route: ShardRoute, no_room: str, now: datetime
) -> ShardStatus:
    shard = seen.shard
    ready = [i for i in seen.instances if is_ready(seen, intent, i)]
    facts = _facts(seen, intent, route, no_room, len(ready))
    phase, reason = _phase(seen, intent, facts, len(ready))
    used = [i.status.disk.used_percent for i in seen.instances if i.status]
    broken = _violations(seen, intent)
    return ShardStatus(
        phase=phase,
        phase_reason=reason,
        slot_range=str(shard.slots),
        primary=intent.primary,
        epoch=intent.epoch,
        ready=f"{len(ready)}/{shard.template.instances}",
        instances=tuple(_instance(seen, intent, route, i) for i in seen.instances),
        storage=ShardStorage(
            target_bytes=max(
                [i.volume.size_bytes for i in seen.instances if i.volume],
                default=shard.template.storage.step_bytes,
            ),
            used_percent=max(used) if used else shard.status.storage.used_percent,
        ),
        placement=PlacementState(not broken, broken),
        active_operation=shard.status.active_operation,
        conditions=with_facts(shard.status.conditions, facts, now, shard.meta.generation),
        observed_generation=shard.meta.generation,
    )


def refused(seen: Seen, reason: str, message: str, now: datetime) -> ShardStatus:
    """Nothing is touched: what the shard has goes on as it is."""
    shard = seen.shard
    facts = (
        Fact(kinds.ACCEPTED, False, reason, message),
        Fact(kinds.READY, False, reason, message),
    )
    return replace(
        shard.status,
        phase=ShardPhase.REFUSED,
        phase_reason=message,
        slot_range=str(shard.slots),
        conditions=with_facts(shard.status.conditions, facts, now, shard.meta.generation),
        observed_generation=shard.meta.generation,
    )


def deleting(seen: Seen, message: str, now: datetime) -> ShardStatus:
    shard = seen.shard
    facts = (
        Fact(kinds.READY, False, "Deleting", message),
        Fact(kinds.WRITABLE, False, "Deleting", message),
    )
    return replace(
        shard.status,
        phase=ShardPhase.DELETING,
        phase_reason=message,
        conditions=with_facts(shard.status.conditions, facts, now, shard.meta.generation),
        observed_generation=shard.meta.generation,
    )


def is_ready(seen: Seen, intent: Intent, instance: InstanceSeen) -> bool:
    primary = seen.instance(intent.primary)
    if primary is None or intent.stage is not Stage.COMPLETE:
        return False
    if instance == primary:
        return is_serving(seen, intent, primary)
    return is_following(instance, primary, intent.epoch)


def why_not_writable(seen: Seen, intent: Intent) -> tuple[str, str]:
    """Reason and sentence for a shard that has no writable primary; also told to its clients."""
    primary = seen.instance(intent.primary)
    if not intent.primary:
        return "Creating", _first(seen) or "its first instance is being made"
    if primary is None or primary.volume is None:
        return (
            "PrimaryVolumeLost",
            f"the volume of the primary {intent.primary} is gone: restore it, or restore the shard "
            "from a backup; its replicas are kept as they are",
        )
    if primary.data is DataState.UNKNOWN or (
        intent.stage is not Stage.NEW and primary.data not in (None, DataState.GOOD)
    ):
        return (
            "PrimaryDataLost",
            f"the volume of the primary {intent.primary} does not hold the shard's data: "
            f"{primary.status.message if primary.status else ''}".rstrip(": "),
        )
    if primary.node is not None and not primary.node.ready:
        return (
            "PrimaryNodeDown",
            f"node {primary.node.name} of the primary {primary.name} is not ready: "
            "writes go on when it is back",
        )
    if primary.status is None:
        return (
            "PrimaryDown",
            f"the primary {primary.name} does not run: {_state(seen, intent, primary)[1]}",
        )
    if intent.stage is not Stage.COMPLETE:
        return "Creating", _bootstrap_progress(seen, intent, primary)
    return "PrimaryStarting", _why_not_promoted(seen, intent, primary)


def _first(seen: Seen) -> str:
    troubles = [i.pod.trouble for i in seen.instances if i.pod and i.pod.trouble]
    return troubles[0].message if troubles else ""


def _bootstrap_progress(seen: Seen, intent: Intent, primary: InstanceSeen) -> str:
    if primary.data is not DataState.GOOD:
        return f"{primary.name} is being initialised"
    if not is_writable_at(primary, intent.epoch):
        return f"{primary.name} is being prepared {last_failure(primary)}".rstrip()
    if seen.accounts is None:
        return f"the system Secret of Keyspace {seen.shard.keyspace} is being made"
    if not has_accounts(seen):
        return f"accounts are being made on {primary.name} {last_failure(primary)}".rstrip()
    return f"{wanted_acks(seen, primary)} replica(s) must follow before the first client may write"


def _why_not_promoted(seen: Seen, intent: Intent, primary: InstanceSeen) -> str:
    if failure := last_failure(primary):
        return f"the primary {primary.name} is not writable: {failure}"
    if primary.status and primary.status.message:
        return f"the primary {primary.name} is not writable: {primary.status.message}"
    return f"the primary {primary.name} is being made writable again"


def _facts(
    seen: Seen, intent: Intent, route: ShardRoute, no_room: str, ready: int
) -> tuple[Fact, ...]:
    wanted = seen.shard.template.instances
    complete = ready >= wanted
    replicated, writable = _replicated(seen, intent), _writable(seen, intent, route)
    return (
        _accepted(seen),
        _stage(intent),
        _room(no_room),
        writable,
        replicated,
        _failover(seen, intent),
        _placement(seen, intent),
        _disk(seen),
        _users(seen),
        _up_to_date(seen),
        Fact(kinds.PAUSED, False, "NotPaused"),
        _progressing(seen, complete and writable.status is True, no_room),
        Fact(kinds.READY, True, "Ready", f"{ready} of {wanted} instances are ready")
        if complete and writable.status is True
        else Fact(
            kinds.READY,
            False,
            writable.reason if writable.status is not True else "InstancesMissing",
            writable.message
            if writable.status is not True
            else f"{ready} of {wanted} instances are ready: {_worst_instance(seen, intent)}",
        ),
    )


def _accepted(seen: Seen) -> Fact:
    for severity in (Severity.WAITING, Severity.WARNING):
        if problem := worst(seen.problems, severity):
            return Fact(kinds.ACCEPTED, True, problem.reason, problem.message)
    return Fact(kinds.ACCEPTED, True, "Valid")


def _stage(intent: Intent) -> Fact:
    message = {
        Stage.NEW: "nothing has been written yet",
        Stage.INITIALISED: "the first instance has data; no client may write yet",
        Stage.COMPLETE: "the shard has served clients: every promotion waits for its replicas",
    }
    complete = intent.stage is Stage.COMPLETE
    return Fact(BOOTSTRAPPED, complete, intent.stage.value, message[intent.stage])


def _room(no_room: str) -> Fact:
    if no_room:
        return Fact(kinds.NO_ROOM, True, "NoRoom", no_room)
    return Fact(kinds.NO_ROOM, False, "Placed")


def _writable(seen: Seen, intent: Intent, route: ShardRoute) -> Fact:
    primary = seen.instance(intent.primary)
    if route.primary is None:
        reason, message = why_not_writable(seen, intent)
        return Fact(kinds.WRITABLE, False, reason, message)
    if seen.published is None or seen.published.primary is None:
        message = f"{intent.primary} is about to be published as the primary"
        return Fact(kinds.WRITABLE, False, PUBLISHING, message)
    if primary is not None and isinstance(primary.agent, Unreachable):
        return Fact(
            kinds.WRITABLE,
            Truth.UNKNOWN,
            "AgentSilent",
            f"the agent of {primary.name} does not answer ({primary.agent.reason}); "
            "what is published stays as it is",
        )
    return Fact(kinds.WRITABLE, True, "Serving", f"{intent.primary} takes writes")


def _replicated(seen: Seen, intent: Intent) -> Fact:
    wanted = seen.shard.template.instances - 1
    following = _following(seen, intent)
    if following >= wanted:
        return Fact(kinds.REPLICATED, True, "AllFollow", f"{following} of {wanted} replicas follow")
    return Fact(
        kinds.REPLICATED,
        False,
        "ReplicasMissing",
        f"{following} of {wanted} replicas follow: {_worst_instance(seen, intent, intent.primary)}",
    )


def _following(seen: Seen, intent: Intent) -> int:
    primary = seen.instance(intent.primary)
    if primary is None:
        return 0
    others = [i for i in seen.instances if i != primary]
    return sum(is_following(i, primary, intent.epoch) for i in others)


def _failover(seen: Seen, intent: Intent) -> Fact:
    """R + W > N: whether some reachable replica holds every commit that was acknowledged."""
    primary = seen.instance(intent.primary)
    following, count = _following(seen, intent), seen.shard.template.instances - 1
    if not count:
        alone = "spec.instances is 1: there is no replica to take over"
        return Fact(kinds.FAILOVER_POSSIBLE, False, "OneInstance", alone)
    acks = wanted_acks(seen, primary) if primary else 0
    sums = f"{following} replicas follow, {acks} of {count} must hold each commit"
    if intent.stage is Stage.COMPLETE and following + acks > count:
        return Fact(kinds.FAILOVER_POSSIBLE, True, "QuorumHolds", sums)
    return Fact(kinds.FAILOVER_POSSIBLE, False, "NoQuorum", sums)


def _violations(seen: Seen, intent: Intent) -> tuple[str, ...]:
    placed = [Placed(i.name, i.volume.node) for i in seen.instances if i.volume]
    return violations(seen.shard.template, placed, seen.nodes, intent.primary)


def _placement(seen: Seen, intent: Intent) -> Fact:
    broken = _violations(seen, intent)
    if broken:
        return Fact(kinds.PLACEMENT_SATISFIED, False, "Violated", "; ".join(broken))
    return Fact(kinds.PLACEMENT_SATISFIED, True, "Satisfied")


def _disk(seen: Seen) -> Fact:
    limit = seen.shard.template.storage.grow_at_percent
    full = [
        f"{i.name} uses {i.status.disk.used_percent:.0f} % of its volume"
        for i in seen.instances
        if i.status and i.status.disk.used_percent >= limit
    ]
    if full:
        message = f"{'; '.join(full)}: the limit is {limit} %; enlarge the volume claims"
        return Fact(kinds.DISK_HEALTHY, False, "DiskFilling", message)
    return Fact(kinds.DISK_HEALTHY, True, "BelowLimit")


def _users(seen: Seen) -> Fact:
    if seen.missing_passwords:
        return Fact(USERS_READY, False, "MissingPassword", seen.missing_passwords)
    if not has_accounts(seen):
        primary = seen.instance(seen.shard.status.primary)
        before = find(seen.shard.status.conditions, USERS_READY)
        if before is not None and not (primary and primary.runs_mysqld):  # cannot be seen now
            return Fact(USERS_READY, before.status, before.reason, before.message)
        return Fact(USERS_READY, False, "Pending", "the accounts are not all made yet")
    return Fact(USERS_READY, True, "AccountsMade")


def _up_to_date(seen: Seen) -> Fact:
    """Pods are not restarted by themselves: that is left to a person until it can be done without
    a pause of writes."""
    older = [i.name for i in seen.instances if i.has_drifted]
    if older:
        message = (
            f"the spec has changed since the pods of {', '.join(older)} were made: delete these "
            "pods one after the other, the primary's last, each when the shard is Ready"
        )
        return Fact(UP_TO_DATE, False, "RestartNeeded", message)
    return Fact(UP_TO_DATE, True, "UpToDate")


def _progressing(seen: Seen, finished: bool, no_room: str) -> Fact:
    if finished:
        return Fact(kinds.PROGRESSING, False, "Finished")
    if no_room:
        return Fact(kinds.PROGRESSING, False, "NoRoom", no_room)
    running = [
        f"{i.status.operation.verb.value} on {i.name}"
        for i in seen.instances
        if i.status and i.status.operation and i.is_busy
    ]
    return Fact(kinds.PROGRESSING, True, "Working", ", ".join(running))


def _phase(
    seen: Seen, intent: Intent, facts: tuple[Fact, ...], ready: int
) -> tuple[ShardPhase, str]:
    by_type = {fact.type: fact for fact in facts}
    writable, room = by_type[kinds.WRITABLE], by_type[kinds.NO_ROOM]
    if intent.stage is not Stage.COMPLETE:
        phase = ShardPhase.CREATING if seen.instances else ShardPhase.PENDING
        return phase, room.message or writable.message
    if writable.reason == PUBLISHING and writable.status is False:
        return seen.shard.status.phase, writable.message
    if writable.status is False:
        return ShardPhase.UNAVAILABLE, writable.message
    if by_type[kinds.READY].status is not True:
        return ShardPhase.DEGRADED, room.message or by_type[kinds.READY].message
    return ShardPhase.READY, ""


def _worst_instance(seen: Seen, intent: Intent, besides: str = "") -> str:
    told = [
        f"{i.name} {state.lower()}{': ' if message else ''}{message}"
        for i in seen.instances
        if i.name != besides and not is_ready(seen, intent, i)
        for state, message in [_state(seen, intent, i)]
    ]
    missing = seen.shard.template.instances - len(seen.instances)
    if missing > 0:
        told.append(f"{missing} not made yet")
    return "; ".join(told) or "none is wrong"


def _instance(
    seen: Seen, intent: Intent, route: ShardRoute, instance: InstanceSeen
) -> InstanceState:
    before = seen.shard.status.instance(instance.name)
    state, message = _state(seen, intent, instance)
    status = instance.status
    routes = [r for r in route.instances if r.name == instance.name]
    return InstanceState(
        name=instance.name,
        serial=instance.serial,
        role=routes[0].role if routes else Role.NONE,
        node=_node_name(instance),
        rack=instance.rack,
        idc=instance.idc,
        size_bytes=instance.volume.size_bytes if instance.volume else None,
        used_bytes=(
            status.disk.total_bytes - status.disk.available_bytes
            if status
            else (before.used_bytes if before else None)
        ),
        used_percent=(
            round(status.disk.used_percent, 1)
            if status
            else (before.used_percent if before else None)
        ),
        gtid_executed=_gtid(status) or (before.gtid_executed if before else ""),
        lag_seconds=_lag(status),
        state=state,
        message=message,
        server_uuid=(
            (status.mysqld.server_uuid if status else "") or (before.server_uuid if before else "")
        ),
        pod_ip=instance.ip,
    )


def _node_name(instance: InstanceSeen) -> str:
    chosen = instance.volume.node if instance.volume else ""
    return (instance.pod.node if instance.pod else "") or chosen


def _gtid(status: InstanceStatus | None) -> str:
    return status.gtid.executed if status and status.gtid else ""


def _lag(status: InstanceStatus | None) -> float | None:
    lag = status.replication.lag_seconds if status and status.replication else None
    return None if lag is None else round(lag, 1)


def _state(seen: Seen, intent: Intent, instance: InstanceSeen) -> tuple[str, str]:
    """One word, and what is wrong; the word alone when nothing is."""
    volume, pod, node = instance.volume, instance.pod, instance.node
    if volume is None:
        return "Unusable", "its volume claim is gone"
    if volume.terminating:
        return "Deleting", "its volume claim is being deleted: it goes when the pod ends"
    if pod is None:
        return "Pending", "it has no pod yet"
    if node is not None and not node.ready:
        return "NodeDown", f"node {node.name} is not ready"
    if pod.terminating:
        return "Terminating", "its pod ends; a new one follows"
    if pod.trouble is not None:
        return "Pending", f"{pod.trouble.message} ({pod.trouble.reason})"
    if instance.agent is None:
        return "Starting", "its pod starts"
    if isinstance(instance.agent, Unreachable):
        word = "Unreachable" if pod.ready else "Starting"
        return word, instance.agent.reason
    return _agent_state(seen, intent, instance, instance.agent)


def _agent_state(
    seen: Seen, intent: Intent, instance: InstanceSeen, status: InstanceStatus
) -> tuple[str, str]:
    if status.data_state is DataState.UNKNOWN:
        return "Unusable", status.message
    operation = status.operation
    if operation is not None and operation.state is Progress.RUNNING:
        words = {Verb.INITIALISE: "Initialising", Verb.CLONE: "Cloning"}
        if operation.verb in words:
            return words[operation.verb], _clone_progress(status)
    if is_ready(seen, intent, instance):
        return "Ready", status.message
    if status.mysqld.state in (MysqldState.STARTING, MysqldState.STOPPED):
        return "Starting", status.message or last_failure(instance)
    replication = status.replication
    errors = (replication.last_io_error or replication.last_sql_error) if replication else ""
    return "Joining", errors or last_failure(instance) or status.message


def _clone_progress(status: InstanceStatus) -> str:
    clone = status.clone
    if clone is None or not clone.estimate_bytes:
        return ""
    return f"{100 * clone.done_bytes // clone.estimate_bytes} % from {clone.donor}"
