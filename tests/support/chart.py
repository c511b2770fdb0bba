"""The Helm chart rendered with values, as Kubernetes objects."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import script_files
import yaml

Body = dict[str, Any]

generate = script_files.load("generate")
CHART = script_files.ROOT / generate.CHART
NAMESPACE = "mitosis"
WORKLOADS = ("Deployment", "Pod")


class Refused(Exception):
    """Helm did not accept the values."""


def render(values: Mapping[str, Any] | None = None) -> list[Body]:
    return yaml.safe_load(_rendered(json.dumps(values or {})))


@cache
def _rendered(values: str) -> str:
    command = [generate.helm(), "template", "mitosis", str(CHART), "--namespace", NAMESPACE]
    command += ["--kube-version", generate.KUBERNETES, "--values", "-"]
    done = subprocess.run(command, input=values, capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr)
    return json.dumps([body for body in yaml.safe_load_all(done.stdout) if body])


def pick(objects: list[Body], kind: str, name: str | None = None) -> list[Body]:
    return [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]


def one(objects: list[Body], kind: str, name: str) -> Body:
    (found,) = pick(objects, kind, name)
    return found


def pod_specs(objects: list[Body]) -> Iterator[tuple[str, Body]]:
    for body in objects:
        if body["kind"] == "Pod":
            yield body["metadata"]["name"], body["spec"]
        elif body["kind"] in WORKLOADS:
            yield body["metadata"]["name"], body["spec"]["template"]["spec"]


def environment(container: Body) -> dict[str, str]:
    """Variables with a value of their own; those from the pod's fields are left out."""
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
