"""What can be done with a statement: the plans that session and executor carry out.

A plan for one shard never holds the statement: the client's bytes are sent on unchanged. Plans of
the common statements are made once for each shard and shared, so that the way from a cached
statement to its shard allocates nothing. Plans for several shards hold the text for the shards.
Shards are named by their index in `RoutingTable.shards`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import Protocol

from mitosis_gate.planner.schema import Table
from mitosis_routing.hashing import KeyColumn


class Flag(IntFlag):
    """What a statement does to the connection or the transaction it runs in."""

    NONE = 0
    WRITE = 1
    """Changes rows: only a primary takes it, and a transaction that is open takes part."""
    LOCKS = 2
    """Reads with locks (`FOR UPDATE`, `FOR SHARE`): only a primary, inside the transaction."""
    COMMITS = 4
    """Ends an open transaction, as MySQL does before and after DDL."""
    LAST = 8
    """Asks about the statement before (`LAST_INSERT_ID()`, `ROW_COUNT()`, `FOUND_ROWS()`, `SHOW
    WARNINGS`): right only on the connection that ran that statement."""
    PINS = 16
    """Leaves something on the connection (user variable, named lock, temporary table): from here on
    the session needs this very connection, until COM_RESET_CONNECTION or its end."""
    VARIABLES = 32
    """Reads user variables: those of the session must have been set on the connection before."""
    CLOCK = 64
    """A write to several copies that must agree: set the same `timestamp` on all connections."""
    OUTSIDE = 128
    """Metadata: its answer is the same outside the transaction, which it needs not join."""


@dataclass(frozen=True, slots=True)
class OneShard:
    """Send the statement to one shard and its answer back, both untouched."""

    shard: int
    flags: Flag = Flag.NONE


@dataclass(frozen=True, slots=True)
class OneShardAs(OneShard):
    """As OneShard, with this text in place of the client's.

    An INSERT without a list of columns gets the one by which its key was found: were the columns
    changed meanwhile, its row could not land on a shard that is not its own.
    """

    text: bytes = b""


@dataclass(frozen=True, slots=True)
class AnyShard:
    """Each of `shards` gives the whole answer: statements without a table, reference tables, SHOW.

    Prefer the shard of the open transaction, then the one of the statement before, then the first.
    With Flag.LAST only the shard of the statement before is right.
    """

    shards: tuple[int, ...]
    flags: Flag = Flag.NONE


@dataclass(frozen=True, slots=True)
class Scatter:
    """Send a read to all of `shards` and give back the rows of one after the other."""

    shards: tuple[int, ...]
    flags: Flag = Flag.NONE


@dataclass(frozen=True, slots=True)
class EveryShard:
    """A write to a table that each shard holds whole: run it on all of `shards`, in this order.

    The copies stay equal only if all shards take it or none does; the answer (affected rows) is
    that of the first shard.
    """

    shards: tuple[int, ...]
    flags: Flag = Flag.WRITE


class Compare(StrEnum):
    """How two values of a sort key are compared; NULL comes before all others."""

    NUMBER = "number"
    """Whole numbers, DECIMAL or DOUBLE, as the column's definition says."""
    BYTES = "bytes"
    """As bytes: binary strings and what WEIGHT_STRING() gives for text."""


@dataclass(frozen=True, slots=True)
class SortKey:
    column: int
    """Which column of a shard's row, counted from 0, hidden ones included."""
    compare: Compare
    descending: bool = False
    """Then NULL comes last."""


class Fold(StrEnum):
    """How the values of the rows of one group become one value; NULLs count for nothing."""

    FIRST = "first"
    """That of the first row: the same in all rows, or MySQL says nothing about which."""
    COUNT = "count"
    """The sum of counts: 0 for no rows."""
    SUM = "sum"
    AVG = "avg"
    """The sum of column `inputs[0]` through the sum of column `inputs[1]`."""
    MIN = "min"
    MAX = "max"
    """The value of the row whose column `inputs[0]` is the least or greatest by `compare`."""
    BIT_AND = "bit_and"
    BIT_OR = "bit_or"
    BIT_XOR = "bit_xor"
    COUNT_DISTINCT = "count_distinct"
    """How many distinct values there are; `inputs` are the columns none of which may be NULL."""
    SUM_DISTINCT = "sum_distinct"
    """The sum of column `inputs[0]`, each distinct value once."""


