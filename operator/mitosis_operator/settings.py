"""Settings of the operator: one frozen value, read from the environment once, in `main.py`."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from mitosis_operator.errors import BadSettings


@dataclass(frozen=True)
class Settings:
    namespace: str
    """Where the operator itself runs: its Lease, its CA and the gate's certificate are here."""
    namespaces: tuple[str, ...]
    """Where keyspaces are served."""
    identity: str
    """Name of this process in the Lease; differs between two processes alive at once."""
    prefix: str = "mitosis"
    """Full name of the release; the Lease and the operator's Secrets begin with it."""
    gate_service: str = ""
    """`host:port` that applications connect to, shown in the status of keyspaces."""
    instance_image: str = ""
    """Image of instances whose keyspace names none."""
    image_pull_policy: str = "IfNotPresent"
    idc_label: str = "topology.kubernetes.io/zone"
    rack_label: str = "topology.mitosis.dev/rack"
    kubeconfig: str = ""
    """Empty: the service account of the pod."""
    probe_port: int = 8080
    workers: int = 8
    agent_timeout_seconds: float = 3.0
    agents_at_once: int = 64
    poll_seconds: float = 5.0
    """How often the agents of a shard are asked when nothing is in progress; less often when there
    are more than some hundred shards."""
    resync_seconds: float = 45.0
    """How often everything is listed anew, so that no lost event matters."""
    fault_after_step: str = ""
    """For tests: die after this step, once per shard and step; `*` is every step."""
    log_level: str = "INFO"
    lease_duration_seconds: float = 15.0
    lease_renew_seconds: float = 10.0
    """A leader that could not renew for so long stops acting."""
    lease_retry_seconds: float = 2.0

    @property
    def lease_name(self) -> str:
        return f"{self.prefix}-operator"

    @property
    def ca_secret(self) -> str:
        return f"{self.prefix}-ca"

    @property
    def operator_tls_secret(self) -> str:
        return f"{self.prefix}-operator-tls"

    @property
    def gate_tls_secret(self) -> str:
        return f"{self.prefix}-gate-tls"

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Raise BadSettings, naming the variable, for a value that makes no sense."""
        namespace = env.get("MITOSIS_NAMESPACE", "") or "default"
        settings = cls(
            namespace=namespace,
            namespaces=_names(env.get("MITOSIS_NAMESPACES", "")) or (namespace,),
            identity=env.get("MITOSIS_IDENTITY", "") or f"{socket.gethostname()}-{os.getpid()}",
            prefix=env.get("MITOSIS_PREFIX", cls.prefix),
            gate_service=env.get("MITOSIS_GATE_SERVICE", ""),
            instance_image=env.get("MITOSIS_INSTANCE_IMAGE", ""),
            image_pull_policy=env.get("MITOSIS_IMAGE_PULL_POLICY", cls.image_pull_policy),
            idc_label=env.get("MITOSIS_IDC_LABEL", cls.idc_label),
            rack_label=env.get("MITOSIS_RACK_LABEL", cls.rack_label),
            kubeconfig=env.get("MITOSIS_KUBECONFIG", ""),
            probe_port=int(_number(env, "MITOSIS_PROBE_PORT", cls.probe_port)),
            workers=int(_number(env, "MITOSIS_WORKERS", cls.workers)),
            agent_timeout_seconds=_number(
                env, "MITOSIS_AGENT_TIMEOUT_SECONDS", cls.agent_timeout_seconds
            ),
            poll_seconds=_number(env, "MITOSIS_POLL_SECONDS", cls.poll_seconds),
            resync_seconds=_number(env, "MITOSIS_RESYNC_SECONDS", cls.resync_seconds),
            fault_after_step=env.get("MITOSIS_FAULT_AFTER_STEP", ""),
            log_level=env.get("MITOSIS_LOG_LEVEL", cls.log_level).upper(),
        )
        if settings.workers < 1:
            raise BadSettings("MITOSIS_WORKERS must be 1 or more")
        return settings


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "")
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        raise BadSettings(f"{name} is {text!r}: write a number, for example {default:g}") from None
    if number < 0:
        raise BadSettings(f"{name} is {text}: write a number that is not negative")
    return number
