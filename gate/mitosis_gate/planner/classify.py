"""Which kind of statement it is, by its first words, and who makes the plan."""

from collections.abc import Callable

from mitosis_gate.planner import ddl, gate, own_variables, show, text_prepared
from mitosis_gate.planner.changes import change_rule, with_rule
from mitosis_gate.planner.effects import effects_of
from mitosis_gate.planner.hints import with_hints
from mitosis_gate.planner.inserts import insert_rule
from mitosis_gate.planner.keys import Halt
from mitosis_gate.planner.lexer import BadSql, Kind, statements_of
from mitosis_gate.planner.load import load_plan
from mitosis_gate.planner.plan import Batch, Empty, Flag, Kill, Plan, Refuse, Use, ViewNamed
from mitosis_gate.planner.queries import query_rule
from mitosis_gate.planner.refusals import not_understood, refuse
from mitosis_gate.planner.rewrite import copied
from mitosis_gate.planner.rules import Fixed, GateExplained, Mapped, Rule, any_shard, explained
from mitosis_gate.planner.statement import Statement
from mitosis_gate.planner.transactions import transaction_plan
from mitosis_gate.planner.variables import set_plan
from mitosis_gate.planner.views import used_as_table, with_views


def rule_for(statement: Statement) -> Rule:
    """The rule for a statement and all others of its shape; never raises."""
    try:
        return with_hints(_without_end(statement), _rule_for)
    except BadSql as exc:  # it may be the literals that are not understood
        return Fixed(not_understood(str(exc)), cacheable=False)
    except RecursionError:
        return Fixed(not_understood("it is nested too deeply"), cacheable=False)
    except Halt as exc:
        if isinstance(exc.plan, ViewNamed):
            return Fixed(used_as_table(statement, exc.plan))
        return Fixed(exc.plan, cacheable=isinstance(exc.plan, Refuse))


def _without_end(statement: Statement) -> Statement:
    tokens = statement.tokens
    while tokens and tokens[-1].kind is Kind.MARK and tokens[-1].text == ";":
        tokens = tokens[:-1]
    return Statement(statement.sql, tokens, statement.literals, statement.layout, statement.variant)


def _rule_for(statement: Statement) -> Rule:
    if not statement.tokens:
        return Fixed(Empty(has_comment=bool(statement.sql.strip(b"; \t\r\n\v\f"))))
    if not _is_program(statement):
        parts = statements_of(statement.sql, statement.tokens)
        if len(parts) > 1:
            return Fixed(Batch(parts), cacheable=False)
    word = statement.words[0]
    if word in ("SELECT", "SHOW") and (own := own_variables.asked(statement)) is not None:
        return Fixed(own, cacheable=word == "SELECT")
    if word in ("SELECT", "WITH") and b"processlist" in statement.sql.lower():
        processes = gate.processes_plan(statement)
        if processes is not None:
            return Fixed(processes, cacheable=False)
    if word == "GATE" and statement.word(1) != "EXPLAIN":
        return Fixed(gate.gate_plan(statement))
    with_definitions = with_views(statement, _rule_for)
    if with_definitions is not None:
        return with_definitions
    if word in _RULES:
        return _RULES[word](statement)
    if word in _PLANS:
        # the literal of SHOW VARIABLES LIKE may name a variable of the gate
        fixed = word in _FIXED_BY_SHAPE and "VARIABLES" not in statement.words
        return Fixed(_PLANS[word](statement), cacheable=fixed)
    if statement.is_mark(0, "("):
        return query_rule(statement)
    if word in _REFUSED:
        return Fixed(refuse(_REFUSED[word]))
    raise BadSql(f"`{statement.tokens[0].text[:20]}` begins no statement that is known here")


def _is_program(statement: Statement) -> bool:
    """CREATE PROCEDURE and the like, whose body has `;` of its own."""
    ahead = {t.word for t in statement.tokens[1:12]}
    return statement.words[0] in ("CREATE", "ALTER") and bool(ahead & ddl.PROGRAMS)


def _explain(statement: Statement) -> Rule:
    place = show.explained_from(statement)
    if not place:
        return Fixed(show.describe_plan(statement))
    return Mapped(_rule_for(statement.starting(place)), explained)


def _gate(statement: Statement) -> Rule:
    """GATE EXPLAIN [ANALYZE]."""
    analyze = statement.word(2) == "ANALYZE"
    place = 3 if analyze else 2
    if place >= len(statement.tokens):
        raise BadSql("GATE EXPLAIN wants a statement")
    inner = statement.starting(place)
    text = copied(statement, place, len(statement.tokens))
    return GateExplained(_rule_for(inner), text, analyze)


def _use(statement: Statement) -> Plan:
    if len(statement.tokens) != 2 or not statement.tokens[1].is_name:
        raise BadSql("USE wants the name of a database")
    return Use(statement.tokens[1].text)


