"""LOAD DATA LOCAL: the client's file to the shards while it comes, each row to its own.

Rows stay the bytes that they are, so that each server converts values as it would have the whole
file. All shards load in one transaction. A row whose shard is not certain ends the statement: what
follows of the file is read and dropped, and nothing of it is stored.
"""

import asyncio
from array import array
from collections.abc import Sequence
from zlib import crc32

from mitosis_gate.backends.upload import Upload
from mitosis_gate.errors import GateError, LocalFilesOff, MysqlError
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.file_rows import FileRows
from mitosis_gate.executor.sequences import Sequences
from mitosis_gate.executor.writes import Answer, Backends, heard, set_clock, summed
from mitosis_gate.planner.plan import LoadData, Part
from mitosis_gate.wire import constants as c
from mitosis_routing.hashing import Doubt, KeyKind, key_bytes, slot_of

_INFO = b"Records: %d  Deleted: %d  Skipped: %d  Warnings: %d"
_ZERO = b"0"[0]


async def load(plan: LoadData, client: Client, sequences: Sequences) -> None:
    if not client.capabilities & c.CLIENT_LOCAL_FILES:
        raise LocalFilesOff(
            "Loading local data is disabled; this must be enabled on both the client and server "
            "sides"
        )
    names = [client.table.shards[index].name for index in plan.shards]
    async with client.writing(names) as backends:
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
    answers = await asyncio.gather(*(upload.end() for upload in uploads))
    rows = divider.rows_of if divider is not None else [array("Q") for _ in uploads]
    parts = [Part(shard, b"", tuple(r)) for shard, r in zip(plan.shards, rows, strict=True)]
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
        self._rows = FileRows(plan.format)
        self._slots = client.table.slots
        self._owners = client.table.slot_owners()
        self._is_integer = plan.key is not None and plan.key.kind is KeyKind.INTEGER
        high = plan.key.high if plan.key is not None else 0
        self._digits = len(str(high)) if self._is_integer else 0
        self._count = 0
        self.generated = 0
        """The first AUTO_INCREMENT number that was given."""
        self.rows_of = [array("Q") for _ in uploads]
        """For each shard the numbers of its rows in the file."""

    async def take(self, data: bytes) -> None:
        rows, is_plain = self._rows.feed(data)
        await self._send(rows, is_plain)

    async def finish(self) -> None:
        await self._send(self._rows.finish(), False)

    async def _send(self, rows: list[bytes], is_plain: bool) -> None:
        if not rows:
            return
        owners: list[int] | None = None
        if self._plan.number is not None:
            rows, owners = await self._numbered(rows)
        elif is_plain and self._is_integer:
            owners = self._plain_owners(rows)
        if owners is None:
            owners = [self._owner(row, number) for number, row in enumerate(rows, self._count + 1)]
        await self._upload(rows, owners)
        self._count += len(rows)

    def _plain_owners(self, rows: Sequence[bytes]) -> list[int] | None:
        """Of rows whose keys are plain whole numbers; None when one is not."""
        at, term = self._plan.key_at, self._plan.format.fields_end
        owners, mask, digits = self._owners, self._slots - 1, self._digits
        found = []
        for row in rows:
            fields = row.split(term, at + 1)
            if len(fields) <= at:
                return None
            key = fields[at]
            if not (len(key) < digits and key.isdigit() and key[0] != _ZERO):
                return None
            found.append(owners[crc32(key) & mask])
        return found

    def _owner(self, row: bytes, number: int) -> int:
        plan = self._plan
        assert plan.key is not None
        start, end = self._rows.span(row, plan.key_at)
        value = self._rows.value(row[start:end]) if start >= 0 else None
        key = key_bytes(value, plan.key, stored=True)
        if isinstance(key, Doubt):
            raise _doubtful(plan, key, number)
        return self._owners[slot_of(key, self._slots)]

    async def _numbered(self, rows: list[bytes]) -> tuple[list[bytes], list[int] | None]:
        """Rows with their AUTO_INCREMENT numbers, and their shards."""
        plan = self._plan
        assert plan.number is not None
        given = [self._given(row) for row in rows]
        zeros = (None,) if self._keeps_zeros else (None, 0)
        count = sum(1 for number in given if number in zeros)
        highest = max((n for n in given if n), default=0)
        if 0 < highest < plan.number.high:
            self._sequences.note(self._keyspace, plan.table, highest)
        following = 0
        if count:
            take = self._sequences.take
            following = await take(self._keyspace, plan.table, count, plan.number.high)
            self.generated = self.generated or following
        made = []
        for row, number in zip(rows, given, strict=True):
            if number in zeros:
                made.append(self._with_number(row, b"%d" % following))
                following += 1
            else:
                made.append(row)
        if plan.key is None:
            return made, [0] * len(made)
        return made, self._owners_of_numbered(made)

    def _owners_of_numbered(self, rows: Sequence[bytes]) -> list[int]:
        """Of rows that have their numbers, so that the key may be one."""
        plan = self._plan
        if plan.number_at >= 0:
            return [self._owner(row, n) for n, row in enumerate(rows, self._count + 1)]
        # the number was put before all fields of the file
        assert plan.key is not None
        found = []
        for number, row in enumerate(rows, self._count + 1):
            start, end = self._rows.span(row, plan.key_at + 1)
            value = self._rows.value(row[start:end]) if start >= 0 else None
            key = key_bytes(value, plan.key, stored=True)
            if isinstance(key, Doubt):
                raise _doubtful(plan, key, number)
            found.append(self._owners[slot_of(key, self._slots)])
        return found

    def _given(self, row: bytes) -> int | None:
        """The number that a row brings; None: one is wanted; -1: MySQL will judge it."""
        if self._plan.number_at < 0:
            return None
        start, end = self._rows.span(row, self._plan.number_at)
        value = self._rows.value(row[start:end]) if start >= 0 else None
        if value is None:
            return None
        text = value.strip()
        return int(text) if text.isdigit() else 0 if not text else -1

    def _with_number(self, row: bytes, number: bytes) -> bytes:
        plan = self._plan
        if plan.number_at >= 0:
            start, end = self._rows.span(row, plan.number_at)
            return row[:start] + number + row[end:] if start >= 0 else row
        lead = plan.format.lines_start
        at = row.find(lead) + len(lead) if lead else 0
        return row[:at] + number + plan.format.fields_end + row[at:]

    async def _upload(self, rows: Sequence[bytes], owners: Sequence[int]) -> None:
        end = self._plan.format.lines_end
        if self._plan.key is None:
            data = end.join(rows) + end
            for upload in self._uploads:
                await upload.send(data)
            self.rows_of[0].extend(range(self._count + 1, self._count + len(rows) + 1))
            return
        buckets: list[list[bytes]] = [[] for _ in self._uploads]
        number = self._count
        for row, owner in zip(rows, owners, strict=True):
            number += 1
            buckets[owner].append(row)
            self.rows_of[owner].append(number)
        for upload, bucket in zip(self._uploads, buckets, strict=True):
            if bucket:
                await upload.send(end.join(bucket) + end)


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
