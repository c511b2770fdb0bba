"""A clock that costs nothing to read: `clock.now` is moved on ten times a second by `Server.run`.

Sessions note with it when a statement began. Two readings between which it did not move are the
same object, so that `clock.now is began` says "no step since", which holds for most statements.
"""

import time

STEP_SECONDS = 0.1
now = time.monotonic()
"""Seconds, as `time.monotonic` gives them, up to one step old."""


def step() -> float:
    global now
    now = time.monotonic()
    return now
