"""What is wrong with an object, in a sentence that says what to write instead."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    REFUSED = "refused"
    """Condition Accepted=False: nothing is made or changed until the object is corrected."""
    WAITING = "waiting"
    """Accepted, but something outside is missing: the operator keeps trying."""
    WARNING = "warning"
    """Accepted and acted on; a person should know."""


@dataclass(frozen=True)
class Problem:
    reason: str
    """One word in CamelCase, for the condition and the event."""
    message: str
    severity: Severity = Severity.REFUSED


def worst(problems: Iterable[Problem], severity: Severity) -> Problem | None:
    """The first problem of this severity, with the messages of all of them; None without one."""
    found = [p for p in problems if p.severity is severity]
    if not found:
        return None
    return Problem(found[0].reason, "; ".join(p.message for p in found), severity)