@dataclass(frozen=True, slots=True)
class Out:
    """A column of the answer: its definition is that of `column` in the shards' rows."""

    column: int
    fold: Fold = Fold.FIRST
    inputs: tuple[int, ...] = ()
    compare: Compare = Compare.NUMBER


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the rows of several shards become the rows of the answer."""

    hidden: int = 0
    """So many leading columns of the shards' rows are not the client's."""
    order: tuple[SortKey, ...] = ()
    """The order in which each shard sends its rows, and the answer has them."""
    groups: int | None = None
    """None: each row is a row of the answer. Else rows that are equal in the first `groups` keys of
    `order` become one by `columns`; with 0 those are all rows, and there is one row also when no
    shard has any."""
    values: int = 0
    """So many keys of `order`, behind those of the group, are the value that the DISTINCT
    aggregates of `columns` are about."""
    columns: tuple[Out, ...] = ()
    """With `groups`: the columns of the answer, in their order."""
    resort: tuple[SortKey, ...] = ()
    """The order of the folded rows when it is another than `order`. A column that is folded has its
    folded value here."""
    limit: int | None = None
    """Rows of the answer after `offset`."""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Merge:
    """Send `text` to all of `shards` and bring the rows together by `recipe`."""

    shards: tuple[int, ...]
    text: bytes
    recipe: Recipe
    flags: Flag = Flag.NONE


@dataclass(frozen=True, slots=True)
class Lookup:
    """Of a pull only the rows matter whose `column` equals `other` of some row of pull `pull`."""

    pull: int
    """Index in `Finish.pulls`, smaller than that of the pull which has this."""
    other: str
    column: str


@dataclass(frozen=True, slots=True)
class Pull:
    """The rows of one table that a statement needs, brought into one table of a scratch server."""

    name: str
    """The table to make there: `g0`, `g1` ..., as `Finish.text` calls it."""
    table: Table
    columns: tuple[int, ...]
    """Indexes in `table.columns`, in the order of the select list of `text`."""
    shards: tuple[int, ...]
    """Empty: no row matters."""
    text: bytes
    """A SELECT without ORDER BY; ends in its WHERE clause or in `tail`."""
    where: bool = False
    """Whether it has a WHERE clause, its conditions in parentheses."""
    tail: bytes = b""
    """`FOR UPDATE` or `FOR SHARE`, behind WHERE."""
    lookups: tuple[Lookup, ...] = ()
    """Each may narrow the pull, none must."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Pull the rows of each table to a scratch server and run the statement there."""

    pulls: tuple[Pull, ...]
    text: tuple[bytes | int, ...]
    """The statement; a number stands for the value of that expression of `values`."""
    values: tuple[bytes, ...] = ()
    """Expressions about the session, such as `CURRENT_USER()`: only a shard knows their values."""
    flags: Flag = Flag.NONE


@dataclass(frozen=True, slots=True)
class Hinted:
    """Carry out `inner` as a comment of the statement wishes."""

    inner: "Plan"
    read: str = ""
    """`primary` or `replica`; empty: not said."""
    scatter: bool | None = None
    """True: several shards are welcome whatever the session's gate_scatter is."""
    timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Together:
    """Each of `shards` tells of its part of the same tables: one answer, with figures added up."""

    shards: tuple[int, ...]
    keys: frozenset[str]
    """Names of columns, in lower case, that say what a row is about."""
    sums: frozenset[str]
    """Names of columns, in lower case, that are added up for the tables in `divided`."""
    divided: frozenset[str]
    flags: Flag = Flag.OUTSIDE


@dataclass(frozen=True, slots=True)
class ExplainOne:
    """EXPLAIN of a statement that several shards answer: run it on one, with a warning."""

    shard: int
    note: str


@dataclass(frozen=True, slots=True)
class GateExplain:
    """Show the plan `inner` of `statement` as a table; with `analyze` carry it out and measure."""

    inner: "Plan"
    statement: bytes
    analyze: bool = False


