"""Reads of several shards with short answers: which way they go, and how each of them ends."""

import asyncio
from typing import Any

import pytest
from patience import until
from scattering import NAME, NUMBER, Scattering

from mitosis_gate.backends.variables import Variables
from mitosis_gate.errors import StatementTimeout
from mitosis_gate.executor.gathering import Gathering
from mitosis_gate.session.limited import LimitedSession
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import frame

COUNT = b"SELECT COUNT(*) FROM users"
ALL = b"SELECT user_id, name FROM users"
SORTED = b"SELECT user_id, name FROM users ORDER BY user_id"
PAIR = (NUMBER, NAME)
KEYED = (NUMBER, NUMBER, NAME)
"""What the shards are asked for when rows have an order: the key comes first once more."""


@pytest.fixture(params=[False, True], ids=["ok packets", "eof packets"])
def world(request: pytest.FixtureRequest) -> Scattering:
    return Scattering(keeps_eof=request.param)


def gathers(world: Scattering) -> bool:
    return isinstance(world.session._task, Gathering)


def answer(world: Scattering, sql: bytes, *numbers: int) -> bytes:
    """Of a shard, to ALL or SORTED."""
    if sql is ALL:
        return world.result([[n, "x"] for n in numbers], columns=PAIR)
    return world.result([[n, n, "x"] for n in numbers], columns=KEYED)


def error(world: Scattering) -> int:
    (payload,) = world.told()
    assert payload[0] == c.ERR
    return packets.error(payload).number


async def over(world: Scattering) -> None:
    await until(lambda: world.is_quiet)


async def test_all_shards_are_asked_at_once_and_the_last_answer_ends_it(world: Scattering) -> None:
    tasks = len(asyncio.all_tasks())
    world.ask(COUNT)
    assert [world.asked(n)[4:] for n in range(4)] == [b"\x03" + COUNT] * 4
    for shard, number in ((2, 5), (0, 7), (3, 11)):
        world.answer(shard, [number])
        assert gathers(world) and not world.client.data
    world.answer(1, [13])
    assert world.rows() == [[b"36"]]
    assert world.is_quiet and world.idle == [0, 1, 2, 3]
    assert len(asyncio.all_tasks()) == tasks and not world.executed
    (shape,) = world.book.describe()
    assert (shape["count"], shape["rows"]) == (1, 1)


async def test_rows_come_shard_after_shard_or_in_their_order(world: Scattering) -> None:
    for sql, expected in ((ALL, "3 9 1 2 8"), (SORTED, "1 2 3 8 9")):
        world.ask(sql)
        assert gathers(world)
        world.send(3, answer(world, sql, 8))
        world.send(1, answer(world, sql, 1, 2))
        world.send(2, answer(world, sql))
        world.send(0, answer(world, sql, 3, 9))
        assert b" ".join(row[0] or b"" for row in world.rows()) == expected.encode()
        assert world.is_quiet


async def test_limit_and_offset_count_the_rows_of_all() -> None:
    world = Scattering()
    for _ in range(3):
        world.ask(SORTED + b" LIMIT 2 OFFSET 1")
        assert world.asked(2).endswith(b" LIMIT 3")
        for shard in range(4):
            world.send(shard, answer(world, SORTED, shard, shard + 10))
        assert [row[0] for row in world.rows()] == [b"1", b"2"]


async def test_groups_are_folded() -> None:
    world = Scattering()
    world.ask(b"SELECT name, COUNT(*) FROM users GROUP BY name")
    assert gathers(world)
    weight = packets.Column("w", c.TYPE_VAR_STRING, 63, 64, 0)
    for shard in range(4):
        world.answer(shard, ["A", "a", shard + 1], ["B", "b", 1], columns=(weight, NAME, NUMBER))
    assert world.rows() == [[b"a", b"10"], [b"b", b"4"]]


async def test_commands_that_wait_are_carried_out_afterwards(world: Scattering) -> None:
    world.ask(COUNT)
    world.session.data_received(frame(b"\x03" + ALL, 0) + frame(b"\x0e", 0))
    for shard in range(4):
        world.answer(shard, [1])
    assert world.rows() == [[b"4"]]
    assert gathers(world)
    for shard in range(4):
        world.answer(shard, [shard, "x"], columns=PAIR)
    assert world.client.data.endswith(frame(packets.Ok(status=2).pack(), 1))
    assert world.is_quiet


async def test_columns_that_mean_the_same_agree(world: Scattering) -> None:
    world.ask(COUNT)
    longer = packets.Column("n", c.TYPE_LONGLONG, 63, 22, 0x80)
    for shard in range(4):
        world.answer(shard, [1], columns=(longer if shard == 2 else NUMBER,))
    await over(world)
    assert world.rows() == [[b"4"]]


