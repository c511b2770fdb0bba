"""A Keyspace: one logical database, its slots, tables, users, and how its instances are made."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mitosis_operator import names
from mitosis_operator.models import rules
from mitosis_operator.models.cluster import Node, StorageClass
from mitosis_operator.models.meta import Meta
from mitosis_operator.models.problems import Problem, Severity
from mitosis_operator.models.reading import Reader
from mitosis_operator.models.status import KeyspaceStatus
from mitosis_operator.models.template import InstanceTemplate
from mitosis_routing.keyspace import SlotRange, equal_ranges, find_problems
from mitosis_routing.table import (
    NO_LIMITS,
    OtherTables,
    TransactionMode,
    UniqueKeys,
    UserLimits,
    UserTls,
)

DEFAULT_SLOTS = 4096
SLOT_COUNTS = tuple(2**exponent for exponent in range(4, 17))
MAX_SLOTS = SLOT_COUNTS[-1]
MAX_SHARDS = 256
MAX_NAME_LENGTH = 40
"""So that `<keyspace>-<start>-<end>-<serial>` fits into the 63 letters of a host name."""
NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
PLAIN_IDENTIFIER = re.compile(r"[^\s\x00-\x1f\x7f/.`\\]+")
"""Names of tables and columns that MySQL stores as they are and that need no care when quoted."""
USER_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class Grant(StrEnum):
    """Privileges on the keyspace's database, as in MySQL's GRANT."""

    ALL = "ALL"
    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CREATE = "CREATE"
    DROP = "DROP"
    ALTER = "ALTER"
    INDEX = "INDEX"
    REFERENCES = "REFERENCES"
    CREATE_VIEW = "CREATE VIEW"
    SHOW_VIEW = "SHOW VIEW"
    CREATE_TEMPORARY_TABLES = "CREATE TEMPORARY TABLES"
    LOCK_TABLES = "LOCK TABLES"
    EXECUTE = "EXECUTE"
    CREATE_ROUTINE = "CREATE ROUTINE"
    ALTER_ROUTINE = "ALTER ROUTINE"
    TRIGGER = "TRIGGER"


@dataclass(frozen=True)
class Table:
    """Sharded by `sharding_key`, or by the keyspace's default one, or whole on every shard."""

    name: str
    sharding_key: str = ""
    reference: bool = False


@dataclass(frozen=True)
class PasswordSecret:
    name: str
    key: str = "password"


@dataclass(frozen=True)
class User:
    name: str
    password: PasswordSecret
    grants: tuple[Grant, ...]
    tls: UserTls = UserTls.NONE
    tls_subject: str = ""
    limits: UserLimits = NO_LIMITS
    transaction_mode: TransactionMode = TransactionMode.ATOMIC


