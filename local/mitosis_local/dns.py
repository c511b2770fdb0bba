"""Names inside the cluster: coredns in the hub, reached through the Service `kube-dns`."""

from pathlib import Path

from mitosis_local import controlplane
from mitosis_local.api import Api
from mitosis_local.network import inside
from mitosis_local.paths import Paths
from mitosis_local.processes import Processes
from mitosis_local.topology import DNS_PORT, DNS_SERVICE, GATEWAY, HUB

LABELS = {"kubernetes.io/service-name": "kube-dns"}


def corefile(kubeconfig: Path) -> str:
    """Only names of the cluster are answered: its pods have no other network."""
    return f"""cluster.local:{DNS_PORT} in-addr.arpa:{DNS_PORT} {{
  bind {GATEWAY}
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {kubeconfig} mitosis-local
    pods insecure
    ttl 5
  }}
  loadbalance
}}
.:{DNS_PORT} {{
  bind {GATEWAY}
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
"""


def start(paths: Paths, programs: Path, processes: Processes, api: Api) -> None:
    file = paths.run / "Corefile"
    file.write_text(corefile(controlplane.kubeconfig_for(paths, "admin")))
    processes.start("coredns", inside(HUB, programs / "coredns", "-conf", file))
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns"},
        "spec": {
            "clusterIP": DNS_SERVICE,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": DNS_PORT},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": DNS_PORT},
            ],
        },
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kube-dns-hub", "labels": LABELS},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [GATEWAY], "conditions": {"ready": True}}],
        "ports": [
            {"name": "dns", "port": DNS_PORT, "protocol": "UDP"},
            {"name": "dns-tcp", "port": DNS_PORT, "protocol": "TCP"},
        ],
    }
    api.apply("/api/v1/namespaces/kube-system/services/kube-dns", service)
    slices = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices"
    api.apply(f"{slices}/kube-dns-hub", endpoints)
