"""Transactions over several real mysqlds, through a gate: what holds, and what one server does."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mysql.connector as connector
import pymysql
import pytest
from gates import KEYSPACE, PASSWORD, READER, SLOTS, USER, GateProcess, Shards
from waiting import wait_until

from mitosis_routing.hashing import slot_of
from mitosis_routing.keyspace import equal_ranges
from mitosis_routing.table import RoutingTable, TableRule, TransactionMode

pytestmark = pytest.mark.mysql

RULES = (TableRule("accounts", "user_id"), TableRule("countries", reference=True))
SCHEMA = (
    "CREATE TABLE accounts (user_id BIGINT NOT NULL PRIMARY KEY, amount INT NOT NULL)",
    "CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(50))",
)
SHARDS = 3
OPTIONS = ("--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0")
Rows = list[tuple[Any, ...]]


def home(user: int) -> int:
    slot = slot_of(str(user).encode(), SLOTS)
    return next(i for i, r in enumerate(equal_ranges(SLOTS, SHARDS)) if r.contains(slot))


A, B, C = ([n for n in range(1, 200) if home(n) == shard][:4] for shard in range(SHARDS))
"""Users of the first, the second and the third shard."""


def with_modes(table: RoutingTable, **modes: TransactionMode) -> RoutingTable:
    users = tuple(
        replace(u, transaction_mode=modes.get(u.name, u.transaction_mode)) for u in table.users
    )
    return replace(table, users=users)


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(SHARDS, RULES, options=OPTIONS) as shards:
        yield shards


@pytest.fixture(scope="module")
def gate(shards: Shards) -> Iterator[GateProcess]:
    with GateProcess(shards.table(), shards.users(), "--lock-wait-seconds=2") as gate:
        with gate.connect() as connection:
            for statement in SCHEMA:
                ask(connection, statement)
        yield gate


@pytest.fixture
def client(gate: GateProcess, shards: Shards) -> Iterator[Any]:
    gate.publish(replace(shards.table(), version=next(VERSIONS)))
    shards.run("DELETE FROM accounts")
    shards.run("DELETE FROM countries")
    for users, server in zip((A, B, C), shards.servers, strict=True):
        rows = ", ".join(f"({user}, 100)" for user in users)
        server.query(f"INSERT INTO {KEYSPACE}.accounts VALUES {rows}")
    with gate.connect() as connection:
        yield connection
    assert prepared(shards) == []


VERSIONS = iter(range(2, 1000))


def ask(connection: Any, statement: str) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def error_of(connection: Any, statement: str) -> tuple[int, str]:
    with pytest.raises(pymysql.MySQLError) as error:
        ask(connection, statement)
    return error.value.args


def prepared(shards: Shards) -> Rows:
    return [row for rows in shards.rows("XA RECOVER") for row in rows]


def amounts(shards: Shards, *users: int) -> list[int]:
    """As each user's own shard has them, past the gate."""
    found = {}
    for rows in shards.rows("SELECT user_id, amount FROM accounts"):
        found.update(dict(rows))
    return [found[user] for user in users]


def add(user: int, amount: int) -> str:
    return f"UPDATE accounts SET amount = amount + {amount} WHERE user_id = {user}"


def statements_of(shards: Shards, shard: int) -> Rows:
    """How often each XA statement of transactions has run; recovery asks XA RECOVER besides."""
    rows = shards.servers[shard].query("SHOW GLOBAL STATUS LIKE 'Com_xa%'")
    return [row for row in rows if row[0] != "Com_xa_recover"]


def count_of(gate: GateProcess, name: str, labels: str) -> float:
    line = f"mitosis_gate_{name}{{{labels}}} "
    found = [x for x in gate.metrics().splitlines() if x.startswith(line)]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


def test_a_transaction_over_three_shards_commits_on_all(client: Any, shards: Shards) -> None:
    ask(client, "BEGIN")
    for user, amount in ((A[0], -30), (B[0], 10), (C[0], 20)):
        ask(client, add(user, amount))
    assert amounts(shards, A[0], B[0], C[0]) == [100, 100, 100], "not before COMMIT"
    assert ask(client, f"SELECT amount FROM accounts WHERE user_id = {B[0]}") == [(110,)]
    ask(client, "COMMIT")
    assert amounts(shards, A[0], B[0], C[0]) == [70, 110, 120]
    assert ask(client, "SELECT COUNT(*) FROM accounts") == [(12,)], "the session goes on"


