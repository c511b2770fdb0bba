"""What the disks decide, with an API server in memory; the real one is in test_local_cluster."""

from pathlib import Path
from typing import Any

import pytest

from mitosis_local import disks
from mitosis_local.api import Api, Body

GIB = 1 << 30


class FakeApi(Api):
    """Objects by path, and what was written."""

    def __init__(self, **lists: list[Body]) -> None:
        self.lists = {
            disks.VOLUMES: lists.get("volumes", []),
            disks.CLAIMS: lists.get("claims", []),
            disks.NODES: [{"metadata": {"name": name}} for name in ("node-1", "node-2")],
        }
        self.written: list[tuple[str, str, Body | None]] = []

    def items(self, path: str, **query: str) -> list[Body]:
        return self.lists[path]

    def create(self, path: str, body: Body) -> None:
        self.written.append(("create", path, body))

    def patch(self, path: str, body: Body) -> None:
        self.written.append(("patch", path, body))

    def apply(self, path: str, body: Body) -> None:
        self.written.append(("apply", path, body))

    def delete(self, path: str) -> None:
        self.written.append(("delete", path, None))

    def bodies(self, verb: str, part: str) -> list[Any]:
        return [body for did, path, body in self.written if did == verb and part in path]


def a_claim(request: str, *, node: str | None = "node-1", bound: str | None = None) -> Body:
    annotations = {disks.SELECTED_NODE: node} if node else {}
    spec: Body = {
        "storageClassName": disks.STORAGE_CLASS,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": request}},
    }
    status: Body = {"phase": "Pending"}
    if bound:
        spec["volumeName"] = "pvc-uid"
        status = {"phase": "Bound", "capacity": {"storage": bound}}
    meta = {"name": "data", "namespace": "ns", "uid": "uid", "annotations": annotations}
    return {"metadata": meta, "spec": spec, "status": status}


def a_volume(size: str, *, node: str = "node-1", phase: str = "Bound") -> Body:
    return {
        "metadata": {"name": "pvc-uid", "uid": "v", "annotations": {disks.NODE: node}},
        "spec": {
            "storageClassName": disks.STORAGE_CLASS,
            "persistentVolumeReclaimPolicy": "Delete",
            "capacity": {"storage": size},
        },
        "status": {"phase": phase},
    }


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What would have been done to file systems."""
    seen: list[tuple[str, Any]] = []
    monkeypatch.setattr(disks, "attach", lambda image, mount, size: seen.append(("attach", size)))
    grow = "grow_file_system"
    monkeypatch.setattr(disks, grow, lambda image, mount, size: seen.append(("grow", size)))
    monkeypatch.setattr(disks, "detach", lambda image, mount: seen.append(("detach", mount.name)))
    return seen


def one_pass(api: FakeApi, room: int = 100 * GIB) -> FakeApi:
    disks.Disks(api, Path("/nodes"), room).pass_once()
    return api


def test_a_claim_with_a_chosen_node_gets_its_volume_there(done: list[tuple[str, Any]]) -> None:
    api = one_pass(FakeApi(claims=[a_claim("64Gi")]))
    assert done == [("attach", 64 * GIB)]
    (volume,) = api.bodies("create", disks.VOLUMES)
    assert volume["spec"]["capacity"] == {"storage": "64Gi"}
    assert volume["spec"]["local"] == {"path": "/nodes/node-1/disks/pvc-uid"}
    assert volume["spec"]["claimRef"]["uid"] == "uid"


def test_a_claim_that_no_pod_uses_yet_waits(done: list[tuple[str, Any]]) -> None:
    one_pass(FakeApi(claims=[a_claim("64Gi", node=None)]))
    assert done == []


def test_without_room_the_scheduler_is_asked_for_another_node(done: list[tuple[str, Any]]) -> None:
    api = one_pass(FakeApi(claims=[a_claim("64Gi")]), room=63 * GIB)
    assert done == []
    annotation = {"metadata": {"annotations": {disks.SELECTED_NODE: None}}}
    assert api.bodies("patch", "persistentvolumeclaims/data") == [annotation]
    (event,) = api.bodies("create", "events")
    assert event["reason"] == "ProvisioningFailed"
    assert event["message"] == "node-1 has 63Gi of room, 64Gi are needed"


def test_a_larger_request_grows_the_file_system_and_then_the_status(
    done: list[tuple[str, Any]],
) -> None:
    claims, volumes = [a_claim("80Gi", bound="64Gi")], [a_volume("64Gi")]
    api = one_pass(FakeApi(claims=claims, volumes=volumes))
    assert done == [("grow", 80 * GIB)]
    assert [path for verb, path, _ in api.written if verb == "patch"] == [
        f"{disks.VOLUMES}/pvc-uid",
        "/api/v1/namespaces/ns/persistentvolumeclaims/data/status",
    ]


def test_growing_goes_on_where_it_was_interrupted(done: list[tuple[str, Any]]) -> None:
    """The room was taken before; only the file system and the status are missing."""
    claims, volumes = [a_claim("80Gi", bound="64Gi")], [a_volume("80Gi")]
    api = one_pass(FakeApi(claims=claims, volumes=volumes), room=80 * GIB)
    assert done == [("grow", 80 * GIB)]
    assert api.bodies("patch", f"{disks.VOLUMES}/") == []


def test_a_growth_without_room_is_told_once(done: list[tuple[str, Any]]) -> None:
    api = FakeApi(claims=[a_claim("128Gi", bound="64Gi")], volumes=[a_volume("64Gi")])
    subject = disks.Disks(api, Path("/nodes"), 100 * GIB)
    subject.pass_once()
    subject.pass_once()
    assert done == []
    assert [event["reason"] for event in api.bodies("create", "events")] == ["VolumeResizeFailed"]


def test_a_released_volume_goes_with_its_disk(done: list[tuple[str, Any]]) -> None:
    api = one_pass(FakeApi(volumes=[a_volume("64Gi", phase="Released")]))
    assert done == [("detach", "pvc-uid")]
    assert ("delete", f"{disks.VOLUMES}/pvc-uid", None) in api.written


def test_the_room_of_each_node_is_published_when_it_changes(done: list[tuple[str, Any]]) -> None:
    api = FakeApi(volumes=[a_volume("64Gi")])
    subject = disks.Disks(api, Path("/nodes"), 100 * GIB)
    subject.pass_once()
    subject.pass_once()
    published = api.bodies("apply", disks.CAPACITIES)
    assert [(each["metadata"]["name"], each["capacity"]) for each in published] == [
        ("disks-node-1", "36Gi"),
        ("disks-node-2", "100Gi"),
    ]
