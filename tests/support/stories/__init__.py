"""What applications do with frameworks and drivers: the same story on a MySQL and through the gate.

A story makes its tables, works, drops them, and returns what it saw in an order of its own. All of
its tables have the column user_id, by which a keyspace divides them. Nothing in a story knows where
it runs, so two runs must see the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where a story runs."""

    host: str
    port: int
    user: str
    password: str
    database: str


Seen = list[tuple[str, Any]]
"""What was looked at, and what was there."""
Story = Callable[[Place], Seen]


def compare(story: Story, plain: Place, gate: Place) -> None:
    """Tell it at both places; fail at the first thing that was seen otherwise through the gate."""
    expected, seen = story(plain), story(gate)
    assert [what for what, _ in seen] == [what for what, _ in expected]
    for (what, wanted), (_, found) in zip(expected, seen, strict=True):
        assert found == wanted, what
