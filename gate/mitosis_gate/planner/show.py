"""SHOW, DESCRIBE and EXPLAIN: which of them one server can answer for the whole keyspace."""

from mitosis_gate.planner.gate import process_list
from mitosis_gate.planner.lexer import BadSql
from mitosis_gate.planner.plan import Flag, Plan
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.rules import any_shard
from mitosis_gate.planner.statement import Statement

_SAME_EVERYWHERE = frozenset(
    "TABLES COLUMNS FIELDS INDEX INDEXES KEYS CREATE DATABASES SCHEMAS VARIABLES CHARACTER CHARSET "
    "COLLATION ENGINES STORAGE PLUGINS PRIVILEGES GRANTS TRIGGERS EVENTS PROCEDURE FUNCTION "
    "PROFILES".split()
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
    scopes = {statement.word(place) for place in range(1, at)}
    what = statement.word(at)
    layout = statement.layout
    if what in ("WARNINGS", "ERRORS", "COUNT"):
        return any_shard(layout.everywhere, Flag.LAST)
    if layout.single:
        return any_shard((0,), Flag.OUTSIDE)
    if what == "TABLE" and statement.word(at + 1) == "STATUS":
        return refuse("SHOW TABLE STATUS counts the rows of one shard: ask with SELECT COUNT(*)")
    if what == "STATUS" and "GLOBAL" not in scopes:
        return any_shard((layout.first,), Flag.OUTSIDE)
    if what in _SAME_EVERYWHERE:
        return any_shard((layout.first,), Flag.OUTSIDE)
    return refuse(f"SHOW {what} has another answer on each shard: ask a shard directly")


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
