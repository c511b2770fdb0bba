"""The local cluster as end-to-end tests see it: kubectl, the gate, and faults as commands."""

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pymysql
import pymysql.cursors
from waiting import wait_until

from mitosis_local import paths, programs

NAMESPACE = "mitosis"
GATE_HOST, GATE_PORT = "127.0.0.1", 13306
PATHS = paths.from_environment()


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def run(*command: str, stdin: str | None = None, check: bool = True, seconds: int = 300) -> Done:
    """Run a program; with `check`, AssertionError with what it said unless it ends with 0."""
    ended = subprocess.run(command, input=stdin, text=True, capture_output=True, timeout=seconds)
    done = Done(ended.returncode, ended.stdout, ended.stderr)
    if check:
        assert done.code == 0, f"{' '.join(command)} ended with {done.code}: {done.out}{done.err}"
    return done


def local(*arguments: str, seconds: int = 600) -> Done:
    """`python -m mitosis_local ...`: nodes, images and faults."""
    return run(sys.executable, "-m", "mitosis_local", *arguments, seconds=seconds)


def kubectl(
    *arguments: str, stdin: str | None = None, check: bool = True, namespace: str = NAMESPACE
) -> Done:
    program = str(programs.folder(PATHS) / "kubectl")
    options = ("--kubeconfig", str(PATHS.kubeconfig), "-n", namespace)
    return run(program, *options, *arguments, stdin=stdin, check=check)


def helm(*arguments: str, check: bool = True) -> Done:
    program = str(programs.folder(PATHS) / "helm")
    options = ("--kubeconfig", str(PATHS.kubeconfig), "-n", NAMESPACE)
    return run(program, *options, *arguments, check=check)


def get(kind: str, name: str = "", *, namespace: str = NAMESPACE, selector: str = "") -> Any:
    """One object, or the list of items when no name is given."""
    words = [kind, *([name] if name else []), *(["-l", selector] if selector else [])]
    body = json.loads(kubectl("get", *words, "-o", "json", namespace=namespace).out)
    return body if name else body["items"]


def apply(*objects: dict[str, Any], check: bool = True, namespace: str = NAMESPACE) -> Done:
    body = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    stdin = json.dumps(body if len(objects) > 1 else objects[0])
    return kubectl("apply", "-f", "-", stdin=stdin, check=check, namespace=namespace)


def condition(body: dict[str, Any], kind: str) -> dict[str, Any]:
    """The condition of that type, or an empty dict while there is none."""
    found = body.get("status", {}).get("conditions", [])
    return next((c for c in found if c["type"] == kind), {})


def is_true(body: dict[str, Any], kind: str) -> bool:
    """Whether the condition holds and speaks of the spec as it is now."""
    seen = condition(body, kind)
    generation = body["metadata"].get("generation")
    return seen.get("status") == "True" and seen.get("observedGeneration", generation) == generation


def wait_ready(kind: str, name: str, *, seconds: float, namespace: str = NAMESPACE) -> Any:
    def look() -> Any:
        body = get(kind, name, namespace=namespace)
        assert is_true(body, "Ready"), body.get("status", {}).get("conditions")
        return body

    return wait_until(f"{kind} {name} Ready", look, seconds=seconds, every=1)


def password(secret: str, key: str = "password", *, namespace: str = NAMESPACE) -> str:
    return base64.b64decode(get("secret", secret, namespace=namespace)["data"][key]).decode()


@dataclass(frozen=True)
class Login:
    """An application's account of one keyspace."""

    user: str
    password: str
    database: str

    def connect(self, **options: Any) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        defaults: dict[str, Any] = {"connect_timeout": 10, "read_timeout": 60, "autocommit": True}
        return pymysql.connect(
            host=GATE_HOST,
            port=GATE_PORT,
            user=self.user,
            password=self.password,
            database=self.database,
            **{**defaults, **options},
        )

    def query(self, sql: str, *parameters: object) -> tuple[tuple[Any, ...], ...]:
        """Run one statement on a connection of its own."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return tuple(cursor.fetchall())
