"""Connection ids that are unique among all gates of a release: KILL finds its session by them.

    gate (10 bits) | worker (5 bits) | counter (17 bits)

The protocol has 32 bits for an id. A gate chooses a number that no peer has (`peers.Peers`).
"""

GATE_BITS, WORKER_BITS, COUNTER_BITS = 10, 5, 17
GATES = 1 << GATE_BITS
MAX_WORKERS = (1 << WORKER_BITS) - 1
MAX_CLIENTS = (1 << COUNTER_BITS) - 1
"""Of one worker: ids of sessions that are open are never given again."""


def first_id(gate: int, worker: int) -> int:
    """The id whose counter is 0; no session has it."""
    return (gate % GATES) << (WORKER_BITS + COUNTER_BITS) | worker << COUNTER_BITS


def gate_of(connection_id: int) -> int:
    return connection_id >> (WORKER_BITS + COUNTER_BITS)


def worker_of(connection_id: int) -> int:
    return connection_id >> COUNTER_BITS & MAX_WORKERS
