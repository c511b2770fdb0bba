"""From the answers of several shards to one; pure.

Rows are put one after the other, shard by shard, and never decoded. Column definitions are those of
the first shard, once all shards agree on what the columns are.
"""

from collections.abc import Sequence

from mitosis_gate.errors import ShardsDisagree
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.packets import Column, Ok

MOST_WARNINGS = 0xFFFF
"""As many as the protocol can tell."""
ABOUT_TEXT = frozenset({1287, 1681, 3719, 3778, 3779})
"""Warnings of deprecated words and character sets: each server finds them when it reads the
statement."""
_WITH_DECIMALS = frozenset(
    {
        c.TYPE_DECIMAL,
        c.TYPE_NEWDECIMAL,
        c.TYPE_FLOAT,
        c.TYPE_DOUBLE,
        c.TYPE_TIME,
        c.TYPE_DATETIME,
        c.TYPE_TIMESTAMP,
    }
)
_WHOLE_NUMBERS = (
    c.TYPE_TINY,
    c.TYPE_YEAR,
    c.TYPE_SHORT,
    c.TYPE_INT24,
    c.TYPE_LONG,
    c.TYPE_LONGLONG,
)
"""From narrow to wide."""
_STRINGS = (
    c.TYPE_STRING,
    c.TYPE_VAR_STRING,
    c.TYPE_TINY_BLOB,
    c.TYPE_BLOB,
    c.TYPE_MEDIUM_BLOB,
    c.TYPE_LONG_BLOB,
)
_WIDEST = dict.fromkeys(_WHOLE_NUMBERS, c.TYPE_LONGLONG) | dict.fromkeys(_STRINGS, c.TYPE_LONG_BLOB)
_HINT = "their tables differ; look for DDL that reached only some of the shards"


def agreed_columns(
    answers: Sequence[tuple[str, Sequence[bytes]]], widens: bool = False
) -> Sequence[bytes]:
    """Return the definitions of the first shard; raise ShardsDisagree, naming two shards.

    What may differ: the longest value so far, whether a column can be NULL, and the decimals of a
    column of text, which MySQL concludes from the rows it finds and from the way it takes. With
    `widens` also the width of what is computed, which depends on the same, and the character set of
    JSON: then each column is the widest.
    """
    first_shard, first = answers[0]
    agreed = first
    for shard, definitions in answers[1:]:
        if len(definitions) != len(first):
            raise ShardsDisagree(
                f"{first_shard} answers with {len(first)} columns and {shard} with "
                f"{len(definitions)}: {_HINT}"
            )
        for place, definition in enumerate(definitions):
            if definition == agreed[place]:
                continue
            ours, theirs = packets.column(agreed[place]), packets.column(definition)
            if _meaning(ours, widens) != _meaning(theirs, widens):
                raise ShardsDisagree(
                    f"column '{ours.name}' is not the same on {first_shard} and {shard}: "
                    "their tables differ; look for DDL that reached only some shards"
                )
            if _width(theirs) > _width(ours):
                agreed = [*agreed[:place], definition, *agreed[place + 1 :]]
    return agreed


def _meaning(column: Column, widens: bool) -> tuple[str, int, int, int, int]:
    is_computed = not column.original_table
    return (
        column.name,
        _WIDEST.get(column.type, column.type) if widens and is_computed else column.type,
        0 if widens and column.type == c.TYPE_JSON else column.charset,
        column.decimals if column.type in _WITH_DECIMALS else 0,
        column.flags & c.FLAG_UNSIGNED,
    )


def _width(column: Column) -> int:
    for kinds in (_WHOLE_NUMBERS, _STRINGS):
        if column.type in kinds:
            return kinds.index(column.type)
    return 0


def same_effect(answers: Sequence[tuple[str, Ok]]) -> Ok:
    """Return the answer of the first shard to a write that all shards must take alike."""
    first_shard, first = answers[0]
    for shard, ok in answers[1:]:
        if ok.affected != first.affected:
            raise ShardsDisagree(
                f"the write changes {first.affected} rows on {first_shard} and {ok.affected} on "
                f"{shard}: the copies of the table differ; it was undone on all shards. "
                "Compare the copies and make them equal first"
            )
        if ok.last_insert_id != first.last_insert_id:
            raise ShardsDisagree(
                f"the write makes id {first.last_insert_id} on {first_shard} and "
                f"{ok.last_insert_id} on {shard}; it was undone on all shards. "
                "Give the id in the statement"
            )
    return first
