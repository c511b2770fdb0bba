"""INSERT ... SELECT whose rows pass through the gate, and writes with LIMIT over several shards.

Both need what a read of several shards answers before they write: the read runs as any other,
inside the transaction of the write (`Captured`).
"""

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.variables import literal
from mitosis_gate.errors import MysqlError, NotSupported
from mitosis_gate.executor.captured import Captured
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.inside import inside
from mitosis_gate.executor.strict import judge_choice
from mitosis_gate.executor.warned import Told, Warned
from mitosis_gate.executor.writes import (
    Answer,
    Writes,
    corrected,
    heard,
    run_part,
    set_clock,
    summed,
    with_hint,
)
from mitosis_gate.planner import plan as plans
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.changes import quoted
from mitosis_gate.planner.plan import Part, Plan, SplitWrite, Wrote
from mitosis_gate.wire import charsets, packets
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.packets import Column, Ok

Execute = Callable[[Plan, bytes, Client], Awaitable[None]]

_BATCH_ROWS = 1000
_BATCH_BYTES = 1 << 20
_AS_THEY_ARE = frozenset(
    {
        c.TYPE_DECIMAL,
        c.TYPE_NEWDECIMAL,
        c.TYPE_TINY,
        c.TYPE_SHORT,
        c.TYPE_LONG,
        c.TYPE_INT24,
        c.TYPE_LONGLONG,
        c.TYPE_YEAR,
    }
)
_QUOTED = frozenset({c.TYPE_DATE, c.TYPE_DATETIME, c.TYPE_TIMESTAMP, c.TYPE_TIME, c.TYPE_JSON})


@dataclass(frozen=True)
class CopyLimits:
    rows: int = 1_000_000
    bytes: int = 64 << 20

    @property
    def sentence(self) -> str:
        return (
            "copy a part at a time with WHERE, or raise --copy-rows-limit and --copy-bytes-limit "
            "of the gate"
        )