@dataclass(frozen=True)
class Keyspace:
    meta: Meta
    template: InstanceTemplate
    slots: int = DEFAULT_SLOTS
    shards: int = 1
    """How many equal shards the keyspace starts with; splits add to it later."""
    tables: tuple[Table, ...] = ()
    default_sharding_key: str = ""
    other_tables: OtherTables = OtherTables.REFUSE
    unique_keys: UniqueKeys = UniqueKeys.WARN
    users: tuple[User, ...] = ()
    status: KeyspaceStatus = KeyspaceStatus()

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Keyspace":
        """Raise Unreadable, naming the field, for what no schema would let through."""
        spec = Reader(body).part("spec")
        return cls(
            meta=Meta.from_body(body),
            template=InstanceTemplate.read(spec),
            slots=spec.integer("slots", DEFAULT_SLOTS),
            shards=spec.integer("shards", 1),
            tables=tuple(_read_table(t) for t in spec.parts("tables")),
            default_sharding_key=spec.text("defaultShardingKey", ""),
            other_tables=spec.choice("otherTables", OtherTables, OtherTables.REFUSE),
            unique_keys=spec.choice("uniqueKeys", UniqueKeys, UniqueKeys.WARN),
            users=tuple(_read_user(u) for u in spec.parts("users")),
            status=KeyspaceStatus.from_body(body),
        )

    @property
    def name(self) -> str:
        """Also the name of the database in MySQL."""
        return self.meta.name

    @property
    def namespace(self) -> str:
        return self.meta.namespace

    def to_spec(self) -> dict[str, Any]:
        spec = {
            "slots": self.slots,
            "shards": self.shards,
            "tables": [_table_spec(t) for t in self.tables],
            "otherTables": self.other_tables.value,
            "uniqueKeys": self.unique_keys.value,
            "users": [_user_spec(u) for u in self.users],
            **self.template.to_spec(),
        }
        if self.default_sharding_key:
            spec["defaultShardingKey"] = self.default_sharding_key
        return spec

    def initial_ranges(self) -> tuple[SlotRange, ...]:
        return equal_ranges(self.slots, self.shards)

    def missing_ranges(self, existing: Iterable[SlotRange]) -> tuple[SlotRange, ...]:
        """Initial ranges that no Shard touches yet and that have never had one: those to create.

        A Shard that existed and was deleted is not made again here: a new, empty one in its place
        would hide that its data lies on retired volumes.
        """
        known = tuple(existing)
        return tuple(
            r
            for r in self.initial_ranges()
            if not any(r.overlaps(k) for k in known)
            and names.shard(self.name, r.start, r.end) not in self.status.shard_names
        )

    def problems(
        self,
        *,
        shards: Sequence[SlotRange] | None = None,
        storage_classes: Sequence[StorageClass] | None = None,
        nodes: Sequence[Node] | None = None,
    ) -> tuple[Problem, ...]:
        """Everything that is wrong, refusals first. Facts that are None are not judged.

        `shards` are the ranges of the Shards that exist. Passwords are judged where they are read.
        """
        found = [
            *_name_problems(self.name),
            *_slot_problems(self),
            *_idc_problems(self.template),
            *_table_problems(self),
            *_user_problems(self.users),
            *rules.template_problems(self.template),
        ]
        if not found and shards is not None:
            found += _range_problems(self, shards)
        if storage_classes is not None:
            found += rules.storage_class_problems(self.template.storage, storage_classes)
        if nodes is not None:
            found += rules.node_problems(self.template, nodes)
        return tuple(sorted(found, key=lambda p: list(Severity).index(p.severity)))


def _name_problems(name: str) -> Iterable[Problem]:
    if name in names.NAMES_TAKEN_BY_MYSQL:
        yield Problem(
            "BadName", f"{name} is a database that every MySQL has: name the Keyspace otherwise"
        )
    if len(name) > MAX_NAME_LENGTH or not NAME.fullmatch(name):
        yield Problem(
            "BadName",
            f"{name} cannot name a database and its pods: write at most {MAX_NAME_LENGTH} lower "
            "case letters, digits and hyphens, beginning with a letter",
        )


def _idc_problems(template: InstanceTemplate) -> Iterable[Problem]:
    if not template.primary_idc:
        yield Problem(
            "BadPrimaryIDC",
            "primaryIDC is empty: write the IDC of the primaries, a value of the node label "
            f"{names.NODE_LABEL_IDC}",
        )


def _slot_problems(keyspace: Keyspace) -> Iterable[Problem]:
    slots, shards = keyspace.slots, keyspace.shards
    if slots not in SLOT_COUNTS:
        yield Problem(
            "BadSlots",
            f"slots is {slots}: write a power of two from 16 to {MAX_SLOTS}, such as 4096",
        )
    if not 1 <= shards <= MAX_SHARDS:
        yield Problem("BadShards", f"shards is {shards}: write 1 to {MAX_SHARDS}")
    elif shards > slots:
        yield Problem(
            "BadShards",
            f"{shards} shards cannot divide {slots} slots: write at most as many shards as slots",
        )


def _table_problems(keyspace: Keyspace) -> Iterable[Problem]:
    for table in keyspace.tables:
        if not PLAIN_IDENTIFIER.fullmatch(table.name):
            yield Problem(
                "BadTable",
                f"table name {table.name!r} is empty or has a space, dot, slash, backslash or "
                "backquote: write the plain name",
            )
        if table.sharding_key and not PLAIN_IDENTIFIER.fullmatch(table.sharding_key):
            yield Problem(
                "BadTable",
                f"shardingKey of table {table.name} has a space, dot, slash, backslash or "
                "backquote: write the plain name of the column",
            )
        if table.sharding_key and table.reference:
            yield Problem(
                "BadTable",
                f"table {table.name} has both shardingKey and reference: write one of them",
            )
        elif not (table.sharding_key or table.reference or keyspace.default_sharding_key):
            yield Problem(
                "BadTable",
                f"table {table.name} has neither shardingKey nor reference: write one of them, or "
                "spec.defaultShardingKey",
            )
    for name, times in Counter(t.name for t in keyspace.tables).items():
        if times > 1:
            yield Problem("BadTable", f"table {name} stands {times} times in tables: write it once")