class Wrote(StrEnum):
    """Which statement it is whose answers of several shards become one."""

    INSERT = "insert"
    REPLACE = "replace"
    UPSERT = "upsert"
    """INSERT ... ON DUPLICATE KEY UPDATE."""
    COPY = "copy"
    """INSERT ... SELECT."""
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Part:
    """What one shard is sent of a write."""

    shard: int
    sql: bytes
    rows: Sequence[int] = ()
    """INSERT: for each of its rows the number in the client's statement, from 1: MySQL's errors
    name rows by their number."""
    generated: tuple[int, ...] = ()
    """INSERT: the AUTO_INCREMENT numbers that the gate gave to its rows."""


@dataclass(frozen=True, slots=True)
class SplitWrite:
    """A write whose parts go to their shards in one transaction; the answers are added up."""

    parts: tuple[Part, ...]
    wrote: Wrote
    flags: Flag = Flag.WRITE
    alike: bool = False
    """All parts write the same rows of a reference table: they must have the same effect, and the
    answer is that of the first."""
    in_order: bool = True
    """One shard after the other, so that two such writes meet on the first shard and cannot lock
    each other out over two."""
    hint_at: int = -1
    """Where in the text of a part an optimizer hint can be put; -1: nowhere."""
    number_column: tuple[str, str] | None = None
    """Table and AUTO_INCREMENT column, to ask which of the given numbers were used."""
    renumbers: tuple[str, str] | None = None
    """Table and column of an UPDATE that changes an AUTO_INCREMENT column."""


class NumberedRows(Protocol):
    """Rows of an INSERT of which some want an AUTO_INCREMENT number."""

    def wanted(self, keep_zeros: bool) -> tuple[int, int]:
        """How many numbers, and the greatest number that a row brings along (0: none).

        `keep_zeros`: the session's sql_mode has NO_AUTO_VALUE_ON_ZERO.
        """

    def split(self, first: int, keep_zeros: bool) -> "OneShard | SplitWrite | Refuse":
        """The write with the numbers from `first` on."""


@dataclass(frozen=True, slots=True)
class NumberedWrite:
    """An INSERT into a table whose AUTO_INCREMENT numbers come from the keyspace's sequence."""

    table: str
    column: str
    highest: int
    """The greatest number that the column can hold."""
    rows: NumberedRows
    flags: Flag = Flag.WRITE


@dataclass(frozen=True, slots=True)
class ColumnDefault:
    """The value that a column gets when a row has none for it."""

    table: str
    column: str
    view: str = ""
    """The view through which the row is written."""


@dataclass(frozen=True, slots=True)
class ComputedWrite:
    """A write some of whose values a server must compute before anything is known.

    The values of `asks`, SQL expressions, are written as literals between the `pieces`, of which
    there is one more; what comes out is planned like any write.
    """

    asks: tuple[bytes | ColumnDefault, ...]
    pieces: tuple[bytes, ...]
    flags: Flag = Flag.WRITE
    reads: bool = False
    """The values come from tables: they are read in the transaction of the write."""


@dataclass(frozen=True, slots=True)
class KeyedWrite:
    """UPDATE or DELETE of rows that a SELECT over several shards finds.

    `chosen` is planned like any read; its rows have a slot and the primary key. `before` goes to
    the shards of `shards` that have such rows, each with the keys of its own.
    """

    shards: tuple[int, ...]
    chosen: bytes
    before: bytes
    """The statement up to its conditions."""
    keys: tuple[bytes, ...]
    """SQL of the columns of the primary key."""
    wrote: Wrote
    reads_clock: bool = False
    limit: int = 1 << 62
    """How many rows the statement wants at most; 0: it is not known here."""
    flags: Flag = Flag.WRITE


@dataclass(frozen=True, slots=True)
class LimitedWrite:
    """UPDATE or DELETE with LIMIT over several shards.

    `texts[i]` goes to `shards[i]` with its own LIMIT put between the two halves. With `chosen`, a
    SELECT of the slot of each row that the whole statement would touch, the limits are counted from
    its rows; without (no ORDER BY: any rows will do) each shard gets what the ones before left.
    """

    shards: tuple[int, ...]
    before: bytes
    limit: int
    after: bytes
    chosen: bytes
    wrote: Wrote
    flags: Flag = Flag.WRITE
    hint_at: int = -1


