"""Follow the published routing tables and obey them, epochs only upward.

What is obeyed is a whole table at a time; nobody sees half of a change. While the API server does
not answer, the last tables stay in force: a gate stops serving for what MySQL says, never because
Kubernetes is away. One RoutingTable object is one line of history: within it (same uid) versions
and epochs never fall, whatever the API server sends. A deleted object takes its keyspace with it,
and one made anew under the same name begins a new history.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitosis_gate import metrics
from mitosis_gate.api_server import Event, RoutingApi
from mitosis_gate.errors import KubernetesError, ResourceVersionGone, UnknownDatabase
from mitosis_routing import codec
from mitosis_routing.table import RoutingTable, may_follow

log = logging.getLogger(__name__)

WATCH_SECONDS = 30.0
"""A watch that ends in time proves that the tables are fresh, so it is kept short."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 15.0
FILE_CHECK_SECONDS = 0.2


@dataclass(frozen=True)
class Obeyed:
    """A table in force, and where it came from."""

    namespace: str
    uid: str
    table: RoutingTable


Listener = Callable[[str, RoutingTable | None], None]


class RoutingBook:
    """The tables in force, by keyspace; what the rest of the gate looks at."""

    def __init__(self) -> None:
        self._obeyed: dict[str, Obeyed] = {}
        self._listeners: list[Listener] = []
        self._changed = asyncio.Condition()
        self._wakers: set[asyncio.Task[None]] = set()

    @property
    def tables(self) -> Mapping[str, RoutingTable]:
        return {keyspace: o.table for keyspace, o in self._obeyed.items()}

    def get(self, keyspace: str) -> RoutingTable | None:
        obeyed = self._obeyed.get(keyspace)
        return obeyed.table if obeyed else None

    def table(self, keyspace: str) -> RoutingTable:
        obeyed = self._obeyed.get(keyspace)
        if obeyed is None:
            raise UnknownDatabase(f"Unknown database '{keyspace}': no keyspace of this name")
        return obeyed.table

    def namespace(self, keyspace: str) -> str:
        return self._obeyed[keyspace].namespace

    def subscribe(self, listener: Listener) -> None:
        """Call with each keyspace and its new table, None when it is gone; also for those known."""
        self._listeners.append(listener)
        for keyspace, obeyed in self._obeyed.items():
            listener(keyspace, obeyed.table)

    def offer(self, new: Obeyed) -> str:
        """Obey the table, or say why not."""
        keyspace = new.table.keyspace
        kind, reason = _why_not(new, self._obeyed.get(keyspace))
        if kind:
            metrics.ROUTING_REFUSED.labels(reason=kind).inc()
            log.error(
                "routing table of %s version %d is not obeyed: %s",
                keyspace,
                new.table.version,
                reason,
            )
            return reason
        old = self._obeyed.get(keyspace)
        if old is not None and old.table == new.table:
            return ""
        self._obeyed[keyspace] = new
        metrics.ROUTING_VERSION.labels(keyspace=keyspace).set(new.table.version)
        log.info("obeying routing table of %s: %s", keyspace, describe(new.table))
        self._tell(keyspace, new.table)
        return ""

    def forget(self, keyspace: str, why: str) -> None:
        if self._obeyed.pop(keyspace, None) is None:
            return
        metrics.forget_keyspace(keyspace)
        log.warning("keyspace %s is no longer served: %s", keyspace, why)
        self._tell(keyspace, None)

    def keep_only(self, namespace: str, keyspaces: Iterable[str]) -> None:
        """After a list: what it does not name is gone."""
        known = {k for k, o in self._obeyed.items() if o.namespace == namespace}
        for keyspace in known - set(keyspaces):
            self.forget(keyspace, "its RoutingTable was deleted")

    async def wait_for(self, keyspace: str, version: int) -> RoutingTable:
        """Return as soon as a table of this version or a later one is obeyed."""
        async with self._changed:
            while True:
                table = self.get(keyspace)
                if table is not None and table.version >= version:
                    return table
                await self._changed.wait()

    async def wait_for_change(self, keyspace: str, old: RoutingTable | None) -> RoutingTable | None:
        """Return as soon as another table than `old` is obeyed; None when the keyspace is gone."""
        async with self._changed:
            while (table := self.get(keyspace)) is old:
                await self._changed.wait()
            return table

    def _tell(self, keyspace: str, table: RoutingTable | None) -> None:
        for listener in self._listeners:
            listener(keyspace, table)
        waker = asyncio.get_running_loop().create_task(self._wake())
        self._wakers.add(waker)
        waker.add_done_callback(self._wakers.discard)

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _why_not(new: Obeyed, old: Obeyed | None) -> tuple[str, str]:
    """Return a word for the figures and a sentence for people; both empty when it may be obeyed."""
    problems = new.table.problems()
    if problems:
        return "not whole", "; ".join(problems)
    if old is None:
        return "", ""
    if old.namespace != new.namespace:
        return "name taken", (
            f"a keyspace of namespace {old.namespace} has this name already; "
            "databases are called like keyspaces, so serve the two with different gates"
        )
    older = may_follow(new.table, old.table) if old.uid == new.uid else ""
    return ("older", older) if older else ("", "")


def describe(table: RoutingTable) -> str:
    """One line for the log."""
    shards = ", ".join(
        f"{s.name} {s.state.value} epoch {s.epoch}"
        + (f" primary {s.primary.name}" if s.primary else "")
        for s in table.shards
    )
    return f"version {table.version}: {shards}"


