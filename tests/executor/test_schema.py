"""Planners follow the schema and the routing table of their keyspace."""

import asyncio
import json
from dataclasses import replace

import pytest
from patience import beside, soon, until
from tables import a_table

from fakes.backend import FakeBackend, FakeTopology, rows
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.sinks import Result
from mitosis_gate.errors import (
    GateError,
    MysqlError,
    ShardUnavailable,
    TableChanges,
    UnknownDatabase,
)
from mitosis_gate.executor.epochs import EPOCH
from mitosis_gate.executor.schema import CHECKSUM, Planners
from mitosis_gate.planner import schema
from mitosis_gate.routing_watch import Obeyed, RoutingBook
from mitosis_routing.keyspace import SlotRange
from mitosis_routing.table import ShardState

FIRST, SECOND = "shop-0-2048", "shop-2048-4096"
AWAY = ShardUnavailable("no primary")


class Accounts:
    def gate(self, keyspace: str) -> Account:
        return Account(keyspace, "mitosis_gate", "secret")


class Server:
    """A database whose tables the test changes."""

    def __init__(self, *tables: str) -> None:
        self.tables = list(tables)
        self.readings = 0
        self.looks = 0
        self.epoch = 1
        self.changing: list[str] = []
        self.views: dict[str, str | None] = {}
        """Definitions; None: they are not told."""

    def answer(self, sql: bytes) -> Result | GateError | asyncio.Event | None:
        if sql == EPOCH:
            self.looks += 1
            return rows([self.epoch])
        if b"schema_epoch" in sql:
            self.looks += 1
            return rows([self.epoch, json.dumps(self.changing) if self.changing else None])
        if sql == CHECKSUM:
            return rows([len(self.tables), hash(tuple(self.tables))])
        if sql == schema.QUERY:
            self.readings += 1
            return rows(
                *[(name, "id", "int", "", 0, 0, 0, 0) for name in self.tables],
                *[(name, "id", "int", "", 0, 0, 0, 1) for name in self.views],
            )
        if sql == schema.VIEWS:
            return rows(*[(name,) for name in self.views])
        if sql.startswith(b"SHOW CREATE VIEW"):
            told = self.views[sql.split(b"`")[1].decode()]
            denied = MysqlError(1142, "42000", "SHOW VIEW command denied")
            if told is None:
                return denied
            return rows(["v", told], names=("View", "Create View"))
        return None


class World:
    def __init__(
        self, *tables: str, check_seconds: float = 0.02, hold_seconds: float = 10.0
    ) -> None:
        self.server = Server(*tables)
        self.book = RoutingBook()
        self.topology = FakeTopology(
            FakeBackend(FIRST, self.server.answer), FakeBackend(SECOND, self.server.answer)
        )
        self.planners = Planners(
            self.book,
            self.topology,  # type: ignore[arg-type]
            Accounts(),
            1 << 20,
            check_seconds,
            hold_seconds,
        )
        self.book.subscribe(self.planners.obey)
        self.book.offer(Obeyed("mitosis", "u1", a_table()))

    def known(self) -> set[str]:
        planner = self.planners.planner("shop")
        assert planner is not None
        return set(planner.schema.tables)


async def test_nothing_is_known_before_the_first_reading() -> None:
    world = World("users")
    assert world.planners.planner("shop") is None
    planner = await world.planners.ready("shop")
    assert set(planner.schema.tables) == {"users"}
    assert world.planners.planner("shop") is planner
    assert world.topology.asked == [FIRST]


async def test_an_unknown_keyspace_is_1049() -> None:
    with pytest.raises(UnknownDatabase):
        await World().planners.ready("nowhere")


async def test_a_refresh_finds_new_tables_and_an_equal_schema_keeps_the_plans() -> None:
    world = World("users")
    first = await world.planners.ready("shop")
    assert await world.planners.refresh("shop") is first
    world.server.tables.append("orders")
    second = await world.planners.refresh("shop")
    assert set(second.schema.tables) == {"users", "orders"}
    assert second.schema.version == first.schema.version + 1


async def test_a_new_routing_table_makes_a_new_planner_at_once() -> None:
    world = World("users")
    first = await world.planners.ready("shop")
    table = a_table(version=2, epochs=(2, 2))
    world.book.offer(Obeyed("mitosis", "u1", table))
    second = world.planners.planner("shop")
    assert second is not None and second is not first
    assert second.table is table and second.schema is first.schema
    assert world.server.readings == 1


