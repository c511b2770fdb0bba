"""SHOW, DESCRIBE and EXPLAIN: which of them one server can answer for the whole keyspace."""

from mitosis_gate.planner.gate import process_list
from mitosis_gate.planner.layout import Layout, Living, Place
from mitosis_gate.planner.lexer import BadSql
from mitosis_gate.planner.plan import Flag, Plan, Together
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.rules import any_shard
from mitosis_gate.planner.statement import Statement

_SAME_EVERYWHERE = frozenset(
    "TABLES COLUMNS FIELDS CREATE DATABASES SCHEMAS VARIABLES STATUS CHARACTER CHARSET COLLATION "
    "ENGINES STORAGE PLUGINS PRIVILEGES GRANTS TRIGGERS EVENTS PROCEDURE FUNCTION PROFILES".split()
)
_SCOPES = frozenset({"FULL", "EXTENDED", "SESSION", "LOCAL", "GLOBAL"})
_EXPLAINED = frozenset("SELECT WITH TABLE VALUES INSERT REPLACE UPDATE DELETE".split())


def show_plan(statement: Statement) -> Plan:
    processes = process_list(statement)
    if processes is not None:
        return processes
    at = 1
    while statement.word(at) in _SCOPES:
        at += 1
    what = statement.word(at)
    layout = statement.layout
    if what in ("WARNINGS", "ERRORS", "COUNT"):
        return any_shard(layout.everywhere, Flag.LAST)
    if layout.single:
        return any_shard((0,), Flag.OUTSIDE)
    if what == "TABLE" and statement.word(at + 1) == "STATUS":
        return _together(layout, "STATUS")
    if what in ("INDEX", "INDEXES", "KEYS"):
        return _together(layout, "INDEX")
    if what in _SAME_EVERYWHERE:
        return any_shard((layout.first,), Flag.OUTSIDE)
    return refuse(f"SHOW {what} has another answer on each shard: ask a shard directly")


_KEYS = {
    "STATUS": frozenset({"name"}),
    "INDEX": frozenset({"table", "key_name", "seq_in_index"}),
    "TABLES": frozenset({"table_schema", "table_name"}),
    "STATISTICS": frozenset({"table_schema", "table_name", "index_name", "seq_in_index"}),
    "PARTITIONS": frozenset({"table_schema", "table_name", "partition_name", "subpartition_name"}),
}
_SUMS = {
    "STATUS": frozenset({"rows", "data_length", "index_length", "data_free"}),
    "INDEX": frozenset({"cardinality"}),
    "TABLES": frozenset({"table_rows", "data_length", "index_length", "data_free"}),
    "STATISTICS": frozenset({"cardinality"}),
    "PARTITIONS": frozenset({"table_rows", "data_length", "index_length", "data_free"}),
}
_NOT_ROW_BY_ROW = frozenset("GROUP DISTINCT HAVING LIMIT UNION JOIN EXCEPT INTERSECT WITH".split())


def _together(layout: Layout, what: str) -> Together:
    divided = frozenset(
        name
        for name in layout.schema.tables
        if isinstance(place := layout.place(layout.keyspace, name), Place)
        and place.living is Living.SHARDED
    )
    return Together(layout.everywhere, _KEYS[what], _SUMS[what], divided)


def figures_of_all(statement: Statement) -> Together | None:
    """The plan of a SELECT of sizes from information_schema, row by row, with the tables' names.

    None: some shard can answer it, or nobody can add it up.
    """
    tokens = statement.tokens
    words = [t.text.upper() if t.is_name else t.text for t in tokens]
    if statement.layout.single or words[0] != "SELECT" or words.count("SELECT") > 1:
        return None
    if "FROM" not in words or _NOT_ROW_BY_ROW.intersection(words):
        return None
    at = words.index("FROM")
    what = words[at + 3] if words[at + 1 : at + 3] == ["INFORMATION_SCHEMA", "."] else ""
    following = words[at + 4] if at + 4 < len(words) else ""
    if what not in _SUMS or following == ",":
        return None
    sums = {name.upper() for name in _SUMS[what]}
    if sums.intersection(words[at:]):
        return None
    keys = {name.upper() for name in _KEYS[what]}
    listed = set(words[1:at])
    if "*" not in listed and not (listed & sums and keys - {"TABLE_SCHEMA"} <= listed):
        return None
    return _together(statement.layout, what)


def explained_from(statement: Statement) -> int:
    """The place where the statement begins that EXPLAIN explains; 0: it describes a table."""
    for place, token in enumerate(statement.tokens[1:8], 1):
        if token.word in _EXPLAINED or token.text == "(":
            return place
        if token.word == "FOR":
            raise BadSql("EXPLAIN FOR CONNECTION and FOR SCHEMA are not supported")
    return 0


def describe_plan(statement: Statement) -> Plan:
    if len(statement.tokens) < 2 or not statement.tokens[1].is_name:
        raise BadSql("the name of a table is missing")
    return any_shard((statement.layout.first,), Flag.OUTSIDE)
