"""The operator's door to agents: HTTPS to the pod's IP, both sides proven by certificate.

The name in the agent's certificate must be the instance that is meant: a pod's IP may by now belong
to another instance.
"""

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp

from mitosis_operator.errors import AgentRefused, AgentUnreachable
from mitosis_operator.mysql.codec import BadJson
from mitosis_operator.mysql.instance import InstanceStatus, Operation, OperationState

API_PORT = 8443
TIMEOUT_SECONDS = 5.0
NOT_FOUND = 404

T = TypeVar("T")


def client_context(ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """The operator's identity, from files; build it anew when they are renewed."""
    context = ssl.create_default_context(cafile=str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    return context


class AgentClient:
    """Implements `Instances`. One connection per call: a kept one would outlive what proved it."""

    def __init__(
        self,
        context: Callable[[], ssl.SSLContext],
        port: int = API_PORT,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """`context` is asked for each call, so that a renewed certificate is used at once."""
        self._context = context
        self._port = port
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def status(self, ip: str, instance: str) -> InstanceStatus:
        body = await self._call("GET", ip, instance, "/status")
        return _read(InstanceStatus.from_json, body, instance, ip)

    async def start(self, ip: str, instance: str, operation: Operation) -> OperationState:
        path = f"/v1/op/{quote(operation.id, safe='')}"
        body = await self._call("POST", ip, instance, path, operation.to_json())
        return _read(OperationState.from_json, body, instance, ip)

    async def operation(self, ip: str, instance: str, operation_id: str) -> OperationState | None:
        path = f"/v1/op/{quote(operation_id, safe='')}"
        try:
            body = await self._call("GET", ip, instance, path)
        except AgentRefused as exc:
            if exc.http_status == NOT_FOUND:
                return None
            raise
        return _read(OperationState.from_json, body, instance, ip)

    async def _call(
        self, method: str, ip: str, instance: str, path: str, body: object = None
    ) -> object:
        host = f"[{ip}]" if ":" in ip else ip
        url = f"https://{host}:{self._port}{path}"
        connector = aiohttp.TCPConnector(ssl=self._context(), force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=self._timeout) as session,
                session.request(method, url, json=body, server_hostname=instance) as response,
            ):
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError) as exc:
            raise AgentUnreachable(
                f"cannot reach the agent of {instance} at {ip}: {_reason(exc)}"
            ) from exc
        answer = _json(text, instance, ip)
        if response.status >= 400:
            raise AgentRefused(_refusal(answer, instance, response.status), response.status)
        return answer


def _json(text: str, instance: str, ip: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise AgentUnreachable(f"what answers for {instance} at {ip} is no agent: {exc}") from exc


def _read(parse: Callable[[object], T], body: object, instance: str, ip: str) -> T:
    try:
        return parse(body)
    except BadJson as exc:
        raise AgentUnreachable(f"cannot read what {instance} at {ip} answered: {exc}") from exc


def _refusal(answer: object, instance: str, status: int) -> str:
    reason = answer.get("error") if isinstance(answer, dict) else None
    return f"the agent of {instance} refused: {reason or f'HTTP {status}'}"


def _reason(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
