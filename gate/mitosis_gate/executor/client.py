"""What the executor sees of the client that a plan is carried out for.

`session.Session` is one. Exactly one answer is due for each plan: `send_ok`, `send_result`, the
three of `begin_rows`, `send_rows` and `end_rows`, or `relay`. A GateError that is raised instead
becomes the ERR packet, also in the middle of rows.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.variables import Variables
from mitosis_gate.planner.plan import Variant
from mitosis_gate.wire.packets import Ok
from mitosis_routing.table import RoutingTable


class Client(Protocol):
    connection_id: int
    capabilities: int
    last_insert_id: int
    binary: bool
    """The plan is that of a prepared statement: its rows must be in the binary format, as
    `BackendConnection.stream(sql, binary=True)` gives them. `send_result` and `relay` do so."""

    @property
    def user(self) -> str: ...

    @property
    def keyspace(self) -> str:
        """The current database; empty while none is chosen."""

    @property
    def account(self) -> Account:
        """Raises NoDatabase while none is chosen."""

    @property
    def table(self) -> RoutingTable:
        """The routing table whose shards the plan counts."""

    @property
    def variables(self) -> Variables: ...

    @variables.setter
    def variables(self, value: Variables) -> None: ...

    @property
    def variant(self) -> Variant:
        """To plan a statement anew: `planner.route(sql, client.variant)`."""

    @property
    def autocommit(self) -> bool: ...

    @property
    def in_transaction(self) -> bool:
        """BEGIN was seen, or with autocommit=0 a shard is bound."""

    @property
    def bound_shard(self) -> str | None:
        """Where the open transaction, or what pins the session, lives."""

    @property
    def last_shard(self) -> str | None:
        """Where the statement before ran."""

    async def backend(self, shard: str, outside: bool = False) -> BackendConnection:
        """A connection with the session's variables, inside its transaction.

        `outside`: with autocommit on and never the transaction's own. Several may be held at once.
        Each must be given back, in `finally`. A shard that is not yet in the open transaction joins
        it; raises SeveralShards when `transaction_mode` does not allow that.
        """

    def reading(
        self, shards: Sequence[str]
    ) -> AbstractAsyncContextManager[list[tuple[str, BackendConnection]]]:
        """A connection to each shard, for a read: the branches of the open transaction, else
        connections outside with the session's variables."""

    def writing(
        self, shards: Sequence[str]
    ) -> AbstractAsyncContextManager[list[tuple[str, BackendConnection]]]:
        """A connection to each shard, for one write: the branches of the open transaction, in which
        a write that fails leaves nothing on any shard; else a transaction of its own, committed at
        the end of the block. Answer the client behind the block."""

    def own(self, name: str) -> str:
        """The value of one of the gate's own variables, `planner.own_variables.OWN`."""

    def set_own(self, name: str, value: str | None) -> None:
        """None: the usual value of this user."""

    async def any_backend(self) -> BackendConnection:
        """The bound one, or one of the shard used last, or of the first; as `backend`."""

    def give_back(self, connection: BackendConnection) -> None:
        """After use; one that is bound stays so, one in doubt is closed."""

    async def note_warnings(self, connection: BackendConnection) -> None:
        """Keep the warnings of the statement that just ran there for a SHOW WARNINGS after this
        answer. Call it when there are some, before anything else runs on that connection."""

    def keep_warnings(self, warnings: Sequence[tuple[bytes, int, str]]) -> None:
        """As `note_warnings`, for warnings that are known: level, code, text."""

    def warn(self, code: int, text: str) -> None:
        """Add a warning of the gate's own to the answer that is due."""

    def local_file(self, name: bytes) -> AsyncIterator[bytes]:
        """Ask the client for a file (LOAD DATA LOCAL) and give what it sends; read it to its end,
        also when it is of no use any more: the client answers to nothing before."""

    def disown(self, connection: BackendConnection) -> None:
        """Leave a connection that was lent with `outside` to the executor, also when the client
        goes away: it must give it back to its lane, whatever happens."""

    @property
    def is_gone(self) -> bool:
        """Whether nobody waits for the answer any more."""

    async def commit(self) -> None:
        """Commit the open transaction if there is one; raises CommitUnknown, and TransactionLost
        when it is rolled back."""

    def begin(self, statement: bytes) -> None:
        """Open a transaction, lazily: `statement` goes to the first shard that is used."""

    def next_transaction(self, statement: bytes) -> None:
        """Keep a SET TRANSACTION (one characteristic) for the next transaction; sent just before it
        begins."""

    def use(self, keyspace: str) -> None:
        """Make it the current database; raises UnknownDatabase and AccessDeniedToDatabase."""

    def pin(self, reason: str, connection: BackendConnection) -> None:
        """Keep this connection for the session until `unpin`, a reset or its end."""

    def unpin(self, reason: str) -> None: ...

    def send_ok(
        self, affected: int = 0, last_insert_id: int = 0, warnings: int = 0, info: bytes = b""
    ) -> None: ...

    def send_result(
        self, columns: Sequence[bytes], rows: Iterable[bytes], warnings: int = 0
    ) -> None:
        """A small result: payloads of column definitions and of text rows."""

    def begin_rows(self, columns: Sequence[bytes]) -> None: ...

    async def send_rows(self, rows: Sequence[bytes]) -> None:
        """Waits while the client does not read."""

    def end_rows(self, warnings: int = 0) -> None: ...

    async def relay(self, connection: BackendConnection, sql: bytes) -> Ok | None:
        """Send a statement, pass its answer on untouched; None when that was an error."""
