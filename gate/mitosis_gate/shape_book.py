"""Statements by shape: how often, how long; and the log of slow ones.

A shape is the text with `?` for each literal: no value of anybody's data stands in it.
"""

import functools
import json
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from mitosis_gate.backends.account import Account
from mitosis_gate.planner.lexer import BadSql, shape_of

log = logging.getLogger("mitosis_gate.slow")

MOST_SHAPES = 1000
LONGEST_SHAPE = 2000
_LONGEST_READ = 64 << 10
_LONGEST_KNOWN = 500
"""Short texts often come again with the same values."""
_UNREADABLE = "(not understood)"


class Entry:
    __slots__ = ("count", "keyspace", "longest", "rows", "seconds", "shape", "user")

    def __init__(self, keyspace: str, user: str, shape: str) -> None:
        self.keyspace = keyspace
        self.user = user
        self.shape = shape
        self.count = 0
        self.seconds = 0.0
        self.longest = 0.0
        self.rows = 0


@functools.lru_cache(maxsize=256)
def _known_text(sql: bytes) -> str:
    return _shape(sql)


def shape_text(sql: bytes) -> str:
    """The statement without its values; long ones are cut, and read only at their beginning."""
    if len(sql) <= _LONGEST_KNOWN:
        return _known_text(sql)
    if len(sql) > _LONGEST_READ:
        head = _shape_of_head(sql[:_LONGEST_READ])
    else:
        head = _shape(sql)
    return head if len(head) <= LONGEST_SHAPE else head[:LONGEST_SHAPE] + " ..."


def _shape(sql: bytes) -> str:
    try:
        texts = shape_of(sql).texts
    except BadSql:
        return _UNREADABLE
    return " ".join(b"?".join(texts).decode(errors="replace").split())


def _shape_of_head(sql: bytes) -> str:
    """A statement that is cut off in the middle of a literal must not show part of it."""
    quote = max(sql.rfind(b"'"), sql.rfind(b'"'), sql.rfind(b","))
    while quote > 0:
        found = _shape(sql[:quote])
        if found != _UNREADABLE:
            return found + " ..."
        quote = max(sql.rfind(b"'", 0, quote), sql.rfind(b'"', 0, quote), sql.rfind(b",", 0, quote))
        if quote < len(sql) // 2:
            break
    return _UNREADABLE


class ShapeBook:
    """Of one process; the shapes that were not seen for longest are forgotten first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, str, str], Entry] = OrderedDict()

    def _entry(self, account: Account, sql: bytes) -> Entry:
        key = account.keyspace, account.user, shape_text(sql)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry(*key)
            if len(self._entries) > MOST_SHAPES:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(key)
        return entry

    def note(
        self, account: Account, sql: bytes, count: int, seconds: float, rows: int | None
    ) -> None:
        """`count`: for how many statements this one stands."""
        entry = self._entry(account, sql)
        entry.count += count
        entry.seconds += seconds
        entry.longest = max(entry.longest, seconds)
        entry.rows += rows or 0

    def note_slow(
        self, account: Account, sql: bytes, seconds: float, shards: int, rows: int | None
    ) -> None:
        """One line of JSON, without any literal of the statement."""
        entry = self._entry(account, sql)
        line = {
            "slow": entry.shape,
            "keyspace": account.keyspace,
            "user": account.user,
            "seconds": round(seconds, 1),
            "shards": shards or None,
            "rows": rows,
            "count": entry.count,
            "secondsOfShape": round(entry.seconds, 1),
        }
        log.warning("%s", json.dumps(line))

    def describe(self) -> list[Mapping[str, Any]]:
        return [
            {name: getattr(entry, name) for name in Entry.__slots__}
            for entry in self._entries.values()
        ]
