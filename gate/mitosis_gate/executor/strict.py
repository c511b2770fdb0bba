"""Strict SQL mode and writes whose rows are chosen by a SELECT first.

What is a warning in a SELECT, such as a text that is no number where one is compared with numbers,
ends a write of strict mode with an error, on the first row that has it.
"""

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import MysqlError, NotSupported
from mitosis_gate.executor.warned import Told
from mitosis_gate.planner.lexer import shape_of, tokens_of

_STATES = {1292: "22007", 1365: "22012", 1411: "HY000", 1441: "22008", 3020: "2201E"}
"""Warnings of expressions that are errors in strict mode, by number, with their SQLSTATE."""
_IS_STRICT = b"SELECT @@SESSION.sql_mode REGEXP 'STRICT_(TRANS|ALL)_TABLES'"
_WORDS_OF_VERB = 4


async def judge_choice(
    before: bytes, limit: int, told: list[Told], chosen: int, backend: BackendConnection
) -> None:
    """Raise what one server has against the write whose `chosen` rows were found with warnings.

    `before`: how it begins; `limit`: how many rows it wants at most.
    """
    found = [warning for warning in told if warning[1] in _STATES]
    if not found or _ignores(before):
        return
    if (await backend.query(_IS_STRICT)).values()[0][0] != b"1":
        return
    _, code, text = found[0]
    if chosen < limit:  # one server would have looked at all rows
        raise MysqlError(code, _STATES[code], text)
    raise NotSupported(
        f"a row of several shards has a warning ({text}), which ends a write in strict SQL mode if "
        "the row is met before LIMIT is reached, and that no order of several shards can tell: "
        "compare columns with values of their own type"
    )


def _ignores(before: bytes) -> bool:
    tokens = tokens_of(shape_of(before))
    return any(token.word == "IGNORE" for token in tokens[:_WORDS_OF_VERB])
