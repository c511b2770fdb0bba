"""News about objects: into the cache, and the keys of those concerned into the queue."""

from collections.abc import Iterable

from mitosis_operator import names
from mitosis_operator.kube.cache import Cache
from mitosis_operator.kube.kinds import (
    KEYSPACE,
    NODE,
    POD,
    ROUTING_TABLE,
    SECRET,
    SHARD,
    STORAGE_CAPACITY,
    STORAGE_CLASS,
    VOLUME,
    Body,
    Kind,
    labels_of,
    name_of,
    namespace_of,
)
from mitosis_operator.kube.secret_store import Secrets
from mitosis_operator.reconcile.passes import Key
from mitosis_operator.workqueue import WorkQueue


class Intake:
    def __init__(self, cache: Cache, secrets: Secrets, queue: WorkQueue[Key]) -> None:
        self._cache = cache
        self._secrets = secrets
        self._queue = queue

    def seen(self, kind: Kind, body: Body) -> None:
        if kind == SECRET:
            self._secret(body)
            return
        before = self._cache.get(kind, namespace_of(body), name_of(body))
        body = slim(kind, body)
        if not self._cache.put(kind, body):
            self._enqueue(self._after_own_write(kind, body))
            return
        if kind == NODE and before is not None and node_facts(before) == node_facts(body):
            return  # kubelets report every few minutes without news
        self._enqueue(self.concerned(kind, body))

    def gone(self, kind: Kind, body: Body) -> None:
        if kind == SECRET:
            self._secret(body)
            return
        self._cache.drop(kind, body)
        self._enqueue(self.concerned(kind, body))

    def relisted(self, kind: Kind, namespace: str, items: Iterable[Body], version: str) -> None:
        """A whole list, which also tells what was deleted while nobody watched."""
        slimmed = [slim(kind, body) for body in items]
        for body in self._cache.replace_all(kind, namespace, slimmed, version):
            self._enqueue(self.concerned(kind, body))

    def everything(self) -> tuple[Key, ...]:
        keys = [Key(KEYSPACE, *_place(b)) for b in self._cache.all(KEYSPACE)]
        return (*keys, *(Key(SHARD, *_place(b)) for b in self._cache.all(SHARD)))

    def concerned(self, kind: Kind, body: Body) -> tuple[Key, ...]:
        namespace, labels = namespace_of(body), labels_of(body)
        if kind == KEYSPACE:
            shards = self._shards_of(namespace, name_of(body))
            return (Key(KEYSPACE, namespace, name_of(body)), *shards)
        if kind == SHARD:
            keyspace = str((body.get("spec") or {}).get("keyspace", ""))
            return (
                Key(SHARD, namespace, name_of(body)),
                Key(KEYSPACE, namespace, keyspace),
            )
        if kind == ROUTING_TABLE:
            return (Key(KEYSPACE, *_place(body)), *self._shards_of(*_place(body)))
        if kind in (POD, VOLUME) and (shard := labels.get(names.LABEL_SHARD)):
            return (Key(SHARD, namespace, shard),)
        if kind in (NODE, STORAGE_CLASS, STORAGE_CAPACITY):
            return self.everything()
        return ()

    def _after_own_write(self, kind: Kind, body: Body) -> tuple[Key, ...]:
        """Whoever wrote it has looked already; others it concerns have not. The cache held it
        before the watch told, so nothing else would wake them."""
        if kind != SHARD:
            return ()
        own, keyspace = self.concerned(kind, body)
        return (keyspace,) if body.get("status") else (own, keyspace)

    def _secret(self, body: Body) -> None:
        """A password that changed, or a certificate that somebody took away."""
        namespace, name = _place(body)
        self._secrets.forget(namespace, name)
        for keyspace in self._cache.all(KEYSPACE, namespace):
            users = (keyspace.get("spec") or {}).get("users") or ()
            named = {(user.get("passwordSecret") or {}).get("name") for user in users}
            if name in named | {names.system_secret(name_of(keyspace))}:
                self._enqueue(self.concerned(KEYSPACE, keyspace))
        if shard := labels_of(body).get(names.LABEL_SHARD):
            self._enqueue((Key(SHARD, namespace, shard),))

    def _shards_of(self, namespace: str, keyspace: str) -> tuple[Key, ...]:
        bodies = self._cache.matching(
            SHARD, namespace, lambda body: (body.get("spec") or {}).get("keyspace") == keyspace
        )
        return tuple(Key(SHARD, *_place(body)) for body in bodies)

    def _enqueue(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._queue.add(key)


def slim(kind: Kind, body: Body) -> Body:
    """Without what nobody here reads: a node's list of images alone is longer than all the rest."""
    slimmed = {**body, "metadata": {**body["metadata"]}}
    slimmed["metadata"].pop("managedFields", None)
    if kind == NODE:
        status = body.get("status") or {}
        slimmed["status"] = {k: status[k] for k in ("conditions", "allocatable") if k in status}
    return slimmed


def node_facts(body: Body) -> object:
    status = body.get("status") or {}
    conditions = [(c["type"], c["status"]) for c in status.get("conditions") or ()]
    spec = body.get("spec") or {}
    taints = spec.get("unschedulable"), spec.get("taints")
    return labels_of(body), conditions, status.get("allocatable"), taints


def _place(body: Body) -> tuple[str, str]:
    return namespace_of(body), name_of(body)
