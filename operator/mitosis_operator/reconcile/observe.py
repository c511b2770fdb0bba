"""Gathers what is known: objects from the cache, Secrets, and the agents asked in parallel.

Replicas are asked before the primary: a replica's transactions are judged against a set that was
read from the primary later, else new ones would look like surplus.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from mitosis_operator import metrics, names
from mitosis_operator.errors import AgentError
from mitosis_operator.kube.cache import Cache
from mitosis_operator.kube.kinds import (
    KEYSPACE,
    NODE,
    POD,
    ROUTING_TABLE,
    SHARD,
    STORAGE_CAPACITY,
    STORAGE_CLASS,
    VOLUME,
    Body,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    version_of,
)
from mitosis_operator.kube.secret_store import Secrets
from mitosis_operator.models.cluster import Node, StorageClass, read_nodes, storage_class
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.models.problems import Problem
from mitosis_operator.models.reading import Unreadable
from mitosis_operator.models.shard import Shard
from mitosis_operator.models.template import Storage
from mitosis_operator.mysql.instance import Instances, InstanceStatus
from mitosis_operator.objects import credentials, pod, routing, volume
from mitosis_operator.objects.pod import PodSettings
from mitosis_operator.reconcile import accounts
from mitosis_operator.reconcile.accounts import Passwords
from mitosis_operator.reconcile.identity import Identity
from mitosis_operator.reconcile.seen import (
    InstanceSeen,
    PodSeen,
    Seen,
    Stage,
    Unreachable,
    VolumeSeen,
    read_pod,
    read_volume,
)
from mitosis_operator.settings import Settings
from mitosis_routing.codec import BadTable
from mitosis_routing.table import RoutingTable

log = logging.getLogger(__name__)


class Observer:
    def __init__(
        self,
        cache: Cache,
        secrets: Secrets,
        instances: Instances,
        identity: Identity,
        settings: Settings,
    ) -> None:
        self._cache = cache
        self._secrets = secrets
        self._instances = instances
        self._identity = identity
        self._settings = settings
        self._agents = asyncio.Semaphore(settings.agents_at_once)
        self._read_shards: dict[tuple[str, str], tuple[str, Shard | None]] = {}
        self._read_nodes: dict[str, tuple[tuple[int, ...], tuple[Node, ...]]] = {}

    async def shard(self, body: Body) -> Seen:
        """Raise Unreadable for a Shard that says what no schema would let through."""
        shard = Shard.from_body(body)
        keyspace = self.keyspace(shard.namespace, shard.keyspace)
        problems = self._problems(shard, keyspace)
        if keyspace is not None:
            shard = shard.completed_from(keyspace)
        instances = await self._ask(shard, await self._certified(shard, self._members(shard)))
        table = self.table(shard.namespace, shard.keyspace)
        seen = Seen(
            shard=shard,
            problems=problems,
            instances=instances,
            used_serials=frozenset(v.serial for v in self._volumes(shard, retired=True)),
            nodes=self.nodes(shard.template.storage),
            published=table.shard(shard.name) if table else None,
            has_table=table is not None,
        )
        return seen if keyspace is None else await self._with_accounts(seen, keyspace)

    def keyspace(self, namespace: str, name: str) -> Keyspace | None:
        """None: it does not exist, is on its way out, or cannot be read."""
        body = self._cache.get(KEYSPACE, namespace, name)
        if body is None or is_deleting(body):
            return None
        try:
            return Keyspace.from_body(body)
        except Unreadable:
            return None

    def shards(self, namespace: str, keyspace: str) -> tuple[Shard, ...]:
        """Those that name this keyspace; one that cannot be read is nobody's sibling."""
        bodies = self._cache.matching(
            SHARD, namespace, lambda body: (body.get("spec") or {}).get("keyspace") == keyspace
        )
        found = (self._read_shard(body) for body in bodies)
        return tuple(shard for shard in found if shard is not None)

    def _read_shard(self, body: Body) -> Shard | None:
        """Each version is read once: siblings are looked at in every pass of every shard."""
        key = (namespace_of(body), name_of(body))
        version, shard = self._read_shards.get(key, ("", None))
        if version != version_of(body) or not version:
            try:
                shard = Shard.from_body(body)
            except Unreadable:
                shard = None
            self._read_shards[key] = (version_of(body), shard)
        return shard

    def table(self, namespace: str, keyspace: str) -> RoutingTable | None:
        body = self._cache.get(ROUTING_TABLE, namespace, keyspace)
        if body is None or is_deleting(body):
            return None
        try:
            return routing.read(body)
        except BadTable as exc:
            log.error("RoutingTable %s/%s stays as it is: %s", namespace, keyspace, exc)
            return None

    def storage_classes(self) -> tuple[StorageClass, ...]:
        return tuple(StorageClass.from_body(body) for body in self._cache.all(STORAGE_CLASS))

    def nodes(self, storage: Storage) -> tuple[Node, ...]:
        """With the room for volumes of this class, as far as the driver tells."""
        mark = self._cache.changes(NODE, POD, VOLUME, STORAGE_CAPACITY, STORAGE_CLASS)
        known = self._read_nodes.get(storage.class_name)
        if known is not None and known[0] == mark:
            return known[1]
        found = storage_class(self.storage_classes(), storage.class_name)
        nodes = read_nodes(
            self._cache.all(NODE),
            pods=self._cache.all(POD),
            capacities=self._cache.all(STORAGE_CAPACITY),
            claims=self._cache.all(VOLUME),
            storage_class=found.name if found else "",
            idc_label=self._settings.idc_label,
            rack_label=self._settings.rack_label,
        )
        self._read_nodes[storage.class_name] = (mark, nodes)
        return nodes

    def load(self) -> Counter[str]:
        """How many instances lie on each node, of every shard."""
        claims = (body for body in self._cache.all(VOLUME) if not volume.is_retired(body))
        return Counter(volume.node_of(body) for body in claims)

    async def passwords(self, keyspace: Keyspace) -> tuple[Passwords, dict[str, str]]:
        """The contents of the Secrets that users name, and their versions."""
        contents: dict[str, dict[str, bytes]] = {}
        versions: dict[str, str] = {}
        for name in sorted({user.password.name for user in keyspace.users}):
            body = await self._secrets.get(keyspace.namespace, name)
            if body is not None:
                contents[name] = credentials.read(body)
                versions[name] = body["metadata"].get("resourceVersion", "")
        return Passwords(contents), versions

    async def system_secret(self, keyspace: Keyspace) -> Body | None:
        return await self._secrets.get(keyspace.namespace, names.system_secret(keyspace.name))

    def _problems(self, shard: Shard, keyspace: Keyspace | None) -> tuple[Problem, ...]:
        siblings = self.shards(shard.namespace, shard.keyspace)
        problems = shard.problems(
            keyspace,
            siblings=siblings,
            storage_classes=self.storage_classes(),
            nodes=self.nodes(shard.template.storage),
        )
        if shard.template.mysql.image or self._settings.instance_image:
            return problems
        none = Problem(
            "NoImage",
            "no image is set for instances: write spec.mysql.image, or set the operator's",
        )
        return (none, *problems)

    def _volumes(self, shard: Shard, *, retired: bool) -> tuple[VolumeSeen, ...]:
        bodies = self._cache.of_shard(VOLUME, shard.namespace, shard.name)
        return tuple(read_volume(b) for b in bodies if retired or not volume.is_retired(b))

    def _members(self, shard: Shard) -> tuple[InstanceSeen, ...]:
        volumes = {v.name: v for v in self._volumes(shard, retired=False)}
        bodies = self._cache.of_shard(POD, shard.namespace, shard.name)
        pods = {name_of(b): b for b in bodies if names.LABEL_INSTANCE in labels_of(b)}
        nodes = {n.name: n for n in self.nodes(shard.template.storage)}
        found = [
            self._member(shard, name, volumes.get(name), pods.get(name), nodes)
            for name in {*volumes, *pods}
        ]
        return tuple(sorted(found, key=lambda i: i.serial))

    def _member(
        self,
        shard: Shard,
        name: str,
        claim: VolumeSeen | None,
        live: Body | None,
        nodes: dict[str, Node],
    ) -> InstanceSeen:
        instance = _instance(name, claim, read_pod(live) if live else None, nodes)
        if live is None or claim is None:
            return instance
        settings = PodSettings(self._settings.instance_image, self._settings.image_pull_policy)
        wanted = pod.build(shard, claim.serial, claim.node, settings)
        return replace(instance, has_drifted=pod.has_drifted(live, wanted))

    async def _certified(
        self, shard: Shard, members: Iterable[InstanceSeen]
    ) -> tuple[InstanceSeen, ...]:
        return tuple(
            [
                replace(
                    i,
                    has_certificate=await self._identity.has_certificate(shard.namespace, i.name),
                )
                for i in members
            ]
        )

    async def _ask(
        self, shard: Shard, members: tuple[InstanceSeen, ...]
    ) -> tuple[InstanceSeen, ...]:
        others = [i for i in members if i.name != shard.status.primary]
        answers = dict(await asyncio.gather(*(self._status(i) for i in others)))
        for primary in members:
            if primary.name == shard.status.primary:
                answers.update([await self._status(primary)])
        return tuple(replace(i, agent=answers[i.name]) for i in members)

    async def _status(
        self, instance: InstanceSeen
    ) -> tuple[str, InstanceStatus | Unreachable | None]:
        if not instance.ip:
            return instance.name, None
        try:
            async with self._agents:
                status = await self._instances.status(instance.ip, instance.name)
        except AgentError as exc:
            metrics.AGENT_REQUESTS.labels("status", "failed").inc()
            return instance.name, Unreachable(str(exc))
        metrics.AGENT_REQUESTS.labels("status", "answered").inc()
        return instance.name, status

    async def _with_accounts(self, seen: Seen, keyspace: Keyspace) -> Seen:
        """A password that goes missing later changes nothing: its user would be locked out."""
        passwords, _ = await self.passwords(keyspace)
        missing = accounts.missing(keyspace, passwords)
        system = await self.system_secret(keyspace)
        wanted = None
        if system is not None and not (missing and seen.stage is Stage.COMPLETE):
            serials = (i.serial for i in seen.instances if i.volume)
            wanted = accounts.wanted(keyspace, credentials.read(system), passwords, serials)
        return replace(seen, accounts=wanted, missing_passwords=missing)


def _instance(
    name: str, claim: VolumeSeen | None, live: PodSeen | None, nodes: dict[str, Node]
) -> InstanceSeen:
    where = (live.node if live else "") or (claim.node if claim else "")
    return InstanceSeen(
        name=name,
        serial=claim.serial if claim else names.serial_of(name),
        volume=claim,
        pod=live,
        node=nodes.get(where),
    )