def test_rollback_takes_back_all(client: Any, shards: Shards) -> None:
    ask(client, "START TRANSACTION")
    ask(client, add(A[0], 1))
    ask(client, add(B[0], 1))
    ask(client, "ROLLBACK")
    assert amounts(shards, A[0], B[0]) == [100, 100]
    ask(client, add(B[0], 1))
    assert amounts(shards, B[0]) == [101], "outside the transaction statements commit again"


def test_one_shard_pays_nothing(client: Any, shards: Shards) -> None:
    before = [statements_of(shards, shard) for shard in range(SHARDS)]
    ask(client, "BEGIN")
    ask(client, add(A[0], 1))
    ask(client, "SAVEPOINT a")
    ask(client, add(A[1], 1))
    ask(client, "ROLLBACK TO a")
    ask(client, "COMMIT")
    assert [statements_of(shards, shard) for shard in range(SHARDS)] == before
    assert amounts(shards, A[0], A[1]) == [101, 100]


def test_branches_that_only_read_are_not_prepared(client: Any, shards: Shards) -> None:
    before = statements_of(shards, 1)
    ask(client, "BEGIN")
    ask(client, add(A[0], 1))
    ask(client, f"SELECT * FROM accounts WHERE user_id = {B[0]}")
    ask(client, "COMMIT")
    after = dict(statements_of(shards, 1))
    assert int(after["Com_xa_start"]) == int(dict(before)["Com_xa_start"]) + 1
    assert after["Com_xa_prepare"] == dict(before)["Com_xa_prepare"]
    assert amounts(shards, A[0]) == [101]


def test_a_write_on_several_shards_is_a_transaction_of_its_own(client: Any, shards: Shards) -> None:
    ask(client, "UPDATE accounts SET amount = amount + 1")
    assert amounts(shards, A[0], B[0], C[0]) == [101, 101, 101]
    shards.servers[2].query(
        f"UPDATE {KEYSPACE}.accounts SET amount = 2147483647 WHERE user_id = {C[0]}"
    )
    number, _ = error_of(client, "UPDATE accounts SET amount = amount + 1")
    assert number == 1264
    assert amounts(shards, A[0], B[0], C[1]) == [101, 101, 101], "nothing on any shard"
    ask(client, "INSERT INTO countries VALUES ('DE', 'Germany')")
    assert shards.rows("SELECT code FROM countries") == [[("DE",)]] * SHARDS


def test_a_failed_statement_inside_leaves_nothing_but_the_transaction_goes_on(
    client: Any, shards: Shards
) -> None:
    shards.servers[2].query(
        f"UPDATE {KEYSPACE}.accounts SET amount = 2147483647 WHERE user_id = {C[0]}"
    )
    ask(client, "BEGIN")
    ask(client, add(A[0], 5))
    number, _ = error_of(client, "UPDATE accounts SET amount = amount + 1")
    assert number == 1264
    ask(client, add(B[0], 7))
    ask(client, "COMMIT")
    assert amounts(shards, A[0], A[1], B[0], B[1]) == [105, 100, 107, 100]


def test_savepoints_hold_on_shards_that_join_later(client: Any, shards: Shards) -> None:
    ask(client, "BEGIN")
    ask(client, add(A[0], 1))
    ask(client, "SAVEPOINT one")
    ask(client, add(B[0], 1))
    ask(client, "SAVEPOINT two")
    ask(client, add(C[0], 1))
    ask(client, add(A[1], 1))
    ask(client, "ROLLBACK TO SAVEPOINT two")
    assert error_of(client, "ROLLBACK TO three")[0] == 1305
    ask(client, add(C[1], 1))
    ask(client, "ROLLBACK TO SAVEPOINT ONE")
    assert error_of(client, "RELEASE SAVEPOINT two")[0] == 1305
    ask(client, add(B[1], 1))
    ask(client, "RELEASE SAVEPOINT one")
    assert error_of(client, "ROLLBACK TO one")[0] == 1305
    ask(client, "COMMIT")
    assert amounts(shards, A[0], A[1], B[0], B[1], C[0], C[1]) == [101, 100, 100, 101, 100, 100]


