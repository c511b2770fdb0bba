"""The compiled relay and the plain one: the same attributes, the same bytes, the same state."""

import gc
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from keyspaces import KEYSPACES, SCHEMA
from relay_scenario import World, telling_ok

from mitosis_gate import relay
from mitosis_gate.backends.connection import BackendConnection as Connection
from mitosis_gate.planner import lexer
from mitosis_gate.relay import plain
from mitosis_gate.session import Session
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import frame

SCENARIO = Path(__file__).parent.parent / "support" / "relay_scenario.py"
STEPS = 800
INSIDE = c.STATUS_AUTOCOMMIT | c.STATUS_IN_TRANS
STATEMENTS = 60_000
STATES = (
    "SessionState",
    "BackendState",
    "ScannerState",
    "LaneState",
    "BranchesState",
    "LanesState",
    "PlannerState",
    "PointState",
    "PoolState",
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


def test_a_transaction_on_one_shard_stays_in_the_compiled_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Servers tell the state of the transaction at BEGIN and COMMIT."""
    world = World(SCHEMA, KEYSPACES["one shard"], seed=1)
    session = world.session
    session._strips = True  # a client that does not track its session
    prefix = b"\x03\0\1" if world.names else b"\x03"

    def ok(status: int, state: bytes = b"") -> bytes:
        plain = packets.Ok(0, 0, status)
        entry = b"\x05\x09\x08" + state
        return frame(telling_ok(plain, b"", entry) if state else plain.pack(), 1)

    def answer(data: bytes) -> None:
        connection = session._active
        assert connection is not None
        connection.data_received(data)

    for name, owner in (("take", Session), ("carry_out", Session), ("take_answer", Connection)):
        monkeypatch.setattr(owner, name, lambda *_: pytest.fail("it was left to Python"))
    # the planner learns a shape when it comes for the second time
    for text in (b"BEGIN", b"COMMIT", b"UPDATE users SET name = 'y' WHERE user_id = 5"):
        for _ in range(3):
            world.planners["shop"].route(text)
    session.data_received(frame(prefix + b"BEGIN", 0))
    session.data_received(frame(prefix + b"UPDATE users SET name = 'y' WHERE user_id = 5", 0))
    answer(ok(INSIDE, b"T_______"))
    answer(ok(INSIDE))
    session.data_received(frame(prefix + b"COMMIT", 0))
    answer(ok(c.STATUS_AUTOCOMMIT, b"________"))
    sent = [line for line in world.log if line.startswith("client")]
    assert sent == [f"client.write{(ok(s),)}" for s in (INSIDE, INSIDE, c.STATUS_AUTOCOMMIT)]
    assert not session.in_transaction and all(one.is_idle for one in world.connections)


PIECES = (
    *("a", "id", "IN", "in", "x", "N", "_utf8", "t.c", "t.`c`", "t.*", "1a", "e5", "é", "@v", "$"),
    *("0", "7", "42", "5.5", ".5", "1e5", "0x1F", "''", "'a'", "'a b'", "'\\\\'", "'it''s'", '"q"'),
    *(
        "`n`",
        "`a``b`",
        "(",
        ")",
        "(",
        ")",
        ",",
        ",",
        "=",
        "<",
        ">=",
        "*",
        "+",
        "-",
        "- ",
        "--",
        "-- ",
    ),
    *("/", "/*", "*/", "#", "?", ";", "%", "!", " ", " ", " ", " ", "\n", "\t", ".", ":", "|"),
)


def texts_of(sql: bytes) -> tuple[tuple[bytes, ...], list[bytes]] | None:
    """As the planner cuts it."""
    try:
        shape = lexer.shape_of(sql)
    except lexer.BadSql:
        return None
    return shape.texts, shape.literals


def test_one_shape_of_the_relay_is_one_shape_of_the_planner() -> None:
    """Or its literals are never those of the planner, so that no plan is remembered by it."""
    source = random.Random(7)
    known: dict[bytes, tuple[bytes, ...] | None] = {}
    shared = 0
    for _ in range(STATEMENTS):
        start = source.choice(("", "a IN (", "id = ", "SELECT "))
        sql = (start + "".join(source.choices(PIECES, k=source.randrange(1, 6)))).encode()
        seen = relay.shape_of(sql)
        if seen is None:
            continue
        text, literals = seen
        cut = texts_of(sql)
        texts = cut[0] if cut is not None and cut[1] == literals else None
        shared += text in known and texts is not None
        assert known.setdefault(text, texts) == texts, sql
    assert shared > STATEMENTS // 50


@pytest.mark.parametrize(
    "sql",
    [b"a 'it''s'", rb"'\\'", b"N'x'", b"1e5", b"a -- b", b"a /* b", b"@v", b"?", b"5.5", b"x'1"],
)
def test_what_must_be_read_with_care_is_left_to_the_planner(sql: bytes) -> None:
    assert relay.shape_of(sql) is None


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
    assert not any(type(found) in (Held, State) for found in gc.get_objects())


def test_what_was_not_set_is_none_and_what_is_deleted_is_missing() -> None:
    state = relay.LaneState()
    assert state.pool is None
    del state.pool
    with pytest.raises(AttributeError):
        state.pool  # noqa: B018
