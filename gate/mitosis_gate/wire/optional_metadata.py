"""CLIENT_OPTIONAL_RESULTSET_METADATA: results say whether the definitions of their columns follow.

A client that agreed to it gets one byte more behind each number of columns and at the end of the
answer to PREPARE. With `SET resultset_metadata = NONE` the definitions stay away, and what follows
them has earlier numbers. Sessions and servers speak the protocol without it: this stands between
such a client and its session, so that nobody else pays for it.
"""

from collections import deque
from collections.abc import Callable
from enum import IntEnum

from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import read_lenenc
from mitosis_gate.wire.constants import MAX_PAYLOAD


class _Due(IntEnum):
    """Which packet of an answer comes next."""

    FIRST = 0
    """OK, ERR or a number of columns."""
    COLUMNS = 1
    COLUMNS_END = 2
    ROWS = 3
    CONTINUED = 4
    """The rest of a row that is longer than a packet."""
    PREPARED = 5
    DEFINITIONS = 6
    """Those of parameters and columns, after COM_STMT_PREPARE."""
    FIELDS = 7
    TEXT = 8
    LOGIN = 9
    """Questions of COM_CHANGE_USER, up to OK or ERR."""


_FIRST_OF = {
    c.COM_STMT_PREPARE: _Due.PREPARED,
    c.COM_STMT_FETCH: _Due.ROWS,
    c.COM_FIELD_LIST: _Due.FIELDS,
    c.COM_STATISTICS: _Due.TEXT,
    c.COM_CHANGE_USER: _Due.LOGIN,
}
_WITHOUT_ANSWER = frozenset({c.COM_QUIT, c.COM_STMT_CLOSE, c.COM_STMT_SEND_LONG_DATA})
_LONGEST_EOF = 9


