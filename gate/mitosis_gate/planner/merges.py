"""SELECTs whose answer is put together from the shards' answers while they arrive.

Each shard runs the statement over its own rows; that is right only when all rows that belong
together lie on one shard: one source, the root, is in every row of the result, and all other
sharded sources follow it by their keys. Then

- rows in order: ORDER BY and LIMIT go to each shard, which prepends hidden columns to sort by;
- a group that contains the sharding key lies on one shard: GROUP BY, HAVING and all aggregates are
  the shards'; the same holds for windows that are partitioned by it, and for DISTINCT;
- other groups are folded: each shard sends one row of partial aggregates per group, in the order of
  the group's columns;
- UNION ALL of such SELECTs, each with a root of its own, is one after the other.

Everything else gives None, and is finished in one place: see `finishing`.

Which rows LIMIT takes without ORDER BY, which of equal values MIN() or DISTINCT shows under a
collation for which they are equal, and the last digits of a SUM() or AVG() of DOUBLE depend on the
order in which rows are read, here as on a single server. NOW() is read by each shard from its own
clock, unless the session has set `timestamp`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from mitosis_gate.planner.effects import AGGREGATES
from mitosis_gate.planner.keys import Block, Reading, Source, common_root, pin_of, sharded
from mitosis_gate.planner.kinds import Form, call_of, form_of, form_of_extreme, is_number, name_of
from mitosis_gate.planner.layout import Layout, Living
from mitosis_gate.planner.lexer import Kind
from mitosis_gate.planner.outline import Block as Outline
from mitosis_gate.planner.outline import block_at
from mitosis_gate.planner.pins import AnyOf, Literal, Pin
from mitosis_gate.planner.plan import (
    Compare,
    Flag,
    Fold,
    Merge,
    Out,
    Plan,
    Recipe,
    Scatter,
    SortKey,
)
from mitosis_gate.planner.pulling import quoted
from mitosis_gate.planner.rewrite import (
    Edit,
    Template,
    copied,
    edited,
    insertion,
    joined,
    render,
    replacement,
)
from mitosis_gate.planner.schema import Column
from mitosis_gate.planner.sources import Derived
from mitosis_gate.planner.statement import Span, Statement

_MOST = 2**64 - 1
_LONGEST_FOLDED = 255
"""Longer texts are not grouped here: MySQL sorts by their first 1024 bytes only."""
_MOST_RECIPES = 16
_PUSHED = -1
"""In a text: the place of the LIMIT for the shards."""


class NotMerged(Exception):
    """The shards' answers cannot be put together row by row."""


@dataclass(frozen=True, slots=True)
class MergeRule:
    layout: Layout
    pin: Pin
    text: Template
    recipe: Recipe
    limit: int | None
    """Slots of LIMIT and OFFSET."""
    offset: int | None
    pushed: bool
    flags: Flag
    plans: dict[int, Plan] = field(default_factory=dict, compare=False, repr=False)
    """Of a statement without literals, by the mask of its shards."""
    recipes: dict[tuple[int, int], Recipe] = field(default_factory=dict, compare=False, repr=False)
    """By limit and offset: who merges knows recipes by identity."""

    def bind(self, literals: Sequence[Literal], mask: int) -> Plan:
        mask &= self.pin.mask(literals)
        plan = self.plans.get(mask)
        if plan is None:
            plan = self._made(literals, mask)
            if not literals:
                self.plans[mask] = plan
        return plan

    def _made(self, literals: Sequence[Literal], mask: int) -> Plan:
        shards = self.layout.shards_of(mask)
        if not shards:
            return self.layout.one(self.layout.first, self.flags)
        if self.limit is None:
            if self.recipe == Recipe() and not self.flags & (Flag.LOCKS | Flag.CLOCK):
                return Scatter(shards, self.flags)
            return Merge(shards, self._text(literals, b""), self.recipe, self.flags)
        limit = _number(literals[self.limit])
        offset = _number(literals[self.offset]) if self.offset is not None else 0
        if limit is None or offset is None:
            return self.layout.one(shards[0], self.flags)  # MySQL says what is wrong with it
        pushed = b" LIMIT %d" % min(limit + offset, _MOST) if self.pushed else b""
        return Merge(shards, self._text(literals, pushed), self._limited(limit, offset), self.flags)

    def _limited(self, limit: int, offset: int) -> Recipe:
        found = self.recipes.get((limit, offset))
        if found is None:
            if len(self.recipes) >= _MOST_RECIPES:
                self.recipes.clear()
            found = replace(self.recipe, limit=limit, offset=offset)
            self.recipes[limit, offset] = found
        return found

    def _text(self, literals: Sequence[Literal], pushed: bytes) -> bytes:
        return b"".join(
            pushed if piece == _PUSHED else render((piece,), literals) for piece in self.text
        )


