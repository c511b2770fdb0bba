"""What an agent remembers survives it; whose volume it is, it checks."""

from dataclasses import replace
from pathlib import Path

import pytest

from mitosis_operator.agent.errors import BadVolume
from mitosis_operator.agent.state import (
    KEPT_OPERATIONS,
    RESTARTED,
    Memory,
    Store,
    lock_volume,
    open_store,
)
from mitosis_operator.mysql.instance import DataState, OperationState, Progress, Role, Verb

FRESH = Memory("shop", "shop-0-4096", "shop-0-4096-1")
DONE = OperationState("a", Verb.PROMOTE, Progress.DONE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".agent").mkdir()
    return tmp_path / ".agent"


def reopened(folder: Path, fresh: Memory = FRESH) -> tuple[Store, str]:
    return open_store(folder, folder.parent / "data", fresh)


def test_epoch_role_and_results_survive_a_restart(folder: Path) -> None:
    store, _ = reopened(folder)
    told = replace(FRESH, epoch=7, lease=2, role=Role.PRIMARY, fenced_epoch=3)
    store.update(lambda _: told.with_operation(DONE))
    again, problem = reopened(folder)
    assert again.memory == told.with_operation(DONE) and problem == ""


def test_an_operation_that_ran_at_the_restart_has_failed(folder: Path) -> None:
    running = OperationState("a", Verb.CLONE, Progress.RUNNING)
    reopened(folder)[0].update(lambda memory: memory.with_operation(running))
    found = reopened(folder)[0].memory.find("a")
    assert found == replace(running, state=Progress.FAILED, error=RESTARTED)


@pytest.mark.parametrize(
    "other",
    [
        replace(FRESH, shard="shop-0-2048"),
        replace(FRESH, keyspace="crm"),
        replace(FRESH, instance="shop-0-4096-2"),
    ],
)
def test_the_volume_of_somebody_else_is_left_alone(folder: Path, other: Memory) -> None:
    owner = replace(other, data_state=DataState.GOOD)
    reopened(folder, other)[0].update(lambda _: owner)
    before = (folder / "state.json").read_bytes()
    store, problem = reopened(folder)
    assert store.memory.data_state is DataState.UNKNOWN
    assert other.instance in problem and other.shard in problem
    assert (folder / "state.json").read_bytes() == before


def test_data_that_no_agent_put_there_is_left_alone(folder: Path) -> None:
    data = folder.parent / "data"
    data.mkdir()
    (data / "ibdata1").touch()
    store, problem = reopened(folder)
    assert store.memory.data_state is DataState.UNKNOWN and str(data) in problem


def test_a_new_volume_is_empty(folder: Path) -> None:
    store, problem = reopened(folder)
    assert store.memory.data_state is DataState.EMPTY and problem == ""


def test_a_damaged_state_file_stops_the_agent(folder: Path) -> None:
    (folder / "state.json").write_text("{")
    with pytest.raises(BadVolume, match="state.json"):
        reopened(folder)


def test_a_state_of_a_later_format_stops_the_agent(folder: Path) -> None:
    reopened(folder)[0].update(lambda memory: replace(memory, format_version=2))
    with pytest.raises(BadVolume, match="another version"):
        reopened(folder)


def test_a_change_that_raises_changes_nothing(folder: Path) -> None:
    store, _ = reopened(folder)

    def refuse(memory: Memory) -> Memory:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.update(refuse)
    assert store.memory == FRESH and not (folder / "state.json").exists()


def test_the_oldest_results_are_forgotten() -> None:
    memory = FRESH
    for number in range(KEPT_OPERATIONS + 1):
        memory = memory.with_operation(replace(DONE, id=str(number)))
    assert memory.find("0") is None
    assert memory.find("1") is not None and memory.latest == replace(DONE, id=str(KEPT_OPERATIONS))


def test_two_agents_never_share_a_volume(folder: Path) -> None:
    lock_volume(folder, 0)
    with pytest.raises(BadVolume, match="in use"):
        lock_volume(folder, 0)
