"""Cuts an answer with rows into payloads, for those who want the rows and not the bytes.

It does the work of `Scanner` and `Splitter` in one pass: a merge spends most of its time here, so
that each row costs one look at its header and one slice.
"""

from mitosis_gate.errors import MalformedPacket
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import read_lenenc
from mitosis_gate.wire.scanner import Expect, Scanner

_ROW_BYTES = 64
"""What a row costs besides its bytes, as a Python object in a list."""


Head = tuple[bytes, list[bytes]]
"""The bytes of an answer before its rows, and the column definitions in them."""
NO_HEAD: Head = (b"", [])
_HEAD_BYTES = 4096


class RowScanner(Scanner):
    """In place of the scanner of a connection while one statement's answer is read.

    `columns`, and `rows` as they come, which their reader takes away; the bytes go nowhere.
    """

    __slots__ = (
        "_eof_due",
        "_long",
        "_missing",
        "_parts",
        "columns",
        "head",
        "is_headed",
        "row_bytes",
        "rows",
    )

    def __init__(self, keeps_eof: bool, known: Head = NO_HEAD) -> None:
        """`known`: how the answer before began; most often the next begins with the same bytes."""
        super().__init__(keeps_eof)
        self.head = known
        self.columns: list[bytes] = []
        self.is_headed = False
        """All columns are there, or it is clear that there are none."""
        self.rows: list[bytes] = []
        self.row_bytes = 0
        self._eof_due = False
        self._parts: list[bytes] = []
        self._missing = 0
        """So many bytes are needed before the packet whose beginning is in `_parts` is whole."""
        self._long: list[bytes] = []
        """Parts of a row that is longer than a packet."""
        self.begin(Expect.FIRST, False)

    def take(self) -> list[bytes]:
        rows, self.rows, self.row_bytes = self.rows, [], 0
        return rows

    def feed(self, data: bytes) -> bytes:
        self._feed(data)
        return data

    def _feed(self, data: bytes) -> None:
        if self._parts:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._parts)
            self._parts = []
        at = 0
        head, columns = self.head
        if self.expect == Expect.FIRST and head and data.startswith(head):
            self.columns = columns
            self._head_ends()
            at = len(head)
        begins = self.expect == Expect.FIRST
        while True:
            if begins and self.expect == Expect.ROWS:
                begins = False
                if at <= _HEAD_BYTES:
                    self.head = data[:at], self.columns
            if self.expect == Expect.ROWS and not self._long:
                at = self._cut_rows(data, at)
            end = self._end_of_packet(data, at)
            if not end:
                return
            at = self._take_packet(data, at, end)
            if self.done:
                if at != len(data):
                    raise MalformedPacket("the backend sent more than its answer")
                return

    def _cut_rows(self, data: bytes, at: int) -> int:
        """Take all rows but the last packet of `data`, which may be another thing than a row."""
        size = len(data)
        rows = self.rows
        append = rows.append
        begins, count = at, len(rows)
        try:
            while True:
                length = data[at] | data[at + 1] << 8 | data[at + 2] << 16
                end = at + 4 + length
                if end >= size or length == c.MAX_PAYLOAD:
                    break
                append(data[at + 4 : end])
                at = end
        except IndexError:
            pass  # a header that is not whole
        self.row_bytes += at - begins + _ROW_BYTES * (len(rows) - count)
        return at

    def _end_of_packet(self, data: bytes, at: int) -> int:
        """Where the packet at `at` ends; 0 when it is not whole, and what is there is kept."""
        size = len(data)
        if at + 4 <= size:
            end = at + 4 + (data[at] | data[at + 1] << 8 | data[at + 2] << 16)
            if end <= size:
                return end
        else:
            end = at + 4
        if at < size:
            self._parts = [data[at:]]
            self._missing = end - size
        return 0

    def _take_packet(self, data: bytes, at: int, end: int) -> int:
        """Take one packet of any kind and return where the next begins."""
        payload = data[at + 4 : end]
        if self._long or (len(payload) == c.MAX_PAYLOAD and self.expect == Expect.ROWS):
            self._take_part(payload)
        elif not payload:
            raise MalformedPacket("the backend sent an empty packet")
        elif payload[0] == c.ERR:
            self.error = packets.error(payload)
            self.last = b""
            self.warnings = 0
            self.done = True
        elif self.expect == Expect.ROWS:
            if payload[0] == c.EOF:
                self._end(data, at, end)
            else:
                self._add(payload)
        elif self.expect == Expect.FIRST:
            self._take_first(data, at, end, payload)
        elif self._eof_due:
            self._eof_due = False
            self._head_ends()
        else:
            self.columns.append(payload)
            self._left -= 1
            if not self._left and self.keeps_eof:
                self._eof_due = True
            elif not self._left:
                self._head_ends()
        return end

    def _take_first(self, data: bytes, at: int, end: int, payload: bytes) -> None:
        if payload[0] == c.OK:
            self.is_headed = True
            self._end(data, at, end)
        elif payload[0] == c.LOCAL_INFILE:
            raise MalformedPacket("the backend asks for a local file")
        else:
            self._left = read_lenenc(payload, 0)[0]
            self.expect = Expect.COLUMNS

    def _head_ends(self) -> None:
        self.is_headed = True
        self.expect = Expect.ROWS

    def _take_part(self, payload: bytes) -> None:
        self._long.append(payload)
        if len(payload) < c.MAX_PAYLOAD:
            row = b"".join(self._long)
            self._long = []
            self._add(row)

    def _add(self, row: bytes) -> None:
        self.rows.append(row)
        self.row_bytes += len(row) + _ROW_BYTES

    def _end(self, data: bytes, at: int, end: int) -> None:
        self._finish(data, at, end)
        if not self.done:
            raise MalformedPacket("the backend sent several results to one statement")
