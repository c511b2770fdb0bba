"""How to reach the API server: the service account of the pod, or a kubeconfig."""

import base64
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mitosis_operator.errors import BadSettings

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, repr=False)
class Access:
    server: str
    authority: str = ""
    """PEM; empty: the authorities that the machine trusts."""
    certificate: str = ""
    key: str = ""
    insecure: bool = False
    token_file: Path | None = None
    """Read anew for each request: the kubelet replaces projected tokens within the hour."""
    token: str = ""

    def read_token(self) -> str:
        return self.token_file.read_text().strip() if self.token_file else self.token

    def headers(self) -> dict[str, str]:
        token = self.read_token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.authority or None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate and self.key:
            load_chain(context, self.certificate, self.key)
        return context


def find(kubeconfig: str, env: Mapping[str, str]) -> Access:
    if kubeconfig:
        return from_kubeconfig(Path(kubeconfig))
    if env.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster(env)
    if env.get("KUBECONFIG"):
        return from_kubeconfig(Path(env["KUBECONFIG"]))
    raise BadSettings(
        "cannot find the API server: this is no pod with a service account, and neither "
        "MITOSIS_KUBECONFIG nor KUBECONFIG names a file"
    )


def in_cluster(env: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> Access:
    host, port = env["KUBERNETES_SERVICE_HOST"], env.get("KUBERNETES_SERVICE_PORT", "443")
    if ":" in host:
        host = f"[{host}]"
    authority = (folder / "ca.crt").read_text()
    return Access(f"https://{host}:{port}", authority, token_file=folder / "token")


def from_kubeconfig(path: Path) -> Access:
    """Read the current context. Login programs (`exec`) are not run: it must hold a token
    or a certificate."""
    try:
        config = yaml.safe_load(path.read_text())
        context = _named(config, "contexts", "context", config["current-context"])
        cluster = _named(config, "clusters", "cluster", context["cluster"])
        user = _named(config, "users", "user", context["user"])
        server = str(cluster["server"]).rstrip("/")
    except (OSError, KeyError, TypeError, yaml.YAMLError) as exc:
        raise BadSettings(f"cannot use the kubeconfig {path}: {exc!r}") from exc
    return Access(
        server,
        authority=_content(cluster, "certificate-authority", path),
        certificate=_content(user, "client-certificate", path),
        key=_content(user, "client-key", path),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        token=str(user.get("token", "")),
    )


def _named(config: Mapping[str, Any], plural: str, singular: str, name: str) -> Mapping[str, Any]:
    for entry in config[plural]:
        if entry["name"] == name:
            found: Mapping[str, Any] = entry[singular]
            return found
    raise KeyError(f"{singular} {name}")


def _content(entry: Mapping[str, Any], field: str, path: Path) -> str:
    if data := entry.get(f"{field}-data"):
        return base64.b64decode(str(data)).decode()
    if name := entry.get(field):
        return (path.parent / str(name)).read_text()
    return ""


def load_chain(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """The ssl module reads files only. This one is in memory: no disk ever sees the key."""
    file = os.memfd_create("chain")
    try:
        os.write(file, f"{certificate}\n{key}".encode())
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
