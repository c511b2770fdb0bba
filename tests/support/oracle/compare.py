"""Two answers to one statement: equal, a refusal of the gate, or a difference."""

import math
import re
import struct
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import mysql.connector
import pymysql

from oracle.queries import Statement

GATE_SAYS = "[gate]"
UNREADABLE = -1
_TRUNCATED = 1292
_UNSIGNED = 0x20
_JSON = 245
_BYTES = 63
"""The character set of what has none."""
_WITH_DECIMALS = frozenset({0, 4, 5, 7, 11, 12, 246})
"""Type codes of decimals, floats, times and timestamps."""
# an expression over INT is told as INT or as BIGINT, one over TEXT as TEXT or as what is longer:
# with a temporary table, or without one
_WIDER = {1: 8, 2: 8, 3: 8, 9: 8, 13: 8, 249: 251, 250: 251, 252: 251, 254: 253}
_SHOWN = 8
_NAMES = re.compile(r"`[^`]*`|'[^']*'|\b(?:users|orders|tags|countries|[a-z]\d|[a-z]\.\w+|\d+)\b")


@dataclass(frozen=True)
class Answer:
    rows: tuple[tuple[Any, ...], ...] = ()
    columns: tuple[Any, ...] = ()
    """For each: name, type, character set, decimals, whether it is unsigned."""
    affected: int = 0
    last_id: int = 0
    warnings: int = 0
    error: int = 0
    state: str = ""
    text: str = ""
    computed: tuple[bool, ...] = ()
    """Which columns are no plain columns of a table; empty: it is not known."""

    @property
    def is_refusal(self) -> bool:
        return self.text.startswith(GATE_SAYS)

    @property
    def refusal_class(self) -> str:
        """The refusal without the names in it."""
        text = self.text.removeprefix(GATE_SAYS).strip()
        return f"{self.error} {_NAMES.sub('_', text)[:110]}"

    def __str__(self) -> str:
        if self.error:
            return f"error {self.error} ({self.state}) {self.text}"
        return (
            f"{len(self.rows)} rows, {self.affected} affected, id {self.last_id}, "
            f"{self.warnings} warnings"
        )


def ask(connection: Any, sql: str) -> Answer:
    """Run a statement in the text protocol, over pymysql."""
    try:
        with connection.cursor() as cursor:
            affected = cursor.execute(sql)
            result = cursor._result
            columns = tuple(
                (
                    f.name,
                    f.type_code,
                    # by the way that MySQL took to an equal result, the one of JSON is that of
                    # text or of bytes, and the scale of text 0 or 31
                    _BYTES if f.type_code == _JSON else f.charsetnr,
                    f.scale if f.type_code in _WITH_DECIMALS else 0,
                    f.flags & _UNSIGNED,
                )
                for f in getattr(result, "fields", ())
            )
            computed = tuple(not f.org_table for f in getattr(result, "fields", ()))
            return Answer(
                tuple(cursor.fetchall()),
                columns,
                affected,
                cursor.lastrowid or 0,
                result.warning_count or 0,
                computed=computed,
            )
    except pymysql.MySQLError as exc:
        if len(exc.args) < 2:
            raise
        return Answer(error=exc.args[0], text=str(exc.args[1]))


def ask_prepared(connection: Any, sql: str, values: Sequence[Any]) -> Answer:
    """Prepare and execute a statement in the binary protocol, over mysql.connector."""
    cursor = connection.cursor(prepared=True)
    try:
        cursor.execute(sql, tuple(values))
        rows = tuple(cursor.fetchall()) if cursor.description else ()
        columns = tuple((d[0], d[1]) for d in cursor.description or ())
        affected = len(rows) if columns else cursor.rowcount
        cursor.close()
        return Answer(rows, columns, affected)
    except mysql.connector.Error as exc:
        if exc.errno > 0 and exc.sqlstate:
            cursor.close()
            return Answer(error=exc.errno, state=exc.sqlstate, text=exc.msg or "")
        problem = repr(exc)
    except (struct.error, ValueError, IndexError, TypeError) as exc:
        problem = repr(exc)  # what was sent is not what the protocol says
    connection.unread_result = False
    connection.reconnect()
    return Answer(error=UNREADABLE, text=problem)


