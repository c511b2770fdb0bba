"""Statements that were planned under a picture of the schema that is not the one in force.

Three things show it. A shard refuses a statement as if the schema were another one (1054, 1136,
1146); the planner refuses it by what it knows; or the statement had to wait between its plan and
its way to a shard, and another planner is in force by then. In the first two cases the epoch of the
schema is looked at before the client is told: when the schema was current the error goes on as it
came, else the statement is planned once more. All three only while nothing of the statement was
done and nothing of its answer is with the client; the third is also what keeps a statement from a
table that changes (`executor.ddl_jobs`).
"""

from collections.abc import Coroutine

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import (
    OTHER_SCHEMA,
    MysqlError,
    Refused,
    SchemaChanged,
    TransactionLost,
)
from mitosis_gate.planner.build import Planner
from mitosis_gate.session.forwarding import Forwarding
from mitosis_gate.wire.packets import Ok


class Replanning(Forwarding):
    __slots__ = ()

    # errors that may come from an old picture

    def _is_turned_away(
        self, connection: BackendConnection, error: MysqlError, data: bytes
    ) -> bool:
        if super()._is_turned_away(connection, error, data):
            return True
        is_alone = self._relayed is None and self._task is None and not self._forwarded
        if error.number not in OTHER_SCHEMA or not is_alone or not self._may_be_old():
            return False
        if not self._is_kept(connection):
            self._borrowed.add(connection)
        self._start(self._told_or_planned_anew(connection, data))
        return True

    def _may_be_old(self) -> bool:
        """Whether the command that runs may be planned once more; a second time it may not."""
        planner = self._planner
        command = self._packet or self._execution
        if planner is None or len(planner.table.shards) == 1 or self._in_batch:
            return False
        if not self._is_known() or command is self._put_off:
            return False
        self._put_off = command
        return True

    def _is_kept(self, connection: BackendConnection) -> bool:
        return self._transaction.holds(connection) or self.is_pinned(connection)

    async def _told_or_planned_anew(self, connection: BackendConnection, data: bytes) -> None:
        """`data`: the error, as it goes to the client when the schema was current."""
        is_newer = await self._is_newer(self._planner)
        self._borrowed.discard(connection)
        if not is_newer:
            self._answered = True
            Forwarding.answer_end(self, connection, data)
            return
        if self._is_kept(connection) or connection.in_transaction:
            self._transaction.settle(connection)
        else:
            self._services.topology.give_back(connection)
        await self._carry_out_again()

    async def _is_newer(self, planner: Planner | None) -> bool:
        """Whether the schema is not the one that this planner knows."""
        if planner is None or len(planner.table.shards) == 1:
            return False
        return await self._services.planners.is_newer(self._home, planner)

    async def _planned_anew(self, work: Coroutine[None, None, None]) -> None:
        try:
            await super()._planned_anew(work)
        except (MysqlError, Refused) as exc:
            began = self._answered or self._forwarded or self._active is not None
            if began or not self._did_nothing(exc) or not self._may_be_old():
                raise
            if not await self._is_newer(self._planner):
                raise
        else:
            return
        await super()._planned_anew(self._carry_out_again())

    def _did_nothing(self, problem: MysqlError | Refused) -> bool:
        if isinstance(problem, Refused):
            return not isinstance(problem, TransactionLost)
        return problem.nothing_done or (self._reads and problem.number in OTHER_SCHEMA)

    # statements that had to wait

    async def borrow(self, shard: str) -> BackendConnection:
        connection = await super().borrow(shard)
        self._must_be_current(connection)
        return connection

    async def _hand_over(self, connection: BackendConnection, packet: bytes, expect: int) -> None:
        self._must_be_current(connection)
        await super()._hand_over(connection, packet, expect)

    async def _passed_on(
        self, connection: BackendConnection, packet: bytes, expect: int
    ) -> Ok | None:
        if not self.is_pinned(connection):  # what pins it is noted before the statement is sent
            self._must_be_current(connection)
        return await super()._passed_on(connection, packet, expect)

    def _must_be_current(self, connection: BackendConnection) -> None:
        """Called where something was waited for, with the connection that the statement is for."""
        planner = self._planner
        if planner is None or not (self._packet or self._execution):
            return
        if self._planner_of(self._home) is planner:
            return
        if connection in self._borrowed and not self._is_kept(connection):
            self._borrowed.discard(connection)
            self._services.topology.give_back(connection)
        raise SchemaChanged(
            f"the schema of {self._home} changed while the statement waited for shard "
            f"{connection.shard}: repeat"
        )
