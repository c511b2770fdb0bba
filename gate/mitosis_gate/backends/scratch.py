"""The merge server: where statements find the rows of all shards in one place.

Each account of a keyspace has an account of its own there. It may make temporary tables in a
database that is called like the keyspace, and ordinary tables in databases whose names begin with
its own; besides, it reads and changes nothing. Temporary tables nobody else can see, and they end
with their connection. So no statement meets the tables of another user's.

Accounts and databases are made by the gate's own account there, whose password lies beside the
socket: another one after each start of the server, which begins empty.
"""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from mitosis_gate import merge_server
from mitosis_gate.backends import connection as backend
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection, Target
from mitosis_gate.backends.pool import Lane, Pool, PoolRetired
from mitosis_gate.errors import (
    BackendLost,
    BackendUnreachable,
    GateError,
    MergeServerAway,
    MergeServerBusy,
    MysqlError,
    NotSupported,
)
from mitosis_gate.settings import Settings

log = logging.getLogger(__name__)

INSTANCE = "merge-server"
_WRONG_PASSWORD = 1045
_UNKNOWN_DATABASE = 1049


@dataclass(frozen=True)
class _Home(Target):
    @property
    def title(self) -> str:
        return "the merge server"


class Scratch:
    """The way of one gate process to its merge server; makes what is missing there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._socket = settings.merge_socket
        self._slots = asyncio.Semaphore(settings.merge_concurrency)
        self._password = ""
        self.system_time_zone = b""
        """Of the server, once a connection was lent."""
        self._pool = self._new_pool()
        self._known: set[Account] = set()
        self._making = asyncio.Lock()
        self._databases = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_there(self) -> bool:
        return self._socket is not None

    def _new_pool(self) -> Pool:
        target = _Home("", 0, INSTANCE, str(self._socket), 0, "", None, "scratch server")
        settings = self._settings
        return Pool(target, replace(settings, max_backends=settings.merge_concurrency + 1))

    def sweep(self) -> None:
        """Every second or so."""
        self._pool.sweep(time.monotonic())

    def close(self) -> None:
        self._pool.retire()
        for connection in self._pool:
            connection.close("shutdown")

    @contextlib.asynccontextmanager
    async def lent(self, account: Account, variant: int) -> AsyncIterator[BackendConnection]:
        """A connection for one statement of `account`, which is one of the shards' accounts.

        Raises NotSupported, MergeServerBusy and MergeServerAway.
        """
        if self._socket is None:
            raise NotSupported(
                "this needs the rows of several shards in one place, and the gate has no merge "
                "server: set --merge-socket (gate.merge.enabled in the chart), or name the "
                "sharding key so that one shard can answer"
            )
        async with self._slot():
            connection = await self._borrow(account, variant)
            try:
                yield connection
            finally:
                lane = connection.owner
                assert isinstance(lane, Lane)
                lane.give(connection)

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        seconds = self._settings.pool_wait_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._slots.acquire()
        except TimeoutError as exc:
            raise MergeServerBusy(
                f"{self._settings.merge_concurrency} statements use the merge server and none "
                f"ended within {seconds:g} s: repeat later, or raise --merge-concurrency"
            ) from exc
        try:
            yield
        finally:
            self._slots.release()

    async def _borrow(self, account: Account, variant: int) -> BackendConnection:
        """An account that the server does not know was made on the one before its restart."""
        for is_last in (False, True):
            try:
                await self._ready(account)
                lane = self._pool.lane(self._theirs(account), variant)
                return await self._pool.acquire(lane)
            except (BackendUnreachable, BackendLost) as exc:
                raise MergeServerAway(
                    f"the merge server does not answer on {self._socket}: "
                    f"{exc.text.partition('): ')[2] or exc.text}; repeat later"
                ) from exc
            except PoolRetired:
                pass
            except MysqlError as exc:
                if is_last or exc.number not in (_WRONG_PASSWORD, _UNKNOWN_DATABASE):
                    raise
                self._forget("")
        raise MergeServerAway("the merge server is starting again: repeat the statement")

    async def _ready(self, account: Account) -> None:
        password = self._read_password()
        if password != self._password:
            self._forget(password)
        if account in self._known:
            return
        async with self._making:
            if account in self._known:
                return
            async with self._as_owner() as owner:
                if not self._known:
                    await self._drop_leftovers(owner)
                    zone = (await owner.query(b"SELECT @@system_time_zone")).values()[0][0]
                    self.system_time_zone = zone or b""
                theirs = self._theirs(account)
                for statement in _account_statements(theirs):
                    await owner.query(statement)
            self._known.add(account)

    def _forget(self, password: str) -> None:
        """The server was started anew: nothing of what was made is there."""
        self._password = password
        self._known.clear()
        self._pool.retire()
        self._pool = self._new_pool()

    def _read_password(self) -> str:
        assert self._socket is not None
        try:
            return self._socket.with_name(merge_server.PASSWORD_FILE).read_text()
        except OSError as exc:
            raise MergeServerAway(
                f"the merge server has not started: {exc}; repeat the statement in some seconds"
            ) from exc

    def _theirs(self, account: Account) -> Account:
        who = f"{account.keyspace}\0{account.user}".encode()
        user = "m" + hashlib.blake2b(who, digest_size=10).hexdigest()
        password = hmac.digest(self._password.encode(), user.encode(), "sha256").hex()
        return Account(account.keyspace, user, password)

    @contextlib.asynccontextmanager
    async def _as_owner(self) -> AsyncIterator[BackendConnection]:
        account = Account("", merge_server.USER, self._password)
        connection = await backend.connect(
            self._pool.target, account, backend.GATE_VARIANT, self._settings.connect_seconds
        )
        try:
            yield connection
        finally:
            connection.close("done")

    async def _drop_leftovers(self, owner: BackendConnection) -> None:
        """Databases of statements that this process' predecessor had not finished."""
        ours = re.compile(rb"m[0-9a-f]{20}_%d_[0-9]+\Z" % self._settings.worker)
        for (name,) in (await owner.query(b"SHOW DATABASES")).values():
            if name is not None and ours.match(name):
                await owner.query(b"DROP DATABASE IF EXISTS `%s`" % name)

    @contextlib.asynccontextmanager
    async def database(self, connection: BackendConnection) -> AsyncIterator[bytes]:
        """Make a database for ordinary tables of one statement; it is dropped in any case."""
        self._databases += 1
        name = f"{connection.account.user}_{self._settings.worker}_{self._databases}".encode()
        await connection.query(b"CREATE DATABASE `%s`" % name)
        try:
            yield name
        finally:
            task = asyncio.create_task(self._drop(name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _drop(self, name: bytes) -> None:
        try:
            async with self._as_owner() as owner:
                await owner.query(b"DROP DATABASE IF EXISTS `%s`" % name)
        except GateError as exc:
            log.warning("cannot drop %s on the merge server: %s", name.decode(), exc.text)


def _account_statements(account: Account) -> tuple[bytes, ...]:
    name = account.keyspace.replace("`", "``").encode()
    pattern = name.replace(b"_", b"\\_").replace(b"%", b"\\%")
    user = account.user.encode()
    whom = b"'%s'@localhost" % user
    return (
        b"CREATE DATABASE IF NOT EXISTS `%s`" % name,
        b"CREATE USER IF NOT EXISTS %s IDENTIFIED BY '%s'" % (whom, account.password.encode()),
        b"GRANT CREATE TEMPORARY TABLES ON `%s`.* TO %s" % (pattern, whom),
        # some variables of a session are for privileged users only; SET is the gate's alone
        b"GRANT SESSION_VARIABLES_ADMIN ON *.* TO %s" % whom,
        b"GRANT SELECT, INSERT, CREATE, DROP ON `%s\\_%%`.* TO %s" % (user, whom),
    )
