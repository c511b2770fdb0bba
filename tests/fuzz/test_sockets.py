"""The same wrong bytes at a real gate process, over real sockets."""

import contextlib
import socket
from random import Random

from gates import GATE_PASSWORD, GATE_USER, KEYSPACE, PASSWORD, USER, GateProcess
from mutations import badly_framed, mutated
from protocol_fuzz import COMMANDS

from mitosis_gate.wire import auth, packets
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.codec import frame
from mitosis_routing.keyspace import SlotRange
from mitosis_routing.table import RoutingTable, SecretKey, ShardRoute, ShardState, UserRef

BEFORE, AFTER = 1_500, 150
GROWTH_BYTES = 32 << 20
CAPABILITIES = (
    c.CLIENT_PROTOCOL_41
    | c.CLIENT_SECURE_CONNECTION
    | c.CLIENT_PLUGIN_AUTH
    | c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    | c.CLIENT_CONNECT_WITH_DB
    | c.CLIENT_DEPRECATE_EOF
)
ACCOUNTS = {USER: PASSWORD, GATE_USER: GATE_PASSWORD}


def a_gate() -> GateProcess:
    """Without a server behind it: every statement that needs one gets an error."""
    shard = ShardRoute("shop-0-16", SlotRange(0, 16), ShardState.NO_PRIMARY, 1)
    users = {name: UserRef(name, SecretKey(name, "password")) for name in ACCOUNTS}
    table = RoutingTable(
        KEYSPACE, 1, 16, (shard,), users=(users[USER],), gate_account=users[GATE_USER]
    )
    return GateProcess(table, {KEYSPACE: ACCOUNTS}, "--hold-seconds=0.01", "--max-clients=500")


def payloads(data: bytes) -> list[bytes]:
    found = []
    while len(data) >= 4:
        end = 4 + int.from_bytes(data[:3], "little")
        found.append(data[4:end])
        data = data[end:]
    return found


def rest(sock: socket.socket) -> bytes:
    """Say no more, and read all that the gate still says."""
    said = b""
    try:
        sock.shutdown(socket.SHUT_WR)
        while piece := sock.recv(65536):
            said += piece
    except OSError:
        pass
    return said


def send(sock: socket.socket, data: bytes) -> None:
    """The gate may have closed the connection by now, as it should."""
    with contextlib.suppress(OSError):
        sock.sendall(data)


def greeting(sock: socket.socket) -> packets.Greeting:
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:3], "little"):
        data += sock.recv(4096)
    return packets.greeting(data[4:])


def login(nonce: bytes, password: str) -> packets.Login:
    proof = auth.scramble(password, nonce)
    return packets.Login(CAPABILITIES, 1 << 24, 255, USER, proof, KEYSPACE, c.CACHING_SHA2)


def is_served(gate: GateProcess) -> bool:
    with socket.create_connection(("127.0.0.1", gate.port), timeout=60) as sock:
        sock.sendall(frame(login(greeting(sock).nonce, PASSWORD).pack(), 1))
        sock.sendall(frame(b"\x0e", 0))
        said = payloads(rest(sock))
    return [p[:1] for p in said] == [b"\x01", b"\0", b"\0"]


def test_wrong_bytes_over_sockets_do_no_harm() -> None:
    with a_gate() as gate:
        assert is_served(gate)
        before = gate.resident_bytes()
        for seed in range(BEFORE):
            random = Random(seed)
            with socket.create_connection(("127.0.0.1", gate.port), timeout=60) as sock:
                payload = login(greeting(sock).nonce, "wrong").pack()
                send(sock, badly_framed(random, mutated(random, payload), 1))
                send(sock, frame(b"\x03SELECT 1", random.choice((0, 2))))
                said = payloads(rest(sock))
            assert all(p[:1] in (b"\x01", b"\xfe", b"\xff") for p in said), f"seed {seed}: {said}"
        for seed in range(AFTER):
            random = Random(seed)
            with socket.create_connection(("127.0.0.1", gate.port), timeout=60) as sock:
                sock.sendall(frame(login(greeting(sock).nonce, PASSWORD).pack(), 1))
                for _ in range(10):
                    wrong = mutated(random, random.choice(COMMANDS))
                    send(sock, badly_framed(random, wrong, 0))
                rest(sock)
        assert is_served(gate)
        assert gate.resident_bytes() - before < GROWTH_BYTES
        assert "Traceback" not in gate.log_text()
