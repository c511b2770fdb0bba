"""LOAD DATA LOCAL INFILE: where the rows of a client's file go, and how they are found in it."""

from collections.abc import Sequence
from dataclasses import replace

from mitosis_gate.planner.changes import every_shard
from mitosis_gate.planner.effects import effects_of, refusal_for_many
from mitosis_gate.planner.keys import Halt
from mitosis_gate.planner.layout import Living, Place
from mitosis_gate.planner.lexer import BadSql, Kind, unquoted
from mitosis_gate.planner.plan import LIKE_UTF8, FileFormat, Flag, LoadData, Plan, Refuse
from mitosis_gate.planner.refusals import refuse
from mitosis_gate.planner.rows import missing_key, number_column, unnumbered
from mitosis_gate.planner.statement import Statement

_DIGITS = b"0123456789"


def load_plan(statement: Statement) -> Plan:
    if statement.word(1) != "DATA":
        return refuse("LOAD XML is not supported: use LOAD DATA LOCAL INFILE with a text file")
    reader = _Reader(statement)
    reader.read()
    if not reader.local:
        return refuse(
            "LOAD DATA INFILE reads a file on a server, which clients cannot reach: use LOAD DATA "
            "LOCAL INFILE"
        )
    layout = statement.layout
    effects = effects_of(statement.tokens)
    if effects.refusal is not None:
        return effects.refusal
    place = layout.place(reader.database, reader.table)
    if not isinstance(place, Place):
        raise Halt(place)
    if place.living is Living.SYSTEM:
        return refuse("MySQL's own tables are not written through the gate")
    flags = effects.flags | Flag.WRITE
    whole = statement.text(0, len(statement.tokens))
    if layout.single or place.living is Living.UNSHARDED:
        return LoadData(
            reader.file, whole, (layout.first,), variables=reader.variables, flags=flags
        )
    if place.living is Living.REFERENCE:
        alike = every_shard(place.table.name, effects, layout, flags)
        if isinstance(alike, Refuse):
            return alike
        if not any(column.auto_increment for column in place.table.columns):
            return LoadData(
                reader.file,
                whole,
                layout.everywhere,
                variables=reader.variables,
                flags=alike.flags,
            )
    refusal = refusal_for_many(effects) or _refused_format(reader)
    return refusal or _divided(reader, place, flags)


def _refused_format(reader: "_Reader") -> Refuse | None:
    form = reader.format
    if not form.lines_end or not form.fields_end:
        return refuse(
            "LOAD DATA without terminators (rows of fixed size) is not supported for tables on "
            "several shards: name them in FIELDS TERMINATED BY and LINES TERMINATED BY"
        )
    if form.lines_end == form.fields_end:
        return refuse(
            "LOAD DATA with the same terminator for fields and lines is not supported for tables "
            "on several shards: rows then end where the columns do; end lines with another one"
        )
    if len(form.enclosed) > 1 or len(form.escaped) > 1:
        return refuse("ENCLOSED BY and ESCAPED BY want one character", 1083)
    return None


def _divided(reader: "_Reader", place: Place, flags: Flag) -> LoadData | Refuse:
    statement = reader.statement
    columns = reader.columns or [c.name for c in place.table.columns]
    names = [name.lower() for name in columns]
    auto = next((c for c in place.table.columns if c.auto_increment), None)
    assigned = {name.lower() for name in reader.assigned}
    if auto is not None and auto.name.lower() in assigned:
        return refuse(
            f"SET of the AUTO_INCREMENT column {auto.name} is not supported in LOAD DATA of a "
            "table on several shards: put the numbers into the file, or leave the column out"
        )
    key = place.key_name.lower() if place.living is Living.SHARDED else ""
    key_is_number = auto is not None and auto.name.lower() == key
    if key and (key in assigned or (key not in names and not key_is_number)):
        if key in assigned:
            return refuse(
                f"SET of the sharding key {place.key_name} is not supported in LOAD DATA: its "
                "value must stand in the file"
            )
        return missing_key(place)
    if reader.character_set and reader.character_set not in LIKE_UTF8 and key:
        return refuse(
            f"CHARACTER SET {reader.character_set} is not supported in LOAD DATA of a sharded "
            "table: send the file in utf8mb4"
        )
    numbers = number_column(auto) if auto is not None else None
    if auto is not None and numbers is None:
        return unnumbered(place, auto)
    adds = auto is not None and auto.name.lower() not in names
    form = reader.format
    if auto is not None and any(mark in _DIGITS for mark in form.marks):
        return refuse(
            "LOAD DATA with digits in its terminators, quotes or escapes is not supported for a "
            f"table with an AUTO_INCREMENT column ({auto.name}), as the gate gives the numbers"
        )
    is_text = reader.character_set not in ("binary", "ascii")
    return LoadData(
        reader.file,
        reader.text(columns, auto.name if auto is not None and adds else ""),
        statement.layout.everywhere,
        replace(form, width=len(columns), is_text=is_text),
        place.table.name,
        place.key,
        place.key_name,
        names.index(key) if key in names else -1,
        numbers,
        -1 if auto is None or adds else names.index(auto.name.lower()),
        reader.variables,
        () if reader.columns else tuple(columns),
        bool(reader.character_set),
        flags,
    )


