"""News reaches whom it concerns, once, and what is gone is forgotten."""

import copy

import pytest

import builders
from fakes.kube import FakeKube
from mitosis_operator.handlers.intake import Intake
from mitosis_operator.kube.cache import Cache
from mitosis_operator.kube.kinds import KEYSPACE, NODE, POD, SECRET, SHARD, Body
from mitosis_operator.kube.secret_store import Secrets
from mitosis_operator.reconcile.passes import Key
from mitosis_operator.workqueue import Again, WorkQueue

OF_SHARD = Key(SHARD, "apps", "shop-0-2048")
OF_KEYSPACE = Key(KEYSPACE, "apps", "shop")


class Desk:
    def __init__(self) -> None:
        self.cache = Cache()
        self.queue: WorkQueue[Key] = WorkQueue(lambda: 0.0)
        self.intake = Intake(self.cache, Secrets(FakeKube(), lambda: 0.0), self.queue)

    async def woken(self) -> set[Key]:
        """Who is to be looked at; nobody is left afterwards."""
        found = set()
        while len(self.queue):
            key = await self.queue.take()
            self.queue.done(key, Again())
            found.add(key)
        return found


def versioned(body: Body, version: int, **changes: object) -> Body:
    copied = copy.deepcopy({**body, **changes})
    copied["metadata"]["resourceVersion"] = str(version)
    return copied


def a_pod() -> Body:
    metadata = {
        "name": "shop-0-2048-1",
        "namespace": "apps",
        "labels": {"mitosis.dev/shard": "shop-0-2048"},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}}


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.cache.put(KEYSPACE, versioned(builders.a_keyspace(), 1))
    desk.cache.put(SHARD, versioned(builders.a_shard("shop", 0, 2048), 2))
    return desk


async def test_a_pod_wakes_its_shard(desk: Desk) -> None:
    desk.intake.seen(POD, versioned(a_pod(), 5))
    assert await desk.woken() == {OF_SHARD}


async def test_old_news_about_a_pod_wake_nobody(desk: Desk) -> None:
    desk.cache.put(POD, versioned(a_pod(), 9))
    desk.intake.seen(POD, versioned(a_pod(), 9))
    desk.intake.seen(POD, versioned(a_pod(), 7))
    assert await desk.woken() == set()


async def test_a_shard_that_the_operator_made_is_looked_at(desk: Desk) -> None:
    """Its own write is in the cache before the watch tells of it."""
    made = versioned(builders.a_shard("shop", 2048, 4096), 6)
    desk.cache.put(SHARD, made)
    desk.intake.seen(SHARD, made)
    assert Key(SHARD, "apps", "shop-2048-4096") in await desk.woken()


async def test_a_status_that_the_operator_wrote_wakes_only_the_keyspace(desk: Desk) -> None:
    written = versioned(builders.a_shard("shop", 0, 2048), 6, status={"phase": "Ready"})
    desk.cache.put(SHARD, written)
    desk.intake.seen(SHARD, written)
    assert await desk.woken() == {OF_KEYSPACE}


async def test_a_password_wakes_the_keyspaces_that_use_it(desk: Desk) -> None:
    desk.intake.seen(SECRET, builders.a_secret("other"))
    assert await desk.woken() == set()
    desk.intake.seen(SECRET, builders.a_secret("app-password"))
    assert await desk.woken() == {OF_KEYSPACE, OF_SHARD}


async def test_a_report_of_a_node_without_news_wakes_nobody(desk: Desk) -> None:
    node = builders.a_node("node-1", "idc-1", "r1")
    desk.intake.seen(NODE, versioned(node, 10))
    assert await desk.woken() == {OF_KEYSPACE, OF_SHARD}
    desk.intake.seen(NODE, versioned(node, 11))
    assert await desk.woken() == set()
    node["status"]["conditions"][0]["status"] = "False"
    desk.intake.seen(NODE, versioned(node, 12))
    assert await desk.woken() == {OF_KEYSPACE, OF_SHARD}


async def test_what_was_deleted_while_nobody_watched_is_found_by_listing(desk: Desk) -> None:
    desk.intake.seen(POD, versioned(a_pod(), 5))
    await desk.woken()
    desk.intake.relisted(POD, "apps", [], "20")
    assert desk.cache.get(POD, "apps", "shop-0-2048-1") is None
    assert await desk.woken() == {OF_SHARD}


async def test_a_pod_made_after_a_list_was_read_is_not_taken_for_deleted(desk: Desk) -> None:
    desk.cache.put(POD, versioned(a_pod(), 30))
    desk.intake.relisted(POD, "apps", [], "20")
    assert desk.cache.get(POD, "apps", "shop-0-2048-1") is not None


async def test_the_deletion_of_an_earlier_pod_does_not_drop_its_successor(desk: Desk) -> None:
    successor = versioned(a_pod(), 30)
    successor["metadata"]["uid"] = "second"
    desk.cache.put(POD, successor)
    first = versioned(a_pod(), 31)
    first["metadata"]["uid"] = "first"
    desk.intake.gone(POD, first)
    assert desk.cache.get(POD, "apps", "shop-0-2048-1") == successor
