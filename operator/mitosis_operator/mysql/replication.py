"""What an instance does to change its part in replication: statements in the order that is safe.

Relay logs may be the only copy of an acknowledged transaction. Changing the source while both
replication threads are stopped would delete them, so the applier runs on while the receiver is
given another source, and they are dropped only after everything in them has been applied.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitosis_operator.mysql.connection import Connection
from mitosis_operator.mysql.instance import (
    GtidStatus,
    ReplicationStatus,
    SemiSyncStatus,
    ThreadState,
)

_OWNER = re.compile(r"#[0-9]+")
"""`gtid_owned` names the thread behind each transaction: uuid:7#12."""
RETRY_COUNT = 1_000_000
APPLY_SECONDS = 20


@dataclass(frozen=True)
class Source:
    host: str
    port: int
    user: str


@dataclass(frozen=True)
class Identity:
    """Password and certificate files with which this instance logs in to its source."""

    password: str
    ca: Path
    certificate: Path
    key: Path


class NotApplied(Exception):
    """Received transactions are not applied in time: their relay logs must be kept."""


def channel(connection: Connection) -> dict[str, Any] | None:
    return connection.row("SHOW REPLICA STATUS")


def source_of(row: dict[str, Any]) -> Source:
    return Source(row["Source_Host"], int(row["Source_Port"]), row["Source_User"])


def status_of(row: dict[str, Any], lag_seconds: float | None) -> ReplicationStatus:
    return ReplicationStatus(
        source_host=row["Source_Host"],
        source_port=int(row["Source_Port"]),
        source_user=row["Source_User"],
        io_state=ThreadState(row["Replica_IO_Running"].lower()),
        sql_state=ThreadState(row["Replica_SQL_Running"].lower()),
        last_io_errno=int(row["Last_IO_Errno"]),
        last_io_error=row["Last_IO_Error"],
        last_sql_errno=int(row["Last_SQL_Errno"]),
        last_sql_error=row["Last_SQL_Error"],
        lag_seconds=lag_seconds,
    )


def gtids(connection: Connection, row: dict[str, Any] | None) -> GtidStatus:
    executed, purged = connection.rows("SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged")[0]
    return GtidStatus(
        executed=_one_line(executed),
        retrieved=_one_line(row["Retrieved_Gtid_Set"]) if row else "",
        purged=_one_line(purged),
    )


def _one_line(gtid_set: str) -> str:
    return gtid_set.replace("\n", "")


def held(connection: Connection) -> str:
    """What this instance has executed or received. To compare, ask for this first and for the
    other's set afterwards: an instance that replicates goes on growing."""
    row = channel(connection)
    received = row["Retrieved_Gtid_Set"] if row else ""
    executed: str = connection.value("SELECT @@GLOBAL.gtid_executed")
    return _one_line(f"{executed},{received}")


def known(connection: Connection) -> str:
    """What a source has: also what it has written to its binary log and not yet committed, because
    it waits for an acknowledgement. A replica may hold that already."""
    executed, owned = connection.rows("SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_owned")[0]
    return _one_line(f"{executed},{_OWNER.sub('', owned)}")


def surplus(connection: Connection, own: str, others: str) -> str:
    """What is in the first set and not in the second; the server counts."""
    found: str = connection.value("SELECT GTID_SUBTRACT(%s, %s)", own, others)
    return _one_line(found)


def follow(connection: Connection, source: Source, identity: Identity, semi_sync: bool) -> None:
    """Replicate from the source; does nothing when that is so already."""
    connection.execute("SET GLOBAL rpl_semi_sync_source_enabled = OFF")
    row = channel(connection)
    acknowledges = bool(connection.value("SELECT @@GLOBAL.rpl_semi_sync_replica_enabled"))
    receiving = row is not None and row["Replica_IO_Running"] == "Yes"
    if row and receiving and source_of(row) == source and acknowledges == semi_sync:
        if row["Replica_SQL_Running"] != "Yes":
            connection.execute("START REPLICA SQL_THREAD")
        return
    if row:
        connection.execute("STOP REPLICA IO_THREAD")
        connection.execute("START REPLICA SQL_THREAD")
    connection.execute(f"SET GLOBAL rpl_semi_sync_replica_enabled = {int(semi_sync)}")
    _change_source(connection, source, identity, first=row is None)
    connection.execute("START REPLICA")


def _change_source(connection: Connection, source: Source, identity: Identity, first: bool) -> None:
    """The name in the source's certificate is not compared: the source is known by IP, and MySQL
    compares with what it connected to. That only an instance of this shard can be the source is
    checked at the other end: it admits this instance's certificate by its full subject."""
    connection.execute(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = %s, SOURCE_PORT = %s, SOURCE_USER = %s,"
        " SOURCE_PASSWORD = %s, SOURCE_SSL = 1, SOURCE_SSL_CA = %s, SOURCE_SSL_CERT = %s,"
        " SOURCE_SSL_KEY = %s, SOURCE_SSL_VERIFY_SERVER_CERT = 0, SOURCE_CONNECT_RETRY = 1,"
        f" SOURCE_RETRY_COUNT = {RETRY_COUNT}, SOURCE_HEARTBEAT_PERIOD = 1"
        + (", SOURCE_AUTO_POSITION = 1" if first else ""),
        source.host,
        source.port,
        source.user,
        identity.password,
        str(identity.ca),
        str(identity.certificate),
        str(identity.key),
    )


def leave_source(connection: Connection) -> None:
    """Stop receiving, apply all that was received, forget the source. Raises NotApplied, and keeps
    the relay logs, when that does not end in time."""
    row = channel(connection)
    if row is not None:
        connection.execute("STOP REPLICA IO_THREAD")
        _apply_received(connection)
        connection.execute("STOP REPLICA")
        connection.execute("RESET REPLICA ALL")
    connection.execute("SET GLOBAL rpl_semi_sync_replica_enabled = OFF")


def _apply_received(connection: Connection) -> None:
    connection.execute("START REPLICA SQL_THREAD")
    row = channel(connection)
    received = row["Retrieved_Gtid_Set"] if row else ""
    late = connection.value("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)", received, APPLY_SECONDS)
    if late:
        row = channel(connection)
        why = row["Last_SQL_Error"] if row else ""
        raise NotApplied(
            f"transactions that were received are not applied after {APPLY_SECONDS} s"
            + (f": {why}" if why else "; ask again")
        )


def require_acknowledgements(connection: Connection, replicas: int) -> None:
    """From now on a commit waits for this many replicas; 0: it waits for none."""
    if replicas:
        connection.execute(
            f"SET GLOBAL rpl_semi_sync_source_wait_for_replica_count = {int(replicas)}"
        )
    connection.execute(f"SET GLOBAL rpl_semi_sync_source_enabled = {int(replicas > 0)}")


def semi_sync(connection: Connection) -> SemiSyncStatus:
    counters = {
        name.removeprefix("Rpl_semi_sync_source_"): value
        for name, value in connection.rows("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_source_%'")
    }
    source, replica = connection.rows(
        "SELECT @@GLOBAL.rpl_semi_sync_source_enabled, @@GLOBAL.rpl_semi_sync_replica_enabled"
    )[0]
    return SemiSyncStatus(
        source_enabled=bool(source),
        replica_enabled=bool(replica),
        clients=int(counters["clients"]),
        wait_sessions=int(counters["wait_sessions"]),
    )
