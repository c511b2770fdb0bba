"""How each instance is made: the part of the spec that Keyspace and Shard have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mitosis_operator.models import quantities
from mitosis_operator.models.reading import Reader, Unreadable

GI = 2**30
MI = 2**20


class Durability(StrEnum):
    RACK = "rack"
    """Every replica acknowledges: the loss of a node or rack loses nothing."""
    IDC = "idc"
    """Only replicas in another IDC acknowledge: the loss of an IDC loses nothing."""


class DeletionPolicy(StrEnum):
    RETAIN = "Retain"
    DELETE = "Delete"


class ResourceClass(StrEnum):
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


@dataclass(frozen=True)
class Bound:
    cpu_millis: int
    memory_bytes: int

    @classmethod
    def read(cls, read: Reader) -> "Bound":
        return cls(read.millis("cpu"), read.bytes("memory"))

    def to_spec(self) -> dict[str, str]:
        return {
            "cpu": quantities.format_millis(self.cpu_millis),
            "memory": quantities.format_bytes(self.memory_bytes),
        }


@dataclass(frozen=True)
class Resources:
    """CPU and memory that are reserved (`lower`) and never exceeded (`upper`)."""

    lower: Bound
    upper: Bound
    size: ResourceClass | None = None
    """The class that gave both bounds; None when they were written out."""

    @classmethod
    def read(cls, read: Reader) -> "Resources":
        if read.has("lower") != read.has("upper") or read.has("class") == read.has("lower"):
            raise Unreadable(
                "write either resources.class, or both resources.lower and resources.upper"
            )
        if read.has("lower"):
            return cls(Bound.read(read.part("lower")), Bound.read(read.part("upper")))
        return RESOURCE_CLASSES[read.choice("class", ResourceClass)]

    def to_spec(self) -> dict[str, Any]:
        if self.size is not None:
            return {"class": self.size.value}
        return {"lower": self.lower.to_spec(), "upper": self.upper.to_spec()}


RESOURCE_CLASSES = {
    ResourceClass.SMALL: Resources(Bound(250, 512 * MI), Bound(1000, 1 * GI), ResourceClass.SMALL),
    ResourceClass.MEDIUM: Resources(Bound(1000, 2 * GI), Bound(2000, 4 * GI), ResourceClass.MEDIUM),
    ResourceClass.LARGE: Resources(Bound(4000, 8 * GI), Bound(8000, 16 * GI), ResourceClass.LARGE),
}


@dataclass(frozen=True)
class Storage:
    """A volume starts with one step, grows by one step at a time, and never beyond `max_bytes`."""

    step_bytes: int = 64 * GI
    max_bytes: int = 256 * GI
    grow_at_percent: int = 80
    class_name: str = ""
    """Empty: the cluster's default class."""

    @classmethod
    def read(cls, read: Reader) -> "Storage":
        return cls(
            step_bytes=read.bytes("step", "64Gi"),
            max_bytes=read.bytes("max", "256Gi"),
            grow_at_percent=read.integer("growAtPercent", 80),
            class_name=read.text("storageClassName", ""),
        )

    def to_spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "step": quantities.format_bytes(self.step_bytes),
            "max": quantities.format_bytes(self.max_bytes),
            "growAtPercent": self.grow_at_percent,
        }
        if self.class_name:
            spec["storageClassName"] = self.class_name
        return spec


@dataclass(frozen=True)
class Mysql:
    image: str = ""
    """Empty: the image that the operator is set to use."""
    config: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, read: Reader) -> "Mysql":
        config = read.part("config").body
        return cls(read.text("image", ""), {name: str(value) for name, value in config.items()})

    def to_spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = {}
        if self.image:
            spec["image"] = self.image
        if self.config:
            spec["config"] = dict(self.config)
        return spec


@dataclass(frozen=True)
class InstanceTemplate:
    primary_idc: str
    """Where the primary lies. Empty in a Shard that leaves it to its Keyspace."""
    instances: int = 3
    storage: Storage = Storage()
    resources: Resources = RESOURCE_CLASSES[ResourceClass.SMALL]
    mysql: Mysql = Mysql()
    durability: Durability = Durability.RACK
    strict_placement: bool = False
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    paused: bool = False

    @classmethod
    def read(cls, spec: Reader) -> "InstanceTemplate":
        return cls(
            primary_idc=spec.text("primaryIDC", ""),
            instances=spec.integer("instances", 3),
            storage=Storage.read(spec.part("storage")),
            resources=(
                Resources.read(spec.part("resources"))
                if spec.has("resources")
                else RESOURCE_CLASSES[ResourceClass.SMALL]
            ),
            mysql=Mysql.read(spec.part("mysql")),
            durability=spec.choice("durability", Durability, Durability.RACK),
            strict_placement=spec.part("placement").flag("strict", False),
            deletion_policy=spec.choice("deletionPolicy", DeletionPolicy, DeletionPolicy.RETAIN),
            paused=spec.flag("paused", False),
        )

    def to_spec(self) -> dict[str, Any]:
        """The fields as they stand in a spec; what is empty is left out."""
        spec: dict[str, Any] = {
            "instances": self.instances,
            "storage": self.storage.to_spec(),
            "resources": self.resources.to_spec(),
            "durability": self.durability.value,
            "placement": {"strict": self.strict_placement},
            "deletionPolicy": self.deletion_policy.value,
            "paused": self.paused,
        }
        if self.primary_idc:
            spec["primaryIDC"] = self.primary_idc
        if mysql := self.mysql.to_spec():
            spec["mysql"] = mysql
        return spec
