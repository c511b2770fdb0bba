"""Rows of several shards as one result: when they are read, where they stop, how it ends."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from patience import until
from tables import a_table

from fakes.backend import FakeBackend, FakeClient, Script, rows
from mitosis_gate.errors import BackendLost, MysqlError, ShardsDisagree
from mitosis_gate.executor.merging.streams import CONCATENATION, Limits, Merger
from mitosis_gate.planner.plan import Compare, Recipe, SortKey
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.packets import Column, Ok

A, B, C = "shop-0-1365", "shop-1365-2730", "shop-2730-4096"
BY_FIRST = (SortKey(0, Compare.NUMBER),)
LOST = BackendLost("the connection broke")
DUPLICATE = MysqlError(1062, "23000", "Duplicate entry")


class World:
    def __init__(self, *answers: Any) -> None:
        def script(answer: Any) -> Script:
            return lambda sql: answer

        table = a_table(epochs=(1, 1, 1))
        self.backends = [
            FakeBackend(shard.name, script(answer))
            for shard, answer in zip(table.shards, answers, strict=True)
        ]
        self.client = FakeClient(table, *self.backends)
        self.merger = Merger(Limits())

    async def run(self, recipe: Recipe = CONCATENATION) -> None:
        await self.merger.run(self.client, (A, B, C), b"SELECT", recipe)  # type: ignore[arg-type]

    @property
    def numbers(self) -> list[int]:
        return [int(a[-1]) for a in self.client.answers if a[0] == "row"]

    def all_given_back(self) -> bool:
        return not self.client.lent and all(b.given_back == 1 for b in self.backends)


def numbers(*values: int | None) -> Any:
    return rows(*[[n] for n in values], type=c.TYPE_LONGLONG)


async def test_rows_of_all_shards_come_one_shard_after_the_other() -> None:
    world = World(rows([1], [2], [3]), rows([10]), rows([20], [21]))
    await world.run()
    assert world.client.answers == [
        ("columns", ["a"]),
        *(("row", str(n).encode()) for n in (1, 2, 3, 10, 20, 21)),
        ("end", 0),
    ]
    assert world.all_given_back()
    assert all(b.alive for b in world.backends)


async def test_sorted_rows_come_in_one_order() -> None:
    world = World(numbers(None, 1, 5, 9, 12, 30), numbers(2, 2, 31), numbers(3, 4, 5, 6, 7))
    await world.run(Recipe(order=BY_FIRST))
    got = [a[1] for a in world.client.answers if a[0] == "row"]
    assert got == [None, *(b"%d" % n for n in (1, 2, 2, 3, 4, 5, 5, 6, 7, 9, 12, 30, 31))]


async def test_limit_and_offset_count_merged_rows_and_stop_the_shards() -> None:
    world = World(
        numbers(*range(0, 300, 3)), numbers(*range(1, 300, 3)), numbers(*range(2, 300, 3))
    )
    await world.run(Recipe(order=BY_FIRST, offset=5, limit=7))
    assert world.numbers == [5, 6, 7, 8, 9, 10, 11]
    streams = [b.streams[0] for b in world.backends]
    assert all(s.stopped for s in streams) and all(s.pulled < 20 for s in streams)
    assert world.client.answers[-1] == ("end", 0)
    assert world.all_given_back() and all(b.alive for b in world.backends)


async def test_a_limit_without_an_order_leaves_later_shards_alone() -> None:
    world = World(rows([1], [2], [3]), rows([4]), rows([5]))
    await world.run(Recipe(limit=2, offset=1))
    assert world.numbers == [2, 3]
    assert world.backends[2].streams[0].pulled == 0
    assert world.all_given_back()


async def test_the_first_row_goes_out_before_the_last_shard_has_answered() -> None:
    never = asyncio.Event()
    world = World(rows([1]), rows([2]), never)
    task = asyncio.create_task(world.run())
    await until(lambda: world.numbers == [1, 2])
    never.set()
    with pytest.raises(ShardsDisagree):
        await task


async def test_an_error_at_the_start_is_the_error_of_all_and_no_row_goes_out() -> None:
    world = World(DUPLICATE, numbers(1), numbers(2))
    with pytest.raises(MysqlError) as error:
        await world.run(Recipe(order=BY_FIRST))
    assert error.value is DUPLICATE
    assert world.client.answers == []
    assert world.all_given_back()


async def test_an_error_in_the_middle_of_rows_ends_them_as_an_error() -> None:
    world = World(rows([1]), rows([2], [3]), rows([4]))
    world.backends[1].breaks = LOST
    with pytest.raises(BackendLost):
        await world.run()
    assert not [a for a in world.client.answers if a[0] == "end"]
    assert world.backends[2].streams[0].stopped, "nobody wants the rest of the third shard"
    assert world.backends[2].alive
    assert world.all_given_back()


async def test_shards_that_disagree_about_columns_are_an_error() -> None:
    world = World(rows([1]), rows([2], type=c.TYPE_LONG), rows([3]))
    with pytest.raises(ShardsDisagree):
        await world.run(Recipe(order=(SortKey(0, Compare.BYTES),)))
    assert world.client.answers == []


async def test_later_shards_are_not_read_before_their_turn() -> None:
    world = World(rows([1]), rows([2], [3], [4], [5]), rows([6]))
    seen: list[int] = []
    send = world.client.send_rows

    async def send_rows(payloads: Sequence[bytes]) -> None:
        seen.append(world.backends[1].streams[0].pulled)
        await send(payloads)

    world.client.send_rows = send_rows  # type: ignore[method-assign,assignment]
    await world.run()
    assert seen == [0, 2, 4, 4]


async def test_a_client_that_goes_away_gets_its_connections_closed() -> None:
    world = World(numbers(1, 2, 3), asyncio.Event(), asyncio.Event())
    task = asyncio.create_task(world.run())
    await until(lambda: world.numbers == [1, 2, 3])
    world.client.is_gone = True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.all_given_back()
    assert not world.backends[1].alive and not world.backends[2].alive


async def test_a_killed_statement_ends_on_all_shards_and_keeps_the_connections() -> None:
    world = World(asyncio.Event(), numbers(1), numbers(2))
    task = asyncio.create_task(world.run(Recipe(order=BY_FIRST)))
    await until(lambda: all(b.asked for b in world.backends))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.all_given_back()
    assert world.backends[1].alive and world.backends[2].alive


async def test_statements_over_several_shards_take_turns() -> None:
    world = World(rows([1]), rows([2]), rows([3]))
    world.merger = Merger(Limits(at_once=1))
    held = asyncio.Event()
    send = world.client.send_rows

    async def send_rows(payloads: Sequence[bytes]) -> None:
        await held.wait()
        await send(payloads)

    world.client.send_rows = send_rows  # type: ignore[method-assign,assignment]
    first = asyncio.create_task(world.run())
    await until(lambda: len(world.client.lent) == 3)
    second = asyncio.create_task(world.run())
    await asyncio.sleep(0)
    assert len(world.client.lent) == 3, "the second has taken no connection yet"
    held.set()
    await asyncio.gather(first, second)
    assert len(world.numbers) == 6


async def test_a_transaction_waits_for_nobody() -> None:
    world = World(rows([1]), rows([2]), rows([3]))
    world.merger = Merger(Limits(at_once=0))
    world.client.in_transaction = True
    await world.run()
    assert world.numbers == [1, 2, 3]


async def test_warnings_are_added_up_but_those_about_the_text_count_once() -> None:
    def warned(number: int, *codes: int) -> Script:
        told = rows(*[("Warning", code, f"about {code}") for code in codes], names="abc")
        result = rows([number])
        result = type(result)(result.columns, result.rows, Ok(warnings=len(codes)))
        return lambda sql: told if sql == b"SHOW WARNINGS" else result

    world = World(None, None, None)
    for backend, script in zip(
        world.backends, (warned(1, 1287, 1292), warned(2), warned(3, 1287, 1292)), strict=True
    ):
        backend.script = script
    kept: list[Any] = []
    world.client.keep_warnings = kept.extend  # type: ignore[method-assign]
    await world.run()
    assert world.client.answers[-1] == ("end", 3)
    assert [code for _, code, _ in kept] == [1287, 1292, 1292]


async def test_a_hidden_key_is_not_shown() -> None:
    def keyed(*pairs: tuple[int, str]) -> Any:
        columns = (Column("k", c.TYPE_LONGLONG, 63).pack(), Column("name").pack())
        result = rows(*pairs, names=("k", "name"))
        return type(result)(columns, result.rows)

    world = World(keyed((1, "x"), (4, "y")), keyed((2, "z")), keyed((3, "w")))
    await world.run(Recipe(hidden=1, order=BY_FIRST))
    assert world.client.answers[0] == ("columns", ["name"])
    assert [a[1:] for a in world.client.answers[1:-1]] == [(b"x",), (b"z",), (b"w",), (b"y",)]
