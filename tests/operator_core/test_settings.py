"""Settings come from the environment, once, and mistakes are named."""

import pytest

from mitosis_operator.errors import BadSettings
from mitosis_operator.settings import Settings


def test_an_empty_environment_serves_the_default_namespace() -> None:
    settings = Settings.from_environment({})
    assert settings.namespaces == ("default",)
    assert settings.identity


def test_names_of_objects_begin_with_the_release() -> None:
    settings = Settings.from_environment({"MITOSIS_PREFIX": "db"})
    assert settings.lease_name == "db-operator"
    assert settings.ca_secret == "db-ca"
    assert settings.operator_tls_secret == "db-operator-tls"
    assert settings.gate_tls_secret == "db-gate-tls"


def test_namespaces_are_a_list() -> None:
    env = {"MITOSIS_NAMESPACE": "mitosis", "MITOSIS_NAMESPACES": "a, b,"}
    assert Settings.from_environment(env).namespaces == ("a", "b")
    assert Settings.from_environment({"MITOSIS_NAMESPACE": "m"}).namespaces == ("m",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MITOSIS_WORKERS", "many"),
        ("MITOSIS_WORKERS", "0"),
        ("MITOSIS_POLL_SECONDS", "-1"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSettings, match=name):
        Settings.from_environment({name: value})
