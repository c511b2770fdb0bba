"""Answers of a server as one of several that a client gets for one text.

The packets of all of them are counted through, and each but the last tells that more follow.
"""

from typing import TYPE_CHECKING

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import GateError
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.codec import read_lenenc

if TYPE_CHECKING:
    from mitosis_gate.session.forwarding import Forwarding


class AnswerPart:
    """The sink of one answer: its bytes go on to the session with other packet numbers."""

    def __init__(self, session: "Forwarding", sequence: int, more_follows: bool) -> None:
        self._session = session
        self._sequence = sequence
        self._more_follows = more_follows
        self._skip = 0
        self._last_at = 0

    def answer_part(self, data: bytes) -> None:
        self._session.answer_part(self._numbered(bytearray(data)))

    def answer_end(self, connection: BackendConnection, data: bytes) -> None:
        numbered = self._numbered(bytearray(data))
        if self._more_follows:
            numbered = announce_more(numbered, self._last_at + 4)
        self._session.answer_of_part(connection, numbered, self._sequence)

    def answer_lost(self, connection: BackendConnection, problem: GateError) -> None:
        self._session.answer_lost(connection, problem)

    def _numbered(self, data: bytearray) -> bytes:
        """The scanner lets no header through in pieces, and the last packet only as a whole."""
        at = self._skip
        while at < len(data):
            self._last_at = at
            data[at + 3] = self._sequence & 0xFF
            self._sequence += 1
            at += 4 + (data[at] | data[at + 1] << 8 | data[at + 2] << 16)
        self._skip = at - len(data)
        return bytes(data)


def announce_more(data: bytes, at: int) -> bytes:
    """Set the flag for more results in the OK or EOF packet whose payload begins at `at`."""
    if data[at] == c.ERR:
        return data
    if data[at] == c.EOF and len(data) - at == 5:
        status_at = at + 3
    else:
        _, after = read_lenenc(data, at + 1)
        _, status_at = read_lenenc(data, after)
    status = bytes((data[status_at] | c.STATUS_MORE_RESULTS,))
    return data[:status_at] + status + data[status_at + 1 :]
