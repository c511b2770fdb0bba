"""A small Kubernetes API server on loopback: RoutingTables with list and watch, and Secrets."""

import asyncio
import base64
import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Self

from aiohttp import web

Object = dict[str, Any]


class FakeApiServer:
    """Use as `async with`; what the tests change is what the watches tell."""

    def __init__(self) -> None:
        self.secrets: dict[tuple[str, str], dict[str, str]] = {}
        self.requests: list[str] = []
        self.broken = 0
        """So many requests from now on are answered with 500."""
        self._tables: dict[tuple[str, str], Object] = {}
        self._history: list[tuple[int, str, Object]] = []
        self._version = 100
        self._oldest = 0
        self._changed = asyncio.Condition()
        self._watches: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application()
        prefix = "/apis/mitosis.dev/v1alpha1/namespaces/{namespace}/routingtables"
        application.router.add_get(prefix, self._list_or_watch)
        application.router.add_get("/api/v1/namespaces/{namespace}/secrets/{name}", self._secret)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *failure: object) -> None:
        self.cut_watches()
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        assert self._runner is not None
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @property
    def watching(self) -> int:
        return len(self._watches)

    async def put(
        self, name: str, spec: Mapping[str, Any], namespace: str = "mitosis", uid: str = "u1"
    ) -> None:
        kind = "MODIFIED" if (namespace, name) in self._tables else "ADDED"
        self._version += 1
        body = {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": uid,
                "resourceVersion": str(self._version),
            },
            "spec": dict(spec),
        }
        self._tables[namespace, name] = body
        await self._record(kind, body)

    async def delete(self, name: str, namespace: str = "mitosis") -> None:
        self._version += 1
        body = self._tables.pop((namespace, name))
        body["metadata"]["resourceVersion"] = str(self._version)
        await self._record("DELETED", body)

    def forget_history(self) -> None:
        """Compaction: who resumes from before now is answered with 410."""
        self._oldest = self._version
        self._history.clear()

    def skip_versions(self, count: int) -> None:
        """Something else in the cluster was written `count` times."""
        self._version += count

    def put_secret(self, name: str, data: Mapping[str, bytes], namespace: str = "mitosis") -> None:
        self.secrets[namespace, name] = {k: base64.b64encode(v).decode() for k, v in data.items()}

    def cut_watches(self) -> None:
        """The connections break in the middle."""
        for watch in self._watches:
            watch.cancel()

    async def _record(self, kind: str, body: Object) -> None:
        self._history.append((self._version, kind, json.loads(json.dumps(body))))
        async with self._changed:
            self._changed.notify_all()

    async def _list_or_watch(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(str(request.rel_url))
        if self.broken:
            self.broken -= 1
            return web.Response(status=500, text="broken for the test")
        if "watch" in request.query:
            return await self._watch(request)
        namespace = request.match_info["namespace"]
        items = [body for (home, _), body in self._tables.items() if home == namespace]
        return web.json_response(
            {"metadata": {"resourceVersion": str(self._version)}, "items": items}
        )

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        answer = web.StreamResponse()
        await answer.prepare(request)
        if since < self._oldest:
            await _send(answer, {"type": "ERROR", "object": {"code": 410, "message": "too old"}})
            return answer
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        try:
            async with asyncio.timeout(float(request.query["timeoutSeconds"])):
                await self._tell(answer, request.match_info["namespace"], since)
        except TimeoutError:
            bookmark = {"metadata": {"resourceVersion": str(self._version)}}
            await _send(answer, {"type": "BOOKMARK", "object": bookmark})
        finally:
            self._watches.discard(task)
        return answer

    async def _tell(self, answer: web.StreamResponse, namespace: str, since: int) -> None:
        while True:
            for version, kind, body in tuple(self._history):
                if version > since:
                    since = version
                    if body["metadata"]["namespace"] == namespace:
                        await _send(answer, {"type": kind, "object": body})
            async with self._changed:
                await self._changed.wait_for(partial(self._is_newer_than, since))

    def _is_newer_than(self, version: int) -> bool:
        return bool(self._history) and self._history[-1][0] > version

    async def _secret(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        data = self.secrets.get((request.match_info["namespace"], request.match_info["name"]))
        if data is None:
            return web.json_response({"message": "not found"}, status=404)
        return web.json_response({"data": data})


async def _send(answer: web.StreamResponse, event: Object) -> None:
    await answer.write(json.dumps(event).encode() + b"\n")
