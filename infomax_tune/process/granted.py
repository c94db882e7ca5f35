"""What this process was granted of its machine, which may be less than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
_CGROUPS = Path("/sys/fs/cgroup")


def cpus() -> int:
    """How many CPUs it may use at a time, at least 1: the least of the machine's, its affinity (taskset, a cpuset), the
    quotas of its cgroups (a container, systemd), and what Slurm granted to its task, which not every cluster enforces."""
    granted: list[float] = [os.cpu_count() or 1, *_quotas(Path("/proc/self/cgroup"))]
    if hasattr(os, "sched_getaffinity"):
        granted.append(len(os.sched_getaffinity(0)))
    granted += [int(value) for name in _SLURM if (value := os.environ.get(name, "")).isdecimal()][:1]
    return max(1, int(min(granted)))


def _quotas(memberships: Path) -> Iterator[float]:
    """The quotas of the cgroups, of version 1 or 2, that this process is in, each a number of CPUs."""
    try:
        lines = memberships.read_text(encoding="utf-8").splitlines()
    except OSError:
        return  # another system than Linux
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = _CGROUPS / "cpu" if controllers else _CGROUPS
        inside = top / group.lstrip("/")
        # in a container the group's name may be that of its host, and its own quota be at the top
        for folder in (inside, *inside.parents):
            files = ["cpu.cfs_quota_us", "cpu.cfs_period_us"] if controllers else ["cpu.max"]
            try:
                quota, period = " ".join((folder / name).read_text(encoding="utf-8") for name in files).split()
                if int(quota) > 0:  # version 1 has -1 for no limit, version 2 "max"
                    yield int(quota) / int(period)
            except (OSError, ValueError):
                continue
