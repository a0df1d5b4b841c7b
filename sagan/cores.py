"""How many CPU cores this process may use."""

import os
from pathlib import Path

_CGROUP_2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def usable_cores() -> int:
    """Cores by affinity (taskset, Slurm; macOS has none), and no more than a container's share of CPU time allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    files = [_CGROUP_2] if _CGROUP_2.exists() else _CGROUP_1
    try:
        quota, period = map(int, " ".join(file.read_text(encoding="utf-8") for file in files).split())
    except (OSError, ValueError):  # no such files, or no limit, which is a word or -1
        return cores
    return max(1, min(cores, quota // period)) if quota > 0 else cores
