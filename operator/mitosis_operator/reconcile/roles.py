"""Who is primary, and what to ask of each agent.

The order that must hold, and how it is kept:

1. primary and epoch are in `Shard.status` (compare-and-swap) before anything else knows of them;
2. the routing table shows the epoch, without a primary, before any agent is called at it;
3. the first instance is initialised only while nothing was ever written (stage NEW);
4. as long as no client can have written (stage INITIALISED) the primary may be made writable
   without acknowledging replicas: for its accounts, which the others are cloned with;
5. stage COMPLETE needs semi-synchronous replication with enough replicas; only then the table
   shows a primary, and from then on `promote` always waits for those replicas.
"""

from dataclasses import dataclass

from mitosis_operator import names
from mitosis_operator.mysql.instance import (
    Arguments,
    Clone,
    DataState,
    Follow,
    Initialise,
    MysqldState,
    Progress,
    Promote,
    Role,
    ThreadState,
    Verb,
)
from mitosis_operator.reconcile.actions import Call
from mitosis_operator.reconcile.seen import (
    InstanceSeen,
    Seen,
    Stage,
    Unreachable,
    acknowledges,
    wanted_acks,
)


@dataclass(frozen=True)
class Intent:
    """What is, or is about to be, in `Shard.status`."""

    primary: str = ""
    """Empty: not decided yet."""
    epoch: int = 0
    stage: Stage = Stage.NEW


def intend(seen: Seen) -> Intent:
    """Keep what was decided; decide what is due. Never changes a primary: that is a failover."""
    status = seen.shard.status
    if status.epoch == 0:
        return _choose(seen)
    intent = Intent(status.primary, status.epoch, seen.stage)
    primary = seen.instance(status.primary)
    if primary is None or primary.status is None:
        return intent
    if intent.stage is Stage.NEW and primary.data is DataState.GOOD:
        return Intent(intent.primary, intent.epoch, Stage.INITIALISED)
    if intent.stage is Stage.INITIALISED and _is_complete(seen, intent, primary):
        return Intent(intent.primary, intent.epoch, Stage.COMPLETE)
    return intent


def _choose(seen: Seen) -> Intent:
    """The first primary: in the primary IDC, lowest serial, on an empty volume.

    Volumes with data are those of an earlier Shard of the same name. Then it waits until every
    instance can be asked, and takes the one that was primary last.
    """
    asked = [i for i in seen.instances if i.status is not None]
    epoch = 1 + max(
        [seen.published.epoch if seen.published else 0]
        + [max(i.status.epoch, i.status.fenced_epoch) for i in asked if i.status]
    )
    if any(i.data in (DataState.GOOD, DataState.UNKNOWN) for i in asked):
        last = [
            i
            for i in asked
            if i.status and i.data is DataState.GOOD and i.status.role is Role.PRIMARY
        ]
        if len(asked) < seen.shard.template.instances or not last:
            return Intent()
        newest = max(last, key=lambda i: i.status.epoch if i.status else 0)
        return Intent(newest.name, epoch, Stage.INITIALISED)
    home = seen.shard.template.primary_idc
    candidates = [i for i in asked if i.idc == home]
    return Intent(candidates[0].name, epoch, Stage.NEW) if candidates else Intent()


def _is_complete(seen: Seen, intent: Intent, primary: InstanceSeen) -> bool:
    status = primary.status
    if status is None or not is_writable_at(primary, intent.epoch) or not has_accounts(seen):
        return False
    acks = wanted_acks(seen, primary)
    semi_sync = status.semi_sync
    return acks == 0 or bool(semi_sync and semi_sync.source_enabled and semi_sync.clients >= acks)


def is_writable_at(instance: InstanceSeen, epoch: int) -> bool:
    status = instance.status
    return bool(
        status
        and status.writable
        and status.epoch == epoch
        and status.role is Role.PRIMARY
        and status.data_state is DataState.GOOD
    )


def is_semi_sync(seen: Seen, primary: InstanceSeen) -> bool:
    """Whether commits on the primary wait for replicas as they should."""
    semi_sync = primary.status.semi_sync if primary.status else None
    return wanted_acks(seen, primary) == 0 or bool(semi_sync and semi_sync.source_enabled)


def has_accounts(seen: Seen) -> bool:
    """The last complete run of `accounts` is the one that is wanted now."""
    primary = seen.instance(seen.shard.status.primary)
    status = primary.status if primary else None
    return bool(seen.accounts and status and status.accounts_hash == seen.accounts.hash)


def is_following(instance: InstanceSeen, primary: InstanceSeen, epoch: int) -> bool:
    """It replicates from the primary, without an error, at this epoch."""
    status = instance.status
    replication = status.replication if status else None
    return bool(
        status
        and replication
        and status.epoch == epoch
        and status.role is Role.REPLICA
        and status.data_state is DataState.GOOD
        and replication.source_host == primary.ip
        and replication.io_state is ThreadState.YES
        and replication.sql_state is ThreadState.YES
    )


def calls(seen: Seen, intent: Intent) -> tuple[Call, ...]:
    """What to ask now, at most one thing of each agent.

    Nothing before the table shows the epoch: gates must have been told that nobody takes writes.
    """
    published = seen.published
    primary = seen.instance(intent.primary)
    if primary is None or published is None or published.epoch != intent.epoch:
        return ()
    wanted = [(primary, _ask_primary(seen, intent, primary))]
    wanted += [(i, _ask_replica(seen, intent, primary, i)) for i in seen.instances if i != primary]
    return tuple(
        Call(i.name, i.ip, args, i.status.operation.id if i.status and i.status.operation else "")
        for i, args in _one_clone(seen, wanted)
        if args is not None
    )


