"""The variables and the connections of a session: lent for a statement, or kept for longer.

Which connection a session holds:

- none between statements, in the common case;
- `Transaction.bound`: that of the open transaction, or of what pins the session (a user lock, a
  temporary table), until the transaction ends and no pin is left;
- `_kept`: that of the last statement while it has warnings or an error to show, for one more
  statement or about a second.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from mitosis_gate import metrics
from mitosis_gate.backends import variables
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.topology import Lanes
from mitosis_gate.backends.variables import Variables
from mitosis_gate.errors import PREFIX, BackendLost, MysqlError, SeveralShards, ShardUnavailable
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.commit import Commits
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.own_variables import OWN
from mitosis_gate.planner.plan import DEFAULT_VARIANT, Variant
from mitosis_gate.session.answers import Answers
from mitosis_gate.session.last import WARNING, Message, messages_of
from mitosis_gate.session.replicas import ReplicaReads
from mitosis_gate.session.services import Services
from mitosis_gate.transaction import Backends, Holder, Transaction
from mitosis_gate.wire import charsets, packets
from mitosis_gate.wire import constants as c
from mitosis_routing.table import RoutingTable, TransactionMode

TRACKS_GTIDS = ("session_track_gtids", b"'OWN_GTID'")
_UTF8 = frozenset({b"utf8mb4", b"utf8mb3", b"utf8", b"ascii"})


class Lending(Answers):
    """What the executor and the transaction see of a session: `Client` and `Holder`."""

    __slots__ = (
        "_accounts",
        "_borrowed",
        "_login_variables",
        "_outside",
        "_own",
        "_from_replica",
        "_hinted_read",
        "_reads",
        "_replica_reads",
        "_sees_rows",
        "_suffixed",
        "_variant_bits",
        "_wants_fresh",
        "user",
    )

    def __init__(
        self,
        services: Services,
        connection_id: int,
        login: packets.Login,
        accounts: Sequence[Account],
    ) -> None:
        super().__init__(services, login.capabilities)
        self.connection_id = connection_id
        self.user = login.user
        self._accounts: dict[str, Account] = {}
        self._home = ""
        """Whose planner and connections serve it, also before it has chosen a database."""
        self.current = ""
        """What COM_INIT_DB or USE chose; empty: nothing yet."""
        self._variant_bits = login.capabilities & c.SHAPING
        self._variant = DEFAULT_VARIANT
        self._login_variables = variables_of_login(login.charset)
        self._variables = variables.NONE
        self._set_variables(self._login_variables)
        self._lanes: Lanes | None = None
        self._planner: Planner | None = None
        self._borrowed: set[BackendConnection] = set()
        self._outside: set[BackendConnection] = set()
        self._last: BackendConnection | None = None
        self._kept: BackendConnection | None = None
        self._reads = False
        """The statement that runs only reads: it need not wait for whom writes must wait for."""
        self._wants_fresh = False
        """Connections that lay idle are not to be trusted now."""
        self._from_replica = False
        """The statement that runs is one for a replica."""
        self._sees_rows = False
        """The statement that runs reads or writes rows; others leave no trace in what was seen."""
        self._hinted_read = ""
        """What its comment wishes: `primary` or `replica`."""
        self._replica_reads: ReplicaReads | None = None
        """Kept from the first statement on that is meant for a replica."""
        self._suffixed = False
        """The user logged in under the name of those who read from replicas."""
        self._own: dict[str, str] = {}
        """The gate's own variables that were set."""
        self._pins: dict[str, BackendConnection] = {}
        """What is kept on connections, by reason."""
        self._transaction = Transaction(self._as_holder())
        self.last_insert_id = 0
        self._enter(login.database, accounts)

    def _enter(self, database: str, accounts: Sequence[Account]) -> None:
        """Serve the user of these accounts from here on."""
        self._accounts = {a.keyspace: a for a in accounts}
        self._home = database or accounts[0].keyspace
        self.current = database
        self._lanes = self._planner = self._last = None
        self._suffixed = self.user != accounts[0].user
        self.user = accounts[0].user
        if self._suffixed:
            self._replica_reads = None
            self._begin_replica_reads()
            self._login_variables = self._login_variables.with_(*TRACKS_GTIDS)

    def _begin_replica_reads(self) -> None:
        """From here on what the session writes is kept count of."""
        if self._replica_reads is None:
            self._replica_reads = ReplicaReads(has_a_past=self._last is not None)
            self._set_variables(self._variables.with_(*TRACKS_GTIDS))

    @property
    def reads_from_replicas(self) -> bool:
        """Unless a statement says otherwise."""
        return self._suffixed or self._own.get("gate_read_from") == "replica"

    def _as_holder(self) -> Holder:
        return self  # type: ignore[return-value]  # whole only as a Session

    def _as_client(self) -> Client:
        return self._as_holder()

    # what the executor uses; see executor.client

    @property
    def keyspace(self) -> str:
        return self.current

    @property
    def variant(self) -> Variant:
        return self._variant

    @property
    def account(self) -> Account:
        return self._accounts[self._home]

    @property
    def table(self) -> RoutingTable:
        assert self._lanes is not None
        return self._lanes.table

    @property
    def variables(self) -> Variables:
        return self._variables

    @variables.setter
    def variables(self, value: Variables) -> None:
        self._set_variables(value)

    def _set_variables(self, value: Variables) -> None:
        self._variables = value
        charset = (value.get("character_set_client") or b"utf8mb4").strip(b"'\"`").lower()
        utf8 = charset in _UTF8
        if utf8 != self._variant.utf8:
            self._variant = DEFAULT_VARIANT if utf8 else Variant(utf8=False)

    @property
    def autocommit(self) -> bool:
        return self._variables.autocommit

    @property
    def last_shard(self) -> str | None:
        return self._last.shard if self._last is not None else None

    @property
    def in_transaction(self) -> bool:
        return self._transaction.is_open

    @property
    def bound_shard(self) -> str | None:
        return self._transaction.shard

    async def backend(self, shard: str, outside: bool = False) -> BackendConnection:
        if not outside:
            return await self._transaction.join(shard)
        connection = await self._borrow(shard)
        self._outside.add(connection)
        await self._tune(connection, self._variables.without("autocommit"))
        return connection

    def reading(self, shards: Sequence[str]) -> AbstractAsyncContextManager[Backends]:
        return self._transaction.reading(shards)

    def writing(self, shards: Sequence[str]) -> AbstractAsyncContextManager[Backends]:
        return self._transaction.writing(shards)

    @property
    def commits(self) -> Commits:
        return self._services.commits

    @property
    def transaction_mode(self) -> TransactionMode:
        return TransactionMode(self.own("transaction_mode"))

    def own(self, name: str) -> str:
        if name == "gate_gtids":
            return self._replica_reads.token if self._replica_reads else "*=?"
        if name == "gate_read_from" and self._suffixed and name not in self._own:
            return "replica"
        value = self._own.get(name)
        if value is not None:
            return value
        if name == "transaction_mode" and self._lanes is not None:
            user = self.account.user
            modes = (u.transaction_mode for u in self.table.users if u.name == user)
            return next(modes, TransactionMode.ATOMIC).value
        return (OWN[name] or ("0",))[0]

    def set_own(self, name: str, value: str | None) -> None:
        if name == "gate_gtids":
            self._begin_replica_reads()
            assert self._replica_reads is not None
            self._replica_reads.take(value or "")
            return
        if name == "gate_read_from":
            self._planner = None  # so that the next statement takes over other lanes
            self._suffixed = self._suffixed and value == "replica"
            if value == "replica":
                self._begin_replica_reads()
        if value is None:
            self._own.pop(name, None)
        else:
            self._own[name] = value

    async def borrow(self, shard: str) -> BackendConnection:
        for kept in self._pins.values():
            if kept.shard == shard:
                if kept.draining and not kept.in_transaction:
                    await self._services.topology.settled(self._home, kept)
                if kept.alive and not kept.obsolete:
                    return kept
                kept.close("obsolete")
                self.lose_pins(kept)
                raise BackendLost(
                    f"the connection to shard {shard} is closed; what this session kept there is "
                    "lost"
                )
        return await self._borrow(shard)

    def _idle(self, shard: str) -> BackendConnection | None:
        """What `Topology.borrow` would give, when nothing must be waited for."""
        lanes = self._lanes
        lane = lanes.named.get(shard) if lanes is not None and lanes.current else None
        return lane.take() if lane is not None else None

    async def _borrow(self, shard: str) -> BackendConnection:
        account = self.account
        topology, reader = self._services.topology, self._replica_reads
        connection = None
        is_clear = reader is None and topology.is_clear(account.keyspace, shard)
        if is_clear and not self._wants_fresh:
            connection = self._idle(shard)
        if self._from_replica and reader is not None:
            seconds = self._services.settings.replica_wait_seconds
            connection = await reader.connection(
                topology, account, self._variant_bits, shard, seconds
            )
        if connection is None:
            connection = await topology.borrow(
                account.keyspace,
                shard,
                account,
                self._variant_bits,
                writes=not self._reads,
                fresh=self._wants_fresh,
            )
            if reader is not None and self._sees_rows:
                reader.used_primary(shard)
        connection.last_user = self.connection_id
        self._borrowed.add(connection)
        return connection

    async def tune(self, connection: BackendConnection) -> None:
        await self._tune(connection, self._variables)

    async def tune_to(self, connection: BackendConnection, wanted: Variables) -> None:
        await self._tune(connection, wanted)

    async def _tune(self, connection: BackendConnection, wanted: Variables) -> None:
        difference = wanted.difference(connection.applied)
        if difference:
            await self.prepare_for(connection, difference)
            connection.applied = wanted

    async def prepare_for(self, connection: BackendConnection, sql: bytes) -> None:
        """Run what must come before the client's statement."""
        try:
            await connection.query(sql)
        except MysqlError:
            self._borrowed.discard(connection)
            if connection is not self._transaction.bound:
                connection.close("not clean")
            raise

    def owns(self, connection: BackendConnection) -> None:
        self._borrowed.discard(connection)

    def committed(self, connection: BackendConnection) -> None:
        self._note_gtid(connection)

    def release(self, connection: BackendConnection) -> None:
        if connection.alive:
            self._note_gtid(connection)
        elif self._replica_reads is not None:
            self._replica_reads.used_primary(connection.shard)
        if not self.is_pinned(connection):
            self._services.topology.give_back(connection)

    def _note_gtid(self, connection: BackendConnection) -> None:
        """Keep what was committed there last, for reads from a replica."""
        if self._replica_reads is None or not connection.target.is_primary:
            return
        gtid = connection.scanner.ok.changes.gtid
        if gtid:
            self._replica_reads.wrote(connection.shard, gtid)

    async def commit(self) -> None:
        await self._transaction.commit()

    def begin(self, statement: bytes) -> None:
        self._transaction.begin(statement)

    def next_transaction(self, statement: bytes) -> None:
        self._transaction.next_transaction(statement)

    async def any_backend(self) -> BackendConnection:
        if self._lanes is None or not self._lanes.current:
            await self._refresh()
        table = self.table
        wanted = self.bound_shard or self.last_shard
        if wanted is None or table.shard(wanted) is None:
            serving = next((s for s in table.shards if s.primary is not None), table.shards[0])
            wanted = serving.name
        return await self.backend(wanted)

    def give_back(self, connection: BackendConnection) -> None:
        self._borrowed.discard(connection)
        if self._closed:
            self._drop(connection)
            return
        if connection in self._outside:
            self._outside.discard(connection)
            self._services.topology.give_back(connection)
            return
        self._last = connection
        is_ours = self._transaction.holds(connection) or self.is_pinned(connection)
        if is_ours or connection.in_transaction:
            self._transaction.settle(connection)
        else:
            self._services.topology.give_back(connection)

    async def note_warnings(self, connection: BackendConnection) -> None:
        self._messages += await messages_of(connection)

    def keep_warnings(self, warnings: Sequence[tuple[bytes, int, str]]) -> None:
        self._messages += [Message(*warning) for warning in warnings]

    def warn(self, code: int, text: str) -> None:
        self._messages.append(Message(WARNING, code, f"{PREFIX}{text}"))

    def disown(self, connection: BackendConnection) -> None:
        self._borrowed.discard(connection)
        self._outside.discard(connection)

    @property
    def is_gone(self) -> bool:
        return self._closed

    def is_pinned(self, connection: BackendConnection) -> bool:
        return connection in self._pins.values()

    def pinned_connection(self) -> BackendConnection | None:
        return next(iter(self._pins.values()), None)

    def pin(self, reason: str, connection: BackendConnection) -> None:
        self._add_pin(reason, connection)
        if self._transaction.bound is None:
            self._transaction.bound = connection
        self._borrowed.discard(connection)
        self._outside.discard(connection)

    def _add_pin(self, reason: str, connection: BackendConnection) -> None:
        if reason not in self._pins:
            metrics.PINNED.labels(reason=pin_label(reason)).inc()
        self._pins[reason] = connection

    def unpin(self, reason: str) -> None:
        connection = self._take_pin(reason)
        if connection is not None and not connection.busy:
            self._transaction.settle(connection)

    def _take_pin(self, reason: str) -> BackendConnection | None:
        """Forget a pin; the connection stays where it is until it is settled."""
        connection = self._pins.pop(reason, None)
        if connection is not None:
            metrics.PINNED.labels(reason=pin_label(reason)).dec()
        return connection

    def lose_pins(self, connection: BackendConnection) -> None:
        for reason in [r for r, kept in self._pins.items() if kept is connection]:
            self._take_pin(reason)

    def _must_be_at(self, reason: str, shard: str) -> None:
        """What the session keeps on a connection is of no use on another."""
        kept = self._pins.get(reason)
        if kept is not None and kept.shard != shard:
            raise SeveralShards(
                f"the statement needs what this session keeps on shard {kept.shard} ({reason}), "
                f"but its rows are on {shard}"
            )

    def _drop(self, connection: BackendConnection) -> None:
        """The session ends or begins anew: what it left there is for nobody else."""
        if connection.in_transaction or connection.busy or self.is_pinned(connection):
            connection.abandon("client gone")
        else:
            self._services.topology.give_back(connection)

    def _release_everything(self, spared: BackendConnection | None = None) -> None:
        """Drop all that is held, `spared` apart."""
        transaction = self._transaction
        for held in {transaction.bound, *transaction.joined(), self._kept, *self._pins.values()}:
            if held is not None and held is not spared:
                self._drop(held)
        transaction.bound = self._kept = None
        transaction.forget()
        for reason in tuple(self._pins):
            self._take_pin(reason)

    def _release_kept(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            self._services.topology.give_back(kept)

    async def _refresh(self) -> Planner:
        """Take over the table and the planner in force; shards are counted in that table."""
        account = self.account
        planner = await self._services.planners.ready(account.keyspace)
        lanes = self._services.topology.lanes(
            account, self._variant_bits, held=self.reads_from_replicas
        )
        if planner.table is not lanes.table:
            raise ShardUnavailable(f"the routing table of {account.keyspace} changes: repeat")
        self._planner, self._lanes = planner, lanes
        return planner

    def _drop_borrowed(self) -> None:
        """Nothing is left here when the executor gave back what it took."""
        for connection in tuple(self._borrowed):
            connection.abandon("not given back")
        self._borrowed.clear()
        self._outside.clear()

    def _status(self) -> int:
        status = c.STATUS_AUTOCOMMIT if self.autocommit else 0
        if self.in_transaction:
            status |= c.STATUS_IN_TRANS
        return status | c.STATUS_MORE_RESULTS if self._more_follows else status


def pin_label(reason: str) -> str:
    """What several pins of one kind are called together: they differ in a number behind `#`."""
    return reason.partition("#")[0]


def variables_of_login(charset: int) -> Variables:
    """A client names its character set in the login packet; the backends start with theirs."""
    known = charsets.by_id(charset) or charsets.UTF8MB4
    if known == charsets.UTF8MB4:
        return variables.NONE
    name = b"'" + known.name.encode() + b"'"
    return Variables.of(
        {
            "character_set_client": name,
            "character_set_results": name,
            "collation_connection": b"'" + known.collation.encode() + b"'",
        }
    )