def _number(literal: Literal) -> int | None:
    if not isinstance(literal, bytes) or not literal.isdigit() or len(literal) > 20:
        return None
    return int(literal) if int(literal) <= _MOST else None


def merge_rule(
    statement: Statement,
    tree: exp.Expr,
    reading: Reading,
    flags: Flag,
    structural: dict[int, bytes],
) -> MergeRule | None:
    """The rule for a SELECT or UNION ALL whose answer can be merged; else None.

    Literals on which that depended, because they name columns by their number or are compared with
    others, are added to `structural`: for others the rule may be another.
    """
    if flags & Flag.LAST or any(t.word == "SQL_CALC_FOUND_ROWS" for t in statement.tokens):
        return None
    try:
        if isinstance(tree, exp.Select) and reading.block is not None:
            return _Selection(statement, tree, reading, reading.block, flags, structural).rule()
        if isinstance(tree, exp.Union):
            return _union(statement, tree, reading, flags, structural)
    except NotMerged:
        return None
    return None


# Where the rows are


def _root(block: Block, sources: Sequence[Source]) -> Source:
    """The source by which the rows of the result are divided among the shards."""
    divided = sharded(sources)
    root = common_root(divided) if divided else None
    if root is None or block.odd_join:
        raise NotMerged
    if any(s.place.living in (Living.UNSHARDED, Living.SYSTEM) for s in sources):
        raise NotMerged
    return root


@dataclass(frozen=True, slots=True)
class Item:
    """One expression of the select list, without its alias."""

    span: Span
    alias: str


@dataclass(frozen=True, slots=True)
class Ordered:
    span: Span
    descending: bool
    ordinal: int = 0
    """Place of the literal's token plus 1 when the column is given by its number."""


@dataclass(slots=True)
class _Columns:
    """Hidden columns, and the keys among them."""

    texts: list[Template] = field(default_factory=list)
    keys: list[SortKey] = field(default_factory=list)

    def add(self, text: Template) -> int:
        self.texts.append(text)
        return len(self.texts) - 1

    def key(self, text: Template, form: Form, descending: bool = False) -> int:
        place = self.add(text)
        self.keys.append(SortKey(place, form.compare, descending))
        return place

    def written(self) -> Template:
        pieces: list[bytes | int] = []
        for number, text in enumerate(self.texts):
            pieces += [*text, b" AS `gate %d`, " % number]
        return joined(pieces)


