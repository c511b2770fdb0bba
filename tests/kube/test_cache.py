"""The newest that was seen of each object, found by name and by shard."""

from typing import Any

import pytest

from mitosis_operator.kube.cache import Cache
from mitosis_operator.kube.kinds import NODE, POD, Body, name_of


def a_pod(name: str, version: int, shard: str = "s", **metadata: Any) -> Body:
    labels = {"mitosis.dev/shard": shard} if shard else {}
    named = {"name": name, "namespace": "apps", "labels": labels, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": named | metadata}


@pytest.fixture
def cache() -> Cache:
    return Cache()


def of_shard(cache: Cache, shard: str = "s") -> list[str]:
    return [name_of(body) for body in cache.of_shard(POD, "apps", shard)]


def test_an_older_version_does_not_replace_a_newer_one(cache: Cache) -> None:
    assert cache.put(POD, a_pod("a", 10))
    assert not cache.put(POD, a_pod("a", 9))
    assert not cache.put(POD, a_pod("a", 10))
    assert cache.get(POD, "apps", "a") == a_pod("a", 10)
    assert cache.put(POD, a_pod("a", 100)), "versions are numbers, not texts"


def test_a_successor_of_the_same_name_counts_whatever_its_version(cache: Cache) -> None:
    cache.put(POD, a_pod("a", 10, uid="first"))
    assert cache.put(POD, a_pod("a", 5, uid="second"))


def test_objects_of_a_shard_are_found_by_name(cache: Cache) -> None:
    for name, shard in (("b", "s"), ("a", "s"), ("c", "t"), ("d", "")):
        cache.put(POD, a_pod(name, 1, shard))
    assert of_shard(cache) == ["a", "b"]
    assert of_shard(cache, "t") == ["c"]
    assert of_shard(cache, "nobody") == []


def test_the_list_of_a_shard_follows_its_labels(cache: Cache) -> None:
    cache.put(POD, a_pod("a", 1, "s"))
    cache.put(POD, a_pod("a", 2, "t"))
    assert of_shard(cache, "s") == [] and of_shard(cache, "t") == ["a"]
    cache.drop(POD, a_pod("a", 3, "t"))
    assert of_shard(cache, "t") == []


def test_a_list_forgets_what_is_not_in_it_unless_it_is_newer(cache: Cache) -> None:
    for name, version in (("old", 5), ("kept", 6), ("new", 30)):
        cache.put(POD, a_pod(name, version))
    gone = cache.replace_all(POD, "apps", [a_pod("kept", 6)], "20")
    assert [name_of(body) for body in gone] == ["old"]
    assert of_shard(cache) == ["kept", "new"]


def test_other_namespaces_are_not_in_a_list(cache: Cache) -> None:
    other = a_pod("x", 1)
    other["metadata"]["namespace"] = "elsewhere"
    cache.put(POD, other)
    assert cache.replace_all(POD, "apps", [], "20") == ()


def test_a_mark_tells_whether_something_has_changed(cache: Cache) -> None:
    before = cache.changes(POD, NODE)
    cache.put(POD, a_pod("a", 1))
    after = cache.changes(POD, NODE)
    assert before != after
    cache.put(POD, a_pod("a", 1))
    assert cache.changes(POD, NODE) == after
    cache.drop(POD, a_pod("a", 2))
    assert cache.changes(POD, NODE) != after
