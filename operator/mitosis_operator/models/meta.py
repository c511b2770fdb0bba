"""What every object carries in `metadata`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mitosis_operator.models.reading import Reader


@dataclass(frozen=True)
class Meta:
    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Meta":
        meta = Reader(body).part("metadata")
        return cls(
            name=meta.text("name"),
            namespace=meta.text("namespace", ""),
            uid=meta.text("uid", ""),
            generation=meta.integer("generation", 0),
            resource_version=meta.text("resourceVersion", ""),
            deleting=meta.has("deletionTimestamp"),
            finalizers=meta.texts("finalizers"),
            labels=dict(meta.part("labels").body),
            annotations=dict(meta.part("annotations").body),
        )
