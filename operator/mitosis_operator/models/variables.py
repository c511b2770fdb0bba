"""MySQL variables that Mitosis sets itself, so `spec.mysql.config` may not name them.

The rules in crds/ hold the same list; a test keeps them equal.
"""

import re

OWNED_GROUPS = (
    (
        "enforce_gtid_consistency",
        "gtid_mode",
        "log_replica_updates",
        "relay_log",
        "relay_log_index",
        "relay_log_recovery",
        "server_id",
        "server_uuid",
        "sync_relay_log",
        "sync_relay_log_info",
    ),
    (
        "binlog_checksum",
        "binlog_do_db",
        "binlog_error_action",
        "binlog_format",
        "binlog_ignore_db",
        "binlog_row_image",
        "binlog_row_metadata",
        "log_bin",
        "log_bin_index",
        "sync_binlog",
    ),
    (
        "replicate_do_db",
        "replicate_do_table",
        "replicate_ignore_db",
        "replicate_ignore_table",
        "replicate_rewrite_db",
        "replicate_same_server_id",
        "replicate_wild_do_table",
        "replicate_wild_ignore_table",
    ),
    (
        "innodb_doublewrite",
        "innodb_flush_log_at_trx_commit",
        "innodb_force_recovery",
        "innodb_numa_interleave",
        "innodb_read_only",
        "offline_mode",
        "read_only",
        "super_read_only",
    ),
    (
        "admin_address",
        "admin_port",
        "authentication_policy",
        "bind_address",
        "mysqlx",
        "port",
        "require_secure_transport",
        "socket",
        "user",
    ),
    (
        "basedir",
        "chroot",
        "datadir",
        "innodb_data_home_dir",
        "innodb_log_group_home_dir",
        "innodb_undo_directory",
        "log_error",
        "pid_file",
        "plugin_dir",
        "secure_file_priv",
        "tmpdir",
    ),
    (
        "daemonize",
        "defaults_extra_file",
        "defaults_file",
        "early_plugin_load",
        "init_file",
        "initialize",
        "initialize_insecure",
        "plugin_load",
        "plugin_load_add",
        "upgrade",
    ),
    (
        "caching_sha2_password_auto_generate_rsa_keys",
        "character_set_server",
        "collation_server",
        "lower_case_table_names",
        "mandatory_roles",
        "partial_revokes",
        "sql_generate_invisible_primary_key",
    ),
)
"""Replication, binary log, filters, durability, network, files, start, what the gate relies on.

In groups because a rule of a CRD cannot put the name it found into its message at bounded cost.
"""

OWNED = frozenset(name for group in OWNED_GROUPS for name in group)

OWNED_PREFIXES = (
    "rpl_semi_sync_",
    "ssl_",
    "admin_ssl_",
    "admin_tls_",
    "clone_",
    "mysqlx_",
    "report_",
)
"""Whole families: acknowledgement of commits, certificates, cloning, a replica's own report."""

DISGUISES = ("loose_", "skip_", "disable_", "enable_", "maximum_")
"""Prefixes with which mysqld accepts another variable's name, or its opposite."""

NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?")


def is_owned(variable: str) -> bool:
    return variable in OWNED or is_hidden(variable)


def is_hidden(variable: str) -> bool:
    """Whether its beginning alone gives it away."""
    return variable.startswith((*OWNED_PREFIXES, *DISGUISES))
