"""A long run: `python -m tests.fuzz --inputs 1000000 --seed 1`. Exit status 1 with findings."""

import argparse
import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import lexer_fuzz  # noqa: E402  support is found once the path is set
import protocol_fuzz  # noqa: E402

GROWTH_BYTES = 64 << 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--what", choices=("protocol", "lexer", "both"), default="both")
    options = parser.parse_args()
    found: list[str] = []
    if options.what != "lexer":
        found += asyncio.run(protocol_fuzz.run(options.seed, 20_000))  # caches fill
        before = protocol_fuzz.resident_bytes()
        found += asyncio.run(protocol_fuzz.run(options.seed + 1_000_000, options.inputs, show=True))
        growth = protocol_fuzz.resident_bytes() - before
        print(f"memory grew by {growth >> 10} KiB")
        if growth > GROWTH_BYTES:
            found.append(f"memory grew by {growth} bytes")
    if options.what != "protocol":
        found += lexer_fuzz.run(options.seed, options.inputs)
    for problem in found:
        print(problem)
    print(f"{len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