class _Selection:
    """One SELECT on its way to a rule."""

    def __init__(
        self,
        statement: Statement,
        tree: exp.Select,
        reading: Reading,
        block: Block,
        flags: Flag,
        structural: dict[int, bytes],
        sources: Sequence[Source] | None = None,
        at: int = -1,
    ) -> None:
        self.statement = statement
        self.reading = reading
        self.block = block
        self.flags = flags
        self.sources = reading.sources if sources is None else sources
        self.root = _root(block, self.sources)
        self.outline: Outline = block_at(statement, at if at >= 0 else _main_select(statement))
        self.structural = structural
        self.grouped_by_number: list[Ordered] = []
        """What GROUP BY gives by its place in the select list, as far as it has been read."""
        self.items = self._items(tree)
        self.aggregates, self.windows = self._calls()
        self.distinct = bool(self.outline.modifiers & {"DISTINCT", "DISTINCTROW"})

    def rule(self) -> MergeRule:
        outline = self.outline
        if outline.has("INTO") or outline.has("WINDOW"):
            raise NotMerged
        if self._matches_outside_where():
            raise NotMerged
        if outline.end != len(self.statement.tokens):
            raise NotMerged
        groups = self._groups()
        if self._has_order_from_inside():
            raise NotMerged
        if self.windows and (groups or self.distinct or not self._windows_are_local()):
            raise NotMerged
        local = bool(groups) and any(self._is_root_key(span) for span in groups)
        if (groups and not local) or (self.aggregates and not groups):
            return self._folded(groups)
        if self.distinct and not any(self._is_root_key(item.span) for item in self.items):
            if groups or self.aggregates:
                raise NotMerged
            return self._distinct()
        return self._rows(grouped=local)

    def _has_order_from_inside(self) -> bool:
        """Whether MySQL takes the ORDER BY of a derived table for that of the statement."""
        own = any(self.outline.has(clause) for clause in ("ORDER", "GROUP", "HAVING"))
        only = self.block.only_derived
        return bool(only and only.ordered and not (own or self.distinct or self.aggregates))

    def is_concatenated(self, last: bool) -> bool:
        """Whether the rows of this part of a UNION ALL are those of the shards; behind the last
        part stand the clauses of the whole."""
        outline = self.outline
        clauses = {"ORDER", "INTO", "FOR", "LOCK", "WINDOW"} | (set() if last else {"LIMIT"})
        if any(outline.has(clause) for clause in clauses) or self._matches_outside_where():
            return False
        groups = self._groups()
        if groups:
            return any(self._is_root_key(span) for span in groups)
        return not self.aggregates

    # The answer is the shards' rows

    def _rows(self, grouped: bool) -> MergeRule:
        columns = _Columns()
        edits: list[Edit] = []
        ordered = self._ordered()
        for one in ordered:
            form = self._form(one.span)
            if self.distinct and not self._is_item(one.span):
                raise NotMerged
            columns.key(self._key_text(one.span, form, grouped), form, one.descending)
        for one in (*self.grouped_by_number, *ordered):
            if one.ordinal:
                literal = self.statement.tokens[one.ordinal - 1]
                number = int(self.statement.literals[literal.slot]) + len(ordered)
                edits.append(Edit(literal.start, literal.end, (b"%d" % number,)))
        edits.extend(self._prepended(columns))
        return self._made(edits, Recipe(hidden=len(columns.texts), order=tuple(columns.keys)))

    # The answer has one row for several rows of the shards

    def _distinct(self) -> MergeRule:
        columns = _Columns()
        ordered = self._ordered()
        if not all(self._is_item(one.span) for one in ordered):
            raise NotMerged
        spans = [(one.span, one.descending) for one in ordered]
        for item in self.items:
            if not any(self._same(item.span, span) for span, _ in spans):
                spans.append((item.span, False))
        for span, descending in spans:
            form = self._folding(span)
            columns.key(self._key_text(span, form, grouped=False), form, descending)
        hidden = len(columns.texts)
        outs = tuple(Out(hidden + n) for n in range(len(self.items)))
        recipe = Recipe(hidden, tuple(columns.keys), len(columns.keys), columns=outs)
        edits = [*self._prepended(columns), *self._tail((), columns)]
        return self._made(edits, recipe, tail=True)

    def _folded(self, groups: Sequence[Span]) -> MergeRule:
        if self.distinct or self.outline.has("HAVING") or self.windows:
            raise NotMerged
        columns = _Columns()
        ordered = self._ordered()
        if ordered and not groups:
            raise NotMerged
        keys, by_keys = self._group_keys(groups, ordered)
        for span, descending in keys:
            form = self._folding(span)
            columns.key(self._key_text(span, form, grouped=True), form, descending)
        values = self._distinct_values()
        for span in values:
            form = self._folding(span)
            columns.key(self._key_text(span, form, grouped=True), form)
        folds = [self._fold(item, columns, len(groups), values) for item in self.items]
        hidden = len(columns.texts)
        outs = tuple(replace(out, column=hidden + n) for n, out in enumerate(folds))
        outs = tuple(
            out if out.inputs != (-1,) else replace(out, inputs=(out.column,)) for out in outs
        )
        resort = () if by_keys else self._resort(ordered, keys, outs)
        recipe = Recipe(
            hidden, tuple(columns.keys), len(groups), len(values), columns=outs, resort=resort
        )
        pushed = bool(groups) and by_keys and not values
        edits = [*self._prepended(columns), *self._tail([*groups, *values], columns)]
        return self._made(edits, recipe, tail=True, pushed=pushed)

    def _group_keys(
        self, groups: Sequence[Span], ordered: Sequence[Ordered]
    ) -> tuple[list[tuple[Span, bool]], bool]:
        """The columns of the group in the order in which the shards send them; whether that is
        the order of the answer as well."""
        keys: list[tuple[Span, bool]] = []
        rest = list(groups)
        for one in ordered:
            if not rest:
                break  # what comes after the whole group decides nothing
            found = next((g for g in rest if self._same(g, one.span)), None)
            if found is None:
                if any(self._same(span, one.span) for span, _ in keys):
                    continue
                return [(g, False) for g in groups], False
            rest.remove(found)
            keys.append((found, one.descending))
        return keys + [(g, False) for g in rest], True

    def _resort(
        self,
        ordered: Sequence[Ordered],
        keys: Sequence[tuple[Span, bool]],
        outs: Sequence[Out],
    ) -> tuple[SortKey, ...]:
        found = []
        for one in ordered:
            place = next((n for n, (span, _) in enumerate(keys) if self._same(span, one.span)), -1)
            if place >= 0:
                form = self._folding(keys[place][0])
                found.append(SortKey(place, form.compare, one.descending))
                continue
            for item, out in zip(self.items, outs, strict=True):
                numeric = out.fold is not Fold.FIRST and is_number(
                    self.statement, item.span, self._resolve
                )
                if numeric and self._same(item.span, one.span):
                    found.append(SortKey(out.column, Compare.NUMBER, one.descending))
                    break
            else:
                raise NotMerged
        return tuple(found)

    def _distinct_values(self) -> list[Span]:
        """The arguments of the DISTINCT aggregates, which must all have the same.

        Those that count the sharding key are counted by the shards, and then for each of these
        arguments, so that they must have them among theirs.
        """
        found: list[Span] | None = None
        counted: list[list[Span]] = []
        for item in self.items:
            name, inner = call_of(self.statement, item.span)
            if name not in ("COUNT", "SUM", "AVG") or self.statement.word(inner[0]) != "DISTINCT":
                continue
            spans = list(self.statement.parts(inner[0] + 1, inner[1]))
            if name == "COUNT" and any(self._is_root_key(span) for span in spans):
                counted.append(spans)
                continue
            if found is not None and not (
                len(found) == len(spans) and all(map(self._same, found, spans))
            ):
                raise NotMerged
            found = spans
        for span in found or []:
            if not all(any(self._same(span, own) for own in spans) for spans in counted):
                raise NotMerged
        return found or []

    def _fold(self, item: Item, columns: _Columns, groups: int, values: Sequence[Span]) -> Out:
        """How the column is folded; input -1 stands for the column itself."""
        statement, span = self.statement, item.span
        name, inner = call_of(statement, span)
        if name not in AGGREGATES:
            if self._has_aggregate(span) or self._has_query(span):
                raise NotMerged
            constant = not any(statement.tokens[p].is_name for p in range(*span))
            if groups == 0 and (values or not constant):
                raise NotMerged
            return Out(0)
        distinct = statement.word(inner[0]) == "DISTINCT"
        if self._has_aggregate(inner) or self._has_query(inner):
            raise NotMerged
        if distinct and name in ("COUNT", "SUM"):
            spans = list(statement.parts(inner[0] + 1, inner[1]))
            if name == "COUNT" and any(self._is_root_key(s) for s in spans):
                return Out(0, Fold.COUNT)
            places = tuple(range(groups, groups + len(values)))
            if name == "COUNT":
                return Out(0, Fold.COUNT_DISTINCT, places)
            if len(places) != 1 or not is_number(statement, spans[0], self._resolve):
                raise NotMerged
            return Out(0, Fold.SUM_DISTINCT, places)
        if name in ("MIN", "MAX"):
            return self._extreme(name, inner, span, columns)
        if distinct:
            raise NotMerged
        if name in ("COUNT", "SUM"):
            return Out(0, Fold.COUNT if name == "COUNT" else Fold.SUM)
        if name == "AVG":
            argument = copied(statement, *inner)
            total = columns.add(joined((b"SUM(", *argument, b")")))
            count = columns.add(joined((b"COUNT(", *argument, b")")))
            return Out(0, Fold.AVG, (total, count))
        if name in ("BIT_AND", "BIT_OR", "BIT_XOR"):
            if not is_number(statement, inner, self._resolve):
                raise NotMerged
            return Out(0, Fold(name.lower()))
        raise NotMerged

    def _extreme(self, name: str, inner: Span, span: Span, columns: _Columns) -> Out:
        statement = self.statement
        if statement.word(inner[0]) in ("DISTINCT", "ALL"):
            inner = (inner[0] + 1, inner[1])
        form = form_of_extreme(statement, inner, self._resolve)
        if form is None:
            raise NotMerged
        fold = Fold(name.lower())
        if form.is_plain:
            return Out(0, fold, (-1,), form.compare)
        place = columns.add(joined((form.before, *copied(statement, *span), form.after)))
        return Out(0, fold, (place,), form.compare)

    # The text for the shards

    def _key_text(self, span: Span, form: Form, grouped: bool) -> Template:
        text = (form.before, *copied(self.statement, *span), form.after)
        derived = grouped and not name_of(self.statement, span) and not self._has_aggregate(span)
        return joined((b"ANY_VALUE(", *text, b")") if derived else text)

    def _prepended(self, columns: _Columns) -> Iterator[Edit]:
        if not columns.texts:
            return
        tokens = self.statement.tokens
        yield insertion(tokens[self.outline.first].start, columns.written())
        for item in self.items:
            first, last = item.span
            if last - first == 1 and self.statement.is_mark(first, "*"):
                yield Edit(tokens[first].start, tokens[first].end, (self._all_columns(),))

    def _all_columns(self) -> bytes:
        """`*` must be first in a select list, `table.*` need not."""
        if self.block.using or not self.block.aliases:
            raise NotMerged
        return b", ".join(quoted(alias.encode()) + b".*" for alias in self.block.aliases)

    def _tail(self, groups: Sequence[Span], columns: _Columns) -> Iterator[Edit]:
        """GROUP BY and ORDER BY for the shards in the place of the client's, LIMIT behind them."""
        outline, statement = self.outline, self.statement
        last = "WHERE" if outline.has("WHERE") else "FROM"
        start = statement.tokens[outline.span(last)[1] - 1].end
        pieces: list[bytes | int] = []
        for number, span in enumerate(groups):
            pieces += [b", " if number else b" GROUP BY ", *copied(statement, *span)]
        for number, key in enumerate(columns.keys):
            way = b" DESC" if key.descending else b""
            pieces += [b", " if number else b" ORDER BY ", b"%d" % (key.column + 1), way]
        pieces.append(_PUSHED)
        for clause in ("FOR", "LOCK"):
            if outline.has(clause):
                pieces += [b" ", *copied(statement, outline.start_of(clause), outline.end)]
        yield Edit(start, statement.tokens[outline.end - 1].end, joined(pieces))

    def _made(
        self, edits: Sequence[Edit], recipe: Recipe, tail: bool = False, pushed: bool = True
    ) -> MergeRule:
        statement, outline = self.statement, self.outline
        limit, offset = _limits(statement, outline)
        edits = list(edits)
        if limit is not None and not tail:
            first, last = outline.start_of("LIMIT"), outline.span("LIMIT")[1]
            edits.append(replacement(statement, first, last, (_PUSHED,)))
        text = edited(statement, edits)
        pin = pin_of(self.root, statement.layout.everything)
        layout = statement.layout
        return MergeRule(layout, pin, text, recipe, limit, offset, pushed, self.flags)

    # What the clauses say

    def _items(self, tree: exp.Select) -> list[Item]:
        spans, nodes = self.outline.items, tree.expressions
        if len(spans) != len(nodes):
            raise NotMerged
        return [self._item(span, node) for span, node in zip(spans, nodes, strict=True)]

    def _item(self, span: Span, node: exp.Expr) -> Item:
        if not isinstance(node, exp.Alias):
            return Item(span, "")
        first, last = span
        token = self.statement.tokens[last - 1]
        if last - first < 2:
            raise NotMerged
        if token.kind is not Kind.LITERAL and token.text != node.alias:
            raise NotMerged
        last -= 2 if self.statement.word(last - 2) == "AS" else 1
        alias = "" if token.kind is Kind.LITERAL else token.text
        if token.kind is Kind.LITERAL and self.outline.has("ORDER"):
            raise NotMerged  # an alias in quotes is not seen here
        return Item((first, last), alias)

    def _groups(self) -> list[Span]:
        if not self.outline.has("GROUP"):
            return []
        first, last = self.outline.span("GROUP")
        if any(self.statement.word(p) in ("ROLLUP", "CUBE") for p in range(first, last)):
            raise NotMerged
        found: list[Span] = []
        for span in self.statement.parts(first, last):
            number = self._ordinal(span)
            if number is not None:
                self.grouped_by_number.append(number)
                span = number.span
            elif name_of(self.statement, span) and self._resolve(self._name(span)) is None:
                span = self._aliased(span)
            if not self._is_expression(span):
                raise NotMerged
            if not any(self._same(span, other) for other in found):
                found.append(span)
        return found

    def _ordered(self) -> list[Ordered]:
        if not self.outline.has("ORDER"):
            return []
        found = []
        for first, last in self.statement.parts(*self.outline.span("ORDER")):
            way = self.statement.word(last - 1)
            end = last - 1 if way in ("ASC", "DESC") and last - first > 1 else last
            span, descending = (first, end), way == "DESC"
            if end - first == 1 and self.statement.word(first) == "NULL":
                continue
            number = self._ordinal(span)
            if number is not None:
                found.append(replace(number, descending=descending))
                continue
            name = name_of(self.statement, span)
            if len(name) == 1 and self._alias_named(name[0]):
                span = self._aliased(span)
            elif not name and self._mentions_alias(span):
                raise NotMerged
            if not self._is_expression(span):
                raise NotMerged
            found.append(Ordered(span, descending))
        return found

    def _ordinal(self, span: Span) -> Ordered | None:
        first, last = span
        token = self.statement.tokens[first]
        if last - first != 1 or token.kind is not Kind.LITERAL:
            return None
        value = self.structural[token.slot] = self.statement.literals[token.slot]
        if not value.isdigit() or not 0 < int(value) <= len(self.items):
            raise NotMerged
        if any(self._is_star(item.span) for item in self.items):
            raise NotMerged
        span = self.items[int(value) - 1].span
        if not self._is_expression(span):
            raise NotMerged
        return Ordered(span, False, first + 1)

    def _is_star(self, span: Span) -> bool:
        return self.statement.is_mark(span[1] - 1, "*")

    def _is_expression(self, span: Span) -> bool:
        """Not a lone literal, which would mean something else in GROUP BY or ORDER BY."""
        first, last = span
        lone = last - first == 1 and self.statement.tokens[first].kind is Kind.LITERAL
        return last > first and not lone and not self._has_query(span)

    def _alias_named(self, name: str) -> list[Item]:
        return [item for item in self.items if item.alias.lower() == name.lower()]

    def _aliased(self, span: Span) -> Span:
        found = self._alias_named(name_of(self.statement, span)[-1])
        if len(found) != 1 or span[1] - span[0] != 1:
            raise NotMerged
        return found[0].span

    def _mentions_alias(self, span: Span) -> bool:
        words = {t.text.lower() for t in self.statement.tokens[slice(*span)] if t.is_name}
        return any(item.alias and item.alias.lower() in words for item in self.items)

    def _name(self, span: Span) -> tuple[str, ...]:
        return name_of(self.statement, span)

    def _resolve(self, names: tuple[str, ...]) -> Column | None:
        source = self._source(names)
        if source is not None:
            return source.place.table.column(names[-1])
        derived = self._derived(names)
        return derived.columns.get(names[-1].lower()) if derived else None

    def _derived(self, names: tuple[str, ...]) -> Derived | None:
        if len(names) > 2:
            return None
        table = names[0] if len(names) == 2 else None
        return self.reading.derived_of(exp.column(names[-1], table=table), self.block)

    def _source(self, names: tuple[str, ...]) -> Source | None:
        if len(names) > 2:
            return None
        table = names[0] if len(names) == 2 else None
        source = self.reading.source_of(exp.column(names[-1], table=table), self.block)
        return source if source in self.block.sources else None

    def _is_root_key(self, span: Span) -> bool:
        names = name_of(self.statement, span)
        source = self._source(names) if names else None
        if source is not None:
            is_key = source.place.is_key(names[-1]) and not source.nullable
            return is_key and self.root in source.leaders()
        derived = self._derived(names) if names else None
        if derived is None or derived.nullable:
            return False
        keys = derived.keys.get(names[-1].lower(), ())
        return len(keys) == 1 and not keys[0].nullable and self.root in keys[0].leaders()

    def _form(self, span: Span) -> Form:
        form = form_of(self.statement, span, self._resolve)
        if form is None:
            raise NotMerged
        return form

    def _folding(self, span: Span) -> Form:
        form = self._form(span)
        text = form.before.startswith(b"WEIGHT") or form.compare is Compare.BYTES
        column = self._resolve(name_of(self.statement, span) or ("",)) if text else None
        if text and (column is None or not 0 < _length(column) <= _LONGEST_FOLDED):
            raise NotMerged
        return form

    def _same(self, one: Span, other: Span) -> bool:
        """Whether two expressions are written alike, or name the same column."""
        if one == other:
            return True
        names = name_of(self.statement, one), name_of(self.statement, other)
        if all(names):
            sources = self._source(names[0]), self._source(names[1])
            alike = names[0][-1].lower() == names[1][-1].lower()
            return alike and sources[0] is not None and sources[0] is sources[1]
        return self._written(one) == self._written(other)

    def _written(self, span: Span) -> list[object]:
        tokens = self.statement.tokens[slice(*span)]
        literals = self.statement.literals
        found: list[object] = []
        for token in tokens:
            if token.kind is Kind.LITERAL:
                self.structural[token.slot] = literals[token.slot]
                found.append(literals[token.slot])
            else:
                found.append(token.word or token.text)
        return found

    def _is_item(self, span: Span) -> bool:
        return any(self._same(span, item.span) for item in self.items)

    # Calls at the level of this SELECT

    def _calls(self) -> tuple[list[int], list[int]]:
        """Places of aggregates, and of OVER."""
        aggregates, windows = [], []
        for place in self._own(self.outline.first, self.outline.end):
            token = self.statement.tokens[place]
            if token.word == "OVER" and not self.statement.is_mark(place - 1, "."):
                windows.append(place)
            elif token.word in AGGREGATES and self.statement.is_mark(place + 1, "("):
                behind = self.statement.closing(place + 1)
                if self.statement.word(behind) != "OVER":
                    aggregates.append(place)
        return aggregates, windows

    def _own(self, first: int, last: int) -> Iterator[int]:
        """Places of this SELECT without those of the queries in it."""
        place = first
        while place < last:
            if self.statement.is_mark(place, "(") and self.statement.word(place + 1) in _QUERIES:
                place = self.statement.closing(place)
                continue
            yield place
            place += 1

    def _has_aggregate(self, span: Span) -> bool:
        return any(span[0] <= place < span[1] for place in self.aggregates)

    def _has_query(self, span: Span) -> bool:
        return any(self.statement.word(p) in _QUERIES for p in range(*span))

    def _windows_are_local(self) -> bool:
        return all(self._is_partitioned(place + 1) for place in self.windows)

    def _is_partitioned(self, place: int) -> bool:
        statement = self.statement
        if not statement.is_mark(place, "(") or statement.word(place + 1) != "PARTITION":
            return False
        first, end = place + 3, statement.closing(place) - 1
        last = next(
            (p for p in range(first, end) if statement.word(p) in ("ORDER", "ROWS", "RANGE")), end
        )
        return any(self._is_root_key(span) for span in statement.parts(first, last))

    def _matches_outside_where(self) -> bool:
        first, last = self.outline.span("WHERE")
        return any(
            token.word == "MATCH" and self.statement.is_mark(place + 1, "(")
            for place, token in enumerate(self.statement.tokens)
            if not first <= place < last
        )


