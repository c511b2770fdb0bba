"""Where the nodes are and which addresses they have. Pure."""

from dataclasses import dataclass

from mitosis_local.errors import LocalError

HUB = "mitosis-hub"
GATEWAY = "172.30.0.1"
NODE_PREFIX = 24
POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
API_PORT = 6443
DNS_PORT = 1053
MAX_NODES = 9
NODES_PER_IDC = 3


@dataclass(frozen=True)
class Node:
    """One node: its position gives idc, rack and addresses."""

    position: int

    @property
    def name(self) -> str:
        return f"node-{self.position}"

    @property
    def namespace(self) -> str:
        """Name of its network namespace and of its cgroup."""
        return f"mitosis-{self.name}"

    @property
    def idc(self) -> str:
        return f"idc-{1 + (self.position - 1) // NODES_PER_IDC}"

    @property
    def rack(self) -> str:
        return f"r{self.position}"

    @property
    def address(self) -> str:
        return f"172.30.0.{10 + self.position}"

    @property
    def pod_network(self) -> str:
        return f"10.244.{10 + self.position}.0/24"

    @property
    def link(self) -> str:
        """Name of the hub's end of its cable."""
        return f"v-{self.name}"


def topology(count: int) -> tuple[Node, ...]:
    if not 1 <= count <= MAX_NODES:
        raise LocalError(f"{count} nodes are not possible here: choose 1 to {MAX_NODES}")
    return tuple(Node(position) for position in range(1, count + 1))


def node_named(name: str, nodes: tuple[Node, ...]) -> Node:
    for node in nodes:
        if node.name == name:
            return node
    known = ", ".join(node.name for node in nodes)
    raise LocalError(f"there is no node {name!r}; this cluster has {known}")
