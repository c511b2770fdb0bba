"""Gates that ask each other: only with the key, each question once, and no two of one number."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mitosis_gate import connection_ids
from mitosis_gate.errors import NotStarted
from mitosis_gate.lines import Line
from mitosis_gate.peers import PATH, Peers, SealFile, choose_number
from mitosis_gate.sealing import BadSeal, Seal, is_sealed
from mitosis_gate.web import Request, Response, WebServer

KEY = b"a key of twenty bytes"


BOTH = pytest.mark.parametrize("is_secret", [True, False])


def key_file(tmp_path: Path, key: bytes = KEY) -> SealFile:
    path = tmp_path / "key"
    path.write_bytes(key)
    return SealFile(path)


def test_a_question_and_its_answer_are_opened_with_the_key() -> None:
    one, other = Seal(KEY), Seal(KEY)
    data, number = one.question({"what": "find", "id": 5})
    assert b"find" not in data
    question, asked = other.open_question(data)
    assert question["id"] == 5
    assert one.open_answer(other.answer([{"a": 1}], asked), number) == [{"a": 1}]


def test_what_is_no_secret_is_signed() -> None:
    one, other = Seal(KEY), Seal(KEY)
    data, number = one.question({"what": "number"}, is_secret=False)
    assert b"number" in data and not is_sealed(data)
    _, asked = other.open_question(data)
    answer = other.answer([{"gate": 7}], asked, is_secret=False)
    assert one.open_answer(answer, number) == [{"gate": 7}]
    with pytest.raises(BadSeal):
        one.open_answer(answer, "another")


@BOTH
def test_another_key_opens_nothing(is_secret: bool) -> None:
    data, _ = Seal(KEY).question({"what": "find"}, is_secret)
    with pytest.raises(BadSeal):
        Seal(KEY + b"!").open_question(data)


@BOTH
def test_a_question_that_comes_twice_is_refused(is_secret: bool) -> None:
    data, _ = Seal(KEY).question({"what": "kill"}, is_secret)
    door = Seal(KEY)
    door.open_question(data)
    with pytest.raises(BadSeal, match="came before"):
        door.open_question(data)


@BOTH
def test_an_old_question_is_refused(is_secret: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = Seal(KEY).question({"what": "kill"}, is_secret)
    later = time.time() + 3600
    monkeypatch.setattr("mitosis_gate.sealing.time.time", lambda: later)
    with pytest.raises(BadSeal, match="old"):
        Seal(KEY).open_question(data)


def test_an_answer_is_for_its_question_only() -> None:
    seal = Seal(KEY)
    _, number = seal.question({})
    _, other = seal.question({})
    with pytest.raises(BadSeal):
        seal.open_answer(seal.answer([], other), number)


@BOTH
def test_a_changed_byte_is_noticed(is_secret: bool) -> None:
    data, _ = Seal(KEY).question({"what": "kill", "id": 1}, is_secret)
    with pytest.raises(BadSeal):
        Seal(KEY).open_question(data[:-1] + bytes((data[-1] ^ 1,)))


def test_a_key_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    file = key_file(tmp_path)
    before = file.seal
    (tmp_path / "key").write_bytes(b"another key of the release")
    os.utime(tmp_path / "key", (1, 1))
    assert file.seal is not before
    (tmp_path / "key").unlink()
    assert file.seal is not before


@pytest.mark.parametrize("key", [b"", b"short"])
def test_a_key_that_protects_nothing_is_refused(tmp_path: Path, key: bytes) -> None:
    with pytest.raises(NotStarted, match="--peers-key-file"):
        key_file(tmp_path, key)


async def a_peer(tmp_path: Path, name: str, answers: list[dict[str, int]]) -> WebServer:
    door = Peers((), key_file(tmp_path))

    async def handle(request: Request) -> Response:
        async def answer(question: object) -> list[dict[str, int]]:
            return answers

        assert request.body is not None
        return await door.handle(request.body, answer)

    server = WebServer(handle, posts=(PATH,))
    await server.start("127.0.0.1", 0)
    return server


async def test_all_peers_are_asked_and_those_that_are_away_left_out(tmp_path: Path) -> None:
    one = await a_peer(tmp_path, "one", [{"gate": 1}, {"gate": 1}])
    two = await a_peer(tmp_path, "two", [{"gate": 2}])
    nobody = await a_peer(tmp_path, "gone", [])
    away = nobody.port
    await nobody.close()
    named = [f"127.0.0.1:{port}" for port in (one.port, two.port, away)]
    peers = Peers(named, key_file(tmp_path))
    assert sorted(m["gate"] for m in await peers.ask({"what": "number"})) == [1, 1, 2]
    assert await peers.free_number() not in (1, 2)
    await one.close()
    await two.close()


async def test_without_the_key_nothing_is_answered(tmp_path: Path) -> None:
    server = await a_peer(tmp_path, "one", [{"gate": 1}])
    (tmp_path / "other").mkdir()
    stranger = Peers([f"127.0.0.1:{server.port}"], key_file(tmp_path / "other", KEY + b"?"))
    assert await stranger.ask({"what": "number"}) == []
    await server.close()


async def test_a_gate_leaves_itself_out(tmp_path: Path) -> None:
    """Its own address is among those of the headless Service."""

    async def handle(request: Request) -> Response:
        async def answer(question: object) -> list[dict[str, int]]:
            return [{"gate": 9}]

        return await me.handle(request.body or b"", answer)

    server = WebServer(handle, posts=(PATH,))
    await server.start("127.0.0.1", 0)
    me = Peers([f"127.0.0.1:{server.port}"], key_file(tmp_path))
    assert await me.ask({"what": "number"}) == []
    await server.close()


async def test_other_paths_take_no_post(tmp_path: Path) -> None:
    server = await a_peer(tmp_path, "one", [])
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
    assert b"405" in await reader.readline()
    writer.close()
    await writer.wait_closed()
    await server.close()


def test_numbers_are_free_and_fit() -> None:
    taken = list(range(connection_ids.GATES - 1))
    assert choose_number(taken, "gate-a") == connection_ids.GATES - 1
    assert choose_number([], "gate-a") == choose_number([], "gate-a")


def test_an_id_tells_gate_and_worker() -> None:
    number = connection_ids.first_id(1023, 31) + connection_ids.MAX_CLIENTS
    assert number < 1 << 32
    assert (connection_ids.gate_of(number), connection_ids.worker_of(number)) == (1023, 31)


async def test_questions_go_both_ways_on_a_line() -> None:
    async def doubled(question: dict[str, int]) -> int:
        return question["n"] * 2

    async def broken(question: dict[str, int]) -> int:
        raise KeyError("n")

    server_side: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
    reports: list[object] = []
    listening: list[asyncio.Task[None]] = []
    theirs: list[asyncio.StreamWriter] = []

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs.append(writer)
        line = Line(writer, doubled, reports.append)
        listening.append(asyncio.create_task(line.listen(reader)))
        server_side.set_result(line)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    client = Line(writer, broken)
    listening.append(asyncio.create_task(client.listen(reader)))
    client.tell({"ready": True})
    assert await asyncio.gather(*(client.ask({"n": n}) for n in range(20))) == [
        2 * n for n in range(20)
    ]
    assert await (await server_side).ask({"n": 1}) is None
    assert reports == [{"ready": True}]
    writer.close()
    theirs[0].close()
    await asyncio.gather(*listening)
    server.close()


def test_who_asks_for_no_secret_needs_no_library_for_encryption() -> None:
    """It is 8 MB of the memory of a gate."""
    program = (
        "import sys; import mitosis_gate.process; from mitosis_gate.sealing import Seal; "
        "seal = Seal(b'key'); data, n = seal.question({}, False); seal.open_question(data); "
        "sys.exit(any(name.startswith('cryptography') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
