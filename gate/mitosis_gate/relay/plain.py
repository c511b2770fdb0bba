"""The attributes that are read for each statement, as plain slots.

The classes of the gate that take part in the common case inherit one of these. Their compiled twins
hold the same attributes in C structures and try the common case first, in `data_received`; whatever
they leave goes to `take` or `take_answer`, where all rules are.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any


class SessionState:
    __slots__ = (
        "_active",
        "_task",
        "_has_input",
        "_names",
        "_lanes",
        "_planner",
        "_planner_of",
        "_home",
        "_variant",
        "current",
        "_transaction",
        "_kept",
        "_variables",
        "_packet",
        "_execution",
        "_statements",
        "began_at",
        "_last",
        "_forwarded",
        "_sequence",
        "forwarded_statements",
        "_strips",
        "_transport",
        "_relayed",
        "_pins",
        "write_blocked_at",
        "last_insert_id",
        "_row_count",
        "_counted_at",
        "_ends_after",
        "connection_id",
        "_answered",
        "_left",
        "_left_at",
        "_messages",
        "_held",
    )

    def take(self, data: bytes) -> None:
        """Bytes of the client, of any number of commands."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        self.take(data)


class BackendState:
    __slots__ = (
        "_sink",
        "scanner",
        "in_transaction",
        "autocommit",
        "owner",
        "alive",
        "is_idle",
        "obsolete",
        "is_foreign",
        "applied",
        "idle_since",
        "last_user",
        "draining",
        "transaction_state",
        "_transport",
    )

    def take_answer(self, data: bytes) -> None:
        """Bytes of the server, of part of an answer or of a whole one."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        self.take_answer(data)


class ScannerState:
    __slots__ = (
        "_held",
        "_skip",
        "expect",
        "keeps_eof",
        "status",
        "warnings",
        "error",
        "last",
        "done",
        "strips",
    )


class LaneState:
    __slots__ = ("idle", "pool")


class LanesState:
    __slots__ = ("current", "lanes")


class PoolState:
    __slots__ = ("now", "waiting")


class PointState:
    __slots__ = ("_characters", "_digits", "_mask", "_plans", "index")


class PlannerState:
    __slots__ = ("shapes",)


class StatementState:
    __slots__ = ("sql", "planner", "planned", "types", "long_data", "problem", "cursor", "key")


class BranchesState:
    __slots__ = (
        "waits",
        "bound",
        "_joined",
        "_begin",
        "_read_only",
        "_savepoints",
        "_next",
        "_own",
        "_is_tracked",
        "_lost",
        "_rolling",
    )


class BeginningState:
    __slots__ = ("session", "packet", "expect")


def shape_of(sql: bytes) -> tuple[bytes, list[bytes]] | None:
    """The text of a plain statement with a mark in place of each literal, and these; None: it is
    none that the compiled relay looks at, and without that none is."""
    return None


DivideOptions = tuple[bytes, bytes, int, int, int, int, int, int, int, bytes, int]
"""What ends fields and lines; the quote and the escape (-1: none); how many fields a row has, and
which is the key; of a whole number how many digits it has less than (0: the key is text) and what
it is at least; how many characters a text may have (0: any); the shard of each slot, in two bytes,
and the number of shards."""


def divide(options: DivideOptions, data: bytes, at: int) -> tuple[Sequence[bytes], bytes, int, int]:
    """Rows of LOAD DATA from `at` on, up to the first whose key is not plain. Compiled only.

    For each shard its rows; for each row its shard, in two bytes; where that ends, and the highest
    key that is a whole number.
    """
    raise NotImplementedError


def learn(
    *,
    session: type,
    backend: type,
    scanner: type,
    lane: type,
    lanes: type,
    pool: type,
    transaction: type,
    beginning: type,
    statement: type,
    planner: type,
    point: type,
    one_shard: type,
    wire: type,
    variant: object,
    begin: object,
    commit: object,
    rollback: object,
    nothing_left: object,
    at_once: Mapping[Any, bool],
    clock: ModuleType,
) -> None:
    """Tell once which types and objects make the common case; nothing is compiled here.

    `begin`, `commit`, `rollback`: the plans of those statements when nothing is added to them.
    `nothing_left`: what the session remembers behind such a statement that the gate answers.
    `at_once`: by the flags of a plan for one shard, whether it needs no task.
    """
