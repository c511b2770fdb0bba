"""The cluster's disks: sparse files with XFS behind `local` volumes, with capacity and growth.

Runs in the hub as a process of its own. Level-triggered: each pass looks at all claims and volumes
and does what is missing, so nothing is lost when it is restarted between two steps.
"""

import argparse
import logging
import os
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mitosis_local.api import Api, ApiError, Body
from mitosis_local.capacity import Volume, as_quantity, free_bytes, quantity, size_of
from mitosis_local.errors import LocalError
from mitosis_local.shell import run
from mitosis_local.topology import API_PORT, GATEWAY

PROVISIONER = "disks.local.mitosis.dev"
STORAGE_CLASS = "local-disk"
NODE = f"{PROVISIONER}/node"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
HOSTNAME = "kubernetes.io/hostname"
CLAIMS = "/api/v1/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
NODES = "/api/v1/nodes"
CAPACITIES = "/apis/storage.k8s.io/v1/namespaces/kube-system/csistoragecapacities"
WATCH_SECONDS = 300
LOOK_AGAIN_SECONDS = 5  # nodes come without a change of a claim
RETRY_SECONDS = 2

log = logging.getLogger("disks")


class NoRoom(LocalError):
    pass


def storage_class() -> Body:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
        "reclaimPolicy": "Delete",
    }


def driver() -> Body:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": PROVISIONER},
        "spec": {"attachRequired": False, "storageCapacity": True},
    }


def capacity_object(node: str, free: int) -> Body:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIStorageCapacity",
        "metadata": {"name": f"disks-{node}"},
        "storageClassName": STORAGE_CLASS,
        "capacity": as_quantity(free),
        "maximumVolumeSize": as_quantity(free),
        "nodeTopology": {"matchLabels": {HOSTNAME: node}},
    }


def volume_object(claim: Body, node: str, path: Path, size: int) -> Body:
    meta = claim["metadata"]
    affinity = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [node]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name(claim),
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER, NODE: node},
        },
        "spec": {
            "capacity": {"storage": as_quantity(size)},
            "accessModes": claim["spec"]["accessModes"],
            "storageClassName": STORAGE_CLASS,
            "persistentVolumeReclaimPolicy": "Delete",
            "local": {"path": str(path)},
            "volumeMode": "Filesystem",
            "claimRef": {
                "kind": "PersistentVolumeClaim",
                "apiVersion": "v1",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [affinity]}},
        },
    }


def volume_name(claim: Body) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def _annotations(body: Body) -> dict[str, str]:
    return body["metadata"].get("annotations") or {}


def _is_ours(body: Body) -> bool:
    return bool(body["spec"].get("storageClassName") == STORAGE_CLASS)


def wants_volume(claim: Body) -> bool:
    return (
        claim["status"]["phase"] == "Pending"
        and SELECTED_NODE in _annotations(claim)
        and not claim["spec"].get("volumeName")
    )


def wants_growth(claim: Body) -> bool:
    if claim["status"]["phase"] != "Bound":
        return False
    has = quantity(claim["status"]["capacity"]["storage"])
    return size_of(requested(claim)) > has


def requested(claim: Body) -> int:
    return quantity(claim["spec"]["resources"]["requests"]["storage"])


def may_go(volume: Body) -> bool:
    spec, phase = volume["spec"], volume["status"]["phase"]
    return bool(phase == "Released" and spec["persistentVolumeReclaimPolicy"] == "Delete")


def loop_of(image: Path) -> str | None:
    listing = run("losetup", "--associated", image, "--noheadings", "--output", "NAME")
    return listing.splitlines()[0].strip() if listing else None


def attach(image: Path, mount: Path, size: int) -> None:
    """Make and mount the file system; each step only when its result is not there yet."""
    if not os.path.ismount(mount):
        mount.mkdir(parents=True, exist_ok=True)
        formatted = image.with_suffix(".making")
        if not image.exists():
            formatted.unlink(missing_ok=True)
            run("truncate", "--size", str(size), formatted)
            run("mkfs.xfs", "-q", "-K", formatted)
            formatted.rename(image)
        device = loop_of(image) or run("losetup", "--find", "--show", image)
        run("mount", device, mount)


def grow_file_system(image: Path, mount: Path, size: int) -> None:
    device = loop_of(image)
    if device is None:
        raise LocalError(f"{image} has no loop device; the volume is not mounted")
    if image.stat().st_size < size:
        run("truncate", "--size", str(size), image)
    run("losetup", "--set-capacity", device)
    run("xfs_growfs", mount)


def detach(image: Path, mount: Path) -> None:
    device = loop_of(image) if image.exists() else None
    if os.path.ismount(mount):
        run("umount", mount)
    if device:
        run("losetup", "--detach", device)
    image.unlink(missing_ok=True)
    if mount.exists():
        mount.rmdir()


