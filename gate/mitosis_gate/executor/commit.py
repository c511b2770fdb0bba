"""Commits a transaction over several shards: on all of them, or on none.

`next_step` decides, from what is known, what to do next; `Ending` does it and notes what came of
it. The order is that of docs/transactions.md:

    END -> READERS -> PREPARE -> DECIDE -> COMMIT -> FINISH

COMMIT on the first shard is the decision: before it everything leads to ROLL_BACK, from it on to
FINISH, and when its answer is lost to ASK. What cannot be reached any more is left to recovery.

Points where `faults` may strike: begun, ended, one-prepared, prepared, decided, committing,
committed, one-finished, finished.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from mitosis_gate import metrics
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import (
    BackendLost,
    CommitUnknown,
    GateError,
    MysqlError,
    PartlyDone,
    SeveralShards,
    TransactionLost,
)
from mitosis_gate.executor.decisions import UNKNOWN_XID, Decisions, Outcome
from mitosis_gate.executor.journal import Journal
from mitosis_gate.executor.xids import Xid
from mitosis_gate.faults import Faults
from mitosis_gate.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")


class State(Enum):
    ACTIVE = auto()
    ENDED = auto()
    """XA END was answered."""
    PREPARED = auto()
    DECIDED = auto()
    """First shard only: the row is written, in the open transaction."""
    COMMITTED = auto()
    ROLLED_BACK = auto()
    GONE = auto()
    """Its connection broke before anything was prepared or committed: the server rolls back."""
    DOUBTFUL = auto()
    """XA PREPARE was sent and not answered."""
    UNANSWERED = auto()
    """COMMIT was sent and not answered with OK."""
    LEFT = auto()
    """It may be prepared; recovery ends it."""


class Step(Enum):
    END = auto()
    READERS = auto()
    """End the branches that have not written."""
    ONE_PHASE = auto()
    """Only one branch of all has written: commit it."""
    PREPARE = auto()
    DECIDE = auto()
    COMMIT = auto()
    """On the first shard."""
    ASK = auto()
    FINISH = auto()
    ROLL_BACK = auto()
    SUCCEEDED = auto()
    FAILED = auto()
    UNKNOWN = auto()


@dataclass(frozen=True)
class Seen:
    """What is known of the transaction."""

    first: State
    first_wrote: bool
    others: tuple[tuple[State, bool], ...]
    """State, and whether it has written."""
    has_failed: bool = False
    """A server has refused a step before the decision."""
    outcome: Outcome | None = None
    """What the row of the decision says, after it was asked for."""
    has_asked: bool = False


_OPEN = frozenset({State.ACTIVE, State.ENDED, State.PREPARED, State.DECIDED, State.DOUBTFUL})


def next_step(seen: Seen) -> Step:
    states = [state for state, _ in seen.others]
    prepared = State.PREPARED in states
    if seen.outcome is Outcome.COMMIT or seen.first is State.COMMITTED:
        return Step.FINISH if prepared else Step.SUCCEEDED
    if seen.first is State.UNANSWERED and seen.outcome is None:
        return Step.ASK if prepared and not seen.has_asked else Step.UNKNOWN
    if State.UNANSWERED in states:
        return Step.ROLL_BACK if seen.first is State.ACTIVE else Step.UNKNOWN
    if _must_roll_back(seen, states):
        return Step.ROLL_BACK if _is_any_open(seen, states) else Step.FAILED
    return _forward(seen, states)


def _must_roll_back(seen: Seen, states: Sequence[State]) -> bool:
    lost = {State.GONE, State.DOUBTFUL, State.ROLLED_BACK, State.LEFT}
    first_lost = seen.first in (State.GONE, State.ROLLED_BACK, State.LEFT)
    aborted = seen.outcome is Outcome.ABORT
    return seen.has_failed or aborted or first_lost or any(s in lost for s in states)


def _is_any_open(seen: Seen, states: Sequence[State]) -> bool:
    if any(s in _OPEN for s in states):
        return True
    return seen.first in (State.ACTIVE, State.DECIDED)


def _forward(seen: Seen, states: Sequence[State]) -> Step:
    if State.ACTIVE in states:
        return Step.END
    if (State.ENDED, False) in seen.others:
        return Step.READERS
    writers = [s for s in states if s in (State.ENDED, State.PREPARED)]
    if len(writers) == 1 and writers[0] is State.ENDED and not seen.first_wrote:
        return Step.ONE_PHASE
    if State.ENDED in writers:
        return Step.PREPARE
    if writers and seen.first is State.ACTIVE:
        return Step.DECIDE
    return Step.COMMIT


@dataclass
class Branch:
    """One shard's part of a transaction; `xid` is None on the first shard."""

    connection: BackendConnection
    xid: Xid | None = None
    state: State = State.ACTIVE
    reads_only: bool = False
    """The transaction is READ ONLY."""
    is_tracked: bool = True
    """The server has told of its state from the beginning."""

    @property
    def shard(self) -> str:
        return self.connection.shard

    @property
    def has_written(self) -> bool:
        """In doubt True: a branch is then prepared for nothing, which does no harm."""
        if self.reads_only:
            return False
        return not self.is_tracked or self.connection.has_written


