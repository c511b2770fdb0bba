"""Reads of several shards that need no task: when that may be, and how they end.

The rules are those of `Executor.execute`, `Merger.run` and `Transaction.reading`. Where one of them
asks for more than to send and to merge, the statement goes that way from its beginning.
"""

import asyncio
from collections.abc import Sequence

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.pool import Lane
from mitosis_gate.backends.variables import Variables
from mitosis_gate.errors import GateError
from mitosis_gate.executor.gathering import MOST_SHARDS, Asker, Gathering
from mitosis_gate.executor.merging.whole import Whole
from mitosis_gate.planner import plan as plans
from mitosis_gate.planner.plan import Flag, Plan
from mitosis_gate.session.services import Services, Sessions
from mitosis_gate.session.watched import Watched
from mitosis_gate.wire import packets


class Gathered(Watched):
    __slots__ = ("_judged", "_outside_variables", "_was_handed_over")

    def __init__(
        self,
        services: Services,
        sessions: Sessions,
        connection_id: int,
        login: packets.Login,
        accounts: Sequence[Account],
        peer: str,
    ) -> None:
        super().__init__(services, sessions, connection_id, login, accounts, peer)
        self._was_handed_over = False
        """What was gathered goes on in a task that has not begun."""
        self._judged: Variables | None = None
        """The variables that `_outside_variables` is about."""
        self._outside_variables: Variables | None = None

    def _choose_replica_for(self, plan: Plan, sql: bytes) -> None:
        """Note what the statement is, for the way through a task."""
        raise NotImplementedError

    def _gather(self, plan: plans.Scatter | plans.Merge, sql: bytes) -> bool:
        """Send it at once to all its shards if nothing speaks against it; say whether it was."""
        merger = self._services.merger
        if merger is None:
            return False
        if self._kept is not None:
            self._release_kept()
        lanes = self._ready_lanes(plan)
        if lanes is None or not merger.turns.try_take():
            return False
        self._answered = self._forwarded = False
        self._messages = []
        self._task = Gathering(self._as_asker(), merger, plan, sql, lanes)
        return True

    def _as_asker(self) -> Asker:
        return self  # type: ignore[return-value]  # whole only as a Session

    def _ready_lanes(self, plan: plans.Scatter | plans.Merge) -> list[Lane] | None:
        """None: there is something to wait for, or to do before or behind the statement."""
        transaction = self._transaction
        if (
            plan.flags is not Flag.NONE
            or len(plan.shards) > MOST_SHARDS
            or transaction.waits
            or transaction.bound is not None
            or self._replica_reads is not None
            or self._own.get("gate_scatter", "allow") != "allow"
            or self.write_blocked_at
        ):
            return None
        wanted = self._variables
        if self._judged is not wanted:
            self._judge(wanted)
        outside = self._outside_variables
        if outside is None:
            return None
        topology, home = self._services.topology, self._home
        known = self._lanes.lanes  # type: ignore[union-attr]  # fresh, see _query
        lanes = []
        for index in plan.shards:
            lane = known[index]
            if lane is None or not lane.idle or not topology.is_clear(home, lane.shard):
                return None
            applied = lane.idle[-1].applied
            if applied is not wanted and applied is not outside:
                return None
            lanes.append(lane)
        return lanes

    def _judge(self, wanted: Variables) -> None:
        """Learn which variables a connection must have that is ready for such a statement.

        None can be while each statement begins a transaction, or gives a part of its rows only.
        """
        self._judged = wanted
        is_plain = wanted.autocommit and wanted.get("sql_select_limit") is None
        self._outside_variables = wanted.without("autocommit") if is_plain else None

    # how it ends

    def gathered(self, whole: Whole, rows: Sequence[bytes]) -> None:
        self._task = None
        self._put_whole(whole.head, rows)
        self.rows_sent = len(rows)
        self._note_task()
        if self._has_input:
            self._next_commands()
        if self._ends_after is not None:
            self._end_if_free()

    def handed_over(self, gathering: Gathering) -> None:
        connections = gathering.connections
        self._borrowed.update(connections)
        self._outside.update(connections)
        self._was_handed_over = True
        self._start(self._go_on(gathering))

    async def _go_on(self, gathering: Gathering) -> None:
        self._was_handed_over = False
        self._choose_replica_for(gathering.plan, gathering.sql)
        await gathering.go_on()

    def _cancel_task(self) -> None:
        """The client is gone. A task that was cancelled before it began would give nothing back."""
        if self._task is not None and not self._was_handed_over:
            self._task.cancel()

    # what others do to it

    def interrupt_soon(
        self, problem: GateError | None, reason: str = "kill"
    ) -> asyncio.Task[None] | None:
        if isinstance(self._task, Gathering):
            self._task.hand_over()
        return super().interrupt_soon(problem, reason)

    def _at_work(self) -> set[BackendConnection]:
        found = super()._at_work()
        if isinstance(self._task, Gathering):
            found.update(self._task.connections)
        return found
