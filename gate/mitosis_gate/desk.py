"""Where a session asks about sessions: KILL, process lists, GATE SHOW.

Sessions live in several processes (workers) of several gates. A question goes to all of them, as a
small JSON object, and each process answers for its own; see `workers` and `peers` for the way.
What a user may see and end is decided by the process that is asked by the user, with MySQL's own
rules: the sessions of the same account, or all with PROCESS and CONNECTION_ADMIN.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from mitosis_gate import clock, shows
from mitosis_gate.backends.topology import Topology
from mitosis_gate.errors import GateError, KillDenied, NoSuchThread, QueryKilled
from mitosis_gate.executor.ddl_jobs import Jobs
from mitosis_gate.planner.plan import GateShow, Shown
from mitosis_gate.session import Session
from mitosis_gate.shape_book import ShapeBook

log = logging.getLogger(__name__)

Message = Mapping[str, Any]
_ALL = "*"
"""In place of an account: whoever it is."""
_PRIVILEGES = (
    b"SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE IN (%s)"
)


class Elsewhere(Protocol):
    async def ask(self, question: Message) -> Sequence[Message]:
        """What all other processes of all gates answer."""


class Nowhere:
    async def ask(self, question: Message) -> Sequence[Message]:
        return ()


class Desk:
    def __init__(
        self,
        sessions: Mapping[int, Session],
        topology: Topology,
        shapes: ShapeBook,
        jobs: Jobs,
        gate: int,
        worker: int,
    ) -> None:
        self.gate = gate
        self.worker = worker
        self.elsewhere: Elsewhere = Nowhere()
        self._sessions = sessions
        self._topology = topology
        self._shapes = shapes
        self._jobs = jobs

    # what this process answers, to itself and to others

    async def answer(self, question: Message) -> Message:
        found: dict[str, Any] = {"gate": self.gate, "worker": self.worker}
        match question["what"]:
            case "find":
                session = self._sessions.get(int(question["id"]))
                if session is not None:
                    found["account"] = _account(session)
            case "kill":
                found["killed"] = await self._kill(question)
            case "sessions":
                now = clock.now
                found["rows"] = [
                    session.describe(now)
                    for session in self._sessions.values()
                    if question["account"] in (_ALL, _account(session))
                ]
            case "pools":
                found["rows"] = [asdict(pool) for pool in self._topology.describe()]
            case "plans":
                found["rows"] = [
                    entry
                    for entry in self._shapes.describe()
                    if question["account"] in (_ALL, f"{entry['keyspace']}/{entry['user']}")
                ]
        return found

    async def _kill(self, question: Message) -> bool:
        session = self._sessions.get(int(question["id"]))
        if session is None or question["account"] not in (_ALL, _account(session)):
            return False
        log.info(
            "%s of %s@%s (connection %d), asked by %s",
            "KILL QUERY" if question["queryOnly"] else "KILL",
            session.user,
            session.peer,
            session.connection_id,
            question["by"],
        )
        if question["queryOnly"]:
            await session.kill_query()
        else:
            session.kill_connection()
        return True

    async def _ask_all(self, question: Message) -> list[Message]:
        here = await self.answer(question)
        return [here, *await self.elsewhere.ask(question)]

    # what sessions ask

    async def kill(self, connection_id: int, query_only: bool, by: Session) -> None:
        """Returns when it is done. Raises NoSuchThread and KillDenied."""
        found = [m for m in await self._ask_all({"what": "find", "id": connection_id}) if _is(m)]
        if not found:
            raise NoSuchThread(f"Unknown thread id: {connection_id}")
        if len(found) > 1:
            raise NoSuchThread(
                f"Unknown thread id: {connection_id} is a session of {len(found)} gates; "
                "GATE SHOW SESSIONS tells them apart: connect to the right one"
            )
        account = str(found[0]["account"])
        if account != _account(by) and not await _may(by, "CONNECTION_ADMIN", "SUPER"):
            raise KillDenied(f"You are not owner of thread {connection_id}")
        if query_only and connection_id == by.connection_id:
            raise QueryKilled
        question = {
            "what": "kill",
            "id": connection_id,
            "queryOnly": query_only,
            "account": account,
            "by": f"{by.user}@{by.peer}",
        }
        if not any(message.get("killed") for message in await self._ask_all(question)):
            raise NoSuchThread(f"Unknown thread id: {connection_id}")

    async def show(self, plan: GateShow, to: Session) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """Columns and rows."""
        match plan.what:
            case Shown.SESSIONS:
                return shows.sessions(await self._seen("sessions", to))
            case Shown.PROCESSLIST:
                return shows.process_list(await self._seen("sessions", to), plan.full)
            case Shown.PLANS:
                return shows.plans(await self._seen("plans", to))
            case Shown.POOLS:
                pools = _rows(await self._ask_all({"what": "pools"}))
                return shows.pools([p for p in pools if p["keyspace"] == to.account.keyspace])
            case Shown.SHARDS:
                return shows.shards(to.table)
            case Shown.DDL:
                return shows.ddl(await self._jobs.describe(to.table))
            case Shown.VERSION:
                messages = await self._ask_all({"what": "number"})
                return shows.version(self._topology.server_version, to.table, messages)

    async def processes(self, to: Session) -> bytes:
        """A SELECT that gives the rows of information_schema.PROCESSLIST."""
        return shows.processes_select(await self._seen("sessions", to))

    async def _seen(self, what: str, to: Session) -> list[Message]:
        """Of all sessions, or of those of the same account."""
        account = _ALL if await _may(to, "PROCESS") else _account(to)
        return _rows(await self._ask_all({"what": what, "account": account}))


def _account(session: Session) -> str:
    """Users of the same name in two keyspaces are not the same."""
    return f"{session.charged.keyspace}/{session.charged.user}"


def _is(message: Message) -> bool:
    return "account" in message


def _rows(messages: Sequence[Message]) -> list[Message]:
    return [
        {"gate": message["gate"], "worker": message["worker"], **row}
        for message in messages
        for row in message.get("rows", ())
    ]


async def _may(session: Session, *privileges: str) -> bool:
    """Ask MySQL; a shard that cannot be asked grants nothing."""
    names = ",".join(f"'{name}'" for name in privileges)
    try:
        async with session.outside() as connection:
            result = await connection.query(_PRIVILEGES % names.encode())
    except GateError as exc:
        log.info("the privileges of %s are not known: %s", session.user, exc.text)
        return False
    return result.values()[0][0] != b"0"
