"""A client that asked for compression or optional metadata: what stands between socket and session.

The session neither sees nor pays anything of it: it reads and writes the plain protocol.
"""

import asyncio
from typing import Any, Protocol

from mitosis_gate import metrics
from mitosis_gate.errors import ProtocolViolation


class Coding(Protocol):
    """Both directions of one connection; what comes in parts is kept until it is whole."""

    def pack(self, data: bytes) -> bytes: ...

    def unpack(self, data: bytes) -> bytes:
        """Raises ProtocolViolation."""


class CodedTransport(asyncio.Transport):
    """What the session writes to."""

    def __init__(self, inner: asyncio.Transport, coding: Coding) -> None:
        super().__init__()
        self._inner = inner
        self._coding = coding

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._inner.write(self._coding.pack(bytes(data)))

    def close(self) -> None:
        self._inner.close()

    def abort(self) -> None:
        self._inner.abort()

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._inner.get_write_buffer_size()


class CodedProtocol(asyncio.Protocol):
    """What the socket calls."""

    def __init__(self, session: asyncio.Protocol, inner: asyncio.Transport, coding: Coding) -> None:
        self._session = session
        self._inner = inner
        self._coding = coding

    def data_received(self, data: bytes) -> None:
        try:
            plain = self._coding.unpack(data)
        except ProtocolViolation as exc:
            metrics.PROTOCOL_VIOLATIONS.labels(kind=type(exc).__name__).inc()
            self._inner.abort()
            return
        if plain:
            self._session.data_received(plain)

    def eof_received(self) -> bool | None:
        return self._session.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.connection_lost(exc)

    def pause_writing(self) -> None:
        self._session.pause_writing()

    def resume_writing(self) -> None:
        self._session.resume_writing()
