"""A deleted pod comes back on its volume with its data; nothing acknowledged is lost."""

import pytest
from ledger import Ledger
from waiting import wait_until
from world import Login, get, kubectl, wait_ready

pytestmark = pytest.mark.e2e
SHARD = "shop-0-2048"


def _instance(role: str) -> str:
    instances = get("shard", SHARD)["status"]["instances"]
    return str(next(i["name"] for i in instances if i["role"] == role))


def _delete_and_wait(name: str) -> None:
    uid = get("pod", name)["metadata"]["uid"]
    kubectl("delete", "pod", name, "--wait=false")

    def is_new() -> bool:
        return bool(get("pod", name)["metadata"]["uid"] != uid)

    wait_until(f"a new pod {name}", is_new, seconds=120)


@pytest.mark.parametrize("role", ["replica", "primary"])
def test_a_deleted_pod_comes_back_with_its_data(shop: Login, ledger: Ledger, role: str) -> None:
    name = _instance(role)
    claim = get("persistentvolumeclaim", name)["metadata"]["uid"]
    epoch = get("shard", SHARD)["status"]["epoch"]
    _delete_and_wait(name)
    wait_ready("shard", SHARD, seconds=240)
    ledger.wait_for_more(100)
    ledger.verify()
    assert get("persistentvolumeclaim", name)["metadata"]["uid"] == claim
    status = get("shard", SHARD)["status"]
    assert (status["primary"], status["epoch"]) == (_instance("primary"), epoch)


def test_a_killed_mysqld_is_started_again_by_its_agent(shop: Login, ledger: Ledger) -> None:
    name = get("shard", SHARD)["status"]["primary"]
    restarts = _container_restarts(name)
    kubectl("exec", name, "--", "sh", "-c", "kill -9 $(cat /run/mysqld/mysqld.pid)")
    wait_until("a shard that is writable again", lambda: _is_writable_again(ledger), seconds=120)
    wait_ready("shard", SHARD, seconds=120)
    ledger.verify()
    assert _container_restarts(name) == restarts, "the agent, not the kubelet, brings mysqld back"


def _container_restarts(pod: str) -> int:
    return int(get("pod", pod)["status"]["containerStatuses"][0]["restartCount"])


def _is_writable_again(ledger: Ledger) -> bool:
    ledger.wait_for_more(50, seconds=30)
    return True
