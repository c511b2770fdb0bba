"""Plans of several shards: what each shard is asked, and what the client gets."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from patience import until
from tables import a_table

from fakes.backend import FakeBackend, FakeClient, FakeTopology, Script, done, rows, told
from mitosis_gate.backends.sinks import Result
from mitosis_gate.errors import (
    BackendLost,
    GateError,
    InTransaction,
    MysqlError,
    PartlyDone,
    QueryKilled,
    ShardsDisagree,
)
from mitosis_gate.executor.merging.streams import Limits, Merger
from mitosis_gate.executor.run import Executor
from mitosis_gate.executor.sequences import Sequences
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import (
    AnyShard,
    Assignment,
    Ddl,
    DdlVerb,
    EveryShard,
    Flag,
    Plan,
    SetClass,
    SetStatement,
    SetTransaction,
    UnknownTable,
)
from mitosis_gate.planner.schema import Column, Schema, Table
from mitosis_gate.wire import constants as c

A, B, C = "shop-0-1365", "shop-1365-2730", "shop-2730-4096"
EVERY = EveryShard((0, 1, 2))
ALTER = Ddl(DdlVerb.ALTER_TABLE, ("users",), (0, 1, 2))
DUPLICATE = MysqlError(1062, "23000", "Duplicate entry")
LOST = BackendLost("the connection broke")


class Planners:
    """Gives planners of the schemas it is told, one after the other."""

    def __init__(self, world: "World", *schemas: Schema) -> None:
        self._world = world
        self._schemas = list(schemas) or [Schema()]
        self.refreshed = 0

    async def ready(self, keyspace: str) -> Planner:
        return Planner(self._schemas[0], self._world.client.table)

    async def known_again(self, keyspace: str, name: str) -> Planner:
        return await self.refresh(keyspace)

    async def refresh(self, keyspace: str) -> Planner:
        self.refreshed += 1
        return Planner(self._schemas[-1], self._world.client.table)


class World:
    def __init__(self, scripts: Sequence[Script | None] = (None, None, None)) -> None:
        table = a_table(epochs=(1, 1, 1))
        assert [s.name for s in table.shards] == [A, B, C]
        self.backends = [
            FakeBackend(s.name, script or (lambda sql: None))
            for s, script in zip(table.shards, scripts, strict=True)
        ]
        self.client = FakeClient(table, *self.backends)
        self.planners = Planners(self)
        self.topology = FakeTopology(*self.backends)

    @property
    def answers(self) -> list[Any]:
        return self.client.answers

    def executor(self) -> Executor:
        return Executor(
            self.planners,  # type: ignore[arg-type]
            self.topology,  # type: ignore[arg-type]
            Merger(Limits()),
            Sequences(self.topology, self.planners, 1000, lambda keyspace: 1),  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]  # nothing here is finished on a merge server
        )

    async def execute(self, plan: Plan, sql: bytes = b"SELECT") -> None:
        await self.executor().execute(plan, sql, self.client)  # type: ignore[arg-type]

    def all_given_back(self) -> bool:
        return not self.client.lent and all(b.given_back == 1 for b in self.backends)

    def asked(self, *words: bytes) -> list[list[bytes]]:
        return [b.statements(*words) for b in self.backends]


def answers(*results: Any) -> World:
    """Each shard answers every statement of the client with one of these."""

    def script(result: Any) -> Script:
        return lambda sql: result if sql == b"SELECT" else None

    return World([script(r) for r in results])


# writes to every shard


async def test_a_write_runs_in_a_transaction_of_its_own_on_each_shard() -> None:
    world = answers(*[done(2, info=b"x")] * 3)
    await world.execute(EVERY)
    expected = [b"START TRANSACTION", b"SELECT", b"COMMIT"]
    assert [b.asked for b in world.backends] == [expected] * 3
    assert world.answers == [("ok", 2, 0)]
    assert world.all_given_back()


async def test_copies_get_the_same_time() -> None:
    world = World([lambda sql: done(1) if b"UPDATE" in sql else None] * 3)
    every = EveryShard((0, 1, 2), Flag.WRITE | Flag.CLOCK)
    await world.execute(every, b"UPDATE t SET a = NOW()")
    sent = world.asked(b"UPDATE /*+ SET_VAR(timestamp=")
    assert sent[0] == sent[1] == sent[2] and len(sent[0]) == 1


async def test_copies_get_the_same_time_where_no_hint_can_stand() -> None:
    world = answers(*[done(1)] * 3)
    await world.execute(EveryShard((0, 1, 2), Flag.WRITE | Flag.CLOCK))
    times = world.asked(b"SET SESSION timestamp")
    assert times[0] == times[1] == times[2] and len(times[0]) == 1
    assert all(b.applied.get("timestamp") for b in world.backends), "to be set back by the next"


@pytest.mark.parametrize("failing", [0, 1, 2])
async def test_a_write_that_one_shard_refuses_is_undone_on_all(failing: int) -> None:
    world = answers(*[DUPLICATE if n == failing else done(1) for n in range(3)])
    with pytest.raises(MysqlError) as error:
        await world.execute(EVERY)
    assert error.value is DUPLICATE
    assert world.asked(b"COMMIT") == [[], [], []]
    assert not any(b.in_transaction for b in world.backends)
    assert world.all_given_back()


async def test_a_write_that_changes_copies_differently_is_undone_on_all() -> None:
    world = answers(done(1), done(1), done(0))
    with pytest.raises(ShardsDisagree):
        await world.execute(EVERY)
    assert world.asked(b"COMMIT", b"ROLLBACK") == [[b"ROLLBACK"]] * 3


async def test_a_first_commit_that_is_refused_leaves_nothing() -> None:
    world = World([lambda sql: DUPLICATE if sql == b"COMMIT" else None, None, None])
    with pytest.raises(MysqlError):
        await world.execute(EVERY)
    assert world.asked(b"COMMIT") == [[b"COMMIT"], [], []]


# DDL


async def test_ddl_commits_first_and_the_schema_is_read_again_after() -> None:
    world = answers(*[done()] * 3)
    await world.execute(ALTER)
    assert world.client.commits == 1
    assert world.asked(b"SELECT") == [[b"SELECT"]] * 3
    assert world.answers == [("ok", 0, 0)]
    assert world.planners.refreshed == 1
    assert world.all_given_back()


def warned(*warnings: tuple[str, int, str]) -> Script:
    """A shard that takes the statement with these warnings."""

    def script(sql: bytes) -> Result | None:
        if sql == b"SHOW WARNINGS":
            return rows(*warnings, names=("Level", "Code", "Message"))
        return done(warnings=len(warnings)) if sql == b"SELECT" else None

    return script


async def test_every_shard_warns_of_the_same_statement_and_the_client_hears_it_once() -> None:
    note = ("Note", 1051, "Unknown table 'shop.users'")
    cut = ("Warning", 1265, "Data truncated for column 'name' at row 1")
    world = World([warned(note, cut), warned(note), warned(note, cut)])
    await world.execute(ALTER)
    assert world.answers == [("ok", 0, 3)]
    first, second = (b"Note", *note[1:]), (b"Warning", *cut[1:])
    assert world.client.kept == [first, second, second]


async def test_warnings_that_cannot_be_read_are_counted() -> None:
    world = World([lambda sql: LOST if sql == b"SHOW WARNINGS" else done(warnings=2), None, None])
    await world.execute(ALTER)
    assert world.answers == [("ok", 0, 2)]


async def test_ddl_gives_the_warnings_of_its_plan_behind_those_of_the_shards() -> None:
    world = World([warned(("Note", 1050, "exists"))] * 3)
    apart = (1503, "PRIMARY KEY (id) is unique only within a shard")
    await world.execute(replace(ALTER, warnings=(apart,)))
    assert world.answers == [("ok", 0, 2)]
    assert (world.client.kept, world.client.warned) == ([(b"Note", 1050, "exists")], [apart])


async def test_ddl_that_fails_gives_no_warnings_of_its_plan() -> None:
    world = answers(DUPLICATE, done(), done())
    with pytest.raises(MysqlError):
        await world.execute(replace(ALTER, warnings=((1503, "apart"),)))
    assert world.client.warned == []


async def test_ddl_refused_by_the_first_shard_goes_no_further() -> None:
    world = answers(DUPLICATE, done(), done())
    with pytest.raises(MysqlError) as error:
        await world.execute(ALTER)
    assert error.value is DUPLICATE
    assert world.asked(b"SELECT") == [[b"SELECT"], [], []]


async def test_ddl_that_fails_half_way_reports_every_shard() -> None:
    world = answers(done(), DUPLICATE, done())
    with pytest.raises(PartlyDone) as error:
        await world.execute(ALTER)
    text = error.value.text
    assert f"ALTER TABLE is done on {A}" in text
    assert f"failed on {B} (1062 Duplicate entry)" in text
    assert f"was not tried on {C}" in text
    assert world.planners.refreshed == 1
    assert world.all_given_back()


@pytest.mark.parametrize(
    ("verb", "advice"),
    [(DdlVerb.CREATE_TABLE, "IF NOT EXISTS"), (DdlVerb.DROP_TABLE, "IF EXISTS")],
)
async def test_the_report_says_how_to_go_on(verb: DdlVerb, advice: str) -> None:
    world = answers(done(), LOST, done())
    with pytest.raises(PartlyDone, match=advice):
        await world.execute(Ddl(verb, ("users",), (0, 1, 2)))


async def test_ddl_goes_on_when_the_client_is_gone() -> None:
    held = asyncio.Event()
    world = World([None, lambda sql: held, None])
    task = asyncio.create_task(world.execute(ALTER))
    await until(lambda: bool(world.backends[1].asked))
    world.client.is_gone = True
    task.cancel()
    await asyncio.sleep(0)
    held.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.asked(b"SELECT") == [[b"SELECT"]] * 3
    assert world.all_given_back()


async def test_killed_ddl_stops_and_reports() -> None:
    world = World([None, lambda sql: asyncio.Event(), None])
    task = asyncio.create_task(world.execute(ALTER))
    await until(lambda: bool(world.backends[1].asked))
    task.cancel()
    with pytest.raises(PartlyDone, match=f"done on {A}; failed on {B}"):
        await task
    assert world.asked(b"SELECT")[2] == []
    assert world.all_given_back()


async def test_ddl_killed_on_its_first_shard_has_done_nothing() -> None:
    world = World([lambda sql: asyncio.Event(), None, None])
    task = asyncio.create_task(world.execute(ALTER))
    await until(lambda: bool(world.backends[0].asked))
    task.cancel()
    with pytest.raises(QueryKilled):
        await task


async def test_maintenance_gives_the_rows_of_every_shard() -> None:
    world = answers(rows(["ok"]), rows(["ok"]), rows(["corrupt"]))
    await world.execute(Ddl(DdlVerb.MAINTAIN, ("users",), (0, 1, 2)))
    assert [a[1] for a in world.answers if a[0] == "row"] == [b"ok", b"ok", b"corrupt"]


# unknown tables


async def test_a_table_made_meanwhile_is_found_by_reading_the_schema_once_more() -> None:
    world = answers(rows([1]), rows([1]), rows([1]))
    table = Table("countries", (Column("code", "char(2)", "utf8mb4_bin"),))
    world.planners = Planners(world, Schema({"countries": table}))
    await world.execute(UnknownTable("shop", "countries"), b"SELECT code FROM countries")
    assert world.planners.refreshed == 1
    assert world.answers == [("relayed", A)]


async def test_a_table_that_is_still_unknown_is_1146() -> None:
    world = World()
    with pytest.raises(GateError) as error:
        await world.execute(UnknownTable("shop", "countries"), b"SELECT code FROM countries")
    assert error.value.number == 1146
    assert world.planners.refreshed == 1


# one shard


async def test_any_shard_prefers_the_transaction_then_the_statement_before() -> None:
    world = World()
    plan = AnyShard((0, 1, 2))
    await world.execute(plan)
    world.client.last_shard = C
    await world.execute(plan)
    world.client.bound_shard = B
    await world.execute(plan)
    assert world.answers == [("relayed", A), ("relayed", C), ("relayed", B)]


# variables


def setting(*parts: tuple[str, bytes, SetClass]) -> SetStatement:
    return SetStatement(tuple(Assignment(*part) for part in parts))


async def test_set_keeps_what_the_server_understood() -> None:
    world = World([lambda sql: told(sql_mode=b"ANSI,PIPES"), None, None])
    await world.execute(setting(("sql_mode", b"'ansi'", SetClass.APPLY)))
    assert world.client.variables.get("sql_mode") == b"'ANSI,PIPES'"
    assert world.backends[0].applied is world.client.variables
    assert world.answers == [("ok", 0, 0)]


async def test_set_keeps_nothing_when_the_server_refuses() -> None:
    refusal = MysqlError(1231, "42000", "Variable can't be set")
    world = World([lambda sql: refusal, None, None])
    with pytest.raises(MysqlError):
        await world.execute(setting(("sql_mode", b"'x'", SetClass.APPLY)))
    assert len(world.client.variables) == 0


async def test_what_a_server_took_is_believed_for_a_while() -> None:
    world = World([lambda sql: told(sql_mode=b"X"), None, None])
    executor = world.executor()
    plan = setting(("sql_mode", b"'x'", SetClass.APPLY))
    await executor.execute(plan, b"SET", world.client)  # type: ignore[arg-type]
    other = FakeClient(world.client.table)
    await executor.execute(plan, b"SET", other)  # type: ignore[arg-type]
    assert other.variables is world.client.variables
    assert len(world.backends[0].asked) == 1


async def test_default_takes_the_variable_out() -> None:
    world = World()
    world.client.variables = world.client.variables.with_("sql_mode", b"'x'")
    await world.execute(setting(("sql_mode", b"DEFAULT", SetClass.APPLY)))
    assert world.client.variables.get("sql_mode") is None


async def test_ignored_variables_are_warned_about() -> None:
    world = World()
    await world.execute(setting(("profiling", b"1", SetClass.IGNORE)))
    assert world.answers == [("ok", 0, 1)]
    ((_, text),) = world.client.warned
    assert text.startswith("profiling ")
    assert world.asked(b"") == [[], [], []]


async def test_autocommit_is_the_sessions_and_turning_it_on_commits() -> None:
    world = World()
    await world.execute(setting(("autocommit", b"0", SetClass.GATE)))
    assert not world.client.autocommit
    await world.execute(setting(("autocommit", b"1", SetClass.GATE)))
    assert world.client.autocommit
    assert world.client.commits == 1
    assert world.asked(b"") == [[], [], []]


async def test_an_expression_becomes_the_literal_that_the_server_computes() -> None:
    def script(sql: bytes) -> Any:
        return rows(["57"], type=c.TYPE_VAR_STRING) if sql.startswith(b"SELECT") else None

    world = World([script, None, None])
    plan = SetStatement((Assignment("a", b"CONCAT(5, 7)", SetClass.USER, literal=False),))
    await world.execute(plan)
    assert world.client.variables.get("@a") == b"'57'", "a text stays a text"


async def test_the_next_transaction_is_told_and_a_running_one_cannot_change() -> None:
    world = World()
    plan = SetTransaction(session=False, read_only=True)
    await world.execute(plan, b"SET TRANSACTION READ ONLY")
    assert world.client.next == [b"SET TRANSACTION READ ONLY"]
    world.client.in_transaction = True
    with pytest.raises(InTransaction):
        await world.execute(plan, b"SET TRANSACTION READ ONLY")


async def test_the_sessions_isolation_is_one_of_its_variables() -> None:
    world = World()
    await world.execute(SetTransaction(session=True, isolation="READ COMMITTED", read_only=False))
    assert world.client.variables.get("transaction_isolation") == b"'READ-COMMITTED'"
    assert world.client.variables.get("transaction_read_only") == b"'OFF'"