class Disks:
    def __init__(self, api: Api, folder: Path, per_node_bytes: int) -> None:
        """`folder` holds one folder per node, and in it `disks/`."""
        self._api, self._folder, self._per_node = api, folder, per_node_bytes
        self._published: dict[str, int] = {}
        self._told: dict[str, str] = {}

    def install(self) -> None:
        self._api.apply(f"/apis/storage.k8s.io/v1/csidrivers/{PROVISIONER}", driver())
        self._api.apply(f"/apis/storage.k8s.io/v1/storageclasses/{STORAGE_CLASS}", storage_class())

    def pass_once(self) -> None:
        volumes = [volume for volume in self._api.items(VOLUMES) if _is_ours(volume)]
        claims = [claim for claim in self._api.items(CLAIMS) if _is_ours(claim)]
        free = dict(self._free(volumes))
        known = {volume["metadata"]["name"]: volume for volume in volumes}
        for volume in filter(may_go, volumes):
            self._guarded(volume, self._delete, volume)
        for claim in filter(wants_growth, claims):
            if grows := known.get(claim["spec"]["volumeName"]):
                self._guarded(claim, self._grow, claim, grows, free)
        for claim in filter(wants_volume, claims):
            if volume_name(claim) not in known:
                self._guarded(claim, self._provision, claim, free)
        self._publish()

    def _guarded(self, subject: Body, act: Any, *arguments: Any) -> None:
        """One claim that cannot be served must not keep the others waiting."""
        uid = subject["metadata"]["uid"]
        try:
            act(*arguments)
            self._told.pop(uid, None)
        except LocalError as error:
            log.warning("%s: %s", subject["metadata"]["name"], error)
            if "resources" in subject["spec"] and self._told.get(uid) != str(error):
                self._told[uid] = str(error)
                self._tell(subject, str(error))

    def _tell(self, claim: Body, message: str) -> None:
        meta, now = claim["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._api.create(
            f"/api/v1/namespaces/{meta['namespace']}/events",
            {
                "metadata": {"generateName": f"{meta['name']}."},
                "type": "Warning",
                "reason": "ProvisioningFailed" if wants_volume(claim) else "VolumeResizeFailed",
                "message": message,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
                "source": {"component": PROVISIONER},
                "involvedObject": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": meta["namespace"],
                    "name": meta["name"],
                    "uid": meta["uid"],
                },
            },
        )

    def _files(self, node: str, name: str) -> tuple[Path, Path]:
        disks = self._folder / node / "disks"
        return disks / f"{name}.img", disks / name

    def _free(self, volumes: list[Body]) -> dict[str, int]:
        nodes = [node["metadata"]["name"] for node in self._api.items(NODES)]
        taken = [
            Volume(_annotations(volume)[NODE], quantity(volume["spec"]["capacity"]["storage"]))
            for volume in volumes
        ]
        return dict(free_bytes(nodes, taken, self._per_node))

    def _take(self, free: dict[str, int], node: str, size: int) -> None:
        if free.get(node, 0) < size:
            has, needs = as_quantity(free.get(node, 0)), as_quantity(size)
            raise NoRoom(f"{node} has {has} of room, {needs} are needed")
        free[node] -= size

    def _provision(self, claim: Body, free: dict[str, int]) -> None:
        node, size = _annotations(claim)[SELECTED_NODE], size_of(requested(claim))
        try:
            self._take(free, node, size)
        except NoRoom:
            # tells the scheduler to choose again
            self._api.patch(
                _claim_path(claim), {"metadata": {"annotations": {SELECTED_NODE: None}}}
            )
            raise
        image, mount = self._files(node, volume_name(claim))
        attach(image, mount, size)
        self._api.create(VOLUMES, volume_object(claim, node, mount, size))
        log.info("made %s of %s on %s", mount.name, as_quantity(size), node)

    def _grow(self, claim: Body, volume: Body, free: dict[str, int]) -> None:
        node, size = _annotations(volume)[NODE], size_of(requested(claim))
        name = volume["metadata"]["name"]
        has = quantity(volume["spec"]["capacity"]["storage"])
        if size > has:
            self._take(free, node, size - has)
            self._api.patch(
                f"{VOLUMES}/{name}", {"spec": {"capacity": {"storage": as_quantity(size)}}}
            )
        grow_file_system(*self._files(node, name), size)
        status = {"capacity": {"storage": as_quantity(size)}, "conditions": []}
        self._api.patch(f"{_claim_path(claim)}/status", {"status": status})
        log.info("grew %s to %s on %s", name, as_quantity(size), node)

    def _delete(self, volume: Body) -> None:
        name = volume["metadata"]["name"]
        detach(*self._files(_annotations(volume)[NODE], name))
        self._api.delete(f"{VOLUMES}/{name}")
        log.info("removed %s", name)

    def _publish(self) -> None:
        free = self._free([volume for volume in self._api.items(VOLUMES) if _is_ours(volume)])
        for node, room in free.items():
            if self._published.get(node) != room:
                self._api.apply(f"{CAPACITIES}/disks-{node}", capacity_object(node, room))
        for node in self._published.keys() - free.keys():
            self._api.delete(f"{CAPACITIES}/disks-{node}")
        self._published = free


def _claim_path(claim: Body) -> str:
    meta = claim["metadata"]
    return f"/api/v1/namespaces/{meta['namespace']}/persistentvolumeclaims/{meta['name']}"


def watch(api: Api, path: str, changed: threading.Event) -> None:
    """Say that something changed; runs in a thread of its own for as long as the process lives."""
    while True:
        try:
            for _ in api.changes(path, WATCH_SECONDS):
                changed.set()
        except ApiError as error:
            log.warning("%s", error)
            threading.Event().wait(RETRY_SECONDS)
        changed.set()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=Path, required=True)
    parser.add_argument("--pki", type=Path, required=True)
    parser.add_argument("--per-node", required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    api = Api(GATEWAY, API_PORT, options.pki)
    disks, changed = Disks(api, options.nodes, quantity(options.per_node)), threading.Event()
    disks.install()
    for path in (CLAIMS, VOLUMES):
        threading.Thread(target=watch, args=(api, path, changed), daemon=True).start()
    while True:
        changed.clear()
        try:
            disks.pass_once()
        except (LocalError, OSError, subprocess.SubprocessError):
            log.exception("this pass failed; trying again in %s s", RETRY_SECONDS)
            threading.Event().wait(RETRY_SECONDS)
            continue
        changed.wait(LOOK_AGAIN_SECONDS)


if __name__ == "__main__":
    main()