class Copying:
    """Carries out CopyRows and LimitedWrite."""

    def __init__(self, writes: Writes, execute: Execute, limits: CopyLimits) -> None:
        self._writes = writes
        self._execute = execute
        self._limits = limits

    async def copy(self, plan: plans.CopyRows, planner: Planner, client: Client) -> None:
        names = [shard.name for shard in client.table.shards]
        total = Answer()
        infos: list[bytes] = []
        told: list[list[Told]] = []
        rows = 0
        async with _reading_all(client, names) as backends:
            limits = self._limits
            read = Captured(client, dict(backends), limits.rows, limits.bytes, limits.sentence)
            isolation = (client.variables.get("transaction_isolation") or b"").upper()
            is_unlocked = isolation.strip(b"'\"").startswith(b"READ-")
            await self._read(plan.select if is_unlocked else plan.locked, planner, read)
            if len(read.columns) != plan.columns:
                text = "Column count doesn't match value count at row 1"
                raise MysqlError(1136, "21S01", text)
            for texts in _batches(read, client):
                sql = plan.before + b", ".join(texts) + plan.after
                answer = await self._write(sql, len(texts), rows, planner, client, dict(backends))
                total.affected += answer.affected
                total.generated = total.generated or answer.generated
                total.last_insert_id = answer.last_insert_id
                total.warnings += answer.warnings
                infos.append(answer.info or _one_row(plan.wrote, answer))
                told.append(answer.told)
                rows += len(texts)
        total.info = summed(b"Records: %d  Duplicates: %d  Warnings: %d", infos)
        warned = Warned(plan.after)
        for warnings in told:
            total.hear(warnings, warned)
        total.send(client)

    async def _read(self, sql: bytes, planner: Planner, read: Captured) -> None:
        await self._execute(planner.route(sql, read.variant), sql, read)

    async def _write(
        self,
        sql: bytes,
        count: int,
        before: int,
        planner: Planner,
        client: Client,
        backends: dict[str, BackendConnection],
    ) -> Answer:
        inner = Captured(client, backends)
        plan = planner.route(sql, client.variant)
        if isinstance(plan, plans.OneShard):
            part = Part(plan.shard, sql, tuple(range(1, count + 1)))
            plan = SplitWrite((part,), Wrote.COPY, plan.flags)
        elif isinstance(plan, plans.Refuse):
            text = corrected(plan.message, range(before + 1, before + count + 1))
            raise MysqlError(plan.code, plan.sqlstate, text)
        try:
            return await self._writes.answer(plan, sql, inner)
        except MysqlError as exc:
            text = corrected(exc.text, range(before + 1, before + count + 1))
            raise MysqlError(exc.number, exc.state, text) from exc

    async def limited(self, plan: plans.LimitedWrite, planner: Planner, client: Client) -> None:
        names = [client.table.shards[index].name for index in plan.shards]
        hinted = with_hint(plan.before, plan.hint_at, client)
        total = Answer()
        used: list[tuple[str, BackendConnection]] = []
        parts: list[Part] = []
        answers: list[Ok] = []
        async with client.writing(names) as backends:
            counts = None
            choice: list[Told] = []
            if plan.chosen:
                counts, choice = await self._chosen(plan, planner, client, dict(backends))
            left = plan.limit
            for index, lent in zip(plan.shards, backends, strict=True):
                limit = left if counts is None else counts.get(index, 0)
                if not limit:
                    continue
                part = Part(index, hinted + b"%d" % limit + plan.after)
                ok = await run_part(lent[1], part)
                used.append(lent)
                parts.append(part)
                answers.append(ok)
                total.affected += ok.affected
                total.warnings += ok.warnings
                left -= _matched(plan.wrote, ok.affected, ok.info)
            if plan.wrote is Wrote.UPDATE:
                infos = [ok.info for ok in answers]
                total.info = summed(b"Rows matched: %d  Changed: %d  Warnings: %d", infos)
            if parts:
                await heard(total, used, parts, answers)
            total.hear_more(choice)
        total.send(client)

    async def move(self, plan: plans.MovedRows, planner: Planner, client: Client) -> None:
        """Rows are read as they will be, deleted, and inserted on the shard of their new key."""
        if client.own("gate_key_update") != "move":
            refusal = plan.refusal
            raise MysqlError(
                refusal.code,
                refusal.sqlstate,
                f"{refusal.message}, or let the gate do so with SET gate_key_update = 'move'",
            )
        shards = sorted({*plan.shards, plan.target})
        names = [client.table.shards[index].name for index in shards]
        table = quoted(plan.table.encode())
        async with client.writing(names) as backends:
            if client.variables.get("timestamp") is None:
                await set_clock(backends)
            found = await backends[0][1].query(_COLUMNS % literal(plan.table.encode()))
            columns = [(name or b"", extra or b"") for name, extra in found.values()]
            kept = [(n, e) for n, e in columns if b" GENERATED" not in e]
            assigned = dict(plan.assigned)
            values = b", ".join(
                assigned.get(name.decode().lower()) or _unassigned(name, extra)
                for name, extra in kept
            )
            select = b"SELECT %b FROM %b WHERE %b FOR UPDATE" % (values, plan.source, plan.where)
            by_shard = dict(zip(shards, backends, strict=True))
            texts: list[bytes] = []
            for index in plan.shards:
                backend = by_shard[index][1]
                limits = self._limits
                read = Captured(client, {}, limits.rows, limits.bytes, limits.sentence)
                await read.relay(backend, select)
                texts += [text for batch in _batches(read, client) for text in batch]
                if read.rows:
                    delete = b"DELETE FROM %b WHERE %b" % (plan.source, plan.where)
                    await run_part(backend, Part(index, delete))
            target = by_shard[plan.target][1]
            # before there are rows that have just been given the key
            ok = await run_part(target, Part(plan.target, plan.update))
            before = b"INSERT INTO %b (%b) VALUES " % (
                table,
                b", ".join(quoted(name) for name, _ in kept),
            )
            for start in range(0, len(texts), _BATCH_ROWS):
                sql = before + b", ".join(texts[start : start + _BATCH_ROWS])
                await run_part(target, Part(plan.target, sql))
        moved = len(texts)
        info = summed(
            b"Rows matched: %d  Changed: %d  Warnings: %d",
            [ok.info, b"Rows matched: %d  Changed: %d  Warnings: 0" % (moved, moved)],
        )
        Answer(moved + ok.affected, warnings=ok.warnings, info=info).send(client)

    async def _chosen(
        self,
        plan: plans.LimitedWrite,
        planner: Planner,
        client: Client,
        backends: dict[str, BackendConnection],
    ) -> tuple[dict[int, int], list[Told]]:
        """How many of the rows that the whole statement would touch are on each shard, and what
        all rows together warn of when none is left out because of LIMIT."""
        limits = self._limits
        read = Captured(client, backends, limits.rows, limits.bytes, limits.sentence)
        await self._read(plan.chosen, planner, read)
        if read.ok.warnings:
            await judge_choice(
                plan.before, plan.limit, read.told, len(read.rows), next(iter(backends.values()))
            )
        owners = client.table.slot_owners()
        counts: dict[int, int] = {}
        for row in read.rows:
            owner = owners[int(packets.read_text_row(row)[0] or 0)]
            counts[owner] = counts.get(owner, 0) + 1
        looked_at_all = len(read.rows) < plan.limit
        return counts, read.told if looked_at_all else []