class Commits:
    """What the commits of all sessions of a process share."""

    def __init__(
        self,
        decisions: Decisions,
        journal: Journal,
        faults: Faults,
        hold_seconds: float,
        lock_wait_seconds: int,
        frozen_seconds: int,
    ) -> None:
        """`hold_seconds`: how long a client waits for what cannot be reached; `frozen_seconds`:
        how long a gate that is frozen can keep branches prepared."""
        self._decisions = decisions
        self._journal = journal
        self._faults = faults
        self._hold_seconds = hold_seconds
        self._frozen_seconds = frozen_seconds
        self.lock_wait_seconds = lock_wait_seconds
        """The longest wait for a row lock of a transaction over several shards."""

    @classmethod
    def of(
        cls, decisions: Decisions, settings: Settings, environment: Mapping[str, str]
    ) -> "Commits":
        return cls(
            decisions,
            Journal(settings.transaction_journal),
            Faults(environment),
            settings.hold_seconds,
            settings.lock_wait_seconds,
            settings.frozen_seconds,
        )

    def ending(
        self,
        keyspace: str,
        first: Branch,
        others: Sequence[Branch],
        committed: Callable[[BackendConnection], None],
    ) -> "Ending":
        """`committed` is called where a COMMIT has just been answered with OK."""
        return Ending(
            self._decisions,
            self._faults,
            keyspace,
            first,
            others,
            self._hold_seconds,
            self._frozen_seconds,
            committed,
        )

    async def snapshot(self, branches: Sequence[Branch]) -> None:
        """Plain branches of which one at most may have written."""
        writers = [b for b in branches if b.has_written]
        await roll_back([b for b in branches if b not in writers] if len(writers) < 2 else branches)
        if len(writers) > 1:
            raise SeveralShards(
                "a transaction WITH CONSISTENT SNAPSHOT has written on shards "
                f"{', '.join(b.shard for b in writers)} and can commit on one only: it is rolled "
                "back; begin without the snapshot"
            )
        for writer in writers:
            await commit_alone(writer.connection)

    async def serially(self, keyspace: str, branches: Sequence[Branch]) -> None:
        """Plain COMMITs, one after the other; raises PartlyDone when some are, and some not."""
        done: list[str] = []
        unknown: list[str] = []
        problem: GateError | None = None
        for at, branch in enumerate(branches):
            try:
                await branch.connection.query(b"COMMIT")
            except GateError as exc:
                problem = exc
                if isinstance(exc, MysqlError) and branch.connection.alive:
                    await roll_back(branches[at:])
                else:
                    branch.connection.close("COMMIT failed")
                    unknown.append(branch.shard)
                    await roll_back(branches[at + 1 :])
                break
            branch.state = State.COMMITTED
            done.append(branch.shard)
            await self._faults.at("one-committed")
        if problem is None:
            metrics.TRANSACTIONS.labels(outcome="committed serially").inc()
            return
        rolled_back = [b.shard for b in branches if b.shard not in (*done, *unknown)]
        if not done and not unknown:
            metrics.TRANSACTIONS.labels(outcome="rolled back").inc()
            raise problem
        metrics.TRANSACTIONS.labels(outcome="partly").inc()
        await self._journal.write(keyspace, done, unknown, rolled_back, problem.text)
        raise PartlyDone(
            f"the transaction is {_told(done, unknown, rolled_back)} ({problem.text}): complete "
            "it by hand, or use transaction_mode 'atomic'"
        ) from problem


