"""A session with a keyspace: through a gate, as one of its users, in the usual mysql client."""

import re
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitosis_operator.cli.cluster import Cluster, GateService
from mitosis_operator.cli.errors import CliError, NotFound

FORWARD_SECONDS = 15


@dataclass(frozen=True)
class Endpoint:
    host: str
    port: int


@dataclass(frozen=True)
class Login:
    user: str
    secret: str
    key: str


def run(
    cluster: Cluster,
    keyspace: str,
    arguments: Sequence[str],
    *,
    user: str | None,
    via: str | None,
    client: str,
) -> int:
    """Run the client to its end and return its status."""
    program = shutil.which(client)
    if program is None:
        raise CliError(
            f"there is no program {client!r} on the PATH: "
            "install a MySQL client, or name one with --client"
        )
    login = choose_login(cluster.keyspace(keyspace), user)
    password = cluster.secret_value(login.secret, login.key)
    with _endpoint(cluster, via) as endpoint, _option_file(login, password, endpoint) as file:
        database = [] if _names_database(arguments) else [f"--database={keyspace}"]
        command = [program, f"--defaults-extra-file={file}", *arguments, *database]
        with _interrupts_left_to_child():
            return subprocess.run(command).returncode


def choose_login(keyspace: Mapping[str, Any], user: str | None) -> Login:
    name = keyspace["metadata"]["name"]
    users = keyspace.get("spec", {}).get("users", [])
    if not users:
        raise NotFound(f"keyspace {name} has no users: add one to spec.users")
    chosen = next((u for u in users if user in (None, u["name"])), None)
    if chosen is None:
        known = ", ".join(u["name"] for u in users)
        raise NotFound(f"keyspace {name} has no user {user}: there are {known}")
    secret = chosen["passwordSecret"]
    return Login(chosen["name"], secret["name"], secret.get("key", "password"))


def read_endpoint(text: str) -> Endpoint:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise CliError(f"{text!r} is no address of a gate: write HOST:PORT, as in 127.0.0.1:3306")
    return Endpoint(host.strip("[]"), int(port))


def option_text(login: Login, password: str, endpoint: Endpoint) -> str:
    """In option files a backslash begins an escape, and quotes keep `#` and spaces."""

    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace("\n", "\\n") + '"'

    values = {
        "user": login.user,
        "password": password,
        "host": endpoint.host,
        "port": str(endpoint.port),
        "protocol": "tcp",
    }
    return "[client]\n" + "".join(f"{key}={quoted(value)}\n" for key, value in values.items())


def _names_database(arguments: Sequence[str]) -> bool:
    return any(a == "-D" or a.startswith(("--database", "-D")) for a in arguments)


@contextmanager
def _interrupts_left_to_child() -> Iterator[None]:
    """Ctrl-C ends a statement in the client. A handler, unlike SIG_IGN, is not inherited by it."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _option_file(login: Login, password: str, endpoint: Endpoint) -> Iterator[Path]:
    """Passwords on a command line are seen by everybody on the machine, in a file by its owner."""
    with tempfile.TemporaryDirectory(prefix="mitosis-") as folder:
        file = Path(folder, "client.cnf")
        file.touch(mode=0o600)
        file.write_text(option_text(login, password, endpoint))
        yield file


@contextmanager
def _endpoint(cluster: Cluster, via: str | None) -> Iterator[Endpoint]:
    if via:
        yield read_endpoint(via)
        return
    with _forwarded(cluster.gate(), cluster.kubectl_options()) as port:
        yield Endpoint("127.0.0.1", port)


@contextmanager
def _forwarded(gate: GateService, options: Sequence[str]) -> Iterator[int]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise CliError("there is no kubectl to forward a port with: install it, or give --via")
    target = [f"--namespace={gate.namespace}", f"service/{gate.name}", f":{gate.port}"]
    command = [kubectl, *options, "port-forward", "--address=127.0.0.1", *target]
    # Its own session: Ctrl-C in the client ends a statement, not the way to the gate.
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True, start_new_session=True
        ) as process,
    ):
        try:
            port = _wait_for_port(process)
            if port is None:
                complaints.seek(0)
                reason = complaints.read().decode().strip()
                reason = reason or f"no answer in {FORWARD_SECONDS} s"
                raise CliError(f"cannot forward a port to the gate {gate.name}: {reason}")
            yield port
        finally:
            process.kill()


def _wait_for_port(process: subprocess.Popen[str]) -> int | None:
    """kubectl says on its first line where it listens."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], FORWARD_SECONDS)[0]:
        return None
    found = re.search(r"Forwarding from [\d.]+:(\d+)", process.stdout.readline())
    return int(found[1]) if found else None
