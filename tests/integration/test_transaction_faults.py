"""Everybody dies at every point of a commit over three real mysqlds: it is all there, or nothing.

A ledger judges: each transaction writes one number on every shard. At the end no shard may have
anything prepared, and each number is on all shards or on none; on all, if the client was told OK.
"""

import contextlib
import itertools
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest
from cut import Cut
from gates import KEYSPACE, SLOTS, GateProcess, Shards
from waiting import wait_until

from mitosis_routing.hashing import slot_of
from mitosis_routing.keyspace import equal_ranges
from mitosis_routing.table import RoutingTable, TableRule

pytestmark = pytest.mark.mysql

SHARDS = 3
OPTIONS = ("--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0")
USERS = [
    next(n for n in range(1, 1000) if r.contains(slot_of(str(n).encode(), SLOTS)))
    for r in equal_ranges(SLOTS, SHARDS)
]
"""One user on each shard; the first shard of a transaction is that of the first statement."""
UNDONE = ("begun", "ended", "one-prepared", "prepared", "decided", "committing")
DONE = ("committed", "one-finished", "finished")
NUMBERS = itertools.count(1)
SECONDS = 60


class World:
    """Shards, a folder of faults, and a gate that only recovers."""

    def __init__(self, shards: Shards, folder: Path) -> None:
        self.shards = shards
        self.folder = folder

    def gate(self, table: RoutingTable | None = None) -> GateProcess:
        options = (
            "--frozen-seconds=4",
            "--lock-wait-seconds=2",
            "--settle-seconds=1",
            "--hold-seconds=30",
            "--hold-pause-seconds=0",
        )
        return GateProcess(table or self.shards.table(), self.shards.users(), *options)

    def strike(self, point: str, what: str) -> None:
        (self.folder / point).write_text(what)

    def reached(self, point: str) -> None:
        marker = self.folder / f"{point}.reached"
        wait_until(f"the gate gets to {point}", marker.exists, seconds=SECONDS, every=0.02)
        marker.unlink()

    def go_on(self, point: str) -> None:
        (self.folder / point).unlink()

    def places(self, number: int) -> list[int]:
        """The shards that have the number."""
        rows = self.shards.rows(f"SELECT COUNT(*) FROM ledger WHERE n = {number}")
        return [shard for shard, ((count,),) in enumerate(rows) if count]

    def prepared(self) -> list[Any]:
        return [row for rows in self.shards.rows("XA RECOVER") for row in rows]

    def settled(self, number: int) -> bool:
        """Wait for the end of the transaction; whether it is committed."""
        wait_until("nothing is prepared", lambda: not self.prepared(), seconds=SECONDS)
        wait_until("nothing is locked", lambda: self.is_free(number), seconds=SECONDS)
        places = self.places(number)
        assert places in ([], [0, 1, 2]), f"transaction {number} is on the shards {places} only"
        return bool(places)

    def is_free(self, number: int) -> bool:
        for user, server in zip(USERS, self.shards.servers, strict=True):
            read = f"SELECT * FROM {KEYSPACE}.ledger WHERE user_id = {user} AND n = {number}"
            server.query(f"{read} FOR UPDATE NOWAIT")
        return True


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("faults")
    rules = (TableRule("ledger", "user_id"), TableRule("purse", "user_id"))
    with Shards(SHARDS, rules, options=OPTIONS) as shards:
        shards.run(
            "CREATE TABLE ledger (user_id BIGINT NOT NULL, n BIGINT NOT NULL, "
            "PRIMARY KEY (user_id, n))"
        )
        yield World(shards, folder)