def _told(done: Sequence[str], unknown: Sequence[str], rolled_back: Sequence[str]) -> str:
    parts = (
        ("committed on", done),
        ("unknown on", unknown),
        ("rolled back on", rolled_back),
    )
    return "; ".join(f"{what} {', '.join(names)}" for what, names in parts if names)


class Ending:
    """One COMMIT over several shards, run to its end whatever happens to the client."""

    def __init__(
        self,
        decisions: Decisions,
        faults: Faults,
        keyspace: str,
        first: Branch,
        others: Sequence[Branch],
        hold_seconds: float,
        frozen_seconds: int,
        committed: Callable[[BackendConnection], None],
    ) -> None:
        self._decisions = decisions
        self._faults = faults
        self._committed = committed
        self._frozen_seconds = frozen_seconds
        self._keyspace = keyspace
        self._first = first
        self._others = tuple(others)
        self._hold_seconds = hold_seconds
        self._problem: GateError | None = None
        self._has_failed = False
        self._outcome: Outcome | None = None
        self._has_asked = False
        self._was_decided = False
        self._steps: dict[Step, Callable[[], Awaitable[None]]] = {
            Step.END: self._end,
            Step.READERS: self._end_readers,
            Step.ONE_PHASE: self._commit_the_only_writer,
            Step.PREPARE: self._prepare,
            Step.DECIDE: self._decide,
            Step.COMMIT: self._commit,
            Step.ASK: self._ask,
            Step.FINISH: self._finish,
            Step.ROLL_BACK: self._roll_back,
        }

    async def commit(self) -> None:
        """Return when it is committed; raises TransactionLost and CommitUnknown."""
        gtrids = {b.xid.gtrid for b in self._others if b.xid is not None}
        self._decisions.live |= gtrids
        try:
            await self._run()
        finally:
            self._decisions.live -= gtrids

    async def _run(self) -> None:
        await self._faults.at("begun")
        while (step := next_step(self._seen())) in self._steps:
            await self._steps[step]()
        kind = "two phases" if self._was_decided else "one phase"
        if step is Step.SUCCEEDED:
            metrics.TRANSACTIONS.labels(outcome=f"committed in {kind}").inc()
            return
        if step is Step.FAILED:
            metrics.TRANSACTIONS.labels(outcome="rolled back").inc()
            why = self._problem.text if self._problem else "another gate has given it up"
            raise TransactionLost(
                f"the transaction is rolled back on all its shards: {why}; repeat it"
            ) from self._problem
        metrics.TRANSACTIONS.labels(outcome="unknown").inc()
        if isinstance(self._problem, MysqlError) and not self._in(State.PREPARED):
            raise self._problem  # only the first shard had something to commit
        why = self._problem.text if self._problem else "the connection broke"
        raise CommitUnknown(
            f"nobody knows yet whether the transaction on shards {self._shards()} was committed: "
            f"{why}. It will be on all of them or on none; look at the data before you repeat it"
        ) from self._problem

    def _shards(self) -> str:
        return ", ".join(b.shard for b in (self._first, *self._others))

    def _seen(self) -> Seen:
        return Seen(
            self._first.state,
            self._first.has_written,
            tuple((b.state, b.has_written) for b in self._others),
            self._has_failed,
            self._outcome,
            self._has_asked,
        )

    def _fail(self, problem: GateError) -> None:
        self._has_failed = True
        self._problem = self._problem or problem

    def _in(self, *states: State) -> list[Branch]:
        return [b for b in self._others if b.state in states]

    # the steps

    async def _end(self) -> None:
        await _each(self._in(State.ACTIVE), self._end_one)
        await self._faults.at("ended")

    async def _end_one(self, branch: Branch) -> None:
        await self._say(branch, b"XA END ", State.ENDED, if_lost=State.GONE)

    async def _end_readers(self) -> None:
        readers = [b for b in self._in(State.ENDED) if not b.has_written]
        await _each(readers, self._end_reader)

    async def _end_reader(self, branch: Branch) -> None:
        """What it has read was right when it was read, so that a loss now means nothing."""
        assert branch.xid is not None
        try:
            await branch.connection.query(b"XA COMMIT " + branch.xid.sql + b" ONE PHASE")
        except GateError:
            branch.connection.close("branch not ended")
        branch.state = State.COMMITTED

    async def _commit_the_only_writer(self) -> None:
        (branch,) = self._in(State.ENDED)
        await self._say(branch, b"XA COMMIT ", State.COMMITTED, State.UNANSWERED, b" ONE PHASE")

    async def _prepare(self) -> None:
        branches = self._in(State.ENDED)
        await asyncio.gather(self._limit_first(), *(self._prepare_one(b) for b in branches))
        await self._faults.at("prepared")

    async def _limit_first(self) -> None:
        first = self._first
        try:
            await first.connection.query(b"SET SESSION wait_timeout=%d" % self._frozen_seconds)
        except GateError as exc:
            if not first.connection.alive:
                first.state = State.GONE
            self._fail(exc)

    async def _prepare_one(self, branch: Branch) -> None:
        await self._say(branch, b"XA PREPARE ", State.PREPARED, if_lost=State.DOUBTFUL)
        await self._faults.at("one-prepared")

    async def _decide(self) -> None:
        xid = self._others[0].xid
        assert xid is not None
        sql = b"CALL mitosis.decide(%s,X'636F6D6D6974')" % xid.gtrid_sql
        try:
            await self._first.connection.query(sql)
            self._first.state = State.DECIDED
            self._was_decided = True
        except GateError as exc:
            if not self._first.connection.alive:
                self._first.state = State.GONE
            self._fail(exc)
        await self._faults.at("decided")

    async def _commit(self) -> None:
        """Any answer but OK leaves it open what the server has done."""
        await self._faults.at("committing")
        first = self._first
        try:
            await first.connection.query(b"COMMIT")
            first.state = State.COMMITTED
            self._committed(first.connection)
        except GateError as exc:
            first.connection.close("COMMIT failed")
            first.state = State.UNANSWERED
            self._problem = exc
        await self._faults.at("committed")

    async def _ask(self) -> None:
        xid = self._others[0].xid
        assert xid is not None
        self._outcome = await self._decisions.ask_for(self._keyspace, xid, self._hold_seconds)
        self._has_asked = True

    async def _finish(self) -> None:
        await asyncio.gather(
            _unlimit(self._first.connection),
            *(self._finish_one(b) for b in self._in(State.PREPARED)),
        )
        await self._faults.at("finished")

    async def _finish_one(self, branch: Branch) -> None:
        assert branch.xid is not None
        try:
            await branch.connection.query(b"XA COMMIT " + branch.xid.sql)
            branch.state = State.COMMITTED
            self._committed(branch.connection)
        except GateError as exc:
            branch.connection.close("XA COMMIT failed")
            is_there = exc.number != UNKNOWN_XID
            if is_there and not await self._finish_elsewhere(branch.shard, branch.xid):
                branch.state = State.LEFT
            else:
                branch.state = State.COMMITTED
        if branch.state is State.LEFT:
            log.error(
                "transaction %s is committed, and shard %s will show it when recovery reaches it",
                branch.xid,
                branch.shard,
            )
        await self._faults.at("one-finished")

    async def _finish_elsewhere(self, shard: str, xid: Xid) -> bool:
        """On another connection, and maybe another primary."""
        return await self._decisions.carry_out_for(
            self._keyspace, shard, xid, Outcome.COMMIT, self._hold_seconds
        )

    async def _roll_back(self) -> None:
        await roll_back([self._first, *self._others])
        await _unlimit(self._first.connection)

    async def _say(
        self, branch: Branch, verb: bytes, then: State, if_lost: State, more: bytes = b""
    ) -> None:
        assert branch.xid is not None
        try:
            await branch.connection.query(verb + branch.xid.sql + more)
            branch.state = then
        except BackendLost as exc:
            branch.state = if_lost
            self._problem = self._problem or exc
        except GateError as exc:
            self._fail(exc)


