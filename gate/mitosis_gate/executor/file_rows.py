"""Rows of the text files of LOAD DATA: where each ends, and the value of one of its fields.

A row stays the bytes that it is: each shard's MySQL reads and converts it by the same options. Here
only its end must be found, and the field of the sharding key. Most rows have neither quotes nor
escapes, and are cut by `bytes.split` alone; the others by expressions made of the options.
"""

import re
from collections.abc import Iterator

from mitosis_gate.planner.plan import FileFormat

_ESCAPES = {b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a"}


class FileRows:
    """Fed with pieces of a file; gives its rows without their terminators."""

    def __init__(self, form: FileFormat) -> None:
        self._form = form
        self._rest = b""
        self._skipped = 0
        self._odd = tuple(c for c in (form.enclosed, form.escaped) if c)
        term, end = re.escape(form.fields_end), re.escape(form.lines_end)
        escape, quote = re.escape(form.escaped), re.escape(form.enclosed)
        any_escaped = rb"|" + escape + rb"." if escape else b""
        besides = rb"[^" + escape + rb"]" if escape else rb"."
        plain = rb"(?:(?!" + term + rb"|" + end + rb")" + besides + any_escaped + rb")*+"
        if quote:
            inside = rb"[^" + quote + escape + rb"]" + any_escaped + rb"|" + quote + quote
            lone = rb"|" + quote + rb"(?!" + term + rb"|" + end + rb"|\Z)"
            quoted = quote + rb"(?:" + inside + lone + rb")*+" + quote
            plain = rb"(?:" + quoted + rb"(?=" + term + rb"|" + end + rb"|\Z)|(?!" + quote + rb")"
            plain += rb"(?:(?!" + term + rb"|" + end + rb")" + besides + any_escaped + rb")*+)"
        self._field = re.compile(plain, re.DOTALL)
        self._row = re.compile(plain + rb"(?:" + term + plain + rb")*+\Z", re.DOTALL)
        self._unescape = re.compile(escape + rb"(.)", re.DOTALL) if escape else None

    def feed(self, data: bytes) -> tuple[list[bytes], bool]:
        """The rows that are complete now, and whether all are plain: no quotes, no escapes."""
        data = self._rest + data
        is_plain = not any(c in data for c in self._odd) and not self._form.lines_start
        lines = data.split(self._form.lines_end)
        self._rest = lines.pop()
        return self._rows(lines, is_plain), is_plain

    def finish(self) -> list[bytes]:
        """What is left when the file has ended without a terminator, or inside quotes."""
        rest, self._rest = self._rest, b""
        return self._started([rest]) if rest and self._skipped >= self._form.skipped else []

    def _rows(self, lines: list[bytes], is_plain: bool) -> list[bytes]:
        if self._skipped < self._form.skipped:
            lines = self._without_head(lines)
        if is_plain:
            return lines
        rows: list[bytes] = []
        held = b""
        for line in lines:
            if held:
                line = held + self._form.lines_end + line
                held = b""
            if self._is_whole(line):
                rows.append(line)
            else:
                held = line
        if held:
            self._rest = held + self._form.lines_end + self._rest
        return self._started(rows)

    def _without_head(self, lines: list[bytes]) -> list[bytes]:
        """IGNORE n LINES looks at escapes, not at quotes."""
        at = 0
        while at < len(lines) and self._skipped < self._form.skipped:
            if not self._ends_escaped(lines[at]):
                self._skipped += 1
            at += 1
        return lines[at:]

    def _ends_escaped(self, line: bytes) -> bool:
        escape = self._form.escaped
        return bool(escape) and (len(line) - len(line.rstrip(escape))) % 2 == 1

    def _is_whole(self, line: bytes) -> bool:
        """Whether the terminator behind it ends the row."""
        if not any(c in line for c in self._odd):
            return True
        if self._ends_escaped(line):
            return False
        return not self._form.enclosed or self._row.match(self._body(line)) is not None

    def _body(self, row: bytes) -> bytes:
        start = self._form.lines_start
        return row[row.find(start) + len(start) :] if start else row

    def _started(self, rows: list[bytes]) -> list[bytes]:
        """Without the lines that do not have what LINES STARTING BY asks for."""
        start = self._form.lines_start
        return [row for row in rows if start in row] if start else rows

    def span(self, row: bytes, index: int) -> tuple[int, int]:
        """Where a field of a row begins and ends; (-1, -1): it has none."""
        form = self._form
        at = len(row) - len(self._body(row))
        if not any(c in row for c in self._odd):
            for _ in range(index):
                at = row.find(form.fields_end, at)
                if at < 0:
                    return -1, -1
                at += len(form.fields_end)
            end = row.find(form.fields_end, at)
            return at, len(row) if end < 0 else end
        for number, (start, end) in enumerate(self._fields(row, at)):
            if number == index:
                return start, end
        return -1, -1

    def _fields(self, row: bytes, at: int) -> Iterator[tuple[int, int]]:
        while True:
            found = self._field.match(row, at)
            end = found.end() if found else len(row)
            yield at, end
            if not row.startswith(self._form.fields_end, end):
                return
            at = end + len(self._form.fields_end)

    def value(self, field: bytes) -> bytes | None:
        """What the text of a field stands for; None: NULL."""
        form = self._form
        quote = form.enclosed
        if form.escaped and field == form.escaped + b"N":
            return None
        if quote and len(field) > 1 and field.startswith(quote) and field.endswith(quote):
            field = field[1:-1].replace(quote + quote, quote)
        elif quote and field == b"NULL":
            return None
        elif not form.escaped and field == b"NULL":
            return None
        if self._unescape is None or form.escaped not in field:
            return field
        return self._unescape.sub(lambda m: _ESCAPES.get(m[1], m[1]), field)
