"""Hints: what a comment of a statement asks of the gate.

    /*gate: shard=shop-0-2048 */ SELECT ...       ask this shard and no other
    SELECT /*gate: read=replica, timeout=2.5 */   read where copies are; end it after 2.5 seconds
    /*gate: scatter=deny */ SELECT ...            refuse it when it needs several shards
    /*gate: scatter=allow */ SELECT ...           do it although the session has gate_scatter=deny

The comment stands before the first word of the statement or behind it. A key that is not known is
an error, not a wish that is passed over. A statement for a named shard is answered from what that
shard holds: SELECT and SHOW then also read what has other content on each shard.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mitosis_gate.planner.effects import effects_of
from mitosis_gate.planner.layout import Layout
from mitosis_gate.planner.pins import Literal
from mitosis_gate.planner.plan import (
    AnyShard,
    ComputedWrite,
    CopyRows,
    EveryShard,
    Finish,
    Flag,
    Hinted,
    KeyedWrite,
    LimitedWrite,
    Merge,
    MovedRows,
    NumberedWrite,
    OneShard,
    Plan,
    Refuse,
    Scatter,
    SplitWrite,
)
from mitosis_gate.planner.refusals import NOT_SUPPORTED, refuse
from mitosis_gate.planner.rules import Fixed, Rule, shards_of
from mitosis_gate.planner.statement import Statement

_COMMENT = re.compile(rb"/\*\s*gate:(.*?)\*/", re.DOTALL | re.IGNORECASE)
_READS = frozenset(
    {"SELECT", "WITH", "TABLE", "VALUES", "SHOW", "(", "EXPLAIN", "DESCRIBE", "DESC"}
)
_ON_ROWS = _READS | {"INSERT", "REPLACE", "UPDATE", "DELETE"}
_KNOWN = "shard, read (primary, replica), scatter (allow, deny) and timeout (seconds)"


@dataclass(frozen=True, slots=True)
class Hints:
    shard: int | None = None
    read: str = ""
    scatter: bool | None = None
    timeout_seconds: float | None = None


def with_hints(statement: Statement, make: Callable[[Statement], Rule]) -> Rule:
    """The rule that `make` gives, changed as the statement's comments wish."""
    found = _text(statement)
    if found is None:
        return make(statement)
    hints = _parsed(found, statement.layout)
    if isinstance(hints, Refuse):
        return Fixed(hints)
    first = statement.words[0] or statement.tokens[0].text
    if first not in _ON_ROWS or (hints.shard is not None and first in ("INSERT", "REPLACE")):
        what = f"shard= before {first}" if first in _ON_ROWS else f"/*gate: */ before {first}"
        return Fixed(
            refuse(
                f"{what} has no meaning: hints are for SELECT, SHOW, UPDATE and DELETE, and all "
                "but shard= for INSERT and REPLACE"
            )
        )
    flags = effects_of(statement.tokens).flags if first in _READS else Flag.NONE
    return HintedRule(statement.layout, make(statement), hints, first in _READS, flags)


def _text(statement: Statement) -> bytes | None:
    """What the comment says; several count as one."""
    tokens = statement.tokens
    end = tokens[1].start if len(tokens) > 1 else len(statement.sql)
    if not tokens or b"gate:" not in statement.sql[:end].lower():
        return None
    outside = statement.sql[: tokens[0].start] + b" " + statement.sql[tokens[0].end : end]
    found = _COMMENT.findall(outside)
    return b",".join(found) if found else None


def _parsed(text: bytes, layout: Layout) -> Hints | Refuse:
    hints = Hints()
    for part in text.decode("utf-8", "replace").split(","):
        key, _, value = (word.strip() for word in part.partition("="))
        key = key.lower()
        if not key and not value:
            continue
        if key == "shard":
            names = [layout.name_of(shard) for shard in layout.everywhere]
            if value not in names:
                return refuse(f"there is no shard {value!r}: there are {', '.join(names)}")
            hints = replace(hints, shard=names.index(value))
        elif key == "read" and value in ("primary", "replica"):
            hints = replace(hints, read=value)
        elif key == "scatter" and value in ("allow", "deny"):
            hints = replace(hints, scatter=value == "allow")
        elif key == "timeout" and _is_seconds(value):
            hints = replace(hints, timeout_seconds=float(value))
        else:
            return refuse(f"the hint {part.strip()!r} is not known: known are {_KNOWN}")
    return hints


def _is_seconds(text: str) -> bool:
    return re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text) is not None and float(text) > 0


@dataclass(frozen=True, slots=True)
class HintedRule:
    layout: Layout
    inner: Rule
    hints: Hints
    is_read: bool
    flags: Flag
    """Of a read that is sent to a named shard."""

    @property
    def cacheable(self) -> bool:
        return self.inner.cacheable

    def bind(self, literals: Sequence[Literal]) -> Plan:
        plan = self.inner.bind(literals)
        hints = self.hints
        if hints.shard is not None:
            plan = self._on(hints.shard, plan)
        if hints.scatter is False and isinstance(plan, _SPREAD | ComputedWrite):
            return _refused(plan, "the hint scatter=deny")
        if not (hints.read or hints.scatter or hints.timeout_seconds):
            return plan
        if isinstance(plan, OneShard | AnyShard | ComputedWrite | _SPREAD):
            return Hinted(plan, hints.read, hints.scatter, hints.timeout_seconds)
        return plan

    def _on(self, shard: int, plan: Plan) -> Plan:
        if isinstance(plan, OneShard):
            return self.layout.one(shard, plan.flags)
        if isinstance(plan, AnyShard | Scatter | Merge | Finish) and self.is_read:
            return self.layout.one(shard, plan.flags & ~Flag.CLOCK)
        if isinstance(plan, Refuse) and plan.code == NOT_SUPPORTED and self.is_read:
            return self.layout.one(shard, self.flags)
        alike = isinstance(plan, SplitWrite) and plan.alike
        if isinstance(plan, SplitWrite | LimitedWrite) and not (self.is_read or alike):
            return self.layout.one(shard, plan.flags)
        if isinstance(plan, EveryShard | _SPREAD):
            return refuse("shard= is not for a write that belongs on other shards as well")
        return plan

    def slots(self) -> frozenset[int]:
        return self.inner.slots()


_SPREAD = (
    Scatter
    | Merge
    | Finish
    | SplitWrite
    | LimitedWrite
    | KeyedWrite
    | NumberedWrite
    | CopyRows
    | MovedRows
)


def refused_scatter(plan: Plan) -> Refuse | None:
    """The answer to a statement over several shards in a session that does not want them."""
    if isinstance(plan, _SPREAD) and len(shards_of(plan)) != 1:
        return _refused(plan, "gate_scatter=deny")
    return None


def _refused(plan: Plan, why: str) -> Refuse:
    count = len(shards_of(plan))
    where = f"{count} shards" if count else "several shards"
    return refuse(
        f"this statement needs {where}, and {why} does not allow it: add the sharding key to "
        "WHERE, or allow it with /*gate: scatter=allow */"
    )