async def commit_alone(connection: BackendConnection) -> None:
    """The plain COMMIT of the only shard that matters; raises CommitUnknown."""
    try:
        if not connection.alive:
            raise BackendLost(f"the connection to shard {connection.shard} broke")
        await connection.query(b"COMMIT")
    except BackendLost as exc:
        raise CommitUnknown(
            f"nobody knows whether the transaction on shard {connection.shard} was committed: "
            f"{exc.text}; look at the data before you repeat it"
        ) from exc


async def _unlimit(first: BackendConnection) -> None:
    """Its next user may let it lie for as long as it likes."""
    if not first.alive:
        return
    try:
        await first.query(b"SET SESSION wait_timeout=DEFAULT")
    except GateError:
        first.close("wait_timeout not restored")


async def _each(branches: Sequence[Branch], work: Callable[[Branch], Awaitable[None]]) -> None:
    await asyncio.gather(*(work(branch) for branch in branches))


async def roll_back(branches: Sequence[Branch]) -> None:
    """Nothing of it stays; a connection that cannot say so is closed, which rolls back as well."""
    await _each(branches, _roll_back_one)


async def _roll_back_one(branch: Branch) -> None:
    state = branch.state
    if branch.xid is None:
        await _roll_back_plain(branch)
    elif state in (State.ACTIVE, State.ENDED, State.PREPARED):
        branch.state = await _roll_back_xa(branch, branch.xid)
    elif state is State.DOUBTFUL:
        branch.state = State.LEFT


