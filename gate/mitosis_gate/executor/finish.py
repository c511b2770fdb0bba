"""SELECTs that need the rows of several shards in one place: pulled to the merge server, run there.

1. One shard PREPAREs the client's statement as it is. What MySQL has to say against it the client
   gets from there, and the columns of the answer are named as there.
2. The rows that matter are pulled through the client's own account, so that its privileges decide,
   in its transaction if one is open; else all pulls of one shard see the same snapshot.
3. They go into temporary tables on the merge server, and the statement runs on those with the
   variables of the session. The rows of the answer go to the client as they come.

MySQL opens a temporary table once in a statement, and a common table expression that is named
twice opens its tables twice. It says so before it does anything; the tables are then copied into
ordinary ones, in a database that only this statement has, and the statement is repeated.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from mitosis_gate.backends import variables as known
from mitosis_gate.backends.connection import GATE_VARIANT, BackendConnection
from mitosis_gate.backends.scratch import Scratch
from mitosis_gate.backends.streams import ResultStream
from mitosis_gate.backends.variables import Variables
from mitosis_gate.errors import (
    BackendLost,
    GateError,
    InternalError,
    MergeServerAway,
    MysqlError,
    NotSupported,
    ShardsDisagree,
)
from mitosis_gate.executor import merge, scratch_tables
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.loading import Loader, Meter, no_room
from mitosis_gate.executor.warned import Told, Warned, told
from mitosis_gate.planner.plan import Finish, Flag, Lookup, Pull
from mitosis_gate.planner.pulling import quoted
from mitosis_gate.settings import Settings
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import Splitter, frame

FAN_OUT = 8
"""Shards that send rows of one pull at a time: each may have 1 MiB waiting here."""
LOOKUP_FROM_ROWS = 20_000
"""A pull with more rows is not asked which values it has."""
LOOKUP_KEYS = 1_000
FACTS_SECONDS = 60.0
MOST_FACTS = 256
_CANNOT_REOPEN = 1137
_CHANGED = (1412, "HY000", "Table definition has changed, please retry transaction")
_ZONES = b"CONVERT_TZ('2026-01-01 00:00:00', 'UTC', 'Europe/Berlin') IS NOT NULL"
_LOADING = Variables.of(
    {
        "autocommit": b"0",
        "max_error_count": b"65535",
        "sql_mode": b"'ALLOW_INVALID_DATES'",
        "time_zone": b"'+00:00'",
    }
)
"""Values are taken as the shards have them, also those that no statement could write today."""
_MEANING = """\
block_encryption_mode character_set_client character_set_results collation_connection
cte_max_recursion_depth default_week_format div_precision_increment group_concat_max_len
lc_messages lc_time_names max_error_count max_execution_time max_join_size
max_points_in_geometry max_sort_length sql_auto_is_null sql_big_selects sql_buffer_result sql_mode
sql_select_limit time_zone windowing_use_high_precision""".split()
"""Variables on which the answer to a SELECT depends."""
_FACTS = (
    b"SELECT @@system_time_zone, @@transaction_isolation, "
    + _ZONES
    + b", "
    + b", ".join(b"@@" + name.encode() for name in _MEANING)
)
_REPEATABLE = b"REPEATABLE-READ"


@dataclass(frozen=True)
class _Facts:
    """What the variables of a session are on a shard, whoever has set them."""

    system_time_zone: bytes
    isolation: bytes
    has_named_zones: bool
    variables: Mapping[str, bytes]
    known_at: float


@dataclass
class _Statement:
    """One execution."""

    plan: Finish
    client: Client
    there: BackendConnection
    meter: Meter
    loaded: dict[int, int] = field(default_factory=dict)
    """Rows of each pull that is done."""
    told: list[Told] = field(default_factory=list)
    """What the shards warned of."""


class Finisher:
    """One for a gate process; `run` is what the executor calls."""

    def __init__(self, scratch: Scratch, settings: Settings) -> None:
        self._scratch = scratch
        self._settings = settings
        self._facts_known: dict[object, _Facts] = {}

    async def run(self, plan: Finish, sql: bytes, client: Client) -> None:
        """Answers the client. `sql` is its statement, from which the plan was made."""
        async with self._scratch.lent(client.account, _variant(client)) as there:
            meter = Meter(self._settings.merge_max_rows, self._settings.merge_max_bytes)
            statement = _Statement(plan, client, there, meter)
            try:
                await self._run(statement, sql)
            except BackendLost as exc:
                if there.alive:
                    raise
                raise MergeServerAway(
                    "the merge server went away while the statement ran, which changes nothing: "
                    "repeat it. If it needs much memory, raise gate.merge.resources"
                ) from exc
            finally:
                await _clear(statement)

    async def _run(self, statement: _Statement, sql: bytes) -> None:
        plan, client = statement.plan, statement.client
        async with client.reading(_shards(statement)) as backends:
            shards = dict(backends)
            lead = backends[0][1]
            definitions = await _described(lead, sql)
            facts = await self._facts(client, lead)
            values = await _values(lead, plan.values)
            clock = _clock(plan, client)
            async with _one_snapshot(statement, shards, facts):
                await _prepare_for_pulls(client, shards.values(), clock)
                await _tune(statement.there, _LOADING)
                for index, pull in enumerate(plan.pulls):
                    await statement.there.query(scratch_tables.create(pull, temporary=True))
                    statement.loaded[index] = await _pull(statement, pull, shards)
        text = b"".join(part if isinstance(part, bytes) else values[part] for part in plan.text)
        if facts.has_named_zones and b"convert_tz" in text.lower():
            raise NotSupported(
                "CONVERT_TZ on rows of several shards: the merge server knows no time zones by "
                "name, and the shards do. Convert where one shard can answer, or in the client"
            )
        wanted = _variables_there(statement, facts, clock)
        try:
            await _answer(statement, text, wanted, definitions)
        except MysqlError as exc:
            if exc.number != _CANNOT_REOPEN:
                raise no_room(exc) from exc
        else:
            return
        async with self._scratch.database(statement.there) as database:
            await _copy(statement, database)
            await statement.there.query(b"USE " + quoted(database))
            try:
                await _answer(statement, text, wanted, definitions)
            except MysqlError as exc:
                raise no_room(_renamed(exc, database, client.account.keyspace)) from exc
            finally:
                if statement.there.alive:
                    keyspace = client.account.keyspace.encode()
                    await statement.there.query(b"USE " + quoted(keyspace))

    async def _facts(self, client: Client, lead: BackendConnection) -> _Facts:
        key = (client.account, client.variables, _variant(client))
        now = time.monotonic()
        facts = self._facts_known.get(key)
        if facts is None or facts.known_at < now - FACTS_SECONDS:
            row = (await lead.query(_FACTS)).values()[0]
            values = dict(zip(_MEANING, map(known.literal, row[3:]), strict=True))
            modes = (row[3 + _MEANING.index("sql_mode")] or b"").split(b",")
            # the shard has judged it, and here no table has a key
            modes = [mode for mode in modes if mode != b"ONLY_FULL_GROUP_BY"]
            values["sql_mode"] = known.literal(b",".join(modes))
            facts = _Facts(row[0] or b"", row[1] or b"", row[2] == b"1", values, now)
            self._check_time_zone(facts)
            if len(self._facts_known) >= MOST_FACTS:
                del self._facts_known[next(iter(self._facts_known))]
            self._facts_known[key] = facts
        return facts

    def _check_time_zone(self, facts: _Facts) -> None:
        if facts.variables["time_zone"].upper() != b"'SYSTEM'":
            return
        here = self._scratch.system_time_zone
        if here != facts.system_time_zone:
            raise NotSupported(
                f"the time zone SYSTEM is {facts.system_time_zone.decode()} on the shards and "
                f"{here.decode()} on the merge server: SET time_zone to one by name or offset"
            )


def _variant(client: Client) -> int:
    return GATE_VARIANT | client.capabilities & c.CLIENT_IGNORE_SPACE


def _shards(statement: _Statement) -> list[str]:
    """Those that are pulled from, in the order of the table; one for a statement without rows."""
    wanted = {shard for pull in statement.plan.pulls for shard in pull.shards}
    table = statement.client.table
    names = [table.shards[index].name for index in sorted(wanted)]
    return names or [statement.client.bound_shard or table.shards[0].name]


async def _described(lead: BackendConnection, sql: bytes) -> list[bytes]:
    """Column definitions of the answer, as they are before it is carried out; raises what MySQL
    has against the statement."""
    key = object()
    here, answer = await lead.prepare(key, sql)
    lead.statements.pop(key, None)
    lead.send(frame(bytes((c.COM_STMT_CLOSE,)) + here.number.to_bytes(4, "little"), 0))
    splitter = Splitter(len(answer))
    splitter.sequence = 1
    splitter.feed(answer)
    prepared = packets.prepared(splitter.next() or b"")
    definitions = [splitter.next() or b"" for _ in range(prepared.columns)]
    if not definitions or prepared.parameters:
        raise InternalError("a statement without rows, or with parameters, was to be finished")
    return definitions


async def _values(lead: BackendConnection, expressions: Sequence[bytes]) -> list[bytes]:
    if not expressions:
        return []
    converted = b", ".join(expressions)
    result = await lead.query(b"SELECT " + converted)
    return [
        scratch_tables.value_literal(definition, value)
        for definition, value in zip(result.columns, result.values()[0], strict=True)
    ]


def _clock(plan: Finish, client: Client) -> bytes:
    """What NOW() goes by on all servers; empty: nobody asks."""
    own = client.variables.get("timestamp")
    if own is not None or not plan.flags & Flag.CLOCK:
        return own or b""
    return f"{time.time():.6f}".encode()


@asynccontextmanager
async def _one_snapshot(
    statement: _Statement, shards: Mapping[str, BackendConnection], facts: _Facts
) -> AsyncIterator[None]:
    """All pulls of one shard see the same rows, as all tables of a statement do in MySQL."""
    client, plan = statement.client, statement.plan
    if client.in_transaction or not client.autocommit:
        yield
        return
    pulls = [client.table.shards[i].name for pull in plan.pulls for i in pull.shards]
    several = [
        backend
        for name, backend in shards.items()
        # the statement may be part of a write that has a transaction of its own
        if pulls.count(name) > 1 and not backend.in_transaction
    ]

    async def begin(backend: BackendConnection) -> None:
        if facts.isolation != _REPEATABLE:
            await backend.query(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await backend.query(b"START TRANSACTION WITH CONSISTENT SNAPSHOT")

    async def commit(backend: BackendConnection) -> None:
        if backend.alive and backend.in_transaction:
            await backend.query(b"COMMIT")

    await _on_all(several, begin)
    try:
        yield
    except GateError:
        await _on_all([b for b in several if not b.busy], commit)
        raise
    await _on_all(several, commit)


async def _on_all(
    backends: Sequence[BackendConnection], work: Callable[[BackendConnection], Awaitable[None]]
) -> None:
    """All at once; the first failure is raised when all have ended."""
    results: list[Any] = await asyncio.gather(*map(work, backends), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _prepare_for_pulls(client: Client, backends: Any, clock: bytes) -> None:
    """What a session's own variables must not do to values, and one NOW() for all.

    Noted as what is set on the connection, so that it is set back before its next use.
    """
    changes: dict[str, bytes] = {}
    results = (client.variables.get("character_set_results") or b"utf8mb4").strip(b"'\"`").lower()
    if results != b"utf8mb4":
        changes["character_set_results"] = b"NULL"
    if clock and client.variables.get("timestamp") is None:
        changes["timestamp"] = clock
    if not changes:
        return

    async def change(backend: BackendConnection) -> None:
        wanted = backend.applied
        for name, value in changes.items():
            wanted = wanted.with_(name, value)
        await _tune(backend, wanted)

    await _on_all(list(backends), change)


async def _tune(backend: BackendConnection, wanted: Variables) -> None:
    difference = wanted.difference(backend.applied)
    if difference:
        await backend.query(difference)
        backend.applied = wanted


async def _pull(statement: _Statement, pull: Pull, shards: Mapping[str, BackendConnection]) -> int:
    """Bring the rows of one table; return how many."""
    if not pull.shards:
        return 0
    narrowed = await _narrowed(statement, pull)
    if narrowed is None:
        return 0
    # also because LIMIT keeps sql_select_limit away
    limit = b" LIMIT %d" % (statement.meter.rows_left + 1)
    text = narrowed + limit + (b" " + pull.tail if pull.tail else b"")
    loader = Loader(statement.there, pull, statement.meter)
    width = len(scratch_tables.columns_of(pull))
    warned = Warned(text)
    waiting = deque(statement.client.table.shards[index].name for index in pull.shards)
    started: deque[tuple[str, asyncio.Task[ResultStream]]] = deque()
    try:
        while waiting or started:
            while waiting and len(started) < FAN_OUT:
                name = waiting.popleft()
                started.append((name, asyncio.create_task(shards[name].stream(text))))
            name, task = started[0]
            stream = await task
            if len(stream.columns) != width:
                raise ShardsDisagree(
                    f"{name} answers a question about {width} columns of {pull.table.name} with "
                    f"{len(stream.columns)}"
                )
            async for rows in stream:
                await loader.add(rows)
            started.popleft()
            if stream.ok.warnings:
                statement.told += warned.new(await _warnings_of(shards[name]))
        await loader.finish()
    except GateError:
        await _ended([task for _, task in started], in_order=True)
        raise
    except BaseException:
        await _ended([task for _, task in started], in_order=False)
        raise
    return loader.rows


async def _ended(tasks: Sequence[asyncio.Task[ResultStream]], in_order: bool) -> None:
    """Leave no answer half read. `in_order`: the connections, and transactions, shall live on."""
    try:
        for stream in await asyncio.gather(*tasks, return_exceptions=True) if in_order else ():
            if isinstance(stream, ResultStream):
                await stream.stop()
    finally:
        for task in tasks:
            task.cancel()  # no effect on those that are done
        for stream in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(stream, ResultStream):
                stream.abandon()


async def _narrowed(statement: _Statement, pull: Pull) -> bytes | None:
    """The text of a pull with the keys that earlier pulls leave; None: no row can matter."""
    conditions = []
    for lookup in pull.lookups:
        keys = await _keys(statement, lookup)
        if keys is None:
            continue
        if not keys:
            return None
        column = pull.table.column(lookup.column)
        assert column is not None
        literals = scratch_tables.key_literals(column, keys)
        conditions.append(quoted(column.name.encode()) + b" IN (" + literals + b")")
    if not conditions:
        return pull.text
    return pull.text + (b" AND " if pull.where else b" WHERE ") + b" AND ".join(conditions)


async def _keys(statement: _Statement, lookup: Lookup) -> list[bytes] | None:
    """None when there are too many, or they cannot be written down."""
    if statement.loaded[lookup.pull] > LOOKUP_FROM_ROWS:
        return None
    source = statement.plan.pulls[lookup.pull]
    column = source.table.column(lookup.other)
    assert column is not None
    question = scratch_tables.key_values(column, source.name, LOOKUP_KEYS + 1)
    if question is None:
        return None
    rows = (await statement.there.query(question)).values()
    return [value or b"" for (value,) in rows] if len(rows) <= LOOKUP_KEYS else None


def _variables_there(statement: _Statement, facts: _Facts, clock: bytes) -> Variables:
    client, flags = statement.client, statement.plan.flags
    values = dict(facts.variables)
    if flags & Flag.VARIABLES:
        values |= {name: value for name, value in client.variables if name.startswith("@")}
    if clock:
        values["timestamp"] = clock
    if flags & Flag.LAST:
        values["last_insert_id"] = str(client.last_insert_id).encode()
    return Variables.of(values)


async def _answer(
    statement: _Statement, text: bytes, wanted: Variables, definitions: Sequence[bytes]
) -> None:
    client, there = statement.client, statement.there
    await _tune(there, wanted)
    stream = await there.stream(text, binary=client.binary)
    try:
        client.begin_rows(_named(stream.columns, definitions, bool(statement.plan.values)))
        async for rows in stream:
            await client.send_rows(rows)
        again = await _warnings_of(there) if stream.ok.warnings else []
        # what the shards asked of all rows is asked once more of those that are here
        missing = list((Counter(again) - Counter(statement.told)).elements())
        client.keep_warnings([*statement.told, *missing])
        count = stream.ok.warnings - len(again) + len(statement.told) + len(missing)
        client.end_rows(min(count, merge.MOST_WARNINGS))
    finally:
        stream.abandon()


async def _warnings_of(backend: BackendConnection) -> list[Told]:
    return [told(row) for row in (await backend.query(b"SHOW WARNINGS")).values()]


def _named(columns: Sequence[bytes], definitions: Sequence[bytes], has_values: bool) -> list[bytes]:
    """The columns of the rows, with the names that a shard gives them."""
    if len(columns) != len(definitions):
        raise MysqlError(*_CHANGED)
    named = []
    for definition, described in zip(columns, definitions, strict=True):
        found, wanted = packets.column(definition), packets.column(described)
        if has_values and found.type == wanted.type and found.length != wanted.length:
            named.append(described)  # a literal is as long as it is, a function's value is not
            continue
        column = replace(
            found,
            name=wanted.name,
            schema=wanted.schema,
            table=wanted.table,
            original_table=wanted.original_table,
            original_name=wanted.original_name,
        )
        named.append(column.pack())
    return named


async def _copy(statement: _Statement, database: bytes) -> None:
    there = statement.there
    await _tune(there, _LOADING)
    for pull in statement.plan.pulls:
        await there.query(scratch_tables.create(pull, temporary=False, database=database))
        name = quoted(pull.name.encode())
        target = quoted(database) + b"." + name
        await there.query(b"INSERT INTO %s SELECT * FROM %s" % (target, name))


def _renamed(problem: MysqlError, database: bytes, keyspace: str) -> MysqlError:
    """MySQL names columns with their database in some errors."""
    text = problem.text.replace(f"`{database.decode()}`.", f"`{keyspace}`.")
    return MysqlError(problem.number, problem.state, text)


async def _clear(statement: _Statement) -> None:
    """Drop the tables; a connection that is busy or broken has none when it is closed."""
    there = statement.there
    if not there.alive or there.busy:
        return
    tables = b", ".join(quoted(pull.name.encode()) for pull in statement.plan.pulls)
    if tables:
        await there.query(b"DROP TEMPORARY TABLE IF EXISTS " + tables)
