"""Cutting files into rows, fed in pieces of every size."""

import pytest

from mitosis_gate.executor.file_rows import FileRows
from mitosis_gate.planner.plan import FileFormat

CSV = FileFormat(b",", b'"', b"\\", b"", b"\n")


def cut(form: FileFormat, content: bytes, size: int) -> list[bytes]:
    rows = FileRows(form)
    found = []
    for start in range(0, len(content), size):
        found += rows.feed(content[start : start + size])[0]
    return found + rows.finish()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
@pytest.mark.parametrize(
    ("form", "content", "expected"),
    [
        (FileFormat(), b"1\ta\n2\tb\n", [b"1\ta", b"2\tb"]),
        (FileFormat(), b"1\ta\n2\tb", [b"1\ta", b"2\tb"]),
        (FileFormat(), b"1\ta\\\nb\n2\tc\n", [b"1\ta\\\nb", b"2\tc"]),
        (FileFormat(), b"1\ta\\\\\n2\tc\n", [b"1\ta\\\\", b"2\tc"]),
        (FileFormat(skipped=2), b"a\\\nb\nc\n1\n2\n", [b"1", b"2"]),
        (FileFormat(lines_end=b"\r\n"), b"1\r\n2\r3\r\n", [b"1", b"2\r3"]),
        (FileFormat(lines_start=b">"), b">1\nno\nx>2\n", [b">1", b"x>2"]),
        (CSV, b'1,"a\nb"\n2,c\n', [b'1,"a\nb"', b"2,c"]),
        (CSV, b'1,"a""\n",2\n3,c\n', [b'1,"a""\n",2', b"3,c"]),
        (CSV, b'1,5" disk\n2,"x" y"\n', [b'1,5" disk', b'2,"x" y"']),
        (CSV, b'1,"a\\"\n"\n2,b\n', [b'1,"a\\"\n"', b"2,b"]),
        (CSV, b'1,"open\n2,b\n', [b'1,"open\n2,b\n']),
        (FileFormat(b"<>", b"", b"", b"", b"|"), b"1<>a\\|2<>b|", [b"1<>a\\", b"2<>b"]),
    ],
)
def test_rows_end_where_mysql_ends_them(
    form: FileFormat, content: bytes, expected: list[bytes], size: int
) -> None:
    assert cut(form, content, size) == expected


@pytest.mark.parametrize(
    ("form", "row", "values"),
    [
        (FileFormat(), b"1\ta\t", [b"1", b"a", b""]),
        (FileFormat(), b"1\ta\\\tb\t\\N\tx\\N", [b"1", b"a\tb", None, b"xN"]),
        (FileFormat(), b"\\0\\Z\\\\\\n", [b"\0\x1a\\\n"]),
        (CSV, b'"1","a ""b"", c",NULL,"NULL"', [b"1", b'a "b", c', None, b"NULL"]),
        (CSV, b'a"b,"c" d",\\N', [b'a"b', b'c" d', None]),
        (FileFormat(b",", b"", b""), b"NULL,\\N", [None, b"\\N"]),
        (FileFormat(b"<>", b"'", b"\\", b"@@"), b"no@@1<>'a<>b'<>c", [b"1", b"a<>b", b"c"]),
    ],
)
def test_fields_have_the_values_that_mysql_reads(
    form: FileFormat, row: bytes, values: list[bytes | None]
) -> None:
    rows = FileRows(form)
    spans = [rows.span(row, index) for index in range(len(values))]
    assert [rows.value(row[start:end]) for start, end in spans] == values
    assert rows.span(row, len(values)) == (-1, -1)
