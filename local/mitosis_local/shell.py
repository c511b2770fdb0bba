"""Run programs and wait for conditions: nothing else starts a process to read its result."""

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from mitosis_local.errors import CommandFailed, TimedOut


def run(
    *command: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    text: str | None = None,
) -> str:
    """Run a program to its end and return what it wrote to standard output."""
    words = [str(word) for word in command]
    done = subprocess.run(words, env=env, cwd=cwd, input=text, capture_output=True, text=True)
    if done.returncode:
        raise CommandFailed(words, done.returncode, done.stderr or done.stdout)
    return done.stdout.strip()


def succeeds(*command: str | Path) -> bool:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True).returncode == 0


def wait_for(
    what: str,
    condition: Callable[[], bool],
    seconds: float,
    log: Path | None = None,
    pause_seconds: float = 0.1,
) -> None:
    """Return when the condition holds; a condition may raise to give up early."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimedOut(what, seconds, log)
        time.sleep(pause_seconds)
