"""The session's variables while statements run inside a statement: what only an answer obeys."""

import contextlib
import time
from collections.abc import Iterator

from mitosis_gate.executor.client import Client


@contextlib.contextmanager
def inside(client: Client, at_one_time: bool = False) -> Iterator[None]:
    """A SELECT whose rows no client gets is not cut off by sql_select_limit.

    `at_one_time`: NOW() says the same in all of them, on all connections.
    """
    before = client.variables
    wanted = before.without("sql_select_limit")
    if at_one_time and before.get("timestamp") is None:
        wanted = wanted.with_("timestamp", b"%.6f" % time.time())
    client.variables = wanted
    try:
        yield
    finally:
        client.variables = before
