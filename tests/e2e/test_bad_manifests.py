"""Bad input is refused with a sentence that says what to write instead, and nothing is touched.

What one object can tell is refused by the API server; what needs other objects, by the operator.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from waiting import wait_until
from world import Done, apply, condition, get, is_true, kubectl

from manifests import BadCase, bad_cases, changed, good

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("demo_output")]

UNSERVED = "bad-manifests"
FIXED_CLASS = "fixed-size"
Body = dict[str, Any]


@pytest.fixture(scope="module")
def unserved(demo_output: str) -> Iterator[str]:
    """A namespace that no operator serves, with the good objects that updates start from."""
    kubectl("create", "namespace", UNSERVED)
    try:
        apply(good("Keyspace"), good("Shard"), namespace=UNSERVED)
        yield UNSERVED
    finally:
        kubectl("delete", "namespace", UNSERVED, "--wait=false")


@pytest.mark.parametrize("case", bad_cases(), ids=lambda case: case.title)
def test_a_bad_manifest_is_refused_at_kubectl_apply(unserved: str, case: BadCase) -> None:
    body = changed(case)
    if body["kind"] == "Keyspace" and not case.update and not case.name:
        body["metadata"]["name"] = "newcomer"  # else rules on changes would speak as well
    done = _dry_run(body, unserved)
    assert done.code != 0
    assert case.says in done.err


@pytest.mark.parametrize("kind", ["Keyspace", "Shard"])
def test_the_manifests_that_the_cases_start_from_are_taken(unserved: str, kind: str) -> None:
    done = _dry_run(good(kind), unserved)
    assert done.code == 0, done.err


def _dry_run(body: Body, namespace: str) -> Done:
    options = ("apply", "--dry-run=server", "-f", "-")
    return kubectl(*options, stdin=json.dumps(body), check=False, namespace=namespace)


@pytest.fixture
def applied() -> Iterator[Any]:
    """Apply objects to the served namespace; they are gone when the test is over."""
    made: list[Body] = []

    def do(*bodies: Body) -> None:
        made.extend(bodies)
        apply(*bodies)

    yield do
    for body in reversed(made):
        kubectl("delete", body["kind"], body["metadata"]["name"], "--ignore-not-found")


def a_keyspace(name: str, **spec: Any) -> Body:
    """One small shard of one instance whose volume goes with it."""
    smallest = {
        "slots": 16,
        "primaryIDC": "idc-1",
        "instances": 1,
        "tables": [{"name": "t", "shardingKey": "id"}],
        "deletionPolicy": "Delete",
    }
    return _object("Keyspace", name, {**smallest, **spec})


def a_shard(keyspace: str, start: int, end: int) -> Body:
    slots = {"start": start, "end": end}
    return _object("Shard", f"{keyspace}-{start}-{end}", {"keyspace": keyspace, "slots": slots})


def _object(kind: str, name: str, spec: Body) -> Body:
    metadata = {"name": name}
    return {
        "apiVersion": "mitosis.dev/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }


def told(body: Body, type: str, status: str, sentence: str) -> Body:
    """The condition, once it has this status and its message holds the sentence."""

    def look() -> Body:
        kind, name = body["kind"], body["metadata"]["name"]
        seen = condition(get(kind, name), type)
        assert seen.get("status") == status, seen
        assert sentence in seen["message"], seen
        return seen

    wait = f"{body['kind']} {body['metadata']['name']} with {type}={status}"
    return wait_until(wait, look, seconds=60, every=1)


def events_of(body: Body) -> list[str]:
    name = body["metadata"]["name"]
    found = get("events")
    return [e["message"] for e in found if e["involvedObject"]["name"] == name]


def pods_and_volumes(keyspace: str, shard: str = "") -> list[str]:
    selector = f"mitosis.dev/keyspace={keyspace}" + (f",mitosis.dev/shard={shard}" if shard else "")
    found = [*get("pods", selector=selector), *get("persistentvolumeclaims", selector=selector)]
    return [body["metadata"]["name"] for body in found]


def test_a_shard_of_an_unknown_keyspace_is_refused(applied: Any) -> None:
    shard = a_shard("nowhere", 0, 16)
    applied(shard)
    sentence = "Keyspace nowhere does not exist in namespace mitosis: apply it first"
    told(shard, "Accepted", "False", sentence)
    assert any(sentence in message for message in events_of(shard))
    assert pods_and_volumes("nowhere") == []


@pytest.mark.parametrize(
    ("start", "end", "sentence"),
    [
        (0, 1024, "slots 0-1024 overlap those of Shard shop-0-2048: choose a range"),
        (4096, 8192, "slots 4096-8192 exceed Keyspace shop, which has slots 0 to 4096"),
    ],
)
def test_a_shard_that_does_not_fit_is_refused_and_its_keyspace_serves_on(
    applied: Any, start: int, end: int, sentence: str
) -> None:
    before = get("routingtable", "shop")["spec"]["shards"]
    shard = a_shard("shop", start, end)
    applied(shard)
    told(shard, "Accepted", "False", sentence)
    assert any(sentence in message for message in events_of(shard))
    assert pods_and_volumes("shop", shard["metadata"]["name"]) == []
    assert is_true(get("keyspace", "shop"), "Accepted")
    assert get("routingtable", "shop")["spec"]["shards"] == before


def test_a_keyspace_whose_shards_would_leave_a_gap_is_refused(applied: Any) -> None:
    shard, keyspace = a_shard("gap", 0, 4), a_keyspace("gap", shards=2)
    applied(shard)
    applied(keyspace)
    sentence = "slots 4-8 belong to no shard: the Shards of gap must cover each slot once"
    told(keyspace, "Accepted", "False", sentence)
    assert any(sentence in message for message in events_of(keyspace))
    told(shard, "Accepted", "False", f"Keyspace gap is refused, so its Shards wait: {sentence}")
    assert get("shards", selector="mitosis.dev/keyspace=gap") == []
    assert pods_and_volumes("gap") == []


def test_an_unknown_storage_class_is_refused_with_those_there_are(applied: Any) -> None:
    keyspace = a_keyspace("nodisk", storage={"storageClassName": "gone"})
    applied(keyspace)
    sentence = (
        "storage class gone does not exist: write one of these in storage.storageClassName: "
        "local-disk"
    )
    told(keyspace, "Accepted", "False", sentence)
    assert any(sentence in message for message in events_of(keyspace))
    assert get("shards", selector="mitosis.dev/keyspace=nodisk") == []


def test_a_storage_class_that_cannot_grow_is_a_warning(applied: Any) -> None:
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": FIXED_CLASS},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    keyspace = a_keyspace("fixed", storage={"storageClassName": FIXED_CLASS}, paused=True)
    applied(storage_class)
    applied(keyspace)
    sentence = f"storage class {FIXED_CLASS} cannot expand volumes: full disks will need moves"
    seen = told(keyspace, "Accepted", "True", sentence)
    assert seen["reason"] == "StorageCannotGrow"
    wait_until(
        "an event about it",
        lambda: any(sentence in message for message in events_of(keyspace)),
        seconds=30,
    )


def test_a_primary_idc_without_nodes_is_waited_for(applied: Any) -> None:
    keyspace = a_keyspace("idcless", primaryIDC="idc-9")
    applied(keyspace)
    told(
        keyspace,
        "Accepted",
        "True",
        "no node lies in primaryIDC idc-9: label nodes with it, or write one of: idc-1, idc-2",
    )
    shard = a_shard("idcless", 0, 16)
    seen = told(shard, "NoRoom", "True", "node-1: the first instance must lie in primaryIDC idc-9")
    assert all(f"node-{number}: " in seen["message"] for number in range(1, 6))
    assert pods_and_volumes("idcless") == []


def test_more_instances_than_nodes_find_no_room(applied: Any) -> None:
    keyspace = a_keyspace("seven", instances=7, paused=True)
    applied(keyspace)
    told(keyspace, "Accepted", "True", "7 instances need as many nodes, and 5 of 5 can be used")


def test_an_instance_that_no_node_can_hold_is_told_with_each_node(applied: Any) -> None:
    huge = {"cpu": "1000", "memory": "1Gi"}
    keyspace = a_keyspace("huge", resources={"lower": huge, "upper": huge})
    applied(keyspace)
    shard = a_shard("huge", 0, 16)
    seen = told(shard, "NoRoom", "True", "1000000m are needed")
    assert all(f"node-{number}: " in seen["message"] for number in range(1, 6))
    assert pods_and_volumes("huge") == []


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "Secret bad-password with the password of user u does not exist: make it"),
        ({"password": ""}, "Secret bad-password has no usable password under the key password"),
    ],
)
def test_a_missing_or_empty_password_is_told(applied: Any, data: Any, sentence: str) -> None:
    if data is not None:
        metadata = {"name": "bad-password"}
        applied({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})
    user = {"name": "u", "passwordSecret": {"name": "bad-password"}, "grants": ["SELECT"]}
    keyspace = a_keyspace("nopass", users=[user], paused=True)
    applied(keyspace)
    told(keyspace, "Accepted", "False", sentence)


def test_an_image_that_cannot_be_pulled_is_named(applied: Any) -> None:
    image = "registry.invalid/mitosis-instance:gone"
    keyspace = a_keyspace("noimage", mysql={"image": image})
    applied(keyspace)

    def look() -> bool:
        instances = get("shard", "noimage-0-16").get("status", {}).get("instances", [])
        said = " ".join(i.get("message", "") for i in instances)
        assert f"image {image} cannot be pulled" in said, instances
        return True

    wait_until("an instance that names its image", look, seconds=120, every=1)
