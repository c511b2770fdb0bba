"""One pass over one object: look, decide, act. This is what the work queue calls."""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from mitosis_operator import metrics
from mitosis_operator.errors import Conflict, NotFound
from mitosis_operator.kube.kinds import KEYSPACE, SHARD, VOLUME, Body, Kind, is_deleting
from mitosis_operator.models import status as kinds
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.models.meta import Meta
from mitosis_operator.models.reading import Unreadable
from mitosis_operator.models.status import KeyspacePhase, KeyspaceStatus, ShardPhase, ShardStatus
from mitosis_operator.objects import volume
from mitosis_operator.reconcile import accounts, health, keyspaces
from mitosis_operator.reconcile.acts import Acts, Doors
from mitosis_operator.reconcile.apply import ShardApplier
from mitosis_operator.reconcile.apply_keyspace import KeyspaceApplier
from mitosis_operator.reconcile.figures import Figures
from mitosis_operator.reconcile.identity import Identity
from mitosis_operator.reconcile.keyspaces import KeyspaceSeen
from mitosis_operator.reconcile.observe import Observer
from mitosis_operator.reconcile.report import Fact, with_facts
from mitosis_operator.settings import Settings
from mitosis_operator.workqueue import Again

log = logging.getLogger(__name__)

CONFLICT_SECONDS = 0.3
PASSES_PER_SECOND = 50
"""No more than this over shards that are calm, however many there are."""


@dataclass(frozen=True)
class Key:
    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.name} {self.namespace}/{self.name}"


class Passes:
    def __init__(
        self,
        doors: Doors,
        acts: Acts,
        observer: Observer,
        identity: Identity,
        shards: ShardApplier,
        keyspace_applier: KeyspaceApplier,
        settings: Settings,
    ) -> None:
        self._doors = doors
        self._acts = acts
        self._observer = observer
        self._identity = identity
        self._shards = shards
        self._keyspaces = keyspace_applier
        self._settings = settings
        self._placing = asyncio.Lock()
        self._figures = Figures()

    async def run(self, key: Key) -> Again:
        """A Conflict is no error, nor is what has gone: others have moved on, so look again."""
        body = self._doors.cache.get(key.kind, key.namespace, key.name)
        if body is None:
            self._forget(key)
            return Again()
        try:
            with metrics.RECONCILE_SECONDS.labels(key.kind.name).time():
                again = await (self._shard(body) if key.kind == SHARD else self._keyspace(body))
        except (Conflict, NotFound) as exc:
            log.info("%s: %s; looking again", key, exc)
            metrics.RECONCILES.labels(key.kind.name, "conflict").inc()
            return Again(CONFLICT_SECONDS)
        except Unreadable as exc:
            await self._refuse_unreadable(key.kind, body, str(exc))
            again = Again()
        except Exception:
            metrics.RECONCILES.labels(key.kind.name, "error").inc()
            raise
        metrics.RECONCILES.labels(key.kind.name, "done").inc()
        return again

    def _forget(self, key: Key) -> None:
        if key.kind == SHARD:
            self._shards.forget(key.namespace, key.name)
            self._figures.forget_shard(key.namespace, key.name)
        else:
            self._figures.forget_keyspace(key.namespace, key.name)

    async def _shard(self, body: Body) -> Again:
        async with self._one_places_at_a_time(body):
            seen = await self._observer.shard(body)
            decision = health.decide(seen, self._doors.now(), self._observer.load())
            self._figures.show_shard(seen.shard.namespace, seen.shard.name, decision.status)
            await self._shards.apply(body, seen, decision)
        if decision.requeue_seconds is not None:
            return Again(decision.requeue_seconds)
        crowded = self._doors.cache.count(SHARD) / PASSES_PER_SECOND
        return Again(max(self._settings.poll_seconds, crowded))

    def _one_places_at_a_time(self, body: Body) -> AbstractAsyncContextManager[Any]:
        """Two shards that choose nodes at once would both count on the same room."""
        name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
        claims = self._doors.cache.of_shard(VOLUME, namespace, name)
        active = [claim for claim in claims if not volume.is_retired(claim)]
        wanted = body["spec"].get("instances", 0)
        lacks = isinstance(wanted, int) and len(active) < wanted and not is_deleting(body)
        return self._placing if lacks else nullcontext()

    async def _keyspace(self, body: Body) -> Again:
        keyspace = Keyspace.from_body(body)
        seen = await self._see(keyspace)
        shards = (shard.status for shard in seen.shards)
        self._figures.show_keyspace(keyspace.namespace, keyspace.name, shards)
        decision = keyspaces.decide(seen, self._doors.now())
        await self._keyspaces.apply(body, keyspace, decision)
        return Again(decision.requeue_seconds)

    async def _see(self, keyspace: Keyspace) -> KeyspaceSeen:
        observer, namespace = self._observer, keyspace.namespace
        shards = observer.shards(namespace, keyspace.name)
        passwords, versions = await observer.passwords(keyspace)
        system = await observer.system_secret(keyspace)
        problems = keyspace.problems(
            shards=[s.slots for s in shards],
            storage_classes=observer.storage_classes(),
            nodes=observer.nodes(keyspace.template.storage),
        )
        if keyspace.status.shard_names:  # once all were there, a missing one is no bad input
            problems = tuple(p for p in problems if p.reason != "BadRanges")
        return KeyspaceSeen(
            keyspace=keyspace,
            problems=problems,
            shards=shards,
            owned=self._owned(keyspace.meta, [s.meta for s in shards]),
            password_versions=tuple(sorted(versions.items())),
            missing_passwords=accounts.missing(keyspace, passwords),
            system_version=system["metadata"].get("resourceVersion", "") if system else "",
            table=observer.table(namespace, keyspace.name),
            authority=self._identity.authority.certificate,
            endpoint=self._settings.gate_service,
        )

    def _owned(self, keyspace: Meta, shards: list[Meta]) -> frozenset[str]:
        found = set()
        for shard in shards:
            body = self._doors.cache.get(SHARD, shard.namespace, shard.name) or {}
            references = body.get("metadata", {}).get("ownerReferences") or ()
            if any(reference.get("uid") == keyspace.uid for reference in references):
                found.add(shard.name)
        return frozenset(found)

    async def _refuse_unreadable(self, kind: Kind, body: Body, message: str) -> None:
        """No schema would let it through, but schemas change and objects may be older."""
        meta = Meta.from_body(body)
        facts = (
            Fact(kinds.ACCEPTED, False, "Unreadable", message),
            Fact(kinds.READY, False, "Unreadable", message),
        )
        conditions = with_facts((), facts, self._doors.now(), meta.generation)
        status: ShardStatus | KeyspaceStatus
        if kind == KEYSPACE:
            status = KeyspaceStatus(KeyspacePhase.REFUSED, message, conditions=conditions)
        else:
            status = ShardStatus(ShardPhase.REFUSED, message, conditions=conditions)
        old = body.get("status") or {}
        if old.get("phaseReason") == message:
            return
        await self._acts.write_status(body, {**old, **status.to_body()})
        await self._acts.tell(body, "Unreadable", message, warning=True)
