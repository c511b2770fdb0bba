"""Commits over several shards in a small world where every answer may fail: all, or nothing.

The world has a first shard and two others. Each statement is answered, refused, lost before or
after it had its effect, or the gate dies on it; two of these in each run, in every combination.
Afterwards recovery ends what is prepared, as `mitosis_gate.recovery` does.
"""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from mitosis_gate.errors import BackendLost, CommitUnknown, MysqlError, TransactionLost
from mitosis_gate.executor.commit import Branch, Ending, Seen, State, Step, next_step
from mitosis_gate.executor.decisions import Outcome
from mitosis_gate.executor.xids import Xid, new_gtrid, recovered
from mitosis_gate.faults import Faults
from mitosis_routing.keyspace import SlotRange

OK, REFUSED, LOST_BEFORE, LOST_AFTER, DIES = range(5)
MOST_FAILURES = 2
GTRID = new_gtrid(SlotRange(0, 16))


class Died(BaseException):
    """The gate, in the middle of something."""


class World:
    """What the servers have, and the answers that they will give."""

    def __init__(self, choices: tuple[int, ...]) -> None:
        self._choices = choices
        self.asked = 0
        self.first = "open"
        self.has_row = False
        self.row: Outcome | None = None
        self.branches: dict[bytes, str] = {}
        self.noted: list[str] = []
        """Where the session was told of a COMMIT."""

    def note(self, connection: Any) -> None:
        self.noted.append(connection.shard)

    def choice(self) -> int:
        at, self.asked = self.asked, self.asked + 1
        chosen = self._choices[at] if at < len(self._choices) else OK
        if chosen == DIES:
            raise Died
        return chosen

    def recover(self) -> None:
        """Every connection is gone, then a gate settles what is left."""
        if self.first == "open":
            self.first = "rolled back"
        for name, state in self.branches.items():
            if state == "prepared":
                self.row = self.row or Outcome.ABORT
                done = "committed" if self.row is Outcome.COMMIT else "rolled back"
                self.branches[name] = done
            elif state in ("active", "ended"):
                self.branches[name] = "rolled back"


class FakeConnection:
    def __init__(self, world: World, name: bytes, wrote: bool) -> None:
        self.world = world
        self.shard = name.decode() or "first"
        self.name = name
        self.has_written = wrote
        self.alive = True
        self.busy = False
        if name:
            world.branches[name] = "active"

    def close(self, reason: str) -> None:
        self.alive = False
        if not self.name:
            if self.world.first == "open":
                self.world.first = "rolled back"
        elif self.world.branches[self.name] in ("active", "ended"):
            self.world.branches[self.name] = "rolled back"

    abandon = close

    async def query(self, sql: bytes) -> None:
        await asyncio.sleep(0)
        if not self.alive:
            raise BackendLost("closed")
        chosen = self.world.choice()
        if chosen in (OK, LOST_AFTER):
            self._carry_out(sql)
        if chosen == REFUSED:
            raise MysqlError(1105, "HY000", "refused")
        if chosen != OK:
            self.close("lost")
            raise BackendLost("lost")

    def _carry_out(self, sql: bytes) -> None:
        world = self.world
        if not self.name:
            if sql.startswith(b"CALL"):
                if world.row is not None:
                    raise MysqlError(1062, "23000", "duplicate")
                world.has_row = True
            elif sql == b"COMMIT":
                world.first = "committed"
                world.row = Outcome.COMMIT if world.has_row else world.row
            elif sql == b"ROLLBACK":
                world.first = "rolled back"
            return
        verb, state = sql.split(b" ")[1], world.branches[self.name]
        moves = {
            (b"END", "active"): "ended",
            (b"PREPARE", "ended"): "prepared",
            (b"ROLLBACK", "ended"): "rolled back",
            (b"ROLLBACK", "prepared"): "rolled back",
            (b"COMMIT", "ended" if b"ONE PHASE" in sql else "prepared"): "committed",
        }
        if (verb, state) not in moves:
            raise MysqlError(1399, "XAE07", f"{verb!r} in state {state}")
        world.branches[self.name] = moves[verb, state]


