"""Accounts and the schema `mitosis`, brought to what the spec says.

They are written on the primary and reach the others by replication and CLONE.

A password is set only when it differs from the one set before, which is remembered in
`mitosis.meta` as a salted digest: setting the same again would write to the binary log and empty
the server's cache of logins. mysqld writes its own hash, never the password, to the binary log.
"""

import hashlib
import hmac
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from mitosis_operator.errors import MysqlError
from mitosis_operator.mysql.connection import Connection, grant_pattern, quoted
from mitosis_routing import shard_objects

ANY_HOST = "%"
GATE = "mitosis_gate"
DONOR = "mitosis_donor"
REPLICATION = "mitosis_repl_"
HASH = "accountsHash"
DIGEST = "password/"
ROUNDS = 20_000
NO_SUCH_THREAD = 1094

DATABASE_PRIVILEGES = frozenset(
    (
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE",
        "DROP",
        "REFERENCES",
        "INDEX",
        "ALTER",
        "CREATE TEMPORARY TABLES",
        "LOCK TABLES",
        "EXECUTE",
        "CREATE VIEW",
        "SHOW VIEW",
        "CREATE ROUTINE",
        "ALTER ROUTINE",
        "EVENT",
        "TRIGGER",
    )
)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_RESERVED = re.compile(r"mitosis.*|mysql\..*|root")

SCHEMA = (
    *shard_objects.SCHEMA,
    "CREATE TABLE IF NOT EXISTS mitosis.meta"
    " (name VARCHAR(190) NOT NULL PRIMARY KEY, value VARCHAR(2000) NOT NULL)",
    "CREATE TABLE IF NOT EXISTS mitosis.heartbeat"
    " (id TINYINT NOT NULL PRIMARY KEY, beat_at DATETIME(6) NOT NULL, epoch BIGINT NOT NULL)",
)


class BadAccount(ValueError):
    """The spec asks for an account that cannot be; says which and what to write instead."""


@dataclass(frozen=True)
class Account:
    name: str
    password: str = field(repr=False)
    on_all: frozenset[str] = frozenset()
    on_database: frozenset[str] = frozenset()
    on_objects: tuple[str, ...] = ()
    """GRANTs on what is in the database `mitosis`."""
    subject: str = ""
    """Only a client whose certificate has this subject may log in."""
    ssl: bool = False


@dataclass(frozen=True)
class SystemPasswords:
    gate: str = field(repr=False)
    replication: str = field(repr=False)
    donor: str = field(repr=False)


def system(passwords: SystemPasswords, shard: str, serials: Iterable[int]) -> tuple[Account, ...]:
    """One replication account per instance, bound to that instance's certificate: an instance can
    be taken out of the ACK set by itself, and no instance of another shard can log in."""
    return (
        Account(
            GATE,
            passwords.gate,
            on_all=shard_objects.GATE_ON_ALL,
            on_database=frozenset(("SELECT", "SHOW VIEW")),
            on_objects=shard_objects.gate_grants(f"'{GATE}'@'{ANY_HOST}'"),
        ),
        Account(DONOR, passwords.donor, on_all=frozenset(("BACKUP_ADMIN",)), ssl=True),
        *(
            Account(
                f"{REPLICATION}{serial}",
                passwords.replication,
                on_all=frozenset(("REPLICATION SLAVE",)),
                subject=f"/CN={shard}-{serial}",
            )
            for serial in serials
        ),
    )


def user(name: str, password: str, grants: Iterable[str]) -> Account:
    """An account of the application; raises BadAccount."""
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name):
        raise BadAccount(
            f"the user name {name!r} cannot be used: take 1 to 32 letters, digits, '_', '.', '-',"
            " not root and not beginning with mitosis or mysql."
        )
    if not password:
        raise BadAccount(f"the password of user {name} is empty: put one into its Secret")
    asked = frozenset(" ".join(g.upper().split()) for g in grants)
    objects = shard_objects.user_grants(f"'{name}'@'{ANY_HOST}'")
    if asked & {"ALL", "ALL PRIVILEGES"}:
        return Account(name, password, on_database=DATABASE_PRIVILEGES, on_objects=objects)
    if unknown := asked - DATABASE_PRIVILEGES:
        raise BadAccount(
            f"user {name} cannot be granted {', '.join(sorted(unknown))} on a database: use ALL or"
            f" some of {', '.join(sorted(DATABASE_PRIVILEGES))}"
        )
    return Account(name, password, on_database=asked, on_objects=objects)


def make_schema(connection: Connection) -> None:
    for statement in SCHEMA:
        connection.execute(statement)


def apply(connection: Connection, database: str, wanted: Iterable[Account]) -> None:
    """Make, change, grant, revoke. An account that this function made before and that is no longer
    wanted is locked and its sessions end; it is not dropped, for it may own views and routines."""
    accounts = tuple(wanted)
    make_schema(connection)
    connection.execute(f"CREATE DATABASE IF NOT EXISTS {quoted(database)}")
    for account in accounts:
        _ensure(connection, account)
        _grant(connection, database, account)
    for name in _made_before(connection) - {a.name for a in accounts}:
        _lock(connection, name)


def store_hash(connection: Connection, value: str) -> None:
    _remember(connection, HASH, value)


