"""What can be set, from flags and from the environment; a flag wins over its variable.

`--listen-port` is `MITOSIS_GATE_LISTEN_PORT` in the environment, and so on for each option.
"""

import argparse
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from mitosis_gate import connection_ids
from mitosis_gate.errors import NotStarted

# A Service called mitosis-gate puts MITOSIS_GATE_PORT and MITOSIS_GATE_SERVICE_* into every pod of
# its namespace: no option may be called so.
ENVIRONMENT_PREFIX = "MITOSIS_GATE_"
LEAST_PACKET_BYTES = 16 << 10
"""Packets below this are forwarded without a look at the limit."""


class BackendTls(StrEnum):
    REQUIRED = "required"
    """TLS to each backend, and its certificate must carry the name of the instance."""
    DISABLED = "disabled"
    """Plain connections: tests, benchmarks and networks that encrypt by themselves."""


@dataclass(frozen=True)
class Settings:
    listen_host: str = "0.0.0.0"
    listen_port: int = 3306
    admin_host: str = "0.0.0.0"
    admin_port: int = 8081
    door_port: int = 8443
    """Where the operator asks what the gate obeys, with mutual TLS."""
    door_tls_dir: Path | None = None
    """tls.crt, tls.key and ca.crt of the operator's authority. None: no such door."""
    workers: int = 1
    """Processes that share the port; each has its own pools and about one core of work."""
    worker: int = 0
    """Which of them this process is, from 1; 0: the only one, or the parent of all."""

    namespaces: tuple[str, ...] = ()
    """Where routing tables and Secrets are read; empty: the namespace of the gate's own pod."""
    api_server: str = ""
    """Empty: from KUBERNETES_SERVICE_HOST and _PORT, as in every pod."""
    service_account_dir: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    routing_file: Path | None = None
    """A routing table, or a list of them, in place of Kubernetes; read again when it changes."""
    users_file: Path | None = None
    """Passwords for the routing file: {keyspace: {user: password}}, gate account included."""

    tls_dir: Path | None = None
    """tls.crt and tls.key for clients; read again when they change. None: clients use no TLS."""
    require_tls: bool = False
    client_ca_file: Path | None = None
    """Authority of clients' certificates, for users with `tls: x509`."""
    native_passwords: bool = False
    """Let clients log in by mysql_native_password too, which old ones need."""
    compression: tuple[str, ...] = ("zlib", "zstd")
    """What clients may ask for; empty: none."""
    proxy_protocol: tuple[str, ...] = ()
    """Networks of the balancers that send a PROXY header before each connection; empty: none."""
    backend_tls: BackendTls = BackendTls.REQUIRED

    max_packet_bytes: int = 64 << 20
    max_clients: int = 2000
    max_backends: int = 64
    """Connections of one worker to one instance."""
    max_statements: int = 1024
    """Prepared statements of one client."""
    max_user_clients: int = 0
    """Connections of one user to this process. 0 here and in the next three: no limit; what the
    Keyspace says of a user comes before them."""
    max_user_statements: int = 0
    """Statements of one user that run at the same time."""
    max_result_rows: int = 0
    """In the answer to one statement."""
    max_result_bytes: int = 0
    plan_cache_bytes: int = 32 << 20
    max_sort_bytes: int = 64 << 20
    """What one statement may keep in the gate to sort its groups by what was folded."""
    sequence_block: int = 1000
    """AUTO_INCREMENT numbers that a worker takes at a time for a sharded table."""

    local_infile: bool = True
    """Whether clients may send files with LOAD DATA LOCAL."""
    copy_rows_limit: int = 1_000_000
    """Rows of an INSERT ... SELECT that may pass through the gate, which keeps them meanwhile."""
    copy_bytes_limit: int = 64 << 20

    login_seconds: float = 10.0
    connect_seconds: float = 5.0
    pool_wait_seconds: float = 1.0
    hold_seconds: float = 10.0
    """How long a statement waits for a shard that has no primary or is moving."""
    replica_suffix: str = "_r"
    """A user with this behind the name reads from replicas; empty: no such users."""
    replica_wait_seconds: float = 0.05
    """How long a replica may take to apply what the session wrote; then the primary is asked."""
    hold_slots: int = 1000
    """Statements of one worker that may wait for one shard."""
    hold_event_seconds: float = 20.0
    """How long one event of a shard may make statements wait; then they end at once."""
    hold_pause_seconds: float = 60.0
    """After an event: how long the shard's next one does not make statements wait."""
    moving_drain_seconds: float = 1.0
    """How long transactions that are open on a moving shard may go on, or until the deadline in
    the routing table, whichever comes first."""
    lease_seconds: float = 300.0
    """A gate that could not confirm its table for so long holds writes and serves reads. Safety
    does not rest on it: a primary that lost its role is fenced, and no acknowledgement reaches it.
    So it is long enough for an API server to be replaced without a pause of writes."""
    idle_seconds: float = 28800.0
    """wait_timeout: a client that says nothing for so long is closed."""
    statement_seconds: float = 0.0
    """A statement that runs for longer is ended with error 3024; 0: no limit. A session may set its
    own with `gate_statement_seconds`."""
    transaction_seconds: float = 0.0
    """A transaction that is open for longer is rolled back with its connection; 0: no limit."""
    idle_transaction_seconds: float = 0.0
    """The same for one in which nothing was said for so long."""
    slow_seconds: float = 1.0
    """Statements that take longer are logged, by shape; 0: none."""
    slow_client_seconds: float = 60.0
    """How long a client may leave its result unread."""
    backend_idle_seconds: float = 300.0
    lock_wait_seconds: int = 10
    """The longest wait for a row lock inside a transaction over several shards."""
    settle_seconds: float = 5.0
    """How long a prepared branch may be seen before somebody else than its gate ends it; and the
    longest time between two looks for such branches."""
    frozen_seconds: int = 20
    """How long a gate that stops in the middle of a COMMIT over shards can hold up the others."""
    decision_retention_seconds: float = 900.0
    """How long the outcome of a transaction over several shards is kept."""
    transaction_journal: Path | None = None
    """Where transactions are written down that are committed on some of their shards only."""
    schema_check_seconds: float = 5.0
    """How often a keyspace in use is asked whether its schema has changed."""
    drain_seconds: float = 25.0
    """After SIGTERM: how long open transactions may take; below the pod's grace period."""

    merge_socket: Path | None = None
    """Where the merge server listens. None: statements that need one are refused."""
    merge_max_rows: int = 1_000_000
    """Rows that one statement may bring to the merge server."""
    merge_max_bytes: int = 256 << 20
    """The same in bytes."""
    merge_concurrency: int = 8
    """Statements of one worker that are on the merge server at a time; others wait for
    `pool_wait_seconds`."""

    peers: tuple[str, ...] = ()
    """`host:port` of the admin ports of the other gates; a host may have several addresses."""
    peers_key_file: Path | None = None
    """A secret that all gates of the release share, by which they know each other."""
    gate_number: int = -1
    """The first bits of connection ids; -1: chosen at the start, different from all peers'."""

    log_level: str = "INFO"

    @property
    def is_static(self) -> bool:
        return self.routing_file is not None


