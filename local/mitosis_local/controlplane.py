"""The control plane in the hub: certificates, etcd, API server, controller manager, scheduler."""

import base64
import json
from pathlib import Path

from mitosis_local import certificates
from mitosis_local.api import Api
from mitosis_local.certificates import Pair, write_secret
from mitosis_local.network import inside
from mitosis_local.paths import Paths
from mitosis_local.processes import Processes
from mitosis_local.shell import wait_for
from mitosis_local.topology import (
    API_PORT,
    API_SERVICE,
    GATEWAY,
    HUB,
    SERVICE_NETWORK,
    Node,
)

NAMESPACE = "mitosis"
ETCD = "http://127.0.0.1:2379"
READY_SECONDS = 90
NODE_GRACE = "16s"  # a dead node is noticed within about 20 s
API_SERVER_NAMES = (
    GATEWAY,
    "127.0.0.1",
    API_SERVICE,
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
# program -> (common name, organisation)
IDENTITIES = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    "proxy": ("system:kube-proxy", None),
    "front-proxy": ("front-proxy", None),
    "kubelet-client": ("apiserver-kubelet-client", "system:masters"),
}


def pki(paths: Paths) -> Path:
    return paths.run / "pki"


def kubeconfig_for(paths: Paths, name: str) -> Path:
    """Kubeconfig of one of our programs, to be used inside the hub or a node."""
    return paths.run / "kubeconfigs" / f"{name}.json"


def kubeconfig(server: str, authority: bytes, identity: Pair, namespace: str) -> str:
    """A kubeconfig that holds its certificates, so that it can be copied."""

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "mitosis-local",
                "cluster": {"server": server, "certificate-authority-data": text(authority)},
            }
        ],
        "users": [
            {
                "name": "admin",
                "user": {
                    "client-certificate-data": text(identity.certificate),
                    "client-key-data": text(identity.key),
                },
            }
        ],
        "contexts": [
            {
                "name": "mitosis-local",
                "context": {"cluster": "mitosis-local", "user": "admin", "namespace": namespace},
            }
        ],
        "current-context": "mitosis-local",
    }
    return json.dumps(content, indent=2) + "\n"


def write_certificates(paths: Paths, nodes: tuple[Node, ...], host_port: int) -> None:
    """Make one authority and sign what everybody needs; write the kubeconfigs."""
    folder, authority = pki(paths), certificates.Authority("mitosis-local")
    authority.pair.write(folder, "ca")
    key, public = certificates.signing_key()
    write_secret(folder / "service-accounts.key", key)
    (folder / "service-accounts.pub").write_bytes(public)
    authority.issue("kube-apiserver", API_SERVER_NAMES).write(folder, "apiserver")
    inner, trusted = f"https://{GATEWAY}:{API_PORT}", authority.pair.certificate
    pairs = {
        name: authority.issue(common_name, organisation=organisation)
        for name, (common_name, organisation) in IDENTITIES.items()
    }
    for node in nodes:
        names = (node.address, node.name)
        pairs[node.name] = authority.issue(f"system:node:{node.name}", names, "system:nodes")
    kubeconfig_for(paths, "admin").parent.mkdir(parents=True, exist_ok=True)
    for name, pair in pairs.items():
        pair.write(folder, name)
        content = kubeconfig(inner, trusted, pair, "default")
        write_secret(kubeconfig_for(paths, name), content.encode())
    for target, server in (
        (paths.kubeconfig, f"https://127.0.0.1:{host_port}"),
        (paths.run / "kubeconfig-hub", inner),
    ):
        content = kubeconfig(server, trusted, pairs["admin"], NAMESPACE)
        write_secret(target, content.encode())


def api_from_host(paths: Paths, host_port: int) -> Api:
    return Api("127.0.0.1", host_port, pki(paths))


def api_from_hub(paths: Paths) -> Api:
    return Api(GATEWAY, API_PORT, pki(paths))


def start_api_server(paths: Paths, programs: Path, processes: Processes) -> None:
    """Start etcd and the API server; they are not ready yet on return."""
    keys = pki(paths)
    processes.start(
        "etcd",
        inside(
            HUB,
            programs / "etcd",
            f"--data-dir={paths.run / 'etcd'}",
            f"--listen-client-urls={ETCD}",
            f"--advertise-client-urls={ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ),
    )
    processes.start(
        "kube-apiserver",
        inside(
            HUB,
            programs / "kube-apiserver",
            f"--etcd-servers={ETCD}",
            f"--secure-port={API_PORT}",
            "--bind-address=0.0.0.0",
            f"--advertise-address={GATEWAY}",
            f"--tls-cert-file={keys / 'apiserver.crt'}",
            f"--tls-private-key-file={keys / 'apiserver.key'}",
            f"--client-ca-file={keys / 'ca.crt'}",
            f"--kubelet-client-certificate={keys / 'kubelet-client.crt'}",
            f"--kubelet-client-key={keys / 'kubelet-client.key'}",
            f"--kubelet-certificate-authority={keys / 'ca.crt'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={keys / 'service-accounts.pub'}",
            f"--service-account-signing-key-file={keys / 'service-accounts.key'}",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            f"--requestheader-client-ca-file={keys / 'ca.crt'}",
            # the authority is shared, so not everyone it signed may speak for others
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--profiling=false",
        ),
    )


def wait_for_api(api: Api, processes: Processes) -> None:
    def ready() -> bool:
        processes.ensure_alive("etcd")
        processes.ensure_alive("kube-apiserver")
        processes.ensure_alive("relay")
        return api.is_ready()

    wait_for("the API server", ready, READY_SECONDS, processes.log("kube-apiserver"))


def start_controllers(paths: Paths, programs: Path, processes: Processes) -> None:
    keys = pki(paths)
    processes.start(
        "kube-controller-manager",
        inside(
            HUB,
            programs / "kube-controller-manager",
            f"--kubeconfig={kubeconfig_for(paths, 'controller-manager')}",
            f"--service-account-private-key-file={keys / 'service-accounts.key'}",
            f"--root-ca-file={keys / 'ca.crt'}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            f"--node-monitor-grace-period={NODE_GRACE}",
            f"--cluster-signing-cert-file={keys / 'ca.crt'}",
            f"--cluster-signing-key-file={keys / 'ca.key'}",
            "--profiling=false",
        ),
    )
    processes.start(
        "kube-scheduler",
        inside(
            HUB,
            programs / "kube-scheduler",
            f"--kubeconfig={kubeconfig_for(paths, 'scheduler')}",
            "--leader-elect=false",
            "--profiling=false",
        ),
    )
