"""The little HTTP/1.1 that a gate needs: GET and small POSTs, one request each time.

A whole web framework would cost every gate process a sixth of its memory for three kinds of
requests to the API server and five small pages.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

log = logging.getLogger(__name__)

HEAD_BYTES = 64 << 10
PIECE_BYTES = 64 << 10
REQUEST_SECONDS = 10.0
MAX_BODY_BYTES = 64 << 10
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
T = TypeVar("T")


class BadAnswer(OSError):
    """What came is no HTTP, or ended too early."""


class Answer:
    """The head of an answer; its body is read by `pieces` or `read`, by the same deadline."""

    def __init__(
        self, status: int, headers: Mapping[str, str], reader: asyncio.StreamReader, deadline: float
    ) -> None:
        self.status = status
        self._headers = headers
        self._reader = reader
        self._deadline = deadline

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._headers.get("transfer-encoding", "").lower() == "chunked":
            async for piece in self._chunks():
                yield piece
            return
        length = self._headers.get("content-length")
        left = int(length) if length is not None else 1 << 62
        while left:
            piece = await self._in_time(self._reader.read(min(left, PIECE_BYTES)))
            if not piece:
                if length is not None:
                    raise BadAnswer(f"the answer ended {left} bytes early")
                return
            left -= len(piece)
            yield piece

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            line = await self._in_time(self._reader.readline())
            if not line.endswith(b"\n"):
                raise BadAnswer("the answer ended early")
            left = int(line.split(b";")[0], 16)
            if left == 0:
                return
            while left:
                piece = await self._in_time(self._reader.read(min(left, PIECE_BYTES)))
                if not piece:
                    raise BadAnswer("the answer ended early")
                left -= len(piece)
                yield piece
            await self._in_time(self._reader.readline())

    async def _in_time(self, part: Awaitable[T]) -> T:
        async with asyncio.timeout_at(self._deadline):
            return await part


@contextlib.asynccontextmanager
async def get(
    url: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    tls: ssl.SSLContext | None,
    seconds: float,
) -> AsyncIterator[Answer]:
    """Ask, on a connection of its own. Raises OSError, TimeoutError or ValueError."""
    target = urlsplit(url).path + ("?" + urlencode(query) if query else "")
    wanted = {"Accept": "application/json"} | dict(headers)
    async with _ask("GET", url, target, wanted, b"", tls, seconds) as answer:
        yield answer


@contextlib.asynccontextmanager
async def post(url: str, body: bytes, seconds: float) -> AsyncIterator[Answer]:
    """As `get`, without TLS."""
    fields = {"Content-Length": str(len(body)), "Content-Type": "application/octet-stream"}
    async with _ask("POST", url, urlsplit(url).path, fields, body, None, seconds) as answer:
        yield answer


@contextlib.asynccontextmanager
async def _ask(
    method: str,
    url: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    tls: ssl.SSLContext | None,
    seconds: float,
) -> AsyncIterator[Answer]:
    deadline = asyncio.get_running_loop().time() + seconds
    parts = urlsplit(url)
    encrypted = parts.scheme == "https"
    host = parts.hostname or ""
    port = parts.port or (443 if encrypted else 80)
    async with asyncio.timeout_at(deadline):
        reader, writer = await asyncio.open_connection(
            host,
            port,
            limit=HEAD_BYTES,
            ssl=tls if encrypted else None,
            server_hostname=host if encrypted else None,
        )
    try:
        fields = {"Host": parts.netloc, "Connection": "close"}
        lines = [f"{name}: {value}" for name, value in (fields | dict(headers)).items()]
        head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""])
        writer.write(head.encode("ascii") + body)
        async with asyncio.timeout_at(deadline):
            status, found = await _head(reader)
        yield Answer(status, found, reader, deadline)
    finally:
        writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> tuple[int, Mapping[str, str]]:
    first, fields = await _lines(reader)
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1."):
        raise BadAnswer("the answer is not HTTP/1.1")
    return int(rest[:3]), fields


async def _lines(reader: asyncio.StreamReader) -> tuple[str, Mapping[str, str]]:
    """The first line and the header fields, by lower-case name."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
        raise BadAnswer("no head of HTTP came") from exc
    first, *rest = head.split("\r\n")
    pairs = (line.partition(":") for line in rest if line)
    return first, {name.strip().lower(): value.strip() for name, _, value in pairs}


@dataclass(frozen=True)
class Request:
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    caller: str = ""
    """The name in the client's certificate; empty when it showed none."""
    body: bytes | None = None
    """None: a GET."""


@dataclass(frozen=True)
class Response:
    body: bytes
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"

    def pack(self) -> bytes:
        reason = _REASONS.get(self.status, "Status")
        return (
            f"HTTP/1.1 {self.status} {reason}\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
        ).encode("ascii") + self.body


class WebServer:
    """Answers requests with what `handle` makes of them."""

    def __init__(
        self, handle: Callable[[Request], Awaitable[Response]], posts: Sequence[str] = ()
    ) -> None:
        """`posts`: the only paths that take a POST; all others are for GET."""
        self._handle = handle
        self._posts = frozenset(posts)
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._listener = await asyncio.start_server(
            self._accept, host, port, limit=HEAD_BYTES, ssl=tls
        )

    @property
    def port(self) -> int:
        """The real one, when 0 was asked for."""
        assert self._listener is not None, "the server was not started"
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                first, fields = await _lines(reader)
                body = await self._body(first, fields, reader)
            caller = _common_name(writer.get_extra_info("peercert") or {})
            response = await self._response(first, caller, body)
            writer.write(response.pack())
            async with asyncio.timeout(REQUEST_SECONDS):
                await writer.drain()
            writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as exc:
            log.debug("request not answered: %s", exc)
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise

    async def _body(
        self, first: str, fields: Mapping[str, str], reader: asyncio.StreamReader
    ) -> bytes | None:
        """Of a POST that is taken; everything else has none that would be read."""
        method, _, rest = first.partition(" ")
        if method != "POST" or rest.partition(" ")[0] not in self._posts:
            return None
        length = fields.get("content-length", "")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            raise BadAnswer("a request of no length, or of too much")
        return await reader.readexactly(int(length))

    async def _response(self, first: str, caller: str, body: bytes | None) -> Response:
        method, _, rest = first.partition(" ")
        if method != "GET" and body is None:
            return Response(b"only GET is served here\n", 405)
        parts = urlsplit(rest.partition(" ")[0])
        request = Request(unquote(parts.path), dict(parse_qsl(parts.query)), caller, body)
        try:
            return await self._handle(request)
        except Exception:
            log.exception("a request for %s failed", request.path)
            return Response(b"the gate failed to answer; see its log\n", 500)


def _common_name(certificate: Mapping[str, Any]) -> str:
    """Of a certificate as `ssl` shows it; it was verified by then."""
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return ""
