"""Statements made of all that begins, ends or hides a literal, for the lexer and the planner.

For each: nothing is raised but BadSql; what was cut apart gives the statement again; strings and
comments are where a second, simple-minded reader sees them; other values in the same places have
the same shape, so that no value can become code by way of the cache; the planner gives a plan.
"""

import re
from random import Random

from keyspaces import SCHEMA, routing_table
from mutations import mutated

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.lexer import BadSql, Kind, Shape, shape_of, statements_of, tokens_of
from mitosis_gate.planner.plan import Variant

PARTS = (
    *(b"'", b'"', b"`", b"\\", b"''", b'""', b"``", b"\\'", b"\\\\", b"\0", b"\n", b"\r", b"\t"),
    *(b"/*", b"*/", b"/*!", b"/*!50000 ", b"/*!80400", b"/*!999999 ", b"/**/", b"/*+ ", b"--"),
    *(b"-- ", b"--\n", b"#", b";", b",", b"(", b")", b".", b"@", b"@@", b"?", b":=", b"=", b"-"),
    *(b"_utf8mb4'a'", b"_binary 'a'", b"_latin1 X'41'", b"N'a'", b"n'", b"x'4'", b"X'41'", b"b'1'"),
    *(b"0x41", b"0x", b"0b1", b"1", b"1.", b".5", b"1e5", b"1e", b"1.5e-3", b"1a", b"$a", b"a$"),
    *(b"'a'", b"'a\\'b'", b'"a"', b"`a`", b"`a``b`", b"' -- '", b"'/*'", b"\xff", b"\xc3\x28"),
    *(b"\xf0\x9f\x98\x80", b"\xc3\xa9", b"\xe2\x80\xa8", b" ", b" ", b" ", b" "),
    *(b"SELECT ", b" FROM users ", b" WHERE user_id = ", b"INSERT INTO users VALUES (", b"OR "),
    *(
        b"UPDATE users SET name = ",
        b"DELETE FROM users",
        b" AND name = ",
        b" IN (1,2)",
        b" LIMIT 1",
    ),
    *(
        b"UNION ALL ",
        b"BEGIN",
        b"SET @a=",
        b"SET NAMES ",
        b"COLLATE utf8mb4_bin",
        b"KILL ",
        b"USE ",
    ),
    *(b"NULL", b"DATE'2024-01-01'", b"interval 1 day", b"CREATE TABLE t (", b"EXPLAIN ", b"SHOW "),
)
WHOLE = (
    b"SELECT name FROM users WHERE user_id = 7 AND name = 'O''Neil'",
    b"INSERT INTO users (user_id, name) VALUES (1, 'a'), (2, \"b\")",
    b"UPDATE users SET name = 'it\\'s' WHERE user_id = 0x41",
    b"SELECT /*!50000 user_id */ FROM users -- the end\nWHERE user_id IN (1, 2, 3)",
    b"DELETE FROM orders WHERE user_id = 1 # all of them\n",
    b"SELECT _utf8mb4'a' COLLATE utf8mb4_bin, N'b', X'4142', b'101', .5, 1e3",
)
_EXPONENT = re.compile(rb"[\d.][eE][+-]$")
STRINGS = (b"", b"x", b" -- ", b"/* */", b"; DROP TABLE users", b"\\\\", b"\\'", b"\xff\xfe", b"1")
CONTROLS = (*range(0x21), 0x7F)
FRACTIONS = (b".0", b".25", b".5e3")
NUMBERS = (b"0", b"1", b"18446744073709551616", b"1.5", b"2e10", b"0x41")


def statement(random: Random) -> bytes:
    if random.random() < 0.3:
        return mutated(random, random.choice(WHOLE))
    sql = b"".join(random.choice(PARTS) for _ in range(random.randint(1, 14)))
    return random.choice((b"", b"SELECT ", b"SELECT name FROM users WHERE name = ")) + sql


def run(seed: int, inputs: int) -> list[str]:
    planners = (Planner(SCHEMA, routing_table(4)), Planner(SCHEMA, routing_table(1)))
    found: list[str] = []
    for number in range(inputs):
        random = Random(seed + number)
        sql = statement(random)
        try:
            problem = problem_of(sql, random, planners[number % 2])
        except Exception as exc:
            problem = f"{type(exc).__name__}: {exc}"
        if problem:
            found.append(f"seed {seed + number}: {sql!r}: {problem}")
            if len(found) == 20:
                break
    return found


