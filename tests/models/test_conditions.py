from datetime import UTC, datetime, timedelta, timezone

import pytest

from mitosis_operator.models.conditions import Truth, find, timestamp, with_condition

EARLY = datetime(2026, 1, 1, 12, 0, 0, 999, tzinfo=UTC)
LATE = EARLY + timedelta(hours=1)


def ready(conditions, status, reason="Reason", now=EARLY, generation=1):
    return with_condition(
        conditions, "Ready", status, reason, "a sentence", now=now, generation=generation
    )


def test_a_new_condition_is_added_with_its_time_and_generation():
    (condition,) = ready((), True, generation=5)
    assert condition.to_body() == {
        "type": "Ready",
        "status": "True",
        "reason": "Reason",
        "message": "a sentence",
        "lastTransitionTime": "2026-01-01T12:00:00Z",
        "observedGeneration": 5,
    }


def test_another_reason_alone_keeps_the_time_of_the_transition():
    after = ready(ready((), False, "Cloning"), False, "Starting", now=LATE, generation=2)
    condition = find(after, "Ready")
    assert condition.reason == "Starting"
    assert condition.observed_generation == 2
    assert condition.last_transition_time == timestamp(EARLY)


@pytest.mark.parametrize("status", [False, Truth.UNKNOWN])
def test_another_status_moves_the_time(status):
    after = ready(ready((), True), status, now=LATE)
    assert find(after, "Ready").last_transition_time == timestamp(LATE)


def test_other_conditions_and_their_order_stay():
    before = with_condition(
        ready((), True), "Writable", True, "Primary", "writes", now=EARLY, generation=1
    )
    after = ready(before, False, now=LATE)
    assert [c.type for c in after] == ["Ready", "Writable"]
    assert after[1] == before[1]


def test_times_are_written_in_utc():
    east = datetime(2026, 1, 1, 20, 0, tzinfo=timezone(timedelta(hours=8)))
    assert timestamp(east) == "2026-01-01T12:00:00Z"
