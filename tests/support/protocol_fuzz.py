"""The protocol, wrong in many ways, before the login and after it.

    found = await run(seed, inputs)

`found` is empty when for each input: nothing was raised, everything came to rest, nobody got in or
got an answer without the password, and a client that did nothing wrong was served as before. Each
finding names the seed of its input: `one(world, seed)` repeats it.
"""

import gc
from pathlib import Path
from random import Random

from fuzzing import (
    CAPABILITIES,
    MAX_PACKET,
    WITNESS,
    Wire,
    World,
    a_login,
    execute_payload,
    greeted,
)
from mutations import badly_framed, mutated, pieces

from mitosis_gate.wire import auth, packets
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.codec import frame

LOOKS_EVERY = 100
"""Inputs between two looks at the client that does nothing wrong."""
SESSION_INPUTS = 20
"""Inputs that one session after its login gets, if it lives."""
STATEMENTS = (
    b"SELECT name FROM users WHERE user_id = 7",
    b"SELECT * FROM users",
    b"SELECT COUNT(*) FROM users",
    b"INSERT INTO users (user_id, name) VALUES (1, 'a')",
    b"UPDATE users SET name = 'error' WHERE user_id = 3",
    b"DELETE FROM orders WHERE user_id = 1",
    b"INSERT INTO countries VALUES ('xx', 'y')",
    b"BEGIN",
    b"START TRANSACTION WITH CONSISTENT SNAPSHOT",
    b"COMMIT",
    b"ROLLBACK AND CHAIN",
    b"SAVEPOINT a",
    b"ROLLBACK TO a",
    b"RELEASE SAVEPOINT a",
    b"SET NAMES latin1",
    b"SET @a = 1, autocommit = 0",
    b"SET autocommit = 1",
    b"SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    b"SELECT @@version_comment LIMIT 1",
    b"SELECT LAST_INSERT_ID()",
    b"SELECT CONNECTION_ID()",
    b"SHOW WARNINGS",
    b"SHOW TABLES",
    b"USE shop",
    b"SELECT 1; SELECT 2",
    b"/* only a comment */",
    b"",
    b"SELECT GET_LOCK('a', 1)",
    b"KILL 99999999",
    b"KILL QUERY 1",
    b"SHOW PROCESSLIST",
    b"GATE SHOW SESSIONS",
    b"GATE SHOW PLANS",
    b"SELECT * FROM information_schema.processlist",
    b"EXPLAIN SELECT * FROM users WHERE user_id = 1",
    b"GET DIAGNOSTICS @a = ROW_COUNT",
)
COMMANDS = (
    *(b"\x03" + sql for sql in STATEMENTS),
    *(b"\x16" + sql for sql in STATEMENTS[:6]),
    b"\x16SELECT name FROM users WHERE user_id = ?",
    b"\x16UPDATE users SET name = ? WHERE user_id = ?",
    execute_payload(1),
    execute_payload(1, b"7"),
    execute_payload(2, b"7", b"8"),
    b"\x18\x01\x00\x00\x00\x00\x00long data",
    b"\x19\x01\x00\x00\x00",
    b"\x1a\x01\x00\x00\x00",
    b"\x1c\x01\x00\x00\x00\x01\x00\x00\x00",
    b"\x02shop",
    b"\x02nowhere",
    b"\x04users\x00%",
    b"\x09",
    b"\x0c\x01\x00\x00\x00",
    b"\x0e",
    b"\x11app\x00\x00shop\x00\x21\x00",
    b"\x1b\x00\x00",
    b"\x1b\x01\x00",
    b"\x1f",
    b"\x01",
    b"\x12" + bytes(10),
    b"\x1e" + bytes(20),
    b"\x05db\x00",
    b"\xff",
)
WITHOUT_EOF = CAPABILITIES & ~c.CLIENT_DEPRECATE_EOF
WITH_ATTRIBUTES = CAPABILITIES | c.CLIENT_QUERY_ATTRIBUTES
VARIANTS = (CAPABILITIES, WITHOUT_EOF, WITH_ATTRIBUTES)


async def before_login(world: World, random: Random) -> list[str]:
    """One client that never shows the right password."""
    wire = world.client()
    greeting = greeted(wire)
    login = a_login(greeting, "wrong")
    if random.random() < 0.3:
        login = a_login(
            greeting,
            "wrong",
            capabilities=random.getrandbits(32) | c.CLIENT_PROTOCOL_41,
            charset=random.randrange(256),
            user=random.choice(("app", "", "root", "nobody", "é" * 20)),
            plugin=random.choice((c.CACHING_SHA2, b"mysql_native_password", b"", b"sha256")),
            proof=random.choice(
                (b"", b"\x02", b"\x04", random.randbytes(20), random.randbytes(32))
            ),
        )
    data = badly_framed(random, mutated(random, login.pack()), 1)
    for number in range(random.choice((0, 0, 1, 3))):
        more = random.choice((*COMMANDS, b"wrong\0", b"\x02", random.randbytes(256)))
        data += badly_framed(random, more, random.choice((0, 2 + number, 3 + number)))
    for piece in pieces(random, data):
        wire.feed(piece)
    await world.rest(wire)
    found = _before_login_problems(world, wire)
    wire.close()
    return found


