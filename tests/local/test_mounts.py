from pathlib import Path

import pytest

from mitosis_local import mounts


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("/home/dba/.cache/mitosis/run/nodes/node-1/disks/pvc-1cf12a70-ff9b.img", True),
        ("/node-3/disks/pvc-8e74d462-c0b6-4129.img (deleted)", True),
        ("/var/lib/snapd/snaps/core_1.snap", False),
        ("/home/me/node-1/disks/backup.img", False),
    ],
)
def test_disks_of_nodes_are_told_from_other_loop_files(file: str, expected: bool) -> None:
    assert mounts.is_disk(file) is expected


def test_hidden_paths_are_made_private_before_anything_is_put_over_them() -> None:
    binds = {Path("/proc/sys/kernel/panic"): Path("/x/panic"), Path("/proc/cpuinfo"): Path("/y")}
    command = [str(word) for word in mounts.hidden(["program", "--option"], binds)]
    script = command[command.index("-c") + 1]
    steps = script.split(" && ")
    assert steps[:-1] == [
        "mount --make-private /proc",
        "mount --bind /x/panic /proc/sys/kernel/panic",
        "mount --bind /y /proc/cpuinfo",
    ]
    assert command[-2:] == ["program", "--option"]


def test_the_mount_that_holds_a_path_is_found() -> None:
    assert mounts.holding(Path("/proc/sys/kernel")) == Path("/proc")