async def test_columns_that_do_not_agree_are_an_error(world: Scattering) -> None:
    world.ask(ALL)
    for shard in range(4):
        world.answer(shard, [1, "x"], columns=(NUMBER, NUMBER if shard == 2 else NAME))
    await over(world)
    assert b"is not the same on" in world.client.data
    assert world.idle == [0, 1, 2, 3]


# what is unusual


@pytest.mark.parametrize("failing", range(4))
async def test_the_error_of_one_shard_is_the_answer_and_the_others_are_read_to_their_end(
    world: Scattering, failing: int
) -> None:
    world.ask(COUNT)
    world.fail(failing)
    for shard in {0, 1, 2, 3} - {failing}:
        await asyncio.sleep(0)
        world.answer(shard, [1])
    await over(world)
    assert error(world) == 1062
    assert world.idle == [0, 1, 2, 3]
    assert world.merger.turns.try_take()


async def test_a_shard_that_dies_in_the_middle_is_an_error(world: Scattering) -> None:
    world.ask(SORTED)
    world.send(0, answer(world, SORTED, 1))
    world.send(1, answer(world, SORTED, 2)[:-9])
    world.lose(1)
    await asyncio.sleep(0)
    for shard in (2, 3):
        world.send(shard, answer(world, SORTED, shard))
    await over(world)
    assert b"broke while the statement ran" in world.client.data
    assert world.idle == [0, 2, 3]


async def test_a_shard_that_is_lost_before_it_answers_is_an_error(world: Scattering) -> None:
    world.ask(COUNT)
    world.lose(2)
    await asyncio.sleep(0)
    for shard in (0, 1, 3):
        world.answer(shard, [shard])
    await over(world)
    assert b"broke while the statement ran" in world.client.data
    assert world.idle == [0, 1, 3]


@pytest.mark.parametrize("cut", [1, 3, 30, 80, -4])
@pytest.mark.parametrize("sql", [ALL, SORTED])
async def test_an_answer_in_pieces_is_read_as_it_comes(
    world: Scattering, sql: bytes, cut: int
) -> None:
    """Wherever it is cut, and whatever is there of the others: a whole answer, a part, nothing."""
    world.ask(sql)
    results = [answer(world, sql, n, n + 10) for n in range(4)]
    world.send(1, results[1])
    world.send(3, results[3][:2])
    world.send(2, results[2][:cut])
    await asyncio.sleep(0)
    world.send(0, results[0])
    world.send(2, results[2][cut:])
    world.send(3, results[3][2:])
    await over(world)
    found = [int(row[0] or 0) for row in world.rows()]
    assert sorted(found) == [0, 1, 2, 3, 10, 11, 12, 13]
    assert found == (sorted(found) if sql is SORTED else [0, 10, 1, 11, 2, 12, 3, 13])
    assert world.idle == [0, 1, 2, 3]
    world.ask(COUNT)
    for shard in range(4):
        world.answer(shard, [1])
    assert world.rows() == [[b"4"]], "nothing is left behind on any connection"


async def test_much_is_passed_on_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mitosis_gate.executor.gathering._WHOLE_BYTES", 100)
    world = Scattering()
    world.ask(ALL)
    for shard in range(4):
        world.answer(shard, [shard, "x" * 50], columns=PAIR)
    assert isinstance(world.session._task, asyncio.Task)
    await over(world)
    assert [row[0] for row in world.rows()] == [b"0", b"1", b"2", b"3"]


async def test_the_rows_of_the_first_shard_do_not_wait_for_a_slow_one(world: Scattering) -> None:
    world.ask(ALL)
    world.answer(0, [7, "first"], columns=PAIR)
    assert gathers(world)
    await until(lambda: b"first" in world.client.data)
    for shard in (1, 2, 3):
        world.answer(shard, columns=PAIR)
    await over(world)
    assert world.rows() == [[b"7", b"first"]]
    assert world.idle == [0, 1, 2, 3]


async def test_warnings_are_asked_for(world: Scattering) -> None:
    world.ask(COUNT)
    for shard in range(4):
        world.asked(shard)
        world.answer(shard, [1], warnings=int(shard == 2))
    await until(lambda: b"SHOW WARNINGS" in world.connections[2]._transport.data)  # type: ignore
    told = (NAME, NUMBER, NAME)
    world.answer(2, ["Warning", 1292, "Truncated"], columns=told)
    await over(world)
    end = world.told()[-1]
    assert 1 in (end[1], end[5] if len(end) > 5 else 0)
    assert [m.code for m in world.session._left.messages] == [1292]


