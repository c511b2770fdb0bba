"""The planner of one keyspace: statement to plan, by the shape cache when it is known."""

from collections.abc import Sequence
from typing import TypeVar

from mitosis_gate import relay
from mitosis_gate.planner.classify import rule_for
from mitosis_gate.planner.layout import Layout
from mitosis_gate.planner.lexer import END, MAX_LITERALS, BadSql, Shape, shape_of, split, tokens_of
from mitosis_gate.planner.pins import Literal, Param
from mitosis_gate.planner.plan import (
    DEFAULT_VARIANT,
    AnyShard,
    Assignment,
    Flag,
    Merge,
    OneShard,
    Plan,
    Prepared,
    Refuse,
    Scatter,
    Value,
    Variant,
)
from mitosis_gate.planner.refusals import not_understood, refuse
from mitosis_gate.planner.rules import Fixed, Point, Rule
from mitosis_gate.planner.schema import Schema
from mitosis_gate.planner.shapes import Key, ShapeCache
from mitosis_gate.planner.statement import Statement
from mitosis_gate.planner.variables import judged
from mitosis_gate.planner.views import whole_views
from mitosis_gate.planner.written_views import written_views
from mitosis_routing.table import RoutingTable

Known = TypeVar("Known")
MAX_CACHED_LITERALS = 10_000
_MOST_NOTES = 4096
_LONGEST_ENDING = 1024
"""Bytes before the number: what is longer gains little."""
_LONGEST_SHAPE = 2048
_MOST_MERGES = 256
_LONGEST_MERGED = 512
_DIGITS = b"0123456789"
_OTHER_VARIANTS = 16


