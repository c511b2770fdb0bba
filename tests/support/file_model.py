"""What MySQL reads in a text file of LOAD DATA, byte after byte: slow, and easy to check.

The gate finds rows in another way, and must find the same ones. Compared with MySQL itself through
the gate in tests/integration/test_gate_load_data.py. Bytes that are no utf8mb4 are plain bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mitosis_gate.planner.plan import FileFormat

_MEANT = {b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a"}


@dataclass(frozen=True)
class Row:
    text: bytes
    """All bytes of the file that belong to it, with the terminator."""
    values: tuple[bytes | None, ...]
    """As many as the file has; None: NULL."""


def rows_of(form: FileFormat, content: bytes) -> list[Row]:
    return list(_Reader(form, content).rows())


class _Reader:
    def __init__(self, form: FileFormat, content: bytes) -> None:
        self._form = form
        self._content = content
        self._at = 0
        self._line_ended = False

    def rows(self) -> Iterator[Row]:
        for _ in range(self._form.skipped):
            self._skip_line()
        while not self._is_at_end():
            start = self._at
            if self._form.lines_start:
                found = self._content.find(self._form.lines_start, start)
                if found < 0:
                    return
                self._at = found + len(self._form.lines_start)
            self._line_ended = False
            values: list[bytes | None] = []
            while len(values) < self._form.width and not self._line_ended:
                if self._is_at_end():
                    break
                values.append(self._field())
            if not values:
                return
            if not self._line_ended:
                self._skip_line()
            yield Row(self._content[start : self._at], tuple(values))

    def _is_at_end(self) -> bool:
        return self._at >= len(self._content)

    def _take(self, text: bytes) -> bool:
        """Step over a text, if it comes next."""
        if not text or not self._content.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _byte(self) -> bytes:
        self._at += 1
        return self._content[self._at - 1 : self._at]

    def _terminated(self) -> bool:
        if self._take(self._form.lines_end):
            self._line_ended = True
            return True
        return self._take(self._form.fields_end)

    def _field(self) -> bytes | None:
        quote, escape = self._form.enclosed, self._form.escaped
        inside = self._take(quote)
        text, has_null = b"", False
        while not self._is_at_end():
            if escape and self._content.startswith(escape, self._at):
                following = self._content[self._at + 1 : self._at + 2]
                if not following:
                    self._at += 1
                    text += escape
                    break
                if escape != quote or following == quote:
                    self._at += 2
                    has_null |= following == b"N"
                    text += _MEANT.get(following, following)
                    continue
            if not inside:
                if self._terminated():
                    return self._value(text, has_null)
            elif self._take(quote):
                if self._take(quote):
                    text += quote
                elif self._terminated() or self._is_at_end():
                    return None if has_null and len(text) == 1 else text
                else:
                    text += quote
                continue
            text += self._byte()
        if inside:
            return quote + text
        return self._value(text, has_null)

    def _value(self, text: bytes, has_null: bool) -> bytes | None:
        is_word = bool(self._form.enclosed) and text == b"NULL"
        return None if is_word or (has_null and len(text) == 1) else text

    def _skip_line(self) -> None:
        """What is behind the last field, or in IGNORE n LINES: quotes mean nothing there."""
        while not self._is_at_end():
            if self._take(self._form.escaped):
                self._at += 1
            elif self._take(self._form.lines_end):
                return
            else:
                self._at += 1
