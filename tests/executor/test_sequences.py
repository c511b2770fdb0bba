"""Numbers in blocks: what is asked of MySQL, and when."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from tables import a_table

from fakes.backend import done, rows
from mitosis_gate.errors import MysqlError, SequenceUnavailable
from mitosis_gate.executor.sequences import Sequences

BIG = (1 << 63) - 1


class Server:
    """`mitosis.sequences` and the AUTO_INCREMENT counters of three shards."""

    def __init__(self) -> None:
        self.next: dict[bytes, int] = {}
        self.counters = {"shop-0-1365": 1, "shop-1365-2730": 1, "shop-2730-4096": 1}
        self.asked: list[bytes] = []
        self.is_broken = False
        self.takers: set[bytes] = set()
        self.unsettled: list[int] = []
        """Microseconds that it still takes until nobody has an older block."""
        self.epoch = 1

    def table(self, keyspace: str) -> Any:
        return a_table(epochs=(1, 1, 1))

    @asynccontextmanager
    async def lent(self, keyspace: str, shard: str, account: object) -> AsyncIterator[Any]:
        async def query(sql: bytes) -> Any:
            return self.answer(shard, sql)

        yield SimpleNamespace(query=query)

    def answer(self, shard: str, sql: bytes) -> Any:
        self.asked.append(sql)
        if b"settled_at > NOW" in sql:
            return rows([self.unsettled.pop()]) if self.unsettled else rows()
        if sql.startswith(b"SELECT"):
            return rows([self.counters[shard]])
        if sql.startswith(b"DELETE") and len(self.takers) < 2:
            self.next.clear()
        if sql.startswith(b"UPDATE") and self.next:
            self.next = {name: 1 for name in self.next}
            self.unsettled = [3000]
        if not sql.startswith(b"INSERT"):
            return done()
        if self.is_broken:
            raise MysqlError(1146, "42S02", "no such table")
        assert shard == "shop-0-1365", "the shard that owns slot 0 has the sequences"
        found = re.search(rb"VALUES \('(\w+)', LAST_INSERT_ID\((\d+)\) \+ (\d+), '(\w+)'\)", sql)
        assert found is not None and not self.unsettled
        self.takers.add(found[4])
        first = max(self.next.get(found[1], 0), int(found[2]))
        self.next[found[1]] = first + int(found[3])
        return done(last_insert_id=first)

    @property
    def blocks(self) -> int:
        return sum(sql.startswith(b"INSERT") for sql in self.asked)


@pytest.fixture
def server() -> Server:
    return Server()


def process(server: Server, block: int = 100) -> Sequences:
    accounts = SimpleNamespace(gate=lambda keyspace: "gate")
    return Sequences(server, accounts, block, lambda _: server.epoch)  # type: ignore[arg-type]


async def test_numbers_of_a_block_cost_one_statement(server: Server) -> None:
    numbers = process(server)
    assert [await numbers.take("shop", "t", 1, BIG) for _ in range(100)] == list(range(1, 101))
    assert server.blocks == 1
    assert await numbers.take("shop", "t", 1, BIG) == 101


async def test_numbers_of_one_statement_follow_each_other(server: Server) -> None:
    one, other = process(server), process(server)
    assert await one.take("shop", "t", 90, BIG) == 1
    assert await other.take("shop", "t", 1, BIG) == 101
    assert await one.take("shop", "t", 20, BIG) == 201, "ten are left, which is not enough"
    assert await other.take("shop", "t", 1, BIG) == 102


async def test_two_blocks_that_meet_leave_no_gap(server: Server) -> None:
    numbers = process(server)
    assert await numbers.take("shop", "t", 90, BIG) == 1
    assert await numbers.take("shop", "t", 20, BIG) == 91


async def test_a_number_that_a_client_brings_is_left_behind(server: Server) -> None:
    numbers = process(server)
    await numbers.take("shop", "t", 1, BIG)
    numbers.note("shop", "t", 50)
    assert await numbers.take("shop", "t", 1, BIG) == 51
    numbers.note("shop", "t", 5000)
    assert await numbers.take("shop", "t", 1, BIG) == 5001


async def test_a_block_begins_above_the_counters_of_all_shards(server: Server) -> None:
    server.counters["shop-1365-2730"] = 777
    assert await process(server).take("shop", "t", 1, BIG) == 777


async def test_small_columns_get_small_blocks_and_come_to_an_end(server: Server) -> None:
    numbers = process(server, 1000)
    assert [await numbers.take("shop", "t", 1, 127) for _ in range(127)] == list(range(1, 128))
    with pytest.raises(MysqlError) as error:
        await numbers.take("shop", "t", 1, 127)
    assert error.value.number == 1467


async def test_truncate_begins_anew(server: Server) -> None:
    numbers = process(server)
    await numbers.take("shop", "t", 5, BIG)
    await numbers.reset("shop", ["t"])
    assert await numbers.take("shop", "t", 1, BIG) == 1


async def test_after_truncate_nobody_gets_numbers_while_others_may_have_old_blocks(
    server: Server,
) -> None:
    one, other = process(server), process(server)
    assert [await numbers.take("shop", "t", 5, BIG) for numbers in (one, other)] == [1, 101]
    await one.reset("shop", ["t"])
    assert server.unsettled, "the row says so"
    server.epoch += 1  # the rise of the epoch, as all processes see it
    assert await one.take("shop", "t", 1, BIG) == 1, "the fake refuses to give a block earlier"
    assert await other.take("shop", "t", 1, BIG) == 101, "a new block, not what was left of the old"
    assert server.blocks == 4


async def test_a_block_does_not_outlive_the_epoch_it_came_with(server: Server) -> None:
    numbers = process(server)
    assert await numbers.take("shop", "t", 1, BIG) == 1
    server.epoch += 1
    assert await numbers.take("shop", "t", 1, BIG) == 101


async def test_a_sequence_that_cannot_be_asked_names_the_table(server: Server) -> None:
    server.is_broken = True
    with pytest.raises(SequenceUnavailable, match=r"mitosis\.sequences on shard shop-0-1365"):
        await process(server).take("shop", "t", 1, BIG)
