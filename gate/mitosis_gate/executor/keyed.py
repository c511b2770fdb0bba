"""UPDATE and DELETE by primary keys that a read over several shards has found.

All happens in the transaction of the statement: what is read stays locked until it is committed.
Before anything is read a server has judged the statement, so that its errors are MySQL's own.
"""

from collections.abc import Iterator, Sequence
from typing import cast

from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.variables import is_off
from mitosis_gate.errors import MysqlError, NotSupported
from mitosis_gate.executor.captured import Captured
from mitosis_gate.executor.client import Client
from mitosis_gate.executor.computing import captured, judged
from mitosis_gate.executor.copying import CopyLimits, Execute, writer
from mitosis_gate.executor.inside import inside
from mitosis_gate.executor.strict import judge_choice
from mitosis_gate.executor.writes import Answer, heard, run_part, summed
from mitosis_gate.planner import plan as plans
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import KeyedWrite, Part, Refuse, Wrote
from mitosis_gate.planner.rules import shards_of
from mitosis_gate.wire import packets
from mitosis_gate.wire.packets import Ok

_MOST_KEYS = 1000
_MATCHED = b"Rows matched: %d  Changed: %d  Warnings: %d"


async def carry_out(
    plan: KeyedWrite,
    sql: bytes,
    planner: Planner,
    client: Client,
    execute: Execute,
    limits: CopyLimits,
) -> None:
    choice = planner.route(plan.chosen, client.variant)
    if isinstance(choice, Refuse):
        raise MysqlError(choice.code, choice.sqlstate, choice.message)
    safe = client.variables.get("sql_safe_updates")
    if safe is not None and not is_off(safe):
        raise NotSupported(
            "sql_safe_updates wants to know by which key the rows are found, and they lie on "
            "several shards: SET sql_safe_updates = 0"
        )
    table = client.table
    used = {*plan.shards, table.slot_owners()[0], *shards_of(choice)}
    if not isinstance(choice, plans.Finish | plans.Scatter | plans.Merge):
        used = set(range(len(table.shards)))
    names = [table.shards[index].name for index in sorted(used)]
    total = Answer()
    with inside(client, plan.reads_clock):
        async with client.writing(names) as backends:
            held = dict(backends)
            await judged(held[table.shards[table.slot_owners()[0]].name], sql)
            read = captured(client, held, limits)
            await execute(choice, plan.chosen, cast(Client, read))
            if read.ok.warnings:
                await judge_choice(
                    plan.before, plan.limit, read.told, len(read.rows), backends[0][1]
                )
            lent: list[tuple[str, BackendConnection]] = []
            parts = list(_parts(plan, read, client))
            answers: list[Ok] = []
            for part in parts:
                name = table.shards[part.shard].name
                lent.append((name, held[name]))
                answers.append(await run_part(held[name], part))
            total.affected = sum(ok.affected for ok in answers)
            total.warnings = sum(ok.warnings for ok in answers)
            if plan.wrote is Wrote.UPDATE:
                total.info = summed(_MATCHED, [ok.info for ok in answers])
            if parts:
                await heard(total, lent, parts, answers)
            total.hear_more(read.told)
    total.send(client)


def _parts(plan: KeyedWrite, read: Captured, client: Client) -> Iterator[Part]:
    """The statement for the rows of each shard, in the order of the shards."""
    columns = [packets.column(definition) for definition in read.columns[1:]]
    writers = [writer(column, client) for column in columns]
    owners = client.table.slot_owners()
    found: dict[int, list[bytes]] = {}
    for row in read.rows:
        slot, *values = packets.read_text_row(row)
        texts = [write(value or b"") for write, value in zip(writers, values, strict=True)]
        found.setdefault(owners[int(slot or 0)], []).append(_listed(texts))
    left = _listed(plan.keys)
    for shard, keys in sorted(found.items()):
        for start in range(0, len(keys), _MOST_KEYS):
            some = b", ".join(keys[start : start + _MOST_KEYS])
            yield Part(shard, b"%b WHERE %b IN (%b)" % (plan.before, left, some))


def _listed(items: Sequence[bytes]) -> bytes:
    return items[0] if len(items) == 1 else b"(" + b", ".join(items) + b")"
