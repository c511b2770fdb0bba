"""Who enters a backend."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Account:
    """A user of one keyspace. Equal accounts share connections; a new password makes another."""

    keyspace: str
    user: str
    password: str = field(repr=False)