async def test_a_client_that_goes_away_ends_what_runs_and_nothing_else(world: Scattering) -> None:
    killed: list[Any] = []
    for lane in world.lanes:
        lane.pool.kill = lambda connection, query_only: killed.append(connection)  # type: ignore
    world.ask(COUNT)
    world.answer(1, [1])
    world.client.abort()
    await until(lambda: not any(world.connections[n].alive for n in (0, 2, 3)))
    assert killed == [world.connections[n] for n in (0, 2, 3)]
    await asyncio.sleep(0)
    assert world.idle == [1]
    assert world.merger.turns.try_take()


async def test_a_client_that_goes_away_just_when_a_task_should_begin(world: Scattering) -> None:
    for lane in world.lanes:
        lane.pool.kill = lambda connection, query_only: None  # type: ignore
    world.ask(COUNT)
    world.answer(1, [1])
    world.fail(2)
    world.session.connection_lost(None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.idle == [1, 2]
    assert world.merger.turns.try_take()


async def test_a_statement_that_is_ended_is_ended_on_every_shard(world: Scattering) -> None:
    async def kill(connection: Any, query_only: bool) -> None:
        world.fail(world.connections.index(connection), 1317, "Query execution was interrupted")

    for lane in world.lanes:
        lane.pool._kill = kill  # type: ignore[method-assign]
    world.ask(COUNT)
    world.answer(3, [1])
    world.session.interrupt_soon(StatementTimeout("too long"), reason="time")
    await over(world)
    assert error(world) == 3024
    assert not any(connection.busy for connection in world.connections)
    assert world.merger.turns.try_take()


async def test_what_works_for_a_session_is_seen(world: Scattering) -> None:
    world.ask(COUNT)
    assert world.session.describe(0)["state"] == "executing"
    assert world.session._at_work() == set(world.connections)


# what goes another way from the beginning


def no_idle(world: Scattering) -> None:
    world.lanes[3].take()


def other_variables(world: Scattering) -> None:
    world.connections[1].applied = Variables.of({"sql_mode": b"''"})


def in_transaction(world: Scattering) -> None:
    world.session._transaction.begin(b"BEGIN")


def without_autocommit(world: Scattering) -> None:
    fit(world, {"autocommit": b"0"})


def with_limit(world: Scattering) -> None:
    fit(world, {"sql_select_limit": b"5"})


def fit(world: Scattering, values: dict[str, bytes]) -> None:
    world.session.variables = Variables.of(values)
    for connection in world.connections:
        connection.applied = world.session._variables


def scatter_warns(world: Scattering) -> None:
    world.session.set_own("gate_scatter", "warn")


def shard_in_trouble(world: Scattering) -> None:
    world.topology.refused("shop", world.lanes[2].shard, "read-only")
    world.topology.is_clear = lambda home, shard: shard != world.lanes[2].shard  # type: ignore


def shard_away(world: Scattering) -> None:
    lanes: Any = world.session._lanes
    lanes.lanes = (*lanes.lanes[:2], None, lanes.lanes[3])


def reads_replicas(world: Scattering) -> None:
    world.session._begin_replica_reads()


@pytest.mark.parametrize(
    "change",
    [
        no_idle,
        other_variables,
        in_transaction,
        without_autocommit,
        with_limit,
        scatter_warns,
        shard_in_trouble,
        shard_away,
        reads_replicas,
    ],
)
async def test_what_needs_more_than_to_send_and_to_merge(change: Any) -> None:
    world = Scattering()
    change(world)
    world.ask(COUNT)
    assert not gathers(world)
    await over(world)
    assert world.executed == [COUNT]
    assert not any(world.asked(shard) for shard in range(4))


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT COUNT(*) FROM users FOR UPDATE",
        b"SELECT COUNT(*) FROM users WHERE name < NOW()",
        b"SELECT /*gate: timeout=5 */ COUNT(*) FROM users",
    ],
)
async def test_statements_that_need_more_than_to_send_and_to_merge(sql: bytes) -> None:
    world = Scattering()
    world.ask(sql)
    assert not gathers(world)
    await over(world)
    assert world.executed == [sql]


async def test_statements_over_several_shards_take_turns() -> None:
    world = Scattering(statements=0)
    world.ask(COUNT)
    assert not gathers(world)
    await over(world)


async def test_who_has_limits_is_counted_in_a_task() -> None:
    world = Scattering(kind=LimitedSession)
    world.ask(COUNT)
    assert not gathers(world)
    await over(world)


async def test_autocommit_that_was_switched_on_changes_nothing() -> None:
    world = Scattering()
    world.session.variables = Variables.of({"autocommit": b"1"})
    world.connections[0].applied = world.session._variables
    world.ask(COUNT)
    assert gathers(world), "as inside a transaction, and as outside of one"
    for shard in range(4):
        world.answer(shard, [2])
    assert world.rows() == [[b"8"]]
