"""Prepared statements of a session: prepared where they are needed, passed on in binary."""

from collections.abc import Sequence
from dataclasses import dataclass

from mitosis_gate import clock
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.variables import Variables
from mitosis_gate.errors import (
    BackendLost,
    GateError,
    MysqlError,
    PacketTooLarge,
    TooManyStatements,
    UnknownStatement,
    WrongArguments,
)
from mitosis_gate.planner import plan as plans
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.lexer import shape_of
from mitosis_gate.planner.pinning import pinning_of
from mitosis_gate.planner.plan import Flag, Plan
from mitosis_gate.relay import StatementState
from mitosis_gate.session.forwarding import FIRST, WRITES
from mitosis_gate.session.last import definitions
from mitosis_gate.session.replanning import Replanning
from mitosis_gate.session.services import Services
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets, statements
from mitosis_gate.wire.codec import Splitter, frame, read_int
from mitosis_gate.wire.scanner import Expect

NEEDS_TASK = Flag.COMMITS | Flag.PINS | Flag.LAST | Flag.VARIABLES | Flag.CLOCK
NEEDS_EXECUTOR = Flag.COMMITS | Flag.CLOCK


class _AtOnce(dict[Flag, bool]):
    def __missing__(self, flags: Flag) -> bool:
        self[flags] = not flags & NEEDS_TASK
        return self[flags]


AT_ONCE = _AtOnce()
"""By the flags of a plan for one shard: whether it needs no task."""
ALSO_AS_TEXT = NEEDS_EXECUTOR | Flag.PINS | Flag.LAST
"""What is known only when the values are."""
CURSOR = "cursor"


@dataclass(frozen=True)
class Cursor:
    """Rows of an execution that wait on a server to be fetched."""

    connection: BackendConnection
    key: object
    """Of the server's statement, which nobody else uses meanwhile."""
    pin: str


class Statement(StatementState):
    """A prepared statement of the client."""

    __slots__ = ("_pieces", "number", "titles")

    def __init__(self, number: int, sql: bytes, planner: Planner, planned: plans.Prepared) -> None:
        self.number = number
        self.sql = sql
        self.planner = planner
        self.planned = planned
        self.types: bytes | None = None
        self.long_data: dict[int, bytes] = {}
        self.problem: GateError | None = None
        """What went wrong with long data, which has no answer of its own."""
        self.titles: tuple[str, ...] = ()
        """Names of its columns, if one of them shows a `?`."""
        self.cursor: Cursor | None = None
        self.key: tuple[bytes, Variables] | None = None
        """By which connections with these variables know it, when that was asked last."""
        self._pieces: tuple[bytes, ...] | None = None

    def text(self, literals: Sequence[bytes], is_unsigned: Sequence[bool] = ()) -> bytes:
        """The statement with its parameters written out.

        An unsigned number is cast where it meets a minus: as a plain literal it would be signed.
        """
        if self._pieces is None:
            self._pieces = pieces_of(self.sql)
        pieces = self._pieces
        cast = [
            b"CAST(" + literal + b" AS UNSIGNED)"
            if place < len(is_unsigned) and is_unsigned[place] and _meets_minus(pieces, place)
            else literal
            for place, literal in enumerate(literals)
        ]
        return written(pieces, cast)


def _meets_minus(pieces: Sequence[bytes], place: int) -> bool:
    return pieces[place].rstrip().endswith(b"-") or pieces[place + 1].lstrip().startswith(b"-")


def written(pieces: Sequence[bytes], literals: Sequence[bytes]) -> bytes:
    """The literals between the pieces."""
    parts = [pieces[0]]
    for literal, after in zip(literals, pieces[1:], strict=True):
        parts += (_apart(parts[-1], literal), b" " if _is_word(after[:1]) else b"", after)
    return b"".join(parts)


def pieces_of(sql: bytes) -> tuple[bytes, ...]:
    """What stands between the `?` of a statement."""
    shape = shape_of(sql)
    pieces = [b""]
    for text, literal in zip(shape.texts, [*shape.literals, b""], strict=True):
        pieces[-1] += text
        if literal == b"?":
            pieces.append(b"")
        else:
            pieces[-1] += literal
    return tuple(pieces)


