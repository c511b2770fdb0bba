"""What to do about a keyspace, from what is seen of it. Pure.

Order: the system Secret and the routing table come before the Shards, because both are needed by
the first instance; the names of Shards are noted in the status once they exist, so that one that is
deleted later is not silently made again, empty.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime

from mitosis_operator import names
from mitosis_operator.models import status as kinds
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.models.problems import Problem, Severity, worst
from mitosis_operator.models.shard import Shard
from mitosis_operator.models.status import KeyspacePhase, KeyspaceStatus, ShardPhase
from mitosis_operator.reconcile.report import USERS_READY, Fact, with_facts
from mitosis_routing.keyspace import SlotRange, find_problems
from mitosis_routing.table import (
    OtherTables,
    RoutingTable,
    SecretKey,
    ShardRoute,
    ShardState,
    TableRule,
    UserRef,
)

BUSY_SECONDS = 2.0
BEING_CREATED = "the shard is being created"


@dataclass(frozen=True)
class KeyspaceSeen:
    keyspace: Keyspace
    problems: tuple[Problem, ...] = ()
    shards: tuple[Shard, ...] = ()
    owned: frozenset[str] = frozenset()
    """Names of the Shards that this Keyspace made, and keeps to its template."""
    password_versions: tuple[tuple[str, str], ...] = ()
    """Name and version of each Secret that users name and that exists."""
    missing_passwords: str = ""
    system_version: str = ""
    """Empty: the system Secret does not exist."""
    table: RoutingTable | None = None
    authority: str = ""
    endpoint: str = ""

    @property
    def members(self) -> tuple[Shard, ...]:
        """Without those that somebody applied later and that were refused, or not yet judged: they
        hold nothing."""
        known = self.keyspace.status.shard_names
        return tuple(
            s
            for s in self.shards
            if not known
            or s.name in known
            or s.status.epoch
            or s.status.phase not in (ShardPhase.REFUSED, ShardPhase.PENDING)
        )


@dataclass(frozen=True)
class AddFinalizer:
    step = "add-finalizer"


@dataclass(frozen=True)
class MakeSystemSecret:
    step = "make-system-secret"


@dataclass(frozen=True)
class CreateTable:
    table: RoutingTable
    step = "create-table"


@dataclass(frozen=True)
class PublishRules:
    """Tables, users and authority, as in `table`; its shards are not looked at."""

    table: RoutingTable
    step = "publish-rules"


@dataclass(frozen=True)
class ApplyShard:
    slots: SlotRange
    is_new: bool
    step = "apply-shard"


@dataclass(frozen=True)
class DeleteShard:
    name: str
    step = "delete-shard"


@dataclass(frozen=True)
class DropFinalizer:
    step = "drop-finalizer"


KeyspaceAction = (
    AddFinalizer
    | MakeSystemSecret
    | CreateTable
    | PublishRules
    | ApplyShard
    | DeleteShard
    | DropFinalizer
)


@dataclass(frozen=True)
class KeyspaceDecision:
    status: KeyspaceStatus
    actions: tuple[KeyspaceAction, ...] = ()
    requeue_seconds: float | None = None


def decide(seen: KeyspaceSeen, now: datetime) -> KeyspaceDecision:
    keyspace = seen.keyspace
    if keyspace.meta.deleting:
        return _delete(seen, now)
    if problem := worst(seen.problems, Severity.REFUSED) or _lack_of_passwords(seen):
        return KeyspaceDecision(_refused(seen, problem, now))
    actions: list[KeyspaceAction] = []
    if names.FINALIZER not in keyspace.meta.finalizers:
        actions.append(AddFinalizer())
    if not seen.system_version:
        actions.append(MakeSystemSecret())
    actions += _table(seen)
    actions += _shards(seen)
    status = _describe(seen, now)
    calm = status.phase is KeyspacePhase.READY and not actions and not seen.missing_passwords
    return KeyspaceDecision(status, tuple(actions), None if calm else BUSY_SECONDS)


def _table(seen: KeyspaceSeen) -> list[KeyspaceAction]:
    if not seen.authority:
        return []
    if seen.table is None:
        return [CreateTable(_with_rules(_first_table(seen), seen))]
    wanted = _with_rules(seen.table, seen)
    return [] if wanted == seen.table else [PublishRules(wanted)]


def _first_table(seen: KeyspaceSeen) -> RoutingTable:
    """Every slot has its owner from the start: a table with gaps could not be obeyed."""
    keyspace = seen.keyspace
    ranges = [s.slots for s in seen.shards]
    ranges += keyspace.missing_ranges(ranges)
    table = RoutingTable(keyspace.name, 1, keyspace.slots)
    for slots in ranges:
        name = names.shard(keyspace.name, slots.start, slots.end)
        route = ShardRoute(name, slots, ShardState.NO_PRIMARY, 0, reason=BEING_CREATED)
        table = table.with_shard(route)
    return table


def _with_rules(table: RoutingTable, seen: KeyspaceSeen) -> RoutingTable:
    keyspace = seen.keyspace
    system = names.system_secret(keyspace.name)
    versions = dict(seen.password_versions)
    return replace(
        table,
        tables=tuple(TableRule(t.name, t.sharding_key, t.reference) for t in keyspace.tables),
        default_sharding_key=keyspace.default_sharding_key,
        other_tables=keyspace.other_tables,
        unique_keys=keyspace.unique_keys,
        users=tuple(
            UserRef(
                user.name,
                SecretKey(user.password.name, user.password.key),
                versions.get(user.password.name, ""),
                tls=user.tls,
                tls_subject=user.tls_subject,
                limits=user.limits,
                transaction_mode=user.transaction_mode,
            )
            for user in keyspace.users
        ),
        gate_account=UserRef(names.GATE_ACCOUNT, SecretKey(system, "gate"), seen.system_version),
        ca=seen.authority,
    )


def _shards(seen: KeyspaceSeen) -> list[KeyspaceAction]:
    """Make the missing ones; bring those that this Keyspace made to its template."""
    missing = seen.keyspace.missing_ranges(s.slots for s in seen.shards)
    actions: list[KeyspaceAction] = [ApplyShard(slots, is_new=True) for slots in missing]
    for shard in seen.shards:
        same = shard.template == seen.keyspace.template
        if shard.name in seen.owned and not same and not shard.meta.deleting:
            actions.append(ApplyShard(shard.slots, is_new=False))
    return actions


def _describe(seen: KeyspaceSeen, now: datetime) -> KeyspaceStatus:
    keyspace = seen.keyspace
    missing = keyspace.missing_ranges(s.slots for s in seen.members)
    phases = Counter(shard.status.phase for shard in seen.members)
    ready, desired = phases[ShardPhase.READY], len(seen.members) + len(missing)
    phase, reason = _phase(seen, phases, len(missing))
    facts = (
        _accepted(seen),
        _users(seen),
        _splittable(keyspace),
        Fact(
            kinds.PAUSED,
            keyspace.template.paused,
            "Paused" if keyspace.template.paused else "NotPaused",
        ),
        Fact(kinds.PROGRESSING, phase is KeyspacePhase.CREATING, phase.value, reason),
        Fact(
            kinds.READY,
            phase is KeyspacePhase.READY,
            phase.value,
            reason or f"{ready} of {desired} shards are ready",
        ),
    )
    return KeyspaceStatus(
        phase=phase,
        phase_reason=reason,
        desired_shards=desired,
        ready_shards=ready,
        ready=f"{ready}/{desired}",
        shard_names=_known_names(seen, bool(missing)),
        routing_version=seen.table.version if seen.table else 0,
        endpoint=seen.endpoint,
        conditions=with_facts(keyspace.status.conditions, facts, now, keyspace.meta.generation),
        observed_generation=keyspace.meta.generation,
    )


def _known_names(seen: KeyspaceSeen, some_missing: bool) -> tuple[str, ...]:
    """Empty until all exist; from then on names are only added."""
    known = seen.keyspace.status.shard_names
    if some_missing and not known:
        return ()
    new = sorted((s.slots, s.name) for s in seen.members if s.name not in known)
    return (*known, *(name for _, name in new))


def _phase(
    seen: KeyspaceSeen, phases: Counter[ShardPhase], missing: int
) -> tuple[KeyspacePhase, str]:
    if missing or not seen.members:
        return KeyspacePhase.CREATING, "its Shards are being created"
    if gaps := find_problems((s.slots for s in seen.members), seen.keyspace.slots):
        helps = "a deleted Shard can be applied again; its volumes are kept as retired"
        return KeyspacePhase.UNAVAILABLE, f"{'; '.join(gaps)}: {helps}"
    order = (
        (ShardPhase.REFUSED, KeyspacePhase.UNAVAILABLE),
        (ShardPhase.DELETING, KeyspacePhase.UNAVAILABLE),
        (ShardPhase.UNAVAILABLE, KeyspacePhase.UNAVAILABLE),
        (ShardPhase.PENDING, KeyspacePhase.CREATING),
        (ShardPhase.CREATING, KeyspacePhase.CREATING),
        (ShardPhase.DEGRADED, KeyspacePhase.DEGRADED),
    )
    for shard_phase, phase in order:
        if phases[shard_phase]:
            return phase, _sentences(seen, shard_phase)
    return KeyspacePhase.READY, ""


def _sentences(seen: KeyspaceSeen, phase: ShardPhase) -> str:
    concerned = [s for s in seen.members if s.status.phase is phase]
    told = [f"{s.name}: {s.status.phase_reason or 'just begun'}" for s in concerned[:3]]
    more = len(concerned) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _lack_of_passwords(seen: KeyspaceSeen) -> Problem | None:
    """Nothing is begun for users that could not log in. What is begun goes on without them: one
    Secret that is lost later must not take a database away."""
    is_begun = names.FINALIZER in seen.keyspace.meta.finalizers
    if is_begun or not seen.missing_passwords:
        return None
    return Problem("MissingPassword", seen.missing_passwords)


def _accepted(seen: KeyspaceSeen) -> Fact:
    for severity in (Severity.WAITING, Severity.WARNING):
        if problem := worst(seen.problems, severity):
            return Fact(kinds.ACCEPTED, True, problem.reason, problem.message)
    return Fact(kinds.ACCEPTED, True, "Valid")


def _users(seen: KeyspaceSeen) -> Fact:
    if seen.missing_passwords:
        return Fact(USERS_READY, False, "MissingPassword", seen.missing_passwords)
    return Fact(USERS_READY, True, "PasswordsFound")


def _splittable(keyspace: Keyspace) -> Fact:
    if keyspace.other_tables is OtherTables.UNSHARDED:
        return Fact(
            kinds.SPLITTABLE,
            False,
            "UnshardedTables",
            "otherTables is unsharded: tables without a rule lie whole on the first shard; give "
            "each a shardingKey or reference: true, then write otherTables: refuse",
        )
    return Fact(kinds.SPLITTABLE, True, "EveryTableHasRule")


def _refused(seen: KeyspaceSeen, problem: Problem, now: datetime) -> KeyspaceStatus:
    keyspace = seen.keyspace
    facts = (
        Fact(kinds.ACCEPTED, False, problem.reason, problem.message),
        Fact(kinds.READY, False, problem.reason, problem.message),
    )
    return replace(
        keyspace.status,
        phase=KeyspacePhase.REFUSED,
        phase_reason=problem.message,
        conditions=with_facts(keyspace.status.conditions, facts, now, keyspace.meta.generation),
        observed_generation=keyspace.meta.generation,
    )


def _delete(seen: KeyspaceSeen, now: datetime) -> KeyspaceDecision:
    """The Shards first, each by its own deletion policy; the rest goes with the Keyspace."""
    keyspace = seen.keyspace
    if names.FINALIZER not in keyspace.meta.finalizers:
        return KeyspaceDecision(keyspace.status)
    message = f"{len(seen.shards)} shard(s) are being deleted"
    fact = Fact(kinds.READY, False, "Deleting", message)
    status = replace(
        keyspace.status,
        phase=KeyspacePhase.DELETING,
        phase_reason=message,
        conditions=with_facts(keyspace.status.conditions, (fact,), now, keyspace.meta.generation),
    )
    if not seen.shards:
        return KeyspaceDecision(status, (DropFinalizer(),))
    deletes = tuple(DeleteShard(s.name) for s in seen.shards if not s.meta.deleting)
    return KeyspaceDecision(status, deletes, BUSY_SECONDS)
