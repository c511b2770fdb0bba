"""Types of columns, with values in small domains so that rows meet in joins and groups."""

import random
from collections.abc import Callable
from dataclasses import dataclass

Literal = Callable[[random.Random], str]


@dataclass(frozen=True)
class Kind:
    name: str
    """What expressions treat alike: int, dec, dbl, str, date, datetime, time, enum, bin, json."""
    type: str
    literal: Literal
    sortable: bool = True
    """ORDER BY and GROUP BY of it say something that two servers agree on."""
    folds: bool = False
    """Different values can be equal, so that which one stands for a group is not said."""


def _int(low: int, high: int) -> Literal:
    return lambda r: str(r.randint(low, high))


def _decimal(digits: int, scale: int) -> Literal:
    def make(r: random.Random) -> str:
        whole = r.randint(0, 10 ** min(digits - scale, 3) - 1)
        part = f".{r.randrange(10**scale):0{scale}}" if scale else ""
        return f"{'-' if r.random() < 0.4 else ''}{whole}{part}"

    return make


_WORDS = ("a", "A", "ä", "b", "B", "ab", "Ab", "abc", "", "z", "ß", "ss", "é", "e", "E", "日本")
_PLAIN_WORDS = ("a", "A", "b", "B", "ab", "Ab", "abc", "", "z", "e", "E", "x1", "X1", "zz")
_SPACED_WORDS = (*_PLAIN_WORDS, "a ", "b ", "ab  ")


def _text(words: tuple[str, ...]) -> Literal:
    return lambda r: quoted(r.choice(words) + (r.choice(words) if r.random() < 0.3 else ""))


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _date(r: random.Random) -> str:
    return f"'20{r.choice(('01', '20', '24'))}-{r.randint(1, 12):02}-{r.randint(1, 28):02}'"


def _datetime(digits: int) -> Literal:
    def make(r: random.Random) -> str:
        part = f".{r.randrange(10**digits):0{digits}}" if digits else ""
        hour, minute = r.choice((0, 7, 23)), r.choice((0, 30, 59))
        return f"{_date(r)[:-1]} {hour:02}:{minute:02}:{r.randrange(60):02}{part}'"

    return make


def _time(r: random.Random) -> str:
    sign = "-" if r.random() < 0.4 else ""
    return f"'{sign}{r.choice((0, 1, 9, 24, 130)):02}:{r.randrange(60):02}:{r.randrange(60):02}'"


def _double(r: random.Random) -> str:
    return r.choice(("0", "1.5", "-2.25", "1e10", "-1e-3", "0.1", "3", "1e300", "-7.125"))


def _json(r: random.Random) -> str:
    return quoted(r.choice(('{"a": 1}', '{"a": 2, "b": [1, 2]}', "[1, 2, 3]", '"x"', "null", "7")))


INT = Kind("int", "INT", _int(-5, 9))
KINDS: tuple[Kind, ...] = (
    INT,
    Kind("int", "INT", _int(-3, 3)),
    Kind("int", "BIGINT", lambda r: r.choice(("0", "1", "-1", "9007199254740993", "-5", "7"))),
    Kind("int", "BIGINT UNSIGNED", lambda r: r.choice(("0", "1", "18446744073709551615", "7"))),
    Kind("int", "SMALLINT UNSIGNED", _int(0, 6)),
    Kind("int", "TINYINT", _int(-2, 2)),
    Kind("dec", "DECIMAL(10,2)", _decimal(10, 2)),
    Kind("dec", "DECIMAL(20,0)", _decimal(20, 0)),
    Kind("dec", "DECIMAL(12,5)", _decimal(12, 5)),
    Kind("dec", "DECIMAL(30,14)", _decimal(30, 14)),
    Kind("dbl", "DOUBLE", _double),
    Kind("flt", "FLOAT", lambda r: r.choice(("0", "1.5", "-2.25", "0.1", "3")), sortable=False),
    Kind("str", "VARCHAR(30)", _text(_WORDS), folds=True),
    Kind("str", "VARCHAR(40) COLLATE utf8mb4_0900_as_cs", _text(_WORDS), folds=True),
    Kind("str", "VARCHAR(30) COLLATE utf8mb4_0900_bin", _text(_WORDS)),
    Kind("str", "VARCHAR(30) COLLATE utf8mb4_general_ci", _text(_SPACED_WORDS), folds=True),
    Kind("str", "VARCHAR(30) COLLATE utf8mb4_bin", _text(_SPACED_WORDS), folds=True),
    Kind("str", "CHAR(10)", _text(_PLAIN_WORDS), folds=True),
    Kind("str", "VARCHAR(20) CHARACTER SET latin1", _text(_PLAIN_WORDS), folds=True),
    Kind("str", "TEXT", _text(_WORDS), folds=True),
    Kind("date", "DATE", _date),
    Kind("datetime", "DATETIME", _datetime(0)),
    Kind("datetime", "DATETIME(3)", _datetime(3)),
    Kind("datetime", "TIMESTAMP NULL", _datetime(0)),
    Kind("time", "TIME", _time),
    Kind("time", "TIME(2)", _time),
    Kind("year", "YEAR", lambda r: str(r.choice((1999, 2001, 2024)))),
    Kind("enum", "ENUM('sad','ok','glad')", lambda r: r.choice(("'sad'", "'ok'", "'glad'"))),
    Kind("set", "SET('x','y','z')", lambda r: r.choice(("'x'", "'x,y'", "'z'", "''", "'y,z'"))),
    Kind("bin", "VARBINARY(20)", lambda r: r.choice(("'a'", "'A'", "''", "x'00ff'", "x'0001'"))),
    Kind("bit", "BIT(8)", lambda r: f"b'{r.randrange(16):b}'"),
    Kind("json", "JSON", _json, sortable=False),
)