@dataclass(frozen=True, slots=True)
class CopyRows:
    """INSERT or REPLACE ... SELECT whose rows pass through the gate.

    `select` is planned like any read; its rows, written as literals, are put between `before` and
    `after` and planned like any INSERT.
    """

    select: bytes
    locked: bytes
    """The same with FOR SHARE, as MySQL reads in an INSERT from REPEATABLE READ on."""
    before: bytes
    after: bytes
    columns: int
    """How many the statement gives values to."""
    wrote: Wrote
    flags: Flag = Flag.WRITE


LIKE_UTF8 = frozenset({"utf8mb4", "utf8mb3", "utf8", "ascii", "binary"})
"""Character sets of a file whose keys are hashed as they stand there."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """FIELDS, LINES and IGNORE n LINES of LOAD DATA."""

    fields_end: bytes = b"\t"
    enclosed: bytes = b""
    escaped: bytes = b"\\"
    lines_start: bytes = b""
    lines_end: bytes = b"\n"
    skipped: int = 0
    width: int = 1
    """How many fields of a row are read; what follows is skipped."""
    is_text: bool = True
    """The file is in a character set of several bytes for some characters."""

    @property
    def marks(self) -> bytes:
        """All bytes that mean something, one after the other."""
        return self.fields_end + self.enclosed + self.escaped + self.lines_start + self.lines_end


@dataclass(frozen=True, slots=True)
class LoadData:
    """LOAD DATA LOCAL: the client's file goes to `shards` as it is, or divided by rows.

    `text` goes to each shard. Undivided (neither key nor number column): all get the whole file.
    """

    file: bytes
    text: bytes
    shards: tuple[int, ...]
    format: FileFormat = FileFormat()
    table: str = ""
    key: KeyColumn | None = None
    key_name: str = ""
    key_at: int = -1
    """Which field of a row is the sharding key; -1: the number that the gate gives."""
    number: KeyColumn | None = None
    """The AUTO_INCREMENT column, whose numbers the gate gives."""
    number_at: int = -1
    """Which field it is; -1: none, it is put before all others."""
    variables: tuple[str, ...] = ()
    """User variables that fields go to: they stay behind on the connections."""
    columns: tuple[str, ...] = ()
    """Those that the fields are taken for where the statement names none; empty: it does."""
    is_named: bool = True
    """Whether the statement says CHARACTER SET; else it is that of the database."""
    flags: Flag = Flag.WRITE


@dataclass(frozen=True, slots=True)
class MovedRows:
    """UPDATE that gives rows another sharding key: they are deleted and inserted anew."""

    shards: tuple[int, ...]
    target: int
    """The shard of the new key."""
    table: str
    assigned: tuple[tuple[str, bytes], ...]
    """Columns in lower case, and what they are set to."""
    source: bytes
    """The table as the statement names it, with its alias."""
    where: bytes
    """Which rows move."""
    update: bytes
    """The statement for rows that have the key already."""
    refusal: "Refuse"
    """The answer while the session does not have gate_key_update=move."""
    flags: Flag = Flag.WRITE


class DdlVerb(StrEnum):
    CREATE_TABLE = "CREATE TABLE"
    ALTER_TABLE = "ALTER TABLE"
    DROP_TABLE = "DROP TABLE"
    TRUNCATE_TABLE = "TRUNCATE TABLE"
    RENAME_TABLE = "RENAME TABLE"
    CREATE_INDEX = "CREATE INDEX"
    DROP_INDEX = "DROP INDEX"
    CREATE_VIEW = "CREATE VIEW"
    ALTER_VIEW = "ALTER VIEW"
    DROP_VIEW = "DROP VIEW"
    MAINTAIN = "ANALYZE TABLE"
    """ANALYZE, OPTIMIZE, CHECK or REPAIR TABLE: they answer with rows."""
    OTHER = "DDL"
    """Anything else, in keyspaces of one shard only: procedures, triggers, events."""


@dataclass(frozen=True, slots=True)
class Ddl:
    """Run on each of `shards`, one after the other in this order, and report each failure.

    It commits first, on all connections of the session. Afterwards the schema is out of date:
    load it again before the next statement that names one of `tables`.
    """

    verb: DdlVerb
    tables: tuple[str, ...]
    shards: tuple[int, ...]
    warnings: tuple[tuple[int, str], ...] = ()
    """Of the gate, for whoever sent the statement, when it has run: code and text of each."""
    made: tuple[tuple[str, str], ...] = ()
    """Names that a table gets, each with its picture (see `planner.pictures`)."""
    gone: tuple[tuple[str, str], ...] = ()
    """Names that no table has afterwards, each with the picture it had."""
    reroutes: bool = False
    """A table that stays is planned in another way afterwards."""


class TransactionVerb(StrEnum):
    BEGIN = "BEGIN"
    COMMIT = "COMMIT"
    ROLLBACK = "ROLLBACK"
    SAVEPOINT = "SAVEPOINT"
    ROLLBACK_TO = "ROLLBACK TO SAVEPOINT"
    RELEASE = "RELEASE SAVEPOINT"


@dataclass(frozen=True, slots=True)
class TransactionControl:
    verb: TransactionVerb
    savepoint: str = ""
    read_only: bool | None = None
    """BEGIN only: None when the statement does not say."""
    snapshot: bool = False
    """START TRANSACTION WITH CONSISTENT SNAPSHOT."""
    chain: bool = False
    """COMMIT/ROLLBACK AND CHAIN: begin anew with the same characteristics."""
    release: bool = False
    """COMMIT/ROLLBACK RELEASE: close the client's connection afterwards."""


