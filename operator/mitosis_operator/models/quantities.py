"""Kubernetes quantities (`64Gi`, `250m`) to and from exact integers."""

import re
from decimal import ROUND_CEILING, Decimal

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
}
_FORM = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|(?P<exponent>[eE][+-]?\d+))?"
)


class BadQuantity(ValueError):
    """The text is no Kubernetes quantity."""


def parse(text: str | int) -> Decimal:
    """Read a quantity as the API server does; raise BadQuantity for anything else."""
    match = _FORM.fullmatch(str(text))
    if match is None:
        raise BadQuantity(f"{text!r} is no quantity: write a number and a unit, such as 64Gi")
    number = Decimal(match["number"])
    if match["exponent"]:
        return number.scaleb(int(match["exponent"][1:]))
    suffix = match["suffix"] or ""
    return number * (_BINARY[suffix] if suffix in _BINARY else _DECIMAL[suffix])


def to_bytes(text: str | int) -> int:
    """Whole units, fractions rounded up as Kubernetes does."""
    return int(parse(text).to_integral_value(ROUND_CEILING))


def to_millis(text: str | int) -> int:
    """Thousandths, the usual measure of CPU; smaller fractions are rounded up."""
    return int((parse(text) * 1000).to_integral_value(ROUND_CEILING))


def format_bytes(count: int) -> str:
    """The shortest exact form: 64Gi, 1536Mi, or plain digits when no binary unit divides it."""
    for suffix, unit in reversed(_BINARY.items()):
        if count and count % unit == 0:
            return f"{count // unit}{suffix}"
    return str(count)


def format_millis(millis: int) -> str:
    """250m, 1, 1500m."""
    return str(millis // 1000) if millis % 1000 == 0 else f"{millis}m"


def rough_bytes(count: int) -> str:
    """For people: one decimal at most and the largest unit below the number: 63.9Gi."""
    for suffix, unit in reversed(_BINARY.items()):
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + suffix
    return f"{count} bytes"
