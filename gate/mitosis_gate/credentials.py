"""Who may log in, with which password, to which keyspace.

Passwords stand in Secrets; the routing table names them. They are read when the table names a new
one or a new version, and again from time to time while one is missing. What was read stays in
force while the API server is away. Passwords never reach a log, an error or `repr`.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mitosis_gate import metrics
from mitosis_gate.api_server import NotFound
from mitosis_gate.backends.account import Account
from mitosis_gate.errors import KubernetesError, ShardUnavailable
from mitosis_gate.routing_watch import RoutingBook
from mitosis_routing.table import RoutingTable, UserRef

log = logging.getLogger(__name__)

AGAIN_SECONDS = 10.0
"""A password that could not be read is asked for again after this time."""


class Secrets(Protocol):
    async def read_secret(self, namespace: str, name: str) -> Mapping[str, bytes]: ...


@dataclass(frozen=True)
class _Known:
    version: str
    for_clients: bool
    account: Account | None
    """None: the Secret was read and holds no password."""


@dataclass(frozen=True)
class GaveNothing:
    why: str
    for_good: bool
    """The Secret is not there; False: the API server did not say."""


class Credentials:
    """Answers from memory; `run` keeps the memory fresh."""

    def __init__(
        self,
        book: RoutingBook,
        secrets: Secrets,
        again_seconds: float = AGAIN_SECONDS,
        replica_suffix: str = "",
    ) -> None:
        self._book = book
        self._replica_suffix = replica_suffix
        self._secrets = secrets
        self._again_seconds = again_seconds
        self._known: dict[tuple[str, str], _Known] = {}
        self._stale: set[str] = set()
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        book.subscribe(self._table_changed)

    def named(self, user: str) -> tuple[Account, ...]:
        """This user in every keyspace where it can log in; the passwords may differ.

        A name that no user has may be that of a user with the suffix of those who read from
        replicas.
        """
        suffix = self._replica_suffix
        found = self._named(user)
        if not found and suffix and user.endswith(suffix):
            return self._named(user.removesuffix(suffix))
        return found

    def _named(self, user: str) -> tuple[Account, ...]:
        found = (self._known.get((keyspace, user)) for keyspace in sorted(self._book.tables))
        return tuple(k.account for k in found if k and k.for_clients and k.account)

    def user(self, account: Account) -> UserRef | None:
        """What the routing table says of a client's account."""
        table = self._book.get(account.keyspace)
        users = table.users if table is not None else ()
        return next((user for user in users if user.name == account.user), None)

    def gate(self, keyspace: str) -> Account:
        """The account for the gate's own queries."""
        account = self._book.table(keyspace).gate_account
        known = self._known.get((keyspace, account.name)) if account else None
        if known is None or known.account is None:
            raise ShardUnavailable(
                f"keyspace {keyspace}: the password of the gate's own account is not known yet; "
                "try again, or look for its Secret"
            )
        return known.account

    async def wait_settled(self) -> None:
        """Return when every password named so far has been asked for at least once."""
        await self._settled.wait()

    async def run(self) -> None:
        while True:
            failed = set()
            while self._stale:
                keyspace = self._stale.pop()
                if not await self._read_all(keyspace):
                    failed.add(keyspace)
            self._settled.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._again_seconds if failed else None):
                    await self._wanted.wait()
            self._wanted.clear()
            self._stale |= failed

    def _table_changed(self, keyspace: str, table: RoutingTable | None) -> None:
        named = {ref.name for ref, _ in _accounts(table)} if table else set()
        for key in [k for k in self._known if k[0] == keyspace and k[1] not in named]:
            del self._known[key]
        if table is not None:
            self._stale.add(keyspace)
            self._settled.clear()
            self._wanted.set()

    async def _read_all(self, keyspace: str) -> bool:
        """Read what is new for the keyspace; False when something is missing."""
        table = self._book.get(keyspace)
        if table is None:
            return True
        namespace = self._book.namespace(keyspace)
        read: dict[str, Mapping[str, bytes] | GaveNothing] = {}
        complete = True
        for ref, for_clients in _accounts(table):
            known = self._known.get((keyspace, ref.name))
            if known and known.account is not None and known.version == ref.version != "":
                continue
            name = ref.password.name
            if name not in read:
                read[name] = await self._read(namespace, name)
            if self._is_named(keyspace, ref):
                complete &= self._learn(keyspace, ref, for_clients, read[name])
        return complete

    def _is_named(self, keyspace: str, ref: UserRef) -> bool:
        """While its Secret was read, the account may have left the table."""
        table = self._book.get(keyspace)
        return table is not None and any(ref == named for named, _ in _accounts(table))

    async def _read(self, namespace: str, name: str) -> "Mapping[str, bytes] | GaveNothing":
        try:
            return await self._secrets.read_secret(namespace, name)
        except NotFound:
            return GaveNothing(f"Secret {namespace}/{name} does not exist", for_good=True)
        except KubernetesError as exc:
            return GaveNothing(str(exc), for_good=False)

    def _learn(
        self,
        keyspace: str,
        ref: UserRef,
        for_clients: bool,
        answer: "Mapping[str, bytes] | GaveNothing",
    ) -> bool:
        problem = answer.why if isinstance(answer, GaveNothing) else _problem(ref, answer)
        if not problem and not isinstance(answer, GaveNothing):
            account = Account(keyspace, ref.name, answer[ref.password.key].decode())
            self._known[keyspace, ref.name] = _Known(ref.version, for_clients, account)
            return True
        metrics.SECRET_ERRORS.labels(keyspace=keyspace).inc()
        if isinstance(answer, GaveNothing) and not answer.for_good:
            log.warning("password of %s in %s: %s", ref.name, keyspace, problem)
            return False
        log.warning("user %s of keyspace %s cannot log in: %s", ref.name, keyspace, problem)
        self._known[keyspace, ref.name] = _Known(ref.version, for_clients, None)
        return False


def _accounts(table: RoutingTable) -> Iterator[tuple[UserRef, bool]]:
    """Each account with whether clients may log in with it."""
    for user in table.users:
        yield user, True
    if table.gate_account is not None:
        yield table.gate_account, False


def _problem(ref: UserRef, data: Mapping[str, bytes]) -> str:
    value = data.get(ref.password.key)
    if not value:
        what = "has no key" if value is None else "has nothing under the key"
        return f"Secret {ref.password.name} {what} '{ref.password.key}'"
    try:
        value.decode()
    except UnicodeDecodeError:
        return f"'{ref.password.key}' of Secret {ref.password.name} is not UTF-8 text"
    return ""


class UsersFile:
    """Static mode: passwords from a file `{keyspace: {user: password}}`, gate account included."""

    def __init__(self, path: Path, book: RoutingBook) -> None:
        self._path = path
        self._book = book

    async def read_secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """Answer as Kubernetes would: each table's Secret holds the password under its key."""
        try:
            content = json.loads(self._path.read_bytes())
        except (OSError, ValueError) as exc:
            raise KubernetesError(f"users file {self._path}: {exc}") from exc
        table = self._book.get(namespace)
        data: dict[str, bytes] = {}
        for ref, _ in _accounts(table) if table else ():
            password = content.get(namespace, {}).get(ref.name)
            if ref.password.name == name and password is not None:
                data[ref.password.key] = str(password).encode()
        if not data:
            raise NotFound(f"no password for Secret {name} in {self._path}")
        return data