def stored_hash(connection: Connection) -> str:
    return _remembered(connection, HASH)


def _ensure(connection: Connection, account: Account) -> None:
    found = connection.row(
        "SELECT account_locked, ssl_type, x509_subject FROM mysql.user"
        " WHERE user = %s AND host = %s",
        account.name,
        ANY_HOST,
    )
    digest = _remembered(connection, DIGEST + account.name)
    if found is None:
        _set_password(connection, "CREATE USER", account)
    elif not _matches(digest, account.password):
        _set_password(connection, "ALTER USER", account)
    if found is None or _requirement_differs(found, account):
        clause, values = _requirement(account)
        connection.execute(f"ALTER USER %s@%s {clause}", account.name, ANY_HOST, *values)
    if found and found["account_locked"] == "Y":
        connection.execute("ALTER USER %s@%s ACCOUNT UNLOCK", account.name, ANY_HOST)


def _set_password(connection: Connection, verb: str, account: Account) -> None:
    try:
        connection.execute(
            f"{verb} %s@%s IDENTIFIED WITH caching_sha2_password BY %s",
            account.name,
            ANY_HOST,
            account.password,
        )
    except MysqlError as exc:
        text = str(exc).replace(account.password, "***")
        raise type(exc)(f"cannot set the password of {account.name}: {text}", exc.number) from None
    _remember(connection, DIGEST + account.name, _digest(account.password, os.urandom(16)))


def _requirement(account: Account) -> tuple[str, tuple[str, ...]]:
    if account.subject:
        return "REQUIRE SUBJECT %s", (account.subject,)
    return ("REQUIRE SSL" if account.ssl else "REQUIRE NONE"), ()


def _requirement_differs(found: dict[str, object], account: Account) -> bool:
    subject = found["x509_subject"]
    text = subject.decode() if isinstance(subject, bytes) else str(subject)
    kind = "SPECIFIED" if account.subject else "ANY" if account.ssl else ""
    return (found["ssl_type"], text) != (kind, account.subject)


def _grant(connection: Connection, database: str, account: Account) -> None:
    pattern = grant_pattern(database)
    wanted = {"*": account.on_all, pattern: account.on_database}
    held = _held(connection, account.name)
    for where in {**wanted, **held}:
        asked, has = wanted.get(where, frozenset()), held.get(where, frozenset())
        if has - asked:
            _change(connection, "REVOKE", has - asked, where, "FROM", account.name)
        if asked - has:
            _change(connection, "GRANT", asked - has, where, "TO", account.name)
    for statement in account.on_objects:
        connection.execute(statement)


def _change(
    connection: Connection,
    verb: str,
    privileges: frozenset[str],
    where: str,
    preposition: str,
    name: str,
) -> None:
    listed = ", ".join(sorted(privileges))
    on = where.replace("%", "%%")  # the driver's own sign for a value
    connection.execute(f"{verb} {listed} ON {on}.* {preposition} %s@%s", name, ANY_HOST)


def _held(connection: Connection, name: str) -> dict[str, frozenset[str]]:
    """What was granted on all (`*`) and on single databases, as patterns ready for GRANT."""
    grantee = f"'{name}'@'{ANY_HOST}'"
    rows = connection.rows(
        "SELECT '*', privilege_type FROM information_schema.user_privileges"
        " WHERE grantee = %s AND privilege_type <> 'USAGE'"
        " UNION ALL SELECT table_schema, privilege_type"
        " FROM information_schema.schema_privileges WHERE grantee = %s",
        grantee,
        grantee,
    )
    held: dict[str, set[str]] = {}
    for where, privilege in rows:
        held.setdefault(where if where == "*" else quoted(where), set()).add(privilege)
    return {where: frozenset(privileges) for where, privileges in held.items()}


def _made_before(connection: Connection) -> set[str]:
    rows = connection.rows(
        "SELECT SUBSTRING(name, %s) FROM mitosis.meta WHERE name LIKE %s",
        len(DIGEST) + 1,
        DIGEST + "%",
    )
    return {name for (name,) in rows}


def _lock(connection: Connection, name: str) -> None:
    locked = connection.value(
        "SELECT account_locked FROM mysql.user WHERE user = %s AND host = %s", name, ANY_HOST
    )
    if locked == "N":
        connection.execute("ALTER USER %s@%s ACCOUNT LOCK", name, ANY_HOST)
    for (session,) in connection.rows(
        "SELECT id FROM performance_schema.processlist WHERE user = %s", name
    ):
        try:
            connection.execute(f"KILL {int(session)}")
        except MysqlError as exc:
            if exc.number != NO_SUCH_THREAD:
                raise


def _remember(connection: Connection, name: str, value: str) -> None:
    connection.execute("REPLACE INTO mitosis.meta (name, value) VALUES (%s, %s)", name, value)


def _remembered(connection: Connection, name: str) -> str:
    return connection.value("SELECT value FROM mitosis.meta WHERE name = %s", name) or ""


def _digest(password: str, salt: bytes) -> str:
    hashed = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS)
    return f"{salt.hex()}${hashed.hex()}"


def _matches(digest: str, password: str) -> bool:
    salt, _, _ = digest.partition("$")
    return bool(salt) and hmac.compare_digest(digest, _digest(password, bytes.fromhex(salt)))
