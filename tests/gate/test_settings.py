"""Settings come from flags and the environment, and say which of them cannot work."""

from pathlib import Path

import pytest

from mitosis_gate.errors import NotStarted
from mitosis_gate.settings import BackendTls, from_arguments

STATIC = ("--routing-file", "r.json", "--users-file", "u.json")


def test_without_anything_the_defaults_hold() -> None:
    settings = from_arguments([], {})
    assert (settings.listen_port, settings.admin_port, settings.workers) == (3306, 8081, 1)
    assert settings.backend_tls is BackendTls.REQUIRED


def test_a_flag_wins_over_the_environment() -> None:
    environment = {"MITOSIS_GATE_LISTEN_PORT": "3307", "MITOSIS_GATE_NAMESPACES": "a, b,"}
    settings = from_arguments(["--listen-port", "3308"], environment)
    assert settings.listen_port == 3308
    assert settings.namespaces == ("a", "b")


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert from_arguments([], {"MITOSIS_GATE_WORKERS": ""}).workers == 1


def test_values_have_their_types() -> None:
    settings = from_arguments(
        [*STATIC, "--backend-tls", "disabled", "--drain-seconds", "1.5", "--log-level", "debug"], {}
    )
    assert settings.routing_file == Path("r.json")
    assert settings.backend_tls is BackendTls.DISABLED
    assert (settings.drain_seconds, settings.log_level) == (1.5, "DEBUG")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--workers", "0"], "--workers"),
        (["--workers", "many"], "--workers"),
        (["--listen-port", "x"], "--listen-port"),
        (["--backend-tls", "maybe"], "--backend-tls"),
        (["--routing-file", "r.json"], "--users-file"),
        (["--users-file", "u.json"], "--routing-file"),
        (["--require-tls", "true"], "--tls-dir"),
        (["--require-tls", "perhaps"], "--require-tls"),
        (["--max-clients", "0"], "--max-clients"),
    ],
)
def test_what_cannot_work_is_refused_by_name(arguments: list[str], named: str) -> None:
    with pytest.raises(NotStarted, match=named):
        from_arguments(arguments, {})
