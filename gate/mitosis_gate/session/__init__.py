"""One client after its login; `session.session` says how the modules divide the work."""

from mitosis_gate.session.services import Services, Sessions
from mitosis_gate.session.session import Session

__all__ = ["Services", "Session", "Sessions"]
