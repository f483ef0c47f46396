"""The processor cores that this process may use: fewer than the machine has where an affinity mask or a container's quota says so."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path

PROCESS = Path("/proc/self")
# OMP_WAIT_POLICY=PASSIVE: a thread that waits for the others sleeps, where a spinning one would keep a busy core from the thread that it
# waits for. GOMP_SPINCOUNT: before that it looks so many times, some 50 microseconds, else going to sleep and waking up would cost a fifth
# of the linear probe's speed on a quiet machine (OpenMP's own 300,000 cost a busy machine nearly all of it).
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}


def set_thread_environment(environment: MutableMapping[str, str] = os.environ, process: Path = PROCESS) -> None:
    """How the OpenMP and BLAS threads of this process and its children wait, and how many there are at most. What the user set stays.

    `WAITING` says how they wait.
    OMP_NUM_THREADS is set only under a CPU quota below the affinity mask: the libraries count the mask, and know no quotas."""
    if not environment.keys() & {*WAITING, "KMP_BLOCKTIME"}:
        environment.update(WAITING)
    cores = usable_cores(process)
    if cores < affinity():
        environment.setdefault("OMP_NUM_THREADS", str(cores))


def affinity() -> int:
    """The cores on which the system may run this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_cores(process: Path = PROCESS) -> int:
    """The cores of the affinity mask, or the CPU quota of the control groups (v1 and v2), rounded up, where that is less; at least 1.

    `process`: the folder of this process in /proc. Without one (macOS) or without quotas the affinity mask counts alone."""
    return max(1, min([affinity(), *(math.ceil(quota) for quota in quotas(process))]))


def quotas(process: Path = PROCESS) -> Iterator[float]:
    """The CPU quotas, in cores, of the process's control group and of all groups above it; groups without one are left out."""
    for mount in _mounts(process):
        for folder in mount:
            with suppress(OSError, ValueError, ZeroDivisionError):
                quota = _quota(folder)
                if quota is not None and quota > 0:
                    yield quota


def _quota(folder: Path) -> float | None:
    """Cores that the group `folder` may use; None: as many as there are. Raises OSError where the group has no CPU controller."""
    if (folder / "cpu.max").is_file():  # v2: "<microseconds> <period>" or "max <period>"
        most, period = (folder / "cpu.max").read_text().split()
        return None if most == "max" else int(most) / int(period)
    most = (folder / "cpu.cfs_quota_us").read_text()  # v1: -1 is no limit
    return int(most) / int((folder / "cpu.cfs_period_us").read_text())


def _mounts(process: Path) -> Iterator[list[Path]]:
    """For every mounted hierarchy that can limit CPU: the folder of the process's group, then the folders above it up to the mount."""
    try:
        groups = [line.split(":", 2) for line in (process / "cgroup").read_text().splitlines()]
        mounts = (process / "mountinfo").read_text().splitlines()
    except OSError:
        return
    of_controller = {name: path for _, names, path in groups for name in names.split(",")}  # v2 has the name ""
    for line in mounts:
        about, _, filesystem = line.partition(" - ")
        kind, _, options = filesystem.split(" ", 2)
        name = {"cgroup2": "", "cgroup": "cpu"}.get(kind)
        if name is None or name not in of_controller or (name and name not in options.split(",")):
            continue
        root, mounted = (part.replace("\\040", " ") for part in about.split(" ")[3:5])
        # A container may see the mount of its own group alone, under the path that the group has outside.
        inside = Path(of_controller[name])
        inside = inside.relative_to(root) if inside.is_relative_to(root) else Path()
        yield [Path(mounted, *inside.parts[:depth]) for depth in range(len(inside.parts), -1, -1)]
