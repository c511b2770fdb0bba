"""PREPARE, EXECUTE and DEALLOCATE PREPARE as text.

The statement is the session's, as text. An execution writes the values of its user variables into
it and is then carried out like any statement that the client sends, so that it may go to another
shard each time.
"""

from collections.abc import Sequence

from mitosis_gate.backends.account import Account
from mitosis_gate.errors import MysqlError, TooManyStatements, UnknownStatement, WrongArguments
from mitosis_gate.planner import plan as plans
from mitosis_gate.planner.lexer import unquoted
from mitosis_gate.planner.pinning import PROCEDURE, USER_VARIABLE
from mitosis_gate.session.prepared import Prepared, pieces_of, titles_of, written
from mitosis_gate.session.services import Services
from mitosis_gate.session.variables import read_variables
from mitosis_gate.wire import packets, statements
from mitosis_gate.wire.codec import frame


class Named:
    """A statement that was prepared as text."""

    __slots__ = ("pieces", "titles")

    def __init__(self, sql: bytes, titles: tuple[str, ...]) -> None:
        self.pieces = pieces_of(sql)
        self.titles = titles

    @property
    def parameters(self) -> int:
        return len(self.pieces) - 1


class NamedStatements(Prepared):
    __slots__ = ("_named",)

    def __init__(
        self,
        services: Services,
        connection_id: int,
        login: packets.Login,
        accounts: Sequence[Account],
        peer: str,
    ) -> None:
        super().__init__(services, connection_id, login, accounts, peer)
        self._named: dict[str, Named] = {}

    def _forget_statements(self) -> None:
        super()._forget_statements()
        self._named.clear()

    async def _prepare_named(self, plan: plans.TextPrepare) -> None:
        """A name that is in use loses its statement, also when the new one is wrong."""
        self._named.pop(plan.name, None)
        if len(self._named) >= self._services.settings.max_statements:
            raise TooManyStatements(
                f"this connection has {len(self._named)} prepared statements: deallocate some"
            )
        sql = plan.sql
        if plan.variable:
            (value,) = await self._values_of([plan.variable])
            sql = unquoted(value) if value[:1] in (b"'", b'"') else value
        _, _, answer = await self._described(sql)
        titles = titles_of(answer) if b"?" in sql else ()
        self._named[plan.name] = Named(sql, titles)
        self.send_ok(info=b"Statement prepared")

    def _deallocate(self, plan: plans.TextDeallocate) -> None:
        if self._named.pop(plan.name, None) is None:
            raise _unknown(plan.name, "DEALLOCATE PREPARE")
        self.send_ok()

    async def _execute_named(self, plan: plans.TextExecute) -> None:
        named = self._named.get(plan.name)
        if named is None:
            raise _unknown(plan.name, "EXECUTE")
        if len(plan.values) != named.parameters:
            raise WrongArguments("Incorrect arguments to EXECUTE")
        literals = await self._values_of(plan.values)
        sql = written(named.pieces, literals)
        planner = await self._refresh()
        inner = planner.route(sql, self._variant)
        if isinstance(inner, plans.TextPrepare | plans.TextExecute | plans.TextDeallocate):
            raise MysqlError(
                1295,
                "HY000",
                "This command is not supported in the prepared statement protocol yet",
            )
        self._titles = named.titles
        if named.titles and isinstance(inner, plans.OneShard | plans.AnyShard):
            await self._renamed(inner, sql)
            return
        packet = frame(statements.pack_query(sql, self._names), 0)
        await self._carry_out_later(inner, sql, packet)

    async def _renamed(self, plan: plans.OneShard | plans.AnyShard, sql: bytes) -> None:
        """A column shows a `?`, and would show the value in the answer of a server."""
        index = plan.shard if isinstance(plan, plans.OneShard) else self._choose(plan)
        self._release_kept()
        connection = await self._connection(self.table.shards[index].name, plan.flags)
        try:
            stream = await connection.stream(sql)
            try:
                self.begin_rows(stream.columns)
                async for rows in stream:
                    await self.send_rows(rows)
                if stream.ok.warnings:
                    await self.note_warnings(connection)
                self.end_rows(stream.ok.warnings)
            finally:
                stream.abandon()
        finally:
            self.give_back(connection)

    async def _values_of(self, names: Sequence[str]) -> list[bytes]:
        """User variables as literals: those of the session, or of the connection that has them."""
        pinned = self._pins.get(USER_VARIABLE) or self._pins.get(PROCEDURE)
        if pinned is None or not self._on_connection.intersection(names):
            return [self._variables.get("@" + name) or b"NULL" for name in names]
        connection = await self.backend(pinned.shard)
        try:
            found = await read_variables(connection, names)
        finally:
            self.give_back(connection)
        return [found[name] for name in names]


def _unknown(name: str, command: str) -> UnknownStatement:
    return UnknownStatement(f"Unknown prepared statement handler ({name}) given to {command}")
