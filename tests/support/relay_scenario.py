"""A session, its connections and their bytes, at random; prints everything that can be seen.

    python tests/support/relay_scenario.py SEED STEPS

Whether the relay is compiled must not be seen: tests compare what both print. Transports and the
topology are fakes; work that needs a task is noted and dropped.
"""

import random
import sys
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

from mitosis_gate import clock
from mitosis_gate.backends.account import Account
from mitosis_gate.backends.connection import BackendConnection, PreparedHere, Target
from mitosis_gate.backends.pool import Lane, Pool
from mitosis_gate.backends.topology import Lanes
from mitosis_gate.backends.variables import Variables
from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.schema import Schema
from mitosis_gate.session import Session
from mitosis_gate.session.forwarding import Beginning
from mitosis_gate.session.prepared import Statement
from mitosis_gate.settings import Settings
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets
from mitosis_gate.wire.codec import frame, frames
from mitosis_routing.table import RoutingTable

CONNECTIONS = 3
"""On each shard."""
PREPARED = (
    (b"SELECT name FROM users WHERE user_id = ?", 1),
    (b"UPDATE users SET name = ? WHERE user_id = ?", 2),
    (b"SELECT name FROM users WHERE user_id = ? AND name = ?", 2),
    (b"SELECT name FROM users WHERE user_id = 17", 0),
    (b"SELECT n FROM mails WHERE address = ?", 1),
    (b"SELECT name FROM users WHERE user_id = -?", 1),
    (b"SELECT user_id FROM users", 0),
    (b"SELECT name FROM users WHERE user_id = ? /* nowhere */", 1),
)
"""Statements and how many parameters they have."""
SEEN_OF_SESSION = (
    "_answered",
    "_counted_at",
    "_execution",
    "_forwarded",
    "_has_input",
    "_left",
    "_left_at",
    "_messages",
    "_packet",
    "_row_count",
    "_sequence",
    "current",
    "forwarded_statements",
    "last_insert_id",
    "write_blocked_at",
)
SEEN_OF_CONNECTION = (
    "alive",
    "autocommit",
    "draining",
    "idle_since",
    "in_transaction",
    "is_foreign",
    "is_idle",
    "last_user",
    "obsolete",
    "transaction_state",
)
SEEN_OF_TRANSACTION = (
    "waits",
    "_begin",
    "_next",
    "_own",
    "_read_only",
    "_lost",
    "plain_begin",
)
SEEN_OF_SCANNER = ("_held", "_skip", "done", "error", "expect", "last", "status", "warnings")


def telling_ok(ok: packets.Ok, info: bytes, entries: bytes) -> bytes:
    """The payload of an OK that tells of changes; `Ok.pack` makes none."""
    payload = bytearray(ok.pack())
    payload[4] |= c.STATUS_SESSION_STATE_CHANGED >> 8
    return bytes((*payload, len(info), *info, len(entries), *entries))


class Transport:
    def __init__(self, name: str, log: list[str]) -> None:
        self._name, self._log = name, log

    def __getattr__(self, method: str) -> Any:
        def noted(*arguments: object) -> None:
            self._log.append(f"{self._name}.{method}{arguments}")

        return noted

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> None:
        return None