def _apart(before: bytes, literal: bytes) -> bytes:
    """`LIMIT?` must not become `LIMIT5`, nor `-?` the beginning of a comment."""
    return b" " + literal if _is_word(before[-1:]) or before[-1:] == b"-" else literal


def _is_word(character: bytes) -> bool:
    return character.isalnum() or character in (b"_", b"$") or character > b"\x7f"


class Prepared(Replanning):
    __slots__ = ("_next_statement", "_splitter")

    def __init__(
        self,
        services: Services,
        connection_id: int,
        login: packets.Login,
        accounts: Sequence[Account],
        peer: str,
    ) -> None:
        super().__init__(services, connection_id, login, accounts, peer)
        self._splitter = Splitter(services.settings.max_packet_bytes)
        self._statements: dict[int, Statement] = {}
        self._next_statement = 1

    async def _carry_out_later(self, plan: Plan, sql: bytes, packet: bytes) -> None:
        """Any plan of a text."""
        raise NotImplementedError

    def _prepare(self, payload: bytes) -> None:
        self._start(self._prepare_later(payload[1:]))

    async def _prepare_later(self, sql: bytes) -> None:
        if len(self._statements) >= self._services.settings.max_statements:
            raise TooManyStatements(
                f"this connection has {len(self._statements)} prepared statements: close some"
            )
        planner, planned, answer = await self._described(sql)
        statement = Statement(self._next_statement, sql, planner, planned)
        self._next_statement += 1
        self._statements[statement.number] = statement
        if b"?" in sql:
            statement.titles = titles_of(answer)
        self._answered = True
        self._put(answer[:5] + statement.number.to_bytes(4, "little") + answer[9:])

    async def _described(self, sql: bytes) -> tuple[Planner, plans.Prepared, bytes]:
        """What a server answers to PREPARE; raises its error or that of the planner."""
        planner = await self._refresh()
        planned = planner.prepare(sql, self._variant)
        where = planned.describe
        if isinstance(where, plans.Refuse) and await self._is_newer(planner):
            planner = await self._refresh()
            planned = planner.prepare(sql, self._variant)
            where = planned.describe
        if isinstance(where, plans.Refuse):
            where = self._where_to_describe(sql, planner, planned, where)
        if self._kept is not None:
            await self._remember(self._kept)
        self._release_kept()
        shard = self.table.shards[self._choose(where)].name
        elsewhere = self.in_transaction and self.bound_shard not in (None, shard)
        outside = elsewhere or self._transaction.has_begun_nowhere
        connection = await self.backend(shard, outside=outside)
        try:
            _, answer = await connection.prepare((sql, connection.applied), sql)
        finally:
            self.give_back(connection)
            self._last = None  # it cannot say any more what the statement before left
        return planner, planned, answer

    def _where_to_describe(
        self, sql: bytes, planner: Planner, planned: plans.Prepared, refusal: plans.Refuse
    ) -> plans.AnyShard:
        """Some statements are refused only because a value is not known yet."""
        if planned.parameters:
            probe = b"1".join(pieces_of(sql))
            if not isinstance(planner.route(probe, self._variant), plans.Refuse):
                anywhere = planner.prepare(b"DO 0", self._variant).describe
                if isinstance(anywhere, plans.AnyShard):
                    return anywhere
        raise MysqlError(refusal.code, refusal.sqlstate, refusal.message)

    def _statement(self, payload: bytes) -> Statement:
        number = int.from_bytes(payload[1:5], "little")
        statement = self._statements.get(number)
        if statement is None or len(payload) < 5:
            raise UnknownStatement(f"Unknown prepared statement handler ({number}) given")
        return statement

    def _execute(self, payload: bytes) -> None:
        statement = self._statement(payload)
        if statement.problem is not None:
            problem, statement.problem = statement.problem, None
            raise problem
        self.began_at = clock.now
        self._execution = b"" if statement.long_data else payload
        lanes = self._lanes
        planner = self._planner_of(self._home)
        if lanes is None or not lanes.current or planner is None or planner is not self._planner:
            self._start(self._execute_later(statement, payload))
            return
        sent, plan = self._planned(statement, payload, planner)
        if type(plan) is plans.OneShard and AT_ONCE[plan.flags]:
            at_once = not statement.long_data and not sent.wants_cursor and not statement.cursor
            if at_once and self._execute_at_once(statement, sent, plan.shard):
                return
        self._start(self._execute_planned(statement, sent, plan))

    def _planned(
        self, statement: Statement, payload: bytes, planner: Planner
    ) -> tuple[statements.Execution, Plan]:
        if statement.planner is not planner:
            statement.planned = planner.prepare(statement.sql, self._variant)
            statement.planner = planner
        planned = statement.planned
        sent = statements.execution(payload, planned.parameters, self._names, statement.types)
        statement.types = sent.types
        values: list[statements.Value] = []
        if planned.needed:
            values = statements.values(sent, planned.needed, self._names, statement.long_data)
        return sent, planned.route(values)

    def _execute_at_once(
        self, statement: Statement, sent: statements.Execution, index: int
    ) -> bool:
        lane = self._lanes.lanes[index]  # type: ignore[union-attr]  # fresh, see _execute
        if lane is None:
            return False
        self._release_kept()
        candidate = self._transaction.bound or (lane.idle[-1] if lane.idle else None)
        if candidate is None:
            return False
        here = candidate.statements.get((statement.sql, candidate.applied))
        if here is None:
            return False
        packet = frame(sent.pack(here.number, sent.has_types or here.types != sent.types), 0)
        if not self._forward(index, packet, FIRST):
            return False
        here.types = sent.types
        here.was_used = True
        return True

    async def _execute_later(self, statement: Statement, payload: bytes) -> None:
        planner = await self._refresh()
        sent, plan = self._planned(statement, payload, planner)
        await self._execute_planned(statement, sent, plan)

    async def _execute_planned(
        self, statement: Statement, sent: statements.Execution, plan: Plan
    ) -> None:
        self._close_cursor(statement)
        text = statement.sql
        if (
            isinstance(plan, plans.OneShardAs)
            or not isinstance(plan, plans.OneShard | plans.AnyShard)
            or plan.flags & ALSO_AS_TEXT
        ):
            planned = statement.planned
            if planned.parameters:
                text = self._as_text(statement, sent)
                plan = statement.planner.route(text, self._variant)
            if not isinstance(plan, plans.OneShard | plans.AnyShard) or plan.flags & NEEDS_EXECUTOR:
                self.binary = True
                self._titles = statement.titles
                statement.long_data.clear()
                await self._carry_out_later(plan, text, b"")
                return
            if isinstance(plan, plans.OneShardAs):  # a write: its answer has no rows
                statement.long_data.clear()
                await self._forward_later(plan, b"", text)
                return
        index = plan.shard if isinstance(plan, plans.OneShard) else self._choose(plan)
        shard = self.table.shards[index].name
        self._reads = not plan.flags & WRITES
        self._choose_replica(plan.flags, text)
        if plan.flags & Flag.LAST:
            left = self._left_behind(shard)
            if left is not None:
                self.binary = True
                connection = await self._ask_memory(shard, text, left)
                if connection is None:
                    return
                self.binary = False
            else:
                connection = await self._connection_of_last(shard)
        else:
            self._release_kept()
            connection = await self._connection(shard, plan.flags)
        key: object = (statement.sql, connection.applied)
        if sent.wants_cursor:
            key = statement
        here = connection.statements.get(key)
        if here is None:
            here, _ = await connection.prepare(key, statement.sql)
        for parameter, data in statement.long_data.items():
            connection.send(frame(statements.pack_long_data(here.number, parameter, data), 0))
        statement.long_data.clear()
        here.types = sent.types
        packet = frame(sent.pack(here.number, True, with_cursor=sent.wants_cursor), 0)
        if sent.wants_cursor:
            statement.cursor = Cursor(connection, key, f"{CURSOR}#{statement.number}")
            await self._open_cursor(statement, statement.cursor, packet)
        elif plan.flags & Flag.PINS:
            await self._pinning(connection, packet, Expect.FIRST, pinning_of(text))
        else:
            await self._hand_over(connection, packet, Expect.FIRST)

    # cursors

    async def _open_cursor(self, statement: Statement, cursor: Cursor, packet: bytes) -> None:
        """The connection is kept until the last row is fetched or the statement closed."""
        connection = cursor.connection
        self.pin(cursor.pin, connection)
        connection.statements[cursor.key].is_held = True
        await self._passed_on(connection, packet, Expect.FIRST)
        if self._failed or not connection.scanner.status & c.STATUS_CURSOR_EXISTS:
            statement.cursor = None  # there are no rows to fetch
            connection.forget_statement(cursor.key)
            self._take_pin(cursor.pin)
        self._part_with(connection)

    def _fetch(self, payload: bytes) -> None:
        statement = self._statement(payload)
        rows, _ = read_int(payload, 5, 4)
        if statement.cursor is None:
            raise MysqlError(
                1421, "HY000", f"The statement ({statement.number}) has no open cursor."
            )
        self._start(self._fetch_later(statement, statement.cursor, rows))

    async def _fetch_later(self, statement: Statement, cursor: Cursor, rows: int) -> None:
        connection = cursor.connection
        here = connection.statements.get(cursor.key)
        if here is None or not connection.alive:
            self._close_cursor(statement)
            raise BackendLost(f"the cursor is lost with its connection to {connection.shard}")
        packet = frame(statements.pack_fetch(here.number, rows), 0)
        await self._passed_on(connection, packet, Expect.ROWS)
        if connection.scanner.status & c.STATUS_LAST_ROW_SENT:
            self._close_cursor(statement)

    def _close_cursor(self, statement: Statement) -> None:
        cursor, statement.cursor = statement.cursor, None
        if cursor is not None:
            cursor.connection.forget_statement(cursor.key)
            self.unpin(cursor.pin)

    def _as_text(self, statement: Statement, sent: statements.Execution) -> bytes:
        """The execution as a statement of COM_QUERY, to be planned like any other."""
        count = statement.planned.parameters
        names = self._names
        values = statements.literals(sent, count, names, statement.long_data, self._variant.utf8)
        return statement.text(values, statements.unsigned(sent, names))

    def _long_data(self, payload: bytes) -> None:
        """Has no answer, not even an error: that comes with the execution."""
        number, parameter, data = statements.long_data(payload)
        statement = self._statements.get(number)
        if statement is None:
            return
        if parameter >= statement.planned.parameters:
            statement.problem = WrongArguments("Incorrect arguments to mysqld_stmt_send_long_data")
            return
        held = statement.long_data.get(parameter, b"") + data
        if sum(map(len, statement.long_data.values())) + len(data) > self._splitter.limit:
            statement.problem = PacketTooLarge("the long data of a statement is too large")
            statement.long_data.clear()
        elif statement.problem is None:
            statement.long_data[parameter] = held

    def _forget_statements(self) -> None:
        """A reset: their cursors are gone with the connections."""
        self._statements.clear()

    def _close_statement(self, payload: bytes) -> None:
        statement = self._statements.pop(int.from_bytes(payload[1:5], "little"), None)
        if statement is not None:
            self._close_cursor(statement)

    def _reset_statement(self, payload: bytes) -> None:
        statement = self._statement(payload)
        statement.long_data.clear()
        statement.problem = None
        self._close_cursor(statement)
        self._acknowledge()


def titles_of(answer: bytes) -> tuple[str, ...]:
    """Names of the columns in the answer to a PREPARE, if they show one of its `?`."""
    names = tuple(packets.column(d).name for d in definitions(answer)[1])
    return names if any("?" in name for name in names) else ()
