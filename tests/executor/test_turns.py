"""Who may begin, and who comes next."""

import asyncio

import pytest

from mitosis_gate.executor.turns import Turns


async def test_there_are_as_many_as_were_given() -> None:
    turns = Turns(2)
    assert [turns.try_take() for _ in range(3)] == [True, True, False]
    turns.give()
    assert turns.try_take()


async def test_who_waits_longest_is_next_and_nobody_comes_before() -> None:
    turns = Turns(1)
    came: list[int] = []

    async def work(number: int) -> None:
        async with turns:
            came.append(number)

    await turns.take()
    tasks = [asyncio.create_task(work(number)) for number in range(3)]
    await asyncio.sleep(0)
    turns.give()
    assert not turns.try_take(), "the first in the queue has it"
    await asyncio.gather(*tasks)
    assert came == [0, 1, 2]
    assert turns.try_take()


async def test_a_turn_given_to_somebody_who_is_gone_is_not_lost() -> None:
    turns = Turns(1)
    await turns.take()
    waits, gone = asyncio.create_task(turns.take()), asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    gone.cancel()
    turns.give()
    waits.cancel()  # it has the turn and does not know
    await asyncio.wait([waits, gone])
    assert waits.cancelled() and gone.cancelled()
    assert turns.try_take()


async def test_an_error_gives_the_turn_back() -> None:
    turns = Turns(1)
    with pytest.raises(ValueError):
        async with turns:
            raise ValueError
    assert turns.try_take()