@pytest.fixture
def faults(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Gates that start from here on can be struck."""
    monkeypatch.setenv("MITOSIS_GATE_FAULTS", str(world.folder))
    yield
    for left in world.folder.iterdir():
        left.unlink()


def written(connection: Any, number: int) -> None:
    """Open a transaction that has written its number everywhere."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        for user in USERS:
            cursor.execute(f"INSERT INTO ledger VALUES ({user}, {number})")


def commit(connection: Any) -> int:
    """The error of COMMIT; 0: OK."""
    try:
        connection.commit()
    except pymysql.MySQLError as exc:
        return int(exc.args[0])
    return 0


class Committing(threading.Thread):
    """COMMIT in the background, because the gate stops in the middle of it."""

    def __init__(self, connection: Any) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._error = -1
        self.start()

    def run(self) -> None:
        self._error = commit(self._connection)

    def error(self) -> int:
        self.join(SECONDS)
        assert self._error >= 0, "COMMIT was not answered"
        return self._error


def test_the_gate_dies_at_every_point(world: World, faults: None) -> None:
    outcomes = {}
    for point in (*UNDONE, *DONE):
        number = next(NUMBERS)
        with world.gate() as gate, gate.connect() as connection:
            written(connection, number)
            world.strike(point, "kill")
            assert commit(connection) == 2013
        world.go_on(point)
        outcomes[point] = number
    with world.gate():
        assert {point for point, n in outcomes.items() if world.settled(n)} == set(DONE)


def test_a_mysqld_dies_at_every_point(world: World, faults: None) -> None:
    with world.gate() as gate:
        for point, victim, errors in (
            ("ended", 1, {1213}),
            ("prepared", 0, {1213}),
            ("prepared", 2, {0}),
            ("decided", 0, {1213}),
            ("committed", 0, {0}),
            ("committed", 1, {0}),
        ):
            number = next(NUMBERS)
            with gate.connect() as connection:
                written(connection, number)
                world.strike(point, "pause")
                committing = Committing(connection)
                world.reached(point)
                server = world.shards.servers[victim]
                server.kill()
                server.start()
                world.go_on(point)
                error = committing.error()
            assert error in errors, f"{point}, shard {victim}: error {error}"
            assert world.settled(number) is (error == 0), f"{point}, shard {victim}"


def test_the_answer_to_the_decision_is_lost(world: World) -> None:
    table = world.shards.table()
    first = table.shards[0]
    with Cut(world.shards.servers[0].port) as cut:
        through = replace(first.instances[0], port=cut.port)
        with world.gate(table.with_shard(replace(first, instances=(through,)))) as gate:
            with gate.connect() as connection:
                number = next(NUMBERS)
                written(connection, number)
                cut.arm()
                assert commit(connection) == 0, "the gate asks for the decision"
                assert cut.struck.is_set()
                assert world.settled(number)


def test_connections_are_cut_in_the_middle(world: World, faults: None) -> None:
    with world.gate() as gate:
        for point, shard, committed in (
            ("begun", 1, False),
            ("prepared", 0, False),
            ("prepared", 1, True),
            ("committing", 0, False),
            ("committed", 2, True),
        ):
            number = next(NUMBERS)
            with gate.connect() as connection:
                written(connection, number)
                world.strike(point, "pause")
                committing = Committing(connection)
                world.reached(point)
                cut_all(world, shard)
                world.go_on(point)
                error = committing.error()
            assert error == (0 if committed else 1213), f"{point}, shard {shard}"
            assert world.settled(number) is committed


def cut_all(world: World, shard: int) -> None:
    server = world.shards.servers[shard]
    for thread, user in server.query("SELECT id, user FROM information_schema.processlist"):
        if user == "app":
            with contextlib.suppress(pymysql.MySQLError):
                server.query(f"KILL {thread}")


def test_a_gate_that_is_slow_is_defeated_by_another(world: World, faults: None) -> None:
    with world.gate() as slow, world.gate(), world.gate():
        number = next(NUMBERS)
        with slow.connect() as connection:
            written(connection, number)
            world.strike("prepared", "pause")
            committing = Committing(connection)
            world.reached("prepared")
            wait_until("others settle it", lambda: not world.prepared(), seconds=SECONDS)
            world.go_on("prepared")
            assert committing.error() == 1213
            assert not world.settled(number)


def test_a_gate_that_is_frozen_after_its_decision_holds_nothing_up_for_long(
    world: World, faults: None
) -> None:
    with world.gate() as frozen, world.gate():
        number = next(NUMBERS)
        with frozen.connect() as connection:
            written(connection, number)
            world.strike("decided", "pause")
            committing = Committing(connection)
            world.reached("decided")
            assert not world.settled(number), "the server closes the first branch"
            world.go_on("decided")
            assert committing.error() == 1213
            assert not world.settled(number)


def test_a_client_that_goes_away_in_the_middle_changes_nothing(world: World, faults: None) -> None:
    with world.gate() as gate:
        number = next(NUMBERS)
        connection = gate.connect()
        written(connection, number)
        world.strike("prepared", "pause")
        committing = Committing(connection)
        world.reached("prepared")
        connection._sock.shutdown(2)
        assert committing.error() == 2013
        world.go_on("prepared")
        wait_until("it is committed", lambda: world.places(number), seconds=SECONDS)
        assert world.settled(number)


def test_kill_query_does_not_stop_a_commit(world: World, faults: None) -> None:
    with world.gate() as gate:
        number = next(NUMBERS)
        with gate.connect() as connection, gate.connect(read_timeout=SECONDS) as killer:
            written(connection, number)
            world.strike("prepared", "pause")
            committing = Committing(connection)
            world.reached("prepared")
            statement = f"KILL QUERY {connection.thread_id()}"
            killing = threading.Thread(target=killer.query, args=(statement,), daemon=True)
            killing.start()  # it waits for the end of what it kills
            world.go_on("prepared")
            assert committing.error() == 0
            assert world.settled(number)
            killing.join(SECONDS)
            assert not killing.is_alive()


def test_money_is_neither_made_nor_lost_in_a_storm(world: World) -> None:
    """Transfers between random users of random shards, while gates and mysqlds are killed."""
    world.shards.run(
        "CREATE TABLE purse (user_id BIGINT NOT NULL PRIMARY KEY, amount INT NOT NULL)"
    )
    users = range(1, 41)
    with contextlib.ExitStack() as stack:
        gates = [stack.enter_context(world.gate()) for _ in range(2)]
        with gates[0].connect() as connection, connection.cursor() as cursor:
            rows = ", ".join(f"({user}, 1000)" for user in users)
            cursor.execute(f"INSERT INTO purse VALUES {rows}")
        ended = threading.Event()
        payers = [Payer(gates[n % 2], users, random.Random(n), ended) for n in range(4)]
        for payer in payers:
            payer.start()
        for victim in (gates[0], world.shards.servers[1], gates[1], world.shards.servers[0]):
            paid = sum(payer.paid for payer in payers)
            wait_until(
                "payments go on",
                lambda paid=paid: sum(payer.paid for payer in payers) >= paid + 20,
                seconds=SECONDS,
                every=0.05,
            )
            if isinstance(victim, GateProcess):
                assert victim.process is not None
                victim.process.kill()
                victim.process.wait()
                victim.__enter__()
            else:
                victim.kill()
                victim.start()
        ended.set()
        for payer in payers:
            payer.join(SECONDS)
            assert not payer.is_alive()
        wait_until("nothing is prepared", lambda: not world.prepared(), seconds=SECONDS)
    amounts = [row for rows in world.shards.rows("SELECT amount FROM purse") for row in rows]
    assert len(amounts) == len(users)
    assert sum(amount for (amount,) in amounts) == 1000 * len(users)


class Payer(threading.Thread):
    """Moves money until it is told to end; whatever fails is left as it is."""

    def __init__(
        self, gate: GateProcess, users: range, choose: random.Random, ended: threading.Event
    ) -> None:
        super().__init__(daemon=True)
        self._gate = gate
        self._users = users
        self._choose = choose
        self._ended = ended
        self.paid = 0

    def run(self) -> None:
        connection: Any = None
        while not self._ended.is_set():
            try:
                connection = connection or self._gate.connect(read_timeout=SECONDS)
                self._pay(connection)
            except (pymysql.MySQLError, OSError, RuntimeError):
                with contextlib.suppress(Exception):
                    connection.close()
                connection = None
                self._ended.wait(0.05)

    def _pay(self, connection: Any) -> None:
        giver, taker = self._choose.sample(self._users, 2)
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"UPDATE purse SET amount = amount - 1 WHERE user_id = {giver}")
            cursor.execute(f"UPDATE purse SET amount = amount + 1 WHERE user_id = {taker}")
        connection.commit()
        self.paid += 1


