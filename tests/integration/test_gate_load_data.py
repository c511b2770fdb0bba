"""LOAD DATA LOCAL through the gate against the same file on one MySQL."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest
from gates import GateProcess, Shards

from mitosis_routing.hashing import slot_of
from mitosis_routing.table import OtherTables, TableRule
from mysqld import Mysqld

pytestmark = pytest.mark.mysql

RULES = (
    TableRule("users", "user_id"),
    TableRule("words", "word"),
    TableRule("events", "id"),
    TableRule("orders", "user_id"),
    TableRule("countries", reference=True),
    TableRule("rates", reference=True),
    TableRule("raw", "k"),
    TableRule("counted", "id"),
)
SCHEMA = (
    "CREATE TABLE users (user_id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(20), age INT, "
    "at TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6))",
    "CREATE TABLE words (word VARCHAR(20) COLLATE utf8mb4_0900_bin NOT NULL PRIMARY KEY, n INT)",
    "CREATE TABLE events (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, what VARCHAR(20))",
    "CREATE TABLE orders (id BIGINT NOT NULL AUTO_INCREMENT, user_id BIGINT NOT NULL, n INT, "
    "PRIMARY KEY (user_id, id), KEY (id))",
    "CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(50), "
    "seen TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6))",
    "CREATE TABLE rates (id INT AUTO_INCREMENT PRIMARY KEY, rate INT)",
    "CREATE TABLE raw (k VARBINARY(100) NOT NULL PRIMARY KEY, a BLOB, b BLOB)",
    "CREATE TABLE counted (hidden INT INVISIBLE, id INT PRIMARY KEY, n INT)",
)
TABLES = ("users", "words", "events", "orders", "countries", "rates", "counted")
OPTIONS = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", "--local-infile=ON")
Said = tuple[int, str, int]


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    with Shards(2, RULES, options=OPTIONS) as shards:
        yield shards


@pytest.fixture(scope="module")
def gate(shards: Shards) -> Iterator[GateProcess]:
    with GateProcess(shards.table(), shards.users()) as gate:
        with gate.connect() as connection:
            for statement in SCHEMA:
                ask(connection, statement)
        yield gate


@pytest.fixture(scope="module")
def plain() -> Iterator[Mysqld]:
    with Mysqld(options=OPTIONS) as plain:
        plain.query("CREATE DATABASE shop")
        with plain.connect(database="shop", autocommit=True) as connection:
            for statement in SCHEMA:
                ask(connection, statement)
        yield plain


@pytest.fixture
def connections(plain: Mysqld, gate: GateProcess) -> Iterator[tuple[Any, Any]]:
    """One to the plain server, one to the gate; all tables are empty."""
    with (
        plain.connect(database="shop", autocommit=True, local_infile=True) as direct,
        gate.connect(local_infile=True) as through,
    ):
        for table in TABLES:
            ask(direct, f"TRUNCATE TABLE {table}")
            ask(through, f"TRUNCATE TABLE {table}")
        yield direct, through


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], str]:
    def write(content: bytes) -> str:
        path = tmp_path / "rows.txt"
        path.write_bytes(content)
        return str(path)

    return write


def ask(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def load(connection: Any, statement: str) -> Said:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        result = connection._result
        return cursor.rowcount, (result.message or b"")[1:].decode(), result.warning_count


CASES = {
    "tabs": (b"1\tAnna\t3\n2\tBert\t\\N\n300\tC\t7\n4\tD\t8\n", "(user_id, name, age)"),
    "no last terminator": (b"1\tAnna\t3\n2\tBert\t4", "(user_id, name, age)"),
    "the key is not first": (b"Anna\t1\t3\nBert\t2\t4\nC\t3\t1\n", "(name, user_id, age)"),
    "escapes": (b"1\tA\\\nB\t3\n2\tB\\\tC\t4\n3\tD\\\\\t5\n4\t\\N\t6\n5\tx\\Zy\t1\n", ""),
    "quotes": (
        b'1,"Anna, the first",3\n2,"says ""hi""\nand goes",4\n3,plain,5\n4,"a\\"b",6\n"5","x",7\n',
        "FIELDS TERMINATED BY ',' ENCLOSED BY '\"' (user_id, name, age)",
    ),
    "a quote inside": (
        b'1,5" disk,3\n2,b"c"d,4\n3,"e" f",5\n4,g,6\n',
        "FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' (user_id, name, age)",
    ),
    "windows": (
        b"user_id;name;age\r\n1;A;3\r\n2;B;4\r\n3;C;5\r\n",
        "FIELDS TERMINATED BY ';' LINES TERMINATED BY '\\r\\n' IGNORE 1 LINES (user_id, name, age)",
    ),
    "long terminators": (
        b"1<|>A<|>3<end>\n2<|>B<|>4<end>\n3<|>C<|>5<end>\n",
        "FIELDS TERMINATED BY '<|>' LINES TERMINATED BY '<end>\\n' (user_id, name, age)",
    ),
    "lines with a start": (
        b"row:1,A,3\nno row\nnoise row:2,B,4\nrow:3,C,5\n",
        "FIELDS TERMINATED BY ',' LINES STARTING BY 'row:' (user_id, name, age)",
    ),
    "variables and SET": (
        b"1\tAnna\t3\n2\tBert\t4\n7\tC\t9\n",
        "(user_id, @name, @age) SET name = UPPER(@name), age = @age * 10",
    ),
    "ignored lines": (b"#\\\n#\n#\n1\tA\t3\n2\tB\t4\n", "IGNORE 2 LINES (user_id, name, age)"),
    "too few and too many fields": (b"1\tA\n2\tB\t4\t5\n3\tC\t5\n", "(user_id, name, age)"),
    "bad values": (b"1\tA\tmany\n2\tB\t99999999999\n3\tmuch too long for a name\t5\n", ""),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_stored_as_by_one_server(
    connections: tuple[Any, Any], file: Callable[[bytes], str], shards: Shards, name: str
) -> None:
    content, options = CASES[name]
    path = file(content)
    options = options or "(user_id, name, age)"
    said = [
        load(c, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE users {options}") for c in connections
    ]
    assert said[1] == said[0]
    warnings = [sorted(ask(c, "SHOW WARNINGS")) for c in connections]
    assert warnings[1] == warnings[0]
    rows = [ask(c, "SELECT user_id, name, age FROM users ORDER BY user_id") for c in connections]
    assert rows[1] == rows[0] and rows[0]
    for shard, found in enumerate(shards.rows("SELECT user_id FROM users")):
        assert all(slot_of(str(key).encode(), 64) // 32 == shard for (key,) in found)


@pytest.mark.parametrize("how", ["", "IGNORE", "REPLACE"])
def test_rows_that_exist_are_treated_as_by_one_server(
    connections: tuple[Any, Any], file: Callable[[bytes], str], how: str
) -> None:
    path = file(b"".join(b"%d\tnew %d\t1\n" % (n, n) for n in range(1, 21)))
    said = []
    for connection in connections:
        ask(connection, "INSERT INTO users (user_id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        statement = f"LOAD DATA LOCAL INFILE '{path}' {how} INTO TABLE users (user_id, name, age)"
        said.append(
            (
                *load(connection, statement),
                ask(connection, "SELECT user_id, name FROM users ORDER BY 1"),
            )
        )
    assert said[1][:3] == said[0][:3]
    assert sorted(said[1][3]) == sorted(said[0][3])


def test_a_big_file_comes_whole_to_its_shards(
    connections: tuple[Any, Any], file: Callable[[bytes], str]
) -> None:
    path = file(b"".join(b"%d\tuser %d\t%d\n" % (n, n, n % 90) for n in range(1, 60_001)))
    statement = f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE users (user_id, name, age)"
    said = [load(c, statement) for c in connections]
    assert said[0] == said[1] == (60_000, said[0][1], 0)
    query = "SELECT COUNT(*), SUM(CRC32(CONCAT_WS('/', user_id, name, age))) FROM users"
    assert ask(connections[1], query) == ask(connections[0], query)
    assert ask(connections[1], "SELECT COUNT(DISTINCT at) FROM users") == [(1,)]


FORMATS = (
    (b",", b'"', b"\\", b"", b"\n"),
    (b",", b'"', b'"', b"", b"\r\n"),
    (b"\t", b"", b"\\", b"", b"\n"),
    (b",", b'"', b"", b"", b"\n"),
    (b"<>", b"'", b"\\", b"", b"|\n"),
    (b",,", b'"', b"\\", b"", b",\n"),
    (b'","', b"", b"\\", b'"', b'"\n'),
    (b",", b'"', b"\\", b">", b"\n"),
)


def rows_of_any_kind(source: random.Random, form: tuple[bytes, ...], keys: range) -> bytes:
    """Fields with everything that has a meaning in any place, mostly of rows with three of them."""
    term, quote, escape, start, end = form
    odd = [term, end, quote * 2, escape * 2, escape + end, escape + b"N", term[:1], end[-1:], start]
    odd += [quote + term, quote, escape + quote, b"NULL", "é€".encode(), b" ", b"x", b"y"]
    content = b""
    for key in keys:
        fields = [b"%d" % key]
        while len(fields) < source.choice((2, 3, 3, 3, 3, 5)):
            text = b"".join(source.choices(odd, k=source.randrange(4)))
            fields.append(quote + text + quote if source.random() < 0.5 else text)
        if source.random() < 0.5:
            fields[0] = quote + fields[0] + quote
        content += start + term.join(fields) + (end if source.random() < 0.95 else b"")
    return content


@pytest.mark.parametrize("form", FORMATS)
def test_any_file_is_read_as_by_one_server(
    connections: tuple[Any, Any], file: Callable[[bytes], str], form: tuple[bytes, ...]
) -> None:
    source = random.Random(repr(form))
    term, quote, escape, start, end = (f"x'{text.hex()}'" if text else "''" for text in form)
    compared = 0
    for number in range(25):
        content = rows_of_any_kind(source, form, range(1, source.randrange(2, 12)))
        path = file(content[: -len(form[-1])] if number % 3 == 0 else content)
        statement = (
            f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE raw CHARACTER SET utf8mb4 FIELDS "
            f"TERMINATED BY {term} ENCLOSED BY {quote} ESCAPED BY {escape} LINES STARTING BY "
            f"{start} TERMINATED BY {end} IGNORE {source.choice((0, 0, 0, 1))} LINES"
        )
        found = []
        for connection in connections:
            ask(connection, "DELETE FROM raw")
            try:
                said = load(connection, statement)
            except pymysql.MySQLError as exc:
                assert connection is connections[1] and "has no sharding key" in str(exc), content
                break
            told = sorted(ask(connection, "SHOW WARNINGS"))
            found.append((said, told, ask(connection, "SELECT k, a, b FROM raw ORDER BY k")))
        if len(found) == 2:
            assert found[1] == found[0], content
            compared += 1
    assert compared > 15


def test_errors_name_the_row_of_the_file(
    connections: tuple[Any, Any], file: Callable[[bytes], str]
) -> None:
    path = file(
        b"".join(b"%d\tA\t%s\n" % (n, b"old" if n in (31, 32) else b"1") for n in range(60))
    )
    said = []
    for connection in connections:
        with pytest.raises(pymysql.MySQLError) as error:
            load(
                connection,
                f"LOAD DATA LOCAL INFILE '{path}' REPLACE INTO TABLE users (user_id, name, age)",
            )
        said.append(error.value.args)
        assert ask(connection, "SELECT COUNT(*) FROM users") == [(0,)]
    assert said[1] == said[0] and "at row 32" in said[0][1]


def test_invisible_columns_are_not_counted_as_fields(
    connections: tuple[Any, Any], file: Callable[[bytes], str]
) -> None:
    path = file(b"1\t10\n2\t20\n3\t30\n")
    with pytest.raises(pymysql.MySQLError, match="name the columns"):
        load(connections[1], f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE counted")
    load(connections[1], f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE counted (id, n)")
    load(connections[0], f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE counted")
    query = "SELECT id, n FROM counted ORDER BY id"
    assert ask(connections[1], query) == ask(connections[0], query) == [(1, 10), (2, 20), (3, 30)]


def test_a_file_is_in_the_character_set_of_the_database(
    connections: tuple[Any, Any], file: Callable[[bytes], str], shards: Shards
) -> None:
    path = file("1\té\n2\tü\n".encode())
    statement = f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE words {{}} (n, word)"
    shards.run("ALTER DATABASE shop CHARACTER SET latin1")
    try:
        with (
            GateProcess(shards.table(), shards.users()) as gate,
            gate.connect(local_infile=True) as connection,
        ):
            with pytest.raises(pymysql.MySQLError, match="in latin1.*say CHARACTER SET utf8mb4"):
                load(connection, statement.format(""))
            load(connection, statement.format("CHARACTER SET utf8mb4"))
    finally:
        shards.run("ALTER DATABASE shop CHARACTER SET utf8mb4")
    assert ask(connections[1], "SELECT n, word FROM words ORDER BY n") == [(1, "é"), (2, "ü")]


@pytest.mark.parametrize(
    ("table", "options", "content", "says"),
    [
        ("words", "(n, word)", b"1\t\xe2\\\n\n", "row 1 of the file"),
        ("raw", "(k)", b"a\xf0\nb\n", "ends inside a character"),
        ("orders", "(user_id, n, id)", b"1\t1\t7\n2\t2\n", "row 2 of the file"),
        ("orders", "(user_id, n, id)", b"1\t1\t7x\n", "row 1 of the file"),
    ],
)
def test_what_is_not_certain_is_refused(
    connections: tuple[Any, Any],
    file: Callable[[bytes], str],
    table: str,
    options: str,
    content: bytes,
    says: str,
) -> None:
    statement = f"LOAD DATA LOCAL INFILE '{file(content)}' INTO TABLE {table} {options}"
    ask(connections[1], f"DELETE FROM {table}")
    with pytest.raises(pymysql.MySQLError, match=says):
        load(connections[1], statement)
    assert ask(connections[1], f"SELECT COUNT(*) FROM {table}") == [(0,)]


def test_keys_of_text_are_found(
    connections: tuple[Any, Any], file: Callable[[bytes], str], shards: Shards
) -> None:
    words = ["a", "ü€", "with space", "tab\\\tinside", "12", "NULL"]
    path = file("".join(f"{n}\t{word}\n" for n, word in enumerate(words)).encode())
    statement = f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE words CHARACTER SET utf8mb4 (n, word)"
    said = [load(c, statement) for c in connections]
    assert said[1] == said[0]
    query = "SELECT word, n FROM words ORDER BY n"
    assert ask(connections[1], query) == ask(connections[0], query)
    for shard, found in enumerate(shards.rows("SELECT CRC32(word) MOD 64 FROM words")):
        assert all(slot // 32 == shard for (slot,) in found)


@pytest.mark.parametrize(
    ("table", "options", "content"),
    [
        ("events", "(what)", b"a\nb\nc\nd\n"),
        ("events", "(what, id)", b"a\t\\N\nb\t0\nc\t50\nd\t\\N\n"),
        ("orders", "(user_id, n)", b"1\t1\n2\t2\n3\t3\n4\t4\n"),
        ("orders", "(user_id, n, id)", b"1\t1\t\\N\n2\t2\t0\n3\t3\t9\n4\t4\t\\N\n"),
        ("rates", "(rate)", b"10\n20\n30\n"),
    ],
)
def test_rows_get_numbers(
    connections: tuple[Any, Any],
    file: Callable[[bytes], str],
    shards: Shards,
    table: str,
    options: str,
    content: bytes,
) -> None:
    path = file(content)
    direct, through = connections
    said = [
        load(c, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} {options}")
        for c in connections
    ]
    assert said[1] == said[0]
    column = {"events": "what", "orders": "n", "rates": "rate"}[table]
    values = f"SELECT {column} FROM {table} ORDER BY {column}"
    assert ask(through, values) == ask(direct, values)
    ((rows, numbers),) = ask(through, f"SELECT COUNT(*), COUNT(DISTINCT id) FROM {table}")
    assert rows == numbers == len(content.splitlines())
    if table == "rates":
        one, other = shards.rows("SELECT * FROM rates")
        assert one == other
    ask(
        through,
        f"INSERT INTO {table} ({options.strip('()').split(', id')[0]}) VALUES "
        f"({'77' if table != 'orders' else '7, 77'})",
    )
    ((rows, numbers),) = ask(through, f"SELECT COUNT(*), COUNT(DISTINCT id) FROM {table}")
    assert rows == numbers


def test_reference_tables_are_loaded_on_all_shards(
    connections: tuple[Any, Any], file: Callable[[bytes], str], shards: Shards
) -> None:
    path = file(b"# head\nde\tGermany\nfr\tFrance\nit\tItaly\n")
    statement = f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE countries IGNORE 1 LINES (code, name)"
    assert load(connections[1], statement) == load(connections[0], statement)
    one, other = shards.rows("SELECT * FROM countries")
    assert one == other and len(one) == 3


def test_a_file_is_part_of_the_transaction(
    connections: tuple[Any, Any], file: Callable[[bytes], str]
) -> None:
    through = connections[1]
    path = file(b"1\tA\t1\n2\tB\t2\n3\tC\t3\n4\tD\t4\n")
    statement = f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE users (user_id, name, age)"
    ask(through, "BEGIN")
    load(through, statement)
    ask(through, "ROLLBACK")
    assert ask(through, "SELECT COUNT(*) FROM users") == [(0,)]


@pytest.mark.parametrize("inside", [True, False])
def test_a_row_without_a_certain_shard_leaves_nothing(
    connections: tuple[Any, Any], file: Callable[[bytes], str], inside: bool
) -> None:
    through = connections[1]
    rows = [b"%d\tA\t1\n" % n for n in range(1, 20_000)]
    path = file(b"".join((*rows, b"x7\tB\t2\n", *rows)))
    if inside:
        ask(through, "BEGIN")
        ask(through, "INSERT INTO users (user_id) VALUES (900001), (900002), (900003)")
    statement = f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE users (user_id, name, age)"
    with pytest.raises(pymysql.MySQLError, match="row 20000 of the file"):
        load(through, statement)
    if inside:
        ask(through, "COMMIT")
    assert ask(through, "SELECT COUNT(*) FROM users") == [(3 if inside else 0,)]


def test_refusals_say_what_to_do(
    connections: tuple[Any, Any], file: Callable[[bytes], str], gate: GateProcess
) -> None:
    path = file(b"1\tA\n")
    through = connections[1]
    for statement, says in (
        ("LOAD DATA INFILE '/etc/passwd' INTO TABLE users", "LOAD DATA LOCAL INFILE"),
        (f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE users (name)", "sharding key"),
        (f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE users (@k) SET user_id = @k", "in the file"),
        (f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE users FIELDS TERMINATED BY ''", "TERMINATED"),
        (f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE words CHARACTER SET latin1", "utf8mb4"),
        (f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE countries SET name = UUID()", "literal"),
    ):
        with pytest.raises(pymysql.MySQLError, match=says):
            load(through, statement)
    with gate.connect() as other, pytest.raises(pymysql.MySQLError) as error:
        load(other, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE users (user_id, name)")
    assert error.value.args[0] == 3948


def test_unsharded_tables_are_loaded_too(shards: Shards, file: Callable[[bytes], str]) -> None:
    table = replace(shards.table(), tables=(), other_tables=OtherTables.UNSHARDED)
    shards.run("CREATE TABLE IF NOT EXISTS notes (id INT AUTO_INCREMENT PRIMARY KEY, t TEXT)")
    path = file(b"t\na\nb\n")
    with (
        GateProcess(table, shards.users()) as gate,
        gate.connect(local_infile=True) as connection,
    ):
        said = load(
            connection, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE notes IGNORE 1 LINES (t)"
        )
        assert said[:2] == (2, "Records: 2  Deleted: 0  Skipped: 0  Warnings: 0")
        assert ask(connection, "SELECT * FROM notes") == [(1, "a"), (2, "b")]
    with GateProcess(table, shards.users(), "--local-infile=off") as gate:
        with gate.connect(local_infile=True) as connection:
            with pytest.raises(pymysql.MySQLError) as error:
                load(connection, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE notes (t)")
            assert error.value.args[0] == 3948
