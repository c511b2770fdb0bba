"""Ending writes on a server that may be the primary.

Read-only comes first, with a short limit: commits that run get their acknowledgements and end
properly. Offline mode comes second, because it also cuts off the replicas that acknowledge: from
then on a commit that still waits waits for ever, its client has lost the connection and is told
nothing, and read-only waits behind it. Who needs certainty then ends the process.
"""

from mitosis_operator.agent.lifecycle import log
from mitosis_operator.agent.tools import Tools
from mitosis_operator.errors import MysqlError

GENTLE_SECONDS = 1.0
OFFLINE_SECONDS = 2.0
READ_ONLY_SECONDS = 3.0


def end_writes(tools: Tools) -> bool:
    """Return whether this server is read-only and clients are cut off. Bounded by the sum of the
    limits; after False it may still finish commits, but takes none from a client."""
    gentle = _try(tools, GENTLE_SECONDS, "super_read_only")
    offline = _try(tools, OFFLINE_SECONDS, "offline_mode")
    return offline and (gentle or _try(tools, READ_ONLY_SECONDS, "super_read_only"))


def _try(tools: Tools, limit_seconds: float, switch: str) -> bool:
    try:
        with tools.connect(limit_seconds) as connection:
            connection.execute(f"SET GLOBAL {switch} = ON")
    except MysqlError as exc:
        log(f"{switch} did not come in {limit_seconds:.0f} s: {exc}")
        return False
    return True
