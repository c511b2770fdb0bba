"""Writes to several shards: parts to their shards, and one answer made of theirs.

All parts run in one transaction, that of the client or one of their own (`Client.writing`): a
failure of one part leaves nothing of the others. The answer is sent after the commit.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.errors import OTHER_SCHEMA, GateError, MysqlError
from mitosis_gate.executor import merge
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.sequences import Sequences
from mitosis_gate.executor.warned import Told, Warned, told
from mitosis_gate.planner import plan as plans
from mitosis_gate.planner.plan import Flag, Part, Plan, SplitWrite, Wrote
from mitosis_gate.wire.packets import Ok

Backends = Sequence[tuple[str, BackendConnection]]

_NUMBERS = re.compile(rb"\d+")
_AT_ROW = re.compile(r"(?<= at row )\d+|(?<=\ARow )\d+")
_MOST_WARNINGS = 1024
_LAST_NUMBER = re.compile(rb"(?<=Warnings: )\d+\Z")
_VERB = re.compile(rb"\s*(?:INSERT|REPLACE|UPDATE|DELETE)(?=\s)(?!\s*/\*\+)", re.IGNORECASE)


@dataclass
class Answer:
    """What the client is told of a write."""

    affected: int = 0
    last_insert_id: int = 0
    generated: int = 0
    """The first AUTO_INCREMENT number that a row got; 0: none. It is what LAST_INSERT_ID() says."""
    warnings: int = 0
    info: bytes = b""
    told: list[Told] = field(default_factory=list)
    """The warnings themselves; there may be more, as a server keeps only some."""

    def hear(self, told: Sequence[Told], warned: Warned) -> None:
        """Add the warnings of one shard, all of which are counted already."""
        new = warned.new(told)
        self.told = (self.told + new)[:_MOST_WARNINGS]
        self._count(len(new) - len(told))

    def hear_more(self, told: Sequence[Told]) -> None:
        """Add warnings of the same rows, those that are not told already."""
        missing = list((Counter(told) - Counter(self.told)).elements())
        self.told = (missing + self.told)[:_MOST_WARNINGS]
        self._count(len(missing))

    def _count(self, more: int) -> None:
        self.warnings += more
        self.info = _LAST_NUMBER.sub(b"%d" % self.warnings, self.info)

    def send(self, client: Client) -> None:
        if self.generated:
            client.last_insert_id = self.generated
        client.keep_warnings(self.told)
        client.send_ok(
            self.affected,
            self.generated or self.last_insert_id,
            min(self.warnings, merge.MOST_WARNINGS),
            self.info,
        )


class Writes:
    """Carries out the plans of writes; one for a gate process."""

    def __init__(self, sequences: Sequences) -> None:
        self._sequences = sequences

    async def carry_out(self, plan: Plan, sql: bytes, client: Client) -> None:
        """Of EveryShard, SplitWrite and NumberedWrite."""
        (await self.answer(plan, sql, client)).send(client)

    async def answer(self, plan: Plan, sql: bytes, client: Client) -> Answer:
        """Carry it out, without telling the client."""
        if isinstance(plan, plans.EveryShard):
            plan = _alike(plan, sql)
        elif isinstance(plan, plans.NumberedWrite):
            settled = await self._settled(plan, client)
            if isinstance(settled, plans.Refuse):
                raise MysqlError(settled.code, settled.sqlstate, settled.message)
            if isinstance(settled, plans.OneShard):
                settled = SplitWrite((Part(settled.shard, sql),), Wrote.COPY, settled.flags)
            plan = settled
        assert isinstance(plan, SplitWrite)
        answer = await split(plan, client)
        if plan.renumbers is not None:
            self._sequences.forget(client.account.keyspace, plan.renumbers[:1])
        return answer

    async def _settled(
        self, plan: plans.NumberedWrite, client: Client
    ) -> plans.OneShard | SplitWrite | plans.Refuse:
        """Give the rows of an INSERT their numbers."""
        keyspace = client.account.keyspace
        keep_zeros = b"NO_AUTO_VALUE_ON_ZERO" in (client.variables.get("sql_mode") or b"").upper()
        count, highest = plan.rows.wanted(keep_zeros)
        if 0 < highest < plan.highest:
            self._sequences.note(keyspace, plan.table, highest)
        first = 0
        if count:
            first = await self._sequences.take(keyspace, plan.table, count, plan.highest)
        return plan.rows.split(first, keep_zeros)


def _alike(plan: plans.EveryShard, sql: bytes) -> SplitWrite:
    """A write to a reference table, whose text goes to each shard as it is."""
    parts = tuple(Part(shard, sql) for shard in plan.shards)
    verb = _VERB.match(sql)
    hint_at = verb.end() if verb else -1
    return SplitWrite(parts, Wrote.COPY, plan.flags, alike=True, hint_at=hint_at)


async def split(plan: SplitWrite, client: Client) -> Answer:
    """Run the parts; the answer is there when they are committed."""
    names = [client.table.shards[part.shard].name for part in plan.parts]
    parts: Sequence[Part] = plan.parts
    wants_clock = _wants_clock(plan, client)
    if wants_clock and plan.hint_at >= 0:
        parts = _at_one_time(parts, plan.hint_at)
    async with client.writing(names) as backends:
        if wants_clock and plan.hint_at < 0:
            await set_clock(backends)
        if plan.flags & Flag.LAST:
            await _tell_last_insert_id(backends, client)
        answers = await _run(backends, parts, plan.in_order)
        if plan.alike:
            merge.same_effect([(n, ok) for (n, _), ok in zip(backends, answers, strict=True)])
            answers, parts, backends = answers[:1], parts[:1], backends[:1]
        answer = _added(plan, parts, answers)
        await heard(answer, backends, parts, answers)
        if any(part.generated for part in parts):
            answer.generated = await _first_generated(plan, parts, answers, backends)
    return answer


def _wants_clock(plan: SplitWrite, client: Client) -> bool:
    """NOW() must be the same on all shards, as it is in a statement that one server runs."""
    if plan.alike and not plan.flags & Flag.CLOCK:
        return False
    return len(plan.parts) > 1 and client.variables.get("timestamp") is None


def with_hint(text: bytes, at: int, client: Client) -> bytes:
    """A text that goes to several shards, in which NOW() has one value."""
    if at < 0 or client.variables.get("timestamp") is not None:
        return text
    return text[:at] + _hint() + text[at:]


def _hint() -> bytes:
    return b" /*+ SET_VAR(timestamp=%.6f) */" % time.time()


def _at_one_time(parts: Sequence[Part], at: int) -> Sequence[Part]:
    hint = _hint()
    return [
        Part(part.shard, part.sql[:at] + hint + part.sql[at:], part.rows, part.generated)
        for part in parts
    ]


async def set_clock(backends: Backends, seconds: float | None = None) -> None:
    """As `_at_one_time`, for a text that has no place for a hint; None: the time of day."""
    now = b"%.6f" % (time.time() if seconds is None else seconds)
    for _, backend in backends:
        await backend.query(b"SET SESSION timestamp=" + now)
        # whoever uses the connection next finds a difference from its own variables
        backend.applied = backend.applied.with_("timestamp", now)


async def _tell_last_insert_id(backends: Backends, client: Client) -> None:
    for _, backend in backends:
        await backend.query(b"SET SESSION last_insert_id=%d" % client.last_insert_id)


async def _run(backends: Backends, parts: Sequence[Part], in_order: bool) -> list[Ok]:
    """Raises the error of the first shard that has one, when all have ended."""
    if in_order or len(parts) == 1:
        answers: list[Ok] = []
        for (_, backend), part in zip(backends, parts, strict=True):
            try:
                answers.append(await run_part(backend, part))
            except MysqlError as exc:
                exc.nothing_done = not answers and exc.number in OTHER_SCHEMA
                raise
        return answers
    tasks = [
        asyncio.create_task(run_part(backend, part))
        for (_, backend), part in zip(backends, parts, strict=True)
    ]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    failures = [e for task in tasks if isinstance(e := task.exception(), GateError)]
    if failures:
        first = min(failures, key=row_of)
        if isinstance(first, MysqlError) and len(failures) == len(tasks):
            first.nothing_done = all(e.number in OTHER_SCHEMA for e in failures)
        raise first
    return [task.result() for task in tasks]


def row_of(problem: GateError) -> int:
    """MySQL stops at the first row that fails; errors without a number come last."""
    found = _AT_ROW.search(problem.text)
    return int(found[0]) if found else 1 << 62


async def run_part(backend: BackendConnection, part: Part) -> Ok:
    try:
        return (await backend.query(part.sql)).ok
    except MysqlError as exc:
        text = corrected(exc.text, part.rows)
        if text == exc.text:
            raise
        raise MysqlError(exc.number, exc.state, text) from exc


def corrected(text: str, rows: Sequence[int]) -> str:
    """`at row 2` of a shard as the row of the client's statement."""

    def number(match: re.Match[str]) -> str:
        row = int(match[0])
        return f"{rows[row - 1] if 0 < row <= len(rows) else row}"

    return _AT_ROW.sub(number, text) if rows else text


