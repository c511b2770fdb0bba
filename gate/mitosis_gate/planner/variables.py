"""SET: which variables of a session there are, and what the gate does about each.

A variable that is not named here is applied on the servers, which then judge it. Refused are those
that mean another thing behind a gate, or that would change how statements must be read.
"""

from mitosis_gate.planner import own_variables
from mitosis_gate.planner.effects import effects_of
from mitosis_gate.planner.lexer import BadSql, Kind, unquoted
from mitosis_gate.planner.plan import Assignment, Flag, Plan, Refuse, SetClass, SetStatement
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.statement import Statement
from mitosis_gate.planner.transactions import set_transaction

GATE = frozenset(
    "autocommit character_set_client character_set_connection character_set_results "
    "collation_connection transaction_isolation transaction_read_only".split()
)
IGNORED = frozenset(
    "wait_timeout interactive_timeout net_read_timeout net_write_timeout net_buffer_length "
    "max_allowed_packet query_cache_type query_cache_size storage_engine profiling "
    "profiling_history_size session_track_gtids session_track_schema session_track_state_change "
    "session_track_system_variables session_track_transaction_info".split()
)
_REFUSED = {
    "sql_log_bin": "what is not logged never reaches the replicas",
    "sql_auto_is_null": "the last generated number is known on one connection only",
    "auto_increment_increment": "it belongs to the operator",
    "auto_increment_offset": "it belongs to the operator",
    "insert_id": "generated numbers belong to the shards",
    "last_insert_id": "generated numbers belong to the shards",
    "identity": "generated numbers belong to the shards",
    "xa_detach_on_prepare": "transactions over several shards depend on it",
    "gtid_next": "transaction numbers belong to the servers",
    "pseudo_thread_id": "it belongs to the servers",
    "pseudo_replica_mode": "it belongs to the servers",
    "pseudo_slave_mode": "it belongs to the servers",
    "server_id": "it belongs to the operator",
    "super_read_only": "it belongs to the operator",
    "read_only": "it belongs to the operator",
    "character_set_filesystem": "files of the servers are out of reach",
}
_OFF_ONLY = frozenset({"sql_auto_is_null"})
"""Refused, but some frameworks make sure that it is off, as it is."""
_MODES_READ_OTHERWISE = (
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES",
    "PIPES_AS_CONCAT",
    "HIGH_NOT_PRECEDENCE",
    "ANSI",
    "PAD_CHAR_TO_FULL_LENGTH",
)
_UNREADABLE_CHARACTER_SETS = frozenset(
    "gbk sjis big5 gb18030 cp932 gb2312 euckr ujis eucjpms ucs2 utf16 utf16le utf32".split()
)
_ALIASES = {
    "tx_isolation": "transaction_isolation",
    "tx_read_only": "transaction_read_only",
    "charset": "character set",
}
_FOREIGN_SCOPES = frozenset({"GLOBAL", "PERSIST", "PERSIST_ONLY"})


def set_plan(statement: Statement) -> Plan:
    words = statement.words
    if words[1:2] == ("TRANSACTION",):
        return set_transaction(statement, 2, session=False)
    if words[2:3] == ("TRANSACTION",) and words[1] in ("SESSION", "LOCAL"):
        return set_transaction(statement, 3, session=True)
    if words[1:2] == ("PASSWORD",):
        return refuse("passwords are those of the keyspace's users: change the Secret")
    if words[1:2] in (("ROLE",), ("DEFAULT",), ("RESOURCE",)):
        return refuse("roles and resource groups are not supported through the gate")
    if words[2:3] == ("TRANSACTION",):
        return _foreign_scope()
    return _assignments(statement)


def _assignments(statement: Statement) -> Plan:
    found: list[Assignment] = []
    if len(statement.tokens) < 2:
        raise BadSql("SET is not complete")
    refusal = _refused_expressions(statement)
    if refusal is not None:
        return refusal
    for first, last in statement.parts(1, len(statement.tokens)):
        part = _assignment(statement, first, last)
        if isinstance(part, Refuse):
            return part
        found.append(part)
    return SetStatement(tuple(found))


def _refused_expressions(statement: Statement) -> Refuse | None:
    """Why values cannot be computed on a connection of whichever shard."""
    effects = effects_of(statement.tokens)
    if effects.refusal is not None:
        return effects.refusal
    if effects.flags & Flag.LAST or effects.named_locks:
        return refuse(
            "SET cannot ask for LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS() or a named lock: use "
            "SELECT and keep the value in the program"
        )
    reads = any(t.word in ("FROM", "TABLE") for t in statement.tokens)
    if reads and not statement.layout.single:
        return refuse("SET cannot read tables of several shards: SELECT the value first")
    return None


def _assignment(statement: Statement, first: int, last: int) -> Assignment | Refuse:
    if last - first < 2:
        raise BadSql("SET is not complete")
    word = statement.word(first)
    if word == "NAMES":
        return _names(statement, first + 1, last)
    if word == "CHARSET" or (word, statement.word(first + 1)) == ("CHARACTER", "SET"):
        at = first + (1 if word == "CHARSET" else 2)
        return _character_set("character set", statement.text(at, last))
    return _variable(statement, first, last)


def _names(statement: Statement, first: int, last: int) -> Assignment | Refuse:
    collated = last - first == 3 and statement.word(first + 1) == "COLLATE"
    if last - first != 1 and not collated:
        raise BadSql("SET NAMES is not complete")
    refusal = _character_set("names", statement.text(first, first + 1))
    if isinstance(refusal, Refuse):
        return refusal
    return Assignment("names", statement.text(first, last), SetClass.GATE)


