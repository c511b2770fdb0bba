"""Instances in memory: the operator's door to agents, for tests of the operator.

Whether an operation may begin is decided by the agent's own code; what it does is acted out. It
ends at the next look, unless the test holds it. `tests/integration/test_agent_door.py` asks the
same of this fake and of real agents.

    instances = FakeInstances()
    instances.add("shop-0-4096-1", ip="10.0.0.1")
    instances["shop-0-4096-1"].kill_mysqld()
"""

import uuid
from dataclasses import dataclass, field, replace

from mitosis_operator.agent import decisions
from mitosis_operator.agent.errors import OperationFailed
from mitosis_operator.agent.state import RESTARTED, Memory
from mitosis_operator.errors import AgentRefused, AgentUnreachable
from mitosis_operator.mysql import instance as asked
from mitosis_operator.mysql.gtid import GtidSet
from mitosis_operator.mysql.instance import (
    Accounts,
    Clone,
    DataState,
    DiskStatus,
    GtidStatus,
    InstanceStatus,
    MysqldState,
    MysqldStatus,
    Operation,
    OperationState,
    Progress,
    ReadOnlyStatus,
    ReplicationStatus,
    SemiSyncStatus,
    ThreadState,
    Verb,
)

GIB = 1 << 30


@dataclass
class FakeInstance:
    """One agent with its mysqld. Tests may set every field."""

    name: str
    shard: str
    keyspace: str
    ip: str
    world: "FakeInstances"
    memory: Memory = field(init=False)
    server_uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    reachable: bool = True
    runs: bool = False
    super_read_only: bool = True
    offline: bool = False
    executed: GtidSet = field(default_factory=lambda: GtidSet.parse(""))
    source: asked.Follow | None = None
    threads_run: bool = False
    source_enabled: bool = False
    replica_enabled: bool = False
    accounts: Accounts | None = None
    accounts_hash: str = ""
    disk: DiskStatus = field(default_factory=lambda: DiskStatus(64 * GIB, 60 * GIB, 6.25))
    restarts: int = 0
    version: str = "9.7.4"
    message: str = ""
    held: bool = False
    """Operations go on running until this is False again."""
    failures: dict[Verb, str] = field(default_factory=dict)
    """The next operation of this verb fails so."""
    began: list[Operation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory = Memory(self.keyspace, self.shard, self.name)

    def kill_mysqld(self) -> None:
        """Its agent starts it again, read-only, replication stopped."""
        if self.runs:
            self.restarts += 1
            self._start()

    def restart_agent(self) -> None:
        ended = tuple(
            replace(o, state=Progress.FAILED, error=RESTARTED) if o.state is Progress.RUNNING else o
            for o in self.memory.operations
        )
        self.memory = replace(self.memory, operations=ended)
        if self.memory.data_state is DataState.GOOD:
            self._start()

    def write(self, transactions: int = 1) -> None:
        """What a client, or somebody with root, does here."""
        has = sum(
            last - first + 1
            for (source, _), all in self.executed.intervals.items()
            if source == self.server_uuid
            for first, last in all
        )
        more = GtidSet.parse(f"{self.server_uuid}:{has + 1}-{has + transactions}")
        self.executed = self.executed.union(more)

    def _start(self) -> None:
        self.runs, self.super_read_only, self.threads_run = True, True, False
        self.source_enabled = self.replica_enabled = False
        self.offline = decisions.starts_offline(self.memory)

    @property
    def writable(self) -> bool:
        return self.runs and not self.super_read_only and not self.offline

    def _source(self) -> "FakeInstance | None":
        found = self.world.instances.get(self.source.source_name) if self.source else None
        return found if found and found.runs and not found.offline else None

    def receives(self) -> bool:
        return self.runs and self.threads_run and self._source() is not None

    def followers(self) -> int:
        """Replicas connected here that acknowledge."""
        return sum(
            1 for i in self.world.instances.values() if i.replica_enabled and i._follows(self)
        )

    def _follows(self, other: "FakeInstance") -> bool:
        return self.receives() and self._source() is other

    def settle(self) -> None:
        """Let time pass: replicas apply, the running operation ends."""
        source = self._source()
        if source and self.receives():
            self.executed = self.executed.union(source.executed)
        running = self.memory.running
        if running and not self.held:
            self.end(next(o for o in self.began if o.id == running.id))

    def end(self, operation: Operation) -> None:
        error = self.failures.pop(operation.verb, "")
        if not error:
            try:
                self._act(operation)
            except OperationFailed as exc:
                error = str(exc)
        state = Progress.FAILED if error else Progress.DONE
        self.memory = self.memory.with_operation(
            OperationState(operation.id, operation.verb, state, error)
        )

    def _act(self, operation: Operation) -> None:
        match operation.args:
            case asked.Initialise():
                self._fill(GtidSet.parse(""), "")
            case asked.Clone() as args:
                self._clone(args)
            case asked.Follow() as args:
                self._follow(args)
            case asked.Promote() as args:
                self._promote(args)
            case asked.Accounts() as args:
                self.write()
                self.accounts, self.accounts_hash = args, args.hash
            case asked.Fence():
                self.offline = self.super_read_only = True
            case asked.Restart():
                self._start()
            case asked.Shutdown():
                self.runs = False

    def _fill(self, executed: GtidSet, accounts_hash: str) -> None:
        self.memory = replace(self.memory, data_state=DataState.GOOD)
        self.executed, self.accounts_hash, self.source = executed, accounts_hash, None
        self._start()
        self.offline = False

    def _clone(self, args: Clone) -> None:
        donor = self.world.instances.get(args.donor_name)
        if donor is None or not donor.runs or donor.offline or donor.ip != args.donor_host:
            raise OperationFailed(f"cannot clone from {args.donor_name} at {args.donor_host}")
        if self.memory.data_state is DataState.GOOD:
            lost = self.executed.subtract(donor.executed)
            if lost != GtidSet.parse(args.discard_gtid or ""):
                raise OperationFailed(f"cannot clone over good data: it would lose {lost}")
        self._fill(donor.executed, donor.accounts_hash)

    def _follow(self, args: asked.Follow) -> None:
        if args.source_executed is not None:
            extra = self.executed.subtract(GtidSet.parse(args.source_executed))
            if not extra.is_empty:
                raise OperationFailed(f"cannot follow {args.source_name}: it does not have {extra}")
        if not self.runs:
            self._start()
        self.super_read_only, self.offline, self.threads_run = True, False, True
        self.source, self.source_enabled, self.replica_enabled = args, False, args.semi_sync

    def _promote(self, args: asked.Promote) -> None:
        if not self.runs:
            self._start()
        self.source, self.threads_run, self.replica_enabled = None, False, False
        self.offline, self.source_enabled = False, args.semi_sync
        if self.followers() < args.min_acks:
            raise OperationFailed(f"{self.followers()} of {args.min_acks} replicas are connected")
        self.super_read_only = False

    def status(self) -> InstanceStatus:
        state = MysqldState.RUNNING if self.runs else MysqldState.STOPPED
        told = InstanceStatus(
            instance=self.name,
            shard=self.shard,
            keyspace=self.keyspace,
            agent_version="fake",
            data_state=self.memory.data_state,
            epoch=self.memory.epoch,
            role=self.memory.role,
            writable=self.writable,
            mysqld=MysqldStatus(state, restarts=self.restarts),
            disk=self.disk,
            fenced_epoch=self.memory.fenced_epoch,
            operation=self.memory.latest,
            message=self.message,
        )
        return self._with_inside(told) if self.runs else told

    def _with_inside(self, told: InstanceStatus) -> InstanceStatus:
        return replace(
            told,
            mysqld=replace(told.mysqld, pid=1, version=self.version, server_uuid=self.server_uuid),
            gtid=GtidStatus(executed=str(self.executed)),
            semi_sync=SemiSyncStatus(
                self.source_enabled, self.replica_enabled, clients=self.followers()
            ),
            read_only=ReadOnlyStatus(self.super_read_only, self.super_read_only, self.offline),
            replication=self._replication(),
            accounts_hash=self.accounts_hash,
        )

    def _replication(self) -> ReplicationStatus | None:
        if self.source is None:
            return None
        sql = ThreadState.YES if self.threads_run else ThreadState.NO
        io = ThreadState.CONNECTING if self.threads_run else ThreadState.NO
        return ReplicationStatus(
            source_host=self.source.source_host,
            source_port=self.source.source_port,
            source_user=f"mitosis_repl_{self.name.rpartition('-')[2]}",
            io_state=ThreadState.YES if self.receives() else io,
            sql_state=sql,
            lag_seconds=0.5 if self.receives() else None,
        )


class FakeInstances:
    """Implements `Instances`."""

    def __init__(self) -> None:
        self.instances: dict[str, FakeInstance] = {}
        self.operations: list[tuple[str, Operation]] = []
        """Every operation that was taken in, with its instance, in order."""

    def __getitem__(self, name: str) -> FakeInstance:
        return self.instances[name]

    def add(self, name: str, ip: str, *, keyspace: str = "shop", shard: str = "") -> FakeInstance:
        """An agent with an empty volume; the shard follows from the name unless given. Adding it
        again, with another ip, is its pod coming back on its volume."""
        if name in self.instances:
            self.instances[name].ip, self.instances[name].reachable = ip, True
        else:
            shard = shard or name.rpartition("-")[0]
            self.instances[name] = FakeInstance(name, shard, keyspace, ip, self)
        return self.instances[name]

    async def status(self, ip: str, instance: str) -> InstanceStatus:
        found = self._reach(ip, instance)
        found.settle()
        return found.status()

    async def start(self, ip: str, instance: str, operation: Operation) -> OperationState:
        found = self._reach(ip, instance)
        if known := found.memory.find(operation.id):
            return known
        if reason := decisions.refusal(found.memory, operation):
            raise AgentRefused(f"the agent of {instance} refused: {reason}", 409)
        found.memory = decisions.accepted(found.memory, operation)
        found.began.append(operation)
        self.operations.append((instance, operation))
        return OperationState(operation.id, operation.verb, Progress.RUNNING)

    async def operation(self, ip: str, instance: str, operation_id: str) -> OperationState | None:
        found = self._reach(ip, instance)
        found.settle()
        return found.memory.find(operation_id)

    def _reach(self, ip: str, instance: str) -> FakeInstance:
        found = self.instances.get(instance)
        if found is None or not found.reachable or found.ip != ip:
            raise AgentUnreachable(f"cannot reach the agent of {instance} at {ip}")
        return found
