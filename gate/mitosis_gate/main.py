"""Start of the gate process: settings, log, and then one process or several.

With one worker this process serves clients itself (`process.Gate`). With more it starts them,
serves the admin port for all, and passes SIGTERM on (`workers.Fleet`).
"""

import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mitosis_gate import settings as options
from mitosis_gate.errors import NotStarted
from mitosis_gate.settings import Settings

FIGURES = "PROMETHEUS_MULTIPROC_DIR"


def main() -> None:
    """Entry point of `mitosis-gate`."""
    sys.exit(run(sys.argv[1:], os.environ))


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return the exit status: 0 after a drain, 2 for settings that cannot work."""
    try:
        settings = options.from_arguments(arguments, environment)
        start_logging(settings)
        if settings.workers > 1 and not settings.worker:
            return _run_workers(settings, arguments)
        return _run_one(settings)
    except NotStarted as exc:
        sys.stderr.write(f"mitosis-gate: {exc}\n")
        return 2


def _run_one(settings: Settings) -> int:
    import uvloop

    from mitosis_gate.process import Gate

    return uvloop.run(Gate(settings).serve())


def _run_workers(settings: Settings, arguments: Sequence[str]) -> int:
    """The folder of the figures must be known before prometheus-client is loaded."""
    os.environ.setdefault(FIGURES, tempfile.mkdtemp(prefix="mitosis-gate-"))
    from mitosis_gate import metrics, workers

    metrics.prepare_directory(Path(os.environ[FIGURES]))
    return asyncio.run(workers.serve(settings, arguments))


def start_logging(settings: Settings) -> None:
    """One line for each event: time, level, worker, module, text."""
    who = f" worker={settings.worker}" if settings.worker else ""
    formatter = logging.Formatter(
        f"%(asctime)s.%(msecs)03dZ level=%(levelname)s{who} at=%(name)s %(message)s",
        "%Y-%m-%dT%H:%M:%S",
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)


if __name__ == "__main__":
    main()