async def heard(
    answer: Answer, backends: Backends, parts: Sequence[Part], answers: Sequence[Ok]
) -> None:
    """Put the warnings of all shards into the answer."""
    warned = Warned(parts[0].sql)
    for (_, backend), part, ok in zip(backends, parts, answers, strict=True):
        if ok.warnings:
            rows = (await backend.query(b"SHOW WARNINGS")).values()
            answer.hear([_of_row(told(row), part.rows) for row in rows], warned)
    answer.told.sort(key=_row_told)


def _of_row(warning: Told, rows: Sequence[int]) -> Told:
    level, code, text = warning
    return level, code, corrected(text, rows)


def _row_told(told: Told) -> int:
    found = _AT_ROW.search(told[2])
    return int(found[0]) if found else 0


# Answers


def _added(plan: SplitWrite, parts: Sequence[Part], answers: Sequence[Ok]) -> Answer:
    if len(answers) == 1:
        ok = answers[0]
        return Answer(ok.affected, ok.last_insert_id, 0, ok.warnings, ok.info)
    last = max(zip(parts, answers, strict=True), key=lambda pair: tuple(pair[0].rows[-1:]))
    return Answer(
        sum(ok.affected for ok in answers),
        last[1].last_insert_id,
        0,
        sum(ok.warnings for ok in answers),
        _info(plan.wrote, parts, answers),
    )


