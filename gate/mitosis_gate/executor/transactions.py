"""Writes that every shard must take: reference tables, whose copies stay equal.

Order of what happens, so that a failure leaves either nothing or a named difference:

1. A connection to every shard, before anything is sent: a shard that is away costs nothing.
2. On one shard after the other, in the order of the table: START TRANSACTION and the write. All
   gates take the shards in the same order, so that two writers of one row meet on the first shard
   and cannot lock each other out over two.
3. The answers must be alike. Anything wrong so far: ROLLBACK everywhere, nothing has happened.
4. COMMIT, one shard after the other. From the first one on there is no way back: a failure now is
   reported as `PartlyDone`, with the shards that have the write and those that have not.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import GateError, MysqlError, PartlyDone
from mitosis_gate.executor import merge
from mitosis_gate.wire.packets import Ok

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class Progress:
    """Which shards have the write; the text of the error when it stops half way."""

    done: list[str]
    unknown: list[str]
    not_done: list[str]

    def sentence(self) -> str:
        parts = (
            ("committed on", self.done),
            ("unknown on", self.unknown),
            ("not done on", self.not_done),
        )
        return "; ".join(f"{what} {', '.join(names)}" for what, names in parts if names)


async def write_alike(
    backends: Sequence[tuple[str, BackendConnection]], sql: bytes, clock: bytes
) -> Ok:
    """Run one write on all shards, or on none; `clock`: what NOW() goes by, or empty."""
    answers: list[tuple[str, Ok]] = []
    try:
        for shard, backend in backends:
            answers.append((shard, await _write(backend, sql, clock)))
        answer = merge.same_effect(answers)
    except GateError:
        await _roll_back(backends[: len(answers) + 1])
        raise
    await to_the_end(_commit(backends))
    return answer


async def _write(backend: BackendConnection, sql: bytes, clock: bytes) -> Ok:
    if clock:
        await backend.query(b"SET timestamp=" + clock)
    await backend.query(b"START TRANSACTION")
    return (await backend.query(sql)).ok


async def _roll_back(backends: Sequence[tuple[str, BackendConnection]]) -> None:
    for _, backend in backends:
        if backend.alive:
            try:
                await backend.query(b"ROLLBACK")
            except GateError:
                backend.close("rollback failed")


async def _commit(backends: Sequence[tuple[str, BackendConnection]]) -> None:
    progress = Progress([], [], [])
    problem: GateError | None = None
    for shard, backend in backends:
        if problem is not None:
            progress.not_done.append(shard)
            continue
        try:
            await backend.query(b"COMMIT")
            progress.done.append(shard)
        except GateError as exc:
            problem = exc
            known = isinstance(exc, MysqlError)
            (progress.not_done if known else progress.unknown).append(shard)
    if problem is None:
        return
    await _roll_back(backends[len(progress.done) + 1 :])
    if not progress.done and not progress.unknown:
        raise problem
    raise PartlyDone(
        f"a write to a reference table is {progress.sentence()} ({problem.text}): the copies may "
        "differ. Compare them, and repeat the write where it is missing"
    ) from problem


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


async def restore_clock(backends: Sequence[tuple[str, BackendConnection]]) -> None:
    """So that the next user of the connection has the time of day."""
    for _, backend in backends:
        if backend.alive:
            try:
                await backend.query(b"SET timestamp=DEFAULT")
            except GateError:
                backend.close("clock not restored")
