"""Finds the end of an answer by looking at packet headers only.

A backend's bytes go to the client as they are; all that must be known is where the answer ends and
what its last packet says. Only that packet is read, and changed when the client did not agree to
session tracking: then its session-state block is cut out.
"""

from enum import IntEnum

from mitosis_gate.errors import MalformedPacket, MysqlError
from mitosis_gate.relay import ScannerState
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import frame, read_lenenc


class Expect(IntEnum):
    """Which packet of an answer is due."""

    FIRST = 0
    """OK, ERR or a number of columns."""
    COLUMNS = 1
    COLUMNS_END = 2
    ROWS = 3
    PREPARED = 4
    """The first packet after COM_STMT_PREPARE."""
    PREPARED_COLUMNS = 5
    """Definitions of parameters, then of columns; with EOF packets between them."""
    FIELDS = 6
    """Definitions after COM_FIELD_LIST, which have no count."""
    TEXT = 7
    """One packet of text, after COM_STATISTICS."""
    CONTINUED = 8
    """The rest of a row that is longer than a packet."""
    NOTHING = 9


_FIRST, _COLUMNS, _COLUMNS_END, _ROWS = 0, 1, 2, 3
_HEAD_BYTES = 2048
_UNUSUAL = c.STATUS_MORE_RESULTS | c.STATUS_SESSION_STATE_CHANGED


