"""The text of my.cnf, pure: same settings, same text. No role stands in it.

Every start is read-only with replication stopped and semi-synchronous replication off; what an
instance is in its shard is told to it afterwards, with an epoch.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mitosis_operator.agent.settings import Settings

MIB = 1 << 20
GIB = 1 << 30
NEVER_MILLISECONDS = 4294967295
"""The longest the server accepts, 49 days: a commit waits, and is never sent off alone."""

LARGE_FROM = 2 * GIB


@dataclass(frozen=True)
class Extra:
    """What the user wrote in `spec.mysql.config`, divided."""

    lines: tuple[str, ...]
    refused: tuple[str, ...]
    """Names of variables on which the safety of the data rests; they are left out."""


def render(settings: Settings, extra: Extra, *, plugins: bool = True) -> str:
    """Without plugins for `--initialize`, which loads none and knows no variables of theirs.

    The user's part stands after what it may change and before what it may not: the last wins,
    also against an abbreviated name that `read_extra` does not know.
    """
    sections = {
        "sizes, from the memory limit of the pod": _sizes(settings.memory_limit_bytes),
        "free to change": _defaults(),
        "the user's": extra.lines,
        "identity": _identity(settings),
        "replication: lossless, by GTID, ready for a filtered copy": _replication(),
        "no role, no writer, until the agent was told": _no_role(),
        "safety of what was written": _durability(),
        "TLS": _tls(settings),
        "acknowledgements and copies": (*_semi_sync(), *_clone(settings)) if plugins else (),
    }
    parts = ["[mysqld]"]
    for title, lines in sections.items():
        parts += [f"\n# {title}", *lines]
    return "\n".join(parts) + "\n"


def _defaults() -> tuple[str, ...]:
    return (
        "binlog_expire_logs_seconds = 259200",
        "replica_parallel_workers = 4",
        "local_infile = ON",  # for LOAD DATA LOCAL: the file is the client's, sent by the gate
    )


def _identity(settings: Settings) -> tuple[str, ...]:
    return (
        f"datadir = {settings.datadir}",
        f"socket = {settings.socket}",
        f"pid_file = {settings.run / 'mysqld.pid'}",
        f"port = {settings.mysql_port}",
        f"server_id = {settings.server_id}",
        f"report_host = {settings.pod_ip}",
        "mysqlx = OFF",
        "skip_name_resolve = ON",
        "persisted_globals_load = OFF",
    )


def _replication() -> tuple[str, ...]:
    return (
        "gtid_mode = ON",
        "enforce_gtid_consistency = ON",
        "log_bin = binlog",
        "relay_log = relay",
        "log_replica_updates = ON",
        "binlog_row_image = FULL",
        "binlog_row_metadata = FULL",
        "replica_preserve_commit_order = ON",
        "replica_net_timeout = 10",
        # received transactions may be the only copy of an acknowledged commit
        "relay_log_recovery = OFF",
        "loose_replication_sender_observe_commit_only = OFF",
    )


def _no_role() -> tuple[str, ...]:
    return (
        "super_read_only = ON",
        "skip_replica_start = ON",
    )


def _semi_sync() -> tuple[str, ...]:
    return (
        "plugin_load_add = semisync_source.so",
        "plugin_load_add = semisync_replica.so",
        # a replica that waits for acknowledgements of its own blocks its applier
        "rpl_semi_sync_source_enabled = OFF",
        "rpl_semi_sync_replica_enabled = OFF",
        f"rpl_semi_sync_source_timeout = {NEVER_MILLISECONDS}",
        "rpl_semi_sync_source_wait_no_replica = ON",
        "rpl_semi_sync_source_wait_point = AFTER_SYNC",
        "rpl_semi_sync_source_wait_for_replica_count = 1",
    )


def _clone(settings: Settings) -> tuple[str, ...]:
    files = _tls_files(settings)
    return (
        "plugin_load_add = mysql_clone.so",
        *(f"clone_ssl_{name} = {path}" for name, path in files.items()),
    )


def _durability() -> tuple[str, ...]:
    return (
        "sync_binlog = 1",
        "innodb_flush_log_at_trx_commit = 1",
        "binlog_error_action = ABORT_SERVER",
        # CLONE copies InnoDB only: rows in another engine would be missing on the next replica
        'disabled_storage_engines = "MyISAM,ARCHIVE,BLACKHOLE,CSV,FEDERATED,MEMORY,EXAMPLE"',
        "secure_file_priv = NULL",
    )


def _tls(settings: Settings) -> tuple[str, ...]:
    return tuple(f"ssl_{name} = {path}" for name, path in _tls_files(settings).items())


def _tls_files(settings: Settings) -> dict[str, Path]:
    return {"ca": settings.ca, "cert": settings.certificate, "key": settings.key}


def _sizes(limit: int) -> tuple[str, ...]:
    common = (
        "innodb_numa_interleave = OFF",
        f"innodb_buffer_pool_size = {buffer_pool_bytes(limit)}",
        f"innodb_redo_log_capacity = {_between(128 * MIB, limit // 8, 8 * GIB)}",
        f"temptable_max_ram = {_between(32 * MIB, limit // 16, GIB)}",
        f"max_connections = {_between(200, 200 * limit // GIB, 4000)}",
        "key_buffer_size = 64K",
        "performance_schema = ON",
    )
    return common if limit >= LARGE_FROM else (*common, *_SMALL)


_SMALL = (
    "innodb_log_buffer_size = 8M",
    "table_open_cache = 400",
    "table_definition_cache = 400",
    "performance_schema_digests_size = 500",
    "performance_schema_events_statements_history_long_size = 100",
    "performance_schema_events_stages_history_long_size = 100",
    "performance_schema_events_waits_history_long_size = 100",
    "performance_schema_events_transactions_history_long_size = 100",
    "performance_schema_max_thread_instances = 400",
)


def buffer_pool_bytes(limit: int) -> int:
    """About two thirds of what the rest of the server leaves, in steps of 128 MiB."""
    wanted = (limit - 600 * MIB) * 2 // 3
    return max(64 * MIB, wanted - wanted % (128 * MIB))


def _between(lowest: int, value: int, highest: int) -> int:
    return max(lowest, min(value, highest))


def read_extra(text: str) -> Extra:
    lines: list[str] = []
    refused: list[str] = []
    for line in filter(None, (part.strip() for part in text.splitlines())):
        if line.startswith(("#", ";")) or line == "[mysqld]":
            continue
        name = _variable(line)
        if name is None or is_protected(name):
            refused.append(name or line)
        else:
            lines.append(line)
    return Extra(tuple(lines), tuple(refused))


def is_protected(name: str) -> bool:
    return name in _PROTECTED or name.startswith(_PROTECTED_PREFIXES)


def _variable(line: str) -> str | None:
    """The variable's own name; None for what is no setting, such as `!include`."""
    found = re.fullmatch(r"([A-Za-z][A-Za-z0-9_.-]*)\s*(=.*)?", line)
    if not found:
        return None
    name = found[1].lower().replace("-", "_")
    for prefix in ("loose_", "skip_", "disable_", "enable_", "maximum_"):
        name = name.removeprefix(prefix)
    return name


def _names(lines: Iterable[str]) -> set[str]:
    return {name for line in lines if (name := _variable(line))}


_PROTECTED = frozenset(
    _names((*_replication(), *_no_role(), *_durability(), *_semi_sync()))
    | {
        "bind_address",
        "binlog_format",
        "datadir",
        "defaults_file",
        "gtid_executed",
        "grant_tables",
        "init_file",
        "init_replica",
        "innodb_numa_interleave",
        "log_bin_index",
        "log_error",
        "mysqlx",
        "name_resolve",
        "networking",
        "offline_mode",
        "performance_schema",
        "persisted_globals_load",
        "pid_file",
        "plugin_dir",
        "plugin_load",
        "port",
        "read_only",
        "replica_start",
        "report_host",
        "require_secure_transport",
        "server_id",
        "socket",
        "ssl",
        "tmpdir",
        "user",
    }
)
_PROTECTED_PREFIXES = (
    "admin_",
    "basedir",
    "clone_",
    "innodb_data_",
    "innodb_doublewrite",
    "innodb_log_group_home",
    "innodb_redo_log_archive",
    "innodb_undo_directory",
    "relay_log",
    "replicate_",
    "rpl_",
    "ssl_",
    "tls_",
)
