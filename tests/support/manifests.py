"""Good manifests, and bad ones made from them: the same cases for the models and for a cluster."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent.parent / "manifests"
CRDS = FOLDER.parent.parent / "crds"


@dataclass(frozen=True)
class BadCase:
    title: str
    kind: str
    says: str
    name: str = ""
    spec: dict[str, Any] = field(default_factory=dict)
    update: bool = False
    """Only the change of an existing object is refused."""
    schema: bool = False
    """The structural schema refuses it, in Kubernetes' own words."""


def good(kind: str) -> dict[str, Any]:
    """A manifest that names every field of the spec."""
    objects: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "good.yaml").read_text())
    return copy.deepcopy(objects[kind])


def bad_cases() -> list[BadCase]:
    return [BadCase(**case) for case in yaml.safe_load((FOLDER / "bad.yaml").read_text())]


def changed(case: BadCase) -> dict[str, Any]:
    body = good(case.kind)
    body["metadata"]["name"] = case.name or body["metadata"]["name"]
    body["spec"] = merged(body["spec"], case.spec)
    return body


def merged(before: Any, patch: Any) -> Any:
    """A JSON merge patch: null removes a field."""
    if not isinstance(patch, dict):
        return patch
    result = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def schema(kind: str) -> dict[str, Any]:
    """The openAPIV3Schema of a kind, from crds/."""
    for path in sorted(CRDS.glob("*.yaml")):
        body: dict[str, Any] = yaml.safe_load(path.read_text())
        if body["spec"]["names"]["kind"] == kind:
            found: dict[str, Any] = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            return found
    raise LookupError(f"crds/ has no kind {kind}")


def defaulted(body: Any, part: dict[str, Any]) -> Any:
    """Fill in the defaults of a schema as the API server does."""
    if isinstance(body, dict) and "properties" in part:
        result = dict(body)
        for name, inner in part["properties"].items():
            if name not in result and "default" in inner:
                result[name] = copy.deepcopy(inner["default"])
            if name in result:
                result[name] = defaulted(result[name], inner)
        return result
    if isinstance(body, list) and "items" in part:
        return [defaulted(item, part["items"]) for item in body]
    return body
