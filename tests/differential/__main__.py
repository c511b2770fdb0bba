"""A long run: `python -m tests.differential --statements 200000 --seed 1`.

Prints each difference as it is found and the share of refusals by class at the end. Exit status 1
with differences, or with more refusals than may be.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from oracle import rounds  # noqa: E402  support is found once the path is set

MOST_REFUSED = 0.02


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--statements", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most-differences", type=int, default=50)
    options = parser.parse_args()
    with rounds.world() as world:
        count = rounds.run(
            world, options.seed, options.statements, options.most_differences, show=print
        )
    print(count.report())
    return 1 if count.differences or count.refused_share >= MOST_REFUSED else 0


if __name__ == "__main__":
    sys.exit(main())
