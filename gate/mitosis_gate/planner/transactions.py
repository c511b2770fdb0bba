"""BEGIN, COMMIT, ROLLBACK, savepoints and SET TRANSACTION."""

from mitosis_gate.planner.lexer import BadSql
from mitosis_gate.planner.plan import (
    PLAIN_BEGIN,
    PLAIN_COMMIT,
    PLAIN_ROLLBACK,
    SetTransaction,
    TransactionControl,
    TransactionVerb,
)
from mitosis_gate.planner.statement import Statement

_PLAIN = {plan: plan for plan in (PLAIN_BEGIN, PLAIN_COMMIT, PLAIN_ROLLBACK)}
LEVELS = ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


def transaction_plan(statement: Statement) -> TransactionControl:
    """Raise BadSql unless the whole statement is understood."""
    plan = _read(statement, [t.word for t in statement.tokens])
    return _PLAIN.get(plan, plan)


def _read(statement: Statement, words: list[str]) -> TransactionControl:
    if words[0] in ("SAVEPOINT", "RELEASE") or "TO" in words:
        return _savepoint(statement, words)
    if words[0] == "BEGIN" and words[1:] in ([], ["WORK"]):
        return PLAIN_BEGIN
    if words[:2] == ["START", "TRANSACTION"]:
        return _start(statement)
    if words[0] in ("COMMIT", "ROLLBACK"):
        return _end(TransactionVerb(words[0]), words[1:])
    raise BadSql("this form of transaction control is unknown here")


def _savepoint(statement: Statement, words: list[str]) -> TransactionControl:
    forms = {
        ("SAVEPOINT",): TransactionVerb.SAVEPOINT,
        ("RELEASE", "SAVEPOINT"): TransactionVerb.RELEASE,
        ("ROLLBACK", "TO"): TransactionVerb.ROLLBACK_TO,
        ("ROLLBACK", "TO", "SAVEPOINT"): TransactionVerb.ROLLBACK_TO,
        ("ROLLBACK", "WORK", "TO"): TransactionVerb.ROLLBACK_TO,
        ("ROLLBACK", "WORK", "TO", "SAVEPOINT"): TransactionVerb.ROLLBACK_TO,
    }
    verb = forms.get(tuple(words[:-1]))
    if verb is None or not statement.tokens[-1].is_name:
        raise BadSql("the name of the savepoint is missing")
    return TransactionControl(verb, savepoint=statement.tokens[-1].text)


def _start(statement: Statement) -> TransactionControl:
    snapshot, read_only = False, None
    for part in _parts(statement, 2):
        if part == ["WITH", "CONSISTENT", "SNAPSHOT"]:
            snapshot = True
        elif part in (["READ", "ONLY"], ["READ", "WRITE"]) and read_only is None:
            read_only = part[1] == "ONLY"
        else:
            raise BadSql("a characteristic of the transaction is unknown here")
    return TransactionControl(TransactionVerb.BEGIN, read_only=read_only, snapshot=snapshot)


def _parts(statement: Statement, first: int) -> list[list[str]]:
    """Words between commas."""
    parts: list[list[str]] = [[]]
    for token in statement.tokens[first:]:
        if token.text == ",":
            parts.append([])
        else:
            parts[-1].append(token.word or "?")
    return [] if parts == [[]] else parts


def _end(verb: TransactionVerb, words: list[str]) -> TransactionControl:
    rest = words[1:] if words[:1] == ["WORK"] else words
    chain = release = False
    while rest:
        if rest[:2] == ["AND", "CHAIN"]:
            chain, rest = True, rest[2:]
        elif rest[:3] == ["AND", "NO", "CHAIN"]:
            rest = rest[3:]
        elif rest[:1] == ["RELEASE"]:
            release, rest = True, rest[1:]
        elif rest[:2] == ["NO", "RELEASE"]:
            rest = rest[2:]
        else:
            raise BadSql("what follows is unknown here")
    return TransactionControl(verb, chain=chain, release=release)


def set_transaction(statement: Statement, first: int, session: bool) -> SetTransaction:
    """SET [SESSION] TRANSACTION, from the token behind TRANSACTION on."""
    isolation, read_only = "", None
    for part in _parts(statement, first):
        text = " ".join(part)
        level = text.removeprefix("ISOLATION LEVEL ")
        if level != text and level in LEVELS and not isolation:
            isolation = level
        elif text in ("READ ONLY", "READ WRITE") and read_only is None:
            read_only = text == "READ ONLY"
        else:
            raise BadSql("a characteristic of the transaction is unknown here")
    if not isolation and read_only is None:
        raise BadSql("it sets nothing")
    return SetTransaction(session, isolation, read_only)