async def _roll_back_plain(branch: Branch) -> None:
    if branch.state not in (State.ACTIVE, State.DECIDED):
        return
    connection = branch.connection
    branch.state = State.ROLLED_BACK
    if not connection.alive:
        return
    if connection.busy:
        connection.abandon("rolled back")
        return
    try:
        await connection.query(b"ROLLBACK")
    except GateError:
        connection.close("rollback failed")


async def _roll_back_xa(branch: Branch, xid: Xid) -> State:
    connection = branch.connection
    prepared = branch.state is State.PREPARED
    if not connection.alive or connection.busy:
        connection.abandon("rolled back")
        return State.LEFT if prepared else State.GONE
    try:
        if branch.state is State.ACTIVE:
            await _end_if_possible(connection, xid)
        await connection.query(b"XA ROLLBACK " + xid.sql)
    except GateError:
        connection.close("rollback failed")
        return State.LEFT if prepared else State.GONE
    return State.ROLLED_BACK


async def _end_if_possible(connection: BackendConnection, xid: Xid) -> None:
    """A branch that the server has rolled back by itself (deadlock) ends with an error."""
    try:
        await connection.query(b"XA END " + xid.sql)
    except MysqlError as exc:
        log.debug("XA END of %s: %s", xid, exc.text)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Finish what must not stop half way, also when the client goes; then be cancelled."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if (problem := task.exception()) is not None:
            log.error("%s", problem)
        raise