class FakeDecisions:
    """Another connection of the gate; it may stay out of reach."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.live: set[bytes] = set()

    async def ask_for(self, keyspace: str, xid: Xid, seconds: float) -> Outcome | None:
        if self.world.choice() != OK:
            return None
        assert self.world.first != "open", "the insert would wait"
        self.world.row = self.world.row or Outcome.ABORT
        return self.world.row

    async def carry_out_for(
        self, keyspace: str, shard: str, xid: Xid, outcome: Outcome, seconds: float
    ) -> bool:
        if self.world.choice() != OK:
            return False
        if self.world.branches[xid.bqual] == "prepared":
            done = "committed" if outcome is Outcome.COMMIT else "rolled back"
            self.world.branches[xid.bqual] = done
        return True


def run(choices: tuple[int, ...], first_wrote: bool, wrote: tuple[bool, ...]) -> World:
    """Run one commit and judge it."""
    world = World(choices)
    first: Any = FakeConnection(world, b"", first_wrote)
    others: list[Any] = [
        FakeConnection(world, f"{n}-{n + 1}".encode(), w) for n, w in enumerate(wrote, 1)
    ]
    branches = [Branch(c, Xid(GTRID, c.name)) for c in others]
    decisions: Any = FakeDecisions(world)
    ending = Ending(decisions, Faults({}), "shop", Branch(first), branches, 1.0, 20, world.note)
    told = "nothing"
    try:
        asyncio.run(ending.commit())
        told = "committed"
    except TransactionLost:
        told = "rolled back"
    except CommitUnknown:
        told = "unknown"
    except MysqlError:
        told = "refused"
    except Died:
        told = "nothing"
    assert not decisions.live
    if told == "committed":
        left = [s for s in world.branches.values() if s in ("active", "ended")]
        assert not left, "OK with a branch that is still open"
    world.recover()
    writers = [world.branches[c.name] for c, w in zip(others, wrote, strict=True) if w]
    if first_wrote:
        writers.append(world.first)
    assert len(set(writers)) <= 1, f"{choices}: {writers}, told {told}"
    if writers and told in ("committed", "rolled back"):
        assert set(writers) == {told}, f"{choices}: told {told}, is {writers}"
    return world


def runs(
    first_wrote: bool, wrote: tuple[bool, ...], chosen: tuple[int, ...] = (), failures: int = 0
) -> Iterator[tuple[int, ...]]:
    """All runs with at most so many failures, each judged."""
    asked = run(chosen, first_wrote, wrote).asked
    yield chosen
    if failures == MOST_FAILURES:
        return
    for at in range(len(chosen), asked):
        for failure in (REFUSED, LOST_BEFORE, LOST_AFTER, DIES):
            longer = chosen + (OK,) * (at - len(chosen)) + (failure,)
            yield from runs(first_wrote, wrote, longer, failures + 1)


@pytest.mark.parametrize("wrote", [(True, True), (True, False), (True,), (False, False)])
@pytest.mark.parametrize("first_wrote", [True, False])
def test_all_or_nothing_whatever_fails(first_wrote: bool, wrote: tuple[bool, ...]) -> None:
    assert sum(1 for _ in runs(first_wrote, wrote)) > 30


def test_without_failures_everything_is_committed() -> None:
    world = run((), True, (True, True))
    assert (world.first, set(world.branches.values())) == ("committed", {"committed"})
    assert world.row is Outcome.COMMIT
    assert sorted(world.noted) == ["1-2", "2-3", "first"]


def test_who_has_only_read_is_not_prepared_and_needs_no_decision() -> None:
    world = run((), True, (False, False))
    assert (world.first, world.row) == ("committed", None)
    world = run((), False, (True,))
    assert (world.branches, world.row) == ({b"1-2": "committed"}, None)


def every_state() -> Iterator[Seen]:
    states = (
        State.ACTIVE,
        State.ENDED,
        State.PREPARED,
        State.COMMITTED,
        State.ROLLED_BACK,
        State.GONE,
        State.DOUBTFUL,
        State.UNANSWERED,
        State.LEFT,
    )
    firsts = (*(s for s in State if s not in (State.ENDED, State.PREPARED, State.DOUBTFUL)),)
    branches = tuple(itertools.product(states, (True, False)))
    for first, first_wrote, has_failed, outcome, has_asked in itertools.product(
        firsts, (True, False), (True, False), (None, *Outcome), (True, False)
    ):
        for others in itertools.combinations_with_replacement(branches, 2):
            yield Seen(first, first_wrote, others, has_failed, outcome, has_asked)


def test_no_state_leads_across_the_decision() -> None:
    for seen in every_state():
        step = next_step(seen)
        states = [state for state, _ in seen.others]
        is_decided = seen.first is State.COMMITTED or seen.outcome is Outcome.COMMIT
        if is_decided:
            assert step in (Step.FINISH, Step.SUCCEEDED), seen
            continue
        assert step not in (Step.FINISH, Step.SUCCEEDED), seen
        if step in (Step.DECIDE, Step.COMMIT):
            assert not set(states) & {State.ACTIVE, State.GONE, State.DOUBTFUL, State.LEFT}, seen
            assert (State.ENDED, True) not in seen.others, seen
            assert not seen.has_failed and seen.outcome is None, seen
        if step is Step.COMMIT and State.PREPARED in states:
            assert seen.first is State.DECIDED, seen
        if seen.first is State.UNANSWERED and seen.outcome is None:
            assert step in (Step.ASK, Step.UNKNOWN), seen


def test_only_our_own_branches_are_recognised() -> None:
    xid = Xid(GTRID, b"16-32")
    format_id = int(xid.sql.rpartition(b",")[2])
    data = "0x" + (xid.gtrid + xid.bqual).hex().upper()
    assert recovered(format_id, len(xid.gtrid), data) == xid
    assert xid.first_slot == 0
    assert recovered(1, len(xid.gtrid), data) is None
    assert recovered(format_id, 4, "0x61626364") is None
