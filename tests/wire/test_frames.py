"""Many payloads framed at once are what they are one by one."""

import pytest

from mitosis_gate.wire.codec import frame, frames, packets_of
from mitosis_gate.wire.constants import MAX_PAYLOAD


def one_by_one(payloads: list[bytes], sequence: int) -> tuple[bytes, int]:
    parts = []
    for payload in payloads:
        parts.append(frame(payload, sequence))
        sequence += packets_of(payload)
    return b"".join(parts), sequence & 0xFF


@pytest.mark.parametrize("sequence", [0, 1, 255, 256, 1000])
@pytest.mark.parametrize("count", [0, 1, 2, 300, 4096, 4097, 9000])
def test_headers_count_on_whatever_the_number_of_rows(count: int, sequence: int) -> None:
    payloads = [b"x" * (n % 300) for n in range(count)]
    assert frames(payloads, sequence) == one_by_one(payloads, sequence)


@pytest.mark.parametrize("size", [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD])
def test_a_row_longer_than_a_packet_takes_several(size: int) -> None:
    payloads = [b"before", b"x" * size, b"after", b"y" * 70_000]
    assert frames(payloads, 254) == one_by_one(payloads, 254)
