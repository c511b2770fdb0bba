"""Carries out the plans that a session does not serve by itself: those of several shards.

Every way through here answers the client exactly once, or raises: a GateError becomes the ERR
packet. A client that goes away cancels what runs; connections are given back in `finally`, and
those in the middle of something are closed by whoever gets them back.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

from mitosis_gate import metrics
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import (
    GateError,
    InternalError,
    InTransaction,
    MysqlError,
    SchemaChanged,
    SeveralShards,
    ShardUnavailable,
)
from mitosis_gate.executor import ddl, explain, keyed, merge, own_variables, together
from mitosis_gate.executor.assignments import Assignments
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.computing import computed, read_first
from mitosis_gate.executor.copying import Copying, CopyLimits
from mitosis_gate.executor.ddl_jobs import Job, Jobs
from mitosis_gate.executor.finish import Finisher
from mitosis_gate.executor.load_data import load
from mitosis_gate.executor.merging.streams import Merger
from mitosis_gate.executor.sequences import Sequences
from mitosis_gate.executor.writes import Writes
from mitosis_gate.planner import plan as plans
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.hints import refused_scatter
from mitosis_gate.planner.pinning import pinning_of
from mitosis_gate.planner.plan import DdlVerb, Flag, Plan

log = logging.getLogger(__name__)

Backends = Sequence[tuple[str, BackendConnection]]
_NUMBERED_ANEW = frozenset({DdlVerb.TRUNCATE_TABLE, DdlVerb.DROP_TABLE, DdlVerb.RENAME_TABLE})


class PlannerSource(Protocol):
    """The part of `Planners` that execution needs."""

    async def ready(self, keyspace: str) -> Planner: ...

    async def refresh(self, keyspace: str) -> Planner: ...

    async def look(self, keyspace: str) -> None: ...

    async def known_again(self, keyspace: str, name: str) -> Planner: ...


class Lender(Protocol):
    """The part of `Topology` that takes connections back."""

    def give_back(self, connection: BackendConnection) -> None: ...


class Executor:
    """One for a gate process; `execute` is what sessions call."""

    def __init__(
        self,
        planners: PlannerSource,
        lender: Lender,
        merger: Merger,
        sequences: Sequences,
        finisher: Finisher,
        copy_limits: CopyLimits = CopyLimits(),  # noqa: B008  it never changes
        jobs: Jobs | None = None,
    ) -> None:
        """`jobs`: None where changes of the schema are not remembered."""
        self._jobs = jobs
        self._planners = planners
        self._lender = lender
        self._merger = merger
        self._finisher = finisher
        self._assignments = Assignments()
        self._sequences = sequences
        self._writes = Writes(sequences)
        self._copy_limits = copy_limits
        self._copying = Copying(self._writes, self._execute, copy_limits)

    async def execute(self, plan: Plan, sql: bytes, client: Client) -> None:
        count, seconds = metrics.of_plan(type(plan).__name__)
        count.inc()
        with seconds.time():
            _judge_scatter(plan, client)
            await self._execute(plan, sql, client)

    async def _execute(self, plan: Plan, sql: bytes, client: Client) -> None:
        match plan:
            case plans.UnknownTable():
                await self._execute(await self._planned_again(plan, sql, client), sql, client)
            case plans.OneShardAs(shard=shard, flags=flags, text=text):
                await _one_shard(client, client.table.shards[shard].name, flags, text)
            case plans.OneShard(shard=shard, flags=flags):
                await _one_shard(client, client.table.shards[shard].name, flags, sql)
            case plans.AnyShard(shards=shards, flags=flags):
                await _one_shard(client, _preferred(client, shards), flags, sql)
            case plans.Scatter(shards=shards):
                await self._merger.run(client, _names(client, shards), sql)
            case plans.Merge(shards=shards, text=text, recipe=recipe, flags=flags):
                await self._merger.run(client, _names(client, shards), text, recipe, flags)
            case plans.Hinted():
                with _wishing(plan, client):
                    await self._execute(plan.inner, sql, client)
            case plans.Together():
                await together.carry_out(plan, sql, client)
            case plans.ExplainOne():
                await explain.explain_one(plan, sql, client)
            case plans.GateExplain():
                await explain.gate_explain(plan, client, self._execute)
            case plans.Finish():
                await self._finisher.run(plan, sql, client)
            case plans.EveryShard() | plans.SplitWrite() | plans.NumberedWrite():
                await self._writes.carry_out(plan, sql, client)
            case plans.ComputedWrite():
                await self._computed(plan, sql, client)
            case plans.KeyedWrite():
                planner, limits = await self._planner(client), self._copy_limits
                await keyed.carry_out(plan, sql, planner, client, self._execute, limits)
            case plans.CopyRows():
                await self._copying.copy(plan, await self._planner(client), client)
            case plans.MovedRows():
                await self._copying.move(plan, await self._planner(client), client)
            case plans.LoadData():
                await load(plan, client, self._sequences)
            case plans.LimitedWrite():
                await self._copying.limited(plan, await self._planner(client), client)
            case plans.Ddl():
                await self._ddl(plan, sql, client)
            case plans.SetStatement():
                planner = await self._planners.ready(client.account.keyspace)
                await self._assignments.carry_out(plan, client, planner)
            case plans.OwnVariables():
                own_variables.answer(plan, client)
            case plans.SetTransaction():
                _set_transaction(plan, sql, client)
            case plans.Refuse(code=code, sqlstate=state, message=message):
                raise MysqlError(code, state, message)
            case _:
                raise InternalError(f"a {type(plan).__name__} is the session's to carry out")

    async def _computed(self, plan: plans.ComputedWrite, sql: bytes, client: Client) -> None:
        planner = await self._planner(client)

        async def write(text: bytes, client: Client) -> None:
            write = planner.route(text, client.variant)
            _judge_scatter(write, client)
            if isinstance(write, plans.ComputedWrite) and write.reads >= plan.reads:
                raise InternalError("a computed value is no literal")
            if isinstance(write, plans.OneShard):
                own = write.text if isinstance(write, plans.OneShardAs) else text
                part = plans.Part(write.shard, own)
                write = plans.SplitWrite((part,), plans.Wrote.COPY, write.flags)
            await self._execute(write, text, client)

        if plan.reads:
            limits = self._copy_limits
            await read_first(plan, sql, planner, client, self._execute, limits, write)
            return
        async with computed(plan, planner, client) as text:
            await write(text, client)

    async def _planner(self, client: Client) -> Planner:
        """The one that made the plan: shards are counted alike."""
        planner = await self._planners.ready(client.account.keyspace)
        if planner.table is not client.table:
            raise ShardUnavailable("the routing table has just changed: repeat the statement")
        return planner

    async def _planned_again(self, plan: plans.UnknownTable, sql: bytes, client: Client) -> Plan:
        """Somebody else may have made the table since the schema was read, or changes it now."""
        planner = await self._planners.known_again(client.account.keyspace, plan.name)
        if planner.table is not client.table:
            raise ShardUnavailable("the routing table has just changed: repeat the statement")
        again = planner.route(sql, client.variant)
        if isinstance(again, plans.UnknownTable):
            raise explain.unknown_table(again)
        return again

    async def _ddl(self, plan: plans.Ddl, sql: bytes, client: Client) -> None:
        await client.commit()
        shards = _names(client, plan.shards)
        if plan.verb is DdlVerb.MAINTAIN:
            await self._merger.run(client, shards, sql)
            return
        try:
            async with self._job(plan, sql, client) as job:
                if job is not None:
                    await job.settle()
                async with self._owned(client, shards) as backends:
                    warned = await ddl.run_until_killed(plan, backends, sql, client, job)
                if await self._renumber(plan, client) and job is not None:
                    await job.tell()
        finally:
            await self._reload(client.account.keyspace)
        client.keep_warnings(warned.told)
        for code, text in plan.warnings:
            client.warn(code, text)
        count = warned.count + len(plan.warnings)
        client.send_ok(warnings=min(count, merge.MOST_WARNINGS))

    def _job(
        self, plan: plans.Ddl, sql: bytes, client: Client
    ) -> contextlib.AbstractAsyncContextManager[Job | None]:
        if self._jobs is None or len(client.table.shards) == 1:
            return contextlib.nullcontext()
        keyspace = client.account.keyspace

        async def judge() -> None:
            """Another job may have had its turn since the statement was planned."""
            await self._planners.look(keyspace)
            planner = await self._planners.ready(keyspace)
            again = planner.route(sql, client.variant)
            again = again.inner if isinstance(again, plans.Hinted) else again
            if planner.table is not client.table or again != plan:
                raise SchemaChanged(
                    f"the schema of {keyspace} changed while {plan.verb.value} waited for its turn:"
                    " repeat"
                )

        return self._jobs.job(keyspace, client.table, plan, sql, judge)

    async def _renumber(self, plan: plans.Ddl, client: Client) -> bool:
        """What is a table's next number may be another one now; says whether all must know."""
        keyspace = client.account.keyspace
        if plan.verb is DdlVerb.ALTER_TABLE:
            self._sequences.forget(keyspace, plan.tables)
        elif plan.verb in _NUMBERED_ANEW and len(client.table.shards) > 1:
            try:
                return await self._sequences.reset(keyspace, plan.tables)
            except GateError as exc:
                log.warning(
                    "cannot reset the AUTO_INCREMENT numbers of %s: %s",
                    ", ".join(plan.tables),
                    exc.text,
                )
        return False

    async def _reload(self, keyspace: str) -> None:
        """The answer is about the DDL, whatever becomes of this; the next reading makes it good."""
        try:
            await self._planners.refresh(keyspace)
        except GateError as exc:
            log.warning("cannot read the schema of %s after DDL: %s", keyspace, exc.text)

    @contextlib.asynccontextmanager
    async def _owned(self, client: Client, shards: Sequence[str]) -> AsyncIterator[Backends]:
        """As `_lent`, for work that goes on when the client is gone."""
        backends: list[tuple[str, BackendConnection]] = []
        try:
            for shard in shards:
                backend = await client.backend(shard, outside=True)
                client.disown(backend)
                backends.append((shard, backend))
            yield backends
        finally:
            for _, backend in backends:
                self._lender.give_back(backend)


