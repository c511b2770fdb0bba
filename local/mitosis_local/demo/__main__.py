"""`python -m mitosis_local.demo`, which is `make demo`."""

import sys
import time

from mitosis_local import cluster, state
from mitosis_local.demo import install, load, tour
from mitosis_local.errors import LocalError
from mitosis_local.paths import from_environment
from mitosis_local.progress import console, say
from mitosis_operator.cli.errors import CliError

INTERRUPTED = 130


def main() -> int:
    begun = time.monotonic()
    try:
        run()
    except (LocalError, CliError) as exc:
        say(f"[red]✗[/red] the demo stopped after {time.monotonic() - begun:.0f} s:")
        console.print(str(exc), markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        say("stopped; `make demo` goes on from here, `make down` takes everything down")
        return INTERRUPTED
    say(f"[green]✓[/green] all in {time.monotonic() - begun:.0f} s; it stays until `make down`")
    return 0


def run() -> None:
    cluster.up(with_images=True)
    paths = from_environment()
    known = state.require(paths)
    place = install.Place(known.programs, paths.kubeconfig)
    install.release(place)
    install.keyspace(place)
    objects = install.connect(place)
    gate = load.Gate("127.0.0.1", known.settings.gate_port, install.passwords(objects))
    table = objects.routing_table(install.KEYSPACE)
    load.make_schema(gate)
    load.fill(gate, table)
    tour.show(objects, gate, table, paths, known)


if __name__ == "__main__":
    sys.exit(main())
