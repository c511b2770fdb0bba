"""The ledger client: proves that what was acknowledged is there, and that nothing else is.

    with Ledger(connect, writers=4) as ledger:
        ledger.wait_for(500)        # acknowledged so far
        ...the fault...
        ledger.wait_for_more(100)   # writing goes on
    ledger.verify()

Each writer has one long-lived connection and writes numbered rows, one transaction per row: a
number is attempted once and never again, because after an error it is unknown whether the row is
there. Then: acknowledged is a subset of present, present is a subset of attempted.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import pymysql

TABLE = """\
CREATE TABLE IF NOT EXISTS ledger (
  user_id BIGINT NOT NULL,
  n BIGINT NOT NULL,
  PRIMARY KEY (user_id, n)
)"""
Connection = Any
Connect = Callable[[], Connection]
Row = tuple[int, int]

USERS_PER_WRITER = 50
PAUSE_SECONDS = 0.05
"""Between attempts to come back: the only wait, and it ends with the fault."""


@dataclass
class Book:
    """What one writer knows; nobody else writes it."""

    attempted: set[Row] = field(default_factory=set)
    acknowledged: set[Row] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    longest_gap_seconds: float = 0.0


class Ledger:
    def __init__(
        self, connect: Connect, writers: int = 4, rows_per_transaction: int = 1, base: int = 0
    ) -> None:
        """`connect` opens a connection of PyMySQL to the gate; `base` keeps two ledgers apart."""
        self._connect = connect
        self._rows_per_transaction = rows_per_transaction
        self._base = base
        self._books = [Book() for _ in range(writers)]
        self._stop = threading.Event()
        self._progress = threading.Condition()
        self._threads = [
            threading.Thread(target=self._write, args=(number, book), daemon=True)
            for number, book in enumerate(self._books)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the writers; what they have in flight is finished or given up."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout=120)
                assert not thread.is_alive(), "a writer of the ledger hangs"

    @property
    def attempted(self) -> set[Row]:
        return set().union(*(set(b.attempted) for b in self._books))

    @property
    def acknowledged(self) -> set[Row]:
        return set().union(*(set(b.acknowledged) for b in self._books))

    @property
    def count(self) -> int:
        """Rows acknowledged so far."""
        return sum(len(b.acknowledged) for b in self._books)

    @property
    def errors(self) -> list[str]:
        return [e for b in self._books for e in b.errors]

    @property
    def longest_gap_seconds(self) -> float:
        """The longest time in which one writer got no acknowledgement: the pause users feel."""
        return max(b.longest_gap_seconds for b in self._books)

    def wait_for(self, count: int, seconds: float = 60) -> None:
        """Until so many rows are acknowledged in all."""
        with self._progress:
            arrived = self._progress.wait_for(lambda: self.count >= count, seconds)
        assert arrived, (
            f"the ledger has {self.count} rows acknowledged and not {count} within {seconds} s; "
            f"last errors: {self.errors[-3:]}"
        )

    def wait_for_more(self, count: int, seconds: float = 60) -> None:
        """Until so many more rows are acknowledged, by every writer at least one."""
        before = [len(b.acknowledged) for b in self._books]
        wanted = self.count + count

        def went_on() -> bool:
            each = zip(self._books, before, strict=True)
            return self.count >= wanted and all(len(b.acknowledged) > n for b, n in each)

        with self._progress:
            arrived = self._progress.wait_for(went_on, seconds)
        assert arrived, (
            f"the ledger did not go on by {count} rows within {seconds} s; "
            f"last errors: {self.errors[-3:]}"
        )

    def present(self, connections: Iterable[Connection] = ()) -> set[Row]:
        """Rows read back through the gate, or from each shard when connections are given."""
        given = list(connections)
        opened = [] if given else [self._connect()]
        try:
            rows: list[Row] = []
            for connection in given or opened:
                rows += _read(connection)
        finally:
            for connection in opened:
                connection.close()
        assert len(rows) == len(set(rows)), "a row is on more than one shard"
        first, last = self._base, self._base + len(self._books) * USERS_PER_WRITER
        return {row for row in rows if first <= row[0] < last}

    def verify(self, connections: Iterable[Connection] = ()) -> None:
        """Stop, read back, compare. Raises AssertionError with the rows that break the promise."""
        self.stop()
        present = self.present(connections)
        acknowledged, attempted = self.acknowledged, self.attempted
        lost = acknowledged - present
        assert not lost, f"{len(lost)} acknowledged rows are lost, e.g. {sorted(lost)[:5]}"
        strange = present - attempted
        assert not strange, f"{len(strange)} rows nobody wrote, e.g. {sorted(strange)[:5]}"
        assert acknowledged, "the ledger wrote nothing: it proves nothing"

    def _write(self, number: int, book: Book) -> None:
        connection: Connection | None = None
        last = time.monotonic()
        for attempt in itertools.count():
            if self._stop.is_set():
                break
            rows = self._rows(number, attempt)
            try:
                connection = connection or self._connect()
                book.attempted.update(rows)
                _insert(connection, rows)
            except (pymysql.MySQLError, OSError) as exc:
                book.errors.append(f"{type(exc).__name__}{exc.args}")
                _give_up(connection)
                connection = None
                self._stop.wait(PAUSE_SECONDS)
                continue
            book.longest_gap_seconds = max(book.longest_gap_seconds, time.monotonic() - last)
            last = time.monotonic()
            book.acknowledged.update(rows)
            with self._progress:
                self._progress.notify_all()
        book.longest_gap_seconds = max(book.longest_gap_seconds, time.monotonic() - last)
        _give_up(connection)

    def _rows(self, writer: int, attempt: int) -> list[Row]:
        """The rows of one transaction: of one user, so that one shard holds them."""
        user = self._base + writer * USERS_PER_WRITER + attempt % USERS_PER_WRITER
        first = attempt * self._rows_per_transaction
        return [(user, n) for n in range(first, first + self._rows_per_transaction)]


def _insert(connection: Connection, rows: list[Row]) -> None:
    with connection.cursor() as cursor:
        if len(rows) > 1:
            cursor.execute("BEGIN")
        for row in rows:
            cursor.execute("INSERT INTO ledger (user_id, n) VALUES (%s, %s)", row)
    connection.commit()


def _read(connection: Connection) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT user_id, n FROM ledger")
        return [(int(user), int(n)) for user, n in cursor.fetchall()]


def _give_up(connection: Connection | None) -> None:
    if connection is not None:
        try:
            connection.close()
        except (pymysql.MySQLError, OSError):
            return