class Scanner(ScannerState):
    """Fed with the chunks of one answer; says after each what may be passed on.

    Bytes are held back only where a chunk ends inside a header or inside the last packet.
    """

    __slots__ = (
        "_left",
        "_ok",
        "_ok_of",
        "before_rows",
        "prepared",
        "sends_file",
    )

    def __init__(self, keeps_eof: bool) -> None:
        self.keeps_eof = keeps_eof
        """CLIENT_DEPRECATE_EOF was not agreed."""
        self.error: MysqlError | None = None
        """How the answer ended, if not well."""
        self.last = b""
        """The OK packet that ended the answer; empty after rows that ended with nothing to tell."""
        self.status = 0
        """Status flags at the end of the last answer that told them: an error does not."""
        self.warnings = 0
        self.sends_file = False
        """The server may ask for a file, which is the end of its answer for now."""
        self.prepared: packets.Prepared | None = None
        self.before_rows = b""
        """What came before the rows of the last answer, if it came together: most often the next
        answer begins with the same bytes."""
        self._ok_of = b""
        self._ok = packets.Ok()
        """What `_ok_of` says."""
        self._held = b""
        self._left = 0
        self._skip = 0
        self.begin(Expect.NOTHING, False)

    def begin(self, expect: int, strips: bool) -> None:
        """Before each command. `strips`: the client did not agree to session tracking."""
        self.expect = expect
        self.strips = strips
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """Return what may go to the client now; afterwards `done` tells whether that was all."""
        at = self._skip
        expect = self.expect
        if self._held:
            data = self._held + data
            self._held = b""
        elif expect == _FIRST and self.before_rows and data.startswith(self.before_rows):
            at = len(self.before_rows)
            expect = _ROWS
        size = len(data)
        begins = expect == _FIRST and at == 0
        while at + 4 < size:
            length = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            end = at + 4 + length
            first = data[at + 4]
            if expect == _ROWS:
                if first < 0xFE or (first == 0xFE and length == 0xFFFFFF):
                    if length == 0xFFFFFF:
                        expect = Expect.CONTINUED
                    at = end
                    continue
                if end == size and first == 0xFE and self._is_plain_end(data, at + 5, length):
                    return data
            elif expect == _COLUMNS:
                if first != 0xFF:
                    at = end
                    self._left -= 1
                    if self._left == 0:
                        expect = _COLUMNS_END if self.keeps_eof else _ROWS
                        if begins and expect == _ROWS and end <= size:
                            self.before_rows = data[:end] if end <= _HEAD_BYTES else b""
                    continue
            elif expect == _COLUMNS_END:
                if end == size and data[at + 7] & c.STATUS_CURSOR_EXISTS:
                    expect = _ROWS  # there are none: the client fetches them
                    if self._is_plain_end(data, at + 5, length):
                        return data
                at = end
                expect = _ROWS
                if begins and end <= size:
                    self.before_rows = data[:end] if end <= _HEAD_BYTES else b""
                continue
            elif expect == _FIRST and 0 < first < 0xFB:
                at = end
                self._left = first
                expect = _COLUMNS
                continue
            elif expect == Expect.CONTINUED:
                at = end
                if length != 0xFFFFFF:
                    expect = _ROWS
                continue
            # what is left are packets that must be read, so they must be whole
            if end > size:
                break
            self.expect = expect
            data, at = self._read(data, at, end)
            expect = self.expect
            size = len(data)
            begins = False
            if self.done:
                if at != size:
                    raise MalformedPacket("the backend sent more than its answer")
                self._skip = 0
                return data
        self.expect = expect
        if at >= size:
            self._skip = at - size
            return data
        self._skip = 0
        if at + 4 == size and data[at : at + 3] == b"\0\0\0":
            return self._empty_packet(data, expect)
        self._held = data[at:]
        return data[:at]

    def _is_plain_end(self, data: bytes, at: int, length: int) -> bool:
        """Take the usual last packet of rows, which tells nothing but status and warnings."""
        if self.keeps_eof:
            status = data[at + 2] | data[at + 3] << 8
            warnings = data[at] | data[at + 1] << 8
        elif length == 7:
            status = data[at + 2] | data[at + 3] << 8
            warnings = data[at + 4] | data[at + 5] << 8
        else:
            return False
        if status & _UNUSUAL:
            return False
        self.status = status
        self.warnings = warnings
        self.error = None
        self.last = b""
        self.done = True
        self._skip = 0
        return True

    def _empty_packet(self, data: bytes, expect: int) -> bytes:
        """A packet without payload: the end of a row of n * (2^24-1) bytes, or empty text."""
        if expect == Expect.CONTINUED:
            self.expect = _ROWS
        elif expect == Expect.TEXT:
            self.done = True
        else:
            raise MalformedPacket("the backend sent an empty packet")
        return data

    def _read(self, data: bytes, at: int, end: int) -> tuple[bytes, int]:
        """Read a packet that begins or ends an answer; return the data, maybe changed."""
        first = data[at + 4]
        expect = self.expect
        if first == c.ERR:
            self.error = packets.error(data[at + 4 : end])
            self.last = b""
            self.warnings = 0
            self.done = True
        elif expect == Expect.FIRST:
            if first == c.OK:
                return self._finish(data, at, end)
            if first == c.LOCAL_INFILE:
                if not self.sends_file:
                    raise MalformedPacket("the backend asks for a local file")
                self.error = None
                self.last = b""
                self.done = True
                return data, end
            self._left = read_lenenc(data[at + 4 : end], 0)[0]
            self.expect = Expect.COLUMNS
        elif expect == Expect.ROWS:
            return self._finish(data, at, end)
        elif expect == Expect.PREPARED:
            self.error = None
            self._begin_definitions(packets.prepared(data[at + 4 : end]))
        elif expect == Expect.PREPARED_COLUMNS:
            self._left -= 1
            self.done = self._left == 0
        elif expect == Expect.FIELDS:
            if first == c.EOF:
                return self._finish(data, at, end)
        elif expect == Expect.TEXT:
            self.error = None
            self.done = True
        else:
            raise MalformedPacket("the backend sent a packet that does not belong there")
        return data, end

    def _finish(self, data: bytes, at: int, end: int) -> tuple[bytes, int]:
        self.last = last = data[at + 4 : end]
        if last[0] == c.EOF and self.keeps_eof:
            self.warnings = last[1] | last[2] << 8
            status = last[3] | last[4] << 8
        else:
            status, self.warnings = packets.status_and_warnings(last)
        if self.strips and status & c.STATUS_SESSION_STATE_CHANGED:
            plain = frame(packets.without_session_state(last), data[at + 3])
            data = b"".join((data[:at], plain, data[end:]))
            end = at + len(plain)
        self.status = status
        self.error = None
        if status & c.STATUS_MORE_RESULTS:
            self.expect = Expect.FIRST
        else:
            self.done = True
        return data, end

    def hand_over(self) -> bytes:
        """Stop in the middle of an answer that another scanner reads on; return what is held back
        of it."""
        held, self._held = self._held, b""
        self._skip = 0
        return held

    @property
    def ok(self) -> packets.Ok:
        """What the end of the answer tells; meaningless after an error."""
        if not self.last:
            return packets.Ok(status=self.status, warnings=self.warnings)
        if self._ok_of is not self.last:
            self._ok_of = self.last
            is_eof = self.last[0] == c.EOF and self.keeps_eof
            self._ok = packets.read_eof(self.last) if is_eof else packets.ok(self.last, True)
        return self._ok

    def _begin_definitions(self, prepared: packets.Prepared) -> None:
        self.prepared = prepared
        groups = [n for n in (prepared.parameters, prepared.columns) if n]
        self._left = sum(groups) + (len(groups) if self.keeps_eof else 0)
        self.expect = Expect.PREPARED_COLUMNS
        self.done = self._left == 0
