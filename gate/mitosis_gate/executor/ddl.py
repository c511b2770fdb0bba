"""DDL on every shard: the same statement, in the same order, one shard after the other.

MySQL cannot undo DDL, so what matters is that a failure half way is told exactly: which shards
have the change, which one refused it and why, which were not tried. A failure on the first shard
changes nothing and is passed on as it came. As in MySQL, DDL goes on when its client is gone, and
stops when it is killed.

Every shard gives the same warnings for the same statement, so each is told once; those that name a
row are about rows of the shard.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mitosis_gate import metrics
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import GateError, MysqlError, PartlyDone, QueryKilled
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.ddl_jobs import Job
from mitosis_gate.planner.plan import Ddl, DdlVerb
from mitosis_gate.wire.packets import Ok

log = logging.getLogger(__name__)

_NO_SUCH_TABLE = 1146
_DENIED = 1142
_HAS_IT = frozenset({1007, 1050, 1051, 1060, 1061, 1068, 1091, 1146, 1826, 3822})
"""Errors of a change that has been made already: exists, is unknown, duplicate, cannot drop."""
_NEXT_NUMBER = re.compile(rb" AUTO_INCREMENT=\d+")
_OF_A_ROW = re.compile(r" at row \d+$")

_AGAIN = {
    DdlVerb.CREATE_TABLE: "repeat it with IF NOT EXISTS",
    DdlVerb.CREATE_VIEW: "repeat it with OR REPLACE",
    DdlVerb.ALTER_VIEW: "repeat it: doing it twice does no harm",
    DdlVerb.DROP_TABLE: "repeat it with IF EXISTS",
    DdlVerb.DROP_VIEW: "repeat it with IF EXISTS",
    DdlVerb.TRUNCATE_TABLE: "repeat it: doing it twice does no harm",
}
_GOES_ON = "repeat the same statement: it goes on with the shards that do not have it"
_OTHERWISE = (
    "on the shards that have it the same statement fails: undo it there, or do the rest shard by "
    "shard"
)


@dataclass
class Warned:
    """The warnings of all shards."""

    count: int = 0
    told: list[tuple[bytes, int, str]] = field(default_factory=list)
    """Level, code and text; there may be fewer, as a server keeps only some."""

    async def hear(self, backend: BackendConnection, ok: Ok) -> None:
        """Call it before anything else runs there."""
        if not ok.warnings:
            return
        try:
            rows = (await backend.query(b"SHOW WARNINGS")).values()
        except GateError as exc:
            log.warning("cannot read the warnings of DDL: %s", exc.text)
            rows = []
        told = [
            (level or b"", int(code or 0), (text or b"").decode(errors="replace"))
            for level, code, text in rows
        ]
        new = [w for w in told if w not in self.told or _OF_A_ROW.search(w[2])]
        self.told += new
        self.count += ok.warnings - len(told) + len(new)


async def run_everywhere(
    plan: Ddl,
    backends: Sequence[tuple[str, BackendConnection]],
    sql: bytes,
    job: Job | None = None,
) -> Warned:
    """Return the warnings; raise the first failure, or PartlyDone with the report."""
    warned = Warned()
    names = [name for name, _ in backends]
    for at, (shard, backend) in enumerate(backends):
        try:
            await _run_on(shard, backend, sql, job, warned)
        except (GateError, asyncio.CancelledError) as exc:
            problem = exc if isinstance(exc, GateError) else QueryKilled()
            done = names[:at]
            metrics.DDL.labels(outcome="partly" if done else "failed").inc()
            if not done and isinstance(problem, MysqlError | QueryKilled):
                raise problem from exc
            report = _report(plan, done, shard, problem, names[len(done) + 1 :], job)
            log.error("%s", report)
            raise PartlyDone(report) from exc
    if job is not None:
        await _verify(plan, backends)
    metrics.DDL.labels(outcome="done").inc()
    return warned


async def _run_on(
    shard: str, backend: BackendConnection, sql: bytes, job: Job | None, warned: Warned
) -> None:
    """Make the change on one shard, if an earlier run of the job has not made it there."""
    if job is not None and job.is_done(shard):
        return
    if job is not None:
        await job.begins(shard)
    ok = Ok()
    try:
        ok = (await backend.query(sql)).ok
    except MysqlError as exc:
        if job is None:
            raise
        if not (job.may_be_done(shard) and exc.number in _HAS_IT):
            await job.did_not(shard)
            raise
    if job is not None:
        await job.did(shard)
    await warned.hear(backend, ok)


async def _verify(plan: Ddl, backends: Sequence[tuple[str, BackendConnection]]) -> None:
    """Each table is the same on all shards, or the first two that differ are named."""
    for table in plan.tables if len(backends) > 1 else ():
        found = [(shard, await _definition(backend, table)) for shard, backend in backends]
        first_shard, first = found[0]
        for shard, definition in found[1:]:
            if definition != first:
                metrics.DDL.labels(outcome="differs").inc()
                raise PartlyDone(
                    f"{plan.verb.value} was carried out, and table {table} is not the same on "
                    f"{first_shard} and {shard}: compare SHOW CREATE TABLE there, and make them "
                    "equal on the shards themselves"
                )


async def _definition(backend: BackendConnection, table: str) -> bytes | None:
    """What SHOW CREATE TABLE says, but for the next number; None: there is no such table."""
    name = table.encode().replace(b"`", b"``")
    try:
        rows = (await backend.query(b"SHOW CREATE TABLE `%b`" % name)).values()
    except MysqlError as exc:
        if exc.number == _NO_SUCH_TABLE:
            return None
        if exc.number == _DENIED:  # who may make views may not always see them
            return b""
        raise
    return _NEXT_NUMBER.sub(b"", rows[0][1] or b"")


async def run_until_killed(
    plan: Ddl,
    backends: Sequence[tuple[str, BackendConnection]],
    sql: bytes,
    client: Client,
    job: Job | None = None,
) -> Warned:
    """As `run_everywhere`, in a task that outlives the client but not KILL."""
    task = asyncio.create_task(run_everywhere(plan, backends, sql, job))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if client.is_gone:
            await asyncio.wait([task])
            task.exception()
            raise
        task.cancel()
        return await task


def _report(
    plan: Ddl,
    done: list[str],
    failed: str,
    exc: GateError,
    not_tried: list[str],
    job: Job | None,
) -> str:
    why = f"{exc.number} {exc.text}"
    parts = [
        f"{plan.verb.value} is done on {', '.join(done) or 'no shard'}",
        f"failed on {failed} ({why})",
    ]
    if not_tried:
        parts.append(f"was not tried on {', '.join(not_tried)}")
    again = _GOES_ON if job is not None else _AGAIN.get(plan.verb, _OTHERWISE)
    return f"{'; '.join(parts)}. Remove the cause, then {again}"