_KINDS: Mapping[str, Any] = {
    "workers": int,
    "worker": int,
    "listen_port": int,
    "admin_port": int,
    "door_port": int,
    "door_tls_dir": Path,
    "max_packet_bytes": int,
    "max_clients": int,
    "max_backends": int,
    "max_statements": int,
    "plan_cache_bytes": int,
    "max_sort_bytes": int,
    "sequence_block": int,
    "local_infile": lambda text: _yes_or_no(text),
    "copy_rows_limit": int,
    "copy_bytes_limit": int,
    "login_seconds": float,
    "connect_seconds": float,
    "pool_wait_seconds": float,
    "hold_seconds": float,
    "replica_wait_seconds": float,
    "hold_slots": int,
    "hold_event_seconds": float,
    "hold_pause_seconds": float,
    "moving_drain_seconds": float,
    "lease_seconds": float,
    "idle_seconds": float,
    "slow_client_seconds": float,
    "statement_seconds": float,
    "transaction_seconds": float,
    "idle_transaction_seconds": float,
    "slow_seconds": float,
    "max_user_clients": int,
    "max_user_statements": int,
    "max_result_rows": int,
    "max_result_bytes": int,
    "client_ca_file": Path,
    "native_passwords": lambda text: _yes_or_no(text),
    "compression": lambda text: _list(text),
    "proxy_protocol": lambda text: _list(text),
    "peers": lambda text: _list(text),
    "peers_key_file": Path,
    "gate_number": int,
    "backend_idle_seconds": float,
    "lock_wait_seconds": int,
    "settle_seconds": float,
    "frozen_seconds": int,
    "decision_retention_seconds": float,
    "transaction_journal": Path,
    "schema_check_seconds": float,
    "drain_seconds": float,
    "service_account_dir": Path,
    "routing_file": Path,
    "users_file": Path,
    "tls_dir": Path,
    "backend_tls": BackendTls,
    "require_tls": lambda text: _yes_or_no(text),
    "namespaces": lambda text: tuple(n.strip() for n in text.split(",") if n.strip()),
    "log_level": str.upper,
    "merge_socket": Path,
    "merge_max_rows": int,
    "merge_max_bytes": int,
    "merge_concurrency": int,
}
_HELP: Mapping[str, str] = {
    "workers": "processes that share the port",
    "worker": "given by the gate to the processes it starts",
    "namespaces": "comma-separated namespaces whose keyspaces are served",
    "routing_file": "routing tables as JSON, in place of Kubernetes",
    "users_file": "passwords for --routing-file: {keyspace: {user: password}}",
    "tls_dir": "folder with tls.crt and tls.key for clients",
    "door_tls_dir": "folder with tls.crt, tls.key and ca.crt for the operator's door",
    "backend_tls": "required or disabled",
    "local_infile": "whether clients may send files with LOAD DATA LOCAL",
    "copy_rows_limit": "rows of an INSERT ... SELECT that may pass through the gate",
    "copy_bytes_limit": "bytes of an INSERT ... SELECT that may pass through the gate",
    "sequence_block": "AUTO_INCREMENT numbers that a worker takes at a time for a sharded table",
    "replica_suffix": "a user name with this behind it logs in as the user and reads from replicas",
    "replica_wait_seconds": "time for a replica to apply what the session wrote",
    "hold_slots": "statements that may wait for one shard",
    "hold_event_seconds": "how long one event of a shard may make statements wait",
    "hold_pause_seconds": "time after an event in which the next one makes nobody wait",
    "moving_drain_seconds": "time that open transactions get on a shard that moves",
    "lease_seconds": "without a confirmed routing table for so long, writes are held",
    "merge_socket": "unix socket of the merge server, in a folder that also holds its password",
    "merge_max_rows": "rows that one statement may bring to the merge server",
    "merge_max_bytes": "bytes that one statement may bring to the merge server",
    "merge_concurrency": "statements of one worker on the merge server at a time",
    "client_ca_file": "authority of the certificates that clients show",
    "native_passwords": "true: clients may use mysql_native_password",
    "compression": "zlib, zstd, both or none: what clients may ask for",
    "proxy_protocol": "comma-separated networks whose connections begin with a PROXY header",
    "peers": "comma-separated host:port of the admin ports of the other gates",
    "peers_key_file": "secret that all gates share, needed with --peers",
    "gate_number": "0 to 1023, first bits of connection ids",
    "statement_seconds": "end statements that run longer; 0: never",
    "slow_seconds": "log statements that take longer; 0: none",
    "lock_wait_seconds": "longest wait for a row lock in a transaction over several shards",
    "settle_seconds": "age of a prepared branch that any gate may end",
    "frozen_seconds": "how long a gate that stops in a COMMIT over shards can hold it up",
    "decision_retention_seconds": "how long outcomes of transactions over shards are kept",
    "transaction_journal": "file for transactions that are committed on some of their shards only",
    "drain_seconds": "time that open transactions get after SIGTERM",
}


