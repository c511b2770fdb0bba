"""Does what was decided about a keyspace."""

import secrets
from functools import partial
from typing import Protocol

from mitosis_operator import names
from mitosis_operator.errors import Forbidden, Invalid
from mitosis_operator.events import Reason
from mitosis_operator.kube.kinds import SHARD, Body, is_deleting
from mitosis_operator.kube.secret_store import Secrets
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.objects import credentials, shards
from mitosis_operator.reconcile.acts import Acts, Doors
from mitosis_operator.reconcile.keyspaces import (
    AddFinalizer,
    ApplyShard,
    CreateTable,
    DeleteShard,
    DropFinalizer,
    KeyspaceAction,
    KeyspaceDecision,
    MakeSystemSecret,
    PublishRules,
)
from mitosis_routing.table import RoutingTable


class Tables(Protocol):
    """Where routing tables are made and published; see publisher.py."""

    async def create(self, keyspace: Keyspace, table: RoutingTable) -> Body: ...

    async def rules(self, keyspace: Keyspace, table: RoutingTable) -> Body: ...


class KeyspaceApplier:
    def __init__(self, doors: Doors, acts: Acts, store: Secrets, tables: Tables) -> None:
        self._doors = doors
        self._acts = acts
        self._store = store
        self._tables = tables

    async def apply(self, body: Body, keyspace: Keyspace, decision: KeyspaceDecision) -> None:
        """`body` is the Keyspace that the decision was made on."""
        if decision.status != keyspace.status:
            before, after = keyspace.status.conditions, decision.status.conditions
            body = await self._acts.write_status(body, decision.status.to_body())
            await self._acts.tell_changes(body, before, after)
        for action in decision.actions:
            try:
                await self._acts.step(action.step, body, partial(self._do, body, keyspace, action))
            except (Invalid, Forbidden) as exc:
                await self._acts.tell(body, Reason.REFUSED, str(exc), warning=True)
                raise

    async def _do(self, body: Body, keyspace: Keyspace, action: KeyspaceAction) -> None:
        match action:
            case AddFinalizer():
                await self._acts.set_finalizers(body, [*keyspace.meta.finalizers, names.FINALIZER])
            case DropFinalizer():
                left = [f for f in keyspace.meta.finalizers if f != names.FINALIZER]
                await self._acts.set_finalizers(body, left)
            case MakeSystemSecret():
                await self._make_system_secret(keyspace)
            case CreateTable(table):
                self._acts.remember(await self._tables.create(keyspace, table))
            case PublishRules(table):
                self._acts.remember(await self._tables.rules(keyspace, table))
            case ApplyShard(slots, is_new):
                await self._acts.apply(shards.build(keyspace, slots))
                if is_new:
                    name = names.shard(keyspace.name, slots.start, slots.end)
                    await self._acts.tell(body, Reason.SHARD_CREATED, name)
            case DeleteShard(name):
                live = self._doors.cache.get(SHARD, keyspace.namespace, name)
                if live is not None and not is_deleting(live):
                    await self._acts.delete(live)
                    await self._acts.tell(body, Reason.SHARD_DELETED, name)

    async def _make_system_secret(self, keyspace: Keyspace) -> None:
        """Created, never applied: passwords that are in use must not be replaced."""
        passwords = {key: secrets.token_urlsafe(24) for key in names.SYSTEM_SECRET_KEYS}
        await self._acts.create(credentials.system(keyspace, passwords))
        self._store.forget(keyspace.namespace, names.system_secret(keyspace.name))
