"""What the parts of the agent work with."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from mitosis_operator.agent.lifecycle import Mysqld
from mitosis_operator.agent.settings import Settings
from mitosis_operator.agent.state import Store
from mitosis_operator.mysql.connection import Connection

STATEMENT_SECONDS = 60.0


@dataclass(frozen=True)
class Tools:
    settings: Settings
    store: Store
    mysqld: Mysqld
    command: Callable[..., list[str]]
    writability: threading.Lock
    """Held while read-only is lifted, so that a fence comes before or after, never in between."""

    def connect(self, limit_seconds: float | None = STATEMENT_SECONDS) -> Connection:
        return Connection.to_socket(self.settings.socket, limit_seconds=limit_seconds)
