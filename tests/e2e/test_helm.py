"""The chart as its user knows it: lint, test, upgrade, uninstall; data outlives all of it."""

import json
from pathlib import Path

import pytest
from ledger import Ledger
from world import Login, get, helm, kubectl, wait_ready

from mitosis_local.paths import CHECKOUT

pytestmark = pytest.mark.e2e
CHART = str(CHECKOUT / "helm" / "mitosis")


def _values() -> str:
    """What the release was installed with."""
    return helm("get", "values", "mitosis", "-o", "json").out


def _upgrade(*sets: str) -> None:
    words = [word for each in sets for word in ("--set", each)]
    helm("upgrade", "mitosis", CHART, "--reuse-values", "--wait", "--timeout=5m", *words)


def _instances() -> dict[str, str]:
    pods = get("pods", selector="app.kubernetes.io/component=instance")
    return {p["metadata"]["name"]: p["metadata"]["uid"] for p in pods}


def test_the_chart_passes_helm_lint_and_helm_test(shop: Login) -> None:
    helm("lint", CHART, "--strict")
    helm("test", "mitosis", "--timeout=3m")


def test_an_upgrade_reaches_operator_and_gates_and_no_instance(ledger: Ledger) -> None:
    instances = _instances()
    _upgrade("gate.logLevel=DEBUG", "operator.logLevel=DEBUG")
    try:
        assert json.loads(_values())["gate"]["logLevel"] == "DEBUG"
        ledger.wait_for_more(100)
    finally:
        _upgrade("gate.logLevel=INFO", "operator.logLevel=INFO")
    ledger.verify()
    assert _instances() == instances


def test_a_wrong_value_is_refused_before_anything_changes(shop: Login) -> None:
    words = ("upgrade", "mitosis", CHART, "--reuse-values", "--set", "gate.replicas=many")
    refused = helm(*words, check=False)
    assert refused.code != 0 and "replicas" in refused.err


def test_instances_outlive_an_uninstall_and_are_adopted_again(shop: Login, tmp_path: Path) -> None:
    values, instances = tmp_path / "values.json", _instances()
    values.write_text(_values())
    users = shop.query("SELECT user_id FROM users")
    helm("uninstall", "mitosis", "--wait", "--timeout=3m")
    try:
        assert _instances() == instances
        assert kubectl("get", "keyspace", "shop").code == 0
    finally:
        helm("install", "mitosis", CHART, "-f", str(values), "--wait", "--timeout=5m")
    wait_ready("keyspace", "shop", seconds=120)
    assert sorted(shop.query("SELECT user_id FROM users")) == sorted(users)
    assert _instances() == instances
