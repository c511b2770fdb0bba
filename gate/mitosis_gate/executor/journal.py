"""What became of transactions that are committed on some shards and not on others (mode `multi`).

One JSON object a line, flushed to disk before the client learns of it; the log has the same.
"""

import asyncio
import json
import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)


class Journal:
    def __init__(self, path: Path | None) -> None:
        """None: the log only."""
        self._path = path

    async def write(
        self,
        keyspace: str,
        committed: Sequence[str],
        unknown: Sequence[str],
        rolled_back: Sequence[str],
        problem: str,
    ) -> None:
        line = json.dumps(
            {
                "at": datetime.now(UTC).isoformat(),
                "keyspace": keyspace,
                "committed": list(committed),
                "unknown": list(unknown),
                "rolledBack": list(rolled_back),
                "problem": problem,
            }
        )
        log.error("a transaction is committed on some of its shards only: %s", line)
        if self._path is not None:
            await asyncio.to_thread(_append, self._path, line)


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
