"""A long run: `python -m tests.differential --statements 200000 --seed 1 --processes 2`.

Prints each difference as it is found, the share of refusals by class at the end, and the same as a
line of JSON. Exit status 1 with differences, or with more refusals than may be.
"""

import argparse
import functools
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from oracle.parts import run_parts  # noqa: E402  support is found once the path is set
from oracle.rounds import Count  # noqa: E402

MOST_REFUSED = 0.02


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--statements", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most-differences", type=int, default=50)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    count = Count()
    start = time.monotonic()
    for part in run_parts(
        options.seed,
        options.statements,
        options.most_differences,
        options.processes,
        show=functools.partial(print, flush=True),
    ):
        count.add(part)
        print(f"-- {count.statements} statements in {time.monotonic() - start:.0f} s", flush=True)
        if len(count.differences) >= options.most_differences:
            break
    print(count.report())
    print(count.as_json())
    return 1 if count.differences or count.refused_share >= MOST_REFUSED else 0


if __name__ == "__main__":
    sys.exit(main())