def _before_login_problems(world: World, wire: Wire) -> list[str]:
    said = wire.payloads()
    problems = [f"an answer before the login: {p[:60]!r}" for p in said if p[:1] not in _ALLOWED]
    if any(p[:1] == b"\xff" for p in said[:-1]):
        problems.append("something was said after a refusal")
    if said and said[-1][:1] == b"\xff" and not wire.is_closed:
        problems.append("the connection was left open after a refusal")
    if any(s._transport is wire for s in world.server.sessions.values()):
        problems.append("a client without the password got in")
    return problems


_ALLOWED = (b"\x01", b"\xfe", b"\xff")


async def good_login(world: World, random: Random) -> list[str]:
    """The right password must open however the bytes arrive and whichever way it is shown."""
    wire = world.client()
    greeting = greeted(wire)
    way = random.randrange(3)
    login = a_login(greeting, attributes={"program_name": "x" * random.randint(0, 300)})
    if way == 1:
        login = a_login(greeting, plugin=b"mysql_native_password", proof=random.randbytes(20))
    elif way == 2:
        login = a_login(greeting, proof=b"\x02")
    for piece in pieces(random, frame(login.pack(), 1)):
        wire.feed(piece)
    said = wire.payloads()
    if way == 1:
        proof = auth.scramble("secret", packets.read_auth_switch(said[-1])[1])
    elif way == 2:
        proof = auth.encrypt("secret", greeting.nonce, said[-1][1:])
    if way:
        for piece in pieces(random, frame(proof, 3)):
            wire.feed(piece)
        said = wire.payloads()
    wire.close()
    return [] if said[-1][:1] == b"\0" else [f"the right password was refused: {said}"]


async def after_login(world: World, random: Random) -> list[str]:
    """One client that knows the password and then sends whatever."""
    wire = world.member(capabilities=random.choice(VARIANTS))
    for _ in range(SESSION_INPUTS):
        if wire.is_closed:
            return []
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            payload = random.choice(COMMANDS)
            if random.random() < 0.8:
                payload = mutated(random, payload)
            for piece in pieces(random, badly_framed(random, payload, 0)):
                wire.feed(piece)
        await world.rest(wire)
        wire.said.clear()
    wire.close()
    return []


async def ordered_commands(world: World, random: Random) -> list[str]:
    """Whole packets with any content leave the connection in use: it is still answered."""
    wire = world.member()
    for _ in range(SESSION_INPUTS // 2):
        payload = mutated(random, random.choice(COMMANDS)) or b"\x0e"
        if payload[0] in (c.COM_QUIT, c.COM_CHANGE_USER):
            continue
        wire.feed(frame(payload, 0))
        await world.rest(wire)
        if wire.is_closed:
            said = wire.payloads()
            broken = bool(said) and said[-1][:1] == b"\xff"
            return [] if broken else [f"closed without a word after {payload[:80]!r}"]
        wire.payloads()
        wire.feed(frame(b"\x0e", 0))
        await world.rest(wire)
        said = wire.payloads()
        if len(said) != 1 or said[0][:1] != b"\0":
            return [f"no clean answer to a ping after {payload[:80]!r}: {said}"]
    wire.close()
    return []


async def large(world: World, random: Random) -> list[str]:
    """Packets at and over the limit, announced or sent."""
    wire = world.member()
    size = random.choice((MAX_PACKET - 1, MAX_PACKET, MAX_PACKET + 1, 0xFFFFFF))
    body = b"\x03SELECT '" + b"x" * (min(size, MAX_PACKET + 1) - 10) + b"'"
    wire.feed(size.to_bytes(3, "little") + b"\0" + body)
    await world.rest(wire)
    if size > MAX_PACKET and not wire.is_closed:
        return ["a packet over the limit was taken"]
    wire.close()
    return []


KINDS = (
    *(before_login,) * 10,
    good_login,
    *(after_login,) * 3,
    *(ordered_commands,) * 2,
)


async def one(world: World, seed: int) -> tuple[list[str], int]:
    """Return the problems of one input, and how many inputs it counts for."""
    random = Random(seed)
    kind = large if random.randrange(500) == 0 else random.choice(KINDS)
    problems = await kind(world, random)
    problems += world.findings
    world.findings.clear()
    weight = SESSION_INPUTS if kind is after_login else 1
    weight = SESSION_INPUTS // 2 if kind is ordered_commands else weight
    return [f"seed {seed}, {kind.__name__}: {p}" for p in problems], weight


async def run(seed: int, inputs: int, show: bool = False) -> list[str]:
    found: list[str] = []

    def note(problems: list[str]) -> None:
        found.extend(problems)
        if show and problems:
            print("\n".join(problems), flush=True)

    with World() as world:
        witness = world.member(WITNESS)
        done = number = 0
        while done < inputs and len(found) < 20:
            problems, weight = await one(world, seed + number)
            note(problems)
            done += weight
            number += 1
            if number % LOOKS_EVERY == 0:
                if not await world.serves(witness):
                    note([f"seed {seed + number}: another client is not served any more"])
                    witness = world.member(WITNESS)
                if len(world.server.sessions) != 1 or world.server._entrances:
                    note([f"seed {seed + number}: clients are left over"])
            if show and number % 5000 == 0:
                size = resident_bytes() >> 20
                print(f"{done} inputs, {len(found)} findings, {size} MiB", flush=True)
    return found


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
