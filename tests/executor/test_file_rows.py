"""Cutting files into rows, fed in pieces of every size."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from file_model import Row, rows_of

from mitosis_gate.errors import MysqlError
from mitosis_gate.executor import file_rows
from mitosis_gate.executor.file_rows import Batch, Divided, FileRows, Owners, Wanted
from mitosis_gate.planner.plan import FileFormat
from mitosis_routing.hashing import slot_of

CSV = FileFormat(b",", b'"', b"\\", b"", b"\n", width=3)
TABS = FileFormat(width=3)
FORMATS = (
    FileFormat(),
    FileFormat(b",", b'"', b"\\"),
    FileFormat(b",", b'"', b'"'),
    FileFormat(b",", b'"', b""),
    FileFormat(b",", b"", b""),
    FileFormat(b",,", b'"', b"\\", b"", b",\n"),
    FileFormat(b",", b'"', b"\\", b"", b",\n"),
    FileFormat(b"ab", b'"', b"\\", b"", b"ba"),
    FileFormat(b",", b'"', b"\\", b">", b"\n"),
    FileFormat(b",", b'"', b"\\", b"\n>", b"\n"),
    FileFormat(b'","', b'"', b"\\", b"", b'"\n'),
    FileFormat(b'","', b"", b"\\", b'"', b'"\n'),
    FileFormat(b"\\,", b'"', b"\\", b"", b"\n"),
    FileFormat(b",", b'"', b"\\", b"", b"\n", 2),
    FileFormat(b",", b'"', b'"', b"", b"\n", 1),
    FileFormat(b"N", b"", b"\\", b"", b"\n"),
    FileFormat(b",", b"\n", b"\\", b"", b"\n"),
    FileFormat(b",", b'"', b"\\", b">", b"\n", 1),
    FileFormat(b",", b'"', b",", b"", b"\n"),
    FileFormat(b"\t", b"", b"\\", b"", b"\r\n"),
    FileFormat(b"\n;", b'"', b"\\", b"", b"\n"),
    FileFormat(b"\n", b'"', b"\\", b"", b"\n;"),
    FileFormat(b",\n", b'"', b"\\", b"", b'\n"'),
    FileFormat(b"1", b'"', b"\\", b"", b"\n"),
    FileFormat(b';"', b'"', b"\\", b"", b"a"),
    FileFormat(b",", b'"', b'"', b"", b'"\n'),
)
COMMON = [FORMATS[n] for n in (0, 1, 3, 4, 13, 15, 19, 23)]
"""Those that the compiled part reads: terminators, quote and escape have nothing in common."""
TEXTS = (b"1", b"12", b"a", b"b", b"N", b"NULL", b"\\N", "é".encode(), b" ", b"0")


@pytest.fixture(autouse=True)
def without_gathering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_rows, "AT_ONCE_BYTES", 0)


def parts_of(rows: FileRows, pieces: Sequence[bytes]) -> Iterator[Batch | Divided]:
    for piece in pieces:
        yield from rows.feed(piece)
    yield from rows.finish()


def batches(rows: FileRows, pieces: Sequence[bytes]) -> Iterator[Batch]:
    for part in parts_of(rows, pieces):
        assert isinstance(part, Batch)
        yield part


def cut(form: FileFormat, pieces: Sequence[bytes], wanted: Sequence[Wanted] = ()) -> list[Row]:
    """Rows with the values of all their fields; those that are told at once are compared."""
    rows = FileRows(form, wanted)
    found = []
    for batch in batches(rows, pieces):
        for place, row in enumerate(batch.rows):
            row += batch.glue
            spans = [rows.span(row, index) for index in range(form.width)]
            values = [rows.value_at(row, index) for index in range(form.width)]
            for one, texts in zip(wanted, batch.fields, strict=True):
                assert len(texts) == len(batch.rows)
                assert texts[place] in (b"", values[one.index])
                if one.digits and texts[place]:
                    assert str(int(texts[place])).encode() == texts[place]
                    assert 0 < len(texts[place]) < one.digits
            count = sum(start >= 0 for start, _ in spans)
            found.append(Row(row, tuple(values[:count])))
    return found


def pieces_of(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
@pytest.mark.parametrize(
    ("form", "content", "expected"),
    [
        (TABS, b"1\ta\n2\tb\n", [b"1\ta\n", b"2\tb\n"]),
        (TABS, b"1\ta\n2\tb", [b"1\ta\n", b"2\tb"]),
        (TABS, b"1\ta\\\nb\n2\tc\n", [b"1\ta\\\nb\n", b"2\tc\n"]),
        (TABS, b"1\ta\\\\\n2\tc\\", [b"1\ta\\\\\n", b"2\tc\\"]),
        (FileFormat(skipped=2), b"a\\\nb\nc\n1\n2\n", [b"1\n", b"2\n"]),
        (FileFormat(skipped=2), b"a\nb", []),
        (FileFormat(lines_end=b"\r\n"), b"1\r\n2\r3\r\n", [b"1\r\n", b"2\r3\r\n"]),
        (FileFormat(lines_start=b">"), b">1\nno\nx>2\nno", [b">1\n", b"no\nx>2\n"]),
        (CSV, b'1,"a\nb"\n2,c\n', [b'1,"a\nb"\n', b"2,c\n"]),
        (CSV, b'1,"a""\n",2\n3,c\n', [b'1,"a""\n",2\n', b"3,c\n"]),
        (CSV, b'1,5" disk\n2,"x" y"\n', [b'1,5" disk\n', b'2,"x" y"\n']),
        (CSV, b'1,"a\\"\n"\n2,b\n', [b'1,"a\\"\n"\n', b"2,b\n"]),
        (CSV, b'1,"open\n2,b\n', [b'1,"open\n2,b\n']),
        (CSV, b'1,2,3,"too\nmany\\\n"\n', [b'1,2,3,"too\n', b'many\\\n"\n']),
        (FileFormat(b",", b'"', b'"', width=2), b'"a""",2\n"b\n', [b'"a""",2\n', b'"b\n']),
        (FileFormat(b"<>", b"", b"", b"", b"|"), b"1<>a\\|2<>b|", [b"1<>a\\|", b"2<>b|"]),
    ],
)
def test_rows_end_where_mysql_ends_them(
    form: FileFormat, content: bytes, expected: list[bytes], size: int
) -> None:
    assert [row.text for row in cut(form, pieces_of(content, size))] == expected
    assert [row.text for row in rows_of(form, content)] == expected


@pytest.mark.parametrize(
    ("form", "row", "values"),
    [
        (TABS, b"1\ta\t\n", [b"1", b"a", b""]),
        (TABS, b"1\ta\t", [b"1", b"a"]),
        (TABS, b"1\ta\\\tb\t\\N\n", [b"1", b"a\tb", None]),
        (TABS, b"x\\N\t\\\n\t\\", [b"xN", b"\n", b"\\"]),
        (FileFormat(), b"\\0\\Z\\\\\\n\n", [b"\0\x1a\\\n"]),
        (CSV, b'"1","a ""b"", c",NULL\n', [b"1", b'a "b", c', None]),
        (CSV, b'"NULL","\\N",N\\ULL\n', [b"NULL", None, None]),
        (CSV, b'a"b,"c" d",\\N\n', [b'a"b', b'c" d', None]),
        (CSV, b'1,"a"', [b"1", b"a"]),
        (CSV, b'1,"a""b', [b"1", b'"a"b']),
        (FileFormat(b",", b"", b"", width=2), b"NULL,\\N\n", [b"NULL", b"\\N"]),
        (FileFormat(b",", b'"', b'"', width=3), b'a""b,"c""d",e\\n\n', [b'a"b', b'c"d', b"e\\n"]),
        (FileFormat(b",", b'"', b'"', width=2), b'1,"open"', [b"1", b'"open"']),
        (FileFormat(b"<>", b"'", b"\\", b"@@", width=2), b"no@@1<>'a<>b'<>c\n", [b"1", b"a<>b"]),
    ],
)
def test_fields_have_the_values_that_mysql_reads(
    form: FileFormat, row: bytes, values: list[bytes | None]
) -> None:
    assert cut(form, [row]) == [Row(row, tuple(values))] == rows_of(form, row)


def any_content(source: random.Random, form: FileFormat) -> bytes:
    marks = [form.fields_end, form.lines_end, form.enclosed, form.escaped, form.lines_start]
    marks += [form.enclosed, form.fields_end[:1], form.lines_end[:1]]
    texts = [*TEXTS, *(mark for mark in marks * 3 if mark)]
    return b"".join(source.choices(texts, k=source.randrange(30)))


def any_wanted(source: random.Random, form: FileFormat) -> list[Wanted]:
    count = source.randrange(min(3, form.width + 1))
    indexes = sorted(source.sample(range(form.width), count))
    return [Wanted(index, source.choice((0, 0, 3))) for index in indexes]


@pytest.mark.parametrize("form", FORMATS, ids=range(len(FORMATS)))
def test_any_bytes_are_cut_as_by_the_model(form: FileFormat) -> None:
    source = random.Random(f"{form}")
    for _ in range(500):
        form = replace(form, width=source.randrange(1, 5))
        content = any_content(source, form)
        wanted = any_wanted(source, form)
        size = source.choice((1, 3, 10, 1000))
        expected = rows_of(form, content)
        assert cut(form, pieces_of(content, size), wanted) == expected, (form, content, size)


@pytest.mark.parametrize("form", FORMATS, ids=range(len(FORMATS)))
def test_a_file_may_come_apart_at_each_byte(form: FileFormat) -> None:
    source = random.Random(f"at each byte of {form}")
    for _ in range(20):
        form = replace(form, width=source.randrange(1, 4))
        content = any_content(source, form)
        expected = rows_of(form, content)
        for at in range(1, len(content)):
            assert cut(form, [content[:at], content[at:]]) == expected, (form, content, at)


def divided(
    form: FileFormat, pieces: Sequence[bytes], wanted: Wanted, owners: Owners
) -> Iterator[tuple[bytes, bytes | None, bool]]:
    """Rows and their keys; whether the compiled part has divided them."""
    rows = FileRows(form, [wanted], owners)
    expected = iter(rows_of(form, b"".join(pieces)))
    for part in parts_of(rows, pieces):
        if isinstance(part, Batch):
            for row in part.rows:
                next(expected)
                row += part.glue
                yield row, rows.value_at(row, wanted.index), False
            continue
        at = [0] * owners.shards
        highest = 0
        for shard in part.owners:
            row = next(expected)
            key = row.values[wanted.index]
            assert key is not None and owners.by_slot[slot_of(key, len(owners.by_slot))] == shard
            assert part.parts[shard].startswith(row.text, at[shard])
            at[shard] += len(row.text)
            highest = max(highest, int(key) if wanted.digits else 0)
            assert not wanted.digits or owners.lowest <= int(key) < 10 ** (wanted.digits - 1)
            assert wanted.digits or 0 < len(key) <= (owners.longest or len(key))
            yield row.text, key, True
        assert at == [len(text) for text in part.parts] and part.highest == highest


@pytest.mark.parametrize("form", FORMATS, ids=range(len(FORMATS)))
def test_rows_are_divided_as_by_the_model(form: FileFormat) -> None:
    source = random.Random(f"divided {form}")
    plain = 0
    for _ in range(400):
        form = replace(form, width=source.randrange(1, 4))
        content = b""
        for _ in range(source.randrange(5)):
            number = b"%d" % source.choice((0, 7, source.randrange(1000)))
            quoted = form.enclosed + number + form.enclosed
            content += source.choice((number, quoted)) + source.choice(
                (form.lines_end, form.fields_end, any_content(source, form))
            )
        wanted = Wanted(source.randrange(form.width), source.choice((0, 3, 19)))
        owners = Owners([0, 1, 2, 1], 3, source.randrange(2), source.randrange(3))
        pieces = pieces_of(content, source.choice((1, 4, 10, 1000)))
        found = list(divided(form, pieces, wanted, owners))
        expected = rows_of(form, content)
        assert [row for row, _, _ in found] == [row.text for row in expected], (form, content)
        assert [key for _, key, _ in found] == [
            row.values[wanted.index] if len(row.values) > wanted.index else None for row in expected
        ]
        plain += sum(is_plain for _, _, is_plain in found)
    assert (plain > 0) == (replace(form, width=1) in COMMON)


def test_most_keys_are_told_at_once() -> None:
    content = b"".join(b'"%d",text %d,"a\n""b"""\n%d,"x",\n' % (n, n, n) for n in range(1, 200))
    rows = FileRows(CSV, [Wanted(0, 10), Wanted(1)])
    told = [fields for batch in batches(rows, pieces_of(content, 100)) for fields in [batch.fields]]
    assert [text for fields in told for text in fields[0]] == [
        b"%d" % n for n in range(1, 200) for _ in (0, 1)
    ]
    assert all(text for fields in told for text in fields[1])


