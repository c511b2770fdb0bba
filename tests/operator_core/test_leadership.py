"""One leader at a time, whatever clocks, networks and processes do."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

import pytest

from fakes.kube import FakeKube
from mitosis_operator.errors import LeaseLost, Unavailable
from mitosis_operator.kube.kinds import LEASE, Body
from mitosis_operator.leadership import Leadership, LeaseRules


class Exited(BaseException):
    """What os._exit does to the process."""


def exits(reason: str) -> NoReturn:
    raise Exited(reason)


class Time:
    def __init__(self) -> None:
        self.now = 1000.0
        self.at_each_sleep: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.at_each_sleep()


def contender(kube: FakeKube, time: Time, name: str) -> Leadership:
    return Leadership(
        kube,
        LeaseRules("mitosis", "mitosis-operator", name),
        clock=time,
        wall_clock=lambda: datetime.fromtimestamp(time.now, UTC),
        sleep=time.sleep,
        on_loss=exits,
    )


def lease(kube: FakeKube) -> Body:
    return dict(kube.one(LEASE, "mitosis-operator", "mitosis")["spec"])


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube()


@pytest.fixture
def time() -> Time:
    return Time()


async def test_the_first_one_takes_the_lease(kube: FakeKube, time: Time) -> None:
    one = contender(kube, time, "one")
    await one.acquire()
    one.check()
    assert lease(kube)["holderIdentity"] == "one"
    assert one.term == lease(kube)["leaseTransitions"] > 0


async def test_a_standby_waits_as_long_as_the_lease_is_renewed(kube: FakeKube, time: Time) -> None:
    one, two = contender(kube, time, "one"), contender(kube, time, "two")
    await one.acquire()
    for _ in range(30):
        await one.renew()
        assert not await two._attempt()
        time.now += 2
    with pytest.raises(LeaseLost):
        two.check()


async def test_a_standby_takes_over_when_the_lease_stands_still(kube: FakeKube, time: Time) -> None:
    one, two = contender(kube, time, "one"), contender(kube, time, "two")
    await one.acquire()
    began = time.now
    await two.acquire()
    assert 15 <= time.now - began <= 19
    assert two.term == one.term + 1


async def test_the_old_leader_has_stopped_before_another_may_begin(
    kube: FakeKube, time: Time
) -> None:
    one, two = contender(kube, time, "one"), contender(kube, time, "two")
    await one.acquire()
    held: list[bool] = []
    time.at_each_sleep = lambda: held.append(one.is_held())
    await two.acquire()
    assert held[-1] is False and not one.is_held()


async def test_a_leader_that_finds_another_in_the_lease_exits(kube: FakeKube, time: Time) -> None:
    one, two = contender(kube, time, "one"), contender(kube, time, "two")
    await one.acquire()
    await two.acquire()
    time.now -= 100  # a paused process does not know how long it was away
    with pytest.raises(Exited, match="held by two"):
        await one.renew()


async def test_a_leader_that_cannot_renew_exits_before_the_lease_ends(
    kube: FakeKube, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = contender(kube, time, "one")
    await one.acquire()

    async def silent(*_: object) -> NoReturn:
        raise Unavailable("no answer")

    monkeypatch.setattr(kube, "get", silent)
    began = time.now
    with pytest.raises(Exited, match="not renewed"):
        await one.keep()
    assert time.now - began == 10


async def test_a_short_silence_of_the_api_server_is_survived(kube: FakeKube, time: Time) -> None:
    one = contender(kube, time, "one")
    await one.acquire()
    for _ in range(20):
        kube.breaks_in = 1
        time.now += 2
        await one.renew()
        time.now += 2
        await one.renew()
        one.check()


async def test_a_released_lease_is_taken_at_once(kube: FakeKube, time: Time) -> None:
    one, two = contender(kube, time, "one"), contender(kube, time, "two")
    await one.acquire()
    await one.release()
    began = time.now
    await two.acquire()
    assert time.now == began
    assert not one.is_held()


async def test_two_that_reach_for_a_free_lease_do_not_both_get_it(
    kube: FakeKube, time: Time
) -> None:
    one, two = contender(kube, time, "one"), contender(kube, time, "two")
    await one.acquire()
    await one.release()
    stale = await kube.get(LEASE, "mitosis", "mitosis-operator")
    assert await two._attempt()

    async def get(*_: object) -> Body:
        return stale

    kube.get = get  # type: ignore[method-assign]  one reads what was there before two wrote
    assert not await one._attempt()


async def test_the_term_rises_even_when_the_lease_was_deleted(kube: FakeKube, time: Time) -> None:
    one, two = contender(kube, time, "one"), contender(kube, time, "two")
    await one.acquire()
    time.now += 60
    kube.objects.clear()
    await two.acquire()
    assert two.term > one.term


async def test_a_restarted_process_takes_its_own_lease_back_at_once(
    kube: FakeKube, time: Time
) -> None:
    """The same name means the same pod, whose earlier process has ended."""
    first = contender(kube, time, "one")
    await first.acquire()
    again = contender(kube, time, "one")
    began = time.now
    await again.acquire()
    assert time.now == began
    assert again.term == first.term + 1
    with pytest.raises(Exited, match="changed hands"):
        await first.renew()
