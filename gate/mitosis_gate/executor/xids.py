"""Names of transactions over several shards, as MySQL's XA statements know them.

`gtrid` is `<slots of the first shard>/<128 random bits>`: it says where the decision is, and nobody
who has not seen it can name it. `bqual` is the slots of the branch. Our format number keeps them
apart from the XA transactions of anybody else.
"""

import re
import secrets
from dataclasses import dataclass

from mitosis_routing.keyspace import SlotRange

FORMAT = 0x4D495431
_GTRID = re.compile(rb"([0-9]{1,9})-([0-9]{1,9})/[0-9a-f]{32}")


@dataclass(frozen=True)
class Xid:
    gtrid: bytes
    bqual: bytes

    @property
    def sql(self) -> bytes:
        return b"X'%s',X'%s',%d" % (self.gtrid.hex().encode(), self.bqual.hex().encode(), FORMAT)

    @property
    def gtrid_sql(self) -> bytes:
        return b"X'%s'" % self.gtrid.hex().encode()

    @property
    def first_slot(self) -> int:
        """The owner of this slot has the decision."""
        found = _GTRID.fullmatch(self.gtrid)
        assert found is not None
        return int(found[1])

    def __str__(self) -> str:
        return self.gtrid.decode("ascii", "replace")


def new_gtrid(first: SlotRange) -> bytes:
    return f"{first}/{secrets.token_hex(16)}".encode()


def recovered(format_id: int, gtrid_length: int, data: str) -> Xid | None:
    """A row of `XA RECOVER CONVERT XID`; None: not one of ours."""
    if format_id != FORMAT:
        return None
    try:
        both = bytes.fromhex(data.removeprefix("0x"))
    except ValueError:
        return None
    gtrid, bqual = both[:gtrid_length], both[gtrid_length:]
    return Xid(gtrid, bqual) if _GTRID.fullmatch(gtrid) else None