def _one_clone(
    seen: Seen, wanted: list[tuple[InstanceSeen, Arguments | None]]
) -> list[tuple[InstanceSeen, Arguments | None]]:
    """MySQL lets a donor serve one clone at a time."""
    busy = any(is_cloning(i) for i in seen.instances)
    kept: list[tuple[InstanceSeen, Arguments | None]] = []
    for instance, args in wanted:
        if isinstance(args, Clone):
            if busy:
                continue
            busy = True
        kept.append((instance, args))
    return kept


def is_cloning(instance: InstanceSeen) -> bool:
    operation = instance.status.operation if instance.status else None
    return bool(operation and operation.verb is Verb.CLONE and operation.state is Progress.RUNNING)


def _ask_primary(seen: Seen, intent: Intent, primary: InstanceSeen) -> Arguments | None:
    status = primary.status
    if status is None or primary.is_busy:
        return None
    if status.data_state in (DataState.EMPTY, DataState.INITIALISING):
        return Initialise() if _may_initialise(seen, intent, primary) else None
    if status.data_state is not DataState.GOOD or not _answers_soon(primary):
        return None
    acks = wanted_acks(seen, primary)
    strict = Promote(min_acks=acks, semi_sync=acks > 0)
    if not is_writable_at(primary, intent.epoch):
        if intent.stage is Stage.COMPLETE:
            return strict
        return Promote(min_acks=0, semi_sync=False) if intent.stage is Stage.INITIALISED else None
    if seen.accounts is not None and not has_accounts(seen):
        return seen.accounts
    if not is_semi_sync(seen, primary):
        ready = [
            i
            for i in seen.instances
            if acknowledges(seen, primary, i) and is_following(i, primary, intent.epoch)
        ]
        return strict if len(ready) >= acks else None
    return None


def _answers_soon(instance: InstanceSeen) -> bool:
    """A mysqld that starts or is stuck cannot be told anything; one that is stopped is started."""
    return instance.status is not None and instance.status.mysqld.state in (
        MysqldState.RUNNING,
        MysqldState.STOPPED,
    )


def _may_initialise(seen: Seen, intent: Intent, primary: InstanceSeen) -> bool:
    """An empty volume is filled with an empty server only where nothing was ever written."""
    others = [i for i in seen.instances if i != primary]
    return intent.stage is Stage.NEW and not any(
        i.data in (DataState.GOOD, DataState.UNKNOWN) for i in others
    )


def _ask_replica(
    seen: Seen, intent: Intent, primary: InstanceSeen, replica: InstanceSeen
) -> Arguments | None:
    status = replica.status
    if status is None or replica.is_busy or intent.stage is Stage.NEW:
        return None
    if status.data_state in (DataState.EMPTY, DataState.INITIALISING, DataState.CLONING):
        donor = choose_donor(seen, intent, primary)
        return Clone(donor.ip, names.MYSQL_PORT, donor.name) if donor else None
    if status.data_state is not DataState.GOOD or not primary.ip or not _answers_soon(replica):
        return None
    semi_sync = acknowledges(seen, primary, replica)
    if not _must_follow(intent, primary, replica, semi_sync):
        return None
    return Follow(
        source_host=primary.ip,
        source_port=names.MYSQL_PORT,
        source_name=primary.name,
        semi_sync=semi_sync,
        source_executed=_executed(primary),
    )


def choose_donor(seen: Seen, intent: Intent, primary: InstanceSeen) -> InstanceSeen | None:
    """A replica that is up to date with nothing to lose, else the primary while no commit of it
    waits for an acknowledgement. The accounts must be there: the donor's is one of them."""
    if not has_accounts(seen) and intent.stage is not Stage.COMPLETE:
        return None
    for instance in seen.instances:
        if instance != primary and is_following(instance, primary, intent.epoch):
            return instance
    status = primary.status
    waits = bool(status and status.semi_sync and status.semi_sync.wait_sessions)
    return primary if is_writable_at(primary, intent.epoch) and not waits else None


def _must_follow(
    intent: Intent, primary: InstanceSeen, replica: InstanceSeen, semi_sync: bool
) -> bool:
    status = replica.status
    if status is None:
        return False
    replication = status.replication
    if status.epoch != intent.epoch or status.role is not Role.REPLICA or replication is None:
        return True
    stopped = ThreadState.NO in (replication.io_state, replication.sql_state)
    differs = bool(status.semi_sync and status.semi_sync.replica_enabled is not semi_sync)
    return replication.source_host != primary.ip or stopped or differs


def _executed(primary: InstanceSeen) -> str | None:
    """The set against which a replica's surplus is judged. Not while commits wait for replicas:
    those hold transactions that the primary does not show yet."""
    status = primary.status
    if status is None or status.gtid is None:
        return None
    waits = status.semi_sync is not None and status.semi_sync.wait_sessions > 0
    return None if waits else status.gtid.executed


def last_failure(instance: InstanceSeen) -> str:
    """What went wrong with the last thing asked of this instance; empty when it went well."""
    if isinstance(instance.agent, Unreachable):
        return instance.agent.reason
    operation = instance.status.operation if instance.status else None
    if operation is None or operation.state is not Progress.FAILED:
        return ""
    return f"{operation.verb.value} failed: {operation.error}"
