"""PROXY headers: whose connection it is, from a balancer that may say so."""

import ipaddress

import pytest

from mitosis_gate.errors import BadHandshake
from mitosis_gate.wire.proxy import (
    FIRST_BYTES,
    HEAD_BYTES,
    Source,
    is_line,
    must_be_signed,
    read,
    read_line,
    rest_of,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def header(command: int, family: int, rest: bytes) -> tuple[bytes, bytes]:
    first = SIGNATURE + bytes((0x20 | command, family)) + len(rest).to_bytes(2, "big")
    return first, rest


def test_version_2_tells_an_address_of_ipv4():
    rest = bytes((10, 1, 2, 3, 10, 0, 0, 1)) + (5000).to_bytes(2, "big") + (3306).to_bytes(2, "big")
    first, rest = header(1, 0x11, rest + b"\x04\0\x01x")
    must_be_signed(first[:FIRST_BYTES])
    assert len(first) == HEAD_BYTES and rest_of(first) == len(rest)
    assert read(first, rest) == Source("10.1.2.3", 5000)


def test_version_2_tells_an_address_of_ipv6():
    address = ipaddress.ip_address("2001:db8::7")
    first, rest = header(1, 0x21, address.packed * 2 + (1).to_bytes(2, "big") * 2)
    assert read(first, rest) == Source("2001:db8::7", 1)


@pytest.mark.parametrize(("command", "family"), [(0, 0x11), (1, 0x00), (1, 0x31)])
def test_a_balancer_may_speak_for_itself(command, family):
    assert read(*header(command, family, bytes(12))) == Source()


@pytest.mark.parametrize("first", [b"\x85\xa6\x3f\x20" + bytes(12), bytes(16)])
def test_something_else_is_refused(first):
    assert not is_line(first)
    with pytest.raises(BadHandshake, match="PROXY header is due"):
        must_be_signed(first)


@pytest.mark.parametrize(
    ("first", "rest"),
    [header(1, 0x11, bytes(11)), header(2, 0x11, bytes(12)), header(1, 0x21, bytes(12))],
)
def test_a_header_that_is_cut_or_unknown_is_refused(first, rest):
    with pytest.raises(BadHandshake):
        read(first, rest)


def test_version_1_is_a_line():
    line = b"PROXY TCP4 10.1.2.3 10.0.0.1 5000 3306"
    assert is_line(line[:FIRST_BYTES])
    assert read_line(line) == Source("10.1.2.3", 5000)
    assert read_line(b"PROXY TCP6 ::1 ::2 5 6") == Source("::1", 5)
    assert read_line(b"PROXY UNKNOWN") == Source()


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 nowhere 10.0.0.1 5 6",
        b"PROXY TCP4 ::1 ::2 5 6",
        b"PROXY TCP4 1.2.3.4 5 6",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 99999 6",
        b"PROXY \xff",
    ],
)
def test_a_line_that_tells_nothing_is_refused(line):
    with pytest.raises(BadHandshake):
        read_line(line)
