"""Answers that the gate makes itself: framing, and the small packets of the protocol."""

import asyncio
from collections.abc import Iterable, Sequence

from mitosis_gate import metrics
from mitosis_gate.errors import GateError, MysqlError, ResultTooSlow
from mitosis_gate.session.services import Services
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import frame, frames, packets_of
from mitosis_gate.wire.packets import Ok


class Answers(asyncio.Protocol):
    """The lowest layer of a session: its transport and what is written to it."""

    __slots__ = (
        "__weakref__",
        "_answered",
        "_closed",
        "_drained",
        "_sequence",
        "_services",
        "_transport",
        "capabilities",
    )

    def __init__(self, services: Services, capabilities: int) -> None:
        self._services = services
        self.capabilities = capabilities
        self._transport: asyncio.Transport | None = None
        self._drained: asyncio.Future[None] | None = None
        self._closed = False
        self._sequence = 1
        self._answered = False

    def _status(self) -> int:
        """Status flags of the session as they are now."""
        raise NotImplementedError

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _write(self, payload: bytes) -> None:
        data = frame(payload, self._sequence)
        self._sequence += packets_of(payload)
        self._put(data)

    def _put(self, data: bytes) -> None:
        if self._transport is not None and not self._closed:
            self._transport.write(data)

    def send_ok(
        self, affected: int = 0, last_insert_id: int = 0, warnings: int = 0, info: bytes = b""
    ) -> None:
        self._answered = True
        self._write(Ok(affected, last_insert_id, self._status(), warnings, info).pack())

    def send_error(self, problem: GateError) -> None:
        self._answered = True
        if not isinstance(problem, MysqlError):
            metrics.REFUSALS.labels(code=str(problem.number)).inc()
        self._write(packets.error_packet(problem))

    def send_result(
        self, columns: Sequence[bytes], rows: Iterable[bytes], warnings: int = 0
    ) -> None:
        self.begin_rows(columns)
        self._write_all(rows)
        self.end_rows(warnings)

    def begin_rows(self, columns: Sequence[bytes]) -> None:
        self._write_all(packets.result_head(columns, self._status(), self._ends_with_ok()))

    def _write_all(self, payloads: Iterable[bytes]) -> None:
        data, self._sequence = frames(tuple(payloads), self._sequence)
        self._put(data)

    async def send_rows(self, rows: Sequence[bytes]) -> None:
        self._write_all(rows)
        if self._drained is not None:
            try:
                async with asyncio.timeout(self._services.settings.slow_client_seconds):
                    await asyncio.shield(self._drained)
            except TimeoutError as exc:
                self._close()
                raise ResultTooSlow("the client left its result unread for too long") from exc

    def end_rows(self, warnings: int = 0) -> None:
        self._answered = True
        self._write(packets.result_end(self._status(), warnings, self._ends_with_ok()))

    def _ends_with_ok(self) -> bool:
        return bool(self.capabilities & c.CLIENT_DEPRECATE_EOF)