class OptionalMetadata:
    """Both directions of one connection."""

    def __init__(self, keeps_eof: bool, is_wanted: Callable[[], bool]) -> None:
        """`is_wanted`: whether the session wants the definitions now."""
        self._keeps_eof = keeps_eof
        self._is_wanted = is_wanted
        self._heard = bytearray()
        self._heard_left = 0
        """Bytes of the client's packet that are not here yet."""
        self._uploads = False
        """The client sends a file, whose packets are no commands."""
        self._answers: deque[_Due] = deque()
        """How the answers begin that are due, the one under way first."""
        self._said = bytearray()
        self._passing = 0
        """Bytes of a row that go on as they come."""
        self._due = _Due.FIRST
        self._left = 0
        self._sends_definitions = True
        self._dropped = 0
        """Packets of the answer under way that the client does not get."""

    # from the client

    def unpack(self, data: bytes) -> bytes:
        """What goes to the session; commands are noted."""
        self._heard += data
        found = bytearray()
        while self._heard:
            if self._heard_left:
                part = self._heard[: self._heard_left]
                del self._heard[: len(part)]
                self._heard_left -= len(part)
                found += part
                continue
            if len(self._heard) < 4:
                break
            length = int.from_bytes(self._heard[:3], "little")
            if length and len(self._heard) < 5:
                break
            self._note(length)
            if self._uploads and self._dropped:
                self._heard[3] = (self._heard[3] + self._dropped) & 0xFF
            self._uploads = self._uploads and length > 0
            found += self._heard[:4]
            del self._heard[:4]
            self._heard_left = length
        return bytes(found)

    def _note(self, length: int) -> None:
        if self._uploads or self._heard[3] or not length:
            return
        command = self._heard[4]
        if command not in _WITHOUT_ANSWER:
            self._answers.append(_FIRST_OF.get(command, _Due.FIRST))
            if len(self._answers) == 1:
                self._begin()

    # to the client

    def pack(self, data: bytes) -> bytes:
        """What goes to the client."""
        self._said += data
        found = bytearray()
        at, size = 0, len(self._said)
        while at < size:
            if self._passing:
                part = self._said[at : at + self._passing]
                found += part
                at += len(part)
                self._passing -= len(part)
                continue
            if size - at < 4:
                break
            length = int.from_bytes(self._said[at : at + 3], "little")
            if length and size - at < 5:
                break
            end = at + 4 + length
            number = self._said[at + 3]
            if self._is_row(at, length):
                found += self._said[at : at + 3]
                found.append((number - self._dropped) & 0xFF)
                at, self._passing = at + 4, length
                continue
            if end > size:
                break
            payload = bytes(self._said[at + 4 : end])
            at = end
            kept = (number - self._dropped) & 0xFF
            due = len(self._answers)
            changed = self._changed(payload) if due else payload
            if changed is None:
                self._dropped += len(self._answers) == due
            else:
                found += len(changed).to_bytes(3, "little") + bytes((kept,)) + changed
        del self._said[:at]
        return bytes(found)

    def _is_row(self, at: int, length: int) -> bool:
        if self._due is _Due.CONTINUED:
            if length < MAX_PAYLOAD:
                self._due = _Due.ROWS
            return True
        if self._due is not _Due.ROWS or not self._answers:
            return False
        first = self._said[at + 4] if length else 0
        if first == c.ERR or (first == c.EOF and length < MAX_PAYLOAD):
            return False
        if length == MAX_PAYLOAD:
            self._due = _Due.CONTINUED
        return True

    def _begin(self) -> None:
        self._due = self._answers[0]

    def _end(self) -> None:
        self._answers.popleft()
        self._dropped = 0
        if self._answers:
            self._begin()

    def _changed(self, payload: bytes) -> bytes | None:
        """A packet as the client gets it; None: not at all."""
        first = payload[0] if payload else c.OK
        due = self._due
        if first == c.ERR or due is _Due.TEXT:
            self._end()
        elif due is _Due.FIRST:
            return self._changed_first(payload, first)
        elif due is _Due.COLUMNS:
            return self._changed_column(payload)
        elif due is _Due.COLUMNS_END:
            self._due = _Due.ROWS
            if packets.read_eof(payload).status & c.STATUS_CURSOR_EXISTS:
                self._end()
        elif due is _Due.ROWS:
            self._end_of_result(payload)
        elif due is _Due.PREPARED:
            return self._changed_prepared(payload)
        elif due is _Due.DEFINITIONS:
            return self._changed_definition(payload, first)
        elif due is _Due.FIELDS:
            if first == c.EOF and len(payload) < _LONGEST_EOF:
                self._end()
            elif not self._is_wanted():
                return None
        elif first == c.OK:
            self._end()
        return payload

    def _changed_first(self, payload: bytes, first: int) -> bytes:
        if first in (c.OK, c.EOF):
            self._end_of_result(payload)
            return payload
        if first == c.LOCAL_INFILE:
            self._uploads = True
            return payload
        self._left, _ = read_lenenc(payload, 0)
        self._due = _Due.COLUMNS
        return payload + self._follows()

    def _follows(self) -> bytes:
        self._sends_definitions = self._is_wanted()
        return b"\1" if self._sends_definitions else b"\0"

    def _changed_column(self, payload: bytes) -> bytes | None:
        self._left -= 1
        if not self._left:
            self._due = _Due.COLUMNS_END if self._keeps_eof else _Due.ROWS
        return payload if self._sends_definitions else None

    def _changed_prepared(self, payload: bytes) -> bytes:
        prepared = packets.prepared(payload)
        groups = [n for n in (prepared.parameters, prepared.columns) if n]
        self._left = sum(groups) + (len(groups) if self._keeps_eof else 0)
        self._due = _Due.DEFINITIONS
        if not self._left:
            self._end()
        return payload + self._follows()

    def _changed_definition(self, payload: bytes, first: int) -> bytes | None:
        self._left -= 1
        if not self._left:
            self._end()
        is_eof = first == c.EOF and len(payload) < _LONGEST_EOF
        return payload if self._sends_definitions or is_eof else None

    def _end_of_result(self, payload: bytes) -> None:
        """OK, or EOF in its place."""
        if payload[0] == c.EOF and self._keeps_eof:
            status = packets.read_eof(payload).status
        else:
            status = packets.ok(payload, False).status
        if status & c.STATUS_MORE_RESULTS:
            self._due = _Due.FIRST
        else:
            self._end()
