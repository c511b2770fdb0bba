"""A long run in parts, several at a time: each has servers of its own, which are new.

The parts, and so all statements, are the same whatever the number of processes.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from oracle.rounds import STATEMENTS_OF_A_ROUND, Count, run, world

ROUNDS_OF_A_PART = 25
_STATEMENTS = ROUNDS_OF_A_PART * STATEMENTS_OF_A_ROUND


def run_parts(
    seed: int,
    statements: int,
    most_differences: int,
    processes: int,
    show: Callable[[str], None],
) -> Iterator[Count]:
    """The count of each part when it is done; `show` goes to other processes."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, max_tasks_per_child=1) as pool:
        parts = [
            pool.submit(
                _part,
                seed + start // STATEMENTS_OF_A_ROUND,
                min(_STATEMENTS, statements - start),
                most_differences,
                show,
            )
            for start in range(0, statements, _STATEMENTS)
        ]
        try:
            for part in as_completed(parts):
                yield part.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _part(seed: int, statements: int, most_differences: int, show: Callable[[str], None]) -> Count:
    signal.signal(signal.SIGTERM, _end)
    with world() as servers:
        return run(servers, seed, statements, most_differences, show)


def _end(number: int, frame: object) -> None:
    """The servers end with their part."""
    raise SystemExit(128 + number)
