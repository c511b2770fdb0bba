"""What one user may use in this process, and how much of it is used.

What the Keyspace says of a user comes before the settings of the gate; 0 is no limit in both.
"""

from dataclasses import dataclass

from mitosis_gate.backends.account import Account
from mitosis_gate.errors import LimitReached, UserConnections
from mitosis_gate.settings import Settings
from mitosis_routing.table import NO_LIMITS, UserLimits


@dataclass(frozen=True, slots=True)
class Limit:
    value: float
    name: str
    """Where it is set, for the error."""

    def __bool__(self) -> bool:
        return self.value > 0

    def __str__(self) -> str:
        return f"{self.name} = {self.value:g}"


@dataclass(frozen=True, slots=True)
class Limits:
    connections: Limit
    statements: Limit
    rows: Limit
    bytes: Limit
    seconds: Limit

    @property
    def counts_statements(self) -> bool:
        """Whether each statement of the user must be counted, or its answer."""
        return bool(self.statements or self.rows or self.bytes)


def limits_of(user: UserLimits, settings: Settings) -> Limits:
    def chosen(name: str, value: float, option: str, common: float) -> Limit:
        return Limit(value, f"limits.{name}") if value else Limit(common, option)

    return Limits(
        chosen("connections", user.connections, "--max-user-clients", settings.max_user_clients),
        chosen(
            "statements", user.statements, "--max-user-statements", settings.max_user_statements
        ),
        chosen("rows", user.rows, "--max-result-rows", settings.max_result_rows),
        chosen("bytes", user.bytes, "--max-result-bytes", settings.max_result_bytes),
        chosen("seconds", user.seconds, "--statement-seconds", settings.statement_seconds),
    )


NO_USER_LIMITS = limits_of(NO_LIMITS, Settings())


class Budget:
    """What one user of one keyspace uses; shared by its sessions."""

    __slots__ = ("clients", "running", "who")

    def __init__(self, account: Account) -> None:
        self.who = account.user
        self.clients = 0
        self.running = 0

    def connect(self, limits: Limits) -> None:
        """Raises UserConnections."""
        limit = limits.connections
        if limit and self.clients >= limit.value:
            raise UserConnections(
                f"User '{self.who}' has exceeded the 'max_user_connections' resource (current "
                f"value: {limit.value:g}): {limit} for each gate process; close some connections"
            )
        self.clients += 1

    def begin(self, limits: Limits) -> None:
        """Raises LimitReached."""
        limit = limits.statements
        if limit and self.running >= limit.value:
            raise LimitReached(
                f"User '{self.who}' has exceeded the 'statements' resource (current value: "
                f"{limit.value:g}): {limit} at the same time in each gate process; repeat later"
            )
        self.running += 1


class Budgets:
    """The budgets of all users that are connected."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Budget] = {}

    def of(self, account: Account) -> Budget:
        key = account.keyspace, account.user
        budget = self._found.get(key)
        if budget is None:
            budget = self._found[key] = Budget(account)
        return budget

    def left(self, account: Account) -> None:
        """A session has ended; nothing is kept of users that are gone."""
        key = account.keyspace, account.user
        budget = self._found.get(key)
        if budget is not None:
            budget.clients -= 1
            if budget.clients <= 0:
                del self._found[key]
