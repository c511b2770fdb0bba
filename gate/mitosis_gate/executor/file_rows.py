"""Rows of the text files of LOAD DATA: where each ends, and the value of some of its fields.

A row stays the bytes that it is, with its terminator: each shard's MySQL reads and converts it by
the same options. Here only its end must be found, and the fields that decide where it goes. One
regular expression made of the options does at each byte what MySQL does there:

    field     begins with the quote: enclosed, ends at a quote before a terminator; else it ends at
              the first terminator. An escape takes the byte behind it along; where escape and
              quote are the same, only two of them do. That of lines is looked for before that of
              fields.
    row       as many fields as the statement has columns for; what follows of the line is skipped
              by escapes alone, quotes mean nothing there.
    start     LINES STARTING BY is looked for in all bytes, terminators and quotes included.
    end       of the file: ends what is open. A field that would begin there is missing.

Rows without quotes and escapes are cut by `bytes.split` instead, and where the gate is compiled
the rows with plain keys by relay/_rows.c, which puts them together by shard at once.
tests/support/file_model.py reads byte after byte, and must find the same rows.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mitosis_gate import relay
from mitosis_gate.errors import MysqlError
from mitosis_gate.planner.plan import FileFormat
from mitosis_gate.relay.plain import DivideOptions

AT_ONCE_BYTES = 1 << 17
"""So much of a file is gathered before rows are cut, as clients send it in small pieces."""
MOST_ROW_BYTES = 1 << 28
_ESCAPES = {b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a"}
_NEVER = rb"(?!)"
_MOST_STOPS = 8
"""So many rows are looked at by themselves before the expressions take over, in each piece."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A field whose text is asked for."""

    index: int
    digits: int = 0
    """Only whole numbers of fewer digits, without sign and leading zeros; 0: any text."""


@dataclass(frozen=True, slots=True)
class Owners:
    """By which shards are found."""

    by_slot: Sequence[int]
    shards: int
    lowest: int = 0
    """Key that is a whole number."""
    longest: int = 0
    """Characters of a key that is text; 0: any number."""


@dataclass(slots=True)
class Divided:
    """Whole rows whose keys are plain, in the order of the file."""

    parts: Sequence[bytes]
    """For each shard its rows."""
    owners: Sequence[int]
    """For each row its shard."""
    highest: int
    """Key that is a whole number."""


@dataclass(slots=True)
class Batch:
    """Whole rows, in the order of the file."""

    rows: Sequence[bytes]
    fields: Sequence[Sequence[bytes]]
    """For each field that is wanted its text in each row; empty: look closer (`value_at`)."""
    glue: bytes = b""
    """Belongs behind each row: its terminator, where `rows` are without."""


