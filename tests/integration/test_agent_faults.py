"""An agent and its mysqld when things die, hang or are wrong: no second writer, no false OK."""

import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pymysql
import pytest

from agents import HOST, KEYSPACE, Agent, World, a_shard, accounts, serve, until
from mitosis_operator.errors import AgentRefused
from mitosis_operator.mysql.gtid import GtidSet
from mitosis_operator.mysql.instance import (
    DataState,
    Fence,
    Initialise,
    MysqldState,
    Progress,
    Promote,
    Role,
)

pytestmark = pytest.mark.mysql

FENCE_SECONDS = 15


def is_alive(pid: int) -> bool:
    """A zombie is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until_dead(pid: int) -> None:
    async def look() -> bool:
        return is_alive(pid)

    await until(look, lambda alive: not alive, f"the end of process {pid}")


class Writer(threading.Thread):
    """A client that writes one row and remembers what it was told."""

    def __init__(self, agent: Agent, number: int) -> None:
        super().__init__(daemon=True)
        self._connection = agent.connect("app", password="secret-of-app", database=KEYSPACE)
        self._number = number
        self.told = ""
        self.start()

    def run(self) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("INSERT INTO t VALUES (%s)", (self._number,))
            self.told = "OK"
        except pymysql.err.MySQLError as exc:
            self.told = f"error {exc.args[0]}"


async def starve(primary: Agent, *replicas: Agent) -> Writer:
    """Stop all acknowledgements; return a client whose commit waits for one.

    Each replica has all that was committed before: one acknowledgement does not tell that.
    """
    primary.query(f"CREATE TABLE {KEYSPACE}.t (id INT PRIMARY KEY)")
    executed = primary.query("SELECT @@GLOBAL.gtid_executed")[0][0]
    for replica in replicas:
        replica.query(f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{executed}')")
        replica.query("STOP REPLICA IO_THREAD")
    await primary.until(lambda s: s.semi_sync is not None and s.semi_sync.clients == 0)
    writer = Writer(primary, 7)
    await primary.until(lambda s: s.semi_sync is not None and s.semi_sync.wait_sessions > 0)
    return writer


async def test_a_fence_ends_a_starved_primary_and_tells_nobody_ok(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        writer = await starve(primary, second, third)
        starved = await primary.status()
        assert "no replica is connected" in starved.message
        began = time.monotonic()
        await primary.do(Fence(), epoch=2)
        assert time.monotonic() - began < FENCE_SECONDS
        writer.join(5)
        assert writer.told.startswith("error")

        fenced = await primary.until(lambda s: s.mysqld.state is MysqldState.RUNNING, "restart")
        assert (fenced.role, fenced.fenced_epoch, fenced.writable) == (Role.NONE, 2, False)
        assert fenced.read_only is not None
        assert fenced.read_only.super_read_only and fenced.read_only.offline_mode
        with pytest.raises(AgentRefused, match="fenced at epoch 2"):
            await primary.begin(Promote(0, False), epoch=2)


async def test_a_fence_outlives_agent_and_mysqld_and_ends_when_the_instance_follows(
    tmp_path: Path,
) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        await primary.do(Fence(), epoch=2)
        await serve(second, third, epoch=2)
        primary.kill()
        await primary.start()
        fenced = await primary.until(lambda s: s.read_only is not None, "start")
        assert fenced.read_only is not None and fenced.read_only.offline_mode
        with pytest.raises(pymysql.err.MySQLError):
            primary.connect("app", password="secret-of-app")
        seen = await second.status()
        assert seen.gtid is not None
        await primary.do(primary.after(second, seen.gtid.executed), epoch=2)
        await second.until(lambda s: s.semi_sync is not None and s.semi_sync.clients == 2)
        back = await primary.status()
        assert (back.role, back.writable) == (Role.REPLICA, False)
        assert back.read_only is not None and not back.read_only.offline_mode


async def test_a_fence_cuts_a_promotion_short(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        await second.do(Fence(), epoch=2)
        promotion = await second.begin(Promote(2, True), epoch=3)
        await second.until(lambda s: s.semi_sync is not None and s.semi_sync.source_enabled)
        await second.do(Fence(), epoch=3)
        ended = await second.end(promotion.id)
        assert ended.state is Progress.FAILED
        assert not (await second.status()).writable


async def test_what_was_committed_unacknowledged_keeps_the_old_primary_from_following(
    tmp_path: Path,
) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        await starve(primary, second, third)
        await primary.do(Fence(), epoch=2)
        await serve(second, third, epoch=2)
        await primary.until(lambda s: s.mysqld.state is MysqldState.RUNNING, "restart")
        seen = await second.status()
        assert seen.gtid is not None
        ended = await primary.attempt(primary.after(second, seen.gtid.executed), epoch=2)
        assert ended.state is Progress.FAILED and "does not have" in ended.error
        lost = primary.query(
            f"SELECT GTID_SUBTRACT(@@GLOBAL.gtid_executed, '{seen.gtid.executed}')"
        )[0][0]
        await primary.do(primary.clone_of(second, discard_gtid=lost), epoch=2)
        await primary.do(primary.after(second), epoch=2)


async def test_a_starved_primary_goes_on_when_its_replicas_come_back(tmp_path: Path) -> None:
    """One of them holds a commit that the primary does not show yet: it is not errant by that."""
    async with a_shard(tmp_path) as (primary, second, third):
        primary.query(f"CREATE TABLE {KEYSPACE}.t (id INT PRIMARY KEY)")
        await primary.do(Promote(2, True))
        third.query("STOP REPLICA IO_THREAD")
        await primary.until(lambda s: s.semi_sync is not None and s.semi_sync.clients == 1)
        writer = Writer(primary, 7)

        async def surplus_of_second() -> GtidSet:
            there, here = await second.status(), await primary.status()
            assert there.gtid is not None and here.gtid is not None
            return GtidSet.parse(there.gtid.executed).subtract(GtidSet.parse(here.gtid.executed))

        await until(surplus_of_second, lambda s: not s.is_empty, "a commit that is only there")
        await second.kill_mysqld()
        await second.until(lambda s: s.mysqld.restarts == 1 and s.gtid is not None, "restart")
        assert not (await surplus_of_second()).is_empty
        for replica in (second, third):
            await replica.do(replica.after(primary))
        writer.join(30)
        assert writer.told == "OK"
        await primary.until(lambda s: s.semi_sync is not None and s.semi_sync.wait_sessions == 0)


async def test_a_switch_keeps_what_was_received_and_not_yet_applied(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        primary.query(f"CREATE TABLE {KEYSPACE}.t (id INT PRIMARY KEY)")
        third.query("STOP REPLICA IO_THREAD")
        await primary.until(lambda s: s.semi_sync is not None and s.semi_sync.clients == 1)
        second.query("STOP REPLICA SQL_THREAD")
        writer = Writer(primary, 7)
        writer.join(10)
        assert writer.told == "OK"
        primary.kill()
        await third.do(third.after(second), epoch=2)
        await second.do(Promote(1, True), epoch=2)
        assert second.query(f"SELECT id FROM {KEYSPACE}.t") == [(7,)]


async def test_a_promotion_without_replicas_fails_and_nobody_may_write(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        ended = await third.attempt(Promote(1, True), epoch=2)
        assert ended.state is Progress.FAILED and "0 of the 1 replicas" in ended.error
        assert not (await third.status()).writable


async def test_a_clone_cut_short_is_not_good_and_is_begun_anew(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        fourth = await primary.world.agent(4).start()
        await primary.do(accounts("4", serials=4))
        begun = await fourth.begin(fourth.clone_of(primary))
        await fourth.until(lambda s: s.data_state is DataState.CLONING, "clone begins")
        fourth.kill()
        await fourth.start()
        after = await fourth.status()
        assert after.data_state is DataState.CLONING
        assert after.mysqld.state is MysqldState.STOPPED
        assert (await fourth.end(begun.id)).state is Progress.FAILED
        with pytest.raises(AgentRefused, match="cloning, not good"):
            await fourth.begin(Promote(0, False), epoch=2)
        with pytest.raises(AgentRefused, match="the volume is cloning"):
            await fourth.begin(Initialise())
        await fourth.do(fourth.clone_of(primary))
        await fourth.do(fourth.after(primary))
        await primary.until(lambda s: s.semi_sync is not None and s.semi_sync.clients == 3)


async def test_a_clone_checks_who_its_donor_is(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        fourth = await primary.world.agent(4).start()
        wrong = fourth.clone_of(primary)
        wrong = type(wrong)(HOST, third.mysql_port, primary.name)
        ended = await fourth.attempt(wrong)
        assert ended.state is Progress.FAILED and "certificate" in ended.error
        assert (await fourth.status()).data_state is DataState.EMPTY


async def test_an_initialisation_cut_short_is_begun_anew(tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        agent = await world.agent(1).start()
        await agent.begin(Initialise())
        await agent.until(lambda s: s.data_state is DataState.INITIALISING, "it begins")
        agent.kill()
        await agent.start()
        assert (await agent.status()).data_state is DataState.INITIALISING
        await agent.do(Initialise())
        assert (await agent.status()).data_state is DataState.GOOD
    finally:
        world.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_no_mysqld_outlives_its_agent(tmp_path: Path, number: signal.Signals) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        pid = (await primary.status()).mysqld.pid
        assert pid is not None
        primary.signal(number)
        await until_dead(pid)
        assert ("Shutdown complete" in primary.log) is (number is signal.SIGTERM)
        await primary.start()
        back = await primary.until(lambda s: s.mysqld.state is MysqldState.RUNNING, "start")
        assert not back.writable and back.role is Role.PRIMARY


async def test_a_starved_primary_stops_with_its_pod(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        writer = await starve(primary, second, third)
        began = time.monotonic()
        primary.stop()
        assert time.monotonic() - began < FENCE_SECONDS
        writer.join(5)
        assert writer.told.startswith("error")


async def test_the_volume_of_another_shard_is_left_alone(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        third.stop()
        stranger = primary.world.agent(3, shard="shop-0-2048")
        stranger.volume = third.volume
        await stranger.start()
        seen = await stranger.status()
        assert seen.data_state is DataState.UNKNOWN and "shop-0-4096-3" in seen.message
        assert seen.mysqld.state is MysqldState.STOPPED
        with pytest.raises(AgentRefused, match="belongs to somebody else"):
            await stranger.begin(Initialise())
        stranger.stop()
        await third.start()
        assert (await third.status()).data_state is DataState.GOOD


async def test_a_bad_setting_of_the_user_is_told_and_its_repair_is_enough(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        extra = third.folder / "config" / "extra.cnf"
        extra.write_text("[mysqld]\nno_such_setting = 1\nsync_binlog = 0\n")
        await third.kill_mysqld()
        broken = await third.until(lambda s: "no_such_setting" in s.mysqld.message, "message")
        assert broken.mysqld.state is not MysqldState.RUNNING
        assert "left out of mysql.config, because Mitosis sets it: sync_binlog" in broken.message
        extra.write_text("[mysqld]\nmax_connections = 77\n")
        await third.until(lambda s: s.mysqld.state is MysqldState.RUNNING, "repair")
        assert third.query("SELECT @@max_connections, @@sync_binlog") == [(77, 1)]


async def test_a_frozen_mysqld_is_told_as_stuck_and_is_no_reason_to_kill_the_agent(
    tmp_path: Path,
) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        pid = (await third.status()).mysqld.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            stuck = await third.until(lambda s: s.mysqld.state is MysqldState.STUCK, "stuck")
            assert stuck.gtid is None and stuck.replication is None and not stuck.writable
            assert probe(third, "/healthz") == 200
            assert probe(third, "/startupz") == 200
            assert probe(third, "/readyz") == 503
        finally:
            os.kill(pid, signal.SIGCONT)
        await third.until(lambda s: s.mysqld.state is MysqldState.RUNNING, "thaw")


def probe(agent: Agent, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{agent.probe_port}{path}") as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as exc:
        exc.close()
        return exc.code


def metrics(agent: Agent) -> str:
    with urllib.request.urlopen(f"http://{HOST}:{agent.probe_port}/metrics") as answer:
        text: str = answer.read().decode()
        return text


async def test_readiness_is_that_the_role_is_in_effect(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        assert [probe(agent, "/readyz") for agent in (primary, second)] == [200, 200]
        await primary.kill_mysqld()
        await primary.until(lambda s: s.mysqld.restarts == 1 and s.gtid is not None, "restart")
        assert probe(primary, "/readyz") == 503
        text = metrics(second)
        labels = 'instance="shop-0-4096-2",shard="shop-0-4096",keyspace="shop"'
        assert f"mitosis_instance_mysqld_up{{{labels}}} 1" in text
        assert f"mitosis_instance_writable{{{labels}}} 0" in text


async def test_silent_and_foreign_clients_hold_up_nobody(tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        agent = await world.agent(1).start()
        silent = [connect_and_say_nothing(agent.api_port) for _ in range(8)]
        began = time.monotonic()
        assert (await agent.status()).instance == agent.name
        assert time.monotonic() - began < 5
        for connection in silent:
            connection.close()
    finally:
        world.close()


def connect_and_say_nothing(port: int) -> socket.socket:
    return socket.create_connection((HOST, port))
