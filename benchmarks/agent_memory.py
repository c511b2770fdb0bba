"""Resident memory of one agent after a thousand questions, with its mysqld running.

Run: `PYTHONPATH=tests/support .venv/bin/python benchmarks/agent_memory.py`. The agent runs without
the package `cryptography`, which its image does not have and pymysql would load when it is there.
Prints one JSON line; the target is 45 MB.
"""

import asyncio
import json
import tempfile
from pathlib import Path

from agents import World
from mitosis_operator.mysql.instance import Initialise

QUESTIONS = 1000
AT_ONCE = 4


def resident_megabytes(pid: int) -> float:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    kibibytes = next(int(row.split()[1]) for row in rows if row.startswith("VmRSS:"))
    return round(kibibytes / 1024, 1)


async def measure(folder: Path) -> dict[str, float]:
    world = World(folder)
    agent = world.agent(1)
    agent.options = ("-c", WITHOUT_CRYPTOGRAPHY)
    try:
        await agent.start()
        assert agent.process is not None
        began = resident_megabytes(agent.process.pid)
        await agent.do(Initialise())
        for _ in range(QUESTIONS // AT_ONCE):
            await asyncio.gather(*(agent.status() for _ in range(AT_ONCE)))
        mysqld = (await agent.status()).mysqld.pid
        assert mysqld is not None
        return {
            "agent_rss_mb_at_start": began,
            "agent_rss_mb": resident_megabytes(agent.process.pid),
            "mysqld_rss_mb": resident_megabytes(mysqld),
        }
    finally:
        world.close()


WITHOUT_CRYPTOGRAPHY = """
import sys
sys.modules["cryptography"] = None
from mitosis_operator.agent.main import main
main()
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="agent-memory-") as folder:
        print(json.dumps({"benchmark": "agent_memory", **asyncio.run(measure(Path(folder)))}))


if __name__ == "__main__":
    main()