class FileRows:
    """Fed with pieces of a file; gives its rows."""

    def __init__(
        self, form: FileFormat, wanted: Sequence[Wanted] = (), owners: Owners | None = None
    ) -> None:
        """`owners`: divide the rows at once by the first field that is wanted, where it is easy."""
        self._form = form
        self._wanted = wanted
        self._odd = tuple(c for c in (form.enclosed, form.escaped) if c)
        self._margin = max(len(form.fields_end), len(form.lines_end)) - 1
        self._may_split = not form.lines_start and _are_apart(form.fields_end, form.lines_end)
        grammar = _Grammar(form)
        self._row = _rows_of(grammar, wanted)
        unescaped = _Grammar(replace(form, escaped=b"")) if form.escaped else grammar
        self._row_unescaped = _rows_of(unescaped, wanted)
        last = _Grammar(form, at_end=True)
        self._last = re.compile(last.row(()), re.DOTALL)
        self._field = re.compile(last.field, re.DOTALL)
        self._enclosed = re.compile(last.enclosed, re.DOTALL)
        self._start = re.compile(last.start, re.DOTALL)
        self._line = re.compile(grammar.line, re.DOTALL)
        self._pairs = re.compile(grammar.pairs(inside=False), re.DOTALL)
        self._pairs_inside = re.compile(grammar.pairs(inside=True), re.DOTALL)
        self._pieces: list[bytes] = []
        self._size = 0
        self._wait_for = AT_ONCE_BYTES
        self._skipped = 0
        self._given = 0
        self._options = None
        if owners is not None and relay.IS_COMPILED:
            self._options = self._divide_options(owners)

    def _divide_options(self, owners: Owners) -> DivideOptions | None:
        """None: the file may be read by the expressions alone."""
        form = self._form
        marks = form.enclosed + form.escaped
        is_ordinary = len(set(marks)) == len(marks) and marks.isascii()
        if (
            not self._may_split
            or not is_ordinary
            or set(marks) & set(form.fields_end + form.lines_end)
        ):
            return None
        key = self._wanted[0]
        by_slot = array("H", [owner if owner >= 0 else 0xFFFF for owner in owners.by_slot])
        return (
            form.fields_end,
            form.lines_end,
            form.enclosed[0] if form.enclosed else -1,
            form.escaped[0] if form.escaped else -1,
            form.width,
            key.index,
            key.digits,
            owners.lowest,
            owners.longest,
            by_slot.tobytes(),
            owners.shards,
        )

    def feed(self, data: bytes) -> Iterator[Batch | Divided]:
        """The rows that are complete now; none, where they are too few to be worth the while."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size < self._wait_for:
            return
        data = self._joined()
        at = self._without_head(data)
        if self._skipped == self._form.skipped:
            for part, end in self._parts(data, at):
                yield part
                at = end
        self._keep(data, at)

    def finish(self) -> Iterator[Batch | Divided]:
        """What is left when the file has ended, perhaps inside a row."""
        data = self._joined()
        at = self._without_head(data)
        if self._skipped < self._form.skipped:
            return
        for part, end in self._parts(data, at):
            yield part
            at = end
        rows: list[bytes] = []
        while found := self._last.match(data, at):
            rows.append(found[0])
            at = found.end()
        if rows:
            nothing = [b""] * len(rows)
            batch = Batch(rows, [nothing for _ in self._wanted])
            self._check_characters(batch, b"".join(rows))
            yield batch

    def _joined(self) -> bytes:
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces, self._size = [], 0
        return data

    def _keep(self, data: bytes, at: int) -> None:
        """A row that is longer than all that is here is looked at again when there is twice as
        much, so that the time for it does not grow with the square of its length."""
        rest = data[at:]
        self._pieces, self._size = [rest], len(rest)
        self._wait_for = len(rest) + max(AT_ONCE_BYTES, len(rest))
        if self._size > MOST_ROW_BYTES:
            raise MysqlError(
                1153,
                "08S01",
                f"[gate] a row of the file is longer than {MOST_ROW_BYTES} bytes, and the gate "
                "keeps no more of one: look whether its quotes and terminators are those that the "
                "statement names; nothing was stored",
            )

    def _parts(self, data: bytes, at: int) -> Iterator[tuple[Batch | Divided, int]]:
        """Whole rows, and where they end."""
        stops = 0
        while self._options is not None and stops < _MOST_STOPS:
            parts, shards, end, highest = relay.divide(self._options, data, at)
            if end > at:
                if not self._are_characters(data[at:end]):
                    break
                owners = array("H")
                owners.frombytes(shards)
                self._given += len(owners)
                yield Divided(parts, owners, highest), end
            batch, at = self._cut_one(data, end)
            if not batch.rows:
                return
            self._check_characters(batch, data[end:at])
            yield batch, at
            stops += 1
        batch, end = self._cut(data, at)
        self._check_characters(batch, data[at:end])
        if batch.rows:
            yield batch, end

    def _cut_one(self, data: bytes, at: int) -> tuple[Batch, int]:
        found = self._row.match(data, at)
        if not found or found[1] is None or found.end() > len(data) - self._margin:
            return Batch((), ()), at
        texts = found.groups(b"")
        fields = [[texts[n] or texts[n + 1]] for n in range(1, len(texts), 2)]
        return Batch([found[0]], fields), found.end()

    def _cut(self, data: bytes, at: int) -> tuple[Batch, int]:
        if self._may_split and not any(c in data for c in self._odd):
            return self._split(data, at)
        rule = self._row if self._form.escaped in data else self._row_unescaped  # much faster
        found = rule.findall(data, at)
        columns = list(zip(*found, strict=True)) if self._wanted and found else [found]
        rows = list(columns[0])
        if rows and not rows[-1]:
            rows.pop()  # what follows the last whole row
        at += sum(map(len, rows))
        while rows and at > len(data) - self._margin:
            at -= len(rows.pop())  # what ends it may be part of a longer terminator
        count = len(rows)
        fields = [
            [inside or bare for inside, bare in zip(*columns[n : n + 2], strict=True)][:count]
            for n in range(1, len(columns), 2)
        ]
        return Batch(rows, fields), at

    def _split(self, data: bytes, at: int) -> tuple[Batch, int]:
        """As `_cut`, where no byte is a quote or an escape."""
        end, term = self._form.lines_end, self._form.fields_end
        lines = data[at:].split(end) if at else data.split(end)
        rest = len(lines.pop())
        fields = [_plain_ones(_column(lines, term, w.index), w.digits) for w in self._wanted]
        return Batch(lines, fields, end), len(data) - rest

    def _without_head(self, data: bytes) -> int:
        """Where the lines of IGNORE n LINES end: at once, when they are all behind."""
        at = 0
        while self._skipped < self._form.skipped and (found := self._line.match(data, at)):
            self._skipped += 1
            if not self._are_characters(found[0]):
                raise _no_characters(f"line {self._skipped}")
            at = found.end()
        return at

    def _check_characters(self, batch: Batch, data: bytes) -> None:
        """Raise where a server may find another end of a row, as it reads by characters: what is
        none may take an escape or, behind the last field, a terminator along."""
        first = self._given + 1
        self._given += len(batch.rows)
        if self._are_characters(data):
            return
        form = self._form
        for number, row in enumerate(batch.rows, first):
            is_short = row.count(form.fields_end) < form.width
            is_simple = is_short and not (form.escaped and form.escaped in row)
            if not is_simple and not self._are_characters(row):
                raise _no_characters(f"row {number}")

    def _are_characters(self, text: bytes) -> bool:
        if not self._form.is_text or text.isascii():
            return True
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
        return True

    def span(self, row: bytes, index: int) -> tuple[int, int]:
        """Where a field of a row with its terminator begins and ends; (-1, -1): it has none."""
        for number, (start, end) in enumerate(self._fields(row)):
            if number == index:
                return start, end
        return -1, -1

    def _fields(self, row: bytes) -> Iterator[tuple[int, int]]:
        begun = self._start.match(row)
        at = begun.end() if begun else len(row)
        term = self._form.fields_end
        while found := self._field.match(row, at):
            end = found.end()
            yield at, end
            if row.startswith(self._form.lines_end, end) or not row.startswith(term, end):
                return
            at = end + len(term)
            if at == len(row):
                return

    def value_at(self, row: bytes, index: int) -> bytes | None:
        """What a field of a row with its terminator stands for; None: NULL, or there is none."""
        start, end = self.span(row, index)
        if start < 0:
            return None
        field = row[start:end]
        form = self._form
        quote = form.enclosed
        null = form.escaped + b"N" if form.escaped and form.escaped != quote else b""
        if not quote or not field.startswith(quote):
            text = self._pairs.sub(self._meant, field)
            return None if (null and field == null) or (quote and text == b"NULL") else text
        if not self._enclosed.match(row, start):  # the file ends before it is closed
            return quote + self._pairs_inside.sub(self._meant, field[1:])
        field = field[1:-1]
        return None if null and field == null else self._pairs_inside.sub(self._meant, field)

    def _meant(self, pair: re.Match[bytes]) -> bytes:
        first, second = pair[0][:1], pair[0][1:]
        if first != self._form.escaped or first == self._form.enclosed:
            return second
        return _ESCAPES.get(second, second)


def _no_characters(place: str) -> MysqlError:
    return MysqlError(
        1300,
        "HY000",
        f"[gate] Invalid utf8mb4 character string: in {place} of the file, where it is not "
        "certain what MySQL reads behind it: send the file in utf8mb4, or say CHARACTER SET "
        "binary if it is no text; nothing was stored",
    )


def _rows_of(grammar: "_Grammar", wanted: Sequence[Wanted]) -> re.Pattern[bytes]:
    """For `findall`: whole rows, and nothing for what follows the last of them."""
    return re.compile(rb"(%b)|.+" % grammar.row(wanted), re.DOTALL)


def _column(lines: Sequence[bytes], term: bytes, index: int) -> list[bytes]:
    """One field of each line; empty where there is none."""
    cuts = index + 1
    try:
        return [line.split(term, cuts)[index] for line in lines]
    except IndexError:
        return [b"".join(line.split(term, cuts)[index:cuts]) for line in lines]


def _plain_ones(fields: Sequence[bytes], digits: int) -> Sequence[bytes]:
    if not digits:
        return fields if b"NULL" not in fields else [b"" if f == b"NULL" else f for f in fields]
    zero = b"0"[0]
    return [f if len(f) < digits and f.isdigit() and f[0] != zero else b"" for f in fields]


def _are_apart(one: bytes, other: bytes) -> bool:
    """Whether the first place of each terminator is its place, wherever the other one is."""
    return not any(
        a[n:].startswith(b) or b.startswith(a[n:])
        for a, b in ((one, other), (other, one))
        for n in range(len(a))
    )


class _Grammar:
    """Expressions for one set of options; `at_end`: for what stands at the end of the file."""

    def __init__(self, form: FileFormat, at_end: bool = False) -> None:
        self._form = form
        self._at_end = at_end
        self._quote, self._escape = re.escape(form.enclosed), re.escape(form.escaped)
        self._term, self._end = re.escape(form.fields_end), re.escape(form.lines_end)
        self._stop = self._end + rb"|" + self._term + (rb"|\Z" if at_end else b"")
        first = {form.fields_end[:1], form.lines_end[:1]}
        special = first | ({form.escaped} - {b""})
        self.enclosed = self._enclosed() if form.enclosed else _NEVER
        self._bare = self._run(special, self._bare_step(first))
        self.field = self._bare
        if form.enclosed:
            ways = [self.enclosed, rb"(?!%b)%b" % (self._quote, self._bare)]
            if at_end:  # what was never closed
                ways.append(self._quote + rb".*")
            self.field = rb"(?>%b)" % rb"|".join(ways)
        start = re.escape(form.lines_start)
        self.start = rb"(?>.*?%b)" % start if start else b""
        if at_end:
            self.start += rb"(?!\Z)"
        ends = {form.lines_end[:1]} - {form.escaped}
        self._skipped = self._run(
            ends | ({form.escaped} - {b""}),
            self._any_pair() + rb"(?!%b)%b" % (self._end, _one_of(ends)),
        )
        self.line = self._skipped + self._end

    def row(self, wanted: Sequence[Wanted]) -> bytes:
        """Of a whole row; two groups for each field that is wanted: inside quotes, or bare. They
        are empty in a row with fewer fields than there may be."""
        width = self._form.width
        by_index = {one.index: one for one in wanted}
        term = rb"(?!%b)%b" % (self._end, self._term)
        end = self._end
        if self._at_end:
            term += rb"(?!\Z)"
            end = rb"(?:%b|(?:%b)?+\Z)" % (self._end, self._term)
        whole = b""
        at = 0
        while at < width:
            if at in by_index:
                whole += (term if at else b"") + self._caught(by_index[at])
                at += 1
                continue
            following = min((i for i in by_index if i > at), default=width)
            if at == 0:
                whole += self.field
                at = 1
            whole += rb"(?:%b%b){%d}" % (term, self.field, following - at)
            at = following
        row = rb"%b(?:%b%b)?+%b" % (whole, term, self._skipped, end)
        if width > 1:
            row += rb"|%b(?:%b%b){0,%d}+%b" % (self.field, term, self.field, width - 2, end)
        return rb"%b(?:%b)" % (self.start, row)

    def pairs(self, inside: bool) -> bytes:
        """Two bytes of a field that stand for one."""
        rules = []
        if self._escape and self._escape != self._quote:
            rules.append(self._escape + rb".")
        if self._quote and (inside or self._escape == self._quote):
            rules.append(self._quote * 2)
        return rb"|".join(rules) or _NEVER

    def _enclosed(self) -> bytes:
        quote, stop = self._quote, self._stop
        if self._escape == quote:  # that may be an escape which waits for its byte
            stop = self._end + rb"|" + self._term
        step = self._pair() + rb"%b(?:%b|(?!%b))" % (quote, quote, stop)
        special = {self._form.enclosed, self._form.escaped} - {b""}
        return rb"%b%b%b(?=%b)" % (quote, self._run(special, step), quote, stop)

    def _bare_step(self, first: set[bytes]) -> bytes:
        if self._escape and self._escape == self._quote:
            special = _one_of(first | {self._form.escaped})
            return rb"%b|(?!%b)%b" % (self._escape * 2, self._stop, special)
        return self._pair() + rb"(?!%b)%b" % (self._stop, _one_of(first - {self._form.escaped}))

    def _pair(self) -> bytes:
        """An escape with its byte, where quotes are not escaped by themselves."""
        return b"" if self._escape == self._quote else self._any_pair()

    def _any_pair(self) -> bytes:
        if not self._escape:
            return b""
        return self._escape + (rb"(?:.|\Z)|" if self._at_end else rb".|")

    def _run(self, special: set[bytes], step: bytes) -> bytes:
        """Bytes that mean nothing, between steps."""
        usual = _one_of(special, negated=True)
        return rb"%b*+(?:(?:%b)%b*+)*+" % (usual, step, usual)

    def _caught(self, wanted: Wanted) -> bytes:
        form = self._form
        inside = bare = _NEVER
        if not wanted.digits:
            ends = {form.fields_end[:1], form.lines_end[:1]}
            odd = {form.enclosed, form.escaped} - {b""}
            inside = _one_of(odd, negated=True) + rb"++"
            bare = _one_of(ends | odd, negated=True) + rb"++"
            if form.enclosed:
                bare = rb"(?!NULL(?:%b))%b" % (self._stop, bare)
        elif not any(mark in b"0123456789" for mark in form.marks):
            inside = bare = rb"[1-9][0-9]{0,%d}+" % max(wanted.digits - 2, 0)
        if form.escaped and form.escaped in (form.fields_end[:1], form.lines_end[:1]):
            bare = _NEVER
        bare = rb"(%b)(?=%b)" % (bare, self._stop)
        if not form.enclosed:
            return rb"(?:()%b|%b)" % (bare, self.field)
        quote = self._quote
        inside = rb"%b(%b)%b(?!%b)(?=%b)" % (quote, inside, quote, quote, self._stop)
        return rb"(?:%b|%b|%b)" % (inside, bare, self.field)


def _one_of(characters: set[bytes], negated: bool = False) -> bytes:
    """A class of bytes; of none: nothing, or everything."""
    if not characters:
        return rb"." if negated else _NEVER
    inner = b"".join(b"\\x%02x" % c[0] for c in sorted(characters))
    return rb"[^%b]" % inner if negated else rb"[%b]" % inner