class RoutingWatch:
    """Keeps a RoutingBook equal to the RoutingTable objects of some namespaces."""

    def __init__(
        self,
        api: RoutingApi,
        namespaces: Iterable[str],
        book: RoutingBook,
        watch_seconds: float = WATCH_SECONDS,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._namespaces = tuple(namespaces)
        self._book = book
        self._watch_seconds = watch_seconds
        self._pause = pause
        self._clock = clock
        self._confirmed: dict[str, float] = {}
        self._synced = asyncio.Event()

    @property
    def is_synced(self) -> bool:
        """Whether each namespace has been listed since the start; never falls back."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def age_seconds(self) -> float:
        """Time since the API server last confirmed the tables of every namespace."""
        if not self.is_synced:
            return float("inf")
        return self._clock() - min(self._confirmed.values())

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for namespace in self._namespaces:
                group.create_task(self._follow(namespace))

    async def _follow(self, namespace: str) -> None:
        failures = 0
        since = ""
        while True:
            try:
                if not since:
                    since = await self._list(namespace)
                async for event in self._api.watch_tables(
                    namespace, since, self._watch_seconds * random.uniform(0.8, 1.0)
                ):
                    since = self._take(namespace, event) or since
                    failures = 0
                self._confirm(namespace)
                failures = 0
            except ResourceVersionGone:
                log.info("the watch in %s is too far behind: listing again", namespace)
                metrics.ROUTING_WATCH_ERRORS.labels(kind="gone").inc()
                since = ""
                failures += 1
            except KubernetesError as exc:
                metrics.ROUTING_WATCH_ERRORS.labels(kind=type(exc).__name__).inc()
                level = logging.WARNING if failures < 3 else logging.ERROR
                log.log(
                    level, "routing tables of %s: %s; the last ones stay in force", namespace, exc
                )
                failures += 1
            if failures:
                await self._pause(pause_seconds(failures))

    async def _list(self, namespace: str) -> str:
        listed = await self._api.list_tables(namespace)
        for item in listed.items:
            self._offer(namespace, item)
        self._book.keep_only(namespace, (_name(item) for item in listed.items))
        self._confirm(namespace)
        return listed.resource_version

    def _take(self, namespace: str, event: Event) -> str:
        """Act on one event and return the resource version to resume from."""
        if event.kind in ("ADDED", "MODIFIED"):
            self._offer(namespace, event.body)
        elif event.kind == "DELETED" and self._is_ours(namespace, event.body):
            self._book.forget(_name(event.body), "its RoutingTable was deleted")
        self._confirm(namespace)
        version: str = event.body.get("metadata", {}).get("resourceVersion", "")
        return version

    def _is_ours(self, namespace: str, body: Mapping[str, Any]) -> bool:
        keyspace = _name(body)
        return self._book.get(keyspace) is not None and self._book.namespace(keyspace) == namespace

    def _offer(self, namespace: str, body: Mapping[str, Any]) -> None:
        try:
            table = codec.from_json(body.get("spec") or {})
        except codec.BadTable as exc:
            metrics.ROUTING_REFUSED.labels(reason="unreadable").inc()
            log.error("RoutingTable %s/%s: %s", namespace, _name(body), exc)
            return
        if table.keyspace != _name(body):
            metrics.ROUTING_REFUSED.labels(reason="another name").inc()
            log.error(
                "RoutingTable %s/%s is for keyspace %s: not obeyed",
                namespace,
                _name(body),
                table.keyspace,
            )
            return
        self._book.offer(Obeyed(namespace, body.get("metadata", {}).get("uid", ""), table))

    def _confirm(self, namespace: str) -> None:
        self._confirmed[namespace] = self._clock()
        if len(self._confirmed) == len(self._namespaces):
            self._synced.set()


class RoutingFile:
    """Static mode: a RoutingBook kept equal to a file; the same interface as RoutingWatch.

    Each keyspace is its own namespace, so that two may name the same Secret.
    """

    def __init__(
        self,
        path: Path,
        book: RoutingBook,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._book = book
        self._pause = pause
        self._seen: tuple[int, int, int] | None = None
        self._synced = asyncio.Event()

    @property
    def is_synced(self) -> bool:
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def age_seconds(self) -> float:
        return 0.0 if self.is_synced else float("inf")

    async def run(self) -> None:
        while True:
            self.look()
            await self._pause(FILE_CHECK_SECONDS)

    def look(self) -> None:
        """Read the file when it is another than the last time."""
        try:
            stat = self._path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen == self._seen:
                return
            tables = read_tables(self._path)
        except (OSError, ValueError) as exc:
            log.error("routing file %s: %s; the last tables stay in force", self._path, exc)
            return
        self._seen = seen
        for table in tables:
            self._book.offer(Obeyed(table.keyspace, "", table))
        for keyspace in set(self._book.tables) - {t.keyspace for t in tables}:
            self._book.forget(keyspace, f"{self._path} no longer names it")
        self._synced.set()


def read_tables(path: Path) -> tuple[RoutingTable, ...]:
    """Read one table or a list of them; ValueError for anything else."""
    body = json.loads(path.read_bytes())
    return tuple(codec.from_json(b) for b in (body if isinstance(body, list) else [body]))


def pause_seconds(failures: int) -> float:
    """Full jitter, so that the gates do not come back all at once."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 10))
    return random.uniform(FIRST_PAUSE_SECONDS / 2, longest)


def _name(body: Mapping[str, Any]) -> str:
    name: str = body.get("metadata", {}).get("name", "")
    return name