def test_the_time_for_one_row_grows_with_its_length_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0

    class Counting(FileRows):
        def _cut(self, data: bytes, at: int) -> tuple[Batch, int]:
            nonlocal looked_at
            looked_at += len(data)
            return super()._cut(data, at)

    monkeypatch.setattr(file_rows, "AT_ONCE_BYTES", 100)
    content = b'1,"' + b"x" * 100_000 + b'"\n2,b\n'
    found = [row for b in batches(Counting(CSV), pieces_of(content, 10)) for row in b.rows]
    assert found == [content[:-4], b"2,b\n"]
    assert looked_at < 4 * len(content)


def test_a_row_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_rows, "MOST_ROW_BYTES", 1000)
    with pytest.raises(MysqlError, match="longer than 1000 bytes"):
        list(batches(FileRows(CSV), pieces_of(b'1,"' + b"x" * 5000, 100)))


@pytest.mark.parametrize(
    ("form", "content"),
    [
        (TABS, b"1\ta\n2\t\xc3\\\nb\n"),
        (TABS, b"1\ta\n2\ta\ta\ta\xe2\nb\n"),
        (FileFormat(skipped=1), b"\xe2\n1\n"),
    ],
)
def test_bytes_that_are_no_characters_are_refused_where_they_matter(
    form: FileFormat, content: bytes
) -> None:
    with pytest.raises(MysqlError, match="(row 2|line 1) of the file"):
        list(batches(FileRows(form), [content]))
    assert cut(replace(form, is_text=False), [content]) == rows_of(form, content)


def test_bytes_that_are_no_characters_are_rows_where_nothing_depends_on_it() -> None:
    content = b"1\t\xe2\n2\t\xff\xfe\n"
    assert cut(TABS, [content]) == rows_of(TABS, content)
