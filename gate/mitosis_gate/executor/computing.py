"""Values that a server computes for a write, so that its rows find their shards.

The server is any that serves the session: the connection has the session's settings, its user
variables and its LAST_INSERT_ID(). Where a value depends on the clock, it and the INSERT see one
time. A computation with a warning ends the statement: in an INSERT it might be an error. Values
that come from tables are read in the transaction of the write.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import cast

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.variables import literal
from mitosis_gate.errors import MysqlError, NotSupported
from mitosis_gate.executor.assignments import somewhere
from mitosis_gate.executor.captured import Captured
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.copying import CopyLimits, Execute, quoted_text, writer
from mitosis_gate.executor.inside import inside
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.computed import names_column
from mitosis_gate.planner.effects import effects_of, reads_the_clock
from mitosis_gate.planner.lexer import Token, shape_of, tokens_of
from mitosis_gate.planner.plan import AnyShard, ColumnDefault, ComputedWrite, Flag, Refuse
from mitosis_gate.wire import charsets, packets
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.packets import Column

_UNKNOWN_COLUMN = 1054
_MOST_AT_ONCE = 1000
"""MySQL takes up to 4096 columns."""
_EXACT = float(1 << 53)
_DEFAULT = (
    b"SELECT COLUMN_DEFAULT, EXTRA LIKE '%%DEFAULT_GENERATED%%', DATA_TYPE "
    b"FROM information_schema.COLUMNS "
    b"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %b AND COLUMN_NAME = %b"
)


@contextlib.asynccontextmanager
async def computed(plan: ComputedWrite, planner: Planner, client: Client) -> AsyncIterator[bytes]:
    """The statement with literals; it must be carried out inside the block."""
    asks = await _expressions(plan, planner, client)
    tokens = tokens_of(shape_of(b" ".join(asks)))
    with inside(client, reads_the_clock(tokens)):
        async with somewhere(client) as backend:
            if effects_of(tokens).flags & Flag.LAST:
                await backend.query(b"SET SESSION last_insert_id=%d" % client.last_insert_id)
            values: list[bytes] = []
            for start in range(0, len(asks), _MOST_AT_ONCE):
                part = asks[start : start + _MOST_AT_ONCE]
                values += await _values(part, planner, client, backend)
        pairs = zip(values, plan.pieces[1:], strict=True)
        yield plan.pieces[0] + b"".join(value + piece for value, piece in pairs)


async def _expressions(plan: ComputedWrite, planner: Planner, client: Client) -> list[bytes]:
    defaults = {ask for ask in plan.asks if isinstance(ask, ColumnDefault)}
    known = {}
    if defaults:
        async with somewhere(client) as backend:
            known = {one: await _default(one, planner, client, backend) for one in defaults}
    return [known[ask] if isinstance(ask, ColumnDefault) else ask for ask in plan.asks]


async def read_first(
    plan: ComputedWrite,
    sql: bytes,
    planner: Planner,
    client: Client,
    execute: Execute,
    limits: CopyLimits,
    write: Callable[[bytes, Client], Awaitable[None]],
) -> None:
    """Carry out `sql`, whose values are subqueries, in one transaction: read, then `write`."""
    asks = [ask for ask in plan.asks if isinstance(ask, bytes)]
    table = client.table
    first = table.shards[table.slot_owners()[0]].name
    with inside(client, reads_the_clock(tokens_of(shape_of(sql)))):
        async with client.writing([shard.name for shard in table.shards]) as backends:
            held = dict(backends)
            await judged(held[first], sql)
            read = captured(client, held, limits)
            await _read(b"SELECT " + b", ".join(b"(%b)" % a for a in asks), planner, read, execute)
            columns = [packets.column(definition) for definition in read.columns]
            row = packets.read_text_row(read.rows[0])
            values = [_literal(c, v, client) for c, v in zip(columns, row, strict=True)]
            pairs = zip(values, plan.pieces[1:], strict=True)
            text = plan.pieces[0] + b"".join(value + piece for value, piece in pairs)
            inner = captured(client, held, limits)
            await write(text, cast(Client, inner))
    client.last_insert_id = inner.last_insert_id
    client.keep_warnings(inner.told)
    ok = inner.ok
    client.send_ok(ok.affected, ok.last_insert_id, ok.warnings, ok.info)


def captured(client: Client, held: Mapping[str, BackendConnection], limits: CopyLimits) -> Captured:
    return Captured(client, held, limits.rows, limits.bytes, limits.sentence)


async def judged(backend: BackendConnection, sql: bytes) -> None:
    """Raise what MySQL has against a statement, without carrying it out."""
    key = object()
    await backend.prepare(key, sql)
    backend.forget_statement(key)


async def _read(sql: bytes, planner: Planner, read: Captured, execute: Execute) -> None:
    plan = planner.route(sql, read.variant)
    try:
        await execute(plan, sql, cast(Client, read))
    except MysqlError as exc:
        if exc.number != _UNKNOWN_COLUMN:
            raise
        raise NotSupported(
            "a subquery that names a column of the row that is written cannot be read first: bind "
            "it to the row by the sharding key, or read first and write literals"
        ) from exc
    if read.ok.warnings:
        warned = read.told[0] if read.told else (b"", 0, "")
        raise _warned(warned[1], warned[2])


def _warned(code: int, text: str) -> NotSupported:
    return NotSupported(
        f"a value is computed with a warning ({code}: {text}), which could be an error in the "
        "statement itself: compute it first and write it as a literal"
    )


async def _values(
    asks: Sequence[bytes], planner: Planner, client: Client, backend: BackendConnection
) -> list[bytes]:
    sql = b"SELECT " + b", ".join(b"(%b)" % ask for ask in asks)
    plan = planner.route(sql, client.variant)
    if isinstance(plan, Refuse):
        raise MysqlError(plan.code, plan.sqlstate, plan.message)
    if not isinstance(plan, AnyShard):
        raise NotSupported("a value that decides the shard of a row cannot be computed beforehand")
    result = await backend.query(sql)
    if result.ok.warnings:
        _, code, text = (await backend.query(b"SHOW WARNINGS")).values()[0]
        raise _warned(int(code or 0), (text or b"").decode(errors="replace"))
    columns = [packets.column(definition) for definition in result.columns]
    pairs = zip(columns, result.values()[0], strict=True)
    return [_literal(column, value, client) for column, value in pairs]


def _literal(column: Column, value: bytes | None, client: Client) -> bytes:
    """SQL text of a value; whole numbers are written as such, also those that are DOUBLE."""
    if value is None:
        return b"NULL"
    if column.type in (c.TYPE_DOUBLE, c.TYPE_FLOAT):
        number = float(value)
        if number and -_EXACT < number < _EXACT and number.is_integer():
            return b"%d" % number
    return _written(column, value, client)


def _written(column: Column, value: bytes, client: Client) -> bytes:
    """Text is right under every character set when it is ASCII."""
    if column.charset != charsets.BINARY_ID and value.isascii():
        return quoted_text(value)
    return writer(column, client)(value)


async def _default(
    wanted: ColumnDefault, planner: Planner, client: Client, backend: BackendConnection
) -> bytes:
    """The expression behind a column's default; raises MySQL's error when it has none."""
    names = (literal(name.encode()) for name in (wanted.table, wanted.column))
    result = await backend.query(_DEFAULT % tuple(names))
    value, is_expression, kind = (result.values() or [[None] * 3])[0]
    if value is None and wanted.view:
        raise MysqlError(
            1423,
            "HY000",
            f"Field of view '{planner.table.keyspace}.{wanted.view}' underlying table doesn't have "
            "a default value",
        )
    if value is None:
        raise MysqlError(1364, "HY000", f"Field '{wanted.column}' doesn't have a default value")
    text = _written(packets.column(result.columns[0]), value, client)
    if is_expression != b"1":
        if kind in (b"binary", b"varbinary"):
            raise _unclear(wanted)
        return text
    table = planner.schema.tables.get(wanted.table)
    tokens: Sequence[Token] = tokens_of(shape_of(value))
    if table is None or names_column(tokens, table):
        raise _unclear(wanted)
    return value


def _unclear(wanted: ColumnDefault) -> NotSupported:
    return NotSupported(
        f"the default of {wanted.column}, the sharding key of {wanted.table}, cannot be computed "
        "before the row is stored: give the row a value for it"
    )