async def test_a_keyspace_that_is_gone_has_no_planner() -> None:
    world = World("users")
    await world.planners.ready("shop")
    world.book.forget("shop", "deleted")
    assert world.planners.planner("shop") is None


async def test_what_others_change_is_noticed() -> None:
    world = World("users")
    async with beside(world.planners.run()):
        await until(lambda: world.planners.planner("shop") is not None)
        world.server.tables.append("orders")
        await until(lambda: world.known() == {"users", "orders"})
        readings = world.server.readings
        checks = len(world.topology.asked)
        await until(lambda: len(world.topology.asked) > checks + 3)
        assert world.server.readings == readings, "nothing new, nothing is read"


async def test_a_new_keyspace_is_read_before_anybody_asks() -> None:
    world = World("users", check_seconds=1000)
    async with beside(world.planners.run()):
        await until(lambda: world.planners.planner("shop") is not None)
        world.book.offer(Obeyed("mitosis", "u2", a_table(keyspace="blog")))
        world.topology.backends["blog-0-2048"] = FakeBackend("blog-0-2048", world.server.answer)
        await until(lambda: world.planners.planner("blog") is not None)


async def test_many_who_ask_share_a_reading() -> None:
    world = World("users")
    planners = await asyncio.gather(*(world.planners.refresh("shop") for _ in range(50)))
    assert world.server.readings == 1
    assert all(p is planners[0] for p in planners)


async def test_who_asks_during_a_reading_gets_what_is_there_afterwards() -> None:
    """DDL that ends while another reading runs must not be answered from that one."""
    world = World("users")
    held = asyncio.Event()
    backend = world.topology.backends[FIRST]
    query = backend.query

    async def slow(sql: bytes) -> Result:
        result = await query(sql)
        if sql == schema.QUERY:
            await held.wait()
        return result

    backend.query = slow  # type: ignore[method-assign]
    first = asyncio.create_task(world.planners.refresh("shop"))
    await until(lambda: world.server.readings == 1)
    world.server.tables.append("orders")
    second = asyncio.create_task(world.planners.refresh("shop"))
    held.set()
    await soon(first)
    assert set((await soon(second)).schema.tables) == {"users", "orders"}
    assert world.server.readings == 2


async def test_another_shard_will_do_while_nothing_is_known() -> None:
    world = World("users")
    world.topology.away[FIRST] = AWAY
    await world.planners.ready("shop")
    assert world.topology.asked == [FIRST, SECOND]


async def test_a_shard_without_primary_is_not_waited_for() -> None:
    world = World("users")
    table = a_table()
    gone = replace(table.shards[0], state=ShardState.NO_PRIMARY)
    world.book.offer(Obeyed("mitosis", "u1", replace(table.with_shard(gone), version=2)))
    await world.planners.ready("shop")
    assert world.topology.asked == [SECOND]


async def test_what_is_known_is_not_replaced_by_what_another_shard_knows() -> None:
    """Tables that are whole on the first shard would be forgotten while it is away."""
    world = World("users", "settings")
    await world.planners.ready("shop")
    world.topology.away[FIRST] = AWAY
    with pytest.raises(ShardUnavailable):
        await world.planners.refresh("shop")
    assert world.known() == {"users", "settings"}


# how old a picture may be


def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mitosis_gate.executor.schema.EPOCH_SECONDS", 0.01)
    monkeypatch.setattr("mitosis_gate.executor.schema.AGAIN_SECONDS", 0.01)


def with_short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    in_haste(monkeypatch)
    monkeypatch.setattr("mitosis_gate.executor.schema.LEASE_SECONDS", 0.2)


async def test_the_schema_is_read_again_when_the_epoch_has_risen() -> None:
    world = World("users")
    planner = await world.planners.ready("shop")
    world.server.tables.append("orders")
    assert not await world.planners.is_newer("shop", planner), "nobody has raised the epoch"
    assert world.server.readings == 1
    world.server.epoch += 1
    assert await world.planners.is_newer("shop", planner)
    assert world.known() == {"users", "orders"}


