"""What the operator has last seen of each object.

Filled by lists and watches, and by the answers to the operator's own writes, so that the next look
sees them. An older version never replaces a newer one: watches may lag behind.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from mitosis_operator.kube.kinds import (
    Body,
    Kind,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
    version_of,
)
from mitosis_operator.names import LABEL_SHARD

Key = tuple[str, str]


class Cache:
    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Key, Body]] = {}
        self._of_shard: dict[tuple[Kind, Key], dict[Key, Body]] = {}
        self._changes: Counter[Kind] = Counter()

    def put(self, kind: Kind, body: Body) -> bool:
        """Remember `body`; False when this or something newer is known already."""
        objects = self._objects.setdefault(kind, {})
        key = (namespace_of(body), name_of(body))
        known = objects.get(key)
        if known is not None and uid_of(known) == uid_of(body) and _is_no_newer(body, known):
            return False
        if known is not None:
            self._unlist(kind, key, known)
        objects[key] = body
        self._changes[kind] += 1
        if shard := labels_of(body).get(LABEL_SHARD):
            self._of_shard.setdefault((kind, (key[0], shard)), {})[key] = body
        return True

    def drop(self, kind: Kind, body: Body) -> None:
        """Forget the object, unless another of the same name has taken its place."""
        key = (namespace_of(body), name_of(body))
        known = self._objects.get(kind, {}).get(key)
        if known is not None and uid_of(known) == uid_of(body):
            del self._objects[kind][key]
            self._unlist(kind, key, known)
            self._changes[kind] += 1

    def replace_all(
        self, kind: Kind, namespace: str, items: Iterable[Body], version: str
    ) -> tuple[Body, ...]:
        """Take over a list read at `version`; return what has gone.

        Objects newer than the list stay: they were made after it was read.
        """
        listed = {(namespace_of(body), name_of(body)): body for body in items}
        gone = tuple(
            body
            for key, body in self._objects.get(kind, {}).items()
            if (not namespace or key[0] == namespace)
            and key not in listed
            and not _is_newer_than(body, version)
        )
        for body in gone:
            self.drop(kind, body)
        for body in listed.values():
            self.put(kind, body)
        return gone

    def get(self, kind: Kind, namespace: str, name: str) -> Body | None:
        return self._objects.get(kind, {}).get((namespace, name))

    def all(self, kind: Kind, namespace: str = "") -> Iterator[Body]:
        for (where, _), body in sorted(self._objects.get(kind, {}).items()):
            if not namespace or where == namespace:
                yield body

    def count(self, kind: Kind) -> int:
        return len(self._objects.get(kind, {}))

    def of_shard(self, kind: Kind, namespace: str, shard: str) -> tuple[Body, ...]:
        """Those that carry the label of this shard, by name."""
        found = self._of_shard.get((kind, (namespace, shard)), {})
        return tuple(found[key] for key in sorted(found))

    def changes(self, *kinds: Kind) -> tuple[int, ...]:
        """A mark that differs whenever one of these kinds has changed in between."""
        return tuple(self._changes[kind] for kind in kinds)

    def matching(
        self, kind: Kind, namespace: str, wanted: Callable[[Body], bool]
    ) -> tuple[Body, ...]:
        return tuple(body for body in self.all(kind, namespace) if wanted(body))

    def _unlist(self, kind: Kind, key: Key, known: Body) -> None:
        place = (kind, (key[0], labels_of(known).get(LABEL_SHARD, "")))
        listed = self._of_shard.get(place, {})
        listed.pop(key, None)
        if not listed:
            self._of_shard.pop(place, None)


def _is_no_newer(body: Body, known: Body) -> bool:
    return version_of(body) == version_of(known) or _is_newer_than(known, version_of(body))


def _is_newer_than(body: Body, version: str) -> bool:
    """Versions are compared as numbers, which the API promises since 1.35 and etcd always kept; one
    that is no number tells nothing, and then the later news wins."""
    mine = version_of(body)
    return mine.isdigit() and version.isdigit() and int(mine) > int(version)