@contextlib.asynccontextmanager
async def _reading_all(
    client: Client, names: Sequence[str]
) -> AsyncIterator[list[tuple[str, BackendConnection]]]:
    with inside(client):
        async with client.writing(names) as backends:
            yield backends


def _matched(wrote: Wrote, affected: int, info: bytes) -> int:
    """LIMIT counts the rows that were found, also those that did not change."""
    if wrote is Wrote.DELETE:
        return affected
    return int(info.partition(b"matched: ")[2].split()[0])


def _one_row(wrote: Wrote, answer: Answer) -> bytes:
    """The text that MySQL leaves out for a single row."""
    duplicates = 0
    if wrote is Wrote.REPLACE:
        duplicates = max(0, answer.affected - 1)
    elif wrote is Wrote.UPSERT:
        duplicates = int(answer.affected == 2)
    else:
        duplicates = 1 - min(1, answer.affected)
    return b"Records: 1  Duplicates: %d  Warnings: %d" % (duplicates, answer.warnings)


_COLUMNS = (
    b"SELECT COLUMN_NAME, EXTRA FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() "
    b"AND TABLE_NAME = %b ORDER BY ORDINAL_POSITION"
)
_ON_UPDATE = re.compile(rb"on update (current_timestamp(?:\(\d\))?)", re.IGNORECASE)


def _unassigned(name: bytes, extra: bytes) -> bytes:
    """What a column that the statement does not name becomes in a row that changes."""
    found = _ON_UPDATE.search(extra)
    return found[1] if found else quoted(name)


# Rows as literals


def _batches(read: Captured, client: Client) -> Iterator[list[bytes]]:
    writers = [writer(packets.column(definition), client) for definition in read.columns]
    texts: list[bytes] = []
    size = 0
    for row in read.rows:
        values = packets.read_text_row(row)
        text = b"(%b)" % b", ".join(
            b"NULL" if value is None else write(value)
            for write, value in zip(writers, values, strict=True)
        )
        texts.append(text)
        size += len(text)
        if len(texts) == _BATCH_ROWS or size > _BATCH_BYTES:
            yield texts
            texts, size = [], 0
    if texts:
        yield texts


def writer(column: Column, client: Client) -> Callable[[bytes], bytes]:
    """SQL text of the values of a column, from the text in which they came."""
    kind = column.type
    if kind in _AS_THEY_ARE:
        return _as_it_is
    if kind == c.TYPE_DOUBLE:
        return _inexact
    if kind == c.TYPE_FLOAT:
        raise NotSupported(
            f"column {column.name} of the SELECT is FLOAT, whose text has fewer digits than the "
            f"value: write CAST({column.name} AS DOUBLE)"
        )
    if kind in _QUOTED:
        return quoted_text
    if column.charset == charsets.BINARY_ID:
        return _hexadecimal
    results = client.variables.get("character_set_results")
    if not client.variant.utf8 or (results and results.strip(b"'").lower() != b"utf8mb4"):
        raise NotSupported(
            "INSERT ... SELECT of text through the gate needs utf8mb4: SET NAMES utf8mb4 first"
        )
    return quoted_text


def _as_it_is(value: bytes) -> bytes:
    return value


def _inexact(value: bytes) -> bytes:
    return value if b"e" in value else value + b"e0"


def quoted_text(value: bytes) -> bytes:
    return b"'" + value.replace(b"\\", b"\\\\").replace(b"'", b"''") + b"'"


def _hexadecimal(value: bytes) -> bytes:
    return b"0x" + value.hex().encode() if value else b"''"
