"""What a client gets before its login is accepted: very little, and nothing after a refusal."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from patience import soon, until

from mitosis_gate.backends.account import Account
from mitosis_gate.backends.topology import Topology
from mitosis_gate.executor.commit import Commits
from mitosis_gate.executor.decisions import Decisions
from mitosis_gate.server import Server
from mitosis_gate.session import Services
from mitosis_gate.settings import BackendTls, Settings
from mitosis_gate.wire import auth, packets
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.auth import ServerKey
from mitosis_gate.wire.codec import frame
from mitosis_routing.keyspace import SlotRange
from mitosis_routing.table import RoutingTable, ShardRoute, ShardState, UserRef

KEY = ServerKey()
CAPABILITIES = (
    c.CLIENT_PROTOCOL_41
    | c.CLIENT_SECURE_CONNECTION
    | c.CLIENT_PLUGIN_AUTH
    | c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    | c.CLIENT_CONNECT_WITH_DB
)
ACCOUNTS = (
    Account("shop", "app", "secret"),
    Account("bank", "app", "other"),
    Account("shop", "only", "one"),
)

USERS: dict[str, UserRef] = {}
"""What the routing table says of users, where a test says it."""


class Client:
    """Speaks packets, right or wrong."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self.greeting = None

    async def packet(self):
        """The next payload, None at the end."""
        try:
            head = await soon(self._reader.readexactly(4))
            return await soon(self._reader.readexactly(int.from_bytes(head[:3], "little")))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def send(self, data):
        self._writer.write(data)

    async def log_in(self, password="secret", user="app", database="shop", **changes):
        login = packets.Login(
            **{
                "capabilities": CAPABILITIES,
                "max_packet": 1 << 24,
                "charset": 255,
                "user": user,
                "proof": auth.scramble(password, self.greeting.nonce),
                "database": database,
                "plugin": c.CACHING_SHA2,
            }
            | changes
        )
        self.send(frame(login.pack(), 1))
        return await self.packet()

    async def ended(self):
        """Whether the connection was closed, with nothing more said."""
        return await self.packet() is None


@pytest.fixture
async def gate():
    topology = Topology(Settings(backend_tls=BackendTls.DISABLED))
    for keyspace in ("shop", "bank"):
        shard = ShardRoute(f"{keyspace}-0-4", SlotRange(0, 4), ShardState.NO_PRIMARY, 1)
        topology.obey(keyspace, RoutingTable(keyspace, 1, 4, (shard,)))
    settings = Settings(login_seconds=5, max_clients=3)
    services = Services(
        settings=settings,
        topology=topology,
        accounts=SimpleNamespace(
            named=lambda user: [a for a in ACCOUNTS if a.user == user],
            user=lambda account: USERS.get(account.user),
        ),
        planners=SimpleNamespace(planner=lambda keyspace: None),
        execute=lambda *_: None,
        commits=Commits.of(Decisions(topology, None), settings, {}),
    )
    server = Server(services, key=KEY)
    await server.start("127.0.0.1", 0)
    yield server
    await server.drain(0)


@contextlib.asynccontextmanager
async def a_client(gate):
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    client = Client(reader, writer)
    client.greeting = packets.greeting(await client.packet())
    try:
        yield client
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def refusal(client, payload):
    """The error in this payload, once it is sure that nothing follows it."""
    assert payload is not None
    error = packets.error(payload)
    client.send(frame(b"\x03SELECT 1", 0))
    assert await client.ended()
    return error


async def test_the_right_password_lets_in(gate):
    async with a_client(gate) as client:
        assert await client.log_in() == b"\x01\x03"
        assert (await client.packet())[:1] == b"\0"
        client.send(frame(b"\x0e", 0))
        assert (await client.packet())[:1] == b"\0"


async def test_who_failed_gets_the_error_and_nothing_else(gate):
    async with a_client(gate) as client:
        error = await refusal(client, await client.log_in("wrong"))
        assert (error.number, error.state) == (1045, "28000")
        assert "'app'@'127.0.0.1' (using password: YES)" in error.text
        assert not gate.sessions


async def test_commands_sent_along_with_a_wrong_password_are_never_read(gate):
    async with a_client(gate) as client:
        login = packets.Login(CAPABILITIES, 1 << 24, 255, "app", b"x" * 32, "shop", c.CACHING_SHA2)
        client.send(frame(login.pack(), 1) + frame(b"\x03SELECT 1", 0) + frame(b"\x0e", 0))
        assert packets.error(await client.packet()).number == 1045
        assert await client.ended()


