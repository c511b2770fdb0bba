"""Wrong bytes in every order: nobody gets in, nothing breaks, the others are served."""

import pytest
from fuzzing import CAPABILITIES, World, a_login, greeted
from protocol_fuzz import resident_bytes, run

from mitosis_gate.server import Entrance
from mitosis_gate.session import Session
from mitosis_gate.wire.codec import frame

INPUTS = 3_000
SEEDS = range(1, 7)
GROWTH_BYTES = 32 << 20


@pytest.mark.parametrize("seed", SEEDS)
async def test_wrong_bytes_do_no_harm(seed: int) -> None:
    assert await run(seed * 1_000_000, INPUTS) == []


async def test_memory_does_not_grow_with_wrong_bytes() -> None:
    assert await run(8_000_000, INPUTS) == []
    before = resident_bytes()
    assert await run(9_000_000, 2 * INPUTS) == []
    assert resident_bytes() - before < GROWTH_BYTES


@pytest.mark.parametrize("cut", range(1, 120))
async def test_a_login_is_the_same_wherever_it_is_cut(cut: int) -> None:
    with World() as world:
        wire = world.client()
        data = frame(a_login(greeted(wire)).pack(), 1)
        wire.feed(data[:cut])
        wire.feed(data[cut:])
        assert wire.payloads()[-1][:1] == b"\0"


@pytest.mark.parametrize("cut", range(1, 45))
async def test_a_statement_is_the_same_wherever_it_is_cut(cut: int) -> None:
    with World() as world:
        wire = world.member(capabilities=CAPABILITIES)
        data = frame(b"\x03SELECT name FROM users WHERE user_id = 7", 0)
        wire.feed(data[:cut])
        wire.feed(data[cut:])
        await world.rest(wire)
        assert [p[:1] for p in wire.payloads()] == [b"\x01", b"\x03", *[b"\x01"] * 3, b"\xfe"]


async def test_what_is_wrong_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Session, payload: bytes) -> None:
        raise KeyError("planted")

    monkeypatch.setattr("mitosis_gate.session.session._HANDLERS", {0x0E: broken})
    with pytest.raises(KeyError):
        await run(1, INPUTS)


async def test_an_answer_before_the_login_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = Entrance._refuse

    def talkative(self: Entrance, problem: object) -> None:
        self._send(b"\0\0\0\2\0\0\0")
        refuse(self, problem)  # type: ignore[arg-type]

    monkeypatch.setattr(Entrance, "_refuse", talkative)
    assert any("an answer before the login" in problem for problem in await run(1, 500))


async def test_a_lock_stays_with_its_session_when_it_cannot_be_looked_at() -> None:
    """The fake server gives no sensible answer to the questions behind GET_LOCK."""
    with World() as world:
        wire = world.member(capabilities=CAPABILITIES)
        for command in (b"\x03SELECT GET_LOCK('a', 1)", b"\x16SELECT 1", b"\x16SELECT 2"):
            wire.feed(frame(command, 0))
            await world.rest(wire)
        (session,) = world.server.sessions.values()
        (pinned,) = set(session._pins.values())
        assert not pinned.is_idle
        assert session._transaction.bound is pinned
