"""Bytes made wrong in many ways, from a seed."""

from collections.abc import Callable, Sequence
from random import Random

from mitosis_gate.wire.codec import frame

INTERESTING = (0, 1, 2, 4, 5, 31, 32, 33, 127, 128, 250, 251, 252, 253, 254, 255)


def flip(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def put(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 3)):
        if changed:
            changed[random.randrange(len(changed))] = random.choice(INTERESTING)
    return bytes(changed)


def cut(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def stretch(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.randbytes(random.randint(1, 64)) + data[at:]


def double(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    end = random.randint(at, len(data))
    return data[:end] + data[at:end] * random.randint(1, 3) + data[end:]


def drop(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + data[random.randint(at, len(data)) :]


def noise(random: Random, data: bytes) -> bytes:
    return random.randbytes(random.randint(0, 200))


def same(random: Random, data: bytes) -> bytes:
    return data


CHANGES: Sequence[Callable[[Random, bytes], bytes]] = (
    flip,
    put,
    cut,
    stretch,
    double,
    drop,
    noise,
    same,
)


def mutated(random: Random, data: bytes) -> bytes:
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(CHANGES)(random, data)
    return data


def badly_framed(random: Random, payload: bytes, sequence: int) -> bytes:
    """The payload in a packet whose header is now and then wrong."""
    kind = random.randrange(12)
    if kind == 0:
        sequence = random.choice(INTERESTING)
    packet = frame(payload, sequence)
    if kind == 1:
        size = random.choice((0, 1, len(payload) + 1, max(len(payload) - 1, 0), 0xFFFF, 0xFFFFFF))
        return size.to_bytes(3, "little") + packet[3:]
    if kind == 2:
        return packet + random.randbytes(random.randint(1, 20))
    return packet


def pieces(random: Random, data: bytes) -> list[bytes]:
    """The same bytes as they may arrive: whole, in a few pieces, or one by one."""
    kind = random.randrange(6)
    if kind == 0 and len(data) < 400:
        return [data[n : n + 1] for n in range(len(data))]
    if kind <= 2 and len(data) > 1:
        cuts = sorted(random.sample(range(1, len(data)), min(random.randint(1, 4), len(data) - 1)))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [data]