@pytest.mark.parametrize("user", ["nobody", "root", "", "app' OR '1'='1"])
async def test_an_unknown_user_looks_like_a_wrong_password(gate, user):
    async with a_client(gate) as client:
        error = await refusal(client, await client.log_in(user=user))
        assert error.number == 1045


async def test_no_password_is_a_wrong_password(gate):
    async with a_client(gate) as client:
        error = await refusal(client, await client.log_in(proof=b""))
        assert error.number == 1045
        assert "(using password: NO)" in error.text


@pytest.mark.parametrize(
    ("database", "password", "number"), [("none", "secret", 1049), ("bank", "secret", 1044)]
)
async def test_a_database_must_be_there_and_allowed(gate, database, password, number):
    async with a_client(gate) as client:
        assert await client.log_in(password, database=database) == b"\x01\x03"
        assert (await refusal(client, await client.packet())).number == number


async def test_an_unknown_database_is_told_only_to_who_has_proven_a_password(gate):
    async with a_client(gate) as client:
        error = await refusal(client, await client.log_in("wrong", database="none"))
        assert error.number == 1045


async def test_use_leads_only_where_the_password_fits(gate):
    async with a_client(gate) as client:
        await client.log_in(database="", capabilities=CAPABILITIES & ~c.CLIENT_CONNECT_WITH_DB)
        await client.packet()
        answers = []
        for database in (b"bank", b"nowhere", b"shop"):
            client.send(frame(b"\x02" + database, 0))
            answers.append(await client.packet())
        assert [packets.error(a).number for a in answers[:2]] == [1044, 1049]
        assert answers[2][:1] == b"\0"


@pytest.mark.parametrize("charset", [1, 13, 28, 35, 95, 248, 254])
async def test_a_character_set_that_the_lexer_cannot_read_is_refused(gate, charset):
    async with a_client(gate) as client:
        assert await client.log_in(charset=charset) == b"\x01\x03"
        error = await refusal(client, await client.packet())
        assert error.number == 1043
        assert "use utf8mb4" in error.text


@pytest.mark.parametrize("charset", [0, 8, 33, 45, 63, 224, 255])
async def test_usual_character_sets_are_taken(gate, charset):
    async with a_client(gate) as client:
        await client.log_in(charset=charset)
        assert (await client.packet())[:1] == b"\0"


async def test_a_client_of_another_method_is_switched(gate):
    async with a_client(gate) as client:
        switch = await client.log_in(plugin=b"mysql_native_password", proof=b"z" * 20)
        plugin, nonce = packets.read_auth_switch(switch)
        assert plugin == c.CACHING_SHA2
        client.send(frame(auth.scramble("secret", nonce), 3))
        assert await client.packet() == b"\x01\x03"
        assert (await client.packet())[:1] == b"\0"


async def test_the_password_may_come_encrypted_with_the_key_of_the_gate(gate):
    async with a_client(gate) as client:
        asked = await client.log_in(proof=b"\x02")
        client.send(frame(auth.encrypt("secret", client.greeting.nonce, asked[1:]), 3))
        assert (await client.packet())[:1] == b"\0"


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: gate\r\n\r\n",
    "tls without asking": bytes.fromhex("1603010200010001fc0303") + bytes(64),
    "a command in place of a login": frame(b"\x03SELECT 1", 1),
    "a wrong sequence number": frame(b"\x85\xa6\x3f\x20" + bytes(40), 7),
    "an empty packet": frame(b"", 1),
    "a huge length": b"\xff\xff\xff\x01" + bytes(100),
    "more than 64 KiB": (70_000).to_bytes(3, "little") + b"\x01" + bytes(100),
    "an old protocol": frame(bytes(40), 1),
    "a name that never ends": frame(CAPABILITIES.to_bytes(4, "little") + b"x" * 60, 1),
    "a name that is not UTF-8": frame(
        CAPABILITIES.to_bytes(4, "little") + bytes(28) + b"\xff\xfe\0\0", 1
    ),
    "noise": bytes(range(256)) * 8,
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_ends_its_connection_and_nothing_else(gate, name, caplog):
    caplog.set_level("INFO")
    async with a_client(gate) as good, a_client(gate) as bad:
        bad.send(GARBAGE[name])
        said = []
        while (payload := await bad.packet()) is not None:
            said.append(payload)
        assert [p[0] for p in said] in ([], [c.ERR])
        assert "no login from 127.0.0.1" in caplog.text
        assert await good.log_in() == b"\x01\x03"


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 5, 30, 60])
async def test_a_login_that_is_cut_off_is_forgotten(gate, cut):
    login = packets.Login(CAPABILITIES, 1 << 24, 255, "app", b"x" * 32, "shop", c.CACHING_SHA2)
    async with a_client(gate) as client:
        client.send(frame(login.pack(), 1)[:cut])
    await until(lambda: not gate._entrances)
    assert not gate.sessions


