"""A small client of the Kubernetes API for the cluster's own needs: JSON in, JSON out."""

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from mitosis_local.errors import LocalError

Body = dict[str, Any]
TIMEOUT_SECONDS = 15
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


class ApiError(LocalError):
    def __init__(self, method: str, path: str, status: int, message: str) -> None:
        super().__init__(f"{method} {path}: {status} {message}")
        self.status = status


class Api:
    def __init__(self, host: str, port: int, pki: Path, name: str = "admin") -> None:
        """`name` is the certificate in `pki` to come in with."""
        self._address = (host, port)
        self._context = ssl.create_default_context(cafile=pki / "ca.crt")
        self._context.load_cert_chain(pki / f"{name}.crt", pki / f"{name}.key")

    def _open(
        self, method: str, path: str, body: Body | None, kind: str, timeout: float
    ) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPSConnection(
            *self._address, context=self._context, timeout=timeout
        )
        try:
            data = json.dumps(body) if body is not None else None
            connection.request(method, path, data, {"Content-Type": kind})
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            raise ApiError(method, path, 0, f"no answer from the API server: {exc}") from exc
        if answer.status >= 400:
            text = answer.read().decode(errors="replace")
            connection.close()
            try:
                text = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                pass
            raise ApiError(method, path, answer.status, text)
        return connection, answer

    def request(
        self, method: str, path: str, body: Body | None = None, kind: str = "application/json"
    ) -> str:
        connection, answer = self._open(method, path, body, kind, TIMEOUT_SECONDS)
        try:
            return answer.read().decode()
        finally:
            connection.close()

    def get(self, path: str, **query: str) -> Body:
        found: Body = json.loads(self.request("GET", f"{path}?{urlencode(query)}"))
        return found

    def items(self, path: str, **query: str) -> list[Body]:
        found: list[Body] = self.get(path, **query)["items"]
        return found

    def find(self, path: str) -> Body | None:
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, path: str, body: Body) -> None:
        self.request("POST", path, body)

    def patch(self, path: str, body: Body) -> None:
        self.request("PATCH", path, body, MERGE)

    def apply(self, path: str, body: Body) -> None:
        """Server-side apply: make the object, or make it so."""
        self.request("PATCH", f"{path}?fieldManager=mitosis-local&force=true", body, APPLY)

    def delete(self, path: str) -> None:
        """Gone already is as good."""
        try:
            self.request("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise

    def changes(self, path: str, seconds: int) -> Iterator[str]:
        """Yield the type of each change until the server ends the watch."""
        address = f"{path}?{urlencode({'watch': 'true', 'timeoutSeconds': seconds})}"
        connection, answer = self._open("GET", address, None, "application/json", seconds + 5)
        try:
            while line := answer.readline():
                yield str(json.loads(line)["type"])
        except (OSError, http.client.HTTPException) as exc:
            raise ApiError("WATCH", path, 0, f"the watch broke: {exc}") from exc
        finally:
            connection.close()

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz") == "ok"
        except ApiError:
            return False
