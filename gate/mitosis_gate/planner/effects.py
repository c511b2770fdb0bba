"""What a statement does besides reading and writing rows: state of the connection, files, locks."""

from collections.abc import Sequence
from dataclasses import dataclass

from mitosis_gate.planner.lexer import Kind, Token
from mitosis_gate.planner.plan import Flag, Refuse
from mitosis_gate.planner.refusals import refuse

_ABOUT_THE_LAST = frozenset({"LAST_INSERT_ID", "ROW_COUNT", "FOUND_ROWS"})
_TELL_THE_ID = frozenset({"INSERT", "REPLACE", "UPDATE", "SET"})
"""Statements whose OK tells the value of LAST_INSERT_ID(value); others leave it on a server."""
_LAST_VARIABLES = frozenset(
    {"last_insert_id", "identity", "warning_count", "error_count", "insert_id"}
)
LOCKS = frozenset({"GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS", "IS_FREE_LOCK", "IS_USED_LOCK"})
AGGREGATES = frozenset(
    "ANY_VALUE AVG BIT_AND BIT_OR BIT_XOR COUNT GROUP_CONCAT GROUPING JSON_ARRAYAGG JSON_OBJECTAGG "
    "MAX MIN STD STDDEV STDDEV_POP STDDEV_SAMP ST_COLLECT SUM VARIANCE VAR_POP VAR_SAMP".split()
)
_DIFFERS_BY_SERVER = frozenset(
    "UUID UUID_SHORT RAND RANDOM_BYTES CONNECTION_ID SYSDATE USER CURRENT_USER SESSION_USER "
    "SYSTEM_USER LOAD_FILE SLEEP GET_LOCK RELEASE_LOCK RELEASE_ALL_LOCKS IS_FREE_LOCK IS_USED_LOCK "
    "LAST_INSERT_ID ROW_COUNT FOUND_ROWS".split()
)


VARIABLE_SET = refuse(
    "a SELECT of several shards cannot set user variables or LAST_INSERT_ID(): each shard would "
    "set its own; SELECT the value, and SET @name to it"
)


@dataclass(frozen=True, slots=True)
class Effects:
    flags: Flag = Flag.NONE
    named_locks: bool = False
    """GET_LOCK and its family: all sessions must ask the same server."""
    differs_by_server: str = ""
    """A function whose result is not the same on two servers, if the statement calls one."""
    variable_set: bool = False
    """It sets a user variable on its way, or the value of LAST_INSERT_ID()."""
    refusal: Refuse | None = None


def effects_of(tokens: Sequence[Token]) -> Effects:
    flags = Flag.NONE
    named_locks = variable_set = False
    differs = ""
    for place, token in enumerate(tokens):
        if token.kind is Kind.VARIABLE:
            flags |= _of_variable(token.text)
            if token.text.startswith("@@") and differs == "":
                differs = token.text
            if not token.text.startswith("@@") and _is(tokens, place + 1, ":="):
                variable_set = True
        elif token.kind is Kind.WORD:
            word = token.word
            if word in ("INTO", "OUTFILE", "DUMPFILE"):
                if word != "INTO":
                    return Effects(refusal=refuse(f"INTO {word} writes a file on a server"))
                variable_set |= _is_variable(tokens, place + 1)
            elif word == "SQL_CALC_FOUND_ROWS" and place < 8:
                continue
            elif _is(tokens, place + 1, "("):
                if word in _ABOUT_THE_LAST and _is(tokens, place + 2, ")"):
                    flags |= Flag.LAST
                elif word == "LAST_INSERT_ID":
                    variable_set |= tokens[0].word not in _TELL_THE_ID
                named_locks |= word in LOCKS
                if word in _DIFFERS_BY_SERVER:
                    differs = word
                if word == "CONNECTION_ID":
                    return Effects(refusal=_connection_id())
    if variable_set or named_locks:
        flags |= Flag.PINS
    return Effects(flags, named_locks, differs, variable_set)


_CLOCKS = frozenset(
    "NOW CURRENT_TIMESTAMP LOCALTIME LOCALTIMESTAMP CURDATE CURRENT_DATE CURTIME CURRENT_TIME "
    "UTC_DATE UTC_TIME UTC_TIMESTAMP UNIX_TIMESTAMP".split()
)


def reads_the_clock(tokens: Sequence[Token]) -> bool:
    """Whether the result depends on when a server begins with the statement."""
    for place, token in enumerate(tokens):
        if token.word in _CLOCKS:
            opened = _is(tokens, place + 1, "(")
            if token.word != "UNIX_TIMESTAMP" and (opened or token.word.startswith(_BARE)):
                return True
            if opened and _is(tokens, place + 2, ")"):
                return True
    return False


_BARE = ("CURRENT_", "LOCALTIME", "UTC_")


def refusal_for_many(effects: Effects) -> Refuse | None:
    """Why a statement with tables must not run when the keyspace has several shards."""
    if effects.named_locks:
        return refuse(
            "GET_LOCK and its family cannot stand in a statement with tables: call them in a "
            "SELECT of their own"
        )
    return VARIABLE_SET if effects.variable_set else None


def calls(tokens: Sequence[Token], names: frozenset[str]) -> str:
    """The first function of `names` that is called, or an empty string."""
    for place, token in enumerate(tokens):
        if token.kind is Kind.WORD and token.word in names and _is(tokens, place + 1, "("):
            return token.word
    return ""


def _of_variable(text: str) -> Flag:
    if not text.startswith("@@"):
        return Flag.VARIABLES
    return Flag.LAST if text[2:].lower().rsplit(".", 1)[-1] in _LAST_VARIABLES else Flag.NONE


def _connection_id() -> Refuse:
    return refuse(
        "CONNECTION_ID() is answered only in a SELECT of its own, because the number is the gate's "
        "and the servers have others"
    )


def _is(tokens: Sequence[Token], place: int, text: str) -> bool:
    return place < len(tokens) and tokens[place].text == text


def _is_variable(tokens: Sequence[Token], place: int) -> bool:
    return place < len(tokens) and tokens[place].kind is Kind.VARIABLE
