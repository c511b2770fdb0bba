"""The compiled relay and the plain one: the same attributes, the same bytes, the same state."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mitosis_gate import relay
from mitosis_gate.relay import plain

SCENARIO = Path(__file__).parent.parent / "support" / "relay_scenario.py"
STEPS = 800
STATES = (
    "SessionState",
    "BackendState",
    "ScannerState",
    "LaneState",
    "BranchesState",
    "StatementState",
)


def told(seed: int, is_plain: bool) -> list[str]:
    environment = {**os.environ, relay.PLAIN: "1" if is_plain else "0"}
    done = subprocess.run(
        [sys.executable, str(SCENARIO), str(seed), str(STEPS)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_is_compiled_where_the_tests_run() -> None:
    assert relay.IS_COMPILED, "run `make setup`: it compiles, or says what is missing"


@pytest.mark.parametrize("name", STATES)
def test_both_have_the_same_attributes(name: str) -> None:
    slots = getattr(plain, name).__slots__
    compiled = getattr(relay, name)
    assert compiled is not getattr(plain, name)
    members = [
        name
        for name, found in vars(compiled).items()
        if type(found).__name__ == "member_descriptor"
    ]
    assert sorted(members) == sorted(slots)


@pytest.mark.parametrize("seed", range(1, 5))
def test_nobody_sees_whether_it_is_compiled(seed: int) -> None:
    plain_lines, lines = told(seed, is_plain=True), told(seed, is_plain=False)
    for at, (expected, found) in enumerate(zip(plain_lines, lines, strict=True)):
        assert found == expected, "\n".join(lines[max(0, at - 8) : at])
    forwarded = [line for line in lines if line.startswith("backend") and "SELECT" in line]
    assert len(forwarded) > STEPS // 20


def test_a_state_gives_back_what_it_held() -> None:
    class Held:
        pass

    class State(relay.SessionState):
        __slots__ = ("more",)

    for _ in range(100):
        state = State()
        state._packet = state.more = Held()
        state._active = state  # a cycle
    del state
    gc.collect()
    assert not any(isinstance(found, Held | State) for found in gc.get_objects())


def test_what_was_not_set_is_none_and_what_is_deleted_is_missing() -> None:
    state = relay.LaneState()
    assert state.pool is None
    del state.pool
    with pytest.raises(AttributeError):
        state.pool  # noqa: B018
