"""Door to the Kubernetes API server: read routing tables and Secrets, nothing else.

The service account's token and the authority's certificate are files that the kubelet renews, so
both are read again whenever they are needed.
"""

import base64
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mitosis_gate import web
from mitosis_gate.errors import (
    KubernetesError,
    KubernetesUnreachable,
    NotStarted,
    ResourceVersionGone,
)
from mitosis_gate.settings import Settings

TABLES = "/apis/mitosis.dev/v1alpha1/namespaces/{namespace}/routingtables"
SECRET = "/api/v1/namespaces/{namespace}/secrets/{name}"
ANSWER_SECONDS = 15.0
PAGE = 200
LONGEST_EVENT = 32 << 20
NOT_FOUND = 404
GONE = 410
TOO_MANY_REQUESTS = 429


class NotFound(KubernetesError):
    pass


@dataclass(frozen=True)
class Listed:
    items: tuple[Mapping[str, Any], ...]
    resource_version: str


@dataclass(frozen=True)
class Event:
    kind: str
    """ADDED, MODIFIED, DELETED or BOOKMARK."""
    body: Mapping[str, Any]


class RoutingApi(Protocol):
    """What following the routing tables needs; tests put a small server behind it."""

    async def list_tables(self, namespace: str) -> Listed: ...

    def watch_tables(self, namespace: str, since: str, seconds: float) -> AsyncIterator[Event]: ...

    async def read_secret(self, namespace: str, name: str) -> Mapping[str, bytes]: ...


class ApiServer:
    """Raises KubernetesUnreachable for whatever may pass by itself."""

    def __init__(self, url: str, account_dir: Path) -> None:
        self.url = url
        self._account_dir = account_dir
        self._tls: ssl.SSLContext | None = None
        self._tls_made_from = 0.0

    async def list_tables(self, namespace: str) -> Listed:
        path = TABLES.format(namespace=namespace)
        items: list[Mapping[str, Any]] = []
        page: dict[str, str] = {"limit": str(PAGE)}
        while True:
            body = await self._get(path, page)
            items += body.get("items") or ()
            metadata = body.get("metadata") or {}
            if not metadata.get("continue"):
                return Listed(tuple(items), metadata.get("resourceVersion", ""))
            page["continue"] = metadata["continue"]

    async def watch_tables(
        self, namespace: str, since: str, seconds: float
    ) -> AsyncIterator[Event]:
        """End after `seconds`, which proves that the server is there and nothing has changed."""
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(max(1, int(seconds))),
        }
        path = TABLES.format(namespace=namespace)
        try:
            async with self._ask(path, query, seconds + ANSWER_SECONDS) as answer:
                await _raise_for(answer, path)
                async for line in _lines(answer):
                    yield _event(line)
        except (OSError, TimeoutError, ValueError) as exc:
            raise _unreachable(path, exc) from exc

    async def read_secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        body = await self._get(SECRET.format(namespace=namespace, name=name), {})
        data: Mapping[str, str] = body.get("data") or {}
        return {key: base64.b64decode(value) for key, value in data.items()}

    async def _get(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            async with self._ask(path, query, ANSWER_SECONDS) as answer:
                await _raise_for(answer, path)
                body: Mapping[str, Any] = json.loads(await answer.read())
                return body
        except (OSError, TimeoutError, ValueError) as exc:
            raise _unreachable(path, exc) from exc

    def _ask(
        self, path: str, query: Mapping[str, str], seconds: float
    ) -> AbstractAsyncContextManager[web.Answer]:
        tls = self._context() if self.url.startswith("https") else None
        return web.get(self.url + path, query, self._headers(), tls, seconds)

    def _headers(self) -> Mapping[str, str]:
        token = self._account_dir / "token"
        if not token.exists():
            return {}
        return {"Authorization": f"Bearer {token.read_text().strip()}"}

    def _context(self) -> ssl.SSLContext:
        authority = self._account_dir / "ca.crt"
        changed = authority.stat().st_mtime
        if self._tls is None or changed != self._tls_made_from:
            self._tls = ssl.create_default_context(cafile=str(authority))
            self._tls_made_from = changed
        return self._tls


def from_settings(settings: Settings, environment: Mapping[str, str] = os.environ) -> ApiServer:
    url = settings.api_server
    if not url:
        host = environment.get("KUBERNETES_SERVICE_HOST")
        if not host:
            raise NotStarted(
                "no Kubernetes API server: run in a pod with a service account, "
                "or give --api-server, or --routing-file and --users-file"
            )
        port = environment.get("KUBERNETES_SERVICE_PORT", "443")
        url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return ApiServer(url.rstrip("/"), settings.service_account_dir)


def own_namespaces(settings: Settings) -> tuple[str, ...]:
    if settings.namespaces:
        return settings.namespaces
    own = settings.service_account_dir / "namespace"
    if not own.exists():
        raise NotStarted("no namespace to serve: give --namespaces")
    return (own.read_text().strip(),)


async def _raise_for(answer: web.Answer, path: str) -> None:
    if answer.status == GONE:
        raise ResourceVersionGone(path)
    if answer.status == NOT_FOUND:
        raise NotFound(f"{path} does not exist")
    if answer.status >= 400:
        text = (await answer.read()).decode(errors="replace")[:300]
        if answer.status == TOO_MANY_REQUESTS or answer.status >= 500:
            raise KubernetesUnreachable(f"{path} answers {answer.status}: {text}")
        raise KubernetesError(f"{path} answers {answer.status}: {text}")


def _unreachable(path: str, exc: Exception) -> KubernetesUnreachable:
    return KubernetesUnreachable(f"cannot read {path}: {type(exc).__name__}: {exc}")


async def _lines(answer: web.Answer) -> AsyncIterator[bytes]:
    """One JSON document per line."""
    rest = bytearray()
    async for piece in answer.pieces():
        rest += piece
        while (end := rest.find(b"\n")) >= 0:
            line = bytes(rest[:end])
            del rest[: end + 1]
            if line:
                yield line
        if len(rest) > LONGEST_EVENT:
            raise KubernetesUnreachable(f"an event of more than {LONGEST_EVENT} bytes")


def _event(line: bytes) -> Event:
    try:
        event = json.loads(line)
        kind, body = event["type"], event["object"]
    except (ValueError, KeyError, TypeError) as exc:
        raise KubernetesUnreachable(f"the watch sent what is no event: {exc}") from exc
    if kind != "ERROR":
        return Event(kind, body)
    if body.get("code") == GONE:
        raise ResourceVersionGone(body.get("message", ""))
    raise KubernetesUnreachable(f"the watch ended: {body.get('message', '')}")
