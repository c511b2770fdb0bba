"""The compressed protocol: what is packed comes out again, in whatever pieces; nothing explodes."""

import zlib
from random import Random

import pytest

from mitosis_gate.errors import MalformedPacket, PacketsOutOfOrder
from mitosis_gate.wire.compress import Compression, Zlib, Zstd

CODECS = {"zlib": Zlib, "zstd": lambda: Zstd(3)}


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("size", [1, 49, 50, 5000, 3_000_000])
def test_what_is_packed_comes_out_again(name, size):
    data = Random(1).randbytes(size // 2) + b"x" * (size - size // 2)
    sender, receiver = Compression(CODECS[name]()), Compression(CODECS[name]())
    packed = sender.pack(data)
    assert b"".join(receiver.unpack(packed[n : n + 999]) for n in range(0, len(packed), 999)) == (
        data
    )


@pytest.mark.parametrize("name", CODECS)
def test_text_becomes_smaller(name):
    assert len(Compression(CODECS[name]()).pack(b"one row like the others, " * 400)) < 500


def test_numbers_are_counted_through_both_directions():
    gate = Compression(Zlib())
    assert gate.unpack(b"\x01\0\0\0\0\0\0x") == b"x"
    assert gate.pack(b"y")[3] == 1
    assert gate.unpack(b"\x01\0\0\0\0\0\0z") == b"z"  # the next command begins at 0
    with pytest.raises(PacketsOutOfOrder):
        gate.unpack(b"\x01\0\0\x07\0\0\0x")


def packet(body: bytes, size: int) -> bytes:
    return len(body).to_bytes(3, "little") + b"\0" + size.to_bytes(3, "little") + body


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("size", [1, 100, 0xFFFFFF])
def test_what_is_not_packed_is_refused(name, size):
    with pytest.raises(MalformedPacket):
        Compression(CODECS[name]()).unpack(packet(b"no such thing" * 5, size))


def test_more_than_was_announced_is_not_unpacked():
    bomb = zlib.compress(bytes(50_000_000))
    with pytest.raises(MalformedPacket, match="another length"):
        Compression(Zlib()).unpack(packet(bomb, 1000))
