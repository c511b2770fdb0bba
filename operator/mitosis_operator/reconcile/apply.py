"""Does what was decided about a shard: first the status, which holds the intent, then the actions.

The first failure ends the pass: later actions may build on it, and the next pass looks again.
"""

import hashlib
import json
import logging
from dataclasses import replace
from functools import partial
from typing import Protocol

from mitosis_operator import names
from mitosis_operator.errors import AgentError, Forbidden, Invalid
from mitosis_operator.events import Reason
from mitosis_operator.kube.kinds import POD, VOLUME, Body, is_deleting
from mitosis_operator.models.shard import Shard
from mitosis_operator.models.status import ShardStatus
from mitosis_operator.mysql import codec
from mitosis_operator.mysql.instance import Accounts, Instances, Operation
from mitosis_operator.objects import config, credentials, disruption, pod, volume
from mitosis_operator.objects.pod import PodSettings
from mitosis_operator.reconcile.actions import (
    Action,
    AddFinalizer,
    ApplyShared,
    Call,
    CreatePod,
    CreateVolume,
    DeletePod,
    DeleteVolume,
    DropFinalizer,
    LabelPod,
    MakeCertificate,
    Publish,
    RetireVolume,
)
from mitosis_operator.reconcile.acts import Acts, Doors
from mitosis_operator.reconcile.health import Decision
from mitosis_operator.reconcile.identity import Identity
from mitosis_operator.reconcile.roles import last_failure
from mitosis_operator.reconcile.seen import Seen
from mitosis_operator.settings import Settings
from mitosis_routing.table import ShardRoute

log = logging.getLogger(__name__)

FIGURES_SECONDS = 20.0
"""Figures that change all the time (bytes used, GTIDs, lag) are written no more often than this."""


class Routes(Protocol):
    """Where routing tables are published; see publisher.py."""

    async def shard(self, namespace: str, keyspace: str, route: ShardRoute) -> Body: ...


