"""`mitosis`, also as `kubectl mitosis`: what people type. It shows and connects, nothing else.

What is slow to import (the Kubernetes client, rich) is imported by the command that needs it.
"""

import click

from mitosis_operator.cli.cluster import Address, Cluster, KubeCluster
from mitosis_operator.cli.errors import CliError

AS_JSON = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Form of the answer.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-n", "--namespace", help="Namespace of the keyspaces; else that of the context.")
@click.option("--kubeconfig", type=click.Path(dir_okay=False), help="Else as for kubectl.")
@click.option("--context", "kube_context", help="Context of the kubeconfig; else its current one.")
@click.pass_context
def main(
    ctx: click.Context, namespace: str | None, kubeconfig: str | None, kube_context: str | None
) -> None:
    """Elastic sharded MySQL on Kubernetes: see keyspaces, find rows, open sessions."""
    if ctx.obj is None:
        ctx.obj = Address(namespace, kubeconfig, kube_context)


@main.command()
@click.argument("keyspace", required=False)
@click.option("-n", "--namespace", help="As before the command.")
@click.option("-w", "--watch", is_flag=True, help="Show changes until Ctrl-C.")
@click.option("--every", default=2.0, show_default=True, help="Seconds between two looks.")
@AS_JSON
@click.pass_obj
def status(
    obj: Address | Cluster,
    keyspace: str | None,
    namespace: str | None,
    watch: bool,
    every: float,
    output: str,
) -> None:
    """Show shards and instances: where they are, how full, what is wrong and what helps."""
    from mitosis_operator.cli import overview, tree

    cluster = _cluster(obj, namespace)
    if watch and output == "json":
        raise CliError("--watch shows a tree; leave out `-o json`, or ask for it again and again")
    if watch:
        tree.watch(lambda: overview.look(cluster, keyspace), every)
    elif output == "json":
        click.echo(overview.to_json(overview.look(cluster, keyspace)))
    else:
        tree.show(overview.look(cluster, keyspace))


@main.command()
@click.argument("keyspace")
@click.argument("table")
@click.argument("value")
@click.option("-n", "--namespace", help="As before the command.")
@click.option(
    "--kind",
    type=click.Choice(["integer", "text", "binary", "date", "datetime"]),
    help="Kind of the sharding key's column; else the value is hashed as it is typed.",
)
@AS_JSON
@click.pass_obj
def route(
    obj: Address | Cluster,
    keyspace: str,
    table: str,
    value: str,
    namespace: str | None,
    kind: str | None,
    output: str,
) -> None:
    """Say where the rows of TABLE with the sharding key VALUE are: slot, shard, primary."""
    import json

    from mitosis_operator.cli import routes
    from mitosis_routing.hashing import KeyKind

    found = routes.find(
        _cluster(obj, namespace).routing_table(keyspace),
        table,
        value,
        KeyKind(kind) if kind else None,
    )
    click.echo(json.dumps(found.to_json(), indent=2) if output == "json" else found.to_text())


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("keyspace")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("-n", "--namespace", help="As before the command.")
@click.option("--as", "user", metavar="USER", help="User of the keyspace; else its first one.")
@click.option("--via", metavar="HOST:PORT", help="Address of a gate; else one is forwarded to.")
@click.option("--client", default="mysql", show_default=True, help="The client to start.")
@click.pass_context
def mysql(
    ctx: click.Context,
    keyspace: str,
    arguments: tuple[str, ...],
    namespace: str | None,
    user: str | None,
    via: str | None,
    client: str,
) -> None:
    """Open a session through the gate. What follows `--` goes to the mysql client:

    mitosis mysql shop -- -e 'SELECT COUNT(*) FROM users'
    """
    from mitosis_operator.cli import session

    cluster = _cluster(ctx.obj, namespace)
    ctx.exit(session.run(cluster, keyspace, arguments, user=user, via=via, client=client))


@main.command()
def version() -> None:
    """Say which version this is."""
    from importlib.metadata import version as version_of

    from mitosis_routing.codec import FORMAT

    click.echo(f"mitosis {version_of('mitosis')}, reads routing tables of format {FORMAT}")


def _cluster(obj: Address | Cluster, namespace: str | None) -> Cluster:
    """Connect now, not before: `--help` and mistakes in options need no cluster."""
    return KubeCluster.connect(obj.within(namespace)) if isinstance(obj, Address) else obj