class _Reader:
    """Walks over the tokens of one LOAD DATA."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self.local = False
        self.file = b""
        self.database = statement.database
        self.table = ""
        self.character_set = ""
        self.columns: list[str] = []
        """Columns and variables (with `@`) that the fields go to; empty: not said."""
        self.assigned: list[str] = []
        """Columns of SET."""
        self.format = FileFormat()
        self._at = 2
        self._skip: tuple[int, int] | None = None
        self._list: tuple[int, int] | None = None
        self._after_lines = 0

    def read(self) -> None:
        if self._word() in ("LOW_PRIORITY", "CONCURRENT"):
            self._at += 1
        self.local = self._take("LOCAL")
        if not self._take("INFILE"):
            raise BadSql("INFILE is missing")
        self.file = self._value()
        if self._word() in ("REPLACE", "IGNORE"):
            self._at += 1
        if not (self._take("INTO") and self._take("TABLE")):
            raise BadSql("INTO TABLE is missing")
        self._table()
        if self._take("PARTITION"):
            self._at = self.statement.closing(self._at)
        if self._word() == "CHARACTER" or self._word() == "CHARSET":
            self._at += 2 if self._word() == "CHARACTER" else 1
            self.character_set = self._name_or_text().lower()
        self._options()
        self._after_lines = self._at
        self._ignore()
        if self.statement.is_mark(self._at, "("):
            self._columns()
        if self._take("SET"):
            self._assignments()
        if self._at != len(self.statement.tokens):
            raise BadSql("something follows that is not understood")

    def _table(self) -> None:
        name = self._name()
        if self.statement.is_mark(self._at, "."):
            self._at += 1
            self.database, name = name, self._name()
        self.table = name

    def _options(self) -> None:
        form = FileFormat()
        if self._word() in ("FIELDS", "COLUMNS"):
            self._at += 1
            while True:
                self._take("OPTIONALLY")
                word = self._word()
                if word == "TERMINATED":
                    form = replace(form, fields_end=self._by())
                elif word == "ENCLOSED":
                    form = replace(form, enclosed=self._by())
                elif word == "ESCAPED":
                    form = replace(form, escaped=self._by())
                else:
                    break
        if self._take("LINES"):
            while self._word() in ("STARTING", "TERMINATED"):
                if self._word() == "STARTING":
                    form = replace(form, lines_start=self._by())
                else:
                    form = replace(form, lines_end=self._by())
        self.format = form

    def _by(self) -> bytes:
        self._at += 1
        if not self._take("BY"):
            raise BadSql("BY is missing")
        return self._value()

    def _ignore(self) -> None:
        """IGNORE n LINES: the gate leaves them out, so that no shard must."""
        if self._word() != "IGNORE":
            return
        start = self._at
        self._at += 1
        number = self._value(quoted=False)
        if not number.isdigit() or self._word() not in ("LINES", "ROWS"):
            raise BadSql("IGNORE wants a number of LINES")
        self._at += 1
        self._skip = (start, self._at)
        self.format = replace(self.format, skipped=int(number))

    def _columns(self) -> None:
        start = self._at
        end = self.statement.closing(start)
        for first, last in self.statement.parts(start + 1, end - 1):
            token = self.statement.tokens[last - 1]
            if token.kind is Kind.VARIABLE and last - first == 1:
                self.columns.append(token.text)
            elif token.is_name:
                self.columns.append(token.text)
            else:
                raise BadSql("the list of columns is not understood")
        self._list = (start, end)
        self._at = end

    def _assignments(self) -> None:
        for first, last in self.statement.parts(self._at, len(self.statement.tokens)):
            place = first
            while self.statement.is_mark(place + 1, "."):
                place += 2
            if place + 1 >= last or not self.statement.is_mark(place + 1, "="):
                raise BadSql("`=` is missing")
            self.assigned.append(self.statement.tokens[place].text)
        self._at = len(self.statement.tokens)

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(name[1:].lower() for name in self.columns if name.startswith("@"))

    def text(self, columns: Sequence[str], first: str) -> bytes:
        """The statement for a shard: without IGNORE n LINES, and with the column `first` before all
        others when there is one."""
        statement = self.statement
        head = statement.text(0, self._after_lines)
        behind = self._list[1] if self._list else self._skip[1] if self._skip else self._after_lines
        tail = statement.text(behind, len(statement.tokens))
        inner = statement.text(self._list[0] + 1, self._list[1] - 1) if self._list else b""
        if first:
            inner = inner or b", ".join(_quoted(name) for name in columns)
            inner = _quoted(first) + (b", " + inner if inner else b"")
        listed = b" (" + inner + b")" if inner else b""
        return head + listed + (b" " + tail if tail else b"")

    def _value(self, quoted: bool = True) -> bytes:
        tokens = self.statement.tokens
        if self._at >= len(tokens) or tokens[self._at].kind is not Kind.LITERAL:
            raise BadSql("a literal is missing")
        literal = self.statement.literals[tokens[self._at].slot]
        self._at += 1
        if not quoted:
            return literal
        if literal[:1] in (b"'", b'"'):
            return unquoted(literal)
        digits = literal[2:] if literal[:2] in (b"0x", b"0X") else literal[2:-1]
        if literal[:1] in (b"0", b"x", b"X"):
            try:
                return bytes.fromhex(digits.decode())
            except ValueError as exc:
                raise BadSql("a text is missing") from exc
        raise BadSql("a text is missing")

    def _name_or_text(self) -> str:
        token = self.statement.tokens[self._at]
        if token.kind is Kind.LITERAL:
            return self._value().decode("utf-8", "replace")
        return self._name()

    def _name(self) -> str:
        tokens = self.statement.tokens
        if self._at >= len(tokens) or not tokens[self._at].is_name:
            raise BadSql("a name is missing")
        self._at += 1
        return tokens[self._at - 1].text

    def _word(self) -> str:
        return self.statement.word(self._at)

    def _take(self, word: str) -> bool:
        if self._word() == word:
            self._at += 1
            return True
        return False


def _quoted(name: str) -> bytes:
    if name.startswith("@"):
        return name.encode()
    return b"`" + name.encode().replace(b"`", b"``") + b"`"
