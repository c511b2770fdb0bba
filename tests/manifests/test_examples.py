"""What the examples say is accepted by the CRDs and by the operator's own checks."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import script_files
import yaml

from mitosis_local.demo import install, load
from mitosis_operator.models.keyspace import Keyspace

EXAMPLES = sorted((script_files.ROOT / "manifests" / "examples").glob("*.yaml"))
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def objects(path: Path) -> list[dict[str, Any]]:
    return [body for body in yaml.safe_load_all(path.read_text()) if body]


def schema_of(kind: str) -> dict[str, Any]:
    for path in (script_files.ROOT / "crds").glob("*.yaml"):
        spec = yaml.safe_load(path.read_text())["spec"]
        if spec["names"]["kind"] == kind:
            schema: dict[str, Any] = spec["versions"][0]["schema"]["openAPIV3Schema"]
            return schema
    raise AssertionError(f"no CRD for {kind}")


def find_faults(value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
    """Differences that the API server would refuse, or silently drop; CEL rules are not judged."""
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str):
            yield f"{place}: neither number nor text"
        return
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (kind != "boolean" and value is True)):
        yield f"{place}: {value!r} is no {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {schema['enum']}"
    if isinstance(value, dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        properties = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in value:
                yield f"{place}.{name}: missing"
        for name, part in value.items():
            below = properties.get(name, schema.get("additionalProperties"))
            if isinstance(below, dict):
                yield from find_faults(part, below, f"{place}.{name}")
            elif place != ".metadata":
                yield f"{place}.{name}: unknown field"
    if isinstance(value, list):
        for number, part in enumerate(value):
            yield from find_faults(part, schema["items"], f"{place}[{number}]")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_fit_the_schema(path: Path) -> None:
    for body in objects(path):
        assert list(find_faults(body, schema_of(body["kind"]), "")) == []


def test_the_schema_check_finds_a_wrong_type_and_an_unknown_field() -> None:
    (body,) = objects(install.EXAMPLE)
    body["spec"]["shards"] = "two"
    body["spec"]["primaryIdc"] = "idc-1"
    faults = list(find_faults(body, schema_of("Keyspace"), ""))
    assert faults == [
        ".spec.shards: 'two' is no integer",
        ".spec.primaryIdc: unknown field",
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_operator_has_nothing_against_the_examples(path: Path) -> None:
    for body in objects(path):
        body["metadata"] = {"namespace": "mitosis", "uid": "1", **body["metadata"]}
        assert Keyspace.from_body(body).problems() == ()


def test_examples_hold_no_password() -> None:
    for path in EXAMPLES:
        assert {body["kind"] for body in objects(path)} == {"Keyspace"}


def test_the_demo_makes_the_secret_that_the_example_names() -> None:
    (body,) = objects(install.EXAMPLE)
    assert {(u["name"], u["passwordSecret"]["name"]) for u in body["spec"]["users"]} == {
        (user, install.SECRET) for user in install.USERS
    }
    for user in body["spec"]["users"]:
        assert user["passwordSecret"]["key"] == user["name"]


def test_each_table_of_the_example_has_its_rule_and_its_key_in_the_primary_key() -> None:
    (body,) = objects(install.EXAMPLE)
    rules = {rule["name"]: rule for rule in body["spec"]["tables"]}
    made = {}
    for statement in load.statements(load.SCHEMA.read_text()):
        found = re.match(r"CREATE TABLE IF NOT EXISTS (\w+)", statement)
        assert found, statement
        made[found[1]] = statement
    assert made.keys() == rules.keys()
    for name, rule in rules.items():
        key = rule.get("shardingKey")
        if key:
            assert re.search(rf"PRIMARY KEY \({key}\b|\b{key} \w+ NOT NULL PRIMARY KEY", made[name])
