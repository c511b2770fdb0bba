"""Two answers to one statement: equal, a refusal of the gate, or a difference."""

import math
import re
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
_UNSIGNED = 0x20
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
        shown = "\n".join(f"    {row}" for row in self.rows[:30])
        return (
            f"{len(self.rows)} rows, {self.affected} affected, id {self.last_id}, "
            f"{self.warnings} warnings, columns {self.columns}\n{shown}"
        )


def ask(connection: Any, sql: str) -> Answer:
    """Run a statement in the text protocol, over pymysql."""
    try:
        with connection.cursor() as cursor:
            affected = cursor.execute(sql)
            result = cursor._result
            columns = tuple(
                (f.name, f.type_code, f.charsetnr, f.scale, f.flags & _UNSIGNED)
                for f in result.fields or ()
            )
            return Answer(
                tuple(cursor.fetchall()),
                columns,
                affected,
                cursor.lastrowid or 0,
                result.warning_count or 0,
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
        return Answer(rows, columns, affected)
    except mysql.connector.Error as exc:
        return Answer(error=exc.errno, state=exc.sqlstate or "", text=exc.msg or "")
    finally:
        cursor.close()


def difference(statement: Statement, ours: Answer, theirs: Answer) -> str:
    """What is not the same; empty when nothing is. `ours` is no refusal."""
    if ours.error != theirs.error:
        return "error"
    if ours.error:
        return "" if ours.state == theirs.state else "SQLSTATE"
    if ours.columns != theirs.columns:
        return "columns"
    if len(ours.rows) != len(theirs.rows):
        return "number of rows"
    if not statement.any_rows:
        mine, other = _comparable(statement, ours), _comparable(statement, theirs)
        if Counter(mine) != Counter(other):
            return "rows"
        for at in statement.sorted_by:
            if [row[at] for row in mine] != [row[at] for row in other]:
                return f"order of column {at + 1}"
    if ours.affected != theirs.affected:
        return "affected rows"
    if ours.last_id != theirs.last_id:
        return "last insert id"
    if ours.warnings != theirs.warnings:
        return "warnings"
    return ""


def _comparable(statement: Statement, answer: Answer) -> list[tuple[Any, ...]]:
    return [tuple(_value(v, statement.folds) for v in row) for row in answer.rows]


def _value(value: Any, folds: bool) -> Any:
    """Sums of DOUBLE differ in their last digits with the order of rows, in MySQL as well."""
    if isinstance(value, float):
        return 0.0 if value == 0 else float(f"{value:.10g}") if math.isfinite(value) else value
    if isinstance(value, Decimal):
        return str(value)  # 1.0 is not 1.00
    if folds and isinstance(value, str):
        plain = unicodedata.normalize("NFKD", value.replace("ß", "ss"))
        return "".join(c for c in plain if not unicodedata.combining(c)).casefold().rstrip(" ")
    return value
