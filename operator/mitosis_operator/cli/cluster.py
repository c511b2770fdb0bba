"""Door of the command line tool to Kubernetes: reads objects, with the kubeconfig in use."""

import base64
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from mitosis_operator import names
from mitosis_operator.cli.errors import CliError, NoCluster, NotFound
from mitosis_routing import codec
from mitosis_routing.table import RoutingTable

Body = Mapping[str, Any]
T = TypeVar("T")

LIMITS = (5, 30)  # seconds to connect and to answer


@dataclass(frozen=True)
class GateService:
    namespace: str
    name: str
    port: int


class Cluster(Protocol):
    """What the commands need; raises CliError for everything that goes wrong."""

    @property
    def namespace(self) -> str: ...

    def keyspaces(self) -> Sequence[Body]: ...

    def keyspace(self, name: str) -> Body: ...

    def shards(self) -> Sequence[Body]: ...

    def routing_table(self, keyspace: str) -> RoutingTable: ...

    def secret_value(self, name: str, key: str) -> str: ...

    def gate(self) -> GateService: ...

    def kubectl_options(self) -> Sequence[str]:
        """How kubectl reaches the same cluster."""
        ...


@dataclass(frozen=True)
class Address:
    namespace: str | None = None
    kubeconfig: str | None = None
    context: str | None = None

    def within(self, namespace: str | None) -> "Address":
        return replace(self, namespace=namespace) if namespace else self


class KubeCluster:
    def __init__(self, api_client: Any, namespace: str, address: Address, described: str) -> None:
        from kubernetes import client

        self._custom = client.CustomObjectsApi(api_client)
        self._core = client.CoreV1Api(api_client)
        self._address = address
        self._described = described
        self.namespace = namespace

    @classmethod
    def connect(cls, address: Address) -> "KubeCluster":
        """Read the kubeconfig; nothing is asked of the cluster yet."""
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException

        logging.getLogger("urllib3").setLevel(logging.ERROR)
        place = address.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        configuration = client.Configuration()
        configuration.retries = 1
        try:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=address.kubeconfig,
                context=address.context,
                client_configuration=configuration,
            )
            contexts, current = config.list_kube_config_contexts(  # type: ignore[no-untyped-call]
                address.kubeconfig
            )
        except (ConfigException, OSError) as exc:
            raise NoCluster(
                f"cannot use the kubeconfig {place}: {exc}; "
                "set KUBECONFIG or give --kubeconfig and --context"
            ) from exc
        chosen = next((c for c in contexts if c["name"] == address.context), current)
        namespace = address.namespace or chosen["context"].get("namespace") or "default"
        described = f"{configuration.host} (kubeconfig {place}, context {chosen['name']})"
        return cls(client.ApiClient(configuration), namespace, address, described)

    def keyspaces(self) -> Sequence[Body]:
        return self._list(names.KEYSPACE)

    def keyspace(self, name: str) -> Body:
        found = next((k for k in self.keyspaces() if k["metadata"]["name"] == name), None)
        if found is None:
            raise NotFound(f"no keyspace {name} in namespace {self.namespace}: {self._others()}")
        return found

    def shards(self) -> Sequence[Body]:
        return self._list(names.SHARD)

    def routing_table(self, keyspace: str) -> RoutingTable:
        self.keyspace(keyspace)
        tables = self._list(names.ROUTING_TABLE)
        body = next((t for t in tables if t["metadata"]["name"] == keyspace), None)
        if body is None:
            raise NotFound(
                f"keyspace {keyspace} has no routing table yet: its shards are still being made; "
                f"see `mitosis status {keyspace}`"
            )
        try:
            return codec.from_json(body["spec"])
        except codec.BadTable as exc:
            raise CliError(str(exc)) from exc

    def secret_value(self, name: str, key: str) -> str:
        what = f"the Secret {name} in namespace {self.namespace}"
        secret = self._ask(
            what,
            lambda: self._core.read_namespaced_secret(
                name, self.namespace, _request_timeout=LIMITS
            ),
        )
        data = secret.data or {}
        if not data.get(key):
            raise NotFound(f"{what} has no key {key!r}, or an empty one")
        return base64.b64decode(data[key]).decode()

    def gate(self) -> GateService:
        selector = f"{names.LABEL_APP}={names.APP},{names.LABEL_COMPONENT}={names.COMPONENT_GATE}"
        here = self._ask(
            f"Services in namespace {self.namespace}",
            lambda: self._core.list_namespaced_service(
                self.namespace, label_selector=selector, _request_timeout=LIMITS
            ),
        )
        if found := _gates(here.items):
            return found[0]
        everywhere = self._ask(
            "Services of all namespaces, to find the gate",
            lambda: self._core.list_service_for_all_namespaces(
                label_selector=selector, _request_timeout=LIMITS
            ),
        )
        if found := _gates(everywhere.items):
            return found[0]
        raise NotFound("this cluster has no gate: install the chart, or give --via HOST:PORT")

    def kubectl_options(self) -> Sequence[str]:
        given = {"--kubeconfig": self._address.kubeconfig, "--context": self._address.context}
        return [f"{option}={value}" for option, value in given.items() if value]

    def _others(self) -> str:
        """What somebody who asked for a keyspace that is not there may have meant."""
        here = [k["metadata"]["name"] for k in self.keyspaces()]
        if here:
            return f"there are {', '.join(here)}"
        try:
            everywhere = self._list(names.KEYSPACE, everywhere=True)
        except CliError:
            return "there is none; choose another namespace with -n"
        if not everywhere:
            return "this cluster has no keyspace; make one with kubectl apply"
        places = [f"{k['metadata']['name']} (-n {k['metadata']['namespace']})" for k in everywhere]
        return f"there are {', '.join(places)}"

    def _list(self, kind: str, everywhere: bool = False) -> Sequence[Body]:
        plural = names.PLURALS[kind]
        where = "all namespaces" if everywhere else f"namespace {self.namespace}"
        group = (names.GROUP, names.VERSION)

        def ask() -> Any:
            if everywhere:
                return self._custom.list_cluster_custom_object(
                    *group, plural, _request_timeout=LIMITS
                )
            return self._custom.list_namespaced_custom_object(
                *group, self.namespace, plural, _request_timeout=LIMITS
            )

        items: Sequence[Body] = self._ask(f"{plural} in {where}", ask, installed=False)["items"]
        return items

    def _ask(self, what: str, ask: Callable[[], T], installed: bool = True) -> T:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return ask()
        except ApiException as exc:
            raise _explained(exc.status, str(exc.reason), what, self._described, installed) from exc
        except (HTTPError, OSError) as exc:
            reason = getattr(exc, "reason", None) or exc
            raise NoCluster(f"cannot reach {self._described}: {reason}") from exc


def _explained(status: int, reason: str, what: str, described: str, installed: bool) -> CliError:
    if status == 404 and not installed:
        return NotFound(
            f"{described} does not know Mitosis' resources: install the chart helm/mitosis first"
        )
    if status == 404:
        return NotFound(f"{what} is not there")
    if status == 401:
        return NoCluster(
            f"{described} does not accept the credentials of this context: log in anew"
        )
    if status == 403:
        return CliError(f"not allowed to read {what} at {described}: ask for that right")
    return NoCluster(f"cannot read {what} at {described}: {status} {reason}")


def _gates(services: Sequence[Any]) -> list[GateService]:
    """Services with a port called mysql; the one for figures has none."""
    return [
        GateService(service.metadata.namespace, service.metadata.name, port.port)
        for service in services
        for port in service.spec.ports
        if port.name == "mysql"
    ]
