"""Which device a process computes on, and how: threads, determinism, one process a GPU."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from filelock import FileLock, Timeout

from sagan.errors import UserError
from sagan.training.numerics import set_numerics


@contextmanager
def device_for(execution: Mapping[str, Any], threads: int) -> Iterator[torch.device]:
    """A device, held until the block ends: "auto" takes a GPU where there is one.

    A GPU is taken under a lock for each share (`jobs_per_gpu`) of each physical device, among those that this
    process sees, so that parallel jobs of one machine spread over its GPUs.

    Args:
        execution: a suite's `execution` settings.
        threads: CPU threads of this process.

    Raises:
        UserError: "cuda" is asked for and there is none.
    """
    setting = execution["device"]
    torch.set_num_threads(threads)
    set_numerics()
    available = torch.cuda.is_available()
    if setting == "cuda" and not available:
        raise UserError("execution.device = 'cuda': torch sees no GPU here; use 'auto' or 'cpu'")
    if setting == "cpu" or not available:
        yield torch.device("cpu")
        return
    gpu = _own_gpu() if dist.is_initialized() else _gpu_slot(execution["jobs_per_gpu"])
    # Graphs and collectives are made on the current device.
    with gpu as index, torch.cuda.device(index):
        yield torch.device("cuda", index)


@contextmanager
def _own_gpu() -> Iterator[int]:
    """Each of several processes of one run has a GPU at once: waiting for slots one by one could go on for ever."""
    rank, count = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if count > torch.cuda.device_count():
        raise UserError(
            f"{count} processes and {torch.cuda.device_count()} GPUs: each process needs one of its own; "
            "start torchrun with a lower --nproc-per-node"
        )
    yield rank


@contextmanager
def _gpu_slot(jobs_per_gpu: int) -> Iterator[int]:
    """The index of a GPU with a free share; waits for one."""
    folder = Path(tempfile.gettempdir()) / "sagan-gpu-slots"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):  # another user's folder, which is open to all already
        folder.chmod(0o1777)
    while True:
        # Every GPU's first share comes before any GPU's second one.
        for share in range(jobs_per_gpu):
            for index, physical in enumerate(physical_gpus()):
                lock = FileLock(folder / f"{physical}-{share}.lock", mode=0o666)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue
                try:
                    yield index
                finally:
                    lock.release()
                return
        time.sleep(1.0)


def physical_gpus() -> list[str]:
    """Identifiers of the GPUs that this process may use, in torch's order: the same ones in every process.

    An index is not such a name: under a scheduler that confines jobs to their devices each sees its own as "0".
    """
    inherited = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    names = []
    for index in range(torch.cuda.device_count()):
        entry = inherited[index] if index < len(inherited) else ""
        if entry.startswith("MIG-"):
            # All slices of a GPU may tell the GPU's own UUID.
            names.append(entry)
        else:
            # Builds of torch for other makers' GPUs tell none.
            uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
            names.append(entry or str(index) if uuid is None else f"GPU-{uuid}")
    return names


def describe(device: torch.device) -> str:
    """A device in words, such as "cuda (NVIDIA H100)" or "cpu (AMD EPYC)"."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({_cpu_name()})"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