class Planner(relay.PlannerState):
    """Plans the statements of one keyspace under one routing table and one schema.

    Its facts never change: a new table or schema needs a new Planner, whose cache starts empty.
    """

    def __init__(self, schema: Schema, table: RoutingTable, cache_bytes: int = 32 << 20) -> None:
        self.schema = schema
        self.table = table
        self._layout = Layout(schema, table)
        self._layout.leave_to_first(whole_views(self._layout))
        written = written_views(self._layout)
        self._layout.write_through(
            {name: view.place for name, view in written.items()},
            {name: view.below for name, view in written.items()},
        )
        self._cache_bytes = cache_bytes
        self._cache = ShapeCache(cache_bytes)
        self._caches: dict[Variant, ShapeCache] = {DEFAULT_VARIANT: self._cache}
        self.shapes: dict[bytes, Point | Plan] = {}
        """What the compiled relay knows: by the shape of plain statements as it sees it."""
        self._merges: dict[bytes, Merge | Scatter] = {}
        """By the whole text."""
        self._endings: dict[bytes, Point | OneShard] = {}
        """By their text before it: shapes whose only literal is a number at the very end, the key
        or, where all go to one shard, any."""

    def route(self, sql: bytes, variant: Variant = DEFAULT_VARIANT) -> Plan:
        """Plan a statement of COM_QUERY; never raises.

        Most end with their key, a whole number. With the text of a known shape before it, any
        other number has that shape too: the lexer comes to the number in the same state.
        """
        if variant is DEFAULT_VARIANT:
            head = sql.rstrip(_DIGITS)
            known = self._endings.get(head)
            if known is not None and len(head) < len(sql):
                plan = known.of_number(sql[len(head) :]) if isinstance(known, Point) else known
                if plan is not None:
                    return plan
            if self._merges and len(sql) <= _LONGEST_MERGED:
                merged = self._merges.get(sql)
                if merged is not None:
                    return merged
            cache = self._cache
        else:
            cache = self._cache_of(variant)
        parts = split(sql + END, MAX_LITERALS)
        rule = cache.get(tuple(parts[1::3]))
        if rule is not None and parts[-2] == END:
            plan = rule.bind(parts[2::3])
            if type(plan) is Merge or type(plan) is Scatter:
                self._note_merge(sql, plan, cache)
            return plan
        return self._route_slowly(sql, variant, cache)

    def _note_merge(self, sql: bytes, plan: Merge | Scatter, cache: ShapeCache) -> None:
        """Reads of several shards often come again with the same values; their plans have texts
        and sets of shards that take time to make."""
        if cache is self._cache and len(sql) <= _LONGEST_MERGED:
            _note(self._merges, sql, plan, _MOST_MERGES)

    def prepare(self, sql: bytes, variant: Variant = DEFAULT_VARIANT) -> Prepared:
        """Plan a statement of COM_STMT_PREPARE; never raises."""
        try:
            shape = shape_of(sql)
        except BadSql as exc:
            return PreparedStatement(Fixed(not_understood(str(exc))), (), (), self._layout)
        rule = self._rule(sql, shape, variant, self._cache_of(variant))
        places = tuple(i for i, literal in enumerate(shape.literals) if literal == b"?")
        return PreparedStatement(rule, tuple(shape.literals), places, self._layout)

    def assignment(self, name: str, value: bytes) -> Assignment | Refuse:
        """Judge a session variable set to a literal that was computed from an expression."""
        return judged(name, value)

    @property
    def cached_shapes(self) -> int:
        return sum(len(cache) for cache in self._caches.values())

    def _cache_of(self, variant: Variant) -> ShapeCache:
        cache = self._caches.get(variant)
        if cache is None:
            if len(self._caches) > _OTHER_VARIANTS:
                self._caches = {DEFAULT_VARIANT: self._cache}
            cache = self._caches[variant] = ShapeCache(self._cache_bytes // _OTHER_VARIANTS)
        return cache

    def _route_slowly(self, sql: bytes, variant: Variant, cache: ShapeCache) -> Plan:
        try:
            shape = shape_of(sql)
        except BadSql as exc:
            return not_understood(str(exc))
        return self._rule(sql, shape, variant, cache).bind(shape.literals)

    def _rule(self, sql: bytes, shape: Shape, variant: Variant, cache: ShapeCache) -> Rule:
        rule = cache.find(shape.texts)
        if rule is None:
            rule = self._made(sql, shape, variant)
            if rule.cacheable and len(shape.literals) <= MAX_CACHED_LITERALS:
                if cache.offer(shape.texts, rule) and cache is self._cache:
                    self._remember(sql, shape, rule)
        return rule

    def _remember(self, sql: bytes, shape: Shape, rule: Rule) -> None:
        """Let the next statement of this shape find its rule without being cut."""
        if not isinstance(rule, Fixed | Point):
            return
        known = rule.plan if isinstance(rule, Fixed) else rule
        plain = relay.shape_of(sql)
        if plain is not None and plain[1] == shape.literals and len(plain[0]) <= _LONGEST_SHAPE:
            _note(self.shapes, plain[0], known)
        head, *rest = shape.texts
        # of text the head would be the same, and a number would follow it
        ends_with_number = rest == [b""] and shape.literals[0].isdigit()
        if ends_with_number and len(head) <= _LONGEST_ENDING:
            if isinstance(known, Point) or type(known) is OneShard:
                _note(self._endings, head, known)

    def _made(self, sql: bytes, shape: Shape, variant: Variant) -> Rule:
        if self._layout.broken:
            return Fixed(refuse(f"the routing table is not whole: {self._layout.broken}"))
        try:
            tokens = tuple(tokens_of(shape))
        except BadSql as exc:
            return Fixed(not_understood(str(exc)))
        return rule_for(Statement(sql, tokens, tuple(shape.literals), self._layout, variant))


def _note(notes: dict[bytes, Known], text: bytes, known: Known, most: int = _MOST_NOTES) -> None:
    if len(notes) >= most:
        notes.clear()
    notes[text] = known


class PreparedStatement:
    """A statement with `?`, whose rule waits for the parameters that decide the route."""

    __slots__ = ("_literals", "_places", "_rule", "common", "describe", "needed", "parameters")

    def __init__(
        self, rule: Rule, literals: tuple[bytes, ...], places: tuple[int, ...], layout: Layout
    ) -> None:
        self._rule = rule
        self._literals = literals
        deciding = rule.slots()
        self.parameters = len(places)
        self.needed = tuple(n for n, place in enumerate(places) if place in deciding)
        self._places = tuple(places[n] for n in self.needed)
        self.describe = _described(rule, layout)
        self.common: OneShard | Point | None = None
        """What an execution needs no `route` for: the plan of all, or that of the key, which is the
        first parameter."""
        if isinstance(rule, Fixed) and isinstance(rule.plan, OneShard):
            self.common = rule.plan
        elif isinstance(rule, Point) and self.needed == (0,):
            self.common = rule

    def route(self, values: Sequence[Value]) -> Plan:
        """Plan an execution; `values` are those of the `needed` parameters, in the same order."""
        literals: list[Literal] = list(self._literals)
        for place, value in zip(self._places, values, strict=True):
            literals[place] = Param(value)
        return self._rule.bind(literals)


def _described(rule: Rule, layout: Layout) -> AnyShard | Refuse:
    """Where the columns can be learned; all shards have the same, but unsharded tables only one."""
    if isinstance(rule, Fixed) and isinstance(rule.plan, Refuse):
        return rule.plan
    return AnyShard((layout.first,), Flag.OUTSIDE)


__all__ = ["Key", "Planner", "PreparedStatement"]