PLAIN_BEGIN = TransactionControl(TransactionVerb.BEGIN)
PLAIN_COMMIT = TransactionControl(TransactionVerb.COMMIT)
PLAIN_ROLLBACK = TransactionControl(TransactionVerb.ROLLBACK)
"""Plans of these statements without additions are these objects: the relay looks for them."""


@dataclass(frozen=True, slots=True)
class SetTransaction:
    """SET [SESSION] TRANSACTION; without SESSION it holds for the next transaction only."""

    session: bool
    isolation: str = ""
    """`READ COMMITTED` ...; empty: not said."""
    read_only: bool | None = None


class SetClass(StrEnum):
    GATE = "gate"
    """The gate itself must know it: autocommit, character sets, isolation, read-only."""
    APPLY = "apply"
    """Set on each connection that works for the session."""
    IGNORE = "ignore"
    """Means nothing behind a gate: accept it with a warning and do nothing."""
    OWN = "own"
    """The gate's own: the servers do not know it."""
    USER = "user"
    """A user variable, `@name`: set on each connection that works for the session."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One part of a SET statement."""

    name: str
    """Lower case, without `@@` or scope. `names` and `character set` stand for SET NAMES and SET
    CHARACTER SET; a user variable has its name without `@`."""
    value: bytes
    """SQL text of the value as the client wrote it. For `names`: `utf8mb4 [COLLATE name]`."""
    kind: SetClass
    literal: bool = True
    """False: an expression. Read `SELECT value` first, on a connection of any shard; what comes
    out, as a literal, goes to `Planner.assignment`, because some values are refused."""

    @property
    def sql(self) -> bytes:
        """The text to put behind `SET ` on a connection."""
        if self.name == "names":
            return b"NAMES " + self.value
        if self.name == "character set":
            return b"CHARACTER SET " + self.value
        if self.kind is SetClass.USER:
            return b"@`" + self.name.encode().replace(b"`", b"``") + b"`=" + self.value
        return b"SESSION " + self.name.encode() + b"=" + self.value


@dataclass(frozen=True, slots=True)
class SetStatement:
    """Validate all on one connection, then keep them in the session's settings."""

    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class OwnVariables:
    """Answer with one row: the gate's own variables."""

    columns: tuple[tuple[str, str], ...]
    """Title of the column, and name of the variable."""
    is_shown: bool = False
    """SHOW VARIABLES: the first column has the name, the second the value."""


@dataclass(frozen=True, slots=True)
class Use:
    database: str


@dataclass(frozen=True, slots=True)
class Kill:
    connection: int
    query_only: bool


