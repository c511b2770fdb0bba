"""What the pod tells its agent, read once from the environment."""

import shlex
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mitosis_operator.agent.errors import BadSettings

DEFAULT_MEMORY = 1 << 30
DEFAULT_STOP_SECONDS = 45


@dataclass(frozen=True)
class Settings:
    instance: str
    shard: str
    keyspace: str
    serial: int
    pod_ip: str
    volume: Path
    run: Path
    tls: Path
    system_secret: Path
    config: Path
    mysqld: str
    mysqld_arguments: tuple[str, ...]
    memory_limit_bytes: int
    api_port: int
    probe_port: int
    mysql_port: int
    stop_seconds: float
    """How long mysqld may take to stop in order; below the pod's grace period."""

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Self:
        return cls(
            instance=_needed(env, "MITOSIS_INSTANCE"),
            shard=_needed(env, "MITOSIS_SHARD"),
            keyspace=_needed(env, "MITOSIS_KEYSPACE"),
            serial=_number(env, "MITOSIS_SERIAL"),
            pod_ip=_needed(env, "MITOSIS_POD_IP"),
            volume=Path(env.get("MITOSIS_DATA_DIR", "/var/lib/mysql")),
            run=Path(env.get("MITOSIS_RUN_DIR", "/run/mysqld")),
            tls=Path(env.get("MITOSIS_TLS_DIR", "/etc/mitosis/tls")),
            system_secret=Path(env.get("MITOSIS_SYSTEM_SECRET_DIR", "/etc/mitosis/system")),
            config=Path(env.get("MITOSIS_CONFIG_DIR", "/etc/mitosis/config")),
            mysqld=env.get("MITOSIS_MYSQLD", "mysqld"),
            mysqld_arguments=tuple(shlex.split(env.get("MITOSIS_MYSQLD_ARGS", ""))),
            memory_limit_bytes=_number(env, "MITOSIS_MEMORY_LIMIT_BYTES", DEFAULT_MEMORY),
            api_port=_number(env, "MITOSIS_API_PORT", 8443),
            probe_port=_number(env, "MITOSIS_PROBE_PORT", 8080),
            mysql_port=_number(env, "MITOSIS_MYSQL_PORT", 3306),
            stop_seconds=_number(env, "MITOSIS_STOP_SECONDS", DEFAULT_STOP_SECONDS),
        )

    @property
    def server_id(self) -> int:
        return 1 + zlib.crc32(self.instance.encode()) % (2**32 - 2)

    @property
    def datadir(self) -> Path:
        return self.volume / "data"

    @property
    def state(self) -> Path:
        return self.volume / ".agent"

    @property
    def socket(self) -> Path:
        return self.run / "mysqld.sock"

    @property
    def ca(self) -> Path:
        return self.tls / "ca.crt"

    @property
    def certificate(self) -> Path:
        return self.tls / "tls.crt"

    @property
    def key(self) -> Path:
        return self.tls / "tls.key"


def _needed(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise BadSettings(f"{name} is not set: the operator sets it in the pod")
    return value


def _number(env: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = env.get(name, "") or ("" if default is None else str(default))
    try:
        return int(text)
    except ValueError:
        raise BadSettings(f"{name}={text!r} is not a whole number") from None
