"""Short answers of several real shards: the same as of one, and whatever happens to a shard."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from gates import KEYSPACE, GateProcess, Shards
from waiting import wait_until

from mitosis_routing.table import TableRule

pytestmark = pytest.mark.mysql

COUNT = 3
ROWS = 60
"""Row n is on shard n % COUNT, so that a test can choose what a shard has to do. That is not where
its key leads: no test names a key."""
SLOW = "SLEEP(IF(id % 3 = 1, 600, 0))"
"""The second shard takes its time. SLEEP() itself is not ended with an error, the next row is."""


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    rules = (TableRule("numbers", "id"), TableRule("times", reference=True))
    options = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
    with Shards(COUNT, rules, options=options) as shards:
        yield shards


@pytest.fixture(scope="module")
def gate(shards: Shards) -> Iterator[GateProcess]:
    with GateProcess(shards.table(), shards.users()) as gate:
        with gate.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE numbers (id INT UNSIGNED PRIMARY KEY, n INT, name TEXT)")
            cursor.execute("CREATE TABLE times (n INT PRIMARY KEY)")
            cursor.execute(f"INSERT INTO times VALUES {', '.join(f'({n})' for n in range(200))}")
        for shard, server in enumerate(shards.servers):
            rows = ", ".join(f"({n}, {n % 5}, 'n{n % 7}')" for n in range(shard, ROWS, COUNT))
            with server.connect(database=KEYSPACE, autocommit=True) as connection:
                with connection.cursor() as cursor:
                    cursor.execute(f"INSERT INTO numbers VALUES {rows}")
        yield gate


@pytest.fixture
def cursor(gate: GateProcess) -> Iterator[Any]:
    with gate.connect() as connection, connection.cursor() as cursor:
        total(cursor)
        yield cursor


def ask(cursor: Any, sql: str) -> list[tuple[Any, ...]]:
    cursor.execute(sql)
    return list(cursor.fetchall())


def total(cursor: Any) -> None:
    """All shards answer; afterwards each has a connection that lies ready."""
    assert ask(cursor, "SELECT COUNT(*) FROM numbers") == [(ROWS,)]


def running(shards: Shards, text: str) -> list[tuple[int, int]]:
    """Shard and thread of the statements that have this text."""
    return [
        (shard, row[0])
        for shard, server in enumerate(shards.servers)
        for row in server.query("SHOW FULL PROCESSLIST")
        if row[7] and text in row[7] and "PROCESSLIST" not in row[7]
    ]


def until_running(shards: Shards, text: str, count: int) -> list[tuple[int, int]]:
    def look() -> list[tuple[int, int]] | None:
        found = running(shards, text)
        return (found or [(-1, -1)]) if len(found) == count else None

    return wait_until(f"{count} run {text}", look, seconds=60, every=0.02)


class Asking(threading.Thread):
    """Runs a statement beside the test; the answer or the code of its error is `result`."""

    def __init__(self, connection: Any, sql: str) -> None:
        super().__init__()
        self._connection = connection
        self._sql = sql
        self.result: Any = None
        self.start()

    def run(self) -> None:
        try:
            with self._connection.cursor() as cursor:
                self.result = ask(cursor, self._sql)
        except pymysql.MySQLError as exc:
            self.result = exc.args[0]

    def ended(self) -> Any:
        self.join(60)
        assert not self.is_alive()
        return self.result


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT COUNT(*) FROM numbers", [(60,)]),
        ("SELECT COUNT(*) FROM numbers WHERE id < 0", [(0,)]),
        (
            "SELECT COUNT(*), SUM(n), MIN(id), MAX(name), AVG(n) FROM numbers",
            [(60, 120, 0, "n6", 2)],
        ),
        ("SELECT MAX(n) FROM numbers WHERE id > 1000", [(None,)]),
        ("SELECT MAX(n) FROM numbers WHERE name = 'n1' AND id % 3 = 1", [(3,)]),
        ("SELECT id FROM numbers WHERE id < 7 ORDER BY id DESC", [(n,) for n in range(6, -1, -1)]),
        ("SELECT id FROM numbers ORDER BY id LIMIT 3 OFFSET 5", [(5,), (6,), (7,)]),
        ("SELECT id FROM numbers WHERE id > 1000 ORDER BY id", []),
        (
            "SELECT n, COUNT(*) FROM numbers GROUP BY n ORDER BY n",
            [(n, 12) for n in range(5)],
        ),
        ("SELECT DISTINCT n FROM numbers ORDER BY n", [(n,) for n in range(5)]),
        ("SELECT id, name FROM numbers WHERE id < 4", [(0, "n0"), (3, "n3"), (1, "n1"), (2, "n2")]),
    ],
)
def test_the_answer_is_the_same_however_often_it_is_asked(
    gate: GateProcess, sql: str, expected: list[Any]
) -> None:
    with gate.connect() as connection, connection.cursor() as cursor:
        for _ in range(4):
            assert ask(cursor, sql) == expected
        assert ask(cursor, "SELECT FOUND_ROWS()") == [(len(expected),)]


def test_they_are_counted_and_shown(gate: GateProcess, cursor: Any) -> None:
    def merges() -> tuple[float, float]:
        figures = gate.metrics()
        found = [
            re.search(rf'mitosis_gate_{name}{{plan="Merge"}} (\S+)', figures)
            for name in ("statements_total", "statement_seconds_count")
        ]
        return float(found[0][1]), float(found[1][1])  # type: ignore[index]

    before = merges()
    for _ in range(20):
        total(cursor)
    assert merges() == (before[0] + 20, before[1] + 20)
    plans = ask(cursor, "GATE SHOW PLANS")
    assert any("SELECT COUNT(*) FROM numbers" in row for row in plans)


def test_warnings_of_the_shards_are_kept(cursor: Any) -> None:
    for _ in range(2):
        assert ask(cursor, "SELECT SUM(id DIV 0) FROM numbers WHERE name = 'n1' AND id < 9") == [
            (None,)
        ]
        assert [row[1] for row in ask(cursor, "SHOW WARNINGS")] == [1365, 1365]


def test_the_error_of_one_shard_is_the_answer(shards: Shards, cursor: Any) -> None:
    """Only the first shard has a row whose number would be below 0."""
    for sql in ("SELECT SUM(id - 1) FROM numbers", "SELECT id - 1 FROM numbers ORDER BY id"):
        for _ in range(3):
            with pytest.raises(pymysql.MySQLError) as caught:
                ask(cursor, sql)
            assert caught.value.args[0] == 1690
            total(cursor)
    until_running(shards, "id - 1", 0)


def test_a_large_answer_of_one_shard(cursor: Any) -> None:
    sql = (
        "SELECT s.id, REPEAT('x', 1000) FROM numbers s JOIN times t ON t.n < IF(s.id = 4, 200, 1) "
        "WHERE s.id < 9"
    )
    for end in ("", " ORDER BY s.id"):
        for _ in range(2):
            found = [n for n, _ in ask(cursor, sql + end)]
            assert len(found) == 208 and found.count(4) == 200
            assert not end or found == sorted(found)


def test_the_first_shard_does_not_wait_for_a_slow_one(
    gate: GateProcess, shards: Shards, cursor: Any
) -> None:
    slow = gate.connect(cursorclass=pymysql.cursors.SSCursor)
    with slow.cursor() as other:
        other.execute(f"SELECT id, {SLOW} FROM numbers WHERE id < 9")
        assert [other.fetchone()[0] for _ in range(3)] == [0, 3, 6]
        cursor.execute(f"KILL QUERY {slow.thread_id()}")
        with pytest.raises(pymysql.MySQLError) as caught:
            while other.fetchone():
                pass
        assert caught.value.args[0] == 1317
    slow.close()
    until_running(shards, "SLEEP", 0)


@pytest.mark.parametrize("how", ["KILL QUERY", "gate_statement_seconds"])
def test_a_statement_is_ended_while_a_shard_is_waited_for(
    gate: GateProcess, shards: Shards, cursor: Any, how: str
) -> None:
    with gate.connect() as connection, connection.cursor() as own:
        total(own)
        if how != "KILL QUERY":
            own.execute("SET gate_statement_seconds = 1")
        asking = Asking(connection, f"SELECT SUM({SLOW}) FROM numbers")
        if how == "KILL QUERY":
            until_running(shards, "SLEEP", 1)
            cursor.execute(f"KILL QUERY {connection.thread_id()}")
        assert asking.ended() == (1317 if how == "KILL QUERY" else 3024)
        until_running(shards, "SLEEP", 0)
        total(own)


def test_a_connection_that_dies_while_it_is_waited_for(
    gate: GateProcess, shards: Shards, cursor: Any
) -> None:
    with gate.connect() as connection, connection.cursor() as own:
        total(own)
        asking = Asking(connection, f"SELECT SUM({SLOW}) FROM numbers")
        ((shard, thread),) = until_running(shards, "SLEEP", 1)
        shards.servers[shard].query(f"KILL {thread}")
        assert asking.ended() == 1317, "the server says so before it closes the connection"
        total(own)
        total(cursor)


def test_a_client_that_goes_away_leaves_nothing_behind(
    gate: GateProcess, shards: Shards, cursor: Any
) -> None:
    connection = gate.connect()
    with connection.cursor() as own:
        total(own)
    asking = Asking(connection, f"SELECT SUM({SLOW}) FROM numbers")
    until_running(shards, "SLEEP", 1)
    connection._sock.shutdown(2)  # type: ignore[attr-defined]
    asking.ended()
    until_running(shards, "SLEEP", 0)
    total(cursor)


def test_a_transaction_reads_what_it_wrote(cursor: Any) -> None:
    for _ in range(2):
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO numbers VALUES (1000, 1, 'new')")
        assert ask(cursor, "SELECT COUNT(*) FROM numbers") == [(ROWS + 1,)]
        cursor.execute("ROLLBACK")
        total(cursor)
    cursor.execute("SET autocommit = 0")
    total(cursor)
    cursor.execute("SET autocommit = 1")
    total(cursor)
    total(cursor)


def test_many_sessions_at_once(gate: GateProcess) -> None:
    """More than may read from several shards at the same time, and than there are connections."""
    connections = [gate.connect() for _ in range(40)]
    for _ in range(3):
        asking = [Asking(c, "SELECT COUNT(*), MAX(id) FROM numbers") for c in connections]
        assert [a.ended() for a in asking] == [[(ROWS, ROWS - 1)]] * 40
    for connection in connections:
        connection.close()


def test_a_shard_that_dies_while_it_is_waited_for(gate: GateProcess, shards: Shards) -> None:
    """The last test: the shard comes back, and its held statements with it."""
    with gate.connect() as connection, connection.cursor() as own:
        total(own)
        asking = Asking(connection, f"SELECT SUM({SLOW}) FROM numbers")
        ((shard, _),) = until_running(shards, "SLEEP", 1)
        shards.servers[shard].kill()
        assert asking.ended() == 1317
        shards.servers[shard].start()

        def answers() -> bool:
            total(own)
            return True

        wait_until("all shards answer", answers, seconds=60, every=0.1)
        total(own)
