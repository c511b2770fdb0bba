"""Errors of the local cluster.

LocalError            anything the person at the terminal should read as one sentence
  CommandFailed       a program ended with an error; carries the end of its output
  TimedOut            a condition did not come true within its limit; names the log to read
  Missing             a prerequisite of the machine is not there
"""

from pathlib import Path


class LocalError(Exception):
    pass


class CommandFailed(LocalError):
    def __init__(self, command: list[str], code: int, output: str) -> None:
        tail = "\n".join(output.strip().splitlines()[-15:])
        super().__init__(f"`{' '.join(command)}` ended with {code}: {tail}")
        self.code = code


class TimedOut(LocalError):
    def __init__(self, what: str, seconds: float, log: Path | None = None) -> None:
        where = f"; read {log}" if log else ""
        super().__init__(f"waited {seconds:.0f} s for {what}, in vain{where}")


class Missing(LocalError):
    pass
