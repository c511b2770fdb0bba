"""Changes of the schema as jobs: in which order a job that is announced does what it does."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tables import a_table

from fakes.backend import FakeBackend, FakeTopology, done, rows
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.sinks import Result
from mitosis_gate.errors import GateError, SchemaChanged, ShardUnavailable
from mitosis_gate.executor.ddl_jobs import Job, Jobs
from mitosis_gate.executor.epochs import EPOCH, SETTLE_SECONDS
from mitosis_gate.planner.plan import Ddl, DdlVerb

FIRST, SECOND = "shop-0-2048", "shop-2048-4096"
ALTER = Ddl(DdlVerb.ALTER_TABLE, ("users",), (0, 1), reroutes=True)
PLAIN = Ddl(DdlVerb.ALTER_TABLE, ("users",), (0, 1))
STATEMENT = b"ALTER TABLE users ..."


class Accounts:
    def gate(self, keyspace: str) -> Account:
        return Account(keyspace, "mitosis_gate", "secret")


async def nothing() -> None: ...


class World:
    """Both shards write what they are asked into one list."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, remembered: Sequence[tuple[Any, int]] = ()
    ) -> None:
        """`remembered`: progress of earlier jobs, with its age in microseconds."""
        self.waited = 0.0
        self.asked: list[str] = []
        self.epochs = {FIRST: 3, SECOND: 7}
        self.remembered = remembered
        self.topology = FakeTopology(
            *(FakeBackend(name, self._script(name)) for name in (FIRST, SECOND))
        )
        self.jobs = Jobs(self.topology, Accounts())  # type: ignore[arg-type]

        async def sleep(seconds: float) -> None:
            self.asked.append("waits")
            self.waited = seconds

        monkeypatch.setattr("mitosis_gate.executor.ddl_jobs.asyncio.sleep", sleep)

    def _script(self, shard: str) -> Callable[[bytes], Result | None]:
        def answer(sql: bytes) -> Result | None:
            text = sql.decode()
            if sql == EPOCH:
                return rows([self.epochs[shard]])
            if text.startswith("SELECT GET_LOCK"):
                return rows([1])
            if text.startswith("SELECT progress"):
                return rows(*[[json.dumps(row), age] for row, age in self.remembered])
            if "GREATEST" in text:
                self.asked.append(f"{shard} to {text.rpartition(', ')[2].rstrip(')')}")
            elif text.startswith("UPDATE") and "progress" in text:
                self.asked.append(self._progress(text))
            elif text.startswith("INSERT INTO mitosis.ddl_jobs"):
                return done(last_insert_id=1)
            return None

        return answer

    def _progress(self, text: str) -> str:
        state = text.partition("state = '")[2].partition("'")[0]
        body = json.loads(bytes.fromhex(text.partition("0x")[2].partition(" ")[0]))
        told = [word for word in ("announced", "told") if body.get(word)]
        return " ".join([state, *told])

    async def run(self, plan: Ddl, **more: Any) -> None:
        table = a_table()
        judge = more.get("judge", nothing)
        async with self.jobs.job("shop", table, plan, STATEMENT, judge) as job:
            assert isinstance(job, Job)
            await job.settle()
            self.asked.append("changes")


async def test_an_announced_job_waits_behind_the_epochs_of_all_shards_and_ends_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    await world.run(ALTER)
    raised = [f"{SECOND} to 8", f"{FIRST} to 8"]
    assert world.asked == ["running announced", *raised, "waits", "changes", "done", *raised]


async def test_another_job_makes_nobody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    await world.run(PLAIN)
    assert world.asked == ["changes", "done"]


async def test_nothing_is_changed_when_a_shard_cannot_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    world.topology.away[SECOND] = ShardUnavailable("no primary")
    with pytest.raises(ShardUnavailable):
        await world.run(ALTER)
    assert "changes" not in world.asked


async def test_a_statement_whose_schema_is_another_one_now_writes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def judge() -> None:
        raise SchemaChanged("planned before")

    world = World(monkeypatch)
    with pytest.raises(GateError, match="planned before"):
        await world.run(ALTER, judge=judge)
    first = world.topology.backends[FIRST]
    assert not first.statements(b"INSERT")
    assert first.statements(b"DO RELEASE_ALL_LOCKS()")


BIGINT = '["sharded", "user_id", "INTEGER", [], [["user_id", "bigint"], ["name", "varchar"]]]'
BYTES = BIGINT.replace("INTEGER", "BINARY").replace("bigint", "varbinary")
WIDER = BIGINT.replace('["name"', '["age", "int"], ["name"')
TURNED = '["sharded", "user_id", "INTEGER", [], [["name", "varchar"], ["user_id", "bigint"]]]'


def gone(picture: str, name: str = "users", **more: Any) -> tuple[Any, int]:
    return {"gone": {name: picture}, **more}, 1_000_000


TOLD = {"told": 1}


@pytest.mark.parametrize(
    ("before", "after", "waits"),
    [
        ([], BIGINT, 0),
        ([gone(BIGINT)], BIGINT, 0),
        ([gone(BIGINT)], WIDER, 0),
        ([gone(BIGINT, **TOLD)], BYTES, SETTLE_SECONDS - 1),
        ([gone(BIGINT)], BYTES, SETTLE_SECONDS),
        ([gone(BIGINT)], TURNED, SETTLE_SECONDS),
        ([gone("a view")], BIGINT, SETTLE_SECONDS),
        ([gone(BYTES, "orders")], BIGINT, 0),
        ([gone(BYTES), gone(BIGINT, **TOLD)], BIGINT, SETTLE_SECONDS - 1),
        ([gone(BYTES, **TOLD), ({"made": {"users": BYTES}}, 0)], BIGINT, SETTLE_SECONDS),
    ],
    ids=[
        "new",
        "alike",
        "wider",
        "told",
        "not told",
        "other order",
        "a view",
        "another name",
        "an earlier one",
        "made again",
    ],
)
async def test_a_name_that_comes_back_waits_until_nobody_has_the_picture_of_another_kind(
    monkeypatch: pytest.MonkeyPatch, before: Any, after: str, waits: float
) -> None:
    world = World(monkeypatch, before)
    made = (("users", after),)
    await world.run(Ddl(DdlVerb.CREATE_TABLE, ("users",), (0, 1), made=made))
    assert world.waited == pytest.approx(waits)
    is_announced = "running announced" in world.asked
    assert is_announced is (waits == SETTLE_SECONDS), "the others have been told"


async def test_all_gates_are_told_of_names_that_have_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    await world.run(Ddl(DdlVerb.DROP_TABLE, ("users",), (0, 1), gone=(("users", BIGINT),)))
    raised = [f"{SECOND} to 8", f"{FIRST} to 8"]
    assert world.asked == ["changes", *raised, "done told"]
