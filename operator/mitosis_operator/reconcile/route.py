"""What the routing table should say about a shard: only what holds now.

A primary is shown when its own agent says that it is writable at the shard's epoch. When an agent
does not answer while Kubernetes calls its pod ready, what was published stays: a lost answer is no
lost primary.
"""

from mitosis_operator import names
from mitosis_operator.reconcile.roles import Intent, is_following, is_semi_sync, is_writable_at
from mitosis_operator.reconcile.seen import InstanceSeen, Seen, Stage, Unreachable
from mitosis_routing.table import InstanceRoute, Role, ShardRoute, ShardState


def desired(seen: Seen, intent: Intent, reason: str) -> ShardRoute:
    """`reason` says why nobody takes writes, for the clients, if that is so."""
    primary = seen.instance(intent.primary)
    serves = primary is not None and is_serving(seen, intent, primary)
    return ShardRoute(
        name=seen.shard.name,
        slots=seen.shard.slots,
        state=ShardState.SERVING if serves else ShardState.NO_PRIMARY,
        epoch=intent.epoch,
        instances=tuple(_instance(seen, intent, i, primary, serves) for i in seen.instances),
        reason="" if serves else reason,
    )


def is_serving(seen: Seen, intent: Intent, primary: InstanceSeen) -> bool:
    if intent.stage is not Stage.COMPLETE:
        return False
    if isinstance(primary.agent, Unreachable):
        return _was_published(seen, intent, primary, Role.PRIMARY)
    return is_writable_at(primary, intent.epoch) and is_semi_sync(seen, primary)


def _was_published(seen: Seen, intent: Intent, instance: InstanceSeen, role: Role) -> bool:
    """It was shown in this role at this epoch and this address, and seems to live on."""
    before = seen.published
    if before is None or before.epoch != intent.epoch or not instance.seems_alive:
        return False
    if role is Role.PRIMARY and before.state is not ShardState.SERVING:
        return False
    return any(
        i.name == instance.name and i.role is role and i.host == instance.ip
        for i in before.instances
    )


def _instance(
    seen: Seen, intent: Intent, instance: InstanceSeen, primary: InstanceSeen | None, serves: bool
) -> InstanceRoute:
    before = next(
        (
            i
            for i in (seen.published.instances if seen.published else ())
            if i.name == instance.name
        ),
        None,
    )
    uuid = instance.status.mysqld.server_uuid if instance.status else ""
    return InstanceRoute(
        name=instance.name,
        role=_role(seen, intent, instance, primary, serves),
        host=instance.ip,
        port=names.MYSQL_PORT,
        server_uuid=uuid or (before.server_uuid if before else ""),
        idc=instance.idc,
    )


def _role(
    seen: Seen, intent: Intent, instance: InstanceSeen, primary: InstanceSeen | None, serves: bool
) -> Role:
    if primary is None or intent.stage is not Stage.COMPLETE:
        return Role.NONE
    if instance == primary:
        return Role.PRIMARY if serves else Role.NONE
    if isinstance(instance.agent, Unreachable):
        known = _was_published(seen, intent, instance, Role.REPLICA)
        return Role.REPLICA if known else Role.NONE
    return Role.REPLICA if is_following(instance, primary, intent.epoch) else Role.NONE
