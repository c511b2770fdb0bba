"""Length-encoded values and the cutting of a byte stream into packets."""

from collections.abc import Sequence

from mitosis_gate.errors import MalformedPacket, PacketsOutOfOrder, PacketTooLarge
from mitosis_gate.wire.constants import MAX_PAYLOAD


def read_lenenc(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer at `at` and where it ends."""
    try:
        first = data[at]
    except IndexError:
        raise MalformedPacket("the packet ends where a length is due") from None
    if first < 0xFB:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    end = at + 1 + (size or 0)
    if size is None or end > len(data):
        raise MalformedPacket("the packet holds no length where one is due")
    return int.from_bytes(data[at + 1 : end], "little"), end


def read_lenenc_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    size, start = read_lenenc(data, at)
    end = start + size
    if end > len(data):
        raise MalformedPacket(f"a string of {size} bytes does not fit into its packet")
    return data[start:end], end


def read_until_nul(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\0", at)
    if end < 0:
        raise MalformedPacket("a string has no end")
    return data[at:end], end + 1


def read_int(data: bytes, at: int, size: int) -> tuple[int, int]:
    end = at + size
    if end > len(data):
        raise MalformedPacket(f"the packet ends where {size} more bytes are due")
    return int.from_bytes(data[at:end], "little"), end


def lenenc(value: int) -> bytes:
    if value < 0xFB:
        return bytes((value,))
    if value <= 0xFFFF:
        return b"\xfc" + value.to_bytes(2, "little")
    if value <= 0xFFFFFF:
        return b"\xfd" + value.to_bytes(3, "little")
    return b"\xfe" + value.to_bytes(8, "little")


def lenenc_bytes(value: bytes) -> bytes:
    return lenenc(len(value)) + value


def frame(payload: bytes, sequence: int) -> bytes:
    """Put headers before a payload of any size.

    A payload whose length is a multiple of 2^24-1 ends with an empty packet, which tells the
    reader that nothing follows.
    """
    if len(payload) < MAX_PAYLOAD:
        return len(payload).to_bytes(3, "little") + bytes((sequence & 0xFF,)) + payload
    parts = []
    view = memoryview(payload)
    for start in range(0, len(payload) + 1, MAX_PAYLOAD):
        part = view[start : start + MAX_PAYLOAD]
        parts.append(len(part).to_bytes(3, "little") + bytes((sequence & 0xFF,)))
        parts.append(part)  # type: ignore[arg-type]  # join takes any buffer
        sequence += 1
    return b"".join(parts)


_SEQUENCES = tuple(bytes((n & 0xFF,)) for n in range(4096 + 256))
"""Each sequence number as a byte, so often that a slice gives those of many packets in a row."""
_FRAMED_AT_ONCE = 4096


class _Lengths(dict[int, bytes]):
    """First three bytes of the header for a payload of that length, made when first needed."""

    def __missing__(self, size: int) -> bytes:
        made = size.to_bytes(3, "little")
        if size < 1 << 16:
            self[size] = made
        return made


_LENGTHS = _Lengths()


def frames(payloads: Sequence[bytes], sequence: int) -> tuple[bytes, int]:
    """As `frame` of each; return the bytes, and the sequence number that comes next.

    No step of it is a loop in Python: rows of results go out through here by the million.
    """
    framed = []
    for start in range(0, len(payloads), _FRAMED_AT_ONCE):
        part = payloads[start : start + _FRAMED_AT_ONCE]
        count = len(part)
        lengths = list(map(len, part))
        if max(lengths) >= MAX_PAYLOAD:
            for payload in part:
                framed.append(frame(payload, sequence))
                sequence += packets_of(payload)
            continue
        first = sequence & 0xFF
        pieces = [b""] * (3 * count)
        pieces[::3] = map(_LENGTHS.__getitem__, lengths)
        pieces[1::3] = _SEQUENCES[first : first + count]
        pieces[2::3] = part
        framed.append(b"".join(pieces))
        sequence += count
    return (framed[0] if len(framed) == 1 else b"".join(framed)), sequence & 0xFF


def packets_of(payload: bytes) -> int:
    """How many sequence numbers `frame` spends on it."""
    return len(payload) // MAX_PAYLOAD + 1


class Splitter:
    """Cuts what comes, in pieces of any size, into payloads, and checks their order.

    `limit` bounds one payload. Raises PacketTooLarge or PacketsOutOfOrder as soon as a header
    shows it, before the bytes are kept.
    """

    __slots__ = ("_buffer", "_parts", "_parts_bytes", "limit", "sequence")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sequence = 0
        """Number that the next packet must carry."""
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._parts_bytes = 0

    @property
    def buffered(self) -> int:
        return len(self._buffer) + self._parts_bytes

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> bytes | None:
        """Return the next whole payload, or None when more bytes are needed."""
        buffer = self._buffer
        while len(buffer) >= 4:
            size = buffer[0] | buffer[1] << 8 | buffer[2] << 16
            if buffer[3] != self.sequence:
                raise PacketsOutOfOrder(
                    f"Got packets out of order: number {buffer[3]} where {self.sequence} was due"
                )
            if self._parts_bytes + size > self.limit:
                raise PacketTooLarge(f"Got a packet bigger than the limit of {self.limit} bytes")
            if len(buffer) < 4 + size:
                return None
            part = bytes(memoryview(buffer)[4 : 4 + size])
            del buffer[: 4 + size]
            self.sequence = (self.sequence + 1) & 0xFF
            if size == MAX_PAYLOAD:
                self._parts.append(part)
                self._parts_bytes += size
                continue
            if not self._parts:
                return part
            payload = b"".join((*self._parts, part))
            self._parts.clear()
            self._parts_bytes = 0
            return payload
        return None

    def begin_command(self) -> None:
        """The client counts anew with each command."""
        self.sequence = 0
