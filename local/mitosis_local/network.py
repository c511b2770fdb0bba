"""Network namespaces: the hub with the bridge and the control plane, and one for each node.

Nothing is made in the host's own namespace.
"""

from collections.abc import Sequence
from pathlib import Path

from mitosis_local.shell import run, succeeds
from mitosis_local.topology import GATEWAY, HUB, NODE_PREFIX, Node

FOLDER = Path("/run/netns")


def inside(namespace: str, *command: str | Path) -> list[str | Path]:
    """The command line that runs a program in a namespace (`ip netns exec` would hide cgroups)."""
    return ["nsenter", f"--net={FOLDER / namespace}", *command]


def exists(namespace: str) -> bool:
    return (FOLDER / namespace).exists()


def _batch(namespace: str, *lines: str) -> None:
    run("ip", "-n", namespace, "-batch", "-", text="\n".join(lines) + "\n")


def _forward(namespace: str) -> None:
    run(*inside(namespace, "sysctl", "-qw", "net.ipv4.ip_forward=1"))


def make(nodes: Sequence[Node]) -> None:
    run("ip", "netns", "add", HUB)
    _batch(
        HUB,
        "link set lo up",
        "link add br0 type bridge",
        f"addr add {GATEWAY}/{NODE_PREFIX} dev br0",
        "link set br0 up",
    )
    _forward(HUB)
    for node in nodes:
        _make_node(node, nodes)


def _make_node(node: Node, nodes: Sequence[Node]) -> None:
    run("ip", "netns", "add", node.namespace)
    _batch(
        HUB,
        f"link add {node.link} type veth peer name eth0 netns {node.namespace}",
        f"link set {node.link} master br0 up",
        f"route replace {node.pod_network} via {node.address}",
    )
    others = [other for other in nodes if other != node]
    _batch(
        node.namespace,
        "link set lo up",
        f"addr add {node.address}/{NODE_PREFIX} dev eth0",
        "link set eth0 up",
        f"route add default via {GATEWAY}",
        *(f"route replace {other.pod_network} via {other.address}" for other in others),
    )
    _forward(node.namespace)


def connect(node: Node) -> None:
    run("ip", "-n", HUB, "link", "set", node.link, "up")


def disconnect(node: Node) -> None:
    run("ip", "-n", HUB, "link", "set", node.link, "down")


def is_connected(node: Node) -> bool:
    shown = run("ip", "-n", HUB, "-brief", "link", "show", node.link).split()
    return len(shown) > 1 and shown[1] == "UP"


def remove(namespace: str) -> None:
    """Remove a namespace and with it its bridge, cables, routes and firewall."""
    if exists(namespace):
        run("ip", "netns", "del", namespace)


def ours() -> list[str]:
    """Namespaces of a cluster, whoever made them and whenever."""
    if not FOLDER.is_dir():
        return []
    return sorted(path.name for path in FOLDER.iterdir() if path.name.startswith("mitosis-"))


def answers(namespace: str, address: str, port: int) -> bool:
    probe = f"exec 3<>/dev/tcp/{address}/{port}"
    return succeeds(*inside(namespace, "timeout", "2", "bash", "-c", probe))