class World:
    def __init__(self, schema: Schema, table: RoutingTable, seed: int) -> None:
        self.log: list[str] = []
        self.random = random.Random(seed)
        self.schema, self.table = schema, table
        self.account = Account("shop", "app", "secret")
        settings = Settings()
        self.planners = {"shop": Planner(schema, table)}
        topology = SimpleNamespace(
            give_back=lambda connection: connection.owner.give(connection),
            knows=lambda keyspace: True,
            refused=lambda *what: self.log.append(f"refused {what}"),
        )
        services = SimpleNamespace(
            settings=settings,
            topology=topology,
            planners=SimpleNamespace(planner=self.planners.get),
            commits=None,
            execute=None,
            merger=None,
        )
        sessions = SimpleNamespace(
            timed=set(),
            shapes=SimpleNamespace(note=lambda *what: self.log.append(f"noted {what[1:]}")),
            ended=lambda session: self.log.append("ended"),
            uptime_and_clients=lambda: (1, 1),
        )
        bits = c.CLIENT_PROTOCOL_41
        self.keeps_eof = self.random.random() < 0.3
        bits |= 0 if self.keeps_eof else c.CLIENT_DEPRECATE_EOF
        self.names = self.random.random() < 0.3
        bits |= c.CLIENT_QUERY_ATTRIBUTES if self.names else 0
        bits |= c.CLIENT_SESSION_TRACK if self.random.random() < 0.3 else 0
        login = packets.Login(bits, 1 << 24, 255, "app", b"", "shop")
        self.session = Session(services, sessions, 1, login, [self.account], "client")  # type: ignore[arg-type]
        self.session.forwarded_statements = 0
        self.session.connection_made(Transport("client", self.log))  # type: ignore[arg-type]
        self._prepare()
        self.variant = 0 if self.keeps_eof else c.CLIENT_DEPRECATE_EOF
        self.variant |= c.CLIENT_QUERY_ATTRIBUTES if self.names else 0
        self.lanes: list[Lane] = []
        self.connections: list[BackendConnection] = []
        for shard in table.shards:
            target = Target(shard.name, 1, f"{shard.name}-0", "127.0.0.1", 1, "uuid", None)
            lane = Pool(target, settings).lane(self.account, self.variant)
            lane.pool.now = 7.0
            self.lanes.append(lane)
            for _ in range(CONNECTIONS):
                self._connect(lane, target)
        self._publish()

    def _connect(self, lane: Lane, target: Target) -> None:
        connection = BackendConnection(target, self.account, self.variant)
        name = f"backend{len(self.connections)}"
        connection._transport = Transport(name, self.log)  # type: ignore[assignment]
        connection.owner = lane
        connection.alive = connection.is_idle = True
        connection.applied = self.session._variables
        lane.idle.append(connection)
        self.connections.append(connection)

    def _prepare(self) -> None:
        """What the client has prepared; servers know all but the last of it."""
        for number, (sql, _) in enumerate(PREPARED, 1):
            planner = self.planners["shop"]
            statement = Statement(number, sql, planner, planner.prepare(sql))
            self.session._statements[number] = statement

    def _prepared_on(self, connection: BackendConnection) -> None:
        for number, (sql, _) in enumerate(PREPARED[:-1], 1):
            key = (sql, connection.applied)
            connection.statements.setdefault(key, PreparedHere(100 + number))

    def _publish(self) -> None:
        self.session._lanes = Lanes(self.table, tuple(self.lanes))
        self.session._planner = self.planners["shop"]

    # what happens

    def step(self) -> None:
        active = self.session._active
        if active is not None and self.random.random() < 0.8:
            self._answer(active)
            return
        self.random.choices(
            (self._statement, self._execution, self._bytes, self._change, self._usual, self._tick),
            weights=(50, 30, 2, 7, 12, 4),
        )[0]()

    def _usual(self) -> None:
        """As nearly always: nothing stands in the way of the next statement."""
        session = self.session
        if session._active is not None:
            return
        session.resume_writing()
        session.current = "shop"
        if not session._statements:
            self._prepare()
        if session._transaction.is_open and self.random.random() < 0.5:
            self._drop_everything()
        for connection in self.connections:
            connection.obsolete = connection.draining = False
            connection.applied = session._variables
        self._publish()

    def _statement(self) -> None:
        kind = self.random.random()
        number = self.random.choice((0, 5, 17, 4711, 123456789, 10**25))
        texts = (
            *[f"SELECT name FROM users WHERE user_id = {number}"] * 8,
            f"SELECT name FROM users WHERE user_id = {number} ",
            f"SELECT name FROM users WHERE user_id = '{number}'",
            f"SELECT name FROM users WHERE user_id = 0{number}",
            f"SELECT name FROM users WHERE name = 'x' AND user_id = {number}",
            f"UPDATE users SET name = 'y' WHERE user_id = {number}",
            f"UPDATE users SET name = '{number}' WHERE user_id = {number % 50}",
            f"SELECT n FROM mails WHERE address = '{number % 4711}' AND n > {number}",
            f"SELECT n FROM mails WHERE address = {number % 4711} AND n > 'x '",
            f"SELECT n FROM mails WHERE address = 'ab ' AND n > {number}",
            f"SELECT n FROM mails WHERE address = 'é' AND n > {number}",
            f"SELECT n FROM mails WHERE address = 'a''b' AND n > {number}",
            f"SELECT u.name FROM users u WHERE u.user_id = {number} AND u.name <> 'x'",
            f"SELECT `name` FROM `users` WHERE `user_id` = {number} LIMIT 1",
            f"SELECT name FROM users WHERE name IN ('a', 'b') AND user_id = {number}",
            f"SELECT name FROM users WHERE user_id IN ({number}) AND name = 'q'",
            f"SELECT name FROM users WHERE user_id = - {number} AND name = 'q'",
            f"SELECT * FROM users WHERE user_id = {number} FOR UPDATE",
            f"SELECT user_id FROM users LIMIT {number}",
            f"SELECT {number}",
            *["BEGIN"] * 6,
            *["COMMIT"] * 4,
            "ROLLBACK",
            "START TRANSACTION",
            "START TRANSACTION READ ONLY",
            "BEGIN /* with a comment */",
            "COMMIT AND CHAIN",
            "SAVEPOINT a",
            "SET TRANSACTION READ ONLY",
            "SELECT LAST_INSERT_ID()",
            "SELECT nothing FROM nowhere WHERE x = 1",
            "",
            "SELECT '" + "x" * 9000 + f"' FROM users WHERE user_id = {number}",
        )
        sql = self.random.choice(texts).encode()
        payload = b"\x03" + (b"\0\1" if self.names else b"") + sql
        data = frame(payload, 0)
        if kind < 0.04:
            data = frame(b"\x0e", 0)
        elif kind < 0.08:
            cut = self.random.randrange(len(data))
            self._receive(data[:cut])
            data = data[cut:]
        elif kind < 0.12:
            data += data
        self._receive(data)

    def _execution(self) -> None:
        for connection in self.connections:
            self._prepared_on(connection)
        number = self.random.choice((*range(1, len(PREPARED) + 1), 1, 1, 1, 99))
        parameters = PREPARED[number - 1][1] if number <= len(PREPARED) else 1
        if number not in self.session._statements and self.random.random() < 0.9:
            return
        flags = self.random.choice((0,) * 9 + (8, 1))
        payload = bytes((c.COM_STMT_EXECUTE,)) + number.to_bytes(4, "little")
        payload += bytes((flags,)) + b"\1\0\0\0"
        if parameters:
            payload += self._parameters(parameters)
        if self.random.random() < 0.05:
            payload = payload[: self.random.randrange(len(payload))]
        self._receive(frame(payload, 0))

    def _parameters(self, count: int) -> bytes:
        nulls = self.random.choice((0,) * 9 + (1,))
        types, values = b"", b""
        for _ in range(count):
            kind, unsigned, size = self.random.choice(
                ((8, 0, 8),) * 30
                + ((8, 0x80, 8), (3, 0, 4), (3, 0x80, 4), (2, 0, 2), (1, 0, 1), (253, 0, 0))
            )
            types += bytes((kind, unsigned)) + (b"\0" if self.names else b"")
            number = self.random.choice((0, 5, 17, 100, 200, 60_000, 1 << 30, (1 << 64) - 7))
            value = (number % (1 << 8 * size)).to_bytes(size, "little") if size else b"\x015"
            values += value
        head = bytes((count,)) if self.names else b""
        is_bound = self.random.random() < 0.5
        return head + bytes((nulls, is_bound)) + (types if is_bound else b"") + values

    def _receive(self, data: bytes) -> None:
        if data:
            self.session.data_received(data)

    def _bytes(self) -> None:
        """A command that is nothing."""
        self._receive(frame(bytes((self.random.choice((0x1C, 0x1F, 0x63)), 1, 2)), 0))

    def _answer(self, connection: BackendConnection) -> None:
        data = self._packets(connection)
        while data:
            cut = len(data) if self.random.random() < 0.7 else self.random.randrange(1, len(data))
            if cut < 1 or connection._sink is None:
                break
            connection.data_received(data[:cut] if cut < len(data) else data)
            data = data[cut:] if cut < len(data) else b""

    def _packets(self, connection: BackendConnection) -> bytes:
        number = self.random.random()
        if number < 0.05:
            error = packets.error_payload(1062, "23000", "Duplicate entry")
            return frame(error, 1)
        status = c.STATUS_AUTOCOMMIT
        begins = isinstance(connection._sink, Beginning)
        if connection is self.session._transaction.bound or self.random.random() < 0.03:
            status |= self.random.choice((c.STATUS_IN_TRANS, c.STATUS_IN_TRANS, 0))
        if begins and self.random.random() < 0.95:
            status |= c.STATUS_IN_TRANS
        if self.random.random() < 0.03:
            status ^= c.STATUS_AUTOCOMMIT
        if self.random.random() < 0.03:
            status |= 0x20
        warnings = self.random.choice((0,) * 20 + (1,))
        if number < 0.12 or begins or b"COMMIT" in self.session._packet:
            if self.random.random() < 0.5:
                return frame(self._ok_that_tells(status), 1)
            return frame(packets.Ok(1, self.random.choice((0, 9)), status, warnings).pack(), 1)
        columns = self.random.choice((1,) * 9 + (2,))
        column = packets.Column("name", c.TYPE_VAR_STRING, 255, 64, 0).pack()
        rows = [b"\x03abc" * columns] * self.random.choice((0, 1, 1, 1, 100))
        end = packets.result_end(status, warnings, not self.keeps_eof)
        head = [bytes((columns,)), *[column] * columns]
        if self.keeps_eof:
            head.append(packets.eof(status))
        return frames([*head, *rows, end], 1)[0]

    def _ok_that_tells(self, status: int) -> bytes:
        """What servers say at BEGIN and COMMIT, and sometimes more than that or something else."""
        state = self.random.choice((b"T_______", b"________", b"T__W____"))
        entries = self.random.choice((b"\x05\x09\x08" + state,) * 8 + (b"\x01\x03\x02ab", b""))
        entries *= self.random.choice((1,) * 8 + (2,))
        info = self.random.choice((b"",) * 8 + (b"told",))
        plain = packets.Ok(self.random.choice((0, 1)), 0, status)
        return telling_ok(plain, info, entries)

    def _tick(self) -> None:
        clock.now = float(int(clock.now) + 1)

    def _change(self) -> None:
        what = self.random.randrange(10)
        connection = self.random.choice(self.connections)
        self.log.append(f"change {what}")
        if what == 0:
            connection.obsolete = not connection.obsolete
        elif what == 1 and connection.alive and connection._sink is None:
            self._replace(connection)
        elif what == 2:
            if self.session.write_blocked_at:
                self.session.resume_writing()
            else:
                self.session.write_blocked_at = 1.0
        elif what == 3:
            self.session._variables = Variables.of(
                self.random.choice(({"sql_mode": b"''"}, {"autocommit": b"0"}, {}))
            )
        elif what == 4:
            for other in self.connections:
                if other.alive:
                    other.applied = self.session._variables
        elif what == 5:
            self.session._lanes.current = False  # type: ignore[union-attr]
            self._publish()
            if self.random.random() < 0.3:
                self.session._lanes.current = False
        elif what == 6:
            self.planners["shop"] = Planner(self.schema, self.table)
            if self.random.random() < 0.7:
                self._publish()
        elif what == 9:
            connection.draining = not connection.draining
        elif what == 7:
            self.session.current = self.random.choice(("", "shop", "shop"))
        elif not self.session._pins and self.session._active is None:
            self._drop_everything()

    def _replace(self, connection: BackendConnection) -> None:
        """It breaks while idle, and another one is there."""
        lane = connection.owner
        if not isinstance(lane, Lane) or connection not in lane.idle:
            return
        lane.idle.remove(connection)
        connection.alive = False
        at = self.connections.index(connection)
        self._connect(lane, connection.target)
        self.connections[at] = self.connections.pop()

    def _drop_everything(self) -> None:
        """As COM_RESET_CONNECTION leaves it."""
        self.session._transaction.forget()
        self.session._transaction.bound = self.session._kept = None
        for lane in self.lanes:
            for connection in list(self.connections):
                if connection.owner is lane and not connection.is_idle:
                    connection.alive = False
                    at = self.connections.index(connection)
                    self._connect(lane, connection.target)
                    self.connections[at] = self.connections.pop()

    # what is seen

    def seen(self) -> str:
        session = self.session
        index = {id(connection): n for n, connection in enumerate(self.connections)}
        lines = [f"{name}={getattr(session, name)!r}" for name in SEEN_OF_SESSION]
        for name in ("_active", "_kept", "_last"):
            lines.append(f"{name}={index.get(id(getattr(session, name)), '-')}")
        transaction = session._transaction
        lines.append(f"bound={index.get(id(transaction.bound), '-')}")
        lines += [f"{name}={getattr(transaction, name)!r}" for name in SEEN_OF_TRANSACTION]
        lines.append(f"savepoints {list(transaction._savepoints.statements())}")
        for n, connection in enumerate(self.connections):
            facts = [getattr(connection, name) for name in SEEN_OF_CONNECTION]
            facts += [str(getattr(connection.scanner, name)) for name in SEEN_OF_SCANNER]
            sink = connection._sink
            begun = (sink.packet, sink.expect) if isinstance(sink, Beginning) else ()
            lines.append(f"{n}: {facts} {sink is session} {begun}")
        for number, statement in session._statements.items():
            lines.append(f"{number}: {statement.types!r}")
        for n, connection in enumerate(self.connections):
            known = [(h.number, h.types, h.was_used) for h in connection.statements.values()]
            lines.append(f"{n} knows {known}")
        for lane in self.lanes:
            lines.append(f"idle {[index.get(id(one)) for one in lane.idle]}")
        return " ".join(lines)


def _drop_work(session: Session, work: Coroutine[None, None, None]) -> None:
    work.close()
    session._transport.write(work.__name__)  # type: ignore[union-attr, arg-type]


def run(schema: Schema, table: RoutingTable, seed: int, steps: int) -> list[str]:
    """The log and what was seen after each step."""
    Session._start = _drop_work  # type: ignore[method-assign]
    clock.now = 1.0
    world = World(schema, table, seed)
    lines = []
    for _ in range(steps):
        try:
            world.step()
        except Exception as exc:
            world.log.append(f"{type(exc).__name__}: {exc}")
        lines += [*world.log, world.seen()]
        world.log.clear()
    return lines


def main() -> None:
    from keyspaces import KEYSPACES, SCHEMA

    seed, steps = int(sys.argv[1]), int(sys.argv[2])
    sys.stdout.write("\n".join(run(SCHEMA, KEYSPACES["four shards"], seed, steps)))


if __name__ == "__main__":
    main()
