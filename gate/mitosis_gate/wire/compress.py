"""The compressed protocol: packets of their own that carry the usual ones, by zlib or zstd.

length (3) | number (1) | length when unpacked (3), 0: sent as it is | bytes
"""

import zlib
from typing import Protocol

import zstandard

from mitosis_gate.errors import MalformedPacket, PacketsOutOfOrder

HEAD_BYTES = 7
MOST = 0xFFFFFF
_SMALLEST = 50
"""Less is not worth packing."""
_PART = 1 << 20
_ZLIB_LEVEL = 6


class Codec(Protocol):
    def pack(self, data: bytes) -> bytes: ...

    def unpack(self, data: bytes, size: int) -> bytes:
        """Exactly `size` bytes, or MalformedPacket."""


class Zlib:
    def pack(self, data: bytes) -> bytes:
        return zlib.compress(data, _ZLIB_LEVEL)

    def unpack(self, data: bytes, size: int) -> bytes:
        machine = zlib.decompressobj()
        try:
            found = machine.decompress(data, size + 1)
        except zlib.error as exc:
            raise MalformedPacket("a compressed packet cannot be unpacked") from exc
        return _whole(found, size)


class Zstd:
    def __init__(self, level: int) -> None:
        """`level` is what the client asked for: 1 to 22."""
        self._packer = zstandard.ZstdCompressor(level=min(max(level, 1), 22))
        self._unpacker = zstandard.ZstdDecompressor()

    def pack(self, data: bytes) -> bytes:
        return self._packer.compress(data)

    def unpack(self, data: bytes, size: int) -> bytes:
        try:
            machine = self._unpacker.stream_reader(data)
            found = machine.read(size + 1)
        except zstandard.ZstdError as exc:
            raise MalformedPacket("a compressed packet cannot be unpacked") from exc
        return _whole(found, size)


def _whole(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise MalformedPacket("a compressed packet has another length than it says")
    return data


class Compression:
    """Both directions of one connection; the numbers of packets are counted through them."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._buffer = bytearray()
        self._number = 0
        """Of the next packet, whoever sends it; a client begins at 0 with each command."""

    def pack(self, data: bytes) -> bytes:
        parts = []
        for start in range(0, len(data), _PART):
            part = data[start : start + _PART]
            packed = self._codec.pack(part) if len(part) >= _SMALLEST else part
            size = len(part)
            if len(packed) >= len(part):
                packed, size = part, 0
            parts.append(len(packed).to_bytes(3, "little") + bytes((self._number,)))
            parts.append(size.to_bytes(3, "little"))
            parts.append(packed)
            self._number = (self._number + 1) & 0xFF
        return b"".join(parts)

    def unpack(self, data: bytes) -> bytes:
        """Return what is whole by now. Raises PacketsOutOfOrder and MalformedPacket."""
        buffer = self._buffer
        buffer += data
        found = []
        at = 0
        while len(buffer) - at >= HEAD_BYTES:
            length = int.from_bytes(buffer[at : at + 3], "little")
            end = at + HEAD_BYTES + length
            number = buffer[at + 3]
            if number not in (0, self._number):
                raise PacketsOutOfOrder("Got compressed packets out of order")
            if len(buffer) < end:
                break
            size = int.from_bytes(buffer[at + 4 : at + 7], "little")
            body = bytes(memoryview(buffer)[at + HEAD_BYTES : end])
            found.append(self._codec.unpack(body, size) if size else body)
            self._number = (number + 1) & 0xFF
            at = end
        del buffer[:at]
        return b"".join(found)
