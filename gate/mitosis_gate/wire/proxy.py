"""PROXY headers, versions 1 and 2: a balancer says whose connection it passes on.

https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt
"""

import ipaddress
from dataclasses import dataclass

from mitosis_gate.errors import BadHandshake

FIRST_BYTES = 12
"""Enough to tell the versions apart, and less than any header has."""
HEAD_BYTES = 16
"""What version 2 has before its addresses."""
LONGEST_LINE = 107
"""Of version 1, its end included."""
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LINE = b"PROXY "
_ADDRESS_BYTES = {0x1: 4, 0x2: 16}
_LONGEST_REST = 4096


@dataclass(frozen=True)
class Source:
    """The client behind the balancer; empty when the balancer speaks for itself."""

    host: str = ""
    port: int = 0


def is_line(first: bytes) -> bool:
    """Version 1: to be read on until its CR LF."""
    return first.startswith(_LINE)


def must_be_signed(first: bytes) -> None:
    """Version 2, or BadHandshake."""
    if not first.startswith(_SIGNATURE):
        raise BadHandshake("a PROXY header is due from this address, and something else came")


def rest_of(head: bytes) -> int:
    """Version 2: how many bytes follow the head. Raises BadHandshake."""
    size = int.from_bytes(head[14:16], "big")
    if size > _LONGEST_REST:
        raise BadHandshake("the PROXY header is too long")
    return size


def read(head: bytes, rest: bytes) -> Source:
    """Version 2, whole. Raises BadHandshake."""
    version, command = head[12] >> 4, head[12] & 0xF
    family, transport = head[13] >> 4, head[13] & 0xF
    if version != 2 or command > 1:
        raise BadHandshake("the PROXY header is of a version that is not known here")
    if command == 0:
        return Source()
    size = _ADDRESS_BYTES.get(family)
    if size is None or transport != 1:
        return Source()
    if len(rest) < 2 * size + 4:
        raise BadHandshake("the PROXY header is cut off")
    host = ipaddress.ip_address(rest[:size])
    return Source(str(host), int.from_bytes(rest[2 * size : 2 * size + 2], "big"))


def read_line(line: bytes) -> Source:
    """Version 1, without its CR LF. Raises BadHandshake."""
    words = line.decode("ascii", "replace").split(" ")
    if words[:2] == ["PROXY", "UNKNOWN"]:
        return Source()
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise BadHandshake("the PROXY header cannot be read")
    try:
        host, port = ipaddress.ip_address(words[2]), int(words[4])
    except ValueError as exc:
        raise BadHandshake("the PROXY header holds no address") from exc
    if host.version != int(words[1][3]) or not 0 <= port <= 0xFFFF:
        raise BadHandshake("the PROXY header holds another kind of address than it says")
    return Source(str(host), port)
