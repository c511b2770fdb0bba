"""Keyspaces as a tree for people."""

import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from mitosis_operator.cli.errors import CliError
from mitosis_operator.cli.overview import KeyspaceView, ShardView
from mitosis_operator.models.status import InstanceState

GIB = 1 << 30
COLUMNS = ("instance", "role", "node", "rack", "idc", "disk used", "lag", "state")
COLOURS = {
    "Ready": "green",
    "Degraded": "yellow",
    "Creating": "cyan",
    "Pending": "cyan",
    "Deleting": "magenta",
    "Unavailable": "red",
    "Refused": "red",
    "primary": "bold",
}
WIDTH_OF_A_PIPE = 160

Views = Sequence[KeyspaceView]


def console() -> Console:
    """A pipe has no width of its own; the usual 80 columns would cut the tree."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH_OF_A_PIPE)


def show(views: Views, target: Console | None = None) -> None:
    (target or console()).print(render(views))


def watch(look: Callable[[], Views], every_seconds: float) -> None:
    """Until Ctrl-C; a look that fails is told and tried again."""
    with Live(Text("looking"), console=console(), auto_refresh=False) as live:
        try:
            while True:
                live.update(_looked(look), refresh=True)
                time.sleep(every_seconds)
        except KeyboardInterrupt:
            return


def _looked(look: Callable[[], Views]) -> RenderableType:
    try:
        return render(look())
    except CliError as exc:
        return Text(f"{exc.message}; trying again", style="red")


def render(views: Views) -> RenderableType:
    if not views:
        return Text(
            "no keyspace here; make one with kubectl apply, or choose another namespace: -n"
        )
    return Group(*(_keyspace(view) for view in views))


def _keyspace(view: KeyspaceView) -> Tree:
    tree = Tree(_headline(view), guide_style="dim")
    _add_remarks(tree, view.remarks)
    for shard in view.shards:
        _add_shard(tree, shard)
    return tree


def _headline(view: KeyspaceView) -> Text:
    if view.missing:
        return _title(view.name, "there is no such keyspace", ["only these shards"])
    facts = [
        f"{view.status.ready_shards} of {view.status.desired_shards} shards ready",
        f"{view.slots} slots",
        f"primary IDC {view.primary_idc}",
    ]
    if view.status.endpoint:
        facts.append(f"gate {view.status.endpoint}")
    phase = "Deleting" if view.deleting else view.status.phase.value
    return _title(view.name, phase, facts)


def _add_shard(tree: Tree, shard: ShardView) -> None:
    facts = [f"slots {shard.slots}", f"epoch {shard.status.epoch}"]
    if shard.status.ready:
        facts.append(f"{shard.status.ready} instances ready")
    operation = shard.status.active_operation
    if operation:
        facts.append(f"{operation.kind} {operation.name}: {operation.step}")
    phase = "Deleting" if shard.deleting else shard.status.phase.value
    branch = tree.add(_title(shard.name, phase, facts))
    _add_remarks(branch, shard.remarks)
    if shard.status.instances:
        branch.add(_instances(shard.status.instances))


def _title(name: str, phase: str, facts: Sequence[str]) -> Text:
    return Text.assemble(
        (name, "bold"), "  ", (phase, COLOURS.get(phase, "")), "  ", (" · ".join(facts), "dim")
    )


def _add_remarks(tree: Tree, remarks: Sequence[str]) -> None:
    for remark in remarks:
        tree.add(Text(f"! {remark}", style="yellow"))


def _instances(instances: Sequence[InstanceState]) -> Table:
    table = Table(*(escape(c) for c in COLUMNS), box=None, pad_edge=False, header_style="dim")
    for instance in sorted(instances, key=lambda i: i.serial):
        role = instance.role.value
        table.add_row(
            instance.name,
            Text(role, style=COLOURS.get(role, "")),
            instance.node or "-",
            instance.rack or "-",
            instance.idc or "-",
            disk(instance),
            lag(instance),
            Text(": ".join(part for part in (instance.state, instance.message) if part)),
        )
    return table


def disk(instance: InstanceState) -> str:
    """`0.4 of 64 GiB (1 %)`; what is not known is left out, never shown as nothing."""
    if instance.size_bytes is None:
        return "-"
    size = f"{instance.size_bytes / GIB:.4g} GiB"
    if instance.used_bytes is None:
        return f"? of {size}"
    percent = 100 * instance.used_bytes / instance.size_bytes if instance.size_bytes else 0
    return f"{instance.used_bytes / GIB:.1f} of {size} ({percent:.0f} %)"


def lag(instance: InstanceState) -> str:
    return "-" if instance.lag_seconds is None else f"{instance.lag_seconds:.1f} s"
