"""Names that other programs or people see: groups, labels, annotations, ports, objects."""

GROUP = "mitosis.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

KEYSPACE = "Keyspace"
SHARD = "Shard"
ROUTING_TABLE = "RoutingTable"
PLURALS = {KEYSPACE: "keyspaces", SHARD: "shards", ROUTING_TABLE: "routingtables"}

FIELD_MANAGER = "mitosis-operator"
FINALIZER = "mitosis.dev/cleanup"
"""On Keyspaces and Shards: their volumes are kept or deleted as spec.deletionPolicy says."""

LABEL_APP = "app.kubernetes.io/name"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_KEYSPACE = "mitosis.dev/keyspace"
LABEL_SHARD = "mitosis.dev/shard"
LABEL_INSTANCE = "mitosis.dev/instance"
LABEL_ROLE = "mitosis.dev/role"
"""For people and disruption budgets only; who may write stands in the routing table alone."""
LABEL_STATE = "mitosis.dev/state"
"""On volumes: STATE_ACTIVE, or STATE_RETIRED when no instance uses it any more."""

APP = "mitosis"
MANAGED_BY = "mitosis-operator"
COMPONENT_OPERATOR = "operator"
COMPONENT_GATE = "gate"
COMPONENT_INSTANCE = "instance"
ROLE_PRIMARY = "primary"
ROLE_REPLICA = "replica"
ROLE_NONE = "none"
STATE_ACTIVE = "active"
STATE_RETIRED = "retired"

ANNOTATION_NODE = "mitosis.dev/node"
"""On volumes: the node that placement chose; pods of this instance are built for it."""
ANNOTATION_POD_REVISION = "mitosis.dev/pod-revision"
ANNOTATION_RETIRED_AT = "mitosis.dev/retired-at"

NODE_LABEL_IDC = "topology.kubernetes.io/zone"
NODE_LABEL_RACK = "topology.mitosis.dev/rack"
"""Defaults; both can be set to other labels in the operator's settings."""

MYSQL_PORT = 3306
AGENT_PORT = 8443
PROBE_PORT = 8080
GATE_ADMIN_PORT = 8081
GATE_DOOR_PORT = 8443

INSTANCE_CONTAINER = "mysql"
MYSQL_UID = 999

DATA_DIR = "/var/lib/mysql"
RUN_DIR = "/run/mysqld"
TLS_DIR = "/etc/mitosis/tls"
SYSTEM_SECRET_DIR = "/etc/mitosis/system"
CONFIG_DIR = "/etc/mitosis/config"
CONFIG_KEY = "extra.cnf"

SYSTEM_SECRET_KEYS = ("gate", "replication", "donor")
GATE_ACCOUNT = "mitosis_gate"
DONOR_ACCOUNT = "mitosis_donor"
INTERNAL_SCHEMA = "mitosis"

NAMES_TAKEN_BY_MYSQL = ("mysql", "sys", INTERNAL_SCHEMA)
"""Databases of every instance, so no keyspace can have their names."""


def shard(keyspace: str, start: int, end: int) -> str:
    return f"{keyspace}-{start}-{end}"


def instance(shard: str, serial: int) -> str:
    """Name of an instance, of its volume claim and of its pod."""
    return f"{shard}-{serial}"


def serial_of(instance: str) -> int:
    """The number at the end of an instance's name."""
    return int(instance.rpartition("-")[2])


def replication_account(serial: int) -> str:
    """Each instance has its own, so that one replica can be kept from acknowledging."""
    return f"mitosis_repl_{serial}"


def tls_secret(instance: str) -> str:
    return f"{instance}-tls"


def system_secret(keyspace: str) -> str:
    return f"{keyspace}-system"


def config_map(shard: str) -> str:
    return f"{shard}-config"


def primary_budget(shard: str) -> str:
    return f"{shard}-primary"


def replica_budget(shard: str) -> str:
    return f"{shard}-replicas"


def keyspace_labels(keyspace: str) -> dict[str, str]:
    return {LABEL_APP: APP, LABEL_MANAGED_BY: MANAGED_BY, LABEL_KEYSPACE: keyspace}


def shard_labels(keyspace: str, shard: str) -> dict[str, str]:
    return {**keyspace_labels(keyspace), LABEL_SHARD: shard}


def instance_labels(keyspace: str, shard: str, instance: str) -> dict[str, str]:
    return {
        **shard_labels(keyspace, shard),
        LABEL_COMPONENT: COMPONENT_INSTANCE,
        LABEL_INSTANCE: instance,
    }
