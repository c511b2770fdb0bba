"""What becomes of a SELECT whose rows lie on several shards; planned when that first happens."""

from collections.abc import Sequence

from sqlglot import exp

from mitosis_gate.planner.effects import reads_the_clock
from mitosis_gate.planner.finishing import finish_rule
from mitosis_gate.planner.keys import Halt, Reading
from mitosis_gate.planner.layout import Layout
from mitosis_gate.planner.lexer import BadSql, shape_of, tokens_of
from mitosis_gate.planner.merges import merge_rule
from mitosis_gate.planner.parse import places_of, tree_of
from mitosis_gate.planner.pins import Literal, Param
from mitosis_gate.planner.plan import Flag, Merge, Plan, Recipe, Refuse, UnknownTable, Variant
from mitosis_gate.planner.refusals import not_understood
from mitosis_gate.planner.rules import Several
from mitosis_gate.planner.statement import Statement

_MOST_KEPT = 32
"""Shapes in which numbers of columns stand have a rule for each set of numbers."""


class Later:
    """Plans for several shards, made at the first statement of the shape that needs one.

    Nearly all shapes have one key and never do. Until then nothing but the text is kept.
    """

    __slots__ = ("_before", "_flags", "_layout", "_made", "_sql", "_variant")

    def __init__(self, statement: Statement, flags: Flag) -> None:
        start = statement.tokens[0].start
        self._sql = statement.sql[start:]
        self._before = statement.literals_before
        self._layout = statement.layout
        self._variant = statement.variant
        self._flags = flags
        self._made: dict[tuple[tuple[int, bytes], ...], Several | Refuse | UnknownTable] = {}

    def bind(self, literals: Sequence[Literal], mask: int) -> Plan:
        """Plan for the shards of `mask`.

        With parameters that are not literals yet there is no text to send: such a plan only says
        that several shards take part.
        """
        if b"?" in literals or Param in map(type, literals):
            return Merge(self._layout.shards_of(mask), b"", Recipe(), self._flags)
        own = literals[self._before :]
        rule = self._made.get(())  # that of all literals, nearly always
        if rule is None:
            rule = next((r for fixed, r in self._made.items() if _fits(fixed, own)), None)
        if rule is None:
            rule = self._make(own)
        return rule if isinstance(rule, Refuse | UnknownTable) else rule.bind(own, mask)

    def _make(self, literals: Sequence[Literal]) -> Several | Refuse | UnknownTable:
        known = tuple(literal for literal in literals if isinstance(literal, bytes))
        structural: dict[int, bytes] = {}
        rule: Several | Refuse | UnknownTable
        try:
            statement = _statement(self._sql, known, self._layout, self._variant)
            rule = several_of(statement, self._flags, structural)
        except Halt as exc:
            rule = exc.plan
        except BadSql as exc:
            rule = not_understood(str(exc))
        except RecursionError:
            rule = not_understood("it is nested too deeply")
        if len(self._made) >= _MOST_KEPT:
            self._made.clear()
        self._made[tuple(structural.items())] = rule
        return rule


def _fits(fixed: tuple[tuple[int, bytes], ...], literals: Sequence[Literal]) -> bool:
    return all(literals[slot] == value for slot, value in fixed)


def _statement(
    sql: bytes, literals: tuple[bytes, ...], layout: Layout, variant: Variant
) -> Statement:
    """The first statement of the shape, with the literals of the one at hand."""
    tokens = tuple(tokens_of(shape_of(sql)))
    while tokens and tokens[-1].text == ";":
        tokens = tokens[:-1]
    return Statement(sql, tokens, literals, layout, variant)


def several_of(statement: Statement, flags: Flag, structural: dict[int, bytes]) -> Several | Refuse:
    """The rule for the shards together: merged if that is exact, else finished in one place.

    `structural` gets the literals on which that depends.
    """
    if reads_the_clock(statement.tokens):
        flags |= Flag.CLOCK
    tree, reading = _read(statement)
    if tree is not None and reading is not None:
        merged = merge_rule(statement, tree, reading, flags, structural)
        if merged is not None:
            return merged
    return finish_rule(statement, reading.sources if reading else (), flags)


def _read(statement: Statement) -> tuple[exp.Expr | None, Reading | None]:
    try:
        tree = tree_of(statement.tokens, statement.literals)
        places = places_of(statement.tokens, statement.literals)
        database, utf8 = statement.database, statement.variant.utf8
        reading = Reading(statement.layout, database, utf8, places)
        reading.read(tree)
    except BadSql:
        return None, None
    return tree, reading
