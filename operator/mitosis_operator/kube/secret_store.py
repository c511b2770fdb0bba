"""Secrets, remembered for a short time: the watch tells of changes, the limit is for lost news."""

from collections.abc import Callable

from mitosis_operator.errors import NotFound
from mitosis_operator.kube.client import Kube
from mitosis_operator.kube.kinds import SECRET, Body, name_of, namespace_of

LIFE_SECONDS = 60.0


class Secrets:
    def __init__(self, kube: Kube, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, Body | None]] = {}

    async def get(self, namespace: str, name: str) -> Body | None:
        """None: there is no such Secret."""
        read_at, body = self._known.get((namespace, name), (None, None))
        if read_at is not None and self._clock() - read_at < LIFE_SECONDS:
            return body
        try:
            body = await self._kube.get(SECRET, namespace, name)
        except NotFound:
            body = None
        self._known[namespace, name] = (self._clock(), body)
        return body

    def put(self, body: Body) -> None:
        self._known[namespace_of(body), name_of(body)] = (self._clock(), body)

    def forget(self, namespace: str, name: str) -> None:
        self._known.pop((namespace, name), None)
