"""Reads a statement's rows from several shards and sends the client one result.

All shards begin at once (concatenations of many shards: some at a time). A shard whose rows are
not wanted yet is not read, so that a slow client or a slow shard costs a window for each shard and
no more, whatever the size of the result.

However it ends, each statement on a shard has ended before the connections are given back: short
rests are read and dropped, long ones killed with KILL QUERY. Only when the client is gone are
connections closed instead.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.streams import ResultStream
from mitosis_gate.errors import NotSupported
from mitosis_gate.executor import merge
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.merging.groups import Groups, groups_of
from mitosis_gate.executor.merging.keys import Keys
from mitosis_gate.executor.merging.ordered import Run, next_rows
from mitosis_gate.executor.merging.rows import BinaryRows, Format, TextRows
from mitosis_gate.executor.merging.whole import Wholes, visible
from mitosis_gate.executor.merging.widths import Fit, fitting
from mitosis_gate.executor.turns import Turns
from mitosis_gate.executor.warned import Warned, told
from mitosis_gate.executor.writes import set_clock
from mitosis_gate.planner.plan import Flag, Recipe
from mitosis_gate.wire import packets
from mitosis_gate.wire.packets import Column

Backends = Sequence[tuple[str, BackendConnection]]
Begun = contextlib.AbstractAsyncContextManager[list[ResultStream]]
"""The statement has begun on all shards; at the end it runs on none."""
CONCATENATION = Recipe()
_AT_ONCE = 32
"""Shards that a concatenation reads at a time."""
_ROWS_AT_ONCE = 4096


@lru_cache(maxsize=4096)
def _column(definition: bytes) -> Column:
    return packets.column(definition)


_NO_LIMIT = 1 << 63


@dataclass(frozen=True)
class Limits:
    at_once: int = 32
    """Statements that may read from several shards at the same time, so that such statements never
    take all connections of a pool. Open transactions have theirs already and do not count."""
    sort_bytes: int = 64 << 20


class Merger:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.turns = Turns(limits.at_once)
        self.wholes = Wholes(limits.sort_bytes)
        """For answers that came whole; see `gathering`."""

    async def run(
        self,
        client: Client,
        shards: Sequence[str],
        sql: bytes,
        recipe: Recipe = CONCATENATION,
        flags: Flag = Flag.NONE,
    ) -> None:
        """Answer the client; raises what a shard says, also in the middle of rows.

        With Flag.CLOCK, NOW() has one value on all shards.
        """
        if recipe.limit is None:
            _must_be_unlimited(client)
        sets_clock = flags & Flag.CLOCK and client.variables.get("timestamp") is None
        now = time.time()
        warned = Warned(sql)
        async with contextlib.nullcontext() if client.in_transaction else self.turns:
            if is_merged(recipe):
                async with client.reading(shards) as backends:
                    if sets_clock:
                        await set_clock(backends, now)
                    begun = _streams(client, backends, sql)
                    warnings = await self._merged(client, backends, begun, recipe, warned)
            else:
                output = Output(client, recipe)
                warnings = 0
                for start in range(0, len(shards), _AT_ONCE):
                    async with client.reading(shards[start : start + _AT_ONCE]) as backends:
                        if sets_clock:
                            await set_clock(backends, now)
                        begun = _streams(client, backends, sql)
                        warnings += await _concatenated(client, backends, begun, output, warned)
                    if output.is_full:
                        break
        client.end_rows(min(warnings, merge.MOST_WARNINGS))

    async def go_on(
        self,
        client: Client,
        backends: Backends,
        streams: list[ResultStream],
        recipe: Recipe,
        sql: bytes,
    ) -> None:
        """As `run`, for a statement that has begun on connections, and with a turn, of the
        caller's."""
        begun, warned = _ended(client, streams), Warned(sql)
        if is_merged(recipe):
            warnings = await self._merged(client, backends, begun, recipe, warned)
        else:
            output = Output(client, recipe)
            warnings = await _concatenated(client, backends, begun, output, warned)
        client.end_rows(min(warnings, merge.MOST_WARNINGS))

    async def _merged(
        self, client: Client, backends: Backends, begun: Begun, recipe: Recipe, warned: Warned
    ) -> int:
        async with begun as streams:
            for stream in streams:
                await stream.start()
            head = merge.agreed_columns(
                [(shard, s.columns) for (shard, _), s in zip(backends, streams, strict=True)],
                widens=True,
            )
            columns = [_column(definition) for definition in head]
            sources = [_fitted(stream, columns) if client.binary else stream for stream in streams]
            rows: Format = BinaryRows(columns) if client.binary else TextRows()
            keys = Keys(recipe.order, columns, rows, client.binary)
            groups = None
            if recipe.groups is not None:
                sort_bytes = self._limits.sort_bytes
                groups = groups_of(recipe, columns, rows, client.binary, sort_bytes)
            output = Output(client, recipe)
            output.begin(visible(head, recipe))
            if groups is not None and not recipe.order:
                await _total(sources, groups, output)
            else:
                await _merge(sources, keys, rows, groups, output, recipe)
        return await _warnings(client, backends, streams, warned)


def is_merged(recipe: Recipe) -> bool:
    """Whether no row can go out before all shards have answered."""
    return bool(recipe.order) or recipe.groups is not None


def _must_be_unlimited(client: Client) -> None:
    """Each shard would apply it to its own rows."""
    limit = client.variables.get("sql_select_limit")
    if limit is not None and limit.isdigit() and int(limit) < _NO_LIMIT:
        raise NotSupported(
            f"sql_select_limit is {limit.decode()} and the rows come from several shards: write "
            "LIMIT into the statement, or SET sql_select_limit = DEFAULT"
        )


