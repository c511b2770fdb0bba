"""Which character set and collation a number of the protocol means."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Charset:
    name: str
    collation: str


UTF8MB4 = Charset("utf8mb4", "utf8mb4_0900_ai_ci")
DEFAULT_ID = 255
BINARY_ID = 63

_KNOWN: Mapping[int, Charset] = {
    0: UTF8MB4,  # no set has this number: mysqld takes its own default then
    7: Charset("koi8r", "koi8r_general_ci"),
    9: Charset("latin2", "latin2_general_ci"),
    26: Charset("cp1250", "cp1250_general_ci"),
    30: Charset("latin5", "latin5_turkish_ci"),
    51: Charset("cp1251", "cp1251_general_ci"),
    57: Charset("cp1256", "cp1256_general_ci"),
    5: Charset("latin1", "latin1_german1_ci"),
    8: Charset("latin1", "latin1_swedish_ci"),
    11: Charset("ascii", "ascii_general_ci"),
    15: Charset("latin1", "latin1_danish_ci"),
    31: Charset("latin1", "latin1_german2_ci"),
    33: Charset("utf8mb3", "utf8mb3_general_ci"),
    45: Charset("utf8mb4", "utf8mb4_general_ci"),
    46: Charset("utf8mb4", "utf8mb4_bin"),
    47: Charset("latin1", "latin1_bin"),
    48: Charset("latin1", "latin1_general_ci"),
    49: Charset("latin1", "latin1_general_cs"),
    63: Charset("binary", "binary"),
    65: Charset("ascii", "ascii_bin"),
    83: Charset("utf8mb3", "utf8mb3_bin"),
    192: Charset("utf8mb3", "utf8mb3_unicode_ci"),
    224: Charset("utf8mb4", "utf8mb4_unicode_ci"),
    246: Charset("utf8mb4", "utf8mb4_unicode_520_ci"),
    255: UTF8MB4,
}


def by_id(number: int) -> Charset | None:
    """None for a set that the gate does not take from clients.

    Among those are big5, cp932, gb18030, gbk and sjis, in which a quote or a backslash can be the
    second byte of a character: the lexer reads bytes, and would cut a statement where MySQL does
    not.
    """
    return _KNOWN.get(number)
