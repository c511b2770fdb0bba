"""crds/ is the only source: it agrees with itself, with the models and with the routing codec."""

import re
from pathlib import Path

import pytest
import yaml

from manifests import CRDS, schema
from mitosis_operator import names
from mitosis_operator.models import variables
from mitosis_operator.models.keyspace import MAX_NAME_LENGTH, SLOT_COUNTS, Grant
from mitosis_operator.models.template import RESOURCE_CLASSES
from mitosis_routing import codec
from mitosis_routing.keyspace import SlotRange
from mitosis_routing.table import (
    InstanceRoute,
    OtherTables,
    Role,
    RoutingTable,
    SecretKey,
    ShardRoute,
    ShardState,
    TableRule,
    UniqueKeys,
    UserRef,
)

KINDS = ("Keyspace", "Shard", "RoutingTable")
RULES = "x-kubernetes-validations"
LONGEST_HOST_NAME = 63


def crd(kind):
    for path in CRDS.glob("*.yaml"):
        body = yaml.safe_load(path.read_text())
        if body["spec"]["names"]["kind"] == kind:
            return body
    raise LookupError(kind)


def parts(body, path=""):
    """Every schema below this one, with its path."""
    yield path, body
    for name, inner in body.get("properties", {}).items():
        yield from parts(inner, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in body:
            yield from parts(body[name], f"{path}[]")


def spec_of(kind):
    return schema(kind)["properties"]["spec"]


def test_the_folder_holds_the_kinds_that_the_catalogue_names():
    found = {}
    for path in CRDS.glob("*.yaml"):
        body = yaml.safe_load(path.read_text())
        found[body["spec"]["names"]["kind"]] = body["spec"]["names"]["plural"]
        assert body["spec"]["group"] == names.GROUP
        assert [v["name"] for v in body["spec"]["versions"]] == [names.VERSION]
        assert body["metadata"]["name"] == f"{path.stem}.{names.GROUP}"
    assert found == names.PLURALS


@pytest.mark.parametrize(
    ("kind", "short", "columns"),
    [
        ("Keyspace", "ks", ["Shards", "Ready", "Primary IDC", "Phase", "Age"]),
        (
            "Shard",
            "sh",
            ["Range", "Phase", "Primary", "Epoch", "Ready", "Disk", "Used%", "Age"],
        ),
        ("RoutingTable", "rt", ["Version", "Slots", "Age"]),
    ],
)
def test_what_kubectl_get_shows(kind, short, columns):
    body = crd(kind)
    (version,) = body["spec"]["versions"]
    shown = [c["name"] for c in version["additionalPrinterColumns"] if not c.get("priority")]
    assert shown == columns
    assert body["spec"]["names"]["shortNames"] == [short]
    assert body["spec"]["names"]["categories"] == ["mitosis"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_column_shows_a_field_of_the_schema(kind):
    fields = {path for path, _ in parts(schema(kind))} | {".metadata.creationTimestamp"}
    (version,) = crd(kind)["spec"]["versions"]
    assert {c["jsonPath"] for c in version["additionalPrinterColumns"]} <= fields


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_bounded_so_that_rules_have_a_bounded_cost(kind):
    for path, part in parts(spec_of(kind)):
        if part.get("type") == "array":
            assert "maxItems" in part, path
        if "additionalProperties" in part:
            assert "maxProperties" in part, path
        if part.get("type") == "string" or part.get("x-kubernetes-int-or-string"):
            assert "enum" in part or "maxLength" in part, path


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_is_described(kind):
    for part in ("spec", "status"):
        for path, inner in parts(schema(kind)["properties"].get(part, {})):
            if path and not path.endswith("[]"):
                assert inner.get("description", "").endswith("."), path


@pytest.mark.parametrize("kind", KINDS)
def test_each_rule_says_what_to_write_instead(kind):
    for path, part in parts(schema(kind)):
        for rule in part.get(RULES, []):
            said = rule.get("message") or rule["messageExpression"]
            assert re.search(r"write|name it|name the|remove it|choose|never|cannot", said), path


def test_keyspace_and_shard_describe_instances_alike():
    keyspace, shard = (spec_of(kind)["properties"] for kind in ("Keyspace", "Shard"))
    shared = set(keyspace) & set(shard) - {"slots", "primaryIDC"}
    assert shared == {
        "deletionPolicy",
        "durability",
        "instances",
        "mysql",
        "paused",
        "placement",
        "resources",
        "storage",
    }
    for name in shared:
        assert keyspace[name] == shard[name]
    assert all(rule in spec_of("Keyspace")[RULES] for rule in spec_of("Shard")[RULES])


def test_rules_and_models_refuse_the_same_variables():
    rules = spec_of("Keyspace")["properties"]["mysql"]["properties"]["config"][RULES]
    listed = [re.findall(r"'([a-z0-9_]+)'", r["rule"]) for r in rules if " in self)" in r["rule"]]
    assert [tuple(group) for group in listed] == list(variables.OWNED_GROUPS)
    for rule, group in zip(rules[-len(listed) :], listed, strict=True):
        assert all(name in rule["message"] for name in group)
    (beginnings,) = (r for r in rules if "rpl_semi_sync_" in r["rule"])
    expected = "|".join((*variables.OWNED_PREFIXES, *variables.DISGUISES))
    assert f"'^({expected})'" in beginnings["rule"]


def test_rules_and_models_know_the_same_numbers_of_slots():
    (first, *_) = spec_of("Keyspace")["properties"]["slots"][RULES]
    assert tuple(map(int, re.findall(r"\d+", first["rule"]))) == SLOT_COUNTS


def test_schema_and_models_know_the_same_words():
    keyspace = spec_of("Keyspace")["properties"]
    grants = keyspace["users"]["items"]["properties"]["grants"]["items"]["enum"]
    assert set(grants) == set(Grant)
    assert set(keyspace["resources"]["properties"]["class"]["enum"]) == set(RESOURCE_CLASSES)
    assert set(keyspace["otherTables"]["enum"]) == set(OtherTables)
    assert set(keyspace["uniqueKeys"]["enum"]) == set(UniqueKeys)


def test_the_longest_names_still_fit_into_a_host_name():
    longest = names.instance(names.shard("k" * MAX_NAME_LENGTH, 65535, SLOT_COUNTS[-1]), 99999)
    assert len(longest) <= LONGEST_HOST_NAME


def a_full_table():
    account = UserRef("gate", SecretKey("shop-system", "gate"), "7")
    instance = InstanceRoute("shop-0-16-1", Role.PRIMARY, "10.0.0.1", 3306, "uuid", "idc-1")
    shard = ShardRoute(
        name="shop-0-16",
        slots=SlotRange(0, 16),
        state=ShardState.MOVING,
        epoch=2,
        instances=(instance,),
        deadline="2026-01-01T00:00:00Z",
        reason="a switchover",
    )
    return RoutingTable(
        keyspace="shop",
        version=3,
        slots=16,
        shards=(shard,),
        tables=(TableRule("users", "id"), TableRule("countries", reference=True)),
        default_sharding_key="id",
        users=(account,),
        gate_account=account,
        ca="PEM",
    )


def agree(value, part, path):
    """No field is pruned, none is promised that the codec does not write."""
    if isinstance(value, dict):
        assert set(value) <= set(part["properties"]), path
        assert set(part.get("required", [])) <= set(value), path
        for name, inner in value.items():
            agree(inner, part["properties"][name], f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            agree(inner, part["items"], f"{path}[]")
    else:
        kind = {str: "string", bool: "boolean", int: "integer"}[type(value)]
        assert part["type"] == kind, path
        assert value in part.get("enum", [value]), path


def test_the_schema_of_a_routing_table_prunes_nothing_that_the_codec_writes():
    body = codec.to_json(a_full_table())
    agree(body, spec_of("RoutingTable"), "spec")
    assert set(body) == set(spec_of("RoutingTable")["properties"])


@pytest.mark.parametrize("words", [ShardState, Role, OtherTables, UniqueKeys])
def test_the_schema_of_a_routing_table_knows_every_word_of_the_codec(words):
    enums = [set(p["enum"]) for _, p in parts(spec_of("RoutingTable")) if "enum" in p]
    assert set(words) in enums


def test_the_page_of_labels_names_each_of_them():
    page = (Path(CRDS).parent / "docs" / "labels.md").read_text()
    for constant in dir(names):
        if constant.startswith(("LABEL_", "ANNOTATION_", "NODE_LABEL_", "FINALIZER")):
            assert f"`{getattr(names, constant)}`" in page, constant
