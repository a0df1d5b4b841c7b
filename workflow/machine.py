"""What this machine has for jobs: cores and GPUs that this process may use, and folders that it may write."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_CGROUP_2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")

# NVIDIA's, AMD's, and that of Windows' subsystem for Linux.
_GPU_DRIVERS = ("/proc/driver/nvidia", "/dev/kfd", "/dev/dxg")


def usable_cores() -> int:
    """Cores by affinity (taskset, Slurm), and no more than a container's share of CPU time allows."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = (
            _CGROUP_2.read_text(encoding="utf-8").split()
            if _CGROUP_2.exists()
            else [p.read_text(encoding="utf-8") for p in _CGROUP_1]
        )
        return max(1, min(cores, int(quota) // int(period))) if int(quota) > 0 else cores
    except (OSError, ValueError):
        return cores


def gpu_count() -> int:
    """GPUs that this process may use.

    Raises:
        UserError: there are some, and PyTorch cannot use them.
    """
    if shutil.which("nvidia-smi") is None and not any(map(os.path.exists, _GPU_DRIVERS)):
        return 0
    from sagan.training.devices import usable_gpus  # PyTorch takes seconds to import

    return usable_gpus()


def check_writable(*folders: Path) -> None:
    """Say that a folder cannot be written before hours of work end in that; one that is not there is made.

    Raises:
        OSError: with the folder's name.
    """
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(4096))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(folder)) from None
