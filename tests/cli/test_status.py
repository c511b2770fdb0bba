"""`mitosis status`: a tree that says where everything is, what is wrong and what helps."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from click.testing import CliRunner
from objects import GIB, condition, instance, keyspace, shard
from rich.console import Console

from fakes.cli import FakeCluster
from mitosis_operator.cli import main, overview, tree

Body = dict[str, Any]


def shown(*objects: Body) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))
    keyspaces = [o for o in objects if o["kind"] == "Keyspace"]
    shards = [o for o in objects if o["kind"] == "Shard"]
    tree.show(overview.assemble(keyspaces, shards), console)
    console.file.close()
    return console.export_text()


def run(cluster: FakeCluster, *words: str) -> Any:
    return CliRunner().invoke(main, words, obj=cluster)


def line_with(text: str, *words: str) -> str:
    (line,) = (line for line in text.splitlines() if all(word in line for word in words))
    return line


def test_each_instance_has_a_line_with_its_place_role_disk_lag_and_state() -> None:
    text = shown(keyspace(shards=1), shard())
    line = line_with(text, "shop-0-2048-1 ")
    for word in ("primary", "node-1", "r1", "idc-1", "0.5 of 64 GiB (1 %)", "0.0 s", "Running"):
        assert word in line
    assert "replica" in line_with(text, "shop-0-2048-2 ")


def test_shards_stand_under_their_keyspace_in_the_order_of_their_slots() -> None:
    text = shown(
        keyspace("bank", shards=1),
        keyspace(),
        shard(2048, 4096),
        shard(0, 2048),
        shard(0, 4096, keyspace="bank"),
    )
    places = [
        text.index(f" {word}") for word in ("bank-0-4096  ", "shop-0-2048  ", "shop-2048-4096  ")
    ]
    assert places == sorted(places)


def test_a_bad_condition_shows_its_message_once_and_a_good_one_nothing() -> None:
    why = "the primary shop-0-2048-1 is lost; start its node"
    text = shown(
        keyspace(shards=1),
        shard(
            phase="Unavailable",
            phaseReason=why,
            conditions=[
                condition("Ready", "False", why),
                condition("Writable", "False", why),
                condition("Replicated", "True", "all is well"),
            ],
        ),
    )
    assert text.count(why) == 1
    assert "all is well" not in text
    assert "Unavailable" in line_with(text, "slots 0-2048")


@pytest.mark.parametrize(
    ("kind", "status", "bad"),
    [
        ("Ready", "True", False),
        ("Ready", "False", True),
        ("Ready", "Unknown", True),
        ("NoRoom", "True", True),
        ("NoRoom", "False", False),
        ("Paused", "True", True),
        ("Paused", "False", False),
        ("Progressing", "True", False),
        ("Progressing", "False", False),
    ],
)
def test_some_conditions_are_good_when_false(kind: str, status: str, bad: bool) -> None:
    (view,) = overview.assemble([keyspace(conditions=[condition(kind, status, "why")])], [])
    assert view.remarks == (("why",) if bad else ())


def test_what_is_not_known_is_not_shown_as_nothing() -> None:
    unknown = {"sizeBytes": None, "usedBytes": None, "lagSeconds": None, "node": ""}
    bare = {k: v for k, v in instance("shop-0-2048-1").items() if k not in unknown}
    line = line_with(shown(keyspace(shards=1), shard(instances=[bare])), "shop-0-2048-1 ")
    assert line.split()[-6:] == ["-", "r1", "idc-1", "-", "-", "Running"]


def test_a_volume_whose_use_is_unknown_still_has_its_size() -> None:
    (view,) = overview.assemble([keyspace()], [shard()])
    found = view.shards[0].status.instances[0]
    assert tree.disk(found) == "0.5 of 64 GiB (1 %)"
    only_size = {k: v for k, v in instance("shop-0-2048-1").items() if k != "usedBytes"}
    (view,) = overview.assemble([keyspace()], [shard(instances=[only_size])])
    assert tree.disk(view.shards[0].status.instances[0]) == "? of 64 GiB"


def test_a_keyspace_that_nobody_has_looked_at_yet_is_pending() -> None:
    fresh = keyspace()
    del fresh["status"]
    assert "Pending" in line_with(shown(fresh), "shop  ")


def test_a_keyspace_that_is_being_deleted_says_so() -> None:
    going = keyspace()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert "Deleting" in line_with(shown(going), "shop  ")


def test_shards_whose_keyspace_is_not_there_are_shown_all_the_same() -> None:
    lone = shard(phase="Refused", phaseReason="there is no keyspace shop: apply it first")
    text = run(FakeCluster([keyspace("bank"), lone]), "status").output
    assert "there is no such keyspace" in line_with(text, "shop  ")
    assert "! there is no keyspace shop: apply it first" in text


def test_json_carries_the_status_of_keyspace_shards_and_instances() -> None:
    result = run(FakeCluster([keyspace(), shard(), shard(2048, 4096)]), "status", "-o", "json")
    assert result.exit_code == 0
    (found,) = json.loads(result.output)["keyspaces"]
    assert (found["name"], found["primaryIDC"], found["slots"]) == ("shop", "idc-1", 4096)
    assert [s["name"] for s in found["shards"]] == ["shop-0-2048", "shop-2048-4096"]
    first = found["shards"][0]["status"]["instances"][0]
    assert (first["role"], first["sizeBytes"]) == ("primary", 64 * GIB)


def test_an_unknown_keyspace_ends_with_a_sentence_and_status_one() -> None:
    result = run(FakeCluster([keyspace()]), "status", "bank")
    assert result.exit_code == 1
    assert result.output == "Error: no keyspace bank\n"


def test_watching_as_json_is_refused() -> None:
    result = run(FakeCluster([keyspace()]), "status", "--watch", "-o", "json")
    assert result.exit_code == 1 and "--watch" in result.output


def test_no_keyspace_at_all_says_what_to_do() -> None:
    result = run(FakeCluster(), "status")
    assert result.exit_code == 0 and "kubectl apply" in result.output


def test_watching_goes_on_after_a_look_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look works; the third is Ctrl-C."""
    from mitosis_operator.cli.errors import NoCluster

    looks: list[str] = []

    def look() -> Sequence[overview.KeyspaceView]:
        looks.append("look")
        if len(looks) == 1:
            raise NoCluster("cannot reach it")
        if len(looks) == 3:
            raise KeyboardInterrupt
        return ()

    tree.watch(look, every_seconds=0)
    assert len(looks) == 3
