"""Each key once in the queue, in one hand at a time, later after each failure."""

import asyncio

import pytest

from mitosis_operator.workqueue import Again, WorkQueue, work


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    return WorkQueue(clock, jitter=lambda: 0.5)


async def is_idle(queue: WorkQueue[str]) -> bool:
    """Whether nothing can be taken now."""
    taking = asyncio.create_task(queue.take())
    for _ in range(3):
        await asyncio.sleep(0)
    if taking.done():
        return False
    taking.cancel()
    return True


async def test_a_key_asked_for_twice_comes_once(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("a")
    assert len(queue) == 1
    assert await queue.take() == "a"
    queue.done("a", Again())
    assert await is_idle(queue)


async def test_keys_come_in_the_order_they_are_due(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("late", 5)
    queue.add("soon", 1)
    queue.add("now")
    clock.now += 10
    assert [await queue.take() for _ in range(3)] == ["now", "soon", "late"]


async def test_a_key_is_not_taken_before_it_is_due(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a", 5)
    assert await is_idle(queue)
    clock.now += 5
    assert await queue.take() == "a"


async def test_the_earlier_of_two_wishes_counts(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a", 60)
    queue.add("a", 1)
    queue.add("a", 30)
    clock.now += 1
    assert await queue.take() == "a"
    queue.done("a", Again())
    clock.now += 100
    assert await is_idle(queue)


async def test_a_key_in_one_hand_is_not_given_to_another(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await queue.take()
    queue.add("a")
    queue.add("b")
    assert await queue.take() == "b"
    assert await is_idle(queue)
    queue.done("a", Again())
    assert await queue.take() == "a"


async def test_a_pass_may_ask_to_come_again(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a")
    queue.done(await queue.take(), Again(7))
    clock.now += 6.9
    assert await is_idle(queue)
    clock.now += 0.2
    assert await queue.take() == "a"


async def test_failures_come_again_later_and_later(queue: WorkQueue[str], clock: Clock) -> None:
    pauses = []
    queue.add("a")
    for _ in range(12):
        pauses.append(queue.failed(await queue.take()))
        clock.now += pauses[-1]
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert pauses[-1] == 60.0
    queue.done(await queue.take(), Again(0))
    assert queue.failed(await queue.take()) == 0.5


async def test_a_worker_survives_a_pass_that_fails() -> None:
    loop = asyncio.get_running_loop()
    queue: WorkQueue[str] = WorkQueue(loop.time, jitter=lambda: 0.0)
    passes: list[str] = []
    finished = asyncio.Event()

    async def reconcile(key: str) -> Again:
        passes.append(key)
        if passes.count("bad") == 1 and key == "bad":
            raise ValueError("the first time")
        if passes.count("bad") == 2:
            finished.set()
        return Again()

    queue.add("bad")
    queue.add("good")
    worker = asyncio.create_task(work(queue, reconcile))
    async with asyncio.timeout(10):
        await finished.wait()
    worker.cancel()
    assert passes == ["bad", "good", "bad"]
