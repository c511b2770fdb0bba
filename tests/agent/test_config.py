"""my.cnf: no role in it, and the user cannot take the safety out of it."""

from pathlib import Path

import pytest

from mitosis_operator.agent import config
from mitosis_operator.agent.errors import BadSettings
from mitosis_operator.agent.settings import Settings

ENVIRONMENT = {
    "MITOSIS_INSTANCE": "shop-0-4096-1",
    "MITOSIS_SHARD": "shop-0-4096",
    "MITOSIS_KEYSPACE": "shop",
    "MITOSIS_SERIAL": "1",
    "MITOSIS_POD_IP": "10.0.0.7",
}
GIB = 1 << 30


def lines(extra: str = "", **environment: str) -> list[str]:
    settings = Settings.from_environment(ENVIRONMENT | environment)
    return config.render(settings, config.read_extra(extra)).splitlines()


@pytest.mark.parametrize(
    "line",
    [
        "super_read_only = ON",
        "skip_replica_start = ON",
        "rpl_semi_sync_source_enabled = OFF",
        "rpl_semi_sync_replica_enabled = OFF",
        "rpl_semi_sync_source_timeout = 4294967295",
        "rpl_semi_sync_source_wait_point = AFTER_SYNC",
        "gtid_mode = ON",
        "sync_binlog = 1",
        "innodb_flush_log_at_trx_commit = 1",
        "relay_log_recovery = OFF",
        "persisted_globals_load = OFF",
        "binlog_row_image = FULL",
        "binlog_row_metadata = FULL",
        "report_host = 10.0.0.7",
        "server_id = 2845002861",
        "datadir = /var/lib/mysql/data",
    ],
)
def test_every_start_is_safe_and_without_a_role(line: str) -> None:
    assert line in lines()


def test_initialisation_is_not_told_of_plugins() -> None:
    settings = Settings.from_environment(ENVIRONMENT)
    text = config.render(settings, config.read_extra(""), plugins=False)
    assert not [word for word in ("plugin", "rpl_semi_sync", "clone") if word in text]
    assert "super_read_only = ON" in text


def test_instances_of_a_shard_have_different_server_ids() -> None:
    ids = {
        Settings.from_environment(ENVIRONMENT | {"MITOSIS_INSTANCE": f"s-{n}"}).server_id
        for n in range(1, 50)
    }
    assert len(ids) == 49


@pytest.mark.parametrize(
    ("limit", "pool"),
    [
        (512 << 20, 64 << 20),
        (GIB, 256 << 20),
        (4 * GIB, 18 * (128 << 20)),
        (16 * GIB, 82 * (128 << 20)),
    ],
)
def test_the_buffer_pool_follows_the_memory_limit(limit: int, pool: int) -> None:
    assert config.buffer_pool_bytes(limit) == pool
    assert f"innodb_buffer_pool_size = {pool}" in lines(MITOSIS_MEMORY_LIMIT_BYTES=str(limit))


def test_the_users_settings_win_over_sizes_and_lose_against_safety() -> None:
    text = lines("[mysqld]\nmax_connections = 77\nsync_binlo = 0\n")
    assert text.index("max_connections = 200") < text.index("max_connections = 77")
    assert text.index("sync_binlo = 0") < text.index("sync_binlog = 1")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("sync_binlog = 0", "sync_binlog"),
        ("sync-binlog=0", "sync_binlog"),
        ("loose_sync_binlog = 0", "sync_binlog"),
        ("super_read_only=OFF", "super_read_only"),
        ("read_only", "read_only"),
        ("skip-log-bin", "log_bin"),
        ("disable-log-bin", "log_bin"),
        ("skip_grant_tables", "grant_tables"),
        ("rpl_semi_sync_source_timeout = 1000", "rpl_semi_sync_source_timeout"),
        ("gtid_mode=OFF", "gtid_mode"),
        ("Server-ID = 1", "server_id"),
        ("binlog_format = STATEMENT", "binlog_format"),
        ("innodb_doublewrite = OFF", "innodb_doublewrite"),
        ("replicate-do-db = shop", "replicate_do_db"),
        ("relay_log_recovery = ON", "relay_log_recovery"),
        ("skip-replica-start = OFF", "replica_start"),
        ("disabled_storage_engines = ''", "disabled_storage_engines"),
        ("!include /etc/passwd", "!include /etc/passwd"),
        ("[mysqld-9.7]", "[mysqld-9.7]"),
    ],
)
def test_what_the_safety_rests_on_is_left_out_and_named(line: str, name: str) -> None:
    extra = config.read_extra(f"{line}\nmax_connections = 77")
    assert extra.refused == (name,)
    assert extra.lines == ("max_connections = 77",)


def test_comments_and_empty_lines_are_no_settings() -> None:
    assert config.read_extra("# a\n; b\n\n[mysqld]\n") == config.Extra((), ())


def test_paths_follow_the_environment() -> None:
    text = lines(MITOSIS_DATA_DIR="/a", MITOSIS_RUN_DIR="/b", MITOSIS_TLS_DIR="/c")
    assert {"datadir = /a/data", "socket = /b/mysqld.sock", "ssl_ca = /c/ca.crt"} <= set(text)


@pytest.mark.parametrize(
    ("name", "value"), [("MITOSIS_INSTANCE", ""), ("MITOSIS_API_PORT", "many")]
)
def test_an_environment_that_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSettings, match=name):
        Settings.from_environment(ENVIRONMENT | {name: value})


def test_settings_have_the_places_of_the_pod() -> None:
    settings = Settings.from_environment(ENVIRONMENT)
    assert settings.state == Path("/var/lib/mysql/.agent")
    assert settings.socket == Path("/run/mysqld/mysqld.sock")
