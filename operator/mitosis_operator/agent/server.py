"""The two listeners: the API (mutual TLS, the operator only) and the probes (plain HTTP).

Each connection has a thread, and there is a limit on threads: who comes beyond it is turned away at
once. The TLS handshake happens in that thread, so a silent client holds up nobody.
"""

import json
import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

from mitosis_operator.agent.errors import BadRequest, Refused
from mitosis_operator.agent.lifecycle import log
from mitosis_operator.agent.operations import Operations
from mitosis_operator.mysql.codec import BadJson
from mitosis_operator.mysql.instance import InstanceStatus, Operation, Progress

CALLER = "mitosis-operator"
PATIENCE_SECONDS = 10.0
LARGEST_BODY = 1 << 20
OPERATION = re.compile(r"/v1/op/([A-Za-z0-9._:%-]{1,300})")


@dataclass(frozen=True)
class Answer:
    status: int
    body: str
    kind: str = "application/json"


Handle = Callable[[str, str, bytes], Answer]
"""(method, path, body) to answer."""


def json_answer(status: int, body: object) -> Answer:
    return Answer(status, json.dumps(body))


def error(status: int, text: str) -> Answer:
    return json_answer(status, {"error": text})


class Listener(socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(
        self,
        port: int,
        handle: Handle,
        most_threads: int,
        tls: Callable[[], ssl.SSLContext] | None = None,
        is_v6: bool = False,
    ) -> None:
        self.handle = handle
        self._tls = tls
        self._room = threading.BoundedSemaphore(most_threads)
        self.address_family = socket.AF_INET6 if is_v6 else socket.AF_INET
        super().__init__(("", port), _Request)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        threading.Thread(
            target=self._serve, args=(request, client_address), name="http", daemon=True
        ).start()

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        connection = request
        try:
            request.settimeout(PATIENCE_SECONDS)
            if self._tls:
                connection = self._tls().wrap_socket(request, server_side=True)
                _check_caller(connection)
            self.finish_request(connection, client_address)
        except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
            log(f"connection from {client_address[0]} ended: {exc}")
        finally:
            self.shutdown_request(connection)
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log(f"request from {client_address[0]} failed")


def _check_caller(connection: ssl.SSLSocket) -> None:
    certificate = connection.getpeercert() or {}
    subject: Any = certificate.get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    if names != [CALLER]:
        raise PermissionError(f"client certificate of {names}, not of {CALLER}: refused")


class _Request(BaseHTTPRequestHandler):
    server: Listener
    timeout = PATIENCE_SECONDS

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            self._send(error(400, f"a body of at most {LARGEST_BODY} bytes, with its length"))
            return
        self._answer(self.rfile.read(int(length)))

    def _answer(self, body: bytes) -> None:
        try:
            answer = self.server.handle(self.command, self.path, body)
        except Exception as exc:  # the border of one request
            log(f"{self.command} {self.path}: {type(exc).__name__}: {exc}")
            answer = error(500, f"the agent failed: {type(exc).__name__}: {exc}")
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Each request is no news."""


def api(status: Callable[[], InstanceStatus], operations: Operations) -> Handle:
    def handle(method: str, path: str, body: bytes) -> Answer:
        if method == "GET" and path == "/status":
            return json_answer(200, status().to_json())
        if found := OPERATION.fullmatch(path):
            return _operation(operations, method, unquote(found[1]), body)
        return error(404, f"{method} {path}: unknown; there are /status and /v1/op/ID")

    return handle


def _operation(operations: Operations, method: str, operation_id: str, body: bytes) -> Answer:
    if method == "GET":
        known = operations.find(operation_id)
        return json_answer(200, known.to_json()) if known else error(404, "unknown operation")
    try:
        state = operations.take(_parse(operation_id, body))
    except BadRequest as exc:
        return error(400, str(exc))
    except Refused as exc:
        return error(409, str(exc))
    return json_answer(202 if state.state is Progress.RUNNING else 200, state.to_json())


def _parse(operation_id: str, body: bytes) -> Operation:
    try:
        return Operation.from_json(operation_id, json.loads(body))
    except BadJson as exc:
        raise BadRequest(f"cannot read the operation: {exc}") from exc
    except ValueError as exc:
        raise BadRequest("the body is not JSON") from exc
