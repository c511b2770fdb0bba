"""Conditions of a status: a new value keeps the time of the last transition unless it is one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from mitosis_operator.models.reading import Reader


class Truth(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class Condition:
    type: str
    status: Truth
    reason: str
    message: str = ""
    last_transition_time: str = ""
    observed_generation: int = 0

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Condition":
        read = Reader(body)
        return cls(
            type=read.text("type"),
            status=read.choice("status", Truth),
            reason=read.text("reason", ""),
            message=read.text("message", ""),
            last_transition_time=read.text("lastTransitionTime", ""),
            observed_generation=read.integer("observedGeneration", 0),
        )

    def to_body(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "status": self.status.value,
            "reason": self.reason,
            "message": self.message,
            "lastTransitionTime": self.last_transition_time,
            "observedGeneration": self.observed_generation,
        }


def with_condition(
    conditions: Iterable[Condition],
    type: str,
    status: Truth | bool,
    reason: str,
    message: str,
    *,
    now: datetime,
    generation: int,
) -> tuple[Condition, ...]:
    """Put this condition in place of the one of its type, or add it at the end.

    `lastTransitionTime` moves only when the status differs, so that people see since when it holds.
    """
    known = tuple(conditions)
    if isinstance(status, bool):
        status = Truth.TRUE if status else Truth.FALSE
    before = find(known, type)
    since = timestamp(now)
    if before is not None and before.status is status and before.last_transition_time:
        since = before.last_transition_time
    new = Condition(type, status, reason, message, since, generation)
    if before is None:
        return (*known, new)
    return tuple(new if c.type == type else c for c in known)


def find(conditions: Iterable[Condition], type: str) -> Condition | None:
    return next((c for c in conditions if c.type == type), None)


def timestamp(now: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as Kubernetes writes it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
