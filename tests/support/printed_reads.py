"""Plans of reads over several shards in one line, for the pairs of statement and plan.

merge 0,1 LIMIT 3 SKIP 1: text          limit and offset of the answer
  hide 2, order 0, 1 desc bytes         hidden columns, sort keys by their column
  groups 1 values 1: 2 first, 3 sum     folds by their column
finish: pull orders 0,1 (a, b): text; then text
"""

from collections.abc import Callable

from mitosis_gate.planner.plan import (
    Compare,
    ExplainOne,
    Finish,
    Flag,
    Fold,
    GateExplain,
    Hinted,
    Merge,
    Out,
    Plan,
    Pull,
    Recipe,
    SortKey,
)


def printed_read(plan: Plan, printed: Callable[[Plan], str]) -> str | None:
    """None for a plan of another kind; `printed` prints the plans inside."""
    match plan:
        case Merge(shards, text, recipe, flags):
            return f"merge {_list(shards)}{_flags(flags)}{_recipe(recipe)}: {text.decode()}"
        case Finish(pulls, text, values, flags):
            shown = "".join(
                piece.decode() if isinstance(piece, bytes) else f"<{values[piece].decode()}>"
                for piece in text
            )
            return f"finish{_flags(flags)} " + "; ".join([*map(_pull, pulls), shown])
        case Hinted(inner=inner, read=read, scatter=scatter, timeout_seconds=seconds):
            wishes = [f"read {read}"] if read else []
            wishes += [f"scatter {scatter}"] if scatter is not None else []
            wishes += [f"timeout {seconds}"] if seconds is not None else []
            return f"{', '.join(wishes)}: {printed(inner)}"
        case ExplainOne(shard, note):
            return f"explain on {shard}: {note}"
        case GateExplain(inner=inner, statement=statement, analyze=analyze):
            how = "gate explain analyze" if analyze else "gate explain"
            return f"{how} of {statement.decode()} as {printed(inner)}"
    return None


def _recipe(recipe: Recipe) -> str:
    parts = []
    if recipe.hidden:
        parts.append(f"hide {recipe.hidden}")
    if recipe.order:
        parts.append("order " + ", ".join(map(_key, recipe.order)))
    if recipe.groups is not None:
        values = f" values {recipe.values}" if recipe.values else ""
        parts.append(f"groups {recipe.groups}{values} of " + ", ".join(map(_out, recipe.columns)))
    if recipe.resort:
        parts.append("resort " + ", ".join(map(_key, recipe.resort)))
    if recipe.limit is not None:
        skipped = f" skip {recipe.offset}" if recipe.offset else ""
        parts.append(f"limit {recipe.limit}{skipped}")
    return "".join(f" [{part}]" for part in parts)


def _key(key: SortKey) -> str:
    kind = " bytes" if key.compare is Compare.BYTES else ""
    return f"{key.column}{' desc' if key.descending else ''}{kind}"


def _out(out: Out) -> str:
    if out.fold is Fold.FIRST:
        return str(out.column)
    of = f"({_list(out.inputs)})" if out.inputs else ""
    kind = " bytes" if out.compare is Compare.BYTES else ""
    return f"{out.column} {out.fold}{of}{kind}"


def _pull(pull: Pull) -> str:
    by = "".join(f" by {k.column}=pull {k.pull}.{k.other}" for k in pull.lookups)
    shards = _list(pull.shards) or "nowhere"
    return f"pull {pull.name} {shards}{by}: {pull.text.decode()}{pull.tail.decode()}"


def _flags(flags: Flag) -> str:
    return "".join(f" {f.name.lower()}" for f in Flag if f.name and f in flags)


def _list(items: tuple[object, ...]) -> str:
    return ",".join(str(i) for i in items)
