"""A Kubernetes in memory: the door `Kube`, and what scheduler, kubelets and provisioner do.

    kube = FakeKube()
    cluster = FakeCluster(kube, FakeInstances(), nodes=builders.six_nodes())
    await kube.create(builders.a_keyspace())
    cluster.tick()              # pods start, volumes are bound, what is to be deleted goes
    cluster.kill_node("node-1")

Writes follow the API server's rules as far as the operator relies on them: names are unique,
versions are compared, status is a world of its own, finalizers hold what is deleted, owned objects
go with their owner.
"""

import copy
import itertools
from collections.abc import Iterable
from typing import Any

from fakes.mysql import FakeInstances
from mitosis_operator.errors import Conflict, NotFound, Unavailable
from mitosis_operator.kube.client import Listing
from mitosis_operator.kube.kinds import (
    EVENT,
    NODE,
    POD,
    VOLUME,
    Body,
    Kind,
    kind_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
    version_of,
)

Place = tuple[str, str, str]


class FakeKube:
    def __init__(self) -> None:
        self.objects: dict[Place, Body] = {}
        self.writes: list[tuple[str, str, str]] = []
        """Verb, kind and name of every write that changed something, in order."""
        self.breaks_in = 0
        """The request so many from now on is not answered; 0: all are."""
        self._count = itertools.count(1)

    async def get(self, kind: Kind, namespace: str, name: str) -> Body:
        self._answer()
        return copy.deepcopy(self._find(kind, namespace, name))

    async def list(self, kind: Kind, namespace: str, labels: str = "", fields: str = "") -> Listing:
        self._answer()
        wanted = dict(pair.split("=") for pair in labels.split(",") if pair)
        found = [
            copy.deepcopy(body)
            for (name, where, _), body in sorted(self.objects.items())
            if name == kind.name
            and (not namespace or where == namespace)
            and wanted.items() <= dict(labels_of(body)).items()
        ]
        return Listing(tuple(found), str(next(self._count)))

    async def create(self, body: Body) -> Body:
        self._answer()
        if _place(body) in self.objects:
            raise Conflict(f"{body['kind']} {name_of(body)} exists already")
        made = copy.deepcopy(body)
        made["metadata"].setdefault("namespace", "")
        made["metadata"] |= {"uid": f"uid-{next(self._count)}", "generation": 1}
        return self._store("create", made)

    async def apply(self, body: Body) -> Body:
        self._answer()
        before = self.objects.get(_place(body))
        if before is None:
            return await self.create(body)
        return self._store_changed("apply", before, _merged(before, body))

    async def merge(self, kind: Kind, namespace: str, name: str, patch: Body) -> Body:
        self._answer()
        before = self._find(kind, namespace, name)
        _check_version(before, patch.get("metadata", {}).get("resourceVersion", ""))
        return self._store_changed("merge", before, _merged(before, patch))

    async def replace(self, body: Body) -> Body:
        self._answer()
        before = self._find(kind_of(body), namespace_of(body), name_of(body))
        _check_version(before, version_of(body))
        after = copy.deepcopy(body)
        if "status" in before:
            after["status"] = copy.deepcopy(before["status"])
        return self._store_changed("replace", before, after)

    async def replace_status(self, body: Body) -> Body:
        self._answer()
        before = self._find(kind_of(body), namespace_of(body), name_of(body))
        _check_version(before, version_of(body))
        after = {**copy.deepcopy(before), "status": copy.deepcopy(body["status"])}
        return self._store_changed("replace_status", before, after)

    async def delete(self, body: Body, grace_seconds: int | None = None) -> None:
        self._answer()
        before = self.objects.get(_place(body))
        if before is None:
            return
        if uid_of(before) != uid_of(body):
            raise Conflict(f"{name_of(body)} is another one by now")
        if before["metadata"].get("deletionTimestamp"):
            return
        after = copy.deepcopy(before)
        after["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self._store("delete", after)
        if before["kind"] not in ("Pod", "PersistentVolumeClaim"):
            self.finish(after)

    def all(self, kind: Kind) -> tuple[Body, ...]:
        return tuple(body for place, body in sorted(self.objects.items()) if place[0] == kind.name)

    def one(self, kind: Kind, name: str, namespace: str = "apps") -> Body:
        return self.objects[kind.name, namespace if kind.namespaced else "", name]

    def has(self, kind: Kind, name: str, namespace: str = "apps") -> bool:
        return (kind.name, namespace, name) in self.objects

    def put(self, body: Body) -> None:
        """Write as somebody else would, without rules."""
        made = copy.deepcopy(body)
        made["metadata"].setdefault("namespace", "")
        made["metadata"].setdefault("uid", f"uid-{next(self._count)}")
        self._store("put", made)

    def finish(self, body: Body) -> None:
        """Let go what is being deleted, unless finalizers hold it; owned objects follow."""
        place = _place(body)
        current = self.objects.get(place)
        if current is None or current["metadata"].get("finalizers"):
            return
        del self.objects[place]
        for other in tuple(self.objects.values()):
            owners = other["metadata"].get("ownerReferences") or ()
            if any(owner["uid"] == uid_of(body) for owner in owners):
                self._collect(other)

    def _collect(self, body: Body) -> None:
        after = copy.deepcopy(body)
        after["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self._store("collect", after)
        if body["kind"] not in ("Pod", "PersistentVolumeClaim"):
            self.finish(after)

    def _answer(self) -> None:
        if self.breaks_in > 0:
            self.breaks_in -= 1
            if self.breaks_in == 0:
                raise Unavailable("the API server does not answer")

    def _find(self, kind: Kind, namespace: str, name: str) -> Body:
        body = self.objects.get((kind.name, namespace if kind.namespaced else "", name))
        if body is None:
            raise NotFound(f"{kind.name} {name} does not exist")
        return body

    def _store_changed(self, verb: str, before: Body, after: Body) -> Body:
        after["metadata"] |= {
            key: before["metadata"][key] for key in ("uid", "resourceVersion", "generation")
        }
        if after == before:
            return copy.deepcopy(before)
        if after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] += 1
        stored = self._store(verb, after)
        if after["metadata"].get("deletionTimestamp"):
            self.finish(after)
        return stored

    def _store(self, verb: str, body: Body) -> Body:
        body["metadata"]["resourceVersion"] = str(next(self._count))
        body["metadata"].setdefault("generation", 1)
        self.objects[_place(body)] = body
        if body["kind"] != EVENT.name:
            self.writes.append((verb, body["kind"], name_of(body)))
        return copy.deepcopy(body)


class FakeCluster:
    """Scheduler, kubelets and provisioner over a FakeKube, one tick at a time."""

    def __init__(self, kube: FakeKube, instances: FakeInstances, nodes: Iterable[Body]) -> None:
        self.kube = kube
        self.instances = instances
        self.down: set[str] = set()
        self.unpullable: set[str] = set()
        """Images that no node can get."""
        self._addresses = itertools.count(1)
        for node in nodes:
            kube.put(node)

    def tick(self) -> None:
        for claim in self.kube.all(VOLUME):
            self._claim(claim)
        for pod in self.kube.all(POD):
            self._pod(pod)

    def kill_node(self, name: str) -> None:
        """Its pods stay as objects, not ready; nobody answers there."""
        self.down.add(name)
        self._mark_node(name, "False")
        for pod in self.kube.all(POD):
            if pod["spec"].get("nodeName") == name:
                self._set_ready(pod, False)
                self.instances[name_of(pod)].reachable = False

    def start_node(self, name: str) -> None:
        """The containers of its pods start anew, with other addresses."""
        self.down.discard(name)
        self._mark_node(name, "True")
        for pod in self.kube.all(POD):
            if pod["spec"].get("nodeName") == name and not _is_leaving(pod):
                self._start(pod, name)

    def restart_pod(self, name: str) -> None:
        """As kubectl delete pod."""
        pod = copy.deepcopy(self.kube.one(POD, name))
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self.kube.put(pod)

    def _claim(self, claim: Body) -> None:
        in_use = self.kube.has(POD, name_of(claim), namespace_of(claim))
        if _is_leaving(claim) and not in_use:
            self.kube.finish(claim)
            self.instances.instances.pop(name_of(claim), None)
        elif (claim.get("status") or {}).get("phase") != "Bound" and in_use:
            size = claim["spec"]["resources"]["requests"]["storage"]
            status = {"phase": "Bound", "capacity": {"storage": size}}
            self.kube.put({**claim, "status": status})

    def _pod(self, pod: Body) -> None:
        node = pod["spec"].get("nodeName") or _wanted_node(pod)
        if node in self.down:
            return
        if _is_leaving(pod):
            self.instances[name_of(pod)].reachable = False
            self.kube.finish(pod)
        elif pod["spec"]["containers"][0]["image"] in self.unpullable:
            self._cannot_pull(pod, node)
        elif "nodeName" not in pod["spec"]:
            self._start(pod, node)

    def _start(self, pod: Body, node: str) -> None:
        number = next(self._addresses)
        address = f"10.1.{number // 250}.{number % 250 + 1}"
        self.kube.put(
            {
                **pod,
                "spec": {**pod["spec"], "nodeName": node},
                "status": {"phase": "Running", "podIP": address, "conditions": [_ready(True)]},
            }
        )
        known = name_of(pod) in self.instances.instances
        keyspace, shard = (
            labels_of(pod)["mitosis.dev/keyspace"],
            labels_of(pod)["mitosis.dev/shard"],
        )
        made = self.instances.add(name_of(pod), address, keyspace=keyspace, shard=shard)
        if known:
            made.restart_agent()

    def _cannot_pull(self, pod: Body, node: str) -> None:
        image = pod["spec"]["containers"][0]["image"]
        waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
        container = {"name": "mysql", "image": image, "state": {"waiting": waiting}}
        status = {"phase": "Pending", "containerStatuses": [container]}
        self.kube.put({**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status})

    def _set_ready(self, pod: Body, ready: bool) -> None:
        self.kube.put({**pod, "status": {**pod["status"], "conditions": [_ready(ready)]}})

    def _mark_node(self, name: str, ready: str) -> None:
        node = copy.deepcopy(self.kube.one(NODE, name))
        node["status"]["conditions"] = [{"type": "Ready", "status": ready}]
        self.kube.put(node)


def _ready(ready: bool) -> dict[str, Any]:
    return {"type": "Ready", "status": str(ready)}


def _is_leaving(body: Body) -> bool:
    return bool(body["metadata"].get("deletionTimestamp"))


def _wanted_node(pod: Body) -> str:
    affinity = pod["spec"]["affinity"]["nodeAffinity"]
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return str(terms[0]["matchFields"][0]["values"][0])


def _place(body: Body) -> Place:
    kind = kind_of(body)
    return kind.name, namespace_of(body) if kind.namespaced else "", name_of(body)


def _check_version(before: Body, version: str) -> None:
    if version and version != version_of(before):
        raise Conflict(f"{name_of(before)} is at {version_of(before)}, not at {version}")


def _merged(before: Body, patch: Body) -> Body:
    """RFC 7386; lists are replaced."""
    after = copy.deepcopy(before)
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, dict) and isinstance(after.get(key), dict):
            after[key] = _merged(after[key], value)
        else:
            after[key] = copy.deepcopy(value)
    return after
