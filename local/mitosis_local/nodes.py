"""One node: its cgroup, containerd, kubelet and kube-proxy, in its network namespace."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mitosis_local import cgroups, controlplane, mounts
from mitosis_local.network import inside
from mitosis_local.paths import Paths
from mitosis_local.processes import Processes
from mitosis_local.shell import run, succeeds, wait_for
from mitosis_local.topology import DNS_SERVICE, POD_NETWORK, Node

PAUSE_IMAGE = "localhost/mitosis-pause:1"
CNI_PROGRAMS = "/usr/lib/cni"
CONTAINERD_SECONDS = 60
# folders these programs use on every machine; a node hides them behind its own
CONTAINERD_FOLDERS = (Path("/run/containerd"), Path("/var/lib/cni"))
KUBELET_FOLDERS = (Path("/var/log/containers"),)
FIXED_FOLDERS = CONTAINERD_FOLDERS + KUBELET_FOLDERS
# the kubelet insists on these kernel settings; it finds and writes them in files of the node
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


@dataclass(frozen=True)
class Layout:
    """Files of one node.

    `root` lies on the mount that is shared between host and node; the content of containerd lies
    beside it, because files cannot be linked from one mount into another.
    """

    root: Path
    containerd: Path

    @property
    def socket(self) -> Path:
        return self.root / "containerd.sock"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def cni(self) -> Path:
        return self.root / "cni"

    @property
    def disks(self) -> Path:
        return self.root / "disks"


def layout(paths: Paths, node: Node) -> Layout:
    return Layout(shared(paths) / node.name, paths.run / "containerd" / node.name)


def shared(paths: Paths) -> Path:
    """Where mounts pass between the host, containerd and the kubelet."""
    return paths.run / "nodes"


def program_name(node: Node, program: str) -> str:
    return f"{node.name}-{program}"


def containerd_config(files: Layout, address: str) -> str:
    return f"""version = 2
root = "{files.containerd}"
state = "{files.state}"
[grpc]
  address = "{files.socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{files.root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "{address}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PROGRAMS}"
    conf_dir = "{files.cni}"
"""


def cni_config(files: Layout, node: Node) -> dict[str, Any]:
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(files.root / "ipam"),
                    "ranges": [[{"subnet": node.pod_network}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }


def kubelet_config(files: Layout, node: Node, pki: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / f"{node.name}.crt"),
        "tlsPrivateKeyFile": str(pki / f"{node.name}.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.namespace}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        # all nodes share one disk, and nobody could fetch a local image again
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi"},
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 20,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "containerRuntimeEndpoint": f"unix://{files.socket}",
        "podLogsDir": str(files.root / "pod-logs"),
        "serializeImagePulls": False,
    }


def proxy_config(node: Node, kubeconfig: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": POD_NETWORK,
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        # 0: leave the machine's limit alone
        "conntrack": {"maxPerCore": 0},
        "hostnameOverride": node.name,
    }


def make_fixed_folders() -> list[Path]:
    """Make the folders that are to be hidden; return those that were not there."""
    made = [folder for folder in FIXED_FOLDERS if not folder.exists()]
    for folder in made:
        folder.mkdir(parents=True)
    return made


def prepare(paths: Paths, node: Node) -> None:
    """Write a node's files; nothing runs yet."""
    files, pki = layout(paths, node), controlplane.pki(paths)
    for folder in (files.cni, files.disks, *map(files.root.joinpath, ("kubelet", "pod-logs"))):
        folder.mkdir(parents=True, exist_ok=True)
    (files.root / "containerd.toml").write_text(containerd_config(files, node.address))
    (files.cni / "10-pods.conflist").write_text(json.dumps(cni_config(files, node)))
    proxy_identity = controlplane.kubeconfig_for(paths, "proxy")
    for name, content in (
        ("kubelet.yaml", kubelet_config(files, node, pki)),
        ("proxy.yaml", proxy_config(node, proxy_identity)),
    ):
        (files.root / name).write_text(yaml.safe_dump(content))
    for name, value in KERNEL_SETTINGS.items():
        file = _setting_file(files, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")


def _setting_file(files: Layout, name: str) -> Path:
    return files.root / "sysctl" / name


def _own(files: Layout, folders: tuple[Path, ...]) -> dict[Path, Path]:
    binds = {}
    for folder in folders:
        source = files.root / "own" / folder.relative_to("/")
        source.mkdir(parents=True, exist_ok=True)
        binds[folder] = source
    return binds


def start_containerd(paths: Paths, node: Node, processes: Processes) -> None:
    """Start the container runtime and wait until it answers."""
    files, name = layout(paths, node), program_name(node, "containerd")
    cgroups.make(node.namespace)
    command: list[str | Path] = ["containerd", "--config", files.root / "containerd.toml"]
    processes.start(
        name,
        inside(node.namespace, *mounts.hidden(command, _own(files, CONTAINERD_FOLDERS))),
        cgroups.system_groups(node.namespace),
    )

    def answers() -> bool:
        processes.ensure_alive(name)
        return files.socket.exists() and succeeds("ctr", "--address", files.socket, "version")

    wait_for(f"containerd of {node.name}", answers, CONTAINERD_SECONDS, processes.log(name))


def start_kubelet(paths: Paths, programs: Path, node: Node, processes: Processes) -> None:
    """Start kubelet and kube-proxy; containerd must answer already."""
    files, groups = layout(paths, node), cgroups.system_groups(node.namespace)
    labels = f"topology.kubernetes.io/zone={node.idc},topology.mitosis.dev/rack={node.rack}"
    kubelet: list[str | Path] = [
        programs / "kubelet",
        f"--config={files.root / 'kubelet.yaml'}",
        f"--kubeconfig={controlplane.kubeconfig_for(paths, node.name)}",
        f"--root-dir={files.root / 'kubelet'}",
        f"--cert-dir={files.root / 'pki'}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--node-labels={labels}",
    ]
    binds = _own(files, KUBELET_FOLDERS)
    for name in KERNEL_SETTINGS:
        if (setting := Path("/proc/sys") / name).exists():
            binds[setting] = _setting_file(files, name)
    hidden = mounts.hidden(kubelet, binds)
    processes.start(program_name(node, "kubelet"), inside(node.namespace, *hidden), groups)
    proxy = inside(node.namespace, programs / "kube-proxy", f"--config={files.root / 'proxy.yaml'}")
    processes.start(program_name(node, "proxy"), proxy, groups)


def import_images(paths: Paths, node: Node, archive: Path) -> None:
    socket = layout(paths, node).socket
    run("ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", archive)
