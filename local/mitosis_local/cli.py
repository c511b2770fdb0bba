"""`python -m mitosis_local`: what people type."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click
from rich.table import Table

from mitosis_local import cluster, faults, images, prerequisites, rootfs, state
from mitosis_local.errors import LocalError
from mitosis_local.paths import from_environment
from mitosis_local.progress import console, say
from mitosis_local.state import Settings
from mitosis_local.topology import MAX_NODES

DEFAULTS = Settings()


class Told(click.Group):
    """Shows our errors as what they are: sentences."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except LocalError as error:
            raise click.ClickException(str(error)) from error


class HandedOn(click.Command):
    """All that follows goes to another program, `--` and `--help` too, which click would keep."""

    def parse_args(self, context: click.Context, words: list[str]) -> list[str]:
        context.params = {"arguments": tuple(words)}
        return []


@click.group(cls=Told, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A real Kubernetes of several nodes on this machine. Needs root; see local/README.md."""


@main.command()
@click.option("--nodes", type=click.IntRange(1, MAX_NODES), default=DEFAULTS.nodes)
@click.option("--api-port", type=int, default=DEFAULTS.api_port, help="On 127.0.0.1.")
@click.option("--gate-port", type=int, default=DEFAULTS.gate_port, help="On 127.0.0.1.")
@click.option("--room", default=DEFAULTS.room_per_node, help="Disk room of each node.")
@click.option("--with-images", is_flag=True, help="Build the project's images and load them.")
def up(nodes: int, api_port: int, gate_port: int, room: str, with_images: bool) -> None:
    """Start the cluster, or say that it runs."""
    cluster.up(Settings(nodes, api_port, gate_port, room), with_images)
    paths = from_environment()
    say(f"kubectl: export KUBECONFIG={paths.kubeconfig}")
    say(f"gate:    mysql -h 127.0.0.1 -P {gate_port} (once it is installed)")


@main.command()
def down() -> None:
    """Take the cluster down; nothing is left behind."""
    cluster.down()


def _words(node: cluster.NodeStatus) -> str:
    if not node.running:
        return "off"
    states = [(node.frozen, "frozen"), (not node.connected, "cut off"), (node.ready, "Ready")]
    return ", ".join(word for holds, word in states if holds) or "NotReady"


@main.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def status(output: str) -> None:
    """Show the nodes; ends with 1 when something is not as it should be."""
    found = cluster.status()
    rows = [
        {
            "node": each.node.name,
            "idc": each.node.idc,
            "rack": each.node.rack,
            "address": each.node.address,
            "state": _words(each),
            "pods": each.pods,
        }
        for each in found.nodes
    ]
    if output == "json":
        whole = {"healthy": found.healthy, "dead": found.dead, "nodes": rows}
        click.echo(json.dumps(whole, indent=2))
    else:
        table = Table(*rows[0], box=None)
        for row in rows:
            table.add_row(*map(str, row.values()))
        console.print(table)
        say(f"API server {'ready' if found.api_ready else 'not ready'}")
        for name in found.dead:
            say(f"not running: {name}")
    sys.exit(0 if found.healthy else 1)


def _fault(name: str, act: Callable[[str], None], help_text: str) -> None:
    @main.command(name, help=help_text)
    @click.argument("node")
    def command(node: str) -> None:
        act(node)


_fault("kill", faults.kill_node, "Pull a node's plug.")
_fault("start", faults.start_node, "Switch a killed node on again, with its disks.")
_fault("freeze", faults.freeze, "Stop a whole node between two instructions.")
_fault("thaw", faults.thaw, "Let a frozen node go on.")
_fault("cut", faults.cut, "Take a node off the network; it keeps running.")
_fault("heal", faults.heal, "Put a cut node back on the network.")


@main.command()
@click.argument("target", metavar="NODE|PVC")
@click.argument("percent", type=float)
def fill(target: str, percent: float) -> None:
    """Use up a volume, or all volumes of a node, to PERCENT."""
    faults.fill(target, percent)


@main.command()
@click.argument("target", metavar="NODE|PVC")
def unfill(target: str) -> None:
    """Give back what `fill` took."""
    faults.unfill(target)


@main.command(name="images")
@click.option("--print", "only_print", is_flag=True, help="Build nothing; say what was built last.")
def images_command(only_print: bool) -> None:
    """Build the images that changed; prints repository and tag of each as JSON."""
    paths = from_environment()
    known = images.last_built(paths) if only_print else images.build(paths)
    click.echo(json.dumps(images.values(known), indent=2))


@main.command()
def load() -> None:
    """Build what changed and bring it to the running nodes; prints the tags as JSON."""
    click.echo(json.dumps(images.values(cluster.load_images()), indent=2))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def context(folder: Path) -> None:
    """Write the build context of the Dockerfile into FOLDER, for any other image builder."""
    if folder.exists() and any(folder.iterdir()):
        raise LocalError(f"{folder} is not empty; choose a new folder")
    images.context(from_environment(), folder)


@main.command(name="exec", context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_command(command: tuple[str, ...]) -> None:
    """Run COMMAND inside the hub, where pods are reached by their addresses."""
    words = cluster.in_hub(*command)
    os.execvpe(words[0], words, cluster.environment())


@main.command(cls=HandedOn)
@click.argument("arguments", nargs=-1)
def kubectl(arguments: tuple[str, ...]) -> None:
    """Run the cluster's own kubectl."""
    program = state.require(from_environment()).programs / "kubectl"
    _with_kubeconfig(program, arguments)


@main.command(cls=HandedOn)
@click.argument("arguments", nargs=-1)
def helm(arguments: tuple[str, ...]) -> None:
    """Run Helm against the cluster."""
    _with_kubeconfig(state.require(from_environment()).programs / "helm", arguments)


def _with_kubeconfig(program: Path, arguments: tuple[str, ...]) -> None:
    environment = os.environ | {"KUBECONFIG": str(from_environment().kubeconfig)}
    os.execve(program, [str(program), *arguments], environment)


@main.command()
def kubeconfig() -> None:
    """Print the path of the kubeconfig for this host."""
    state.require(from_environment())
    click.echo(from_environment().kubeconfig)


@main.command(name="prerequisites")
def prerequisites_command() -> None:
    """Check the machine and install what Debian can provide."""
    installed = prerequisites.ensure(from_environment())
    say(f"installed {', '.join(installed)}" if installed else "everything is there")


@main.command(cls=HandedOn)
@click.argument("arguments", nargs=-1)
def mysql(arguments: tuple[str, ...]) -> None:
    """Open a MySQL session through the gate; ARGUMENTS go to the mysql client."""
    paths = from_environment()
    port = state.require(paths).settings.gate_port
    rootfs.ensure(paths)
    program = paths.bin / "mysql"
    words = [str(program), "--host=127.0.0.1", f"--port={port}", *arguments]
    os.execv(program, words)