def _names(client: Client, shards: Sequence[int]) -> list[str]:
    return [client.table.shards[index].name for index in shards]


def _preferred(client: Client, shards: Sequence[int]) -> str:
    names = _names(client, shards)
    wanted = client.bound_shard or client.last_shard
    return wanted if wanted in names else names[0]


async def _one_shard(client: Client, shard: str, flags: Flag, sql: bytes) -> None:
    if flags & Flag.LAST and client.last_shard not in (None, shard):
        raise SeveralShards(
            f"it asks about the statement before, which ran on shard {client.last_shard}, "
            f"and its own rows are on {shard}: ask in a statement of its own"
        )
    if flags & Flag.COMMITS:
        await client.commit()
    backend = await client.backend(shard)
    try:
        if await client.relay(backend, sql) is not None and flags & Flag.PINS:
            for reason in pinning_of(sql).reasons:
                client.pin(reason, backend)
    finally:
        client.give_back(backend)


def _judge_scatter(plan: Plan, client: Client) -> None:
    """What the session's gate_scatter says to statements over several shards."""
    setting = client.own("gate_scatter")
    if isinstance(plan, plans.Hinted):
        if plan.scatter:
            return
        plan = plan.inner
    refusal = None if setting == "allow" else refused_scatter(plan)
    if refusal is None:
        return
    if setting == "deny":
        raise MysqlError(refusal.code, refusal.sqlstate, refusal.message)
    client.warn(refusal.code, "this statement needs several shards (gate_scatter=warn)")


