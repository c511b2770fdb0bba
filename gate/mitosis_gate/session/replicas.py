"""Reads from replicas: which one, and how much it must have applied before it is asked.

A session stays with one replica of each shard, so that its reads never go back in time. What it has
written itself it finds there: the server tells the GTID of each commit (session_track_gtids), and
the replica is asked to wait for it, for a short time; then the primary answers instead. Where the
GTID is not known, because the session has used the primary in another way, everything that the
primary has executed is waited for.

A *token* carries this to another session: `SELECT @@gate_gtids` after the writes, `SET gate_gtids =
'...'` before the reads.
"""

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.topology import Topology
from mitosis_gate.errors import GateError

UNKNOWN = b"?"
"""Ask the primary what there is."""
_EVERY = "*"
_EXECUTED = b"SELECT @@global.gtid_executed"


class ReplicaReads:
    """What one session knows of the replicas that it reads."""

    __slots__ = ("_applied", "_chosen", "_marks")

    def __init__(self, has_a_past: bool) -> None:
        """`has_a_past`: the session may have written before anybody kept count."""
        self._marks: dict[str, bytes] = {_EVERY: UNKNOWN} if has_a_past else {}
        self._chosen: dict[str, str] = {}
        self._applied: dict[str, tuple[str, bytes]] = {}

    def wrote(self, shard: str, gtid: bytes) -> None:
        self._marks[shard] = gtid

    def used_primary(self, shard: str) -> None:
        """What was seen there may be newer than what any replica has."""
        self._marks[shard] = UNKNOWN

    @property
    def token(self) -> str:
        return ";".join(f"{shard}={mark.decode()}" for shard, mark in sorted(self._marks.items()))

    def take(self, token: str) -> None:
        """Wait for what another session wrote, besides what this one did."""
        for part in token.split(";"):
            shard, _, mark = part.partition("=")
            if not mark:
                continue
            known = self._marks.get(shard, b"")
            if mark == "?" or known == UNKNOWN:
                self._marks[shard] = UNKNOWN
            else:
                self._marks[shard] = b",".join(filter(None, (known, mark.encode())))

    async def connection(
        self, topology: Topology, account: Account, variant: int, shard: str, seconds: float
    ) -> BackendConnection | None:
        """A connection to a replica that has all that the session knows of; None: ask the primary.

        Raises what the primary raises when it must be asked what there is.
        """
        chosen = self._chosen.get(shard, "")
        found = await topology.borrow_replica(account, shard, variant, chosen)
        if found is None:
            return None
        instance = found.target.instance
        if instance != chosen:
            if chosen:
                self._marks[shard] = UNKNOWN
            self._chosen[shard] = instance
        try:
            if await self._has_all(topology, account, found, seconds):
                return found
        except BaseException:
            topology.give_back(found)
            raise
        topology.give_back(found)
        return None

    async def _has_all(
        self, topology: Topology, account: Account, replica: BackendConnection, seconds: float
    ) -> bool:
        shard = replica.shard
        mark = self._marks.get(shard) or self._marks.get(_EVERY)
        if mark is None or self._applied.get(shard) == (replica.target.instance, mark):
            return True
        if mark == UNKNOWN:
            async with topology.lent(account.keyspace, shard, account) as primary:
                rows = (await primary.query(_EXECUTED)).values()
            mark = (rows[0][0] or b"").replace(b"\n", b"")
            self._marks[shard] = mark
        if mark and not await _waited(replica, mark, seconds):
            return False
        self._applied[shard] = (replica.target.instance, mark)
        return True


async def _waited(replica: BackendConnection, mark: bytes, seconds: float) -> bool:
    sql = b"SELECT WAIT_FOR_EXECUTED_GTID_SET('%b', %.3f)" % (mark, seconds)
    try:
        return (await replica.query(sql)).values()[0][0] == b"0"
    except GateError:
        return False
