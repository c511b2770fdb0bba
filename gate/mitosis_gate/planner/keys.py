"""Which rows of which tables a statement needs, as far as sharding keys tell.

Each table that a statement names is a `Source`. It is *pinned* by conditions on its key that every
row which matters must meet, and it *follows* another source when each of its rows that matters has
the key of some row of that source. Only conditions joined by AND to the whole of WHERE, or to the
ON of a join that drops the row otherwise, count; whatever is not understood just does not count,
which can make a plan wider, never narrower.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from mitosis_gate.planner.layout import Layout, Living, Place
from mitosis_gate.planner.lexer import BadSql
from mitosis_gate.planner.pins import AllOf, AnyOf, KeyReader, OneOf, Pin, Slot
from mitosis_gate.planner.plan import Refuse, UnknownTable
from mitosis_routing.hashing import KeyColumn, KeyKind


class Halt(Exception):
    """A table that the statement names decides the plan: it is unknown, or not for this gate."""

    def __init__(self, plan: UnknownTable | Refuse) -> None:
        super().__init__()
        self.plan = plan


@dataclass(eq=False)
class Source:
    place: Place
    alias: str
    nullable: bool = False
    """Its rows may be missing in the result: it is on the inner side of an outer join."""
    top: bool = False
    """It stands in the FROM of the whole statement, not in a subquery."""
    at: int = -1
    """Place of the token that names it, -1 when that is not known."""
    pins: list[Pin] = field(default_factory=list)
    follows: list["Source"] = field(default_factory=list)

    def leaders(self) -> list["Source"]:
        """Itself and all sources whose keys its own rows are bound to."""
        found = [self]
        for source in found:
            found.extend(s for s in source.follows if s not in found)
        return found


@dataclass(eq=False)
class Block:
    """One SELECT, UPDATE or DELETE with its own FROM."""

    parent: "Block | None"
    sources: list[Source] = field(default_factory=list)
    aliases: dict[str, Source | None] = field(default_factory=dict)
    """None: a derived table, whose columns are not known here."""
    using: set[str] = field(default_factory=set)
    within: list[Source] = field(default_factory=list)
    """All sources of the block and of the queries in it."""
    odd_join: str = ""
    """A join that must not be repeated on several shards, if there is one: RIGHT, NATURAL."""

    @property
    def opaque(self) -> bool:
        return None in self.aliases.values()


Conditions = dict[Source, list[Pin]]


class Reading:
    """Sources of one statement. Raises Halt or BadSql while it reads the tree."""

    def __init__(
        self, layout: Layout, database: str, utf8: bool, places: Mapping[int, int] | None = None
    ) -> None:
        """`places`: what `parse.places_of` says, if the places of the sources are wanted."""
        self.layout = layout
        self._places = places or {}
        self.sources: list[Source] = []
        self.block: Block | None = None
        """That of the statement itself; None for a UNION."""
        self.blocks: dict[int, Block] = {}
        """Those of all SELECTs, by the id of their nodes."""
        self._database = database
        self._utf8 = utf8
        self._seen = 0
        self._common: list[str] = []
        """Names of the common table expressions, which hide tables of the same name."""

    def read(self, tree: exp.Expr) -> Block | None:
        self.block = block = self._statement(tree, None)
        if self._seen != sum(1 for _ in tree.find_all(exp.Table)):
            raise BadSql("it names a table in a place that is not known here")
        for part in (block,) if block else self._parts(tree):
            for source in part.sources:
                source.top = True
        return block

    def _parts(self, tree: exp.Expr) -> Iterator[Block]:
        """The SELECTs that a UNION brings together."""
        if isinstance(tree, exp.SetOperation):
            yield from self._parts(tree.this)
            yield from self._parts(tree.expression)
        elif id(tree) in self.blocks:
            yield self.blocks[id(tree)]

    # What stands where a statement or a subquery can stand.

    def _statement(self, node: exp.Expr, parent: Block | None) -> Block | None:
        before = len(self._common)
        self._read_common(node, parent)
        block = self._body(node, parent)
        del self._common[before:]
        return block

    def _read_common(self, node: exp.Expr, parent: Block | None) -> None:
        clause = node.args.get("with_")
        if clause is None:
            return
        if clause.args.get("recursive"):
            self._common.extend(c.alias for c in clause.expressions)
        for common in clause.expressions:
            self._statement(common.this, parent)
            self._common.append(common.alias)

    def _body(self, node: exp.Expr, parent: Block | None) -> Block | None:
        if isinstance(node, exp.Subquery):
            block = self._statement(node.this, parent)
            self._nested(node, parent, besides=("this", "with_"))
            return block
        if isinstance(node, exp.SetOperation):
            self._statement(node.this, parent)
            self._statement(node.expression, parent)
            self._nested(node, parent, besides=("this", "expression", "with_"))
            return None
        block = self.blocks[id(node)] = Block(parent)
        first = len(self.sources)
        self._read_from(node, block)
        where = node.args.get("where")
        if where is not None:
            self._restrict(where.this, block, block.sources)
        self._nested(node, block, besides=("with_", "from_", "joins", "using", "tables"))
        block.within = self.sources[first:]
        return block

    def _nested(self, node: exp.Expr, parent: Block | None, besides: tuple[str, ...]) -> None:
        """Read the subqueries in the expressions of a node."""
        for name, value in node.args.items():
            if name in besides or (name == "this" and isinstance(value, exp.Table)):
                continue
            for child in value if isinstance(value, list) else (value,):
                if isinstance(child, exp.Expr):
                    for query in _queries(child):
                        self._statement(query, parent)

    # FROM

    def _read_from(self, node: exp.Expr, block: Block) -> None:
        if isinstance(node, exp.Delete):
            using = node.args.get("using")
            if using:
                for table in using:
                    self._read_source(table, block, nullable=False)
                self._seen += 1  # `this` only names one of them again
            else:
                self._read_source(node.this, block, nullable=False)
            self._seen += len(node.args.get("tables") or ())
            return
        start = node.this if isinstance(node, exp.Update) else node.args.get("from_")
        if start is None:
            return
        if isinstance(start, exp.From):
            start = start.this
        self._read_source(start, block, nullable=False)
        self._read_joins(node.args.get("joins") or (), block, 0, nullable=False)

    def _read_source(self, node: exp.Expr, block: Block, nullable: bool) -> None:
        first = len(block.sources)
        if isinstance(node, exp.Table):
            self._read_table(node, block, nullable)
            self._nested_in_table(node, block)
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            self._read_source(node.this, block, nullable)
        elif isinstance(node, exp.Subquery):
            self._statement(node, None)
            block.aliases[node.alias] = None
        elif isinstance(node, exp.Lateral):
            self._statement(node.this, block)
            block.aliases[node.alias] = None
        else:
            raise BadSql("its FROM is not understood")
        self._read_joins(node.args.get("joins") or (), block, first, nullable)

    def _read_table(self, node: exp.Table, block: Block, nullable: bool) -> None:
        self._seen += 1
        alias = node.alias or node.name
        if not isinstance(node.this, exp.Identifier):
            block.aliases[alias] = None  # JSON_TABLE
            return
        if node.name.upper() == "DUAL" and not node.db and not node.this.quoted:
            return
        if node.args.get("catalog"):
            raise BadSql(f"the name {node.name} has too many parts")
        if not node.db and node.name in self._common:
            block.aliases[alias] = None
            return
        place = self.layout.place(node.db or self._database, node.name)
        if not isinstance(place, Place):
            raise Halt(place)
        at = self._places.get(node.this.meta.get("start", -1), -1)
        source = Source(place, alias, nullable, at=at)
        block.sources.append(source)
        block.aliases[alias] = source
        self.sources.append(source)

    def _nested_in_table(self, node: exp.Table, block: Block) -> None:
        if not isinstance(node.this, exp.Identifier):
            for query in _queries(node.this):
                self._statement(query, block)

    def _read_joins(
        self, joins: Sequence[exp.Join], block: Block, first: int, nullable: bool
    ) -> None:
        """Read joins to the sources from `first` on."""
        for join in joins:
            left = block.sources[first:]
            side, method = join.side.upper(), join.method.upper()
            if side not in ("", "LEFT") or method:
                block.odd_join = f"{method or side} JOIN"
            if side in ("RIGHT", "FULL"):
                for source in left:
                    source.nullable = True
            right_from = len(block.sources)
            self._read_source(join.this, block, nullable or side in ("LEFT", "FULL"))
            right = block.sources[right_from:]
            if method or side == "FULL":
                continue
            bound = {"LEFT": right, "RIGHT": left}.get(side, [*left, *right])
            self._read_condition(join, block, left, right, bound)

    def _read_condition(
        self,
        join: exp.Join,
        block: Block,
        left: list[Source],
        right: list[Source],
        bound: list[Source],
    ) -> None:
        condition = join.args.get("on")
        if condition is not None:
            self._restrict(condition, block, bound)
            for query in _queries(condition):
                self._statement(query, block)
        for column in join.args.get("using") or ():
            name = column.name.lower()
            block.using.add(name)
            sides = [[s for s in half if s.place.table.column(name)] for half in (left, right)]
            sure = len(sides[1]) == 1 and (len(sides[0]) == 1 or not block.odd_join)
            if all(sides) and sure:
                self._link(sides[0][0], name, sides[1][0], name, bound)

    # Conditions

    def _restrict(self, condition: exp.Expr, block: Block, bound: Sequence[Source]) -> None:
        """Note what a condition that rows of `bound` must meet says about their keys."""
        for source, pins in self._conditions(condition, block, bound, links=True).items():
            source.pins.extend(pins)

    def _conditions(
        self, node: exp.Expr, block: Block, bound: Sequence[Source], links: bool
    ) -> Conditions:
        node = node.unnest()
        if isinstance(node, exp.And):
            found: Conditions = {}
            for part in node.flatten():
                for source, pins in self._conditions(part, block, bound, links).items():
                    found.setdefault(source, []).extend(pins)
            return found
        if isinstance(node, exp.Or):
            return self._alternatives(node, block, bound)
        if isinstance(node, exp.In):
            return self._membership(node, block, bound)
        if isinstance(node, exp.EQ | exp.NullSafeEQ):
            left, right = node.this.unnest(), node.expression.unnest()
            return self._equality(left, right, block, bound, links and isinstance(node, exp.EQ))
        return {}

    def _alternatives(self, node: exp.Or, block: Block, bound: Sequence[Source]) -> Conditions:
        branches = [self._conditions(p, block, bound, links=False) for p in node.flatten()]
        everything = self.layout.everything
        return {
            source: [AnyOf(tuple(AllOf(everything, tuple(b[source])) for b in branches))]
            for source in branches[0]
            if all(source in branch for branch in branches)
        }

    def _membership(self, node: exp.In, block: Block, bound: Sequence[Source]) -> Conditions:
        column = node.this.unnest()
        slots = [_slot(choice.unnest()) for choice in node.expressions]
        known = [slot for slot in slots if slot is not None]
        if not isinstance(column, exp.Column) or not slots or len(known) != len(slots):
            return {}
        return self._pinned(column, tuple(known), block, bound)

    def _equality(
        self, left: exp.Expr, right: exp.Expr, block: Block, bound: Sequence[Source], links: bool
    ) -> Conditions:
        if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
            found: Conditions = {}
            for a, b in zip(left.expressions, right.expressions, strict=False):
                pairs = self._equality(a.unnest(), b.unnest(), block, bound, links)
                for source, pins in pairs.items():
                    found.setdefault(source, []).extend(pins)
            return found
        if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
            left, right = right, left
        if not isinstance(left, exp.Column):
            return {}
        if isinstance(right, exp.Column):
            if links:
                self._link_columns(left, right, block, bound)
            return {}
        slot = _slot(right)
        return {} if slot is None else self._pinned(left, (slot,), block, bound)

    def _pinned(
        self, column: exp.Column, slots: tuple[Slot, ...], block: Block, bound: Sequence[Source]
    ) -> Conditions:
        source = self.source_of(column, block)
        if source is None or source not in bound or not source.place.is_key(column.name):
            return {}
        assert source.place.key is not None
        reader = KeyReader(source.place.key, self._utf8)
        return {source: [OneOf(self.layout, reader, slots)]}

    def _link_columns(
        self, left: exp.Column, right: exp.Column, block: Block, bound: Sequence[Source]
    ) -> None:
        one, other = self.source_of(left, block), self.source_of(right, block)
        if one is not None and other is not None:
            self._link(one, left.name, other, right.name, bound)

    def _link(
        self, one: Source, name: str, other: Source, other_name: str, bound: Sequence[Source]
    ) -> None:
        if not (one.place.is_key(name) and other.place.is_key(other_name)):
            return
        if not hash_alike(one.place.key, other.place.key):
            return
        if one in bound:
            one.follows.append(other)
        if other in bound:
            other.follows.append(one)

    def source_of(self, column: exp.Column, block: Block | None) -> Source | None:
        """The source of a column, by MySQL's rules of scope; None when that is not certain."""
        while block is not None:
            if column.table:
                if column.table in block.aliases:
                    return block.aliases[column.table]
            else:
                if block.opaque:
                    return None
                having = [s for s in block.sources if s.place.table.column(column.name)]
                unknown = any(not s.place.table.columns for s in block.sources)
                if unknown or (len(having) > 1 and column.name.lower() not in block.using):
                    return None
                if having:
                    return None if block.odd_join and len(having) > 1 else having[0]
            block = block.parent
        return None


