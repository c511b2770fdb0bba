"""The savepoints of a transaction in the order in which they were set, as MySQL keeps them."""

from collections.abc import Iterator

from mitosis_gate.planner.plan import TransactionControl, TransactionVerb

STATEMENT = b"mitosis_statement"
"""Set before a statement that writes on several shards; never one of the client's."""


class Savepoints:
    __slots__ = ("_set",)

    def __init__(self) -> None:
        self._set: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._set)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._set

    def statements(self) -> Iterator[bytes]:
        """Run on a connection that joins, they set all of them."""
        yield from self._set.values()

    def clear(self) -> None:
        self._set.clear()

    def note(self, plan: TransactionControl, sql: bytes) -> None:
        """After the statement, or when it can only fail where nothing depends on it."""
        name = plan.savepoint.lower()
        match plan.verb:
            case TransactionVerb.SAVEPOINT:
                self._set.pop(name, None)
                self._set[name] = sql
            case TransactionVerb.ROLLBACK_TO:
                self._cut(name, keeps_it=True)
            case TransactionVerb.RELEASE:
                self._cut(name, keeps_it=False)
            case _:
                self._set.clear()

    def _cut(self, name: str, keeps_it: bool) -> None:
        """Those that were set later are gone as well."""
        names = list(self._set)
        if name in names:
            for later in names[names.index(name) + keeps_it :]:
                del self._set[later]
