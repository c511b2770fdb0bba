"""Views in keyspaces of several shards.

Each shard has the view, over the rows that it holds. So a statement that one shard answers is sent
as it is, and names the view there. For several shards the definition, as MySQL itself writes it in
SHOW CREATE VIEW, is put in the place of the name, as a derived table; the statement that comes out
is planned like any other, and the plan's texts name no view any more. So a view has the rows of all
shards, and an aggregate in it is one over all of them.

What a view has and a derived table has not stays with one shard and is refused for several: locks
on the rows below it, and functions that tell about the view's definer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from mitosis_gate.planner.keys import Halt
from mitosis_gate.planner.layout import Layout, Living, Place
from mitosis_gate.planner.lexer import BadSql, Kind, shape_of, tokens_of
from mitosis_gate.planner.outline import TableRef, block_at, blocks_of, hidden_names
from mitosis_gate.planner.outline import table_statements as table_statements_of
from mitosis_gate.planner.pins import Literal
from mitosis_gate.planner.plan import (
    AnyShard,
    Finish,
    Flag,
    Merge,
    OneShard,
    Plan,
    Refuse,
    Scatter,
    UnknownTable,
    Variant,
    ViewNamed,
)
from mitosis_gate.planner.pulling import quoted
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.rewrite import Edit, Template, copied, render, replacement
from mitosis_gate.planner.rules import Rule
from mitosis_gate.planner.schema import Table
from mitosis_gate.planner.statement import Span, Statement

_READING = frozenset("SELECT WITH TABLE VALUES INSERT REPLACE UPDATE DELETE".split())
_WRITING = frozenset("INSERT REPLACE UPDATE DELETE LOAD".split())
_DDL = frozenset("CREATE ALTER DROP RENAME TRUNCATE ANALYZE OPTIMIZE CHECK REPAIR".split())
_OF_DEFINER = frozenset({"CURRENT_USER", "CURRENT_ROLE"})
_DEEPEST = 32
_LONGEST = 1 << 20
"""Bytes of a definition together with those of the views that it names."""


@dataclass(frozen=True, slots=True)
class Viewed:
    """A statement that names views: `inner` plans it with their definitions in their places."""

    inner: Rule
    literals: tuple[int | bytes, ...]
    """Of the statement that `inner` plans: literals of definitions, and slots of the client's."""
    refusal: Refuse | None
    """The answer where several shards take part."""

    @property
    def cacheable(self) -> bool:
        return self.inner.cacheable

    def bind(self, literals: Sequence[Literal]) -> Plan:
        own = [literals[one] if isinstance(one, int) else one for one in self.literals]
        plan = self.inner.bind(own)
        if isinstance(plan, OneShard | AnyShard | Refuse | UnknownTable):
            return plan
        if isinstance(plan, Scatter | Merge | Finish) and plan.flags & Flag.LOCKS:
            return refuse(
                "FOR UPDATE and FOR SHARE of views over several shards are not supported: lock the "
                "rows of their tables"
            )
        return self.refusal or plan

    def slots(self) -> frozenset[int]:
        deciding = self.inner.slots()
        return frozenset(
            one for n, one in enumerate(self.literals) if n in deciding and isinstance(one, int)
        )


