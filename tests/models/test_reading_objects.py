import pytest

from manifests import defaulted, good, schema
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.models.reading import Unreadable
from mitosis_operator.models.shard import Shard
from mitosis_operator.models.template import GI, MI, Bound, DeletionPolicy, Durability
from mitosis_routing.keyspace import SlotRange

SMALLEST = {
    "Keyspace": {
        "apiVersion": "mitosis.dev/v1alpha1",
        "kind": "Keyspace",
        "metadata": {"name": "shop", "namespace": "mitosis"},
        "spec": {"primaryIDC": "idc-1", "tables": [{"name": "users", "shardingKey": "user_id"}]},
    },
    "Shard": {
        "apiVersion": "mitosis.dev/v1alpha1",
        "kind": "Shard",
        "metadata": {"name": "shop-0-2048", "namespace": "mitosis"},
        "spec": {"keyspace": "shop", "slots": {"start": 0, "end": 2048}},
    },
}
MODELS = {"Keyspace": Keyspace, "Shard": Shard}


@pytest.mark.parametrize("kind", ["Keyspace", "Shard"])
def test_the_models_know_the_same_defaults_as_the_schema(kind):
    bare = SMALLEST[kind]
    full = defaulted(bare, schema(kind))
    assert full != bare
    assert MODELS[kind].from_body(bare) == MODELS[kind].from_body(full)


def test_the_smallest_manifests_are_good():
    keyspace = Keyspace.from_body(
        SMALLEST["Keyspace"] | {"status": {"shardNames": ["shop-0-2048"]}}
    )
    assert keyspace.problems() == ()
    assert Shard.from_body(SMALLEST["Shard"]).problems(keyspace) == ()


@pytest.mark.parametrize("kind", ["Keyspace", "Shard"])
def test_a_spec_that_is_read_and_written_again_is_the_same(kind):
    assert MODELS[kind].from_body(good(kind)).to_spec() == good(kind)["spec"]


def properties(part, path=""):
    """Paths of all fields below an object of a schema."""
    for name, inner in part.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from properties(inner, f"{path}.{name}")
        yield from properties(inner.get("items", {}), f"{path}.{name}[]")


def paths(body, path=""):
    if isinstance(body, dict):
        for name, inner in body.items():
            yield f"{path}.{name}"
            yield from paths(inner, f"{path}.{name}")
    elif isinstance(body, list):
        for inner in body:
            yield from paths(inner, f"{path}[]")


@pytest.mark.parametrize("kind", ["Keyspace", "Shard"])
def test_the_models_write_every_field_of_the_schema_and_no_other(kind):
    written = set(paths(MODELS[kind].from_body(good(kind)).to_spec()))
    bounds = good("Keyspace")["spec"]["resources"]
    known = {p for p in written if not p.startswith(".mysql.config.")}
    known |= set(paths(bounds, ".resources")) | {".resources.class"}
    assert known == set(properties(schema(kind)["properties"]["spec"]))


def test_a_keyspace_is_read_with_its_units():
    keyspace = Keyspace.from_body(good("Keyspace"))
    template = keyspace.template
    assert (template.storage.step_bytes, template.storage.max_bytes) == (32 * GI, 128 * GI)
    assert template.resources.lower == Bound(500, 1024 * MI)
    assert template.durability is Durability.IDC
    assert template.deletion_policy is DeletionPolicy.DELETE
    assert keyspace.initial_ranges() == (SlotRange(0, 2048), SlotRange(2048, 4096))


def test_numbers_in_the_configuration_become_text():
    body = good("Keyspace")
    body["spec"]["mysql"]["config"] = {"max_connections": 500}
    assert Keyspace.from_body(body).template.mysql.config == {"max_connections": "500"}


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("slots", "many", "spec.slots is 'many': write a whole number"),
        ("paused", "no", "spec.paused is 'no': write true or false"),
        ("tables", "users", "spec.tables is 'users': write a list"),
        ("tables", [{"shardingKey": "id"}], "spec.tables[0].name is missing"),
        ("durability", "disk", "spec.durability is 'disk': write one of rack, idc"),
        ("storage", {"step": "64GB"}, "spec.storage.step is '64GB': write an amount such as 64Gi"),
        ("mysql", [], "spec.mysql is []: write an object"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_path(field, value, complaint):
    body = good("Keyspace")
    body["spec"][field] = value
    with pytest.raises(Unreadable) as caught:
        Keyspace.from_body(body)
    assert str(caught.value) == complaint


def test_a_shard_that_leaves_its_primary_idc_open_takes_that_of_its_keyspace():
    keyspace = Keyspace.from_body(SMALLEST["Keyspace"])
    shard = Shard.from_body(SMALLEST["Shard"])
    assert shard.template.primary_idc == ""
    assert shard.completed_from(keyspace).template.primary_idc == "idc-1"


def test_a_shard_keeps_its_own_primary_idc():
    keyspace = Keyspace.from_body(SMALLEST["Keyspace"])
    body = good("Shard")
    body["spec"]["primaryIDC"] = "idc-2"
    assert Shard.from_body(body).completed_from(keyspace).template.primary_idc == "idc-2"


@pytest.mark.parametrize(
    ("used", "serial"), [((), 1), ((1, 2, 3), 4), ((2, 3), 1), ((1, 3), 2), ((7,), 1)]
)
def test_the_next_serial_is_the_lowest_that_no_volume_has(used, serial):
    assert Shard.from_body(good("Shard")).next_serial(used) == serial