def from_arguments(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Raise NotStarted, naming the option, for values that cannot work."""
    parser = argparse.ArgumentParser(
        prog="mitosis-gate", description="MySQL gate in front of the shards of Mitosis keyspaces"
    )
    for field in fields(Settings):
        parser.add_argument(
            "--" + field.name.replace("_", "-"), metavar="VALUE", help=_HELP.get(field.name)
        )
    given = vars(parser.parse_args(list(arguments)))
    values: dict[str, Any] = {}
    for field in fields(Settings):
        text = given[field.name]
        if text is None:
            text = environment.get(ENVIRONMENT_PREFIX + field.name.upper()) or None
        if text is not None:
            values[field.name] = _read(field.name, text)
    return _checked(Settings(**values))


def _read(name: str, text: str) -> Any:
    try:
        return _KINDS.get(name, str)(text)
    except ValueError as exc:
        raise NotStarted(f"--{name.replace('_', '-')} cannot be {text!r}: {exc}") from exc


def _yes_or_no(text: str) -> bool:
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError("write true or false")


def _list(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    return () if parts == ("none",) else parts


def _check_clients(settings: Settings) -> None:
    """What concerns the connections of clients and those of other gates."""
    if settings.workers > connection_ids.MAX_WORKERS:
        raise NotStarted(f"--workers must be {connection_ids.MAX_WORKERS} or less")
    if settings.max_clients > connection_ids.MAX_CLIENTS:
        raise NotStarted(f"--max-clients must be {connection_ids.MAX_CLIENTS} or less")
    if not -1 <= settings.gate_number < connection_ids.GATES:
        raise NotStarted(f"--gate-number must be 0 to {connection_ids.GATES - 1}")
    unknown = set(settings.compression) - {"zlib", "zstd"}
    if unknown:
        raise NotStarted(f"--compression knows zlib and zstd, not {', '.join(sorted(unknown))}")
    if settings.client_ca_file is not None and settings.tls_dir is None:
        raise NotStarted("--client-ca-file needs --tls-dir: certificates are shown in TLS only")
    if settings.peers and settings.peers_key_file is None:
        raise NotStarted("--peers needs --peers-key-file: gates obey nobody without the key")
    for peer in settings.peers:
        host, _, port = peer.rpartition(":")
        if not host or not port.isdecimal():
            raise NotStarted(f"--peers cannot be {peer!r}: write host:port")
    for network in settings.proxy_protocol:
        try:
            ipaddress.ip_network(network)
        except ValueError as exc:
            raise NotStarted(f"--proxy-protocol cannot be {network!r}: {exc}") from exc


def _checked(settings: Settings) -> Settings:
    if settings.workers < 1:
        raise NotStarted("--workers must be 1 or more")
    if settings.users_file is not None and not settings.is_static:
        raise NotStarted("--users-file belongs to --routing-file: give both or neither")
    if settings.is_static and settings.users_file is None:
        raise NotStarted("--routing-file needs --users-file: without it nobody can log in")
    if settings.require_tls and settings.tls_dir is None:
        raise NotStarted("--require-tls needs --tls-dir with tls.crt and tls.key")
    _check_clients(settings)
    if settings.max_packet_bytes < LEAST_PACKET_BYTES:
        raise NotStarted(f"--max-packet-bytes must be {LEAST_PACKET_BYTES} or more")
    least_one = ("max_clients", "max_backends")
    several = ("lock_wait_seconds", "frozen_seconds")
    merging = ("merge_max_rows", "merge_max_bytes", "merge_concurrency")
    for name in (*least_one, *several, *merging):
        if getattr(settings, name) < 1:
            raise NotStarted(f"--{name.replace('_', '-')} must be 1 or more")
    return settings
