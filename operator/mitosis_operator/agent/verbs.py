"""What each verb does. Every one may be repeated, and may have died at any point before.

Order of `promote`, and why:
1. receiving stops and all that was received is applied: it may hold acknowledged commits;
2. the old source is forgotten;
3. commits need acknowledgements from here on, before the first one is possible;
4. enough replicas are connected, else the first commit would wait for ever;
5. the promotion still stands (no fence, no higher epoch); only then read-only ends.

Order of `fence`: the epoch is stored, writes are ended (`writes.py`); where a commit that waits for
an acknowledgement holds that up, mysqld is stopped, and killed. Nobody is told OK for such a
commit. Turning semi-synchronous replication off would do exactly that.
"""

import shutil
import ssl
import threading
import time
from dataclasses import replace
from pathlib import Path

from mitosis_operator.agent import decisions
from mitosis_operator.agent.errors import Interrupted, OperationFailed
from mitosis_operator.agent.lifecycle import log
from mitosis_operator.agent.tools import Tools
from mitosis_operator.agent.writes import end_writes
from mitosis_operator.errors import MysqlError
from mitosis_operator.mysql import accounts, clone, instance, replication
from mitosis_operator.mysql.accounts import SystemPasswords
from mitosis_operator.mysql.connection import Connection
from mitosis_operator.mysql.instance import DataState, Operation, Role

START_SECONDS = 600.0
LIFT_SECONDS = 5.0
TERM_SECONDS = 5.0
"""A starved commit holds up an orderly end for 10 s, and gains nothing by it."""
ACKS_SECONDS = 30.0
ACKS_POLL_SECONDS = 0.1


