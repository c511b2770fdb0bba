"""Facts about this instance, gathered anew for each question.

The monitor keeps one connection for itself: it is there when the server has no room for another,
and a stuck server gets one hanging query from it, not one per question.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import metadata

from mitosis_operator.agent import disk
from mitosis_operator.agent.lifecycle import Child
from mitosis_operator.agent.tools import Tools
from mitosis_operator.errors import MysqlError, MysqlUnreachable
from mitosis_operator.mysql import accounts, clone, heartbeat, replication
from mitosis_operator.mysql.connection import Connection
from mitosis_operator.mysql.instance import (
    CloneStatus,
    DataState,
    GtidStatus,
    InstanceStatus,
    MysqldState,
    MysqldStatus,
    ReadOnlyStatus,
    ReplicationStatus,
    Role,
    SemiSyncStatus,
    ThreadState,
)

ANSWER_SECONDS = 2.0
FULL_PERCENT = 95.0
NO_SUCH_TABLE = frozenset((1049, 1146))


@dataclass(frozen=True)
class Inside:
    """What mysqld itself tells."""

    version: str
    server_uuid: str
    gtid: GtidStatus
    semi_sync: SemiSyncStatus
    read_only: ReadOnlyStatus
    replication: ReplicationStatus | None
    clone: CloneStatus | None
    accounts_hash: str


def version() -> str:
    try:
        return metadata.version("mitosis")
    except metadata.PackageNotFoundError:
        return "unknown"


@dataclass
class Monitor:
    tools: Tools
    volume_problem: str = ""
    refused_settings: Callable[[], tuple[str, ...]] = tuple
    agent_version: str = field(default_factory=version)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def status(self) -> InstanceStatus:
        child = self.tools.mysqld.child()
        inside: Inside | None = None
        stuck = ""
        if child.state is MysqldState.RUNNING:
            try:
                inside = self._ask()
            except MysqlError as exc:
                stuck = str(exc)
                child = self.tools.mysqld.child()  # it may have died meanwhile
        mysqld = _mysqld(child, inside, stuck)
        return self._put_together(mysqld, inside)

    def _put_together(self, mysqld: MysqldStatus, inside: Inside | None) -> InstanceStatus:
        memory, settings = self.tools.store.memory, self.tools.settings
        status = InstanceStatus(
            instance=settings.instance,
            shard=settings.shard,
            keyspace=settings.keyspace,
            agent_version=self.agent_version,
            data_state=memory.data_state,
            epoch=memory.epoch,
            role=memory.role,
            writable=_is_writable(inside),
            mysqld=mysqld,
            disk=disk.read(settings.volume),
            fenced_epoch=memory.fenced_epoch,
            operation=memory.latest,
        )
        if inside:
            status = _with_inside(status, inside)
        return replace(status, message=self._message(status))

    def _message(self, status: InstanceStatus) -> str:
        return "; ".join(filter(None, (self.volume_problem, *_complaints(status), self._refused())))

    def _refused(self) -> str:
        names = ", ".join(self.refused_settings())
        return f"left out of mysql.config, because Mitosis sets it: {names}" if names else ""

    def _ask(self) -> Inside:
        with self._lock:
            if self._connection is None:
                self._connection = self.tools.connect(ANSWER_SECONDS)
            try:
                return _look(self._connection)
            except MysqlUnreachable:
                self._connection.close()
                self._connection = None
                raise


def _with_inside(status: InstanceStatus, inside: Inside) -> InstanceStatus:
    return replace(
        status,
        gtid=inside.gtid,
        semi_sync=inside.semi_sync,
        read_only=inside.read_only,
        replication=inside.replication,
        clone=inside.clone,
        accounts_hash=inside.accounts_hash,
    )


def _look(connection: Connection) -> Inside:
    settings = connection.row(
        "SELECT @@GLOBAL.version AS version, @@GLOBAL.server_uuid AS uuid,"
        " @@GLOBAL.super_read_only AS super_read_only, @@GLOBAL.read_only AS read_only,"
        " @@GLOBAL.offline_mode AS offline_mode"
    )
    assert settings is not None, "a SELECT without a table has one row"
    channel = replication.channel(connection)
    return Inside(
        version=settings["version"],
        server_uuid=settings["uuid"],
        gtid=replication.gtids(connection, channel),
        semi_sync=replication.semi_sync(connection),
        read_only=ReadOnlyStatus(
            super_read_only=bool(settings["super_read_only"]),
            read_only=bool(settings["read_only"]),
            offline_mode=bool(settings["offline_mode"]),
        ),
        replication=replication.status_of(channel, _lag(connection)) if channel else None,
        clone=clone.status(connection),
        accounts_hash=_accounts_hash(connection),
    )


def _lag(connection: Connection) -> float | None:
    try:
        return heartbeat.age_seconds(connection)
    except MysqlError as exc:
        if exc.number not in NO_SUCH_TABLE:
            raise
        return None


def _accounts_hash(connection: Connection) -> str:
    try:
        return accounts.stored_hash(connection)
    except MysqlError as exc:
        if exc.number not in NO_SUCH_TABLE:
            raise
        return ""


def _mysqld(child: Child, inside: Inside | None, stuck: str) -> MysqldStatus:
    state, message = child.state, child.message
    if state is MysqldState.RUNNING and inside is None:
        state, message = MysqldState.STUCK, f"no answer in {ANSWER_SECONDS:.0f} s: {stuck}"
    return MysqldStatus(
        state=state,
        pid=child.pid,
        version=inside.version if inside else "",
        server_uuid=inside.server_uuid if inside else "",
        uptime_seconds=child.uptime_seconds,
        restarts=child.restarts,
        message=message,
    )


def _is_writable(inside: Inside | None) -> bool:
    if inside is None:
        return False
    lock = inside.read_only
    return not (lock.super_read_only or lock.read_only or lock.offline_mode)


def _complaints(status: InstanceStatus) -> tuple[str, ...]:
    found = [status.mysqld.message]
    if status.disk.used_percent >= FULL_PERCENT:
        found.append(f"the volume is {status.disk.used_percent:.0f} % full: grow it")
    if status.role is Role.NONE and status.fenced_epoch:
        found.append(f"fenced at epoch {status.fenced_epoch}: keeps clients out until it follows")
    if status.replication and status.replication.last_sql_error:
        found.append(f"applying failed: {status.replication.last_sql_error}")
    if status.replication and status.replication.last_io_error:
        found.append(f"receiving failed: {status.replication.last_io_error}")
    if status.semi_sync and status.semi_sync.wait_sessions and not status.semi_sync.clients:
        found.append("commits wait for an acknowledgement, and no replica is connected")
    return tuple(found)


def is_ready(status: InstanceStatus) -> bool:
    """Whether the role that was told is in effect."""
    if status.mysqld.state is not MysqldState.RUNNING or status.data_state is not DataState.GOOD:
        return False
    if status.role is Role.PRIMARY:
        return status.writable
    threads = status.replication
    return (
        status.role is Role.REPLICA
        and threads is not None
        and threads.sql_state is ThreadState.YES
        and threads.io_state is not ThreadState.NO
    )
