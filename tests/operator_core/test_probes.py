"""Probes answer from outside the event loop, and tell when it stands still."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from mitosis_operator import probes


@pytest.fixture
def health() -> probes.Health:
    return probes.Health()


@pytest.fixture
def address(health: probes.Health) -> Iterator[str]:
    server = probes.serve(health, 0, "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def ask(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode()


def test_a_live_loop_is_healthy(address: str) -> None:
    assert ask(f"{address}/healthz") == (200, "ok")


def test_a_loop_that_stands_still_is_not(health: probes.Health, address: str) -> None:
    health._tick_at -= probes.OLDEST_TICK_SECONDS + 1
    status, text = ask(f"{address}/healthz")
    assert status == 503 and "stands still for 31 s" in text


def test_it_is_ready_once_it_has_started(health: probes.Health, address: str) -> None:
    assert ask(f"{address}/readyz")[0] == 503
    health.is_ready = True
    assert ask(f"{address}/readyz")[0] == 200


def test_metrics_are_there(address: str) -> None:
    status, text = ask(f"{address}/metrics")
    assert status == 200 and "mitosis_operator_leader" in text


def test_other_paths_are_named(address: str) -> None:
    assert ask(f"{address}/") == (404, "known: /healthz /readyz /metrics")