def _queries(node: exp.Expr) -> Iterator[exp.Expr]:
    """The outermost queries in an expression."""
    if isinstance(node, exp.Query):
        yield node
        return
    for child in node.iter_expressions():
        yield from _queries(child)


def _slot(node: exp.Expr) -> Slot | None:
    """The slot of an expression that is nothing but a literal."""
    if isinstance(node, exp.Neg):
        inner = node.this
        if isinstance(inner, exp.Literal) and not inner.is_string:
            return Slot(int(inner.this), negative=True)
        return None
    if isinstance(node, exp.Introducer):
        name, inner = str(node.this).lower(), node.expression
        if name in ("_binary", "_utf8mb4") and isinstance(inner, exp.Literal):
            return Slot(int(inner.this), introducer=name)
        return None
    return Slot(int(node.this)) if isinstance(node, exp.Literal) else None


def hash_alike(one: KeyColumn | None, other: KeyColumn | None) -> bool:
    """Whether values that are equal in both columns have the same bytes to hash."""
    if one is None or other is None or one.kind is not other.kind:
        return False
    if one.kind is KeyKind.TEXT:
        return one.pad_space == other.pad_space and one.fixed == other.fixed
    if one.kind is KeyKind.BINARY:
        return one.fixed == other.fixed and (not one.fixed or one.length == other.length)
    return one.decimals == other.decimals


def pin_of(source: Source, everything: int) -> AllOf:
    """All that restricts the rows of a source, by itself and by those it follows."""
    return AllOf(everything, tuple(pin for leader in source.leaders() for pin in leader.pins))


def common_root(sources: Sequence[Source]) -> Source | None:
    """The source that all others follow, itself in the result in any case; None if there is none.

    On each shard the statement then finds all rows that belong to the root's rows there.
    """
    for source in sources:
        if source.top and not source.nullable:
            if all(source in other.leaders() for other in sources):
                return source
    return None


def sharded(sources: Sequence[Source]) -> list[Source]:
    return [s for s in sources if s.place.living is Living.SHARDED]
