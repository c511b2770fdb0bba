"""Numbers as MySQL reads, adds, divides and writes them."""

import struct
from collections.abc import Callable, Iterable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from functools import partial, reduce

from mitosis_gate.errors import InternalError, MysqlError
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.packets import Column

Number = int | float | Decimal
Reader = Callable[[bytes], Number]
Writer = Callable[[Number], bytes]
INTEGERS = frozenset(
    {c.TYPE_TINY, c.TYPE_SHORT, c.TYPE_INT24, c.TYPE_LONG, c.TYPE_LONGLONG, c.TYPE_YEAR}
)
DECIMALS = frozenset({c.TYPE_NEWDECIMAL, c.TYPE_DECIMAL})
_STRUCTS = {
    c.TYPE_TINY: "b",
    c.TYPE_SHORT: "h",
    c.TYPE_YEAR: "h",
    c.TYPE_INT24: "i",
    c.TYPE_LONG: "i",
    c.TYPE_LONGLONG: "q",
    c.TYPE_FLOAT: "f",
    c.TYPE_DOUBLE: "d",
}
_EXACT = Context(prec=200)
_MOST_DIGITS = 65
_NOT_FIXED = 31
"""`decimals` of a DOUBLE that has as many as it needs."""
_WORD_DIGITS = 9
"""MySQL keeps DECIMAL in words of so many digits and divides to the end of a word."""
_FEWEST, _MOST = -15, 15


def number_reader(column: Column, binary: bool) -> Reader:
    """How the numbers of a column are read from its rows."""
    kind = column.type
    if kind in INTEGERS:
        return _unpacking(column) if binary else int
    if kind == c.TYPE_DOUBLE or (kind == c.TYPE_FLOAT and binary):
        return _unpacking(column) if binary else float
    if kind in DECIMALS:
        return _decimal
    if kind == c.TYPE_NULL:
        return int  # of NULLs only
    raise InternalError(f"column '{column.name}' of type {kind} is no number to merge by")


def _unpacking(column: Column) -> Reader:
    return partial(_unpacked, struct.Struct(_form(column)))


def _form(column: Column) -> str:
    form = _STRUCTS[column.type]
    return "<" + (form.upper() if column.flags & c.FLAG_UNSIGNED and form not in "fd" else form)


def _unpacked(form: struct.Struct, value: bytes) -> Number:
    number: Number = form.unpack(value)[0]
    return number


def _decimal(value: bytes) -> Decimal:
    return Decimal(value.decode("ascii"))


def number_writer(column: Column, binary: bool) -> Writer:
    """The other way round."""
    if column.type in DECIMALS:
        return partial(_decimal_text, column.decimals)
    if binary:
        return struct.Struct(_form(column)).pack
    if column.type in INTEGERS:
        return _integer_text
    return partial(double_text, column.decimals)


def _integer_text(number: Number) -> bytes:
    return b"%d" % number


def _decimal_text(scale: int, number: Number) -> bytes:
    if not isinstance(number, Decimal):
        number = Decimal(number)
    if number.as_tuple().exponent != -scale:
        number = number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _EXACT)
    if len(number.as_tuple().digits) > _MOST_DIGITS:
        raise MysqlError(1690, "22003", "DECIMAL value is out of range in 'sum'")
    return format(number, "f").encode()


def double_text(decimals: int, number: Number) -> bytes:
    """A DOUBLE as the text protocol has it: the fewest digits that read back as the same."""
    number = float(number)
    if decimals < _NOT_FIXED:
        return f"{number:.{decimals}f}".encode()
    if not number:
        return b"-0" if str(number).startswith("-") else b"0"
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    shown = "".join(map(str, digits))
    point = len(shown) + exponent  # where the point stands, counted from the first digit
    if point < _FEWEST + 1 or (exponent >= 0 and point > _MOST):
        power = point - 1
        text = f"{shown[0]}{'.' if shown[1:] else ''}{shown[1:]}e{power}"
    elif point <= 0:
        text = f"0.{'0' * -point}{shown}"
    elif exponent >= 0:
        text = shown + "0" * exponent
    else:
        text = f"{shown[:point]}.{shown[point:]}"
    return ("-" + text if sign else text).encode()


def negated(number: Number) -> Number:
    # the minus of a Decimal would round it to 28 digits
    return number.copy_negate() if isinstance(number, Decimal) else -number


def added(numbers: Iterable[Number]) -> Number:
    """Exact but for DOUBLE, whose sum depends on the order in MySQL as well; at least one."""
    return reduce(_plus, numbers)


def _plus(left: Number, right: Number) -> Number:
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        return _EXACT.add(left, right)
    return left + right  # type: ignore[operator]  # DECIMAL and DOUBLE never meet in one column


def mean(total: Number, count: int, sum_scale: int, scale: int) -> Number:
    """AVG: the quotient cut off where MySQL's division ends, then rounded to what it shows.

    `scale` is that of the result: that of the sum and div_precision_increment.
    """
    if not isinstance(total, Decimal):
        return total / count
    kept = _to_word(sum_scale)
    more = max(0, scale - sum_scale - (kept - sum_scale))
    quotient = _EXACT.divide(total, Decimal(count))
    cut = quotient.quantize(Decimal(1).scaleb(-_to_word(kept + more)), ROUND_DOWN, _EXACT)
    return cut.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _EXACT)


def _to_word(digits: int) -> int:
    return -(-digits // _WORD_DIGITS) * _WORD_DIGITS
