"""Conversations of real clients with a real mysqld, recorded by tests/wire/record.py."""

from dataclasses import dataclass
from pathlib import Path

from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import Splitter

FOLDER = Path(__file__).resolve().parent.parent / "wire" / "captures"
NAMES = tuple(sorted(p.stem for p in FOLDER.glob("*.hex")))


@dataclass(frozen=True)
class Exchange:
    """One command and its answer, as bytes with headers."""

    command: bytes
    answer: bytes

    @property
    def kind(self) -> int:
        return self.command[4]


@dataclass(frozen=True)
class Conversation:
    greeting: packets.Greeting
    login: packets.Login
    login_payloads: tuple[tuple[str, bytes], ...]
    """What followed the login packet, up to the OK."""
    exchanges: tuple[Exchange, ...]

    @property
    def keeps_eof(self) -> bool:
        return not self.login.capabilities & c.CLIENT_DEPRECATE_EOF

    @property
    def tracks(self) -> bool:
        return bool(self.login.capabilities & c.CLIENT_SESSION_TRACK)


def pieces(name: str) -> list[tuple[str, bytes]]:
    lines = (FOLDER / f"{name}.hex").read_text().splitlines()
    return [(line[0], bytes.fromhex(line[2:])) for line in lines]


def payloads(data: bytes, first_sequence: int) -> list[bytes]:
    splitter = Splitter(1 << 24)
    splitter.sequence = first_sequence
    splitter.feed(data)
    found = []
    while (payload := splitter.next()) is not None:
        found.append(payload)
    assert splitter.buffered == 0
    return found


def read(name: str) -> Conversation:
    said = pieces(name)
    (greeting,) = payloads(said[0][1], 0)
    (login,) = payloads(said[1][1], 1)
    followed = []
    at = 2
    sequence = 2
    while True:
        who, data = said[at]
        for payload in payloads(data, sequence):
            followed.append((who, payload))
            sequence += 1
        at += 1
        if followed[-1] == ("S", followed[-1][1]) and followed[-1][1][0] == c.OK:
            break
    rest = said[at:]
    exchanges = []
    while rest:
        command = rest.pop(0)[1]
        while answerless := _without_answer(command):
            command = command[answerless:]
        answer = rest.pop(0)[1] if rest else b""
        if answer:
            exchanges.append(Exchange(command, answer))
    return Conversation(
        packets.greeting(greeting), packets.login(login), tuple(followed), tuple(exchanges)
    )


def _without_answer(command: bytes) -> int:
    """Length of the first command if no answer is due to it and another one follows."""
    size = 4 + int.from_bytes(command[:3], "little")
    return size if command[4] == c.COM_STMT_CLOSE and len(command) > size else 0
