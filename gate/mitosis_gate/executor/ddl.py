"""DDL on every shard: the same statement, in the same order, one shard after the other.

MySQL cannot undo DDL, so what matters is that a failure half way is told exactly: which shards
have the change, which one refused it and why, which were not tried. A failure on the first shard
changes nothing and is passed on as it came. As in MySQL, DDL goes on when its client is gone, and
stops when it is killed.
"""

import asyncio
import logging
from collections.abc import Sequence

from mitosis_gate import metrics
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import GateError, MysqlError, PartlyDone, QueryKilled
from mitosis_gate.executor.client import Client
from mitosis_gate.planner.plan import Ddl, DdlVerb
from mitosis_gate.wire.packets import Ok

log = logging.getLogger(__name__)

_AGAIN = {
    DdlVerb.CREATE_TABLE: "repeat it with IF NOT EXISTS",
    DdlVerb.CREATE_VIEW: "repeat it with OR REPLACE",
    DdlVerb.DROP_TABLE: "repeat it with IF EXISTS",
    DdlVerb.DROP_VIEW: "repeat it with IF EXISTS",
    DdlVerb.TRUNCATE_TABLE: "repeat it: doing it twice does no harm",
}
_OTHERWISE = (
    "on the shards that have it the same statement fails: undo it there, or do the rest shard by "
    "shard"
)


async def run_everywhere(
    plan: Ddl, backends: Sequence[tuple[str, BackendConnection]], sql: bytes
) -> list[Ok]:
    """Return what each shard answered; raise the first failure, or PartlyDone with the report."""
    answers: list[Ok] = []
    for shard, backend in backends:
        try:
            answers.append((await backend.query(sql)).ok)
        except (GateError, asyncio.CancelledError) as exc:
            problem = exc if isinstance(exc, GateError) else QueryKilled()
            names = [name for name, _ in backends]
            done = names[: len(answers)]
            metrics.DDL.labels(outcome="partly" if done else "failed").inc()
            if not done and isinstance(problem, MysqlError | QueryKilled):
                raise problem from exc
            report = _report(plan, done, shard, problem, names[len(done) + 1 :])
            log.error("%s", report)
            raise PartlyDone(report) from exc
    metrics.DDL.labels(outcome="done").inc()
    return answers


async def run_until_killed(
    plan: Ddl, backends: Sequence[tuple[str, BackendConnection]], sql: bytes, client: Client
) -> list[Ok]:
    """As `run_everywhere`, in a task that outlives the client but not KILL."""
    task = asyncio.create_task(run_everywhere(plan, backends, sql))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if client.is_gone:
            await asyncio.wait([task])
            task.exception()
            raise
        task.cancel()
        return await task


def _report(plan: Ddl, done: list[str], failed: str, exc: GateError, not_tried: list[str]) -> str:
    why = f"{exc.number} {exc.text}"
    parts = [
        f"{plan.verb.value} is done on {', '.join(done) or 'no shard'}",
        f"failed on {failed} ({why})",
    ]
    if not_tried:
        parts.append(f"was not tried on {', '.join(not_tried)}")
    return f"{'; '.join(parts)}. Remove the cause, then {_AGAIN.get(plan.verb, _OTHERWISE)}"