class Shown(StrEnum):
    """What GATE SHOW knows."""

    SESSIONS = "SESSIONS"
    POOLS = "POOLS"
    PLANS = "PLANS"
    SHARDS = "SHARDS"
    VERSION = "VERSION"
    DDL = "DDL"
    PROCESSLIST = "PROCESSLIST"
    """SHOW PROCESSLIST, of all sessions of all gates."""


@dataclass(frozen=True, slots=True)
class GateShow:
    """What the gate itself knows, as a table."""

    what: Shown
    full: bool = False
    """Whole statements in a process list."""


@dataclass(frozen=True, slots=True)
class Processes:
    """A SELECT that names information_schema.PROCESSLIST: the sessions of the gates take its place.

    `template` is the statement, cut where the table stands: between the parts goes a SELECT in
    parentheses that gives its rows.
    """

    template: tuple[bytes, ...]
    flags: Flag = Flag.OUTSIDE


@dataclass(frozen=True, slots=True)
class ConnectionId:
    """SELECT CONNECTION_ID(): one row with the gate's own number of the session, a BIGINT."""

    column: str
    """Name of the column, as the statement gives it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Several statements in one text: only for clients that asked for CLIENT_MULTI_STATEMENTS."""

    statements: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TextPrepare:
    """PREPARE: keep a statement under a name, after a server has looked at it."""

    name: str
    """In lower case."""
    sql: bytes = b""
    variable: str = ""
    """The user variable that has the text; empty: `sql` is it."""


@dataclass(frozen=True, slots=True)
class TextExecute:
    """EXECUTE: put the values of these user variables into the statement and carry it out."""

    name: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextDeallocate:
    name: str


@dataclass(frozen=True, slots=True)
class Empty:
    """No statement: OK when there is a comment, as the mysql client sends them, else error 1065
    (42000) `Query was empty`. That is what mysqld answers."""

    has_comment: bool


@dataclass(frozen=True, slots=True)
class UnknownTable:
    """The schema has no such table: load the schema again and plan once more.

    If it is unknown then too: error 1146 (42S02) `Table 'database.name' doesn't exist`, or with
    `view`, whose definition names it: error 1356 (HY000).
    """

    database: str
    name: str
    view: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this error and touch nothing."""

    code: int
    sqlstate: str
    message: str


@dataclass(frozen=True, slots=True)
class ViewNamed(Refuse):
    """A view of several shards stands where only a table can."""

    view: str = ""


Plan = (
    OneShard
    | AnyShard
    | Scatter
    | Merge
    | Finish
    | Hinted
    | Together
    | ExplainOne
    | GateExplain
    | EveryShard
    | SplitWrite
    | NumberedWrite
    | ComputedWrite
    | KeyedWrite
    | LimitedWrite
    | CopyRows
    | LoadData
    | MovedRows
    | Ddl
    | TransactionControl
    | SetTransaction
    | SetStatement
    | OwnVariables
    | Use
    | Kill
    | ConnectionId
    | GateShow
    | Processes
    | Batch
    | TextPrepare
    | TextExecute
    | TextDeallocate
    | Empty
    | UnknownTable
    | Refuse
)

Value = int | float | bytes | None
"""A parameter as it was decoded: whole numbers, FLOAT/DOUBLE, None for NULL, and everything else as
the bytes of its text (dates as `YYYY-MM-DD[ hh:mm:ss[.ffffff]]`)."""


class Prepared(Protocol):
    """A statement with `?`: what must be known of an execution to route it."""

    @property
    def parameters(self) -> int:
        """How many `?` the statement has."""

    @property
    def needed(self) -> tuple[int, ...]:
        """Indexes of the parameters that decide the route, ascending; empty: always the same."""

    @property
    def describe(self) -> AnyShard | Refuse:
        """Where to PREPARE it to learn parameters and columns; Refuse: answer PREPARE with it."""

    def route(self, values: Sequence[Value]) -> Plan:
        """Plan an execution; `values` are those of the `needed` parameters, in the same order."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What of a session changes the meaning of its statements."""

    database: str = ""
    """The current database; empty: that of the keyspace."""
    utf8: bool = True
    """Whether the client's character set is utf8mb4, utf8mb3 or ascii: in any other set the bytes
    of a literal are not those that the column holds."""


DEFAULT_VARIANT = Variant()
