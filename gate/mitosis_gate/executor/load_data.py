"""LOAD DATA LOCAL: the client's file to the shards while it comes, each row to its own.

Rows stay the bytes that they are, so that each server converts values as it would have the whole
file. All shards load in one transaction. A row whose shard is not certain ends the statement: what
follows of the file is read and dropped, and nothing of it is stored.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from zlib import crc32

from mitosis_gate.backends.upload import Upload
from mitosis_gate.backends.variables import literal
from mitosis_gate.errors import GateError, LocalFilesOff, MysqlError, NotSupported
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.file_rows import Batch, Divided, FileRows, Owners, Wanted
from mitosis_gate.executor.row_numbers import RowNumbers
from mitosis_gate.executor.sequences import Sequences
from mitosis_gate.executor.writes import (
    Answer,
    Backends,
    corrected,
    heard,
    row_of,
    set_clock,
    summed,
)
from mitosis_gate.planner.plan import LIKE_UTF8, LoadData, Part
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.packets import Ok
from mitosis_routing.hashing import Doubt, KeyKind, key_bytes, slot_of

_INFO = b"Records: %d  Deleted: %d  Skipped: %d  Warnings: %d"
_WHOLE = re.compile(rb"\s*[+-]?[0-9]+\s*\Z")
_VISIBLE = (
    b"SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() "
    b"AND TABLE_NAME = %b AND EXTRA NOT LIKE '%%INVISIBLE%%' ORDER BY ORDINAL_POSITION"
)


async def load(plan: LoadData, client: Client, sequences: Sequences) -> None:
    if not client.capabilities & c.CLIENT_LOCAL_FILES:
        raise LocalFilesOff(
            "Loading local data is disabled; this must be enabled on both the client and server "
            "sides"
        )
    names = [client.table.shards[index].name for index in plan.shards]
    async with client.writing(names) as backends:
        if plan.columns:
            await _check_columns(plan, backends)
        if plan.key is not None and not plan.is_named:
            await _check_characters(backends)
        if len(backends) > 1 and client.variables.get("timestamp") is None:
            await set_clock(backends)
        uploads = [Upload(backend) for _, backend in backends]
        try:
            answer = await _loaded(plan, client, uploads, sequences, backends)
        finally:
            for upload in uploads:
                upload.give_up()
            for _, backend in backends:
                for name in plan.variables:  # the next user of the connection sets them back
                    backend.applied = backend.applied.with_("@" + name, b"''")
    if answer.generated:
        client.last_insert_id, answer.generated = answer.generated, 0
    answer.send(client)


async def _check_columns(plan: LoadData, backends: Backends) -> None:
    """Of a statement that names none: MySQL leaves out those that are invisible."""
    asked = await backends[0][1].query(_VISIBLE % literal(plan.table.encode()))
    visible = [(name or b"").decode() for (name,) in asked.values()]
    if visible != list(plan.columns):
        raise NotSupported(
            f"LOAD DATA into {plan.table} without a list of columns: it has invisible columns, or "
            "was just changed, so that it is not certain which field is which: name the columns "
            "in the statement"
        )


async def _check_characters(backends: Backends) -> None:
    """Of a statement that names none: a file is in the character set of the database."""
    asked = await backends[0][1].query(b"SELECT @@character_set_database")
    name = (asked.values()[0][0] or b"").decode()
    if name not in LIKE_UTF8:
        raise NotSupported(
            f"LOAD DATA of a file in {name}, the character set of the database, into a sharded "
            "table: send the file in utf8mb4 and say CHARACTER SET utf8mb4"
        )


async def _loaded(
    plan: LoadData,
    client: Client,
    uploads: Sequence[Upload],
    sequences: Sequences,
    backends: Backends,
) -> Answer:
    for upload in uploads:
        await upload.begin(plan.text)
    divided = plan.key is not None or plan.number is not None
    divider = _Divider(plan, client, uploads, sequences) if divided else None
    problem: GateError | None = None
    async for data in client.local_file(plan.file):
        if problem is None:
            try:
                if divider is not None:
                    await divider.take(data)
                else:
                    for upload in uploads:
                        await upload.send(data)
            except GateError as exc:
                problem = exc  # the client sends the whole file before it reads an answer
    if problem is None and divider is not None:
        try:
            await divider.finish()
        except GateError as exc:
            problem = exc
    if problem is not None:
        await _end_early(uploads)
        raise problem
    parts = [Part(shard, b"") for shard in plan.shards]
    if divider is not None and plan.key is not None:
        parts = [Part(shard, b"", divider.numbers.of(at)) for at, shard in enumerate(plan.shards)]
    answers = await _ended(uploads, parts)
    alike = plan.key is None and len(uploads) > 1
    if alike or len(uploads) == 1:
        parts, answers, backends = parts[:1], answers[:1], backends[:1]
    answer = Answer(
        sum(ok.affected for ok in answers),
        warnings=sum(ok.warnings for ok in answers),
        info=summed(_INFO, [ok.info for ok in answers]),
        generated=divider.generated if divider is not None else 0,
    )
    await heard(answer, backends, parts, answers)
    return answer


async def _ended(uploads: Sequence[Upload], parts: Sequence[Part]) -> list[Ok]:
    """What all servers answer, or the error that one server would have come to first."""
    ended = await asyncio.gather(*(upload.end() for upload in uploads), return_exceptions=True)
    answers: list[Ok] = []
    failures: list[MysqlError] = []
    for part, answer in zip(parts, ended, strict=True):
        if isinstance(answer, MysqlError):
            text = corrected(answer.text, part.rows)
            failures.append(MysqlError(answer.number, answer.state, text))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            answers.append(answer)
    if failures:
        raise min(failures, key=row_of)
    return answers


async def _end_early(uploads: Sequence[Upload]) -> None:
    """Let the servers come to an end, so that the transaction can be rolled back on them."""
    if len(uploads) == 1:
        return  # it may not be in a transaction
    for upload in uploads:
        if upload.is_open:
            try:
                await upload.end()
            except MysqlError:
                continue


class _Divider:
    """Sends each row of a file to its shard."""

    def __init__(
        self, plan: LoadData, client: Client, uploads: Sequence[Upload], sequences: Sequences
    ) -> None:
        self._plan = plan
        self._uploads = uploads
        self._sequences = sequences
        self._keyspace = client.account.keyspace
        mode = (client.variables.get("sql_mode") or b"").upper()
        self._keeps_zeros = b"NO_AUTO_VALUE_ON_ZERO" in mode
        self._owners = client.table.slot_owners()
        self._mask = client.table.slots - 1
        key = plan.key
        self._is_integer = key is not None and key.kind is KeyKind.INTEGER
        wanted = {}
        if plan.number is not None and plan.number_at >= 0:
            wanted[plan.number_at] = len(f"{plan.number.high}")
        if key is not None and plan.key_at >= 0:
            wanted[plan.key_at] = len(f"{key.high}") if self._is_integer else 0
        places = sorted(wanted)
        self._column = {index: place for place, index in enumerate(places)}
        fields = [Wanted(index, wanted[index]) for index in places]
        self._rows = FileRows(plan.format, fields, self._plain_owners(plan))
        self._count = 0
        self._ends = [b""] * len(uploads)
        self._last_owner = 0
        self.generated = 0
        """The first AUTO_INCREMENT number that was given."""
        self.numbers = RowNumbers(len(uploads))
        """Which rows of the file each shard has."""

    def _plain_owners(self, plan: LoadData) -> Owners | None:
        """To divide rows without looking at each: by a key that stands in the file."""
        key = plan.key
        if key is None or plan.key_at < 0 or len(self._uploads) > 0xFFFF:
            return None
        if plan.number is not None and plan.number_at != plan.key_at:
            return None
        if key.kind is KeyKind.INTEGER:
            lowest = 0 if plan.number is None else 1  # 0 asks for a number
            return Owners(self._owners, len(self._uploads), lowest=lowest)
        if key.kind is KeyKind.TEXT or (key.kind is KeyKind.BINARY and not key.fixed):
            return Owners(self._owners, len(self._uploads), longest=key.length)
        return None

    async def take(self, data: bytes) -> None:
        await self._send_all(self._rows.feed(data))

    async def _send_all(self, parts: Iterable[Batch | Divided]) -> None:
        for part in parts:
            if isinstance(part, Divided):
                await self._send_divided(part)
            else:
                await self._send(part)

    async def _send_divided(self, divided: Divided) -> None:
        plan = self._plan
        if plan.number is not None and divided.highest < plan.number.high:
            self._sequences.note(self._keyspace, plan.table, divided.highest)
        self._count += len(divided.owners)
        await self._upload(divided.owners, divided.parts)

    async def finish(self) -> None:
        await self._send_all(self._rows.finish())
        if self._plan.key is not None and self._plan.format.is_text:
            self._check_ends()

    def _check_ends(self) -> None:
        """A server that has only a part of the file meets its end elsewhere, and would drop bytes
        there that begin a character."""
        for owner, end in enumerate(self._ends):
            if owner != self._last_owner and _is_cut(end):
                raise MysqlError(
                    1300,
                    "HY000",
                    "[gate] Invalid utf8mb4 character string: a row of the file ends inside a "
                    "character, and MySQL would read it otherwise as the last one of its shard: "
                    "say CHARACTER SET binary if it is no text; nothing was stored",
                )

    async def _send(self, batch: Batch) -> None:
        rows, glue = batch.rows, batch.glue
        if self._plan.number is not None:
            if glue:
                rows, glue = [row + glue for row in rows], b""
            rows, owners = await self._numbered(rows, batch.fields)
        else:
            keys = batch.fields[self._column[self._plan.key_at]]
            owners = self._owners_of(rows, glue, keys)
        if self._plan.key is None:
            data = b"".join(rows)
            for upload in self._uploads:
                await upload.send(data)
        else:
            buckets: list[list[bytes]] = [[] for _ in self._uploads]
            put = [bucket.append for bucket in buckets]
            for row, owner in zip(rows, owners, strict=True):
                put[owner](row)
            await self._upload(owners, [glue.join(b) + glue if b else b"" for b in buckets])
        self._count += len(rows)

    def _owners_of(
        self, rows: Sequence[bytes], glue: bytes, keys: Sequence[bytes]
    ) -> Sequence[int]:
        owners, mask = self._owners, self._mask
        if self._is_integer:
            return [
                owners[crc32(key) & mask] if key else self._owner(rows[n] + glue, n)
                for n, key in enumerate(keys)
            ]
        return [
            self._owner_by(key if key else self._key_of(rows[n] + glue), n)
            for n, key in enumerate(keys)
        ]

    def _key_of(self, row: bytes) -> bytes | None:
        return self._rows.value_at(row, self._plan.key_at)

    def _owner(self, row: bytes, index: int) -> int:
        return self._owner_by(self._key_of(row), index)

    def _owner_by(self, value: bytes | int | None, index: int) -> int:
        """The shard of a key, as it stands in the row with this index of the batch."""
        plan = self._plan
        assert plan.key is not None
        key = key_bytes(value, plan.key, stored=True)
        if isinstance(key, Doubt):
            raise _doubtful(plan, key, self._count + index + 1)
        return self._owners[slot_of(key, self._mask + 1)]

    async def _numbered(
        self, rows: Sequence[bytes], fields: Sequence[Sequence[bytes]]
    ) -> tuple[Sequence[bytes], Sequence[int]]:
        """Rows with their AUTO_INCREMENT numbers, and their shards."""
        plan = self._plan
        assert plan.number is not None
        given = self._given(rows, fields)
        missing = [n for n, number in enumerate(given) if self._is_wanted(number)]
        highest = max((number for number in given if number), default=0)
        if 0 < highest < plan.number.high:
            self._sequences.note(self._keyspace, plan.table, highest)
        made = rows
        if missing:
            take = self._sequences.take
            first = await take(self._keyspace, plan.table, len(missing), plan.number.high)
            self.generated = self.generated or first
            made = list(rows)
            for number, n in enumerate(missing, first):
                given[n] = number
                made[n] = self._with_number(rows[n], b"%d" % number)
        if plan.key is None:
            return made, ()
        if plan.key_at in (-1, plan.number_at):
            return made, [self._owner_by(number, n) for n, number in enumerate(given)]
        return made, self._owners_of(rows, b"", fields[self._column[plan.key_at]])

    def _is_wanted(self, number: int | None) -> bool:
        return number is None or (number == 0 and not self._keeps_zeros)

    def _given(self, rows: Sequence[bytes], fields: Sequence[Sequence[bytes]]) -> list[int | None]:
        """The numbers that the rows bring; None: one is wanted."""
        at = self._plan.number_at
        if at < 0:
            return [None] * len(rows)
        texts = fields[self._column[at]]
        return [int(text) if text else self._number_in(rows[n], n) for n, text in enumerate(texts)]

    def _number_in(self, row: bytes, index: int) -> int | None:
        at = self._plan.number_at
        text = self._rows.value_at(row, at)
        if text is None and self._rows.span(row, at)[0] >= 0:
            return None
        if text is None or not _WHOLE.match(text):
            raise MysqlError(
                1366,
                "HY000",
                "[gate] it is not certain what MySQL stores for the AUTO_INCREMENT column in row "
                f"{self._count + index + 1} of the file: write a whole number, or NULL for one "
                "that the gate gives; nothing was stored",
            )
        return int(text)

    def _with_number(self, row: bytes, number: bytes) -> bytes:
        plan = self._plan
        if plan.number_at >= 0:
            start, end = self._rows.span(row, plan.number_at)
            return row[:start] + number + row[end:]
        lead = plan.format.lines_start
        at = row.find(lead) + len(lead) if lead else 0
        return row[:at] + number + plan.format.fields_end + row[at:]

    async def _upload(self, owners: Sequence[int], parts: Sequence[bytes]) -> None:
        self.numbers.add(owners)
        self._last_owner = owners[-1]
        for owner, part in enumerate(parts):
            if part:
                self._ends[owner] = part[-3:]
                await self._uploads[owner].send(part)


def _is_cut(end: bytes) -> bool:
    """Whether a character of utf8mb4 would go on behind the end."""
    return any(
        byte >= (0xF0 if left == 3 else 0xE0 if left == 2 else 0xC2)
        for left, byte in enumerate(reversed(end), 1)
    )


def _doubtful(plan: LoadData, doubt: Doubt, row: int) -> MysqlError:
    key = plan.key_name
    if doubt is Doubt.NULL:
        text = f"Column '{key}' cannot be null: row {row} of the file has no sharding key"
        return MysqlError(1048, "23000", f"[gate] {text}; nothing was stored")
    return MysqlError(
        1366,
        "HY000",
        f"[gate] it is not certain what MySQL stores for the sharding key {key} of row {row} of "
        "the file, so that its shard is unknown: write it in the type of the column; nothing was "
        "stored",
    )