def with_views(statement: Statement, make: Callable[[Statement], Rule]) -> Rule | None:
    """The rule for a statement that names views in FROM clauses; None for all others.

    `make` plans the statement without views. Raises Halt and BadSql as that does.
    """
    views = statement.layout.views
    if not views or not any(t.is_name and t.text in views for t in statement.tokens):
        return None
    if statement.words[0] not in _READING and not statement.is_mark(0, "("):
        return None
    try:
        uses = _uses(statement)
    except BadSql:
        return None  # where a view is meant, whoever reads the statement comes upon it
    if not uses:
        return None
    whole = _Whole(statement.layout)
    template = whole.spliced(statement, uses)
    client = [one for one in template if isinstance(one, int)]
    sql = render(template, statement.literals)
    expanded = read(sql, statement.layout, statement.variant)
    try:
        rule = make(expanded)
    except Halt as exc:
        raise _blamed(exc, whole, statement) from exc
    starts = _starts(template, statement.literals)
    slots = dict(zip(starts, client, strict=True))
    known = {t.slot: slots.get(t.start) for t in expanded.tokens if t.kind is Kind.LITERAL}
    if len(client) != sum(slot is not None for slot in known.values()):
        raise BadSql("its values would be others behind the definition of a view")
    literals = tuple(
        slot if (slot := known[n]) is not None else literal
        for n, literal in enumerate(expanded.literals)
    )
    return Viewed(rule, literals, whole.refusal(statement))


def used_as_table(statement: Statement, named: ViewNamed) -> Refuse:
    """Why a view cannot stand where the statement has it."""
    words, name = statement.words, named.view
    if words[0] in _DDL:
        return refuse(f"{name} is a view, not a table: use CREATE, ALTER or DROP VIEW")
    if not _WRITING.intersection(words):
        return refuse(
            f"{name} is a view, and it stands in a place that is not understood here: put its "
            "SELECT there"
        )
    try:
        tables = tables_of_view(statement.layout, name)
    except (Halt, BadSql):
        tables = ()
    names = " and ".join(sorted({place.table.name for place in tables}))
    return refuse(
        f"{name} is a view, which over several shards is only read: write to {names or 'its table'}"
    )


# Places that name views


@dataclass(frozen=True, slots=True)
class _Use:
    """Tokens from `first` to before `last` that name a view, with its alias and parentheses."""

    first: int
    last: int
    view: Table
    alias: str
    is_statement: bool
    """`TABLE name`"""


def _uses(statement: Statement) -> list[_Use]:
    views = statement.layout.views
    found = []
    for ref, is_statement in _references(statement):
        view = views.get(ref.name)
        if view is None or not _is_ours(statement, ref):
            continue
        if ref.hints or ref.partition[0] < ref.partition[1]:
            raise Halt(
                refuse(f"PARTITION and index hints are for tables, and {ref.name} is a view")
            )
        first, last = ref.first, ref.last
        if is_statement:
            first -= 1
        elif ref.aliased:
            last += 2 if statement.word(last) == "AS" else 1
        while not is_statement and _is_enclosed(statement, first, last):
            first, last = first - 1, last + 1  # around a derived table MySQL allows no others
        found.append(_Use(first, last, view, ref.alias, is_statement))
    return found


def _is_enclosed(statement: Statement, first: int, last: int) -> bool:
    return first > 0 and statement.is_mark(first - 1, "(") and statement.is_mark(last, ")")


def _references(statement: Statement) -> Iterator[tuple[TableRef, bool]]:
    """What FROM clauses name, but for common table expressions; whether it is `TABLE name`."""
    hidden = hidden_names(statement)
    refs = [(ref, False) for block in blocks_of(statement) for ref in block.tables]
    refs += [(ref, True) for ref in table_statements_of(statement)]
    for ref, is_statement in refs:
        common = any(name == ref.name and a <= ref.first < b for name, a, b in hidden)
        if ref.database or not common:
            yield ref, is_statement


def _is_ours(statement: Statement, ref: TableRef) -> bool:
    return (ref.database or statement.database) == statement.layout.keyspace


# Definitions in the places of names


