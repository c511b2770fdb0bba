"""Which rows of which tables a statement needs, as far as sharding keys tell.

Each table that a statement names is a `Source`. It is *pinned* by conditions on its key that every
row which matters must meet, and it *follows* another source when each of its rows that matters has
the key of some row of that source. Only conditions joined by AND to the whole of WHERE, or to the
ON of a join that drops the row otherwise, count; whatever is not understood just does not count,
which can make a plan wider, never narrower.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from mitosis_gate.planner.effects import AGGREGATES
from mitosis_gate.planner.layout import Layout, Place
from mitosis_gate.planner.lexer import BadSql
from mitosis_gate.planner.pins import AllOf, AnyOf, KeyReader, OneOf, Pin, Slot
from mitosis_gate.planner.schema import Column
from mitosis_gate.planner.sources import (
    Block,
    Derived,
    Halt,
    Member,
    Source,
    common_root,
    hash_alike,
    pin_of,
    sharded,
)

__all__ = [
    "Block",
    "Halt",
    "Reading",
    "Source",
    "common_root",
    "hash_alike",
    "pin_of",
    "sharded",
]


Conditions = dict[Source, list[Pin]]
Columns = list[tuple[str, tuple[Source, ...], Column | None]]
"""Of a query: their names in lower case, of which sources they are the key, and which column of a
table they are if they are nothing else. One that is called `*` stands for any number of columns
anywhere."""


class Reading:
    """Sources of one statement. Raises Halt or BadSql while it reads the tree."""

    def __init__(
        self,
        layout: Layout,
        database: str,
        utf8: bool,
        places: Mapping[int, int] | None = None,
        writes: bool = False,
    ) -> None:
        """`places`: what `parse.places_of` says, if the places of the sources are wanted. `writes`:
        a table may be a view that is written."""
        self._place = layout.target if writes else layout.place
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
        self._common: dict[str, _Common] = {}
        """The common table expressions, which hide tables of the same name."""
        self._done: set[int] = set()
        """Ids of subqueries that have been read before their turn."""
        self._again = 0

    def read(self, tree: exp.Expr) -> Block | None:
        self.block = block = self._statement(tree, None)
        if self._seen != sum(1 for _ in tree.find_all(exp.Table)):
            raise BadSql("it names a table in a place that is not known here")
        for part in (block,) if block else self._parts(tree):
            for member in part.members:
                for source in _inside(member):
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
        before = dict(self._common)
        self._read_common(node, parent)
        own = {name: c for name, c in self._common.items() if before.get(name) is not c}
        block = self._body(node, parent)
        for common in own.values():
            if not common.is_read:
                self._statement(common.query, None)
        self._common = before
        return block

    def _read_common(self, node: exp.Expr, parent: Block | None) -> None:
        clause = node.args.get("with_")
        if clause is None:
            return
        if clause.args.get("recursive"):
            names = [c.alias for c in clause.expressions]
            self._common |= {name: _Common(clause, {}, is_read=True) for name in names}
            for common in clause.expressions:
                self._statement(common.this, parent)
            return
        for common in clause.expressions:
            named = _listed_names(common.args["alias"])
            visible = dict(self._common)
            self._common[common.alias] = _Common(common.this, visible, names=named)

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
            self._restrict(where.this, block, block.members)
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
                    self._read_queries(child, parent)

    def _read_queries(self, node: exp.Expr, parent: Block | None) -> None:
        for query in _queries(node):
            if id(query) not in self._done:
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
        first = len(block.members)
        if isinstance(node, exp.Table):
            self._read_table(node, block, nullable)
            self._nested_in_table(node, block)
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            self._read_source(node.this, block, nullable)
        elif isinstance(node, exp.Subquery):
            inner = self._statement(node, None)
            names = _listed_names(node.args.get("alias"))
            self._add_derived(node.alias, node, inner, block, nullable, names)
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
            self._read_named(self._common[node.name], alias, block, nullable)
            return
        place = self._place(node.db or self._database, node.name)
        if not isinstance(place, Place):
            raise Halt(place)
        at = self._places.get(node.this.meta.get("start", -1), -1)
        source = Source(place, alias, nullable, at=at)
        block.sources.append(source)
        block.members.append(source)
        block.aliases[alias] = source
        self.sources.append(source)

    def _read_named(self, common: "_Common", alias: str, block: Block, nullable: bool) -> None:
        """Where a common table expression is named it is read like a derived table."""
        if isinstance(common.query, exp.With):
            block.aliases[alias] = None  # a recursive one
            return
        self._again += 1
        if self._again > _MOST_NAMED:
            raise BadSql("its common table expressions name each other too often")
        names, seen = self._common, self._seen
        self._common = common.visible
        inner = self._statement(common.query, None)
        self._common = names
        if common.is_read:
            self._seen = seen
        common.is_read = True
        self._add_derived(alias, common.query, inner, block, nullable, common.names)

    def _add_derived(
        self,
        alias: str,
        query: exp.Expr,
        inner: Block | None,
        block: Block,
        nullable: bool,
        renamed: Sequence[str],
    ) -> None:
        derived = Derived(nullable=nullable, ordered=_is_ordered(query, inner))
        columns = self._columns(query)
        if columns is not None and renamed:
            sure = len(renamed) == len(columns) and _in_order(columns)
            pairs = zip(renamed, columns, strict=True) if sure else ()
            columns = [(name, keys, column) for name, (_, keys, column) in pairs] if sure else None
        if columns is not None:
            names = [name for name, _, _ in columns]
            derived.keys = {n: keys for n, keys, _ in columns if keys and names.count(n) == 1}
            derived.columns = {n: c for n, _, c in columns if c and names.count(n) == 1}
            derived.names = tuple(names) if _in_order(columns) else ()
            if inner is not None:
                derived.inside = self._inside_of(query, inner, derived)
        block.aliases[alias] = None
        block.derived[alias] = derived
        block.members.append(derived)

    def _inside_of(self, query: exp.Expr, inner: Block, derived: Derived) -> tuple[Source, ...]:
        found = [s for m in inner.members for s in _inside(m) if not s.nullable]
        select = query.unnest() if isinstance(query, exp.Subquery) else query
        if select.args.get("distinct") or select.args.get("group"):
            known = {s for keys in derived.keys.values() for s in keys}
            return tuple(s for s in found if s in known)
        return tuple(found)

    def _columns(self, node: exp.Expr) -> Columns | None:
        """The columns of a query, each with the sources whose key it is; None when a condition on
        a column must not be taken to be one on the rows inside."""
        if node.args.get("limit") or node.args.get("offset"):
            return None
        if isinstance(node, exp.Subquery):
            return self._columns(node.this)
        if isinstance(node, exp.SetOperation):
            left, right = self._columns(node.this), self._columns(node.expression)
            if left is None or right is None or len(left) != len(right):
                return None
            if not (_in_order(left) and _in_order(right)):
                return None
            pairs = zip(left, right, strict=True)
            return [(name, a + b if a and b else (), None) for (name, a, _), (_, b, _) in pairs]
        block = self.blocks.get(id(node))
        if not isinstance(node, exp.Select) or block is None:
            return None
        return self._columns_of_select(node, block)

    def _columns_of_select(self, node: exp.Select, block: Block) -> Columns | None:
        group = node.args.get("group")
        if group is not None and any(v for k, v in group.args.items() if k != "expressions"):
            return None
        if node.args.get("windows") or any(isinstance(n, exp.Window) for n in _own(node)):
            return None
        if group is None and any(_is_aggregate(n) for n in _own(node)):
            return None
        grouped = [] if group is None else [self._keys_of(e, block) for e in group.expressions]
        found: Columns = []
        for item in node.expressions:
            star = isinstance(item, exp.Star) or isinstance(item.this, exp.Star)
            if star:
                if group is not None:
                    return None
                found.extend(self._columns_of_star(item, block))
                continue
            keys = self._keys_of(item.unalias(), block)
            if group is not None and keys not in grouped:
                keys = ()
            found.append((item.alias_or_name.lower(), keys, self._passed_on(item.unalias(), block)))
        return found

    def _columns_of_star(self, item: exp.Expr, block: Block) -> Columns:
        table = item.table if isinstance(item, exp.Column) else ""
        found: Columns = []
        for alias, source in block.aliases.items():
            if table and alias != table:
                continue
            if source is None:
                inner = block.derived.get(alias, Derived())
                names = inner.names or tuple(dict.fromkeys([*inner.columns, *inner.keys, "*"]))
                found.extend((n, inner.keys.get(n, ()), inner.columns.get(n)) for n in names)
            else:
                for column in source.place.table.columns:
                    own = (source,) if source.place.is_key(column.name) else ()
                    found.append((column.name.lower(), own, column))
        if block.using or block.odd_join:
            found.append(("*", (), None))  # common columns come first, and once
        return found

    def _passed_on(self, node: exp.Expr, block: Block) -> Column | None:
        if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
            return None
        source = self.source_of(node, block)
        if source is not None:
            return source.place.table.column(node.name)
        derived = self.derived_of(node, block)
        return derived.columns.get(node.name.lower()) if derived else None

    def derived_of(self, column: exp.Column, block: Block) -> Derived | None:
        """The derived table in the block's own FROM that the column belongs to, if that is sure."""
        if column.table:
            return block.derived.get(column.table)
        return block.only_derived

    def _keys_of(self, node: exp.Expr, block: Block) -> tuple[Source, ...]:
        """The sources whose sharding key the expression is."""
        if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
            return ()
        found = self._member_of(node, block)
        return found[1] if found else ()

    def _member_of(
        self, column: exp.Column, block: Block | None
    ) -> tuple[Member, tuple[Source, ...]] | None:
        """What in a FROM the column belongs to, and the sources whose key it is."""
        source = self.source_of(column, block)
        if source is not None:
            is_key = source.place.is_key(column.name)
            return source, (source,) if is_key else ()
        name = column.name.lower()
        while block is not None:
            if column.table:
                if column.table in block.aliases:
                    derived = block.derived.get(column.table)
                    return None if derived is None else (derived, derived.keys.get(name, ()))
            elif len(block.members) == 1 and len(block.aliases) == 1:
                only = block.members[0]
                keys = only.keys.get(name, ()) if isinstance(only, Derived) else ()
                return (only, keys) if keys else None
            else:
                return None
            block = block.parent
        return None

    def _nested_in_table(self, node: exp.Table, block: Block) -> None:
        if not isinstance(node.this, exp.Identifier):
            self._read_queries(node.this, block)

    def _read_joins(
        self, joins: Sequence[exp.Join], block: Block, first: int, nullable: bool
    ) -> None:
        """Read joins to the sources from `first` on."""
        for join in joins:
            left = block.members[first:]
            side, method = join.side.upper(), join.method.upper()
            if side not in ("", "LEFT") or method:
                block.odd_join = f"{method or side} JOIN"
            if side in ("RIGHT", "FULL"):
                for source in left:
                    source.nullable = True
            right_from = len(block.members)
            self._read_source(join.this, block, nullable or side in ("LEFT", "FULL"))
            right = block.members[right_from:]
            if method or side == "FULL":
                continue
            bound = {"LEFT": right, "RIGHT": left}.get(side, [*left, *right])
            self._read_condition(join, block, left, right, bound)

    def _read_condition(
        self,
        join: exp.Join,
        block: Block,
        left: list[Member],
        right: list[Member],
        bound: list[Member],
    ) -> None:
        condition = join.args.get("on")
        if condition is not None:
            self._restrict(condition, block, bound)
            self._read_queries(condition, block)
        for column in join.args.get("using") or ():
            name = column.name.lower()
            block.using.add(name)
            halves = ([m for m in half if isinstance(m, Source)] for half in (left, right))
            sides = [[s for s in half if s.place.table.column(name)] for half in halves]
            sure = len(sides[1]) == 1 and (len(sides[0]) == 1 or not block.odd_join)
            if all(sides) and sure:
                self._link(sides[0][0], name, sides[1][0], name, bound)

    # Conditions

    def _restrict(self, condition: exp.Expr, block: Block, bound: Sequence[Member]) -> None:
        """Note what a condition that rows of `bound` must meet says about their keys."""
        for source, pins in self._conditions(condition, block, bound, links=True).items():
            source.pins.extend(pins)

    def _conditions(
        self, node: exp.Expr, block: Block, bound: Sequence[Member], links: bool
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
            return self._membership(node, block, bound, links)
        if isinstance(node, exp.EQ | exp.NullSafeEQ):
            left, right = node.this.unnest(), node.expression.unnest()
            return self._equality(left, right, block, bound, links and isinstance(node, exp.EQ))
        return {}

    def _alternatives(self, node: exp.Or, block: Block, bound: Sequence[Member]) -> Conditions:
        branches = [self._conditions(p, block, bound, links=False) for p in node.flatten()]
        everything = self.layout.everything
        return {
            source: [AnyOf(tuple(AllOf(everything, tuple(b[source])) for b in branches))]
            for source in branches[0]
            if all(source in branch for branch in branches)
        }

    def _membership(
        self, node: exp.In, block: Block, bound: Sequence[Member], links: bool
    ) -> Conditions:
        column = node.this.unnest()
        if node.args.get("query") is not None:
            if links and isinstance(column, exp.Column):
                self._link_query(column, node.args["query"], block, bound)
            return {}
        if isinstance(column, exp.Tuple):
            return self._rows(column, node.expressions, block, bound)
        slots = _listed([choice.unnest() for choice in node.expressions])
        if not isinstance(column, exp.Column) or not slots:
            return {}
        return self._pinned(column, slots, block, bound)

    def _rows(
        self,
        columns: exp.Tuple,
        choices: Sequence[exp.Expr],
        block: Block,
        bound: Sequence[Member],
    ) -> Conditions:
        """`(a, b) IN ((1, 2), (3, 4))`; its literals may be one."""
        width = len(columns.expressions)
        found: Conditions = {}
        rows = [c.expressions for c in choices if isinstance(c, exp.Tuple)]
        for place, column in enumerate(columns.expressions):
            whole = _slot(choices[0].unnest()) if len(choices) == 1 else None
            if whole is not None and not rows:
                slots: tuple[Slot, ...] = (replace(whole, many=True, width=width, column=place),)
            elif len(rows) == len(choices) and all(len(row) == width for row in rows):
                slots = _listed([row[place].unnest() for row in rows])
            else:
                slots = ()
            if slots and isinstance(column, exp.Column):
                for source, pins in self._pinned(column, slots, block, bound).items():
                    found.setdefault(source, []).extend(pins)
        return found

    def _equality(
        self, left: exp.Expr, right: exp.Expr, block: Block, bound: Sequence[Member], links: bool
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
        self, column: exp.Column, slots: tuple[Slot, ...], block: Block, bound: Sequence[Member]
    ) -> Conditions:
        found = self._member_of(column, block)
        if found is None or found[0] not in bound:
            return {}
        pins: Conditions = {}
        for source in found[1]:
            assert source.place.key is not None
            reader = KeyReader(source.place.key, self._utf8)
            pins[source] = [OneOf(self.layout, reader, slots)]
        return pins

    def _link_columns(
        self, left: exp.Column, right: exp.Column, block: Block, bound: Sequence[Member]
    ) -> None:
        one, other = self._member_of(left, block), self._member_of(right, block)
        if one is not None and other is not None:
            self._link_keys(one[1], one[0] in bound, other[1], other[0] in bound)

    def _link_query(
        self, column: exp.Column, query: exp.Expr, block: Block, bound: Sequence[Member]
    ) -> None:
        """`key IN (SELECT key ...)`: rows of either side matter only where the other has the key.

        Not so with NOT, where a row that is not found matters.
        """
        inner = next(_queries(query))
        self._statement(inner, block)
        self._done.add(id(inner))
        columns = self._columns(inner)
        found = self._member_of(column, block)
        if columns is not None and len(columns) == 1 and found is not None:
            self._link_keys(found[1], found[0] in bound, columns[0][1], True)

    def _link(
        self, one: Source, name: str, other: Source, other_name: str, bound: Sequence[Member]
    ) -> None:
        if one.place.is_key(name) and other.place.is_key(other_name):
            self._link_keys((one,), one in bound, (other,), other in bound)

    def _link_keys(
        self, ones: tuple[Source, ...], bound: bool, others: tuple[Source, ...], other_bound: bool
    ) -> None:
        """Two columns are equal in all rows that matter: of the sides that are bound."""
        if not all(hash_alike(a.place.key, b.place.key) for a in ones for b in others):
            return
        if bound and len(others) == 1:  # of several it is not known whose row has the key
            for one in ones:
                one.follows.append(others[0])
        if other_bound and len(ones) == 1:
            for other in others:
                other.follows.append(ones[0])

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


@dataclass(eq=False)
class _Common:
    """A common table expression and those that its query can name."""

    query: exp.Expr
    visible: "dict[str, _Common]"
    is_read: bool = False
    names: tuple[str, ...] = ()
    """Those that it gives its columns, in lower case, if it gives them others."""


_MOST_NAMED = 200


def _is_ordered(query: exp.Expr, block: Block | None) -> bool:
    if query.args.get("order"):
        return True
    if isinstance(query, exp.Subquery):
        return _is_ordered(query.this, block)
    only = block.only_derived if block is not None else None
    plain = not any(query.args.get(name) for name in ("group", "distinct", "having"))
    return bool(only and only.ordered and plain)


def _in_order(columns: Columns) -> bool:
    return not any(name == "*" for name, _, _ in columns)


def _listed_names(alias: exp.Expr | None) -> tuple[str, ...]:
    """The names in `AS t (a, b)`, in lower case."""
    listed = alias.args.get("columns") if alias is not None else None
    return tuple(column.name.lower() for column in listed or ())


def _inside(member: Member) -> tuple[Source, ...]:
    """Sources one of whose rows is in each row of the member."""
    if isinstance(member, Source):
        return (member,)
    return () if member.nullable else member.inside


def _own(node: exp.Expr) -> Iterator[exp.Expr]:
    """The parts of a SELECT without those of the queries in it."""
    for child in node.iter_expressions():
        if not isinstance(child, exp.Query | exp.From | exp.Join):
            yield child
            yield from _own(child)


def _is_aggregate(node: exp.Expr) -> bool:
    return isinstance(node, exp.AggFunc) or (
        isinstance(node, exp.Anonymous) and str(node.this).upper() in AGGREGATES
    )


def _queries(node: exp.Expr) -> Iterator[exp.Expr]:
    """The outermost queries in an expression."""
    if isinstance(node, exp.Query):
        yield node
        return
    for child in node.iter_expressions():
        yield from _queries(child)


def _listed(nodes: Sequence[exp.Expr]) -> tuple[Slot, ...]:
    """The slots of a list of literals; empty when not all are literals."""
    slots = [_slot(node) for node in nodes]
    known = [replace(slot, many=True) for slot in slots if slot is not None]
    return tuple(known) if len(known) == len(slots) else ()


_CASTS = {
    exp.DataType.Type.DATE: "date",
    exp.DataType.Type.DATETIME: "datetime",
    exp.DataType.Type.TIMESTAMPTZ: "datetime",
    exp.DataType.Type.BIGINT: "integer",
    exp.DataType.Type.UBIGINT: "integer",
}


def _slot(node: exp.Expr) -> Slot | None:
    """The slot of an expression that is nothing but a literal."""
    if isinstance(node, exp.Neg):
        inner = node.this
        if isinstance(inner, exp.Literal) and not inner.is_string:
            return Slot(int(inner.this), negative=True)
        return None
    if isinstance(node, exp.Cast) and not node.to.expressions:
        typed = _CASTS.get(node.to.this, "")
        inner = node.this
        known = typed and isinstance(inner, exp.Literal | exp.Placeholder)
        return Slot(int(inner.this), typed=typed) if known and inner.this else None
    if isinstance(node, exp.Introducer):
        name, inner = str(node.this).lower(), node.expression
        if name in ("_binary", "_utf8mb4") and isinstance(inner, exp.Literal):
            return Slot(int(inner.this), introducer=name)
        return None
    return Slot(int(node.this)) if isinstance(node, exp.Literal) else None
