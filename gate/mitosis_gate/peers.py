"""The other gates of the release: how they are found, and how they are asked.

A question is a small JSON object, sealed with a key that all gates of the release share
(`mitosis_gate.sealing`) and sent to the admin port of each peer: `POST /peers`. The key never
travels and never reaches a log.
"""

import asyncio
import hashlib
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from mitosis_gate import connection_ids, web
from mitosis_gate.errors import NotStarted
from mitosis_gate.sealing import BadSeal, Message, Seal, is_sealed
from mitosis_gate.settings import Settings

log = logging.getLogger(__name__)

Answer = Callable[[Message], Awaitable[Sequence[Message]]]
PATH = "/peers"
ASK_SECONDS = 3.0
_SHORTEST_KEY = 16
_LONGEST_ANSWER = 16 << 20


class SealFile:
    """The seal of the key in a file, made anew when the file changes."""

    def __init__(self, path: Path) -> None:
        """Raises NotStarted."""
        self._path = path
        self._key = b""
        try:
            self._look()
        except OSError as exc:
            raise NotStarted(f"--peers-key-file: {exc}") from exc
        if len(self._key) < _SHORTEST_KEY:
            raise NotStarted(f"--peers-key-file: {path} holds less than {_SHORTEST_KEY} bytes")

    def _look(self) -> None:
        key = self._path.read_bytes().strip()
        if key != self._key and len(key) >= _SHORTEST_KEY:
            self._key = key
            self._seal = Seal(key)

    @property
    def seal(self) -> Seal:
        try:
            self._look()
        except OSError as exc:
            log.warning("the key of the peers cannot be read, the old one is used: %s", exc)
        return self._seal


class Peers:
    """Asks all other gates at once; one that does not answer in time is left out, and logged."""

    def __init__(self, named: Sequence[str], file: SealFile) -> None:
        """`named`: `host:port` each; a host may have several addresses, as a headless Service."""
        self._named = tuple(named)
        self._file = file
        self._own = secrets.token_hex(8)
        """By which this gate knows itself among the addresses."""

    async def addresses(self) -> list[tuple[str, int]]:
        found: dict[tuple[str, int], None] = {}
        loop = asyncio.get_running_loop()
        for name in self._named:
            host, _, port = name.rpartition(":")
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    infos = await loop.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
            except (OSError, TimeoutError) as exc:
                log.warning("cannot find peers by the name %s: %s", host, exc)
                continue
            for info in infos:
                found[str(info[4][0]), int(port)] = None
        return list(found)

    async def ask(self, question: Message, is_secret: bool = True) -> list[Message]:
        """The answers of all processes of all other gates. `is_secret`: nobody may read them."""
        addresses = await self.addresses()
        answers = await asyncio.gather(*(self._ask(a, question, is_secret) for a in addresses))
        return [message for answer in answers for message in answer]

    async def _ask(
        self, address: tuple[str, int], question: Message, is_secret: bool
    ) -> Sequence[Message]:
        seal = self._file.seal
        body, number = seal.question({**question, "from": self._own}, is_secret)
        host, port = address
        url = f"http://[{host}]:{port}{PATH}" if ":" in host else f"http://{host}:{port}{PATH}"
        try:
            async with web.post(url, body, ASK_SECONDS) as answer:
                data = b""
                async for piece in answer.pieces():
                    data += piece
                    if len(data) > _LONGEST_ANSWER:
                        raise web.BadAnswer("the answer is too long")
            if answer.status != 200:
                raise web.BadAnswer(f"status {answer.status}: {data[:200].decode('latin1')}")
            return seal.open_answer(data, number)
        except (OSError, TimeoutError, ValueError, BadSeal) as exc:
            log.warning("peer %s:%d does not answer: %s", host, port, exc)
            return ()

    async def handle(self, body: bytes, answer: Answer) -> web.Response:
        """Answer what another gate asks; `answer` speaks for all processes of this one."""
        seal = self._file.seal
        try:
            question, number = seal.open_question(body)
        except (BadSeal, KeyError, TypeError, ValueError) as exc:
            log.warning("a question that is not from a peer was refused: %s", exc)
            return web.Response(b"not sealed with the key of this release\n", 403)
        found = [] if question.get("from") == self._own else await answer(question)
        sealed = seal.answer(found, number, is_sealed(body))
        return web.Response(sealed, content_type="application/octet-stream")

    async def free_number(self) -> int:
        """A number for this gate that no peer has."""
        told = await self.ask({"what": "number"}, is_secret=False)
        taken = [int(m["gate"]) for m in told if "gate" in m]
        return choose_number(taken, socket.gethostname() + self._own)


def from_settings(settings: Settings) -> Peers | None:
    """None: this gate is the only one. Raises NotStarted."""
    if not settings.peers or settings.peers_key_file is None:
        return None
    return Peers(settings.peers, SealFile(settings.peers_key_file))


def choose_number(taken: Sequence[int], name: str) -> int:
    """The same name gives the same number, if it is free."""
    wanted = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    free = ((wanted + step) % connection_ids.GATES for step in range(connection_ids.GATES))
    return next((number for number in free if number not in taken), wanted % connection_ids.GATES)