def is_planned(statement: Statement, ours: Answer, theirs: Answer) -> bool:
    """Whether one of them has an error, as it met a text that is no number, and the other met none:
    a write of strict mode."""
    looks = statement.looks_as_planned and not statement.reads
    return looks and {ours.error, theirs.error} == {0, _TRUNCATED}


def difference(statement: Statement, ours: Answer, theirs: Answer) -> str:
    """What is not the same; empty when nothing is. `ours` is no refusal."""
    if ours.error != theirs.error:
        return f"errors: {ours} / {theirs}"
    if ours.error:
        return "" if ours.state == theirs.state else f"SQLSTATE: {ours.state} / {theirs.state}"
    found = _other_columns(statement, ours, theirs)
    if found:
        return found
    if not statement.any_rows and not _is_total_of_nothing(statement, ours, theirs):
        found = _other_rows(statement, ours, theirs)
        if found:
            return found
    told = ("last_id",) if statement.looks_as_planned else ("last_id", "warnings")
    for what in ("affected", *(() if statement.reads else told)):
        if getattr(ours, what) != getattr(theirs, what):
            return f"{what}: {getattr(ours, what)} / {getattr(theirs, what)}"
    return "" if len(ours.rows) == len(theirs.rows) else f"rows: {ours} / {theirs}"


def _is_total_of_nothing(statement: Statement, ours: Answer, theirs: Answer) -> bool:
    """Over no rows ROLLUP gives a row, in which an expression of the group is NULL, or computed
    from NULL when MySQL saw beforehand that there can be none."""
    return " WITH ROLLUP" in statement.text and len(ours.rows) == len(theirs.rows) == 1


def _other_columns(statement: Statement, ours: Answer, theirs: Answer) -> str:
    if len(ours.columns) != len(theirs.columns):
        return f"{len(ours.columns)} / {len(theirs.columns)} columns"
    unknown = (True,) * len(ours.columns)
    computed = zip(ours.computed or unknown, theirs.computed or unknown, strict=True)
    other = []
    for mine, yours, either in zip(ours.columns, theirs.columns, computed, strict=True):
        if mine == yours:
            continue
        widens = statement.widens or any(either)
        if not (widens and _widened(mine) == _widened(yours)):
            other.append(f"{mine} / {yours}")
    return f"columns: {'; '.join(other)}" if other else ""


def _widened(column: tuple[Any, ...]) -> tuple[Any, ...]:
    name, kind, *more = column
    return name, _WIDER.get(kind, kind), *more


def _other_rows(statement: Statement, ours: Answer, theirs: Answer) -> str:
    mine, yours = (Counter(_rows(a, statement.folds, statement.branches)) for a in (ours, theirs))
    if mine != yours:
        extra, missing = list((mine - yours).elements()), list((yours - mine).elements())
        return (
            f"rows: {len(extra)} that MySQL has not {extra[:_SHOWN]}, "
            f"{len(missing)} missing {missing[:_SHOWN]}"
        )
    sorted_ours, sorted_theirs = (_rows(a, True, statement.branches) for a in (ours, theirs))
    for at in statement.sorted_by:
        column, expected = [row[at] for row in sorted_ours], [row[at] for row in sorted_theirs]
        if column != expected:
            return f"order of column {at + 1}: {column[:30]} / {expected[:30]}"
    return ""


def _rows(answer: Answer, folds: bool, branches: bool) -> list[tuple[Any, ...]]:
    return [tuple(_value(v, folds, branches) for v in row) for row in answer.rows]


def _value(value: Any, folds: bool, branches: bool) -> Any:
    """Sums of DOUBLE differ in their last digits with the order of rows, in MySQL as well."""
    if isinstance(value, float):
        return 0.0 if value == 0 else float(f"{value:.10g}") if math.isfinite(value) else value
    if isinstance(value, Decimal):
        return value if branches else str(value)  # 1.0 is not 1.00
    if folds and isinstance(value, bytes | bytearray):
        value = bytes(value).decode("latin1")
    if folds and isinstance(value, str):
        plain = unicodedata.normalize("NFKD", value.replace("ß", "ss"))
        return "".join(c for c in plain if not unicodedata.combining(c)).casefold().rstrip(" ")
    return value
