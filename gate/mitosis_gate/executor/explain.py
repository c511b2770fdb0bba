"""EXPLAIN of what several shards answer, and GATE EXPLAIN [ANALYZE]: a plan as a table.

A row is a step: what is done, on which shards, with which text. With ANALYZE each text of a SELECT
runs on each of its shards for itself, to see its rows and its time there, and then the whole
statement as ever, whose rows are counted and dropped. So ANALYZE takes about twice the time.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import GateError, InvalidView, MysqlError, NotSupported, UnknownTable
from mitosis_gate.executor.client import Client
from mitosis_gate.planner import plan as plans
from mitosis_gate.planner.plan import Finish, Flag, Fold, GateExplain, Plan, Pull, Recipe
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.packets import Ok

_NOTE = 1003
"""The number of MySQL's own note of EXPLAIN."""
_BINARY = 63
"""The character set of numbers."""
_LONGEST_TEXT = 4096

Execute = Callable[[Plan, bytes, Client], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Step:
    kind: str
    shards: tuple[int, ...]
    text: bytes
    rows: int | None = None
    seconds: float | None = None


async def explain_one(plan: plans.ExplainOne, sql: bytes, client: Client) -> None:
    """Run the client's EXPLAIN on one shard, with a warning that says so."""
    shard = client.table.shards[plan.shard].name
    backend = await client.backend(shard, outside=True)
    try:
        stream = await backend.stream(sql, binary=client.binary)
        try:
            client.begin_rows(stream.columns)
            async for rows in stream:
                await client.send_rows(rows)
        finally:
            if not stream.is_over:
                stream.abandon()
    finally:
        client.give_back(backend)
    client.warn(_NOTE, f"shard {shard}: {plan.note}")
    client.end_rows(stream.ok.warnings)


async def gate_explain(plan: GateExplain, client: Client, execute: Execute) -> None:
    """Answer with the steps of the plan; with ANALYZE carry it out with `execute` first."""
    if isinstance(plan.inner, plans.Refuse):
        raise MysqlError(plan.inner.code, plan.inner.sqlstate, plan.inner.message)
    if isinstance(plan.inner, plans.UnknownTable):
        raise unknown_table(plan.inner)
    steps = list(steps_of(plan.inner, plan.statement))
    if plan.analyze:
        steps = await _measured(plan, steps, client, execute)
    client.send_result(_COLUMNS, [_row(n, step, client) for n, step in enumerate(steps, 1)])


def unknown_table(plan: plans.UnknownTable) -> GateError:
    """The error of a statement that names a table which does not exist, itself or by a view."""
    if not plan.view:
        return UnknownTable(f"Table '{plan.database}.{plan.name}' doesn't exist")
    return InvalidView(
        f"View '{plan.database}.{plan.view}' references invalid table(s) or column(s) or "
        "function(s) or definer/invoker of view lack rights to use them"
    )


# What is done


def steps_of(plan: Plan, statement: bytes) -> Iterator[Step]:
    match plan:
        case plans.Hinted(inner=inner):
            yield from steps_of(inner, statement)
        case plans.OneShard(shard):
            yield Step("forward to one shard", (shard,), statement)
        case plans.AnyShard(shards):
            yield Step("forward to any one shard", shards, statement)
        case plans.Scatter(shards):
            yield Step("read", shards, statement)
            yield Step("put rows one after the other", (), b"")
        case plans.Merge(shards, text, recipe):
            yield Step("read", shards, text)
            yield Step(told(recipe), (), b"")
        case Finish(pulls=pulls):
            for pull in pulls:
                yield Step(_pull(pull, pulls), pull.shards, pull.text + pull.tail)
            yield Step("finish on the merge server", (), _finished(plan))
        case plans.SplitWrite(parts=parts):
            for part in parts:
                yield Step("write", (part.shard,), part.sql)
        case plans.LimitedWrite(shards=shards, chosen=chosen):
            if chosen:
                yield Step("count the rows that LIMIT leaves to each shard", shards, chosen)
            yield Step("write", shards, plan.before + b"?" + plan.after)
        case plans.MovedRows(shards=shards, target=target):
            rows = plan.source + b" WHERE " + plan.where
            yield Step("read rows with their new keys", shards, b"SELECT ... FROM " + rows)
            yield Step("delete them", shards, b"DELETE FROM " + rows)
            yield Step("insert them where they belong now", (target,), b"")
            yield Step("write rows that have the key already", (target,), plan.update)
        case plans.CopyRows(select=select):
            yield Step("read rows, as planned for themselves", (), select)
            yield Step("insert them where they belong", (), plan.before + b" ... " + plan.after)
        case plans.ComputedWrite(asks=asks):
            told_asks = (ask if isinstance(ask, bytes) else b"DEFAULT" for ask in asks)
            how = "read values, as planned for themselves"
            kind = how if plan.reads else "compute values on any one shard"
            yield Step(kind, (), b"SELECT " + b", ".join(told_asks))
            yield Step("write the rows where they belong", (), b" ... ".join(plan.pieces))
        case plans.KeyedWrite(shards=shards, chosen=chosen):
            yield Step("read the keys of the rows, as planned for themselves", (), chosen)
            yield Step("write the rows with these keys", shards, plan.before)
        case plans.NumberedWrite(table=table):
            yield Step(f"take AUTO_INCREMENT numbers of {table} and write", (), statement)
        case plans.EveryShard(shards):
            yield Step("write the same on every shard", shards, statement)
        case plans.Ddl(shards=shards):
            yield Step(f"{plan.verb} on one shard after the other", shards, statement)
        case _:
            yield Step("answered by the gate", (), statement)


def told(recipe: Recipe) -> str:
    """What happens to the rows of the shards, in words."""
    words = []
    if recipe.groups is None:
        words.append("merge in order" if recipe.order else "put rows one after the other")
    elif all(out.fold is Fold.FIRST for out in recipe.columns):
        words.append("merge in order, equal rows once")
    elif recipe.groups:
        words.append("merge in order, one row for each group")
    else:
        words.append("fold all rows into one")
    if recipe.resort:
        words.append("sort")
    if recipe.limit is not None:
        words.append(f"skip {recipe.offset}, stop after {recipe.limit}")
    return ", ".join(words)


def _pull(pull: Pull, pulls: Sequence[Pull]) -> str:
    by = [f"{look.column} in {pulls[look.pull].name}.{look.other}" for look in pull.lookups]
    narrowed = f", if few: {' and '.join(by)}" if by else ""
    return f"pull {pull.name}{narrowed}"


def _finished(plan: Finish) -> bytes:
    return b"".join(p if isinstance(p, bytes) else plan.values[p] for p in plan.text)


# What it takes


class _Counted:
    """Stands in the client's place: rows are counted and dropped."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.rows = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def send_ok(
        self, affected: int = 0, last_insert_id: int = 0, warnings: int = 0, info: bytes = b""
    ) -> None: ...

    def send_result(
        self, columns: Sequence[bytes], rows: Iterable[bytes], warnings: int = 0
    ) -> None:
        self.rows += sum(1 for _ in rows)

    def begin_rows(self, columns: Sequence[bytes]) -> None: ...

    async def send_rows(self, rows: Sequence[bytes]) -> None:
        self.rows += len(rows)

    def end_rows(self, warnings: int = 0) -> None: ...

    def warn(self, code: int, text: str) -> None: ...

    async def relay(self, connection: BackendConnection, sql: bytes) -> Ok | None:
        self.rows += await _count(connection, sql)
        return None


async def _count(connection: BackendConnection, sql: bytes) -> int:
    stream = await connection.stream(sql)
    rows = 0
    try:
        async for block in stream:
            rows += len(block)
    finally:
        if not stream.is_over:
            stream.abandon()
    return rows


async def _measured(
    plan: GateExplain, steps: Sequence[Step], client: Client, execute: Execute
) -> list[Step]:
    inner = plan.inner.inner if isinstance(plan.inner, plans.Hinted) else plan.inner
    reads = plans.OneShard | plans.AnyShard | plans.Scatter | plans.Merge | Finish
    if not isinstance(inner, reads) or inner.flags & (Flag.WRITE | Flag.LOCKS | Flag.PINS):
        raise NotSupported(
            "GATE EXPLAIN ANALYZE carries the statement out, so it is for SELECT only: use "
            "GATE EXPLAIN"
        )
    found: list[Step] = []
    for step in steps:
        if not step.shards:
            found.append(step)
        elif isinstance(inner, plans.AnyShard):
            found.append(await _on_shard(step, step.shards[0], client))
        else:
            found.extend([await _on_shard(step, shard, client) for shard in step.shards])
    counted = _Counted(client)
    began = time.perf_counter()
    await execute(plan.inner, plan.statement, cast(Client, counted))
    whole = Step("the whole statement", (), b"", counted.rows, time.perf_counter() - began)
    return [*found, whole]


async def _on_shard(step: Step, shard: int, client: Client) -> Step:
    async with client.reading([client.table.shards[shard].name]) as backends:
        began = time.perf_counter()
        rows = await _count(backends[0][1], step.text)
        seconds = time.perf_counter() - began
    return replace(step, shards=(shard,), rows=rows, seconds=seconds)


# The table

_TEXTS = {"step": 64, "kind": 256, "shards": 1024, "query": _LONGEST_TEXT}
_COLUMNS = [
    *(packets.Column(name, length=4 * size).pack() for name, size in _TEXTS.items()),
    packets.Column("rows", c.TYPE_LONGLONG, _BINARY, 20).pack(),
    packets.Column("ms", c.TYPE_DOUBLE, _BINARY, 22, decimals=3).pack(),
]


def _row(number: int, step: Step, client: Client) -> bytes:
    names = ", ".join(client.table.shards[shard].name for shard in step.shards)
    text = step.text
    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT].decode("utf-8", "ignore").encode() + b" ..."
    rows = None if step.rows is None else b"%d" % step.rows
    ms = None if step.seconds is None else f"{step.seconds * 1000:.3f}".encode()
    return packets.text_row(
        [str(number).encode(), step.kind.encode(), names.encode(), text, rows, ms]
    )