class _Whole:
    """Definitions in which no view is named any more."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._texts: dict[str, bytes] = {}
        self._open: list[str] = []
        self.used: list[str] = []
        self._definer = ""

    def refusal(self, statement: Statement) -> Refuse | None:
        if self._definer:
            return refuse(
                f"{self._definer} in a view tells about its definer, and over several shards there "
                "is none: take it out of the view"
            )
        if not statement.variant.utf8 and not all(t.isascii() for t in self._texts.values()):
            return refuse(
                f"the definition of {self.used[0]} has characters that are not in the session's "
                "character set: SET NAMES utf8mb4"
            )
        return None

    def spliced(self, statement: Statement, uses: Sequence[_Use]) -> Template:
        edits = [replacement(statement, use.first, use.last, self._derived(use)) for use in uses]
        named = {use.view.name for use in uses}
        edits.extend(_without_database(statement, lambda name: name in named))
        return copied(statement, 0, len(statement.tokens), edits)

    def _derived(self, use: _Use) -> bytes:
        text, columns = self._definition(use.view)
        start = b"SELECT * FROM (" if use.is_statement else b"("
        return start + text + b") AS " + quoted(use.alias.encode()) + columns

    def _definition(self, view: Table) -> tuple[bytes, bytes]:
        if view.name in self._open or len(self._open) >= _DEEPEST:
            raise Halt(refuse(f"the views that {view.name} names are nested too deeply"))
        if not view.columns:  # MySQL does not tell those of a view that is invalid
            raise Halt(UnknownTable(self._layout.keyspace, view.name, self._outermost(view)))
        statement, names = definition_of(self._layout, view)
        self._definer = self._definer or definers_function(statement)
        if view.name not in self._texts:
            self.used.append(view.name)
            self._open.append(view.name)
            self._texts[view.name] = self._text(statement)
            self._open.pop()
            if len(self._texts[view.name]) > _LONGEST:
                raise Halt(refuse(f"view {view.name} is too long with the views that it names"))
        listed = b", ".join(quoted(name.encode()) for name in names)
        return self._texts[view.name], b" (" + listed + b")" if names else b""

    def _text(self, statement: Statement) -> bytes:
        uses = _uses(statement)
        edits = [replacement(statement, use.first, use.last, self._derived(use)) for use in uses]
        places = {use.first for use in uses}
        keyspace = quoted(self._layout.keyspace.encode())
        for ref, _ in _references(statement):
            if not ref.database and ref.first not in places and not _is_dual(statement, ref):
                # no common table expression of the statement around it is meant
                name = keyspace + b"." + quoted(ref.name.encode())
                edits.append(replacement(statement, ref.first, ref.last, name))
        edits.extend(_without_database(statement, lambda name: True))
        template = copied(statement, 0, len(statement.tokens), edits)
        return render(template, statement.literals)

    def _outermost(self, view: Table) -> str:
        return self._open[0] if self._open else view.name

    def naming(self, table: str) -> str:
        """The first view whose definition names the table."""
        name = quoted(table.encode())
        return next((view for view in self.used if name in self._texts[view]), self.used[0])


def _is_dual(statement: Statement, ref: TableRef) -> bool:
    return statement.tokens[ref.first].word == "DUAL"


def _without_database(statement: Statement, wanted: Callable[[str], bool]) -> Iterator[Edit]:
    """`shop.v.total` becomes `v.total`: a derived table is in no database."""
    tokens = statement.tokens
    for place, token in enumerate(tokens):
        if not token.is_name or token.text != statement.layout.keyspace:
            continue
        behind = statement.is_mark(place - 1, ".") if place else False
        if behind or not (statement.is_mark(place + 1, ".") and statement.is_mark(place + 3, ".")):
            continue
        if wanted(tokens[place + 2].text):
            yield replacement(statement, place, place + 2, b"")


def definition_of(layout: Layout, view: Table) -> tuple[Statement, tuple[str, ...]]:
    """The SELECT of a view, and the names of its columns where the SELECT gives them others."""
    if not view.definition:
        raise Halt(
            refuse(
                f"the definition of view {view.name} is not known: the gate's account needs SHOW "
                "VIEW in the keyspace"
            )
        )
    whole = read(view.definition.encode(), layout, Variant(layout.keyspace))
    words = [token.word for token in whole.tokens]
    if "VIEW" not in words:
        raise BadSql(f"the definition of view {view.name} is of a form that is not known here")
    body = read(whole.text(*body_behind(whole, words.index("VIEW") + 1)), layout, whole.variant)
    names = tuple(column.name for column in view.columns)
    return body, () if _names_of(body) == names else names


def body_behind(statement: Statement, at: int) -> Span:
    """The SELECT of a CREATE VIEW whose name stands at `at`."""
    at += 3 if statement.is_mark(at + 1, ".") else 1
    if statement.is_mark(at, "("):
        at = statement.closing(at)
    if statement.word(at) != "AS":
        raise BadSql("AS is missing")
    end = len(statement.tokens)
    if (statement.word(end - 2), statement.word(end - 1)) == ("CHECK", "OPTION"):
        end -= 4 if statement.word(end - 3) in ("CASCADED", "LOCAL") else 3
    if end <= at + 1:
        raise BadSql("the SELECT of the view is missing")
    return at + 1, end


def _names_of(statement: Statement) -> tuple[str, ...]:
    """The columns of a query as MySQL writes it, with the names of all; empty for other forms."""
    place = 0
    while statement.is_mark(place, "("):
        place += 1
    while statement.word(place) != "SELECT":
        place = statement.closing(place) if statement.is_mark(place, "(") else place + 1
        if place >= len(statement.tokens):
            return ()
    items = block_at(statement, place).items
    named = all(statement.word(last - 2) == "AS" for _, last in items)
    return tuple(statement.tokens[last - 1].text for _, last in items) if named else ()


def tables_of_view(layout: Layout, name: str) -> tuple[Place, ...]:
    """The tables below a view."""
    return tables_of(definition_of(layout, layout.views[name])[0])


def tables_of(query: Statement) -> tuple[Place, ...]:
    """The tables that a query names, or that views name which it names; Halt for unknown ones."""
    uses = _uses(query)
    if uses:
        text = render(_Whole(query.layout).spliced(query, uses), query.literals)
        query = read(text, query.layout, query.variant)
    found = []
    for ref, _ in _references(query):
        if _is_dual(query, ref):
            continue
        place = query.layout.place(ref.database or query.database, ref.name)
        if not isinstance(place, Place):
            raise Halt(place)
        found.append(place)
    return tuple(found)


def whole_views(layout: Layout) -> frozenset[str]:
    """Views that name unsharded tables and nothing else: MySQL answers for them on their shard."""
    return frozenset(name for name in layout.views if _is_whole(layout, name))


def _is_whole(layout: Layout, name: str) -> bool:
    try:
        return are_unsharded(tables_of_view(layout, name))
    except (Halt, BadSql):
        return False


def are_unsharded(tables: Sequence[Place]) -> bool:
    return bool(tables) and all(place.living is Living.UNSHARDED for place in tables)


def definers_function(statement: Statement) -> str:
    """A function that in a view tells about the view's definer, if the statement calls one."""
    for place, token in enumerate(statement.tokens):
        if token.word in _OF_DEFINER and not (place and statement.is_mark(place - 1, ".")):
            return f"{token.word}()"
    return ""


def read(sql: bytes, layout: Layout, variant: Variant) -> Statement:
    shape = shape_of(sql)
    return Statement(sql, tuple(tokens_of(shape)), tuple(shape.literals), layout, variant)


def _starts(template: Template, literals: Sequence[bytes]) -> Iterator[int]:
    """Where in the text of a template each literal of the statement begins."""
    at = 0
    for piece in template:
        if isinstance(piece, int):
            yield at
            at += len(literals[piece])
        else:
            at += len(piece)


def _blamed(halt: Halt, whole: _Whole, statement: Statement) -> Halt:
    """A table that only a view names is the view's problem."""
    unknown = halt.plan
    if not isinstance(unknown, UnknownTable):
        return halt
    if any(ref.name == unknown.name for ref, _ in _references(statement)):
        return halt
    return Halt(replace(unknown, view=whole.naming(unknown.name)))
