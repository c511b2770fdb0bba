"""From `kubectl apply` of a 2-shard keyspace to Ready, on the local cluster with images present.

Run after `make demo`: `.venv/bin/python benchmarks/keyspace_ready.py`. Makes a keyspace of its own
and removes it with its volumes. Prints one JSON line.
"""

import json
import secrets
import subprocess
import time
from typing import Any

from mitosis_local import programs
from mitosis_local.paths import from_environment

NAMESPACE, NAME = "mitosis", "bench-ready"
LIMIT_SECONDS = 300


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    paths = from_environment()
    program, config = programs.folder(paths) / "kubectl", paths.kubeconfig
    command = [program, "--kubeconfig", config, "-n", NAMESPACE, *arguments]
    done = subprocess.run(command, input=stdin, text=True, stdout=subprocess.PIPE, check=True)
    return done.stdout


def manifests() -> str:
    password = {"stringData": {"password": secrets.token_urlsafe(18)}}
    keyspace: dict[str, Any] = {
        "apiVersion": "mitosis.dev/v1alpha1",
        "kind": "Keyspace",
        "metadata": {"name": NAME},
        "spec": {
            "shards": 2,
            "primaryIDC": "idc-1",
            "tables": [{"name": "t", "shardingKey": "id"}],
            "users": [{"name": NAME, "passwordSecret": {"name": NAME}, "grants": ["ALL"]}],
            "deletionPolicy": "Delete",
        },
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}, **password}
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [secret, keyspace]})


def main() -> None:
    started = time.monotonic()
    kubectl("apply", "-f", "-", stdin=manifests())
    try:
        limit = f"--timeout={LIMIT_SECONDS}s"
        kubectl("wait", "--for=condition=Ready", f"keyspace/{NAME}", limit)
        seconds = time.monotonic() - started
    finally:
        kubectl("delete", f"keyspace/{NAME}", f"secret/{NAME}", "--timeout=120s")
    print(json.dumps({"benchmark": "keyspace_ready", "shards": 2, "seconds": round(seconds, 1)}))


if __name__ == "__main__":
    main()
