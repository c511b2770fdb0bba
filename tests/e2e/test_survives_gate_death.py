"""A gate that is killed under load takes its connections with it and nothing else."""

import pytest
from ledger import Ledger
from waiting import wait_until
from world import get, kubectl

pytestmark = pytest.mark.e2e
SELECTOR = "app.kubernetes.io/component=gate"


def test_a_gate_killed_under_load_loses_nothing(ledger: Ledger) -> None:
    names = _ready_gates()
    assert len(names) == 2
    for name in names:
        kubectl("delete", "pod", name, "--grace-period=0", "--force")
        ledger.wait_for_more(100)
        wait_until("two gates again", lambda n=name: _is_replaced(n), seconds=120, every=1)
    ledger.verify()
    assert ledger.errors, "the kill hit connections, or it tested nothing"


def test_a_gate_that_is_asked_to_stop_finishes_what_runs(ledger: Ledger) -> None:
    before = _ready_gates()
    kubectl("rollout", "restart", "deployment/mitosis-gate")
    kubectl("rollout", "status", "deployment/mitosis-gate", "--timeout=180s")
    ledger.wait_for_more(100)
    ledger.verify()
    assert not set(before) & set(_ready_gates())


def _ready_gates() -> list[str]:
    def is_ready(pod: dict[str, object]) -> bool:
        status = pod["status"]
        assert isinstance(status, dict)
        return all(c["ready"] for c in status.get("containerStatuses", [{"ready": False}]))

    pods = [p for p in get("pods", selector=SELECTOR) if "deletionTimestamp" not in p["metadata"]]
    return [p["metadata"]["name"] for p in pods if is_ready(p)]


def _is_replaced(old: str) -> bool:
    names = _ready_gates()
    return len(names) == 2 and old not in names