def test_multi_says_where_it_is_committed(world: World, faults: None, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    options = (f"--transaction-journal={journal}",)
    with GateProcess(world.shards.table(), world.shards.users(), *options) as gate:
        number = next(NUMBERS)
        with gate.connect() as connection:
            with connection.cursor() as cursor:
                cursor.execute("SET transaction_mode = 'multi'")
            written(connection, number)
            world.strike("one-committed", "pause")
            committing = Committing(connection)
            world.reached("one-committed")
            cut_all(world, 1)
            world.go_on("one-committed")
            assert committing.error() == 1430
        assert world.places(number) == [0]
        (line,) = journal.read_text().splitlines()
        for word in ('"committed": ["shop-0-', '"unknown": ["shop-', '"rolledBack": ["shop-'):
            assert word in line


def test_decisions_are_deleted_when_nobody_needs_them(world: World) -> None:
    count = "SELECT COUNT(*) FROM mitosis.decisions"
    options = ("--settle-seconds=0.5", "--decision-retention-seconds=1")
    with GateProcess(world.shards.table(), world.shards.users(), *options) as gate:
        with gate.connect() as connection:
            written(connection, next(NUMBERS))
            assert commit(connection) == 0
        wait_until(
            "no decision is left",
            lambda: all(rows == [(0,)] for rows in world.shards.rows(count)),
            seconds=SECONDS,
        )