class Output:
    """What the client gets: rows behind the offset, up to the limit."""

    def __init__(self, client: Client, recipe: Recipe) -> None:
        self._client = client
        self._skip = recipe.offset
        self._left = recipe.limit
        self._head: Sequence[bytes] | None = None

    @property
    def is_full(self) -> bool:
        return self._left == 0

    def begin(self, columns: Sequence[bytes]) -> None:
        self._head = columns
        self._client.begin_rows(columns)

    def agree(self, shard: str, stream: ResultStream, first_shard: str) -> "Source":
        """Begin with the first shard's columns; raise ShardsDisagree when others are different.

        Returns the rows as the client can read them.
        """
        if self._head is None:
            self.begin(stream.columns)
            return stream
        merge.agreed_columns([(first_shard, self._head), (shard, stream.columns)], widens=True)
        return _fitted(stream, list(map(_column, self._head))) if self._client.binary else stream

    async def put(self, rows: Sequence[bytes]) -> None:
        if self._skip:
            skipped = min(self._skip, len(rows))
            self._skip -= skipped
            rows = rows[skipped:]
        if self._left is not None:
            rows = rows[: self._left]
            self._left -= len(rows)
        if rows:
            await self._client.send_rows(rows)


class Source(Protocol):
    async def next_rows(self) -> list[bytes]: ...


class _Fitted:
    """The rows of a stream, in other widths."""

    def __init__(self, stream: ResultStream, fit: Fit) -> None:
        self._stream = stream
        self._fit = fit

    async def next_rows(self) -> list[bytes]:
        return self._fit(await self._stream.next_rows())


def _fitted(stream: ResultStream, wanted: Sequence[Column]) -> Source:
    fit = fitting(list(map(_column, stream.columns)), wanted)
    return stream if fit is None else _Fitted(stream, fit)


async def _concatenated(
    client: Client, backends: Backends, begun: Begun, output: Output, warned: Warned
) -> int:
    async with begun as streams:
        for (shard, _), stream in zip(backends, streams, strict=True):
            await stream.start()
            source = output.agree(shard, stream, backends[0][0])
            while not output.is_full and (rows := await source.next_rows()):
                await output.put(rows)
            if output.is_full:
                break
    return await _warnings(client, backends, streams, warned)


async def _warnings(
    client: Client, backends: Backends, streams: Sequence[ResultStream], warned: Warned
) -> int:
    """How many warnings there are; they are kept for SHOW WARNINGS."""
    total = 0
    for (_, backend), stream in zip(backends, streams, strict=True):
        if not stream.ok.warnings:
            continue
        by_shard = [told(row) for row in (await backend.query(b"SHOW WARNINGS")).values()]
        new = warned.new(by_shard)
        client.keep_warnings(new)
        total += stream.ok.warnings - len(by_shard) + len(new)
    return total


async def _merge(
    streams: Sequence[Source],
    keys: Keys,
    rows: Format,
    groups: Groups | None,
    output: Output,
    recipe: Recipe,
) -> None:
    runs = [Run() for _ in streams]
    hidden = recipe.hidden if groups is None else 0
    is_simple = hidden == 1 and len(recipe.order) == 1 and recipe.order[0].column == 0
    while not output.is_full:
        for run, stream in zip(runs, streams, strict=True):
            if run.is_empty and not run.is_over:
                batch = await stream.next_rows()
                if not batch:
                    run.is_over = True
                elif is_simple:
                    run.put(*keys.peeled(batch))
                else:
                    run.put(keys.of(batch), rows.without(batch, hidden) if hidden else batch)
        if all([run.is_empty for run in runs]):
            break
        merged_keys, merged = next_rows(runs)
        await output.put(merged if groups is None else groups.add(merged_keys, merged))
    if groups is not None and not output.is_full:
        last = groups.end()
        for start in range(0, len(last), _ROWS_AT_ONCE):
            await output.put(last[start : start + _ROWS_AT_ONCE])


async def _total(streams: Sequence[Source], groups: Groups, output: Output) -> None:
    """All rows are one group: a row of each shard, as a rule."""
    rows: list[bytes] = []
    for stream in streams:
        while batch := await stream.next_rows():
            rows += batch
            if len(rows) > _ROWS_AT_ONCE:
                groups.add([()] * len(rows), rows)
                rows = []
    if rows:
        groups.add([()] * len(rows), rows)
    await output.put(groups.end())


@contextlib.asynccontextmanager
async def _streams(
    client: Client, backends: Backends, sql: bytes
) -> AsyncIterator[list[ResultStream]]:
    """The statement begun on all shards; at the end it runs on none."""
    streams: list[ResultStream] = []
    try:
        if client.binary:
            begun = await asyncio.gather(
                *(backend.begin_binary_stream(sql) for _, backend in backends),
                return_exceptions=True,
            )
            streams += [stream for stream in begun if isinstance(stream, ResultStream)]
            for failure in begun:
                if isinstance(failure, BaseException):
                    raise failure
        else:
            for _, backend in backends:
                streams.append(backend.begin_stream(sql))
        yield streams
    finally:
        await _end(client, streams)


@contextlib.asynccontextmanager
async def _ended(client: Client, streams: list[ResultStream]) -> AsyncIterator[list[ResultStream]]:
    """As `_streams`, of a statement that was begun elsewhere."""
    try:
        yield streams
    finally:
        await _end(client, streams)


async def _end(client: Client, streams: Sequence[ResultStream]) -> None:
    running = [stream for stream in streams if not stream.is_over]
    if not running:
        return
    try:
        if not client.is_gone:
            await asyncio.gather(*(stream.stop() for stream in running))
    finally:
        for stream in running:
            stream.abandon()