async def test_many_who_ask_share_a_look() -> None:
    world = World("users")
    planner = await world.planners.ready("shop")
    looks = world.server.looks
    await asyncio.gather(*(world.planners.is_newer("shop", planner) for _ in range(50)))
    assert world.server.looks == looks + 1


async def test_a_table_that_is_being_changed_is_unknown_until_the_change_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_haste(monkeypatch)
    world = World("users", "orders")
    await world.planners.ready("shop")
    world.server.epoch, world.server.changing = 2, ["users"]
    await world.planners.look("shop")
    assert world.known() == {"orders"}
    waiting = asyncio.create_task(world.planners.known_again("shop", "users"))
    looks = world.server.looks
    await until(lambda: world.server.looks > looks + 3)
    assert not waiting.done()
    world.server.epoch, world.server.changing = 3, []
    assert set((await soon(waiting)).schema.tables) == {"users", "orders"}


async def test_a_statement_waits_for_a_change_no_longer_than_others_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_haste(monkeypatch)
    world = World("users", hold_seconds=0.05)
    world.server.changing = ["users"]
    with pytest.raises(TableChanges, match=r"table users .*--hold-seconds.*GATE SHOW DDL"):
        await world.planners.known_again("shop", "users")


async def test_a_picture_that_nobody_confirms_is_not_used_beyond_its_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_short_lease(monkeypatch)
    world = World("users")
    first = await world.planners.ready("shop")
    async with beside(world.planners.follow_epochs()):
        world.topology.away = {FIRST: AWAY, SECOND: AWAY}
        await until(lambda: not world.known())
        world.topology.away = {}
        await until(lambda: world.planners.planner("shop") is first)
    assert world.server.readings == 1, "it was the same all the time"


async def test_another_shard_confirms_it_while_the_first_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_short_lease(monkeypatch)
    world = World("users")
    await world.planners.ready("shop")
    world.topology.away = {FIRST: AWAY}
    async with beside(world.planners.follow_epochs()):
        looks = world.server.looks
        await until(lambda: world.server.looks > looks + 60)
        await until(lambda: world.known() == {"users"})
        world.server.epoch += 1
        await until(lambda: not world.known())


async def test_one_shard_knows_its_own_schema() -> None:
    world = World("users")
    world.book.offer(Obeyed("mitosis", "u1", a_table(version=2, epochs=(1,))))
    world.topology.backends["shop-0-4096"] = FakeBackend("shop-0-4096", world.server.answer)
    planner = await world.planners.ready("shop")
    assert not await world.planners.is_newer("shop", planner)
    assert world.server.looks == 0


async def test_definitions_of_views_are_read_where_there_are_several_shards() -> None:
    world = World("users")
    world.server.views = {"v": "CREATE VIEW `v` AS select 1 AS `id`", "hidden": None}
    planner = await world.planners.ready("shop")
    tables = planner.schema.tables
    assert tables["v"].definition.endswith("select 1 AS `id`") and tables["v"].view
    assert tables["hidden"].view and not tables["hidden"].definition
    world.server.views["v"] = "CREATE VIEW `v` AS select 2 AS `id`"
    again = await world.planners.refresh("shop")
    assert again.schema.version == planner.schema.version + 1


async def test_a_keyspace_that_gets_a_second_shard_needs_the_definitions() -> None:
    world = World("users")
    world.server.views = {"v": "CREATE VIEW `v` AS select 1 AS `id`"}
    whole = replace(a_table().shards[0], slots=SlotRange(0, 4096))
    world.book.offer(Obeyed("mitosis", "u1", replace(a_table(version=2), shards=(whole,))))
    alone = await world.planners.ready("shop")
    assert alone.schema.tables["v"].definition == ""
    world.book.offer(Obeyed("mitosis", "u1", a_table(version=3)))
    divided = await world.planners.ready("shop")
    assert divided.schema.tables["v"].definition != ""


async def test_a_look_and_a_reading_take_turns_on_their_connection() -> None:
    world = World("users")
    await world.planners.ready("shop")
    backend = world.topology.backends[FIRST]
    query = backend.query
    running = 0

    async def alone(sql: bytes) -> Result:
        nonlocal running
        if b"schema_epoch" not in sql:
            return await query(sql)
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1
        return await query(sql)

    backend.query = alone  # type: ignore[method-assign]
    await asyncio.gather(world.planners.look("shop"), world.planners.refresh("shop"))
