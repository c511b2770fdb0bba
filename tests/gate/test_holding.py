"""Statements that wait for a shard: in order, and never without a bound."""

import asyncio
from dataclasses import replace

import pytest
from patience import soon, until

from mitosis_gate.backends.holding import Place, Queue, Trouble
from mitosis_gate.errors import BackendUnreachable, ShardUnavailable
from mitosis_gate.settings import Settings

LIMITS = replace(
    Settings(), hold_slots=2, hold_seconds=10.0, hold_event_seconds=20.0, hold_pause_seconds=60.0
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def a_queue(clock: Clock) -> Queue:
    return Queue("shop-0-32", LIMITS, clock)


async def waits(queue: Queue, place: Place, name: str, order: list[str]) -> None:
    try:
        while queue.is_on:
            await place.change("it moves", None)
        order.append(name)
    finally:
        place.leave()


async def test_all_go_on_in_the_order_in_which_they_came() -> None:
    queue, order = a_queue(Clock()), list[str]()
    places = [(queue.enter("it moves"), name) for name in ("first", "second")]
    tasks = [asyncio.create_task(waits(queue, place, name, order)) for place, name in places]
    await until(lambda: queue.waiting == 2)
    queue.end()
    await soon(asyncio.gather(*tasks))
    assert order == ["first", "second"]
    assert queue.waiting == 0


def test_a_full_queue_turns_away_and_says_how_full_it_is() -> None:
    queue = a_queue(Clock())
    for _ in range(2):
        queue.enter("it moves")
    with pytest.raises(ShardUnavailable) as refused:
        queue.enter("it moves")
    assert "shop-0-32" in refused.value.text
    assert "it moves" in refused.value.text
    assert "all 2 places" in refused.value.text


async def test_a_statement_waits_for_its_own_limit_only() -> None:
    clock = Clock()
    queue = a_queue(clock)
    place = queue.enter("its node is dead")
    clock.now += 10.0
    with pytest.raises(ShardUnavailable) as ended:
        await place.change("its node is dead", None)
    assert "waited 10000 ms" in ended.value.text
    assert "its node is dead" in ended.value.text


async def test_a_long_event_makes_nobody_wait_any_more() -> None:
    clock = Clock()
    queue = a_queue(clock)
    queue.begin()
    clock.now += 15.0
    place = queue.enter("it moves")
    clock.now += 5.0
    with pytest.raises(ShardUnavailable, match="goes on for more than 20 s"):
        await place.change("it moves", None)
    place.leave()
    with pytest.raises(ShardUnavailable, match="waited 0 ms"):
        queue.enter("it moves")


def test_soon_after_an_event_the_next_one_makes_nobody_wait() -> None:
    clock = Clock()
    queue = a_queue(clock)
    queue.enter("it moves").leave()
    queue.end()
    clock.now += 59.0
    with pytest.raises(ShardUnavailable, match=r"held 59\.0 s ago"):
        queue.enter("it moves")
    clock.now += 1.0
    queue.enter("it moves")


def test_an_event_in_which_nobody_waited_does_not_count() -> None:
    queue = a_queue(Clock())
    queue.begin()
    queue.end()
    queue.enter("it moves")


async def test_only_the_first_in_the_queue_tries_a_server_that_does_not_answer() -> None:
    queue = a_queue(Clock())
    queue.begin(Trouble.UNREACHABLE, "no answer")
    first, second = queue.enter("no answer"), queue.enter("no answer")
    assert queue.may_try(first, writes=True)
    assert not queue.may_try(second, writes=True)
    assert not queue.may_try(None, writes=True), "who comes later stands behind"
    first.leave()
    assert queue.may_try(second, writes=True)


def test_a_server_that_is_away_is_tried_now_and_then_when_nobody_may_wait() -> None:
    clock = Clock()
    queue = a_queue(clock)
    queue.begin(Trouble.UNREACHABLE, "no answer")
    assert queue.may_try(None, writes=True)
    assert not queue.may_try(None, writes=True)
    clock.now += 1.0
    assert queue.may_try(None, writes=True)


def test_reads_need_not_wait_for_a_primary_that_is_read_only() -> None:
    queue = a_queue(Clock())
    queue.begin(Trouble.READ_ONLY, "read-only")
    queue.enter("read-only")
    assert queue.may_try(None, writes=False)
    assert not queue.may_try(None, writes=True)


def test_an_instance_that_is_away_is_told_apart_from_a_shard_without_primary() -> None:
    queue = a_queue(Clock())
    queue.begin(Trouble.UNREACHABLE, "no answer")
    for _ in range(2):
        queue.enter("no answer")
    with pytest.raises(BackendUnreachable):
        queue.enter("no answer")