def test_savepoints_before_the_first_statement(client: Any, shards: Shards) -> None:
    ask(client, "BEGIN")
    ask(client, "SAVEPOINT a")
    ask(client, "SAVEPOINT b")
    ask(client, "RELEASE SAVEPOINT a")
    assert error_of(client, "ROLLBACK TO b")[0] == 1305
    ask(client, "SAVEPOINT c")
    ask(client, add(A[0], 1))
    ask(client, "ROLLBACK TO c")
    ask(client, add(A[1], 1))
    ask(client, "COMMIT")
    assert amounts(shards, A[0], A[1]) == [100, 101]


def test_read_only_and_isolation_hold_on_every_shard(client: Any, shards: Shards) -> None:
    ask(client, "START TRANSACTION READ ONLY")
    ask(client, f"SELECT * FROM accounts WHERE user_id = {A[0]}")
    assert error_of(client, add(B[0], 1))[0] == 1792
    ask(client, "COMMIT")
    ask(client, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    ask(client, "SET TRANSACTION READ WRITE")
    ask(client, "BEGIN")
    read = f"SELECT amount FROM accounts WHERE user_id = {B[0]}"
    ask(client, f"SELECT * FROM accounts WHERE user_id = {A[0]}")
    assert ask(client, read) == [(100,)]
    shards.servers[1].query(f"UPDATE {KEYSPACE}.accounts SET amount = 7 WHERE user_id = {B[0]}")
    assert ask(client, read) == [(7,)]
    ask(client, "COMMIT AND CHAIN")
    ask(client, f"SELECT * FROM accounts WHERE user_id = {A[0]}")
    assert ask(client, read) == [(7,)]
    shards.servers[1].query(f"UPDATE {KEYSPACE}.accounts SET amount = 8 WHERE user_id = {B[0]}")
    assert ask(client, read) == [(8,)], "the next one has the same level"
    ask(client, "ROLLBACK")
    ask(client, "BEGIN")
    ask(client, f"SELECT * FROM accounts WHERE user_id = {A[0]}")
    assert ask(client, read) == [(8,)]
    shards.servers[1].query(f"UPDATE {KEYSPACE}.accounts SET amount = 9 WHERE user_id = {B[0]}")
    assert ask(client, read) == [(8,)], "and the one after that its own"
    ask(client, "COMMIT")


def test_autocommit_off_spans_shards(client: Any, shards: Shards) -> None:
    ask(client, "SET autocommit = 0")
    ask(client, add(A[0], 1))
    ask(client, add(B[0], 1))
    assert ask(client, "SELECT SUM(amount) FROM accounts") == [(1202,)]
    assert amounts(shards, A[0], B[0]) == [100, 100]
    ask(client, "COMMIT")
    assert amounts(shards, A[0], B[0]) == [101, 101]
    ask(client, "UPDATE accounts SET amount = 0")
    ask(client, "ROLLBACK")
    ask(client, add(A[0], 1))
    ask(client, add(C[0], 1))
    ask(client, "SET autocommit = 1")
    assert amounts(shards, A[0], B[0], C[0]) == [102, 101, 101], "turning it on commits"


def test_a_snapshot_of_all_shards_is_taken_at_once(client: Any, shards: Shards) -> None:
    ask(client, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
    for server in shards.servers:
        server.query(f"UPDATE {KEYSPACE}.accounts SET amount = 0")
    assert ask(client, "SELECT SUM(amount) FROM accounts") == [(1200,)]
    ask(client, "COMMIT")
    assert ask(client, "SELECT SUM(amount) FROM accounts") == [(0,)]
    ask(client, "START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */")
    ask(client, add(A[0], 1))
    ask(client, "COMMIT")
    assert amounts(shards, A[0]) == [1]
    ask(client, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
    ask(client, add(A[0], 1))
    ask(client, add(B[0], 1))
    assert error_of(client, "COMMIT")[0] == 1235
    assert amounts(shards, A[0], B[0]) == [1, 0], "rolled back"


def test_a_deadlock_on_one_shard_rolls_back_all(
    client: Any, gate: GateProcess, shards: Shards
) -> None:
    with gate.connect() as other:
        ask(client, "BEGIN")
        ask(client, add(A[0], 1))
        ask(client, add(B[0], 1))
        ask(other, "BEGIN")
        for user in B[1:4]:
            ask(other, add(user, 10))
        waits = threading.Thread(target=ask, args=(other, add(B[0], 10)))
        waits.start()
        wait_until("it waits", lambda: lock_waits(shards, 1), seconds=60, every=0.05)
        assert error_of(client, add(B[1], 1))[0] == 1213
        waits.join(60)
        ask(client, add(A[1], 1))
        assert amounts(shards, A[0], A[1], B[1]) == [100, 101, 100], "and the session is outside"
        ask(other, "COMMIT")
    assert amounts(shards, B[0], B[1]) == [110, 110]


def lock_waits(shards: Shards, shard: int) -> Rows:
    return shards.servers[shard].query(
        "SELECT trx_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    )


def test_a_deadlock_over_two_shards_ends_by_waiting(
    client: Any, gate: GateProcess, shards: Shards
) -> None:
    problems: list[int] = []

    def wait_for_b() -> None:
        try:
            ask(client, add(B[0], 1))
        except pymysql.MySQLError as exc:
            problems.append(exc.args[0])

    with gate.connect() as other:
        ask(client, "BEGIN")
        ask(client, add(A[0], 1))
        ask(other, "BEGIN")
        ask(other, add(B[0], 10))
        waits = threading.Thread(target=wait_for_b)
        waits.start()
        wait_until("it waits", lambda: lock_waits(shards, 1), seconds=60, every=0.05)
        assert error_of(other, add(A[0], 10))[0] == 1205
        ask(other, "ROLLBACK")
        waits.join(60)
    ask(client, "COMMIT" if not problems else "ROLLBACK")
    done = 0 if problems else 1
    assert problems in ([], [1205])
    assert amounts(shards, A[0], B[0]) == [100 + done, 100 + done]


def test_a_lost_connection_loses_the_transaction_everywhere(client: Any, shards: Shards) -> None:
    for lost in (0, 1):
        ask(client, "BEGIN")
        ask(client, add(A[0], 1))
        ask(client, add(B[0], 1))
        kill_all(shards, lost)
        assert error_of(client, add(A[0], 1))[0] in (1213, 1317)
        assert error_of(client, add(B[0], 1))[0] == 1213
        assert error_of(client, "COMMIT")[0] == 1213
        ask(client, add(A[0], 1))
    assert amounts(shards, A[0], B[0]) == [102, 100]


def kill_all(shards: Shards, shard: int) -> None:
    server = shards.servers[shard]
    for thread, user in server.query("SELECT id, user FROM information_schema.processlist"):
        if user == USER:
            server.query(f"KILL {thread}")


def test_a_client_that_goes_away_is_rolled_back_everywhere(
    gate: GateProcess, client: Any, shards: Shards
) -> None:
    gone = gate.connect()
    ask(gone, "BEGIN")
    ask(gone, add(A[0], 1))
    ask(gone, add(B[0], 1))
    gone._force_close()
    ask(client, add(A[0], 1))
    ask(client, add(B[0], 1))
    assert amounts(shards, A[0], B[0]) == [101, 101]


def test_a_reset_and_a_kill_roll_back_everywhere(
    gate: GateProcess, client: Any, shards: Shards
) -> None:
    with gate.connect() as other:
        ask(other, "BEGIN")
        ask(other, add(A[0], 1))
        ask(other, add(B[0], 1))
        other._execute_command(0x1F, b"")  # COM_RESET_CONNECTION
        other._read_ok_packet()
        ask(client, add(A[0], 1))
        ask(client, add(B[0], 1))
        assert amounts(shards, A[0], B[0]) == [101, 101]
        ask(other, "BEGIN")
        ask(other, add(A[0], 1))
        ask(other, add(B[0], 1))
        ask(client, f"KILL {other.thread_id()}")
        ask(client, add(A[0], 1))
        ask(client, add(B[0], 1))
        assert amounts(shards, A[0], B[0]) == [102, 102]
        other._force_close()


def test_prepared_statements_join_the_transaction(
    gate: GateProcess, client: Any, shards: Shards
) -> None:
    with connector.connect(
        host="127.0.0.1",
        port=gate.port,
        user=USER,
        password=PASSWORD,
        database=KEYSPACE,
        autocommit=True,
        ssl_disabled=True,
    ) as other:
        cursor = other.cursor(prepared=True)
        other.start_transaction()
        for user in (A[0], B[0], C[0], A[1]):
            cursor.execute("UPDATE accounts SET amount = amount + ? WHERE user_id = ?", (5, user))
        cursor.execute("SELECT amount FROM accounts WHERE user_id = ?", (B[0],))
        assert cursor.fetchall() == [(105,)]
        assert amounts(shards, A[0], B[0], C[0]) == [100, 100, 100]
        other.commit()
    assert amounts(shards, A[0], B[0], C[0], A[1]) == [105, 105, 105, 105]


def test_warnings_and_numbers_of_a_joined_shard(client: Any) -> None:
    ask(client, "BEGIN")
    ask(client, add(A[0], 1))
    ask(client, f"INSERT IGNORE INTO accounts VALUES ({B[0]}, 1)")
    assert "Duplicate entry" in ask(client, "SHOW WARNINGS")[0][2]
    ask(client, f"INSERT INTO accounts VALUES ({B[0]}, 1) ON DUPLICATE KEY UPDATE amount = 7")
    assert ask(client, f"SELECT amount FROM accounts WHERE user_id = {B[0]}") == [(7,)]
    ask(client, "ROLLBACK")


def test_ddl_commits_all_shards_first(client: Any, shards: Shards) -> None:
    ask(client, "BEGIN")
    ask(client, add(A[0], 1))
    ask(client, add(B[0], 1))
    ask(client, "CREATE TABLE IF NOT EXISTS countries (code CHAR(2) PRIMARY KEY)")
    assert amounts(shards, A[0], B[0]) == [101, 101]


def test_single_refuses_the_second_shard(client: Any, gate: GateProcess, shards: Shards) -> None:
    table = with_modes(shards.table(next(VERSIONS)), **{USER: TransactionMode.SINGLE})
    gate.publish(table)
    wait_until("the table is obeyed", lambda: mode_of(gate) == "single", seconds=60)
    with gate.connect() as single:
        ask(single, "BEGIN")
        ask(single, add(A[0], 1))
        number, text = error_of(single, add(B[0], 1))
        assert number == 1235 and "transaction_mode" in text
        ask(single, "COMMIT")
        assert amounts(shards, A[0]) == [101], "the first shard is not harmed"
        assert error_of(single, "UPDATE accounts SET amount = 0")[0] == 1235
        assert amounts(shards, A[0], B[0]) == [101, 100]
        ask(single, "SET transaction_mode = 'atomic'")
        ask(single, "UPDATE accounts SET amount = 0")
        assert amounts(shards, A[0], B[0]) == [0, 0]


def mode_of(gate: GateProcess) -> str:
    with gate.connect() as connection:
        return str(ask(connection, "SELECT @@transaction_mode")[0][0])


def test_the_mode_of_a_session(client: Any, shards: Shards) -> None:
    assert ask(client, "SELECT @@transaction_mode") == [("atomic",)]
    ask(client, "SET SESSION transaction_mode = multi")
    assert ask(client, "SELECT @@SESSION.transaction_mode") == [("multi",)]
    assert ask(client, "SHOW VARIABLES LIKE 'transaction_mode'") == [("transaction_mode", "multi")]
    assert error_of(client, "SET transaction_mode = 'both'")[0] == 1231
    assert error_of(client, "SET GLOBAL transaction_mode = 'single'")[0] == 1227
    ask(client, "BEGIN")
    assert error_of(client, "SET transaction_mode = 'atomic'")[0] == 1568
    ask(client, "COMMIT")
    ask(client, "SET transaction_mode = DEFAULT")
    assert ask(client, "SELECT @@transaction_mode") == [("atomic",)]


def test_multi_commits_one_shard_after_the_other(
    client: Any, gate: GateProcess, shards: Shards
) -> None:
    before = statements_of(shards, 1)
    ask(client, "SET transaction_mode = 'multi'")
    ask(client, "BEGIN")
    ask(client, add(B[0], 1))
    ask(client, add(A[0], 1))
    ask(client, add(C[0], 1))
    ask(client, "COMMIT")
    assert amounts(shards, A[0], B[0], C[0]) == [101, 101, 101]
    assert statements_of(shards, 1) == before, "no XA"


def test_xa_statements_of_clients_are_refused(client: Any) -> None:
    number, text = error_of(client, "XA START 'mine'")
    assert number == 1235 and "BEGIN" in text


def test_a_reader_can_read_over_shards(gate: GateProcess, client: Any, shards: Shards) -> None:
    with gate.connect(user=READER, password="reader-secret") as reader:
        ask(reader, "BEGIN")
        for user in (A[0], B[0]):
            ask(reader, f"SELECT * FROM accounts WHERE user_id = {user}")
        assert error_of(reader, add(B[0], 1))[0] == 1142
        ask(reader, "COMMIT")