class Run:
    """One operation on its way."""

    def __init__(self, operation: Operation, tools: Tools) -> None:
        self.operation = operation
        self._tools = tools
        self._settings = tools.settings
        self._interrupt = threading.Event()

    def interrupt(self) -> None:
        self._interrupt.set()

    def perform(self) -> None:
        """Return when the goal is reached; raises OperationFailed or MysqlError."""
        match self.operation.args:
            case instance.Initialise():
                self._initialise()
            case instance.Clone() as args:
                self._clone(args)
            case instance.Follow() as args:
                self._follow(args)
            case instance.Promote() as args:
                self._promote(args)
            case instance.Fence():
                self._fence()
            case instance.Accounts() as args:
                self._accounts(args)
            case instance.Restart():
                stop_gently(self._tools)
                self._start()
            case instance.Shutdown():
                stop_gently(self._tools)

    def _initialise(self) -> None:
        self._make_empty_server(DataState.INITIALISING)
        with self._tools.connect() as connection:
            connection.execute("SET GLOBAL super_read_only = OFF")
            connection.execute("SET SESSION sql_log_bin = OFF")
            accounts.apply(connection, self._settings.keyspace, self._system_accounts(()))
            connection.execute("RESET BINARY LOGS AND GTIDS")
            connection.execute("SET GLOBAL super_read_only = ON")
            self._set_data_state(DataState.GOOD)
            connection.execute("SET GLOBAL offline_mode = OFF")

    def _make_empty_server(self, data_state: DataState) -> None:
        """The volume is marked before it is emptied: from here on its data counts for nothing."""
        self._set_data_state(data_state)
        self._tools.mysqld.stop(TERM_SECONDS)
        datadir = self._settings.datadir
        if datadir.exists():
            log(f"emptying {datadir} for {self.operation.verb.value} {self.operation.id}")
            shutil.rmtree(datadir)
        self._tools.mysqld.run_once(self._tools.command(initialise=True))
        self._check()
        self._start()

    def _clone(self, args: instance.Clone) -> None:
        self._check_donor(args)
        self._make_empty_server(DataState.CLONING)
        self._check()
        with self._tools.connect(limit_seconds=None) as connection:
            user, password = accounts.DONOR, self._passwords().donor
            clone.receive(connection, args.donor_host, args.donor_port, user, password)
        self._await_clone()
        with self._tools.connect() as connection:
            connection.execute("SET GLOBAL super_read_only = ON")
            connection.execute("RESET REPLICA ALL")
            self._set_data_state(DataState.GOOD)
            connection.execute("SET GLOBAL offline_mode = OFF")

    def _check_donor(self, args: instance.Clone) -> None:
        """Before anything is destroyed: the donor is the one that is meant, it lets us in, and good
        data is given up only where the donor has all of it but the named transactions."""
        is_good = self._tools.store.memory.data_state is DataState.GOOD
        if is_good:
            self._start()
        own = self._held() if is_good else ""
        try:
            with Connection.to_remote(
                args.donor_host,
                args.donor_port,
                args.donor_name,
                accounts.DONOR,
                self._passwords().donor,
                self._tls(),
            ) as donor:
                others = replication.known(donor)
        except MysqlError as exc:
            raise OperationFailed(
                f"cannot clone from {args.donor_name} at {args.donor_host}:{args.donor_port}:"
                f" {exc}; it must run, not be offline, and have the account {accounts.DONOR}"
            ) from exc
        if is_good:
            self._check_licence(args, own, others)

    def _check_licence(self, args: instance.Clone, own: str, others: str) -> None:
        with self._tools.connect() as connection:
            lost = replication.surplus(connection, own, others)
            asked = args.discard_gtid or ""
            differs = replication.surplus(connection, lost, asked) or replication.surplus(
                connection, asked, lost
            )
        if differs:
            raise OperationFailed(
                f"cannot clone over good data: it would lose {lost or 'nothing'} that"
                f" {args.donor_name} does not have, but discardGtid names {asked or 'nothing'}"
            )

    def _held(self) -> str:
        with self._tools.connect() as connection:
            return replication.held(connection)

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._settings.ca))
        context.load_cert_chain(self._settings.certificate, self._settings.key)
        return context

    def _await_clone(self) -> None:
        """The restart may already be over, or not yet begun: what counts is the recorded result."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            self._tools.mysqld.wait_ready(START_SECONDS, self._interrupt.is_set)
            try:
                with self._tools.connect() as connection:
                    found = clone.status(connection)
            except MysqlError:
                found = None
            if found and found.state == clone.COMPLETED:
                return
            if found and found.error_number:
                raise OperationFailed(f"clone failed: {found.error_number} {found.error}")
            self._pause(0.2)
        raise OperationFailed("clone did not end: mysqld does not tell its result")

    def _follow(self, args: instance.Follow) -> None:
        self._start()
        self._refuse_errant(args)
        with self._tools.connect() as connection:
            is_read_only = connection.value("SELECT @@GLOBAL.super_read_only")
        if not (is_read_only or end_writes(self._tools)):
            self._tools.mysqld.end_process(TERM_SECONDS)
        self._start()
        source = replication.Source(args.source_host, args.source_port, self._replication_user())
        identity = replication.Identity(
            self._passwords().replication,
            self._settings.ca,
            self._settings.certificate,
            self._settings.key,
        )
        with self._tools.connect() as connection:
            replication.follow(connection, source, identity, args.semi_sync)
            connection.execute("SET GLOBAL offline_mode = OFF")

    def _replication_user(self) -> str:
        return f"{accounts.REPLICATION}{self._settings.serial}"

    def _refuse_errant(self, args: instance.Follow) -> None:
        """MySQL itself would let a replica with transactions of a third server connect and diverge.

        The source is asked only when what the caller knew of it does not settle the question.
        """
        own, told = self._held(), args.source_executed or ""
        with self._tools.connect() as connection:
            if not replication.surplus(connection, own, told):
                return
            extra = replication.surplus(connection, own, f"{told},{self._ask_source(args)}")
        if extra:
            raise OperationFailed(
                f"cannot follow {args.source_name}: {self._settings.instance} has transactions that"
                f" it does not have: {extra}; keep them elsewhere and clone this instance anew"
            )

    def _ask_source(self, args: instance.Follow) -> str:
        try:
            with Connection.to_remote(
                args.source_host,
                args.source_port,
                args.source_name,
                self._replication_user(),
                self._passwords().replication,
                self._tls(),
            ) as source:
                return replication.known(source)
        except MysqlError as exc:
            raise OperationFailed(
                f"cannot follow {args.source_name} at {args.source_host}:{args.source_port}: it"
                f" cannot be asked which transactions it has: {exc}"
            ) from exc

    def _promote(self, args: instance.Promote) -> None:
        self._start()
        acks = max(1, args.min_acks) if args.semi_sync else 0
        with self._tools.connect() as connection:
            try:
                replication.leave_source(connection)
            except replication.NotApplied as exc:
                raise OperationFailed(f"cannot promote: {exc}") from exc
            replication.require_acknowledgements(connection, acks)
            connection.execute("SET GLOBAL offline_mode = OFF")  # else replicas cannot log in
            self._await_replicas(connection, args.min_acks)
        self._lift_read_only()

    def _lift_read_only(self) -> None:
        with self._tools.writability, self._tools.connect(LIFT_SECONDS) as connection:
            if not decisions.may_write(self._tools.store.memory, self.operation.epoch):
                raise Interrupted("a fence or a higher epoch came before the promotion ended")
            connection.execute("SET GLOBAL super_read_only = OFF")
            connection.execute("SET GLOBAL read_only = OFF")

    def _await_replicas(self, connection: Connection, needed: int) -> None:
        end = time.monotonic() + ACKS_SECONDS
        while (connected := replication.semi_sync(connection).clients) < needed:
            if time.monotonic() > end:
                raise OperationFailed(
                    f"cannot promote: {connected} of the {needed} replicas that must acknowledge"
                    f" are connected after {ACKS_SECONDS:.0f} s; let them follow this instance"
                )
            self._pause(ACKS_POLL_SECONDS)

    def _fence(self) -> None:
        mysqld, memory = self._tools.mysqld, self._tools.store.memory
        mysqld.set_offline(True)
        with self._tools.writability:
            if memory.data_state is not DataState.GOOD or not end_writes(self._tools):
                mysqld.end_process(TERM_SECONDS)

    def _accounts(self, args: instance.Accounts) -> None:
        wanted = (
            *self._system_accounts(args.replication_serials),
            *(self._user(u) for u in args.users),
        )
        with self._tools.connect() as connection:
            is_writable = not connection.value("SELECT @@GLOBAL.super_read_only")
            if not is_writable and self._tools.store.memory.role is Role.PRIMARY:
                raise OperationFailed("cannot write accounts: read-only; promote this instance")
            try:
                # `read_only` stays: before the first promotion nobody but the agent may write
                connection.execute("SET GLOBAL super_read_only = OFF")
                accounts.apply(connection, args.database, wanted)
                accounts.store_hash(connection, args.hash)
            finally:
                if not is_writable:
                    connection.execute("SET GLOBAL super_read_only = ON")

    def _user(self, asked: instance.UserGrant) -> accounts.Account:
        try:
            return accounts.user(asked.name, asked.password, asked.grants)
        except accounts.BadAccount as exc:
            raise OperationFailed(str(exc)) from exc

    def _system_accounts(self, serials: tuple[int, ...]) -> tuple[accounts.Account, ...]:
        return accounts.system(self._passwords(), self._settings.shard, serials)

    def _passwords(self) -> SystemPasswords:
        folder = self._settings.system_secret
        return SystemPasswords(
            gate=_secret(folder / "gate"),
            replication=_secret(folder / "replication"),
            donor=_secret(folder / "donor"),
        )

    def _start(self) -> None:
        """Have mysqld running, with clients shut out where the volume or a fence demands it."""
        self._tools.mysqld.want(offline=decisions.starts_offline(self._tools.store.memory))
        self._tools.mysqld.wait_ready(START_SECONDS, self._interrupt.is_set)

    def _set_data_state(self, data_state: DataState) -> None:
        memory = self._tools.store.update(lambda m: replace(m, data_state=data_state))
        self._tools.mysqld.set_offline(decisions.starts_offline(memory))

    def _check(self) -> None:
        if self._interrupt.is_set():
            raise Interrupted("interrupted by a fence or by the end of the agent")

    def _pause(self, seconds: float) -> None:
        if self._interrupt.wait(seconds):
            self._check()


def stop_gently(tools: Tools) -> None:
    """Stop mysqld; as the primary, after the commits that run have ended."""
    if tools.store.memory.role is Role.PRIMARY:
        end_writes(tools)
    tools.mysqld.stop(tools.settings.stop_seconds)


def _secret(path: Path) -> str:
    try:
        value = path.read_text().strip()
    except OSError as exc:
        raise OperationFailed(f"cannot read the system password {path}: {exc.strerror}") from exc
    if not value:
        raise OperationFailed(f"the system password {path} is empty")
    return value