def _variable(statement: Statement, first: int, last: int) -> Assignment | Refuse:
    token = statement.tokens[first]
    if token.kind is Kind.VARIABLE and not token.text.startswith("@@"):
        return _user_variable(statement, first, last)
    name, at = _name(statement, first)
    if isinstance(name, Refuse):
        return name
    if not (statement.is_mark(at, "=") or statement.is_mark(at, ":=")) or at + 1 >= last:
        raise BadSql("SET is not complete")
    value = statement.text(at + 1, last)
    if not _is_literal(statement, at + 1, last):
        refusal = _refused_name(name)
        return refusal or Assignment(name, value, _class_of(name), literal=False)
    return judged(name, value)


def _name(statement: Statement, first: int) -> tuple[str | Refuse, int]:
    """The name in lower case without its scope, and the place behind it."""
    token = statement.tokens[first]
    if token.kind is Kind.VARIABLE:
        scope, _, name = token.text[2:].rpartition(".")
        if scope.upper() in _FOREIGN_SCOPES:
            return _foreign_scope(), first
        if scope.upper() not in ("", "SESSION", "LOCAL") or not name:
            raise BadSql(f"the variable {token.text} is unknown here")
        return _canonical(name), first + 1
    if token.word in _FOREIGN_SCOPES:
        return _foreign_scope(), first
    at = first
    if token.word in ("SESSION", "LOCAL") and statement.tokens[first + 1].is_name:
        at += 1
    if not statement.tokens[at].is_name:
        raise BadSql("the name of the variable is missing")
    if statement.is_mark(at + 1, "."):
        return refuse("variables of components are set on the servers, by the operator"), at
    return _canonical(statement.tokens[at].text), at + 1


def _canonical(name: str) -> str:
    return _ALIASES.get(name.lower(), name.lower())


def _foreign_scope() -> Refuse:
    return refuse(
        "the gate sets variables of the session only: put settings of the servers into "
        "spec.mysql.config of the keyspace",
        1227,
    )


def _is_literal(statement: Statement, first: int, last: int) -> bool:
    tokens = statement.tokens[first:last]
    if len(tokens) == 2 and tokens[0].text in "+-":
        tokens = tokens[1:]
    return len(tokens) == 1 and tokens[0].kind in (Kind.LITERAL, Kind.WORD, Kind.QUOTED)


def _user_variable(statement: Statement, first: int, last: int) -> Assignment | Refuse:
    token, at = statement.tokens[first], first + 1
    name = token.text[1:]
    if not name and at < last:
        quoted = statement.tokens[at]
        name, at = _quoted_name(statement, at) if quoted.kind is not Kind.MARK else ("", at)
    if not name or not (statement.is_mark(at, "=") or statement.is_mark(at, ":=")):
        raise BadSql("SET is not complete")
    if at + 1 >= last:
        raise BadSql("SET is not complete")
    value = statement.text(at + 1, last)
    literal = _is_literal(statement, at + 1, last) and not _is_name(statement, at + 1)
    return Assignment(name.lower(), value, SetClass.USER, literal)


def _is_name(statement: Statement, place: int) -> bool:
    word = statement.word(place)
    return statement.tokens[place].is_name and word not in ("NULL", "TRUE", "FALSE")


def _quoted_name(statement: Statement, place: int) -> tuple[str, int]:
    token = statement.tokens[place]
    if token.kind is Kind.LITERAL:
        return unquoted(statement.literals[token.slot]).decode("utf-8", "replace"), place + 1
    return token.text, place + 1


def judged(name: str, value: bytes) -> Assignment | Refuse:
    """Judge a session variable that gets a literal or a word such as ON or DEFAULT."""
    plain = _plain(value)
    if name in _OFF_ONLY and plain.upper() in ("0", "OFF", "FALSE"):
        return Assignment(name, value, SetClass.IGNORE)
    if name in own_variables.OWN:
        return own_variables.judged(name, value, plain)
    refusal = _refused_name(name)
    if refusal is not None:
        return refusal
    if name == "sql_mode":
        modes = {mode.strip().upper() for mode in plain.split(",")}
        odd = next((mode for mode in _MODES_READ_OTHERWISE if mode in modes), "")
        if odd or plain.isdigit():
            return refuse(
                f"sql_mode {odd or plain} changes how statements are read, which the gate does not "
                "follow: leave it out and name modes by their words"
            )
    if name.startswith("character_set_") or name == "collation_connection":
        return _character_set(name, value)
    return Assignment(name, value, _class_of(name))


def _character_set(name: str, value: bytes) -> Assignment | Refuse:
    plain = _plain(value).lower()
    if plain.split("_")[0] in _UNREADABLE_CHARACTER_SETS and name != "character_set_results":
        return refuse(
            f"the client character set {plain} is not supported, because bytes of its characters "
            "look like quotes: use utf8mb4"
        )
    return Assignment(name, value, SetClass.GATE)


def _plain(value: bytes) -> str:
    text = unquoted(value) if value[:1] in (b"'", b'"') else value.strip(b"`")
    return text.decode("utf-8", "replace").strip()


def _refused_name(name: str) -> Refuse | None:
    reason = _REFUSED.get(name)
    return refuse(f"{name} cannot be set through the gate: {reason}", 1238) if reason else None


def _class_of(name: str) -> SetClass:
    if name in own_variables.OWN:
        return SetClass.OWN
    if name in GATE:
        return SetClass.GATE
    return SetClass.IGNORE if name in IGNORED else SetClass.APPLY
