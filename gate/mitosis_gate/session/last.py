"""What the statement before left behind, when it was the gate that answered it.

A statement that one server answered is asked about on that server's connection: it was kept when
there is a warning or an error to show. The gate's own answers (several shards, BEGIN, SET) and
answers whose connection somebody else has taken meanwhile are remembered here: number of rows, rows
found, warnings. A statement that asks for them gets the values as literals in the place of the
functions, and column definitions as a server gives them for the statement as it was written.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import MysqlError, NotSupported
from mitosis_gate.executor.client import Client
from mitosis_gate.planner.lexer import Kind, Token, shape_of, tokens_of
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import Splitter

CALCULATES = re.compile(rb"\bsql_calc_found_rows\b", re.IGNORECASE)
_FUNCTIONS = frozenset({"ROW_COUNT", "FOUND_ROWS"})
_VARIABLES = frozenset({"warning_count", "error_count"})
WARNING, ERROR = b"Warning", b"Error"
_NOT_PREPARED = 1295
"""MySQL prepares nothing with @@warning_count or @@error_count."""


@dataclass(frozen=True, slots=True)
class Message:
    """A row of SHOW WARNINGS."""

    level: bytes
    code: int
    text: str

    def row(self) -> bytes:
        return packets.text_row([self.level, b"%d" % self.code, self.text.encode()])


@dataclass(frozen=True, slots=True)
class Left:
    """Behind one statement."""

    row_count: int = -1
    found_rows: int | None = 1
    """None: nobody counted them."""
    messages: tuple[Message, ...] = ()

    def values(self) -> Mapping[str, bytes]:
        """What stands for each function and variable."""
        errors = sum(m.level == ERROR for m in self.messages)
        found = {
            "ROW_COUNT": b"%d" % self.row_count,
            "warning_count": b"%d" % len(self.messages),
            "error_count": b"%d" % errors,
        }
        if self.found_rows is not None:
            found["FOUND_ROWS"] = b"%d" % self.found_rows
        return found


async def messages_of(connection: BackendConnection) -> list[Message]:
    """What SHOW WARNINGS says there; it leaves everything as it is."""
    rows = (await connection.query(b"SHOW WARNINGS")).values()
    return [
        Message(level or b"", int(code or 0), (text or b"").decode(errors="replace"))
        for level, code, text in rows
    ]


async def answer(client: Client, connection: BackendConnection, sql: bytes, left: Left) -> bool:
    """Answer a statement about the one before; False: it asks for nothing that is kept here."""
    shape = shape_of(sql)
    tokens = tokens_of(shape)
    words = [t.word for t in tokens]
    if words[0] == "GET":
        raise NotSupported(
            "GET DIAGNOSTICS after a statement that the gate itself answered: use SHOW WARNINGS"
        )
    if words[0] == "SHOW":
        limits = [int(x) for x in shape.literals if x.isdigit()]
        await _show(client, connection, sql, words, limits, left)
        return True
    text = spliced(sql, tokens, left.values())
    if text == sql:
        return False
    if words[0] not in ("SELECT", "WITH"):
        await client.relay(connection, text)
        return True
    columns = await _columns_of(connection, sql)
    result = await connection.query(text)
    client.send_result(columns, result.rows, result.ok.warnings)
    return True


async def _columns_of(connection: BackendConnection, sql: bytes) -> Sequence[bytes]:
    """What a server says of the columns of a statement, without running it if it can."""
    try:
        _, described = await connection.prepare((sql, connection.applied), sql)
    except MysqlError as exc:
        if exc.number != _NOT_PREPARED:
            raise
        return (await connection.query(sql)).columns
    return definitions(described)[1]


async def _show(
    client: Client,
    connection: BackendConnection,
    sql: bytes,
    words: Sequence[str],
    limits: Sequence[int],
    left: Left,
) -> None:
    only_errors = "ERRORS" in words
    columns = (await connection.query(sql)).columns
    found = [m for m in left.messages if m.level == ERROR or not only_errors]
    if "COUNT" in words:
        client.send_result(columns, [packets.text_row([b"%d" % len(found)])])
        return
    if len(limits) == 2:
        found = found[limits[0] : limits[0] + limits[1]]
    elif limits:
        found = found[: limits[0]]
    client.send_result(columns, [m.row() for m in found])


def spliced(sql: bytes, tokens: Sequence[Token], values: Mapping[str, bytes]) -> bytes:
    """The statement with what is known in the place of what asks for it."""
    parts = []
    at = 0
    for start, end, name in _questions(tokens):
        if name not in values:
            raise NotSupported(
                "nobody counted the rows of the statement before: ask for FOUND_ROWS() with "
                "SELECT SQL_CALC_FOUND_ROWS, or inside the same transaction"
            )
        parts += [sql[at:start], b" ", values[name], b" "]
        at = end
    return b"".join((*parts, sql[at:])) if parts else sql


def _questions(tokens: Sequence[Token]) -> list[tuple[int, int, str]]:
    """Where it asks about the statement before: begin, end and what for."""
    found = []
    for place, token in enumerate(tokens):
        called = [t.text for t in tokens[place + 1 : place + 3]] == ["(", ")"]
        if token.word in _FUNCTIONS and called:
            found.append((token.start, tokens[place + 2].end, token.word))
        elif token.kind is Kind.VARIABLE and token.text.startswith("@@"):
            name = token.text[2:].lower().rpartition(".")[2]
            if name in _VARIABLES:
                found.append((token.start, token.end, name))
    return found


def definitions(answer: bytes) -> tuple[list[bytes], list[bytes]]:
    """The parameters and the columns that the answer to a PREPARE describes."""
    splitter = Splitter(len(answer))
    splitter.sequence = 1
    splitter.feed(answer)
    prepared = packets.prepared(splitter.next() or b"")
    found = []
    while (payload := splitter.next()) is not None:
        if payload[0] != 0xFE:
            found.append(payload)
    return found[: prepared.parameters], found[prepared.parameters :]