def _user_problems(users: Sequence[User]) -> Iterable[Problem]:
    for user in users:
        if not USER_NAME.fullmatch(user.name):
            yield Problem(
                "BadUser",
                f"user name {user.name!r} is not usable: "
                "write letters, digits, dots, hyphens and underscores",
            )
        if is_reserved_user(user.name):
            yield Problem(
                "BadUser",
                f"user {user.name} is reserved (root, mysql.*, mitosis*): choose another name",
            )
        if not user.password.name:
            yield Problem(
                "BadUser",
                f"user {user.name} has an empty passwordSecret.name: write the name of the Secret "
                "that holds the password",
            )
        if not user.grants:
            yield Problem(
                "BadUser",
                f"user {user.name} has no grants: write ALL, or privileges such as SELECT",
            )
        if Grant.ALL in user.grants and len(user.grants) > 1:
            yield Problem(
                "BadUser", f"user {user.name} has ALL and other grants: write ALL by itself"
            )
        if user.tls_subject and user.tls is not UserTls.X509:
            yield Problem(
                "BadUser",
                f"user {user.name} has a tlsSubject but not tls: x509: write tls: x509",
            )
        for name, value in vars(user.limits).items():
            if value < 0:
                yield Problem(
                    "BadUser",
                    f"limits.{name} of user {user.name} is below 0: write 0 for no limit",
                )
    for name, times in Counter(u.name for u in users).items():
        if times > 1:
            yield Problem("BadUser", f"user {name} stands {times} times in users: write it once")


def is_reserved_user(name: str) -> bool:
    low = name.lower()
    return low == "root" or low.startswith(("mysql.", "mitosis"))


def _range_problems(keyspace: Keyspace, shards: Sequence[SlotRange]) -> Iterable[Problem]:
    """Judge the Shards as they will be once the missing initial ones are made."""
    complete = (*shards, *keyspace.missing_ranges(shards))
    for sentence in find_problems(complete, keyspace.slots):
        yield Problem(
            "BadRanges", f"{sentence}: the Shards of {keyspace.name} must cover each slot once"
        )


def _read_table(read: Reader) -> Table:
    return Table(read.text("name"), read.text("shardingKey", ""), read.flag("reference", False))


def _table_spec(table: Table) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": table.name}
    if table.sharding_key:
        spec["shardingKey"] = table.sharding_key
    if table.reference:
        spec["reference"] = True
    return spec


def _read_user(read: Reader) -> User:
    secret = read.part("passwordSecret")
    return User(
        name=read.text("name"),
        password=PasswordSecret(secret.text("name"), secret.text("key", "password")),
        grants=tuple(
            Reader({"grant": g}, read.at("grants")).choice("grant", Grant)
            for g in read.texts("grants")
        ),
        tls=read.choice("tls", UserTls, UserTls.NONE),
        tls_subject=read.text("tlsSubject", ""),
        limits=_read_limits(read.part("limits")),
        transaction_mode=read.choice("transactionMode", TransactionMode, TransactionMode.ATOMIC),
    )


def _read_limits(read: Reader) -> UserLimits:
    return UserLimits(
        connections=read.integer("connections", 0),
        statements=read.integer("statements", 0),
        rows=read.integer("rows", 0),
        bytes=read.integer("bytes", 0),
        seconds=read.number("seconds", 0),
    )


def _user_spec(user: User) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "name": user.name,
        "passwordSecret": {"name": user.password.name, "key": user.password.key},
        "grants": [g.value for g in user.grants],
        "tls": user.tls.value,
        "transactionMode": user.transaction_mode.value,
    }
    if user.tls_subject:
        spec["tlsSubject"] = user.tls_subject
    if user.limits != NO_LIMITS:
        spec["limits"] = {name: value for name, value in vars(user.limits).items() if value}
    return spec