_QUERIES = frozenset({"SELECT", "WITH", "TABLE", "VALUES"})


def _length(column: Column) -> int:
    inside = column.type.partition("(")[2].rstrip(")").split(")")[0]
    return int(inside) if inside.isdigit() else 0


def _main_select(statement: Statement) -> int:
    place = 0
    while place < len(statement.tokens):
        if statement.is_mark(place, "("):
            place = statement.closing(place)
        elif statement.word(place) == "SELECT":
            return place
        else:
            place += 1
    raise NotMerged


def _limits(statement: Statement, outline: Outline) -> tuple[int | None, int | None]:
    """Slots of LIMIT and OFFSET."""
    if not outline.has("LIMIT"):
        return None, None
    tokens = statement.tokens[slice(*outline.span("LIMIT"))]
    slots = [t.slot for t in tokens if t.kind is Kind.LITERAL]
    if len(tokens) == 1 and len(slots) == 1:
        return slots[0], None
    if len(tokens) == 3 and len(slots) == 2:
        return (slots[1], slots[0]) if tokens[1].text == "," else (slots[0], slots[1])
    raise NotMerged


# UNION ALL


def _union(
    statement: Statement,
    tree: exp.Union,
    reading: Reading,
    flags: Flag,
    structural: dict[int, bytes],
) -> MergeRule:
    branches = _branches(tree)
    places = [place for place in _at_depth_zero(statement) if statement.word(place) == "SELECT"]
    if tree.args.get("with_") or len(places) != len(branches) or statement.word(0) != "SELECT":
        raise NotMerged
    pins: list[Pin] = []
    for number, (branch, at) in enumerate(zip(branches, places, strict=True)):
        block = reading.blocks.get(id(branch))
        if block is None:
            raise NotMerged
        one = _Selection(statement, branch, reading, block, flags, structural, block.within, at)
        last = number == len(branches) - 1
        if one.windows or one.distinct or not one.is_concatenated(last):
            raise NotMerged
        pins.append(pin_of(one.root, statement.layout.everything))
        outline = one.outline
    limit, offset = _limits(statement, outline)
    edits = []
    if limit is not None:
        first, end = outline.start_of("LIMIT"), outline.span("LIMIT")[1]
        edits.append(replacement(statement, first, end, (_PUSHED,)))
    pin, text = AnyOf(tuple(pins)), edited(statement, edits)
    return MergeRule(statement.layout, pin, text, Recipe(), limit, offset, True, flags)


def _branches(tree: exp.Expr) -> list[exp.Select]:
    if isinstance(tree, exp.Select):
        return [tree]
    if not isinstance(tree, exp.Union) or tree.args.get("distinct"):
        raise NotMerged
    return [*_branches(tree.this), *_branches(tree.expression)]


def _at_depth_zero(statement: Statement) -> Iterator[int]:
    place = 0
    while place < len(statement.tokens):
        if statement.is_mark(place, "("):
            place = statement.closing(place)
        else:
            yield place
            place += 1
