"""What each shard says about its part of the same things, as one answer: SHOW TABLE STATUS, sizes.

Rows are those of the first shard, in its order. For a table that is divided among the shards, what
the others say about it is added up; of every other table each shard that has it has all of it.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from mitosis_gate.executor.client import Client
from mitosis_gate.planner.plan import Together
from mitosis_gate.wire import packets

Row = list[bytes | None]
_AVERAGE, _TOTAL, _COUNT = "avg_row_length", "data_length", "rows"


async def carry_out(plan: Together, sql: bytes, client: Client) -> None:
    definitions: Sequence[bytes] = ()
    answers: list[list[Row]] = []
    warnings = 0
    for index in plan.shards:
        shard = client.table.shards[index].name
        backend = await client.backend(shard, outside=True)
        try:
            result = await backend.query(sql)
        finally:
            client.give_back(backend)
        if not answers:
            definitions, warnings = result.columns, result.ok.warnings
        answers.append(result.values())
    names = [packets.column(definition).name.lower() for definition in definitions]
    rows = merged(plan, names, answers)
    client.send_result(definitions, [packets.text_row(row) for row in rows], warnings)


def merged(plan: Together, names: Sequence[str], answers: Sequence[Sequence[Row]]) -> list[Row]:
    """The rows of the first answer, with what the others add."""
    first, others = answers[0], answers[1:]
    table = next((names.index(n) for n in ("name", "table", "table_name") if n in names), None)
    sums = [place for place, name in enumerate(names) if name in plan.sums]
    if table is None or not sums:
        return list(first)
    same = [place for place, name in enumerate(names) if name in plan.keys]
    rows = {_key(row, same): list(row) for row in first}
    for row in (row for answer in others for row in answer):
        mine = rows.get(_key(row, same))
        if mine is None or (row[table] or b"").decode() not in plan.divided:
            continue
        for place in sums:
            mine[place] = _sum((mine[place], row[place]))
    _average(names, rows.values())
    return list(rows.values())


def _key(row: Row, places: Sequence[int]) -> tuple[bytes | None, ...]:
    return tuple(row[place] for place in places)


def _sum(values: Iterable[bytes | None]) -> bytes | None:
    known = [Decimal(value.decode()) for value in values if value is not None]
    return str(sum(known, Decimal())).encode() if known else None


def _average(names: Sequence[str], rows: Iterable[Row]) -> None:
    """SHOW TABLE STATUS shows also what a row takes on average."""
    if not {_AVERAGE, _TOTAL, _COUNT} <= set(names):
        return
    average, total, count = (names.index(name) for name in (_AVERAGE, _TOTAL, _COUNT))
    for row in rows:
        size, number = row[total], row[count]
        if size is not None and number is not None and int(number):
            row[average] = b"%d" % (int(size) // int(number))
