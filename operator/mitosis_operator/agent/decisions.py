"""Whether an operation may begin, and what is remembered before it does. Pure.

Two numbers guard every operation. The epoch rises with each change of a shard's primary; the lease
rises with each change of the operator's leader. They are compared as a pair, upward only: a higher
epoch was decided by compare-and-swap, so it is believed with any lease.

Within one epoch the role of an instance never changes: who was a replica in it does not become
the primary of it, and who was its primary does not follow another. A fence at an epoch forbids
promotion at that epoch and below, for good.
"""

from dataclasses import replace

from mitosis_operator.agent.state import Memory
from mitosis_operator.mysql.instance import (
    Clone,
    DataState,
    Operation,
    OperationState,
    Progress,
    Role,
    Verb,
)

FILLABLE = {
    Verb.INITIALISE: (DataState.EMPTY, DataState.INITIALISING),
    Verb.CLONE: (DataState.EMPTY, DataState.INITIALISING, DataState.CLONING),
}
NEED_DATA = (Verb.FOLLOW, Verb.PROMOTE, Verb.ACCOUNTS)
ROLES = {
    Verb.PROMOTE: Role.PRIMARY,
    Verb.FOLLOW: Role.REPLICA,
    Verb.FENCE: Role.NONE,
    Verb.CLONE: Role.NONE,
    Verb.INITIALISE: Role.NONE,
}


def refusal(memory: Memory, operation: Operation) -> str | None:
    """Return why this operation must not begin, or None."""
    return (
        _wrong_shard(memory, operation)
        or _outdated(memory, operation)
        or _busy(memory, operation)
        or _wrong_data(memory, operation)
        or _wrong_role(memory, operation)
    )


def _wrong_shard(memory: Memory, operation: Operation) -> str | None:
    if operation.shard != memory.shard:
        return f"{memory.instance} is of shard {memory.shard}, not of {operation.shard}"
    if memory.data_state is DataState.UNKNOWN:
        return "the volume belongs to somebody else; delete the claim or give it back"
    return None


def _outdated(memory: Memory, operation: Operation) -> str | None:
    if operation.epoch < memory.epoch:
        return f"epoch {operation.epoch} is over: this instance has seen epoch {memory.epoch}"
    if operation.epoch == memory.epoch and operation.lease < memory.lease:
        return (
            f"the leader with lease {operation.lease} is deposed: this instance has seen lease"
            f" {memory.lease}"
        )
    return None


def _busy(memory: Memory, operation: Operation) -> str | None:
    if memory.running and operation.verb is not Verb.FENCE:
        return f"operation {memory.running.id} ({memory.running.verb.value}) is still running"
    return None


def _wrong_data(memory: Memory, operation: Operation) -> str | None:
    verb, state = operation.verb, memory.data_state
    if verb in NEED_DATA and state is not DataState.GOOD:
        return f"cannot {verb.value}: the data of this volume is {state.value}, not good"
    if verb in FILLABLE and state not in FILLABLE[verb]:
        licensed = isinstance(operation.args, Clone) and operation.args.discard_gtid is not None
        if not (licensed and state is DataState.GOOD):
            return f"cannot {verb.value}: the volume is {state.value}; its data is not destroyed"
    return None


def _wrong_role(memory: Memory, operation: Operation) -> str | None:
    verb, epoch = operation.verb, operation.epoch
    role = memory.role if epoch == memory.epoch else Role.NONE
    if verb is Verb.PROMOTE and epoch <= memory.fenced_epoch:
        return f"fenced at epoch {memory.fenced_epoch}: a promotion needs a higher epoch"
    if verb is Verb.PROMOTE and role is Role.REPLICA:
        return f"a replica in epoch {epoch}: a promotion needs a higher epoch"
    if verb in (Verb.FOLLOW, Verb.CLONE) and role is Role.PRIMARY:
        return f"the primary of epoch {epoch}: {verb.value} needs a higher epoch"
    if verb is Verb.ACCOUNTS and memory.role is Role.REPLICA:
        return "a replica: accounts are written on the primary"
    if verb is Verb.ACCOUNTS and memory.role is Role.PRIMARY and epoch > memory.epoch:
        return f"the primary of epoch {memory.epoch}, not yet of epoch {epoch}: promote it first"
    return None


def accepted(memory: Memory, operation: Operation) -> Memory:
    """What is remembered before the operation acts."""
    kept = memory.role if operation.epoch == memory.epoch else Role.NONE
    begun = replace(
        memory,
        epoch=operation.epoch,
        lease=operation.lease,
        role=ROLES.get(operation.verb, kept),
        fenced_epoch=operation.epoch if operation.verb is Verb.FENCE else memory.fenced_epoch,
    )
    return begun.with_operation(OperationState(operation.id, operation.verb, Progress.RUNNING))


def may_write(memory: Memory, epoch: int) -> bool:
    """Whether the promotion begun at this epoch still stands; asked right before read-only ends."""
    return (
        memory.data_state is DataState.GOOD
        and memory.role is Role.PRIMARY
        and memory.epoch == epoch
        and memory.fenced_epoch < epoch
    )


def starts_offline(memory: Memory) -> bool:
    """Whether mysqld keeps clients out when it starts: while it has no data, and while fenced."""
    is_fenced = memory.role is Role.NONE and memory.fenced_epoch > 0
    return memory.data_state is not DataState.GOOD or is_fenced