class ShardApplier:
    def __init__(
        self,
        doors: Doors,
        acts: Acts,
        instances: Instances,
        identity: Identity,
        routes: Routes,
        settings: Settings,
    ) -> None:
        self._doors = doors
        self._acts = acts
        self._instances = instances
        self._identity = identity
        self._routes = routes
        self._settings = settings
        self._written: dict[tuple[str, str], float] = {}

    async def apply(self, body: Body, seen: Seen, decision: Decision) -> None:
        """`body` is the Shard that `seen` was read from."""
        body = await self._status(body, seen.shard, decision.status)
        for action in decision.actions:
            try:
                await self._acts.step(action.step, body, partial(self._do, body, seen, action))
            except (Invalid, Forbidden, AgentError) as exc:
                await self._acts.tell(body, Reason.REFUSED, str(exc), warning=True)
                if not isinstance(exc, AgentError):
                    raise

    def forget(self, namespace: str, name: str) -> None:
        self._written.pop((namespace, name), None)

    async def _status(self, body: Body, shard: Shard, status: ShardStatus) -> Body:
        key = (shard.namespace, shard.name)
        old, new = shard.status, status
        if old == new:
            return body
        is_due = self._doors.clock() - self._written.get(key, float("-inf")) >= FIGURES_SECONDS
        if lasting(old) == lasting(new) and not is_due:
            return body
        body = await self._acts.write_status(body, new.to_body())
        self._written[key] = self._doors.clock()
        await self._acts.tell_changes(body, old.conditions, new.conditions)
        if (old.primary, old.epoch) != (new.primary, new.epoch):
            message = f"{new.primary} is to be the primary at epoch {new.epoch}"
            await self._acts.tell(body, Reason.PRIMARY_CHOSEN, message)
            await self._doors.faults.after("record-intent", body)
        return body

    async def _do(self, body: Body, seen: Seen, action: Action) -> None:
        shard = seen.shard
        match action:
            case AddFinalizer():
                await self._acts.set_finalizers(body, [*shard.meta.finalizers, names.FINALIZER])
            case DropFinalizer():
                left = [f for f in shard.meta.finalizers if f != names.FINALIZER]
                await self._acts.set_finalizers(body, left)
            case ApplyShared():
                for shared in (config.build(shard), *disruption.build(shard)):
                    await self._acts.apply(shared)
            case MakeCertificate(instance):
                await self._make_certificate(body, shard, instance)
            case CreateVolume():
                await self._create_volume(body, shard, action)
            case CreatePod(instance, serial, node):
                made = await self._acts.create(pod.build(shard, serial, node, self._pod_settings()))
                if made:
                    await self._acts.tell(body, Reason.POD_CREATED, f"{instance} on node {node}")
            case DeletePod(instance, reason):
                if live := self._doors.cache.get(POD, shard.namespace, instance):
                    await self._acts.delete(live)
                    message = f"{instance}: {reason}"
                    await self._acts.tell(body, Reason.POD_DELETED, message)
            case LabelPod(instance, role):
                if live := self._doors.cache.get(POD, shard.namespace, instance):
                    await self._acts.merge(live, pod.role_patch(role))
            case Publish(route):
                await self._publish(body, shard, route)
            case Call():
                await self._call(body, seen, action)
            case RetireVolume(instance):
                if live := self._doors.cache.get(VOLUME, shard.namespace, instance):
                    await self._acts.merge(live, volume.retired(self._doors.now()))
                    await self._acts.tell(body, Reason.VOLUME_RETIRED, f"{instance} is kept")
            case DeleteVolume(instance):
                live = self._doors.cache.get(VOLUME, shard.namespace, instance)
                if live is not None and not is_deleting(live):
                    await self._acts.delete(live)
                    await self._acts.tell(body, Reason.VOLUME_DELETED, instance)

    async def _make_certificate(self, body: Body, shard: Shard, instance: str) -> None:
        """Made before the volume: a pod without its certificate could not start."""
        if await self._identity.has_certificate(shard.namespace, instance):
            return
        pair = self._identity.for_instance(shard.namespace, instance)
        secret = credentials.tls(
            shard,
            instance,
            certificate=pair.certificate,
            key=pair.key,
            ca=self._identity.authority.certificate,
        )
        await self._identity.store(secret)
        await self._acts.tell(body, Reason.CERTIFICATE_MADE, f"for {instance}")

    async def _create_volume(self, body: Body, shard: Shard, action: CreateVolume) -> None:
        claim = volume.build(
            shard,
            action.serial,
            action.node,
            action.size_bytes,
            shard.template.storage.class_name,
        )
        if await self._acts.create(claim):
            but = f"; {'; '.join(action.compromises)}" if action.compromises else ""
            message = f"{action.instance} for node {action.node}{but}"
            await self._acts.tell(body, Reason.VOLUME_CREATED, message)

    def _pod_settings(self) -> PodSettings:
        settings = self._settings
        return PodSettings(settings.instance_image, settings.image_pull_policy)

    async def _publish(self, body: Body, shard: Shard, route: ShardRoute) -> None:
        written = await self._routes.shard(shard.namespace, shard.keyspace, route)
        self._acts.remember(written)
        text = f"{route.primary.name} takes writes" if route.primary else route.reason
        await self._acts.tell(
            body, Reason.PUBLISHED, f"epoch {route.epoch}: {text}", warning=not route.primary
        )

    async def _call(self, body: Body, seen: Seen, call: Call) -> None:
        shard = seen.shard
        operation = Operation(
            id=operation_id(shard, call),
            epoch=shard.status.epoch,
            lease=self._doors.leader.term,
            shard=shard.name,
            args=call.args,
        )
        state = await self._instances.start(call.ip, call.instance, operation)
        log.info("%s: %s on %s: %s", shard.name, call.step, call.instance, state.state.value)
        instance = seen.instance(call.instance)
        if instance is None or not last_failure(instance):
            await self._acts.tell(body, Reason.ASKED, f"{call.instance} to {call.step}")


def operation_id(shard: Shard, call: Call) -> str:
    """The same for the same wish after the same operation: an operator that died after asking, or
    two that ask at once, ask for one thing."""
    args = call.args
    facts = args.hash if isinstance(args, Accounts) else codec.to_json(args)
    wish = [shard.meta.uid, shard.status.epoch, call.instance, call.step, facts, call.previous]
    digest = hashlib.sha256(json.dumps(wish).encode()).hexdigest()
    return f"{call.step}-{shard.status.epoch}-{digest[:20]}"


def lasting(status: ShardStatus) -> ShardStatus:
    """What is worth a write at once: all but the figures that never stand still."""
    return replace(
        status,
        instances=tuple(
            replace(i, used_bytes=None, used_percent=None, gtid_executed="", lag_seconds=None)
            for i in status.instances
        ),
        storage=replace(status.storage, used_percent=None),
    )
