"""Three real agents are a shard: clone, follow, promote, and what they refuse."""

import ssl
import subprocess
from pathlib import Path

import pymysql
import pytest

from agents import APP, HOST, KEYSPACE, Agent, World, a_shard, accounts, until
from mitosis_operator.errors import AgentRefused, AgentUnreachable
from mitosis_operator.mysql.gtid import GtidSet
from mitosis_operator.mysql.instance import (
    DataState,
    Initialise,
    MysqldState,
    Progress,
    Promote,
    Restart,
    Role,
    Shutdown,
    ThreadState,
    UserGrant,
)
from mysqld import program

pytestmark = pytest.mark.mysql

READ_ONLY = 1290


def as_app(agent: Agent) -> "pymysql.connections.Connection[object]":
    """Over TCP and TLS, as the gate comes in."""
    context = ssl.create_default_context(cafile=str(agent.world.folder / "ca.crt"))
    context.check_hostname = False
    return pymysql.connect(
        host=HOST,
        port=agent.mysql_port,
        user=APP.name,
        password=APP.password,
        database=KEYSPACE,
        autocommit=True,
        ssl=context,
    )


async def test_an_empty_volume_becomes_a_server_without_history(tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        agent = await world.agent(1).start()
        before = await agent.status()
        assert (before.data_state, before.mysqld.state) == (DataState.EMPTY, MysqldState.STOPPED)
        assert before.gtid is None and before.read_only is None
        await agent.do(Initialise())
        after = await agent.status()
        assert after.data_state is DataState.GOOD and after.role is Role.NONE
        assert after.gtid is not None and after.gtid.executed == ""
        assert after.read_only is not None and after.read_only.super_read_only
        assert not after.writable and after.message == ""
        with pytest.raises(AgentRefused, match="the volume is good"):
            await agent.begin(Initialise())
    finally:
        world.close()


async def test_what_is_committed_on_the_primary_reaches_both_replicas(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        primary.query(f"CREATE TABLE {KEYSPACE}.t (id INT PRIMARY KEY)")
        with as_app(primary) as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (1), (2)")
        seen = await primary.status()
        assert seen.writable and seen.role is Role.PRIMARY and seen.gtid is not None
        assert seen.semi_sync is not None and seen.semi_sync.source_enabled
        all = GtidSet.parse(seen.gtid.executed)
        for replica in (second, third):
            there = await replica.until(
                lambda s: s.gtid is not None and GtidSet.parse(s.gtid.executed).contains(all)
            )
            assert there.replication is not None and not there.writable
            assert there.replication.io_state is ThreadState.YES
            assert there.replication.source_user == f"mitosis_repl_{replica.serial}"
            assert there.accounts_hash == "1"
            assert replica.query(f"SELECT id FROM {KEYSPACE}.t") == [(1,), (2,)]
            with as_app(replica) as connection, connection.cursor() as cursor:
                with pytest.raises(pymysql.err.MySQLError) as caught:
                    cursor.execute("INSERT INTO t VALUES (3)")
                assert caught.value.args[0] == READ_ONLY
        lagging = await second.until(
            lambda s: s.replication is not None and s.replication.lag_seconds is not None, "lag"
        )
        assert lagging.replication is not None
        assert (lagging.replication.lag_seconds or 0) < 30


async def test_a_killed_mysqld_comes_back_read_only_and_is_promoted_at_its_epoch(
    tmp_path: Path,
) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        pid = await primary.kill_mysqld()
        back = await primary.until(
            lambda s: s.mysqld.state is MysqldState.RUNNING and s.mysqld.pid != pid, "restart"
        )
        assert not back.writable and back.mysqld.restarts == 1
        assert (back.role, back.epoch) == (Role.PRIMARY, 1)
        await primary.do(Promote(1, True))
        assert (await primary.status()).writable


async def test_what_is_of_the_past_is_refused(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        await second.do(second.after(primary), epoch=4, lease=3)
        with pytest.raises(AgentRefused, match="epoch 3 is over") as caught:
            await second.begin(second.after(primary), epoch=3, lease=3)
        assert caught.value.http_status == 409
        with pytest.raises(AgentRefused, match="deposed"):
            await second.begin(second.after(primary), epoch=4, lease=2)
        with pytest.raises(AgentRefused, match="a replica in epoch 4"):
            await second.begin(Promote(0, False), epoch=4, lease=3)
        second.kill()
        await second.start()
        with pytest.raises(AgentRefused, match="epoch 3 is over"):
            await second.begin(second.after(primary), epoch=3, lease=3)


async def test_the_same_operation_id_acts_once_also_over_a_restart(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        done = await third.do(Restart(), id="restart-1")
        pid = (await third.status()).mysqld.pid
        assert await third.begin(Restart(), id="restart-1") == done
        assert (await third.status()).mysqld.pid == pid
        third.kill()
        await third.start()
        assert await third.begin(Restart(), id="restart-1") == done
        assert await third.client.operation(HOST, third.name, "restart-1") == done
        assert await third.client.operation(HOST, third.name, "restart-2") is None


async def test_only_the_operator_is_answered_and_only_the_right_instance_is_believed(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    try:
        agent = await world.agent(1).start()
        world.issue_client("mitosis-gate")
        with pytest.raises(AgentUnreachable):
            await world.client(agent.api_port, "mitosis-gate").status(HOST, agent.name)
        with pytest.raises(AgentUnreachable, match="shop-0-4096-2"):
            await agent.client.status(HOST, "shop-0-4096-2")
        foreign = World(tmp_path / "foreign")
        with pytest.raises(AgentUnreachable):
            await foreign.client(agent.api_port).status(HOST, agent.name)
        assert (await agent.status()).instance == agent.name
    finally:
        world.close()


async def test_good_data_is_not_cloned_over_without_a_licence(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        with pytest.raises(AgentRefused, match="the volume is good"):
            await third.begin(third.clone_of(primary), epoch=2)
        own = third.query("SELECT @@server_uuid")[0][0]
        third.query("STOP REPLICA")
        third.query("SET GLOBAL super_read_only = OFF")
        third.query("CREATE DATABASE stray")
        wrong = await third.attempt(third.clone_of(primary, discard_gtid=""), epoch=2)
        assert wrong.state is Progress.FAILED and f"{own}:1" in wrong.error
        assert (await third.status()).data_state is DataState.GOOD
        assert third.query("SHOW DATABASES LIKE 'stray'") == [("stray",)]
        await third.do(third.clone_of(primary, discard_gtid=f"{own}:1"), epoch=2)
        assert third.query("SHOW DATABASES LIKE 'stray'") == []
        await third.do(third.after(primary), epoch=2)


async def test_a_replica_with_errant_transactions_does_not_follow(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        own = second.query("SELECT @@server_uuid")[0][0]
        second.query("STOP REPLICA")
        second.query("SET GLOBAL super_read_only = OFF")
        second.query("CREATE DATABASE stray")
        second.query("SET GLOBAL super_read_only = ON")
        for told in (None, "", primary.query("SELECT @@GLOBAL.gtid_executed")[0][0]):
            ended = await second.attempt(second.after(primary, told))
            assert ended.state is Progress.FAILED and f"{own}:1;" in ended.error
        after = (await second.status()).replication
        assert after is not None and after.io_state is ThreadState.NO


async def test_a_replica_of_another_shard_cannot_log_in(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        stranger = primary.world.agent(2, shard="shop-0-2048")
        await stranger.start()
        await stranger.do(Initialise())
        stranger.query("SET GLOBAL super_read_only = OFF")
        stranger.query("CREATE DATABASE own_history")
        ended = await stranger.attempt(stranger.after(primary))
        assert ended.state is Progress.FAILED and "Access denied" in ended.error


async def test_a_stopped_mysqld_stays_stopped_until_it_is_needed(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        await third.do(Shutdown())
        stopped = await third.status()
        assert stopped.mysqld.state is MysqldState.STOPPED and stopped.gtid is None
        await third.do(third.after(primary))
        await third.until(
            lambda s: s.replication is not None and s.replication.io_state is ThreadState.YES
        )


def grants_of(agent: Agent, user: str) -> list[str]:
    return sorted(text for (text,) in agent.query(f"SHOW GRANTS FOR {user}@'%'"))


async def test_accounts_become_what_was_asked(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        reader = UserGrant("reader", "first", ("select",))
        await primary.do(accounts("2", (APP, reader)))
        assert (await primary.status()).accounts_hash == "2"
        assert "GRANT SELECT ON `shop`.* TO `reader`@`%`" in grants_of(primary, "reader")

        before = primary.query("SELECT authentication_string FROM mysql.user WHERE user='app'")
        changed = UserGrant("app", APP.password, ("SELECT",))
        renewed = UserGrant("reader", "second", ("ALL",))
        await primary.do(accounts("3", (changed, renewed), serials=2))
        after = primary.query("SELECT authentication_string FROM mysql.user WHERE user='app'")
        assert before == after, "a password that stayed is not set again"
        assert grants_of(primary, "app") == [
            "GRANT EXECUTE ON PROCEDURE `mitosis`.`decide` TO `app`@`%`",
            "GRANT SELECT ON `shop`.* TO `app`@`%`",
            "GRANT USAGE ON *.* TO `app`@`%`",
        ]
        assert "GRANT ALL PRIVILEGES ON `shop`.* TO `reader`@`%`" in grants_of(primary, "reader")
        primary.connect("reader", password="second").close()
        locked = "SELECT account_locked FROM mysql.user WHERE user = '{}'"
        assert primary.query(locked.format("mitosis_repl_3")) == [("Y",)]
        await primary.until(lambda s: s.semi_sync is not None and s.semi_sync.clients == 1)

        await primary.do(accounts("4", (renewed,)))
        assert primary.query(locked.format("app")) == [("Y",)]
        assert primary.query(locked.format("mitosis_repl_3")) == [("N",)]


async def test_users_can_decide_and_the_gate_can_recover(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        primary.query("DROP PROCEDURE mitosis.decide")
        primary.query("DROP TABLE mitosis.decisions, mitosis.sequences")
        await primary.do(accounts("2"))  # as on a shard that an older operator made
        await primary.do(accounts("3"))
        with primary.connect("app", password=APP.password) as app, app.cursor() as cursor:
            cursor.execute("CALL mitosis.decide('t1', 'commit')")
            with pytest.raises(pymysql.MySQLError):
                cursor.execute("SELECT * FROM mitosis.decisions")
            app.commit()
        assert primary.query("SELECT gtrid, outcome FROM mitosis.decisions") == [(b"t1", "commit")]
        grants = " ".join(grants_of(primary, "mitosis_gate"))
        assert "XA_RECOVER_ADMIN" in grants
        assert "INSERT, UPDATE, DELETE ON `mitosis`.`sequences`" in grants


async def test_an_impossible_account_is_refused_before_anything_changes(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        for user, reason in (
            (UserGrant("mitosis_x", "p", ("SELECT",)), "cannot be used"),
            (UserGrant("root", "p", ("SELECT",)), "cannot be used"),
            (UserGrant("app2", "", ("SELECT",)), "password of user app2 is empty"),
            (UserGrant("app2", "p", ("SUPER",)), "cannot be granted SUPER"),
        ):
            ended = await primary.attempt(accounts("2", (APP, user)))
            assert ended.state is Progress.FAILED and reason in ended.error
        assert (await primary.status()).accounts_hash == "1"
        assert primary.query("SELECT user FROM mysql.user WHERE user = 'app2'") == []


def binary_log_files(agent: Agent) -> list[Path]:
    return sorted((agent.volume / "data").glob("binlog.0*"))


def binary_log(agent: Agent) -> str:
    command = [program("mysqlbinlog"), *binary_log_files(agent)]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode(errors="replace")


async def test_no_password_is_written_down(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        secret = "a-password-nobody-writes-down"
        await primary.do(accounts("2", (UserGrant("app", secret, ("SELECT",)),)))
        await primary.do(accounts("3", (UserGrant("app", secret + "-2", ("SELECT",)),)))
        assert "ALTER USER 'app'@'%'" in binary_log(primary)
        assert secret not in binary_log(primary) and secret not in primary.log
        written = [primary.volume / ".agent" / "state.json", *binary_log_files(primary)]
        assert not [path for path in written if secret.encode() in path.read_bytes()]


async def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    async with a_shard(tmp_path) as (primary, second, third):
        pid = (await second.status()).mysqld.pid
        before = shown_by_agent(second), shown_by_mysqld(second)
        second.renew_certificate()

        async def look() -> tuple[str, bytes]:
            return shown_by_agent(second), shown_by_mysqld(second)

        await until(look, lambda now: now[0] != before[0] and now[1] != before[1], "renewal")
        assert (await second.status()).mysqld.pid == pid


def shown_by_agent(agent: Agent) -> str:
    return ssl.get_server_certificate((HOST, agent.api_port))


def shown_by_mysqld(agent: Agent) -> bytes:
    with as_app(agent) as connection:
        shown: bytes = connection._sock.getpeercert(binary_form=True)  # type: ignore[attr-defined]
        return shown
