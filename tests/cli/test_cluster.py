"""What the tool says when Kubernetes does not answer as hoped, against a small HTTP server."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from objects import keyspace

from mitosis_operator.cli.cluster import Address, GateService, KubeCluster
from mitosis_operator.cli.errors import CliError, NoCluster, NotFound

GROUP = "/apis/mitosis.dev/v1alpha1"
SHOP = {"items": [keyspace()]}
Answers = dict[str, tuple[int, Any]]
Connect = Callable[[Answers], KubeCluster]


class Handler(BaseHTTPRequestHandler):
    answers: Answers

    def do_GET(self) -> None:
        status, body = self.answers.get(self.path.split("?")[0], (404, {"message": "no such"}))
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def kubeconfig(path: Path, port: int) -> Path:
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "mitosis"}},
            {"name": "there", "context": {"cluster": "c", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path.write_text(yaml.safe_dump(body))
    return path


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    class Own(Handler):
        answers: Answers = {}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def start(answers: Answers) -> KubeCluster:
        Own.answers = answers
        file = kubeconfig(tmp_path / "config", server.server_address[1])
        return KubeCluster.connect(Address(kubeconfig=str(file)))

    yield start
    server.shutdown()
    thread.join()
    server.server_close()


def test_keyspaces_come_from_the_namespace_of_the_context(connect: Connect) -> None:
    cluster = connect({f"{GROUP}/namespaces/mitosis/keyspaces": (200, SHOP)})
    assert cluster.namespace == "mitosis"
    assert [k["metadata"]["name"] for k in cluster.keyspaces()] == ["shop"]
    assert cluster.keyspace("shop")["metadata"]["uid"] == "uid-shop"


def test_an_unknown_keyspace_is_answered_with_those_there_are(connect: Connect) -> None:
    cluster = connect({f"{GROUP}/namespaces/mitosis/keyspaces": (200, SHOP)})
    with pytest.raises(NotFound, match="no keyspace bank in namespace mitosis: there are shop"):
        cluster.keyspace("bank")


def test_a_keyspace_of_another_namespace_is_pointed_to(connect: Connect) -> None:
    cluster = connect(
        {
            f"{GROUP}/namespaces/mitosis/keyspaces": (200, {"items": []}),
            f"{GROUP}/keyspaces": (200, SHOP),
        }
    )
    with pytest.raises(NotFound, match=r"there are shop \(-n mitosis\)"):
        cluster.keyspace("shop")


def test_a_cluster_without_mitosis_is_told_apart_from_one_without_keyspaces(
    connect: Connect,
) -> None:
    with pytest.raises(NotFound, match="install the chart helm/mitosis first"):
        connect({}).keyspaces()


def test_a_refused_right_names_what_was_read(connect: Connect) -> None:
    cluster = connect({f"{GROUP}/namespaces/mitosis/keyspaces": (403, {"message": "no"})})
    with pytest.raises(CliError, match="not allowed to read keyspaces in namespace mitosis"):
        cluster.keyspaces()


def test_refused_credentials_say_so(connect: Connect) -> None:
    cluster = connect({f"{GROUP}/namespaces/mitosis/keyspaces": (401, {"message": "no"})})
    with pytest.raises(NoCluster, match="does not accept the credentials"):
        cluster.keyspaces()


def test_a_keyspace_without_routing_table_is_still_being_made(connect: Connect) -> None:
    cluster = connect(
        {
            f"{GROUP}/namespaces/mitosis/keyspaces": (200, SHOP),
            f"{GROUP}/namespaces/mitosis/routingtables": (200, {"items": []}),
        }
    )
    with pytest.raises(NotFound, match="no routing table yet"):
        cluster.routing_table("shop")


def test_a_routing_table_of_a_newer_format_is_refused(connect: Connect) -> None:
    table = {"metadata": {"name": "shop"}, "spec": {"formatVersion": 99}}
    cluster = connect(
        {
            f"{GROUP}/namespaces/mitosis/keyspaces": (200, SHOP),
            f"{GROUP}/namespaces/mitosis/routingtables": (200, {"items": [table]}),
        }
    )
    with pytest.raises(CliError, match="format 99"):
        cluster.routing_table("shop")


def test_a_password_is_read_from_its_secret(connect: Connect) -> None:
    secret = {"metadata": {"name": "users"}, "data": {"app": "c2VjcmV0", "empty": ""}}
    cluster = connect({"/api/v1/namespaces/mitosis/secrets/users": (200, secret)})
    assert cluster.secret_value("users", "app") == "secret"
    for key in ("empty", "other"):
        with pytest.raises(NotFound, match=f"no key '{key}', or an empty one"):
            cluster.secret_value("users", key)
    with pytest.raises(NotFound, match="the Secret gone in namespace mitosis is not there"):
        cluster.secret_value("gone", "app")


def test_the_gate_is_the_service_with_a_mysql_port_wherever_it_is(connect: Connect) -> None:
    def service(name: str, port: str) -> Any:
        return {
            "metadata": {"name": name, "namespace": "db"},
            "spec": {"ports": [{"name": port, "port": 3307}]},
        }

    services = {"items": [service("gate-admin", "http"), service("gate", "mysql")]}
    empty = {"items": []}
    cluster = connect(
        {"/api/v1/namespaces/mitosis/services": (200, empty), "/api/v1/services": (200, services)}
    )
    assert cluster.gate() == GateService("db", "gate", 3307)
    cluster = connect(
        {"/api/v1/namespaces/mitosis/services": (200, empty), "/api/v1/services": (200, empty)}
    )
    with pytest.raises(NotFound, match="--via"):
        cluster.gate()


def test_a_cluster_that_is_down_is_named_with_kubeconfig_and_context(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", 1)
    cluster = KubeCluster.connect(Address("shop", str(file), "there"))
    assert cluster.namespace == "shop"
    with pytest.raises(NoCluster) as error:
        cluster.keyspaces()
    for word in ("http://127.0.0.1:1", str(file), "context there", "refused"):
        assert word in str(error.value)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match="cannot use the kubeconfig .*nowhere"):
        KubeCluster.connect(Address(kubeconfig=str(tmp_path / "nowhere")))


def test_kubectl_is_sent_to_the_same_cluster(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", 1)
    cluster = KubeCluster.connect(Address(kubeconfig=str(file), context="there"))
    assert cluster.kubectl_options() == [f"--kubeconfig={file}", "--context=there"]
