"""Tell the person at the terminal what happens and how long it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

Tell = Callable[[str], None]
console = Console(stderr=True, highlight=False)


@contextmanager
def step(title: str) -> Iterator[Tell]:
    """Show a step while it runs; what is yielded shows a detail of it."""
    begun = time.monotonic()
    with console.status(title) as shown:
        yield lambda detail: shown.update(f"{title}: {detail}")
    console.print(f"[green]✓[/green] {title:<44} {time.monotonic() - begun:6.1f} s")


def say(text: str) -> None:
    console.print(text)