async def test_a_login_may_come_byte_by_byte(gate):
    async with a_client(gate) as client:
        login = packets.Login(
            CAPABILITIES,
            1 << 24,
            255,
            "app",
            auth.scramble("secret", client.greeting.nonce),
            "shop",
            c.CACHING_SHA2,
        )
        for byte in frame(login.pack(), 1):
            client.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert await client.packet() == b"\x01\x03"


async def test_a_client_that_says_nothing_is_closed(gate):
    object.__setattr__(gate.services.settings, "login_seconds", 0.05)
    async with a_client(gate) as client:
        assert await client.ended()


async def test_one_client_too_many_is_told_so(gate):
    async with a_client(gate), a_client(gate), a_client(gate):
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        client = Client(reader, writer)
        assert packets.error(await client.packet()).number == 1040
        assert await client.ended()
        writer.close()
        await writer.wait_closed()


async def test_a_gate_that_stops_sends_clients_away(gate):
    async with a_client(gate) as client:
        await client.log_in()
        await client.packet()
        await gate.drain(5)
        assert packets.error(await client.packet()).number == 1053
        assert await client.ended()


async def test_who_logs_in_while_the_gate_stops_is_sent_away(gate):
    port = gate.port
    async with a_client(gate) as client:
        gate.close_door()
        assert await client.log_in() == b"\x01\x03"
        assert (await client.packet())[:1] == b"\0"
        assert packets.error(await client.packet()).number == 1053
        assert await client.ended()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)


COMMANDS_NOT_SERVED = [0x00, 0x05, 0x07, 0x0A, 0x0D, 0x12, 0x15, 0x1E, 0x20, 0x7F, 0xFF]


@pytest.mark.parametrize("command", COMMANDS_NOT_SERVED)
async def test_a_command_that_is_not_served_keeps_the_connection(gate, command):
    async with a_client(gate) as client:
        await client.log_in()
        await client.packet()
        client.send(frame(bytes((command,)) + b"some data", 0))
        assert packets.error(await client.packet()).number == 1047
        client.send(frame(b"\x0e", 0))
        assert (await client.packet())[:1] == b"\0"


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (frame(b"\x0e", 5), 1156),
        (frame(b"", 0), 1835),
        ((0xFFFFFF).to_bytes(3, "little") + b"\0" + bytes(0xFFFFFF) + b"\xff\xff\xff\x00", 1156),
        (b"\xff\xff\xff\x00", None),
    ],
)
async def test_broken_packets_after_the_login_end_the_connection(gate, data, number):
    object.__setattr__(gate.services.settings, "max_packet_bytes", 1 << 25)
    async with a_client(gate) as client:
        await client.log_in()
        await client.packet()
        client.send(data)
        if number is not None:
            assert packets.error(await client.packet()).number == number
            assert await client.ended()
    await until(lambda: not gate.sessions)


async def test_a_packet_over_the_limit_ends_the_connection(gate):
    object.__setattr__(gate.services.settings, "max_packet_bytes", 1000)
    async with a_client(gate) as client:
        await client.log_in()
        await client.packet()
        client.send(frame(b"\x03" + b"x" * 1001, 0))
        assert packets.error(await client.packet()).number == 1153
        assert await client.ended()


async def test_commands_may_be_sent_before_the_answers_are_read(gate):
    async with a_client(gate) as client:
        await client.log_in()
        await client.packet()
        client.send(frame(b"\x0e", 0) * 50)
        for _ in range(50):
            assert (await client.packet())[:1] == b"\0"
