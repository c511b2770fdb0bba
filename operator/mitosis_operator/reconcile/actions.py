"""What can be decided to be done. Each action may be done twice: the second time changes nothing.

`step` is the action's name for people, metrics and fault tests.
"""

from dataclasses import dataclass
from typing import ClassVar

from mitosis_operator.mysql.instance import VERBS, Arguments, Verb
from mitosis_routing.table import ShardRoute


@dataclass(frozen=True)
class AddFinalizer:
    step: ClassVar[str] = "add-finalizer"


@dataclass(frozen=True)
class ApplyShared:
    """What the instances of a shard have in common: their configuration, disruption budgets."""

    step: ClassVar[str] = "apply-shared"


@dataclass(frozen=True)
class MakeCertificate:
    instance: str
    step: ClassVar[str] = "make-certificate"


@dataclass(frozen=True)
class CreateVolume:
    instance: str
    serial: int
    node: str
    size_bytes: int
    compromises: tuple[str, ...] = ()
    step: ClassVar[str] = "create-volume"


@dataclass(frozen=True)
class CreatePod:
    instance: str
    serial: int
    node: str
    step: ClassVar[str] = "create-pod"


@dataclass(frozen=True)
class DeletePod:
    instance: str
    reason: str
    step: ClassVar[str] = "delete-pod"


@dataclass(frozen=True)
class LabelPod:
    instance: str
    role: str
    step: ClassVar[str] = "label-pod"


@dataclass(frozen=True)
class Publish:
    route: ShardRoute

    @property
    def step(self) -> str:
        return "publish-serving" if self.route.primary else "publish-no-primary"


@dataclass(frozen=True)
class Call:
    """Ask the agent of `instance`; the epoch is the shard's."""

    instance: str
    ip: str
    args: Arguments
    previous: str = ""
    """Id of the operation that the agent knew last: a new wish gets a new id, the same wish after a
    crash of the operator the same one."""

    @property
    def verb(self) -> Verb:
        return VERBS[type(self.args)]

    @property
    def step(self) -> str:
        return self.verb.value


@dataclass(frozen=True)
class RetireVolume:
    instance: str
    step: ClassVar[str] = "retire-volume"


@dataclass(frozen=True)
class DeleteVolume:
    instance: str
    step: ClassVar[str] = "delete-volume"


@dataclass(frozen=True)
class DropFinalizer:
    step: ClassVar[str] = "drop-finalizer"


Action = (
    AddFinalizer
    | ApplyShared
    | MakeCertificate
    | CreateVolume
    | CreatePod
    | DeletePod
    | LabelPod
    | Publish
    | Call
    | RetireVolume
    | DeleteVolume
    | DropFinalizer
)
