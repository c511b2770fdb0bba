"""Room on the volume, as the file system counts it: independent of a running mysqld."""

import os
from pathlib import Path

from mitosis_operator.mysql.instance import DiskStatus


def read(volume: Path) -> DiskStatus:
    """Room reserved for root is not room."""
    found = os.statvfs(volume)
    total, available = found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail
    used = round(100 * (1 - available / total), 2) if total else 0.0
    return DiskStatus(total, available, used)
