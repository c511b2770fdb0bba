"""Length-encoded values, framing, and the cutting of a stream into packets."""

import pytest

from mitosis_gate.errors import MalformedPacket, PacketsOutOfOrder, PacketTooLarge
from mitosis_gate.wire import codec
from mitosis_gate.wire.codec import Splitter, frame

WHOLE = (1 << 24) - 1


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (250, "fa"),
        (251, "fcfb00"),
        (0xFFFF, "fcffff"),
        (0x10000, "fd000001"),
        (0xFFFFFF, "fdffffff"),
        (0x1000000, "fe0000000100000000"),
        (2**64 - 1, "feffffffffffffffff"),
    ],
)
def test_numbers_have_the_length_that_the_manual_gives_them(value, encoded):
    assert codec.lenenc(value).hex() == encoded
    assert codec.read_lenenc(bytes.fromhex(encoded), 0) == (value, len(encoded) // 2)


@pytest.mark.parametrize("data", ["", "fc", "fc01", "fd0102", "fe01020304050607", "fb", "ff"])
def test_a_number_that_is_cut_off_is_an_error(data):
    with pytest.raises(MalformedPacket):
        codec.read_lenenc(bytes.fromhex(data), 0)


@pytest.mark.parametrize("data", [b"\x05abcd", b"\xfc\xff\xffabc"])
def test_a_string_longer_than_its_packet_is_an_error(data):
    with pytest.raises(MalformedPacket):
        codec.read_lenenc_bytes(data, 0)


def test_a_stream_may_be_cut_at_any_byte():
    payloads = [b"a", b"x" * 300, b"last"]
    stream = b"".join(frame(p, n) for n, p in enumerate(payloads))
    for cut in range(len(stream) + 1):
        splitter = Splitter(1000)
        found = []
        for piece in (stream[:cut], stream[cut:]):
            splitter.feed(piece)
            while (payload := splitter.next()) is not None:
                found.append(payload)
        assert found == payloads
        assert splitter.buffered == 0


def test_a_stream_may_come_byte_by_byte():
    stream = frame(b"one", 0) + frame(b"two", 1)
    splitter = Splitter(1000)
    found = []
    for byte in stream:
        splitter.feed(bytes((byte,)))
        while (payload := splitter.next()) is not None:
            found.append(payload)
    assert found == [b"one", b"two"]


@pytest.mark.parametrize("size", [WHOLE - 1, WHOLE, WHOLE + 1, 2 * WHOLE])
def test_payloads_around_the_largest_packet_are_cut_and_joined(size):
    payload = bytes(size)
    framed = frame(payload, 0)
    assert len(framed) == size + 4 * codec.packets_of(payload)
    splitter = Splitter(1 << 30)
    splitter.feed(framed)
    assert splitter.next() == payload
    assert splitter.sequence == codec.packets_of(payload)
    assert splitter.buffered == 0


def test_a_payload_over_the_limit_is_refused_by_its_header():
    splitter = Splitter(1000)
    splitter.feed((1001).to_bytes(3, "little") + b"\0")
    with pytest.raises(PacketTooLarge):
        splitter.next()


def test_a_payload_over_the_limit_is_refused_also_when_it_comes_in_parts():
    splitter = Splitter(WHOLE + 10)
    splitter.feed(b"\xff\xff\xff\x00" + bytes(WHOLE) + b"\x0b\0\0\x01")
    with pytest.raises(PacketTooLarge):
        splitter.next()


def test_packets_out_of_order_are_refused():
    splitter = Splitter(1000)
    splitter.feed(frame(b"x", 1))
    with pytest.raises(PacketsOutOfOrder):
        splitter.next()


def test_sequence_numbers_begin_again_after_255():
    splitter = Splitter(1000)
    for number in range(300):
        splitter.feed(frame(b"x", number))
        assert splitter.next() == b"x"
