"""Rounds of statements on both sides: each has tables of its own, made from its seed alone.

So `--seed S --statements N` with the seed of a round repeats what that round did.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from gates import KEYSPACE, PASSWORD, USER, GateProcess, Shards
from merge_servers import MergeServer

from mysqld import Mysqld
from oracle import schemas
from oracle.compare import Answer, ask, ask_prepared, difference, is_planned
from oracle.driver import Connection
from oracle.queries import Queries, Statement
from oracle.schemas import Table
from oracle.writes import Writes

SHARDS = 4
STATEMENTS_OF_A_ROUND = 400
_CHECK_EVERY = 100
_PATIENCE_SECONDS = 120
"""Who does not answer is a difference, and not the end of all."""
_NOT_DURABLE = (
    "--innodb-flush-log-at-trx-commit=0",
    "--skip-log-bin",
    # those of a machine are few, and each server takes many
    "--innodb-use-native-aio=OFF",
)
_SETTINGS = (
    ("sql_mode", "''"),
    ("sql_mode", "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO'"),
    ("time_zone", "'+05:30'"),
    ("group_concat_max_len", "12"),
    ("div_precision_increment", "2"),
    ("collation_connection", "utf8mb4_bin"),
    ("optimizer_switch", "'derived_merge=off,semijoin=off'"),
    ("transaction_isolation", "'READ-COMMITTED'"),
)
_BEGIN = Statement("BEGIN", reads=False)
_ENDS = (Statement("COMMIT", reads=False), Statement("ROLLBACK", reads=False))
_LITERALS = re.compile(r"(?<![\w.'%])(?:'(?:[^'\\]|'')*'|-?\d+(?:\.\d+)?)(?![\w.'(])")


@dataclass
class Side:
    text: Any
    """A connection of pymysql."""
    binary: Any
    """One of mysql.connector."""


@dataclass
class World:
    gate: Side
    plain: Side
    shards: Shards


@contextmanager
def world() -> Iterator[World]:
    """Four shards, a gate with its merge server, and a plain server."""
    with ExitStack() as stack:
        shards = stack.enter_context(Shards(SHARDS, schemas.RULES, options=_NOT_DURABLE))
        plain = stack.enter_context(Mysqld(options=_NOT_DURABLE))
        merge = stack.enter_context(MergeServer())
        gate = stack.enter_context(GateProcess(shards.table(), shards.users(), merge.option))
        plain.query(f"CREATE DATABASE {KEYSPACE}")
        plain.query(f"CREATE USER {USER}@'%%' IDENTIFIED BY %s", PASSWORD)
        plain.query(f"GRANT ALL ON {KEYSPACE}.* TO {USER}@'%'")
        yield World(_side(stack, gate.port), _side(stack, plain.port), shards)


def _side(stack: ExitStack, port: int) -> Side:
    import pymysql

    login = {
        "host": "127.0.0.1",
        "port": port,
        "user": USER,
        "password": PASSWORD,
        "database": KEYSPACE,
        "autocommit": True,
        "read_timeout": _PATIENCE_SECONDS,
    }
    text = stack.enter_context(pymysql.connect(**login, charset="utf8mb4"))  # type: ignore[call-overload]
    binary = Connection(**login, ssl_disabled=False)
    stack.callback(binary.close)
    return Side(text, binary)


@dataclass
class Count:
    answered: int = 0
    reads: int = 0
    """SELECT statements that the plain server takes."""
    refused_reads: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    @property
    def statements(self) -> int:
        return self.answered + self.refusals.total()

    @property
    def refused_share(self) -> float:
        return self.refused_reads / max(1, self.reads)

    def add(self, other: "Count") -> None:
        self.answered += other.answered
        self.reads += other.reads
        self.refused_reads += other.refused_reads
        self.refusals += other.refusals
        self.examples = other.examples | self.examples
        self.differences += other.differences

    def as_json(self) -> str:
        """One line, for whoever keeps results."""
        return json.dumps(
            {
                "statements": self.statements,
                "compared": self.answered,
                "differences": len(self.differences),
                "valid_selects": self.reads,
                "refused_selects": self.refused_reads,
                "refused_share": round(self.refused_share, 6),
                "refusals": dict(self.refusals.most_common()),
            }
        )

    def report(self) -> str:
        lines = [
            f"{n:6} {kind}\n         {self.examples[kind]}"
            for kind, n in self.refusals.most_common()
        ]
        return "\n".join(
            (
                *lines,
                f"{self.answered} statements compared, {len(self.differences)} differences",
                f"{self.refused_reads} of {self.reads} valid SELECTs refused: "
                f"{self.refused_share:.2%}",
            )
        )


def run(
    world: World,
    seed: int,
    statements: int,
    most_differences: int,
    show: Callable[[str], None] = lambda text: None,
) -> Count:
    """Run rounds with the seeds `seed`, `seed` + 1 ... until so many statements are done."""
    count = Count()
    done = 0
    while done < statements and len(count.differences) < most_differences:
        size = min(STATEMENTS_OF_A_ROUND, statements - done)
        Round(world, seed, count, show).run(size)
        done += size
        seed += 1
    return count


class Round:
    def __init__(self, world: World, seed: int, count: Count, show: Callable[[str], None]) -> None:
        self._world = world
        self._seed = seed
        self._count = count
        self._show = show
        self._random = random.Random(seed)
        self._tables: Sequence[Table] = schemas.make(self._random)
        self._fill = schemas.filling(self._tables, self._random)
        self._views = schemas.views(self._random)
        self._queries = Queries(self._tables, self._views, self._random)
        self._writes = Writes(self._tables, self._random)
        chosen = self._random.sample(_SETTINGS, self._random.choice((0, 0, 1, 2)))
        self._settings = dict(chosen)

    def run(self, statements: int) -> None:
        self._refill()
        self._set(self._settings)
        left = 0
        for number in range(statements):
            where = f"statement {number} of seed {self._seed}"
            if left == 0 and self._random.random() < 0.02:
                self._compare(_BEGIN, False, where)
                left = self._random.randrange(2, 9)
            reads = self._random.random() < (0.6 if left else 0.8)
            statement = (self._queries if reads else self._writes).statement()
            # the other session would wait for the locks of an open transaction
            is_binary = left == 0 and self._random.random() < 0.15
            self._compare(statement, is_binary, where)
            if left:
                left -= 1
                if left == 0 or number == statements - 1:
                    self._compare(self._random.choice(_ENDS), False, where)
            if number % _CHECK_EVERY == _CHECK_EVERY - 1:
                self._check_tables(where)
        self._set(dict.fromkeys(self._settings, "DEFAULT"))
        self._on_both(f"DROP VIEW {view.name}" for view in self._views)

    def _set(self, settings: Mapping[str, str]) -> None:
        for side in (self._world.gate, self._world.plain):
            for connection in (side.text, side.binary):
                with closing(connection.cursor()) as cursor:
                    for name, value in settings.items():
                        cursor.execute(f"SET SESSION {name} = {value}")

    def _refill(self) -> None:
        self._on_both((*self._fill, *(view.create for view in self._views)))

    def _on_both(self, statements: Iterable[str]) -> None:
        for statement in statements:
            for side in (self._world.gate, self._world.plain):
                answer = ask(side.text, statement)
                assert not answer.error, f"seed {self._seed}: {statement}: {answer}"

    def _compare(self, statement: Statement, is_binary: bool, where: str) -> None:
        if is_binary:
            text, values = _parameters(statement.text)
            shown = f"{text} with {values}"
        else:
            text, values = statement.text, []
            shown = text

        def answer(side: Side) -> Answer:
            if is_binary:
                return ask_prepared(side.binary, text, values)
            return ask(side.text, text)

        ours = answer(self._world.gate)
        if ours.is_refusal:
            self._refused(statement, shown, ours, answer)
            return
        theirs = answer(self._world.plain)
        if is_planned(statement, ours, theirs):
            kind = f"write: as planned, {ours.error} / {theirs.error}"
            self._count.refusals[kind] += 1
            self._count.examples.setdefault(kind, shown)
            self._refill()
            return
        self._count.answered += 1
        if statement.reads and not theirs.error:
            self._count.reads += 1
        found = difference(statement, ours, theirs)
        if found:
            self._differs(f"{where}: {shown}\n    gate / MySQL: {found}")
            if not statement.reads:
                self._refill()

    def _refused(
        self, statement: Statement, shown: str, ours: Answer, answer: Callable[[Side], Answer]
    ) -> None:
        kind = ("" if statement.reads else "write: ") + ours.refusal_class
        if statement.reads:
            theirs = answer(self._world.plain)
            if theirs.error:
                kind = f"(MySQL: {theirs.error}) {kind}"
            else:
                self._count.reads += 1
                self._count.refused_reads += 1
        self._count.refusals[kind] += 1
        self._count.examples.setdefault(kind, shown)

    def _differs(self, text: str) -> None:
        self._count.differences.append(text)
        self._show(text)

    def _check_tables(self, where: str) -> None:
        for table in self._tables:
            statement = Statement(f"SELECT * FROM {table.name}")
            ours = ask(self._world.gate.text, statement.text)
            theirs = ask(self._world.plain.text, statement.text)
            found = difference(statement, ours, theirs)
            if found:
                self._differs(f"after {where}: {table.name} has other rows: {found}")
                self._refill()
                return


def _parameters(sql: str) -> tuple[str, list[Any]]:
    """Literals behind WHERE or VALUES as parameters: those elsewhere can be structure."""
    for word in (" WHERE ", " VALUES "):
        head, found, tail = sql.partition(word)
        if not found:
            continue
        stop = re.search(r" (?:GROUP BY|ORDER BY|LIMIT|HAVING|UNION|ON DUPLICATE|SELECT)\b", tail)
        body, rest = (tail[: stop.start()], tail[stop.start() :]) if stop else (tail, "")
        values: list[Any] = []

        def replace(match: re.Match[str], values: list[Any] = values) -> str:
            text = match.group()
            if text.startswith("'"):
                values.append(text[1:-1].replace("''", "'").replace("\\\\", "\\"))
            else:
                values.append(Decimal(text) if "." in text else int(text))
            return "?"

        return head + found + _LITERALS.sub(replace, body) + rest, values
    return sql, []