@contextlib.contextmanager
def _wishing(plan: plans.Hinted, client: Client) -> Iterator[None]:
    """The session's own variables are for one statement what its hints say."""
    wishes = {"gate_read_from": plan.read} if plan.read else {}
    if plan.timeout_seconds is not None:
        wishes["gate_statement_seconds"] = str(plan.timeout_seconds)
    before = {name: client.own(name) for name in wishes}
    for name, value in wishes.items():
        client.set_own(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            client.set_own(name, value)


def _set_transaction(plan: plans.SetTransaction, sql: bytes, client: Client) -> None:
    if not plan.session:
        if client.in_transaction:
            raise InTransaction(
                "Transaction characteristics can't be changed while a transaction is in progress"
            )
        if plan.isolation:
            client.next_transaction(b"SET TRANSACTION ISOLATION LEVEL " + plan.isolation.encode())
        if plan.read_only is not None:
            access = b"ONLY" if plan.read_only else b"WRITE"
            client.next_transaction(b"SET TRANSACTION READ " + access)
        client.send_ok()
        return
    new = client.variables
    if plan.isolation:
        value = "'" + plan.isolation.replace(" ", "-") + "'"
        new = new.with_("transaction_isolation", value.encode())
    if plan.read_only is not None:
        new = new.with_("transaction_read_only", b"'ON'" if plan.read_only else b"'OFF'")
    client.variables = new
    client.send_ok()
