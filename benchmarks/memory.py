"""Resident memory of what `make demo` leaves running, idle: by program, and all of it.

Run after `make demo`: `.venv/bin/python benchmarks/memory.py`. Reads /proc: Pss for the sum, so
that shared pages count once, Rss for the figure of one process. Prints one JSON line.
"""

import json
from collections import defaultdict
from pathlib import Path

PROGRAMS = {  # part of the command line → name
    "mitosis-operator": "operator",
    "mitosis-agent": "agent",
    "mitosis-gate": "gate",
    "mysqld": "mysqld",
    "kube-apiserver": "kubernetes",
    "kube-controller-manager": "kubernetes",
    "kube-scheduler": "kubernetes",
    "kube-proxy": "kubernetes",
    "kubelet": "kubernetes",
    "coredns": "kubernetes",
    "etcd": "kubernetes",
    "containerd": "kubernetes",
    "mitosis_local": "local",
}


def program_of(pid: Path) -> str | None:
    words = (pid / "cmdline").read_bytes().split(b"\0")
    line = b" ".join(words[:3]).decode(errors="replace")
    return next((name for part, name in PROGRAMS.items() if part in line), None)


def kibibytes(pid: Path) -> dict[str, int]:
    rows = (line.split() for line in (pid / "smaps_rollup").read_text().splitlines()[1:])
    return {row[0].rstrip(":"): int(row[1]) for row in rows}


def main() -> None:
    pss: dict[str, int] = defaultdict(int)
    highest: dict[str, int] = defaultdict(int)
    count: dict[str, int] = defaultdict(int)
    for pid in Path("/proc").glob("[0-9]*"):
        try:
            name = program_of(pid)
            sizes = kibibytes(pid) if name else {}
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended since the folder was listed
        if name and sizes:
            pss[name] += sizes["Pss"]
            highest[name] = max(highest[name], sizes["Rss"])
            count[name] += 1
    report = {
        name: {
            "processes": count[name],
            "pss_mb": round(pss[name] / 1024),
            "highest_rss_mb": round(highest[name] / 1024),
        }
        for name in sorted(pss)
    }
    total = round(sum(pss.values()) / 1024)
    print(json.dumps({"benchmark": "memory", "total_mb": total, "programs": report}))


if __name__ == "__main__":
    main()