def problem_of(sql: bytes, random: Random, planner: Planner) -> str:
    planner.route(sql)
    planner.route(sql)
    planner.route(sql, Variant(utf8=False))
    planner.prepare(sql)
    try:
        shape = shape_of(sql)
    except BadSql:
        return ""
    if joined(shape, shape.literals) != sql:
        return f"the parts are not the whole: {shape}"
    expected = strings_of(sql)
    seen = strings_in(shape)
    if expected is None:
        return f"the simple reader finds no end, the lexer finds {seen}"
    if expected != seen:
        return f"strings are at {expected}, the lexer says {seen}"
    if any(_EXPONENT.search(text) for text in shape.texts):
        return ""  # `1e-2.5`: no number, but with another value behind the sign it may be one
    others = [other(random, literal) for literal in shape.literals]
    again = shape_of(joined(shape, others))
    if again.texts != shape.texts or again.literals != others:
        return f"other values have another shape: {others} make {again}"
    return _tokens_problem(sql, shape)


def _tokens_problem(sql: bytes, shape: Shape) -> str:
    try:
        tokens = tokens_of(shape)
    except BadSql:
        return ""
    at = 0
    for token in tokens:
        if not at <= token.start < token.end <= len(sql):
            return f"tokens overlap at {token}"
        at = token.end
        if (
            token.kind is Kind.LITERAL
            and sql[token.start : token.end] != (shape.literals[token.slot])
        ):
            return f"a literal is elsewhere: {token}"
    for part in statements_of(sql, tokens):
        if part not in sql:
            return "a statement of the text is not in the text"
    return ""


def joined(shape: Shape, literals: list[bytes]) -> bytes:
    parts = [shape.texts[0]]
    for literal, text in zip(literals, shape.texts[1:], strict=True):
        parts += (literal, text)
    return b"".join(parts)


def other(random: Random, literal: bytes) -> bytes:
    """Another value of the same kind, in the same quotes."""
    quote = literal[-1:]
    if literal == b"?":
        return literal
    if quote not in (b"'", b'"'):
        return random.choice(FRACTIONS if literal[:1] == b"." else NUMBERS)
    if literal[:1] in b"xXbB":
        return literal
    head = literal[: literal.index(quote)]
    return head + quote + random.choice(STRINGS).replace(b"\\'", b"\\" + quote) + quote


def strings_in(shape: Shape) -> list[tuple[int, int]]:
    """Where strings begin and end, without what stands before their quote."""
    found = []
    at = 0
    for text, literal in zip(shape.texts, [*shape.literals, b""], strict=True):
        at += len(text)
        if literal[-1:] in (b"'", b'"') and literal:
            found.append((at + literal.index(literal[-1:]), at + len(literal)))
        at += len(literal)
    return found


def strings_of(sql: bytes) -> list[tuple[int, int]] | None:
    """The same, byte by byte; None when a string, a quoted name or a comment does not end."""
    found = []
    at = 0
    inside = False
    while at < len(sql):
        rest = sql[at : at + 3]
        byte = sql[at : at + 1]
        if byte in (b"'", b'"', b"`"):
            end = _end_of_quote(sql, at)
            if end is None:
                return None
            if byte != b"`":
                found.append((at, end))
            at = end
        elif rest[:2] == b"/*" and rest != b"/*!":
            end = sql.find(b"*/", at + 2)
            if end < 0:
                return None
            at = end + 2
        elif rest == b"/*!":
            at += 3
            inside = True
        elif byte == b"#" or (rest[:2] == b"--" and (len(rest) < 3 or rest[2] in CONTROLS)):
            end = sql.find(b"\n", at)
            at = len(sql) if end < 0 else end
        else:
            at += 2 if inside and rest[:2] == b"*/" else 1
    return found


def _end_of_quote(sql: bytes, at: int) -> int | None:
    quote = sql[at : at + 1]
    at += 1
    while at < len(sql):
        byte = sql[at : at + 1]
        if byte == b"\\" and quote != b"`":
            at += 2
        elif byte == quote:
            if sql[at + 1 : at + 2] != quote:
                return at + 1
            at += 2
        else:
            at += 1
    return None
