"""Wait on a condition, never on the clock."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    what: str, look: Callable[[], T | None], *, seconds: float, every: float = 0.25
) -> T:
    """Return the first truthy answer of `look`; raise AssertionError with the last one in the end.

    An exception of `look` counts as "not yet": connections fail while things come up. The last one
    stands in the error.
    """
    deadline = time.monotonic() + seconds
    while True:
        last: object
        try:
            answer = look()
            if answer:
                return answer
            last = answer
        except Exception as exc:
            last = f"{type(exc).__name__}: {exc}"
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s; last seen: {last}")
        time.sleep(every)
