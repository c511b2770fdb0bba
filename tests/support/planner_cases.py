"""The files of statements and plans in `tests/planner/cases/`.

A file says its keyspace in a comment (a name of `keyspaces.KEYSPACES`), then holds statements, each
followed by `--> ` and the plan in one line. A statement that has several lines ends at its plan.
"""

from collections.abc import Iterator
from pathlib import Path

from mitosis_gate.planner.plan import (
    ComputedWrite,
    CopyRows,
    Flag,
    KeyedWrite,
    LimitedWrite,
    LoadData,
    MovedRows,
    NumberedWrite,
    OneShard,
    Plan,
    SplitWrite,
)

CASES = Path(__file__).parents[1] / "planner" / "cases"


def read_cases(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield keyspace, statement and expected plan."""
    keyspace, lines = "", []
    for line in path.read_text().splitlines():
        if line.startswith("-- keyspace: "):
            keyspace = line.removeprefix("-- keyspace: ")
        elif line.startswith("--> "):
            yield keyspace, "\n".join(lines), line.removeprefix("--> ")
            lines = []
        elif line.strip() and not line.startswith("-- title: "):
            lines.append(line)
    assert not lines, f"{path.name} ends without a plan"


def all_statements() -> list[bytes]:
    return [sql.encode() for path in sorted(CASES.glob("*.sql")) for _, sql, _ in read_cases(path)]


def printed_write(plan: Plan) -> str | None:
    """A plan of a write to several shards; None for any other. Numbers are given from 7 on."""
    match plan:
        case SplitWrite(parts=parts, wrote=wrote, alike=alike):
            if alike or len({part.sql for part in parts}) == 1:
                shards = ",".join(str(part.shard) for part in parts)
                how = "alike on" if alike else "on"
                return f"{wrote} {how} {shards}: {parts[0].sql.decode()}{_told(plan.flags)}"
            texts = (f"{part.shard}: {part.sql.decode()}" for part in parts)
            return f"{wrote} {' | '.join(texts)}{_told(plan.flags)}"
        case NumberedWrite(table=table, column=column, rows=rows):
            count, brought = rows.wanted(keep_zeros=False)
            write = rows.split(7, keep_zeros=False)
            if isinstance(write, OneShard):
                text = f"shard {write.shard}{_told(write.flags)}"
            else:
                text = printed_write(write) or f"{write}"
            return f"{count} numbers of {table}.{column}, brings {brought}: {text}"
        case ComputedWrite(asks=asks, pieces=pieces):
            told = (a.decode() if isinstance(a, bytes) else f"DEFAULT({a.column})" for a in asks)
            text = b"{}".join(pieces).decode()
            how = "read" if plan.reads else "compute"
            return f"{how} {' | '.join(told)} for {text}{_told(plan.flags)}"
        case KeyedWrite(shards=shards, chosen=chosen, before=before):
            on = ",".join(map(str, shards))
            keys = b", ".join(plan.keys).decode()
            text = f"{plan.wrote} on {on}: {before.decode()} WHERE {keys} are those of "
            return f"{text}{chosen.decode()}{_told(plan.flags)}"
        case LimitedWrite(shards=shards, before=before, limit=limit, after=after, chosen=chosen):
            on = ",".join(map(str, shards))
            text = f"{plan.wrote} {limit} rows on {on}: {(before + b'{}' + after).decode()}"
            return f"{text}{' chosen by ' + chosen.decode() if chosen else ''}{_told(plan.flags)}"
        case CopyRows(select=select, before=before, after=after):
            text = f"copy {select.decode()} into {(before + b'{}' + after).decode()}"
            return text + _told(plan.flags)
        case LoadData(shards=shards, key_at=key_at, number_at=number_at):
            form = plan.format
            options = (form.fields_end, form.enclosed, form.escaped, form.lines_start)
            how = f" cut by {options} {form.lines_end!r}" if plan.key or plan.number else ""
            at = f", key {key_at}" if plan.key else ""
            at += f", number {number_at}" if plan.number else ""
            return f"load on {','.join(map(str, shards))}{at}: {plan.text.decode()}{how}"
        case MovedRows(shards=shards, target=target, source=source, where=where):
            on = ",".join(map(str, shards))
            values = ", ".join(f"{name} = {text.decode()}" for name, text in plan.assigned)
            return f"move {source.decode()} on {on} to {target}: {values} where {where.decode()}"
    return None


def _told(flags: Flag) -> str:
    names = [f.name.lower() for f in Flag if f.name and f in flags and f is not Flag.WRITE]
    return f" ({' '.join(names)})" if names else ""