def _kill(statement: Statement) -> Plan:
    query_only = statement.word(1) == "QUERY"
    at = 2 if statement.word(1) in ("QUERY", "CONNECTION") else 1
    if len(statement.tokens) != at + 1 or statement.tokens[at].kind is not Kind.LITERAL:
        raise BadSql("KILL wants the number of a connection")
    number = statement.literals[statement.tokens[at].slot]
    if not number.isdigit() or len(number) > 20:
        raise BadSql("KILL wants the number of a connection")
    return Kill(int(number), query_only)


def _do(statement: Statement) -> Plan:
    if any(t.word in ("SELECT", "TABLE") for t in statement.tokens):
        return refuse("DO with a subquery is not supported: use SELECT")
    effects = effects_of(statement.tokens)
    if effects.refusal is not None:
        return effects.refusal
    layout = statement.layout
    if layout.single:
        return layout.one(0, effects.flags)
    if effects.named_locks:
        return layout.one(layout.first, effects.flags | Flag.OUTSIDE)
    return any_shard(layout.everywhere, effects.flags)


def _on_one_server(statement: Statement) -> Plan:
    """What works on one connection to one server and nowhere else."""
    layout = statement.layout
    word = statement.words[0]
    if layout.single and not layout.has_sharded:
        return layout.one(0, Flag.WRITE | Flag.PINS)
    if word == "UNLOCK":
        return Empty(has_comment=True)  # nothing can be locked; mysqldump asks for it at its end
    return refuse(f"{word} is not supported in a keyspace with sharded tables: {_ONE_SERVER[word]}")


_ONE_SERVER = {
    "CALL": "send the statements of the procedure one by one",
    "HANDLER": "use SELECT",
    "LOCK": "use a transaction with SELECT ... FOR UPDATE (mysqldump: --skip-add-locks)",
    "UNLOCK": "nothing can be locked",
}


def _drop(statement: Statement) -> Plan:
    if statement.word(1) == "PREPARE":
        return text_prepared.deallocate_plan(statement)
    return ddl.ddl_plan(statement)


def _diagnostics(statement: Statement) -> Plan:
    """It sets user variables."""
    return any_shard(statement.layout.everywhere, Flag.LAST | Flag.PINS)


def _help(statement: Statement) -> Plan:
    return any_shard(statement.layout.everywhere, Flag.OUTSIDE)


_RULES: dict[str, Callable[[Statement], Rule]] = {
    "SELECT": query_rule,
    "WITH": with_rule,
    "TABLE": query_rule,
    "VALUES": query_rule,
    "INSERT": insert_rule,
    "REPLACE": insert_rule,
    "UPDATE": change_rule,
    "DELETE": change_rule,
    "EXPLAIN": _explain,
    "DESCRIBE": _explain,
    "DESC": _explain,
    "GATE": _gate,
}
_DDL = ("CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE", "ANALYZE", "OPTIMIZE", "CHECK", "REPAIR")
_TRANSACTIONS = ("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
_PLANS: dict[str, Callable[[Statement], Plan]] = {
    "SET": set_plan,
    "SHOW": show.show_plan,
    "USE": _use,
    "KILL": _kill,
    "DO": _do,
    "GET": _diagnostics,
    "HELP": _help,
    "LOAD": load_plan,
    "PREPARE": text_prepared.prepare_plan,
    "EXECUTE": text_prepared.execute_plan,
    "DEALLOCATE": text_prepared.deallocate_plan,
    **dict.fromkeys(_TRANSACTIONS, transaction_plan),
    **dict.fromkeys(_DDL, ddl.ddl_plan),
    "DROP": _drop,
    **dict.fromkeys(_ONE_SERVER, _on_one_server),
}
_FIXED_BY_SHAPE = frozenset({"SHOW", "USE", "DO", "GET", "HELP", *_TRANSACTIONS, *_ONE_SERVER})
"""Statements whose plan no literal can change."""

_SERVERS = "servers are run by the operator: use kubectl"
_FOR_SERVERS = (
    "FLUSH RESET PURGE CHANGE STOP SHUTDOWN RESTART CLONE INSTALL UNINSTALL BINLOG CACHE"
).split()
_ACCOUNTS = "users are those of the keyspace: change spec.users of the Keyspace"
_REFUSED = {
    "IMPORT": "IMPORT TABLE reads files of a server, which clients cannot reach",
    "XA": "the gate itself decides how transactions commit: use BEGIN and COMMIT",
    "GRANT": _ACCOUNTS,
    "REVOKE": _ACCOUNTS,
    "CHECKSUM": "CHECKSUM TABLE has another answer on each shard",
    "SIGNAL": "SIGNAL is for stored programs",
    "RESIGNAL": "SIGNAL is for stored programs",
    **dict.fromkeys(_FOR_SERVERS, _SERVERS),
}
