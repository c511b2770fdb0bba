"""SET: try it on a server first, keep it in the session only when the server took it.

What is kept is what the server says it understood, so that two ways to write one value are one
value, and a session never holds a setting that makes every later connection fail.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from mitosis_gate.backends import variables as known
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection
from mitosis_gate.backends.variables import Variables
from mitosis_gate.errors import MysqlError
from mitosis_gate.executor import own_variables
from mitosis_gate.executor.client import Client
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import Assignment, Refuse, SetClass, SetStatement
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets

_CHARSET = ("character_set_client", "character_set_results", "collation_connection")
_SETS_CHARSET = frozenset({"names", "character set", "character_set_connection", *_CHARSET})
_SHOW_CHARSET = b"SELECT " + b", ".join(b"@@" + name.encode() for name in _CHARSET)
_DEFAULT = b"DEFAULT"
_EXACT = frozenset(
    {
        c.TYPE_DECIMAL,
        c.TYPE_NEWDECIMAL,
        c.TYPE_TINY,
        c.TYPE_SHORT,
        c.TYPE_LONG,
        c.TYPE_INT24,
        c.TYPE_LONGLONG,
        c.TYPE_YEAR,
        c.TYPE_NULL,
    }
)
"""Types whose text is a literal of the same type."""
_INEXACT = frozenset({c.TYPE_FLOAT, c.TYPE_DOUBLE})
BELIEVED_SECONDS = 300.0
MOST_REMEMBERED = 1000


@dataclass(frozen=True)
class _Change:
    """What a SET that a server took does to the variables of a session."""

    values: Mapping[str, bytes]
    defaults: frozenset[str] = frozenset()

    def on(self, variables: Variables) -> Variables:
        for name in self.defaults:
            variables = variables.without(name)
        for name, value in self.values.items():
            variables = variables.with_(name, value)
        return variables


class Assignments:
    """Carries out SET for all sessions of a process.

    What a server has taken is believed for some minutes. Most clients begin with the same SETs, so
    that connecting costs no backend, and works while a shard is away.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[Account, bytes], tuple[float, _Change]] = {}

    async def carry_out(self, plan: SetStatement, client: Client, planner: Planner) -> None:
        """Answers the client; raises the error of the server when it refuses one of the values."""
        wanted = [a for a in plan.assignments if a.kind is not SetClass.IGNORE]
        tried = [a for a in wanted if not _is_ours(a)]
        change = self._remembered(client.account, tried)
        if change is None:
            async with somewhere(client) as backend:
                computed = [await _computed(a, backend, planner) for a in tried]
                wanted = [a for a in wanted if a not in tried] + computed
                change = await _tried([a for a in computed if not _is_ours(a)], backend)
                backend.applied = change.on(backend.applied)
            self._remember(client.account, tried, change)
        client.variables = change.on(client.variables)
        for assignment in wanted:
            if assignment.kind is SetClass.OWN:
                own_variables.assign(client, assignment)
            elif assignment.name == "autocommit":
                await _set_autocommit(client, assignment.value)
        ignored = [a.name for a in plan.assignments if a.kind is SetClass.IGNORE]
        for name in ignored:
            client.warn(1235, f"{name} means nothing behind the gate, and is not set")
        client.send_ok(warnings=len(ignored))

    def _remembered(self, account: Account, assignments: Sequence[Assignment]) -> _Change | None:
        if not assignments:
            return _Change({})
        found = self._known.get((account, _text(assignments)))
        if found is None or found[0] < self._clock() - BELIEVED_SECONDS:
            return None
        return found[1]

    def _remember(
        self, account: Account, assignments: Sequence[Assignment], change: _Change
    ) -> None:
        if any(not a.literal or a.kind is SetClass.USER for a in assignments):
            return
        if len(self._known) >= MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[account, _text(assignments)] = (self._clock(), change)


def _is_ours(assignment: Assignment) -> bool:
    """No server needs to be asked about it."""
    return assignment.literal and (
        assignment.kind is SetClass.OWN or assignment.name == "autocommit"
    )


def _text(assignments: Sequence[Assignment]) -> bytes:
    return b", ".join(a.sql for a in assignments)


@contextlib.asynccontextmanager
async def somewhere(client: Client) -> AsyncIterator[BackendConnection]:
    """The connection of the open transaction, or one outside: SET does not begin a transaction."""
    if client.bound_shard is not None:
        backend = await client.backend(client.bound_shard)
    else:
        shards = client.table.shards
        serving = [s.name for s in shards if s.primary is not None] or [shards[0].name]
        last = client.last_shard
        backend = await client.backend(last if last in serving else serving[0], outside=True)
    try:
        yield backend
    finally:
        client.give_back(backend)


async def _computed(
    assignment: Assignment, backend: BackendConnection, planner: Planner
) -> Assignment:
    """An expression becomes the literal that the server computes, judged as one."""
    if assignment.literal:
        return assignment
    result = await backend.query(b"SELECT " + assignment.value)
    value = _literal(result.columns[0], result.values()[0][0])
    if assignment.kind is SetClass.USER:
        return Assignment(assignment.name, value, SetClass.USER)
    judged = planner.assignment(assignment.name, value)
    if isinstance(judged, Refuse):
        raise MysqlError(judged.code, judged.sqlstate, judged.message)
    return judged


def _literal(definition: bytes, value: bytes | None) -> bytes:
    """SQL text of a computed value; a text that looks like a number stays a text."""
    kind = packets.column(definition).type
    if value is None or kind in _EXACT:
        return known.literal(value)
    if kind in _INEXACT:
        return value if b"e" in value else value + b"e0"
    if b"\\" in value:
        return b"0x" + value.hex().encode()
    return b"'" + value.replace(b"'", b"''") + b"'"


async def _tried(assignments: Sequence[Assignment], backend: BackendConnection) -> _Change:
    """Run the SET and learn what it means."""
    if not assignments:
        return _Change({})
    result = await backend.query(b"SET " + _text(assignments))
    told = result.ok.changes.variables
    values: dict[str, bytes] = {}
    defaults = set()
    for assignment in assignments:
        name, value = assignment.name, told.get(assignment.name)
        if name in _SETS_CHARSET:
            continue
        if assignment.kind is SetClass.USER:
            values["@" + name] = assignment.value
        elif assignment.value.upper() == _DEFAULT:
            values.pop(name, None)
            defaults.add(name)
        else:
            values[name] = assignment.value if value is None else known.literal(value)
    if any(a.name in _SETS_CHARSET for a in assignments):
        values |= await _charset(backend)
    return _Change(values, frozenset(defaults))


async def _charset(backend: BackendConnection) -> Mapping[str, bytes]:
    """SET NAMES as the variables behind it, set once more one by one as on every other connection:
    SET NAMES also leaves a collation for results, which no variable shows."""
    row = (await backend.query(_SHOW_CHARSET)).values()[0]
    charset = {name: known.literal(value) for name, value in zip(_CHARSET, row, strict=True)}
    await backend.query(Variables.of(charset).difference(known.NONE))
    return charset


async def _set_autocommit(client: Client, value: bytes) -> None:
    """Turning it on commits what is open, as MySQL does; the servers never see it."""
    off = known.is_off(value)
    if not off and not client.autocommit:
        await client.commit()
    if off:
        client.variables = client.variables.with_("autocommit", b"OFF")
    else:
        client.variables = client.variables.without("autocommit")
