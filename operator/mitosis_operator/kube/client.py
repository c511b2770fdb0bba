"""The API server in verbs of our domain. Errors of the server become ours here, and only here.

Reading, applying, replacing and deleting are repeated when the server does not answer, because
doing them twice does no harm; `create` is not: its caller looks again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import tenacity

from mitosis_operator import metrics
from mitosis_operator.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Unavailable
from mitosis_operator.kube.access import Access
from mitosis_operator.kube.kinds import (
    Body,
    Kind,
    kind_of,
    name_of,
    namespace_of,
    uid_of,
    version_of,
)

FIELD_MANAGER = "mitosis-operator"
CHUNK = 500
ATTEMPTS = 4


@dataclass(frozen=True)
class Listing:
    items: tuple[Body, ...]
    resource_version: str


class Kube(Protocol):
    """The operator's door to Kubernetes.

    Raises NotFound, Conflict, Invalid, Forbidden and Unavailable, and nothing else of the network.
    """

    async def get(self, kind: Kind, namespace: str, name: str) -> Body: ...

    async def list(
        self, kind: Kind, namespace: str, labels: str = "", fields: str = ""
    ) -> Listing: ...

    async def create(self, body: Body) -> Body:
        """Raise Conflict when the name is taken."""
        ...

    async def apply(self, body: Body) -> Body:
        """Server-side apply: own what stands in `body`, leave the rest; twice is once."""
        ...

    async def merge(self, kind: Kind, namespace: str, name: str, patch: Body) -> Body:
        """Merge patch; with `metadata.resourceVersion` in it, a stale one raises Conflict."""
        ...

    async def replace(self, body: Body) -> Body:
        """Compare-and-swap: raise Conflict unless `resourceVersion` is still the newest."""
        ...

    async def replace_status(self, body: Body) -> Body:
        """Compare-and-swap of the status alone."""
        ...

    async def delete(self, body: Body, grace_seconds: int | None = None) -> None:
        """Delete this very object (by uid), not another of the same name; absent is fine."""
        ...


class Client:
    """The real door. Used inside `async with`."""

    def __init__(self, access: Access, *, timeout_seconds: float = 15.0) -> None:
        self._access = access
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=5.0)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Client":
        connector = aiohttp.TCPConnector(ssl=self._access.ssl_context(), limit=32)
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, kind: Kind, namespace: str, name: str) -> Body:
        return await self._again("GET", kind.path(namespace, name))

    async def list(self, kind: Kind, namespace: str, labels: str = "", fields: str = "") -> Listing:
        query = {"limit": str(CHUNK), "labelSelector": labels, "fieldSelector": fields}
        items: list[Body] = []
        while True:
            sent = {key: value for key, value in query.items() if value}
            page = await self._again("GET", kind.path(namespace), query=sent)
            for item in page.get("items") or ():
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.name)
                items.append(item)
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return Listing(tuple(items), page["metadata"].get("resourceVersion", ""))

    async def create(self, body: Body) -> Body:
        path = kind_of(body).path(namespace_of(body))
        return await self._once("POST", path, query=_as_manager(), body=body)

    async def apply(self, body: Body) -> Body:
        return await self._again(
            "PATCH",
            _path(body),
            query=_as_manager() | {"force": "true"},
            body=body,
            content_type="application/apply-patch+yaml",
        )

    async def merge(self, kind: Kind, namespace: str, name: str, patch: Body) -> Body:
        return await self._again(
            "PATCH",
            kind.path(namespace, name),
            query=_as_manager(),
            body=patch,
            content_type="application/merge-patch+json",
        )

    async def replace(self, body: Body) -> Body:
        return await self._again("PUT", _path(body), query=_as_manager(), body=_checked(body))

    async def replace_status(self, body: Body) -> Body:
        path = _path(body, "status")
        return await self._again("PUT", path, query=_as_manager(), body=_checked(body))

    async def delete(self, body: Body, grace_seconds: int | None = None) -> None:
        options: Body = {"apiVersion": "v1", "kind": "DeleteOptions"}
        options["preconditions"] = {"uid": uid_of(body)}
        options["propagationPolicy"] = "Background"
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            await self._again("DELETE", _path(body), body=options)
        except NotFound:
            return

    async def _again(self, method: str, path: str, **request: Any) -> Body:
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Unavailable),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=3.0),
            reraise=True,
        )
        async for attempt in attempts:
            with attempt:
                return await self._once(method, path, **request)
        raise AssertionError("tenacity ends with a result or raises")

    async def _once(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = "application/json",
    ) -> Body:
        if self._session is None:
            raise KubeError("the client is used outside its `async with`")
        headers = self._access.headers() | {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            async with self._session.request(
                method,
                self._access.server + path,
                params=dict(query or {}),
                data=None if body is None else json.dumps(body).encode(),
                headers=headers,
            ) as response:
                answer = await response.read()
                status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError) as exc:
            metrics.KUBE_REQUESTS.labels(method, "unanswered").inc()
            raise Unavailable(f"cannot {method} {path}: {exc!r}") from exc
        metrics.KUBE_REQUESTS.labels(method, str(status)).inc()
        return _answer(method, path, status, answer)


def _answer(method: str, path: str, status: int, answer: bytes) -> Body:
    try:
        body: Body = json.loads(answer or b"{}")
    except ValueError:
        body = {"message": answer[:200].decode(errors="replace")}
    if status < 300:
        return body
    raise error_for(status)(f"cannot {method} {path}: {body.get('message', status)}")


def error_for(status: int) -> type[KubeError]:
    known: Mapping[int, type[KubeError]] = {
        400: Invalid,
        401: Forbidden,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        410: Conflict,
        413: Invalid,
        415: Invalid,
        422: Invalid,
    }
    return known.get(status, Unavailable if status in (408, 429) or status >= 500 else KubeError)


def _path(body: Body, subresource: str = "") -> str:
    return kind_of(body).path(namespace_of(body), name_of(body), subresource)


def _as_manager() -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER}


def _checked(body: Body) -> Body:
    """Without a resourceVersion the server would overwrite blindly."""
    if not version_of(body):
        raise KubeError(f"{name_of(body)}: compare-and-swap needs the version that was read")
    return body