def _info(wrote: Wrote, parts: Sequence[Part], answers: Sequence[Ok]) -> bytes:
    if wrote is Wrote.DELETE:
        return b""
    if wrote is Wrote.UPDATE:
        return summed(b"Rows matched: %d  Changed: %d  Warnings: %d", [a.info for a in answers])
    rows = sum(len(part.rows) for part in parts)
    if rows == 1 and wrote is not Wrote.COPY:
        return b""
    infos = [ok.info or _info_of_one_row(wrote, ok) for ok in answers]
    return summed(b"Records: %d  Duplicates: %d  Warnings: %d", infos)


def summed(form: bytes, infos: Iterable[bytes]) -> bytes:
    """The sum of texts such as `Records: 3  Duplicates: 1  Warnings: 0`."""
    totals = [0] * form.count(b"%d")
    for info in infos:
        for place, number in enumerate(_NUMBERS.findall(info)):
            totals[place] += int(number)
    return form % tuple(totals)


def _info_of_one_row(wrote: Wrote, ok: Ok) -> bytes:
    """What MySQL would have said of one row among others, which it leaves out for one alone."""
    duplicates = 0
    if wrote is Wrote.REPLACE:
        duplicates = max(0, ok.affected - 1)
    elif wrote is Wrote.UPSERT:
        duplicates = int(ok.affected == 2)
    elif wrote is Wrote.INSERT:
        duplicates = 1 - min(1, ok.affected)
    return b"Records: 1  Duplicates: %d  Warnings: %d" % (duplicates, ok.warnings)


async def _first_generated(
    plan: SplitWrite, parts: Sequence[Part], answers: Sequence[Ok], backends: Backends
) -> int:
    """The first number that is in a row now: with IGNORE and ON DUPLICATE KEY some are not."""
    numbers = sorted(number for part in parts for number in part.generated)
    rows = sum(len(part.rows) for part in parts)
    everything = plan.wrote is Wrote.REPLACE or sum(ok.affected for ok in answers) == rows
    if everything and plan.wrote is not Wrote.UPSERT:
        return numbers[0]
    assert plan.number_column is not None
    table, column = (b"`" + n.encode().replace(b"`", b"``") + b"`" for n in plan.number_column)
    found = []
    for (_, backend), part in zip(backends, parts, strict=True):
        if part.generated:
            wanted = b", ".join(b"%d" % number for number in part.generated)
            sql = b"SELECT MIN(%b) FROM %b WHERE %b IN (%b)" % (column, table, column, wanted)
            value = (await backend.query(sql)).values()[0][0]
            if value is not None:
                found.append(int(value))
    return min(found, default=0)
