"""The variables of a session as a value, and the SET statement that leads from one to another."""

import re
import weakref
from collections.abc import Iterator, Mapping

_NUMBER = re.compile(rb"-?[0-9]+(\.[0-9]+)?\Z")
_OFF = frozenset({b"0", b"off", b"false"})

TRACKED = """\
auto_increment_increment auto_increment_offset autocommit big_tables binlog_format
binlog_row_image binlog_rows_query_log_events block_encryption_mode bulk_insert_buffer_size
character_set_client character_set_connection character_set_database character_set_filesystem
character_set_results character_set_server collation_connection collation_database
collation_server completion_type cte_max_recursion_depth default_collation_for_utf8mb4
default_storage_engine default_table_encryption default_tmp_storage_engine default_week_format
div_precision_increment end_markers_in_json eq_range_index_dive_limit explain_format
explain_json_format_version explicit_defaults_for_timestamp foreign_key_checks
group_concat_max_len gtid_next histogram_generation_max_mem_size information_schema_stats_expiry
innodb_ft_enable_stopword innodb_ft_user_stopword_table innodb_lock_wait_timeout
innodb_parallel_read_threads innodb_strict_mode innodb_table_locks innodb_tmpdir
interactive_timeout internal_tmp_mem_storage_engine join_buffer_size lc_messages lc_time_names
lock_wait_timeout long_query_time low_priority_updates max_error_count max_execution_time
max_heap_table_size max_join_size max_length_for_sort_data max_points_in_geometry
max_seeks_for_key max_sort_length max_sp_recursion_depth min_examined_row_limit net_read_timeout
net_retry_count net_write_timeout old_alter_table optimizer_max_subgraph_pairs
optimizer_prune_level optimizer_search_depth optimizer_switch optimizer_trace
optimizer_trace_features optimizer_trace_limit optimizer_trace_max_mem_size
optimizer_trace_offset parser_max_mem_size print_identified_with_as_hex profiling
profiling_history_size query_alloc_block_size query_prealloc_size range_alloc_block_size
range_optimizer_max_mem_size read_buffer_size read_rnd_buffer_size require_row_format
restrict_fk_on_non_standard_key resultset_metadata select_into_buffer_size select_into_disk_sync
select_into_disk_sync_delay session_track_gtids session_track_schema session_track_state_change
session_track_transaction_info set_operations_buffer_size show_create_table_verbosity
show_gipk_in_create_table_and_information_schema sort_buffer_size sql_auto_is_null
sql_big_selects sql_buffer_result sql_generate_invisible_primary_key sql_log_bin sql_log_off
sql_mode sql_notes sql_quote_show_create sql_require_primary_key sql_safe_updates
sql_select_limit sql_warnings terminology_use_previous time_zone timestamp tmp_table_size
transaction_alloc_block_size transaction_allow_batching transaction_isolation
transaction_prealloc_size transaction_read_only unique_checks updatable_views_with_limit
use_secondary_engine wait_timeout windowing_use_high_precision xa_detach_on_prepare
""".split()
"""What servers tell of when it changes. Not all (`*`): then each statement tells its number.

A server ignores names that it does not know.
"""


_NEVER_SET = b"CAST(NULL AS SIGNED)"
"""Of a user variable: NULL itself would keep the collation of the value before."""


def literal(value: bytes | None) -> bytes:
    """SQL text of a value as the server tells it, right under every sql_mode."""
    if value is None:
        return b"NULL"
    if _NUMBER.match(value):
        return value
    if b"\\" in value:
        return b"0x" + value.hex().encode()
    return b"'" + value.replace(b"'", b"''") + b"'"


def is_off(value: bytes | None) -> bool:
    """Whether the SQL text of a switch means OFF."""
    return value is not None and value.strip(b"'\"").lower() in _OFF


class Variables:
    """What a session has set, by name: SQL text of each value; `@name` is a user variable.

    Never changed, and equal ones are the same object, so that a connection fits a session when
    `connection.applied is session.variables`.
    """

    __slots__ = ("__weakref__", "_values", "autocommit")

    _known: "weakref.WeakValueDictionary[frozenset[tuple[str, bytes]], Variables]" = (
        weakref.WeakValueDictionary()
    )
    _values: Mapping[str, bytes]
    autocommit: bool

    @classmethod
    def of(cls, values: Mapping[str, bytes]) -> "Variables":
        key = frozenset(values.items())
        known = cls._known.get(key)
        if known is None:
            known = cls.__new__(cls)
            known._values = dict(values)
            known.autocommit = not is_off(values.get("autocommit"))
            cls._known[key] = known
        return known

    def with_(self, name: str, value: bytes) -> "Variables":
        return Variables.of({**self._values, name: value})

    def without(self, name: str) -> "Variables":
        return Variables.of({k: v for k, v in self._values.items() if k != name})

    def get(self, name: str) -> bytes | None:
        return self._values.get(name)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        return iter(self._values.items())

    def __len__(self) -> int:
        return len(self._values)

    def difference(self, applied: "Variables") -> bytes:
        """One SET statement that makes a connection with `applied` fit; empty when it fits."""
        changes = [
            _assignment(name, value)
            for name, value in self._values.items()
            if applied.get(name) != value
        ]
        changes += [
            _assignment(name, _NEVER_SET if name.startswith("@") else b"DEFAULT")
            for name, _ in applied
            if name not in self._values
        ]
        return b"SET " + b", ".join(changes) if changes else b""


def _assignment(name: str, value: bytes) -> bytes:
    if name.startswith("@"):
        return b"@`" + name[1:].encode().replace(b"`", b"``") + b"`=" + value
    return b"SESSION " + name.encode() + b"=" + value


NONE = Variables.of({})
