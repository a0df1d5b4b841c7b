"""What is needed to repeat a result, beyond its configuration."""

import datetime
import os
import platform
import time
from dataclasses import dataclass, field
from functools import partial

import torch

import sagan
from sagan.code.fingerprint import PACKAGE
from sagan.store.git import said_by
from sagan.store.records import Json
from sagan.training.devices import describe, driver

# With these a user narrows the instructions that libraries compute with, which changes bytes.
_NARROWING = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA")
# What libraries choose kernels by.
_INSTRUCTIONS = ("avx", "avx2", "fma3", "avx512_f", "avx512_bw", "avx512_vnni", "avx512_bf16", "amx_tile")
# Git's answer about the code's own folder; None where it is not a checkout.
_git = partial(said_by, "git", "-C", str(PACKAGE.parent))


@dataclass(frozen=True)
class Beginning:
    """The moment at which work on a result begins: the code is what was checked out then."""

    moment: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    clock: float = field(default_factory=time.monotonic)
    commit: str | None = field(default_factory=lambda: _git("rev-parse", "HEAD"))
    changes: str | None = field(default_factory=lambda: _git("status", "--porcelain", "--", "sagan", "params.yaml"))


def provenance(device: torch.device, beginning: Beginning) -> Json:
    """Commit, device, instructions, threads, versions, flags and times (UTC)."""
    on_gpu = device.type == "cuda"
    passed = datetime.timedelta(seconds=time.monotonic() - beginning.clock)
    # By what has passed, where the clock was set back meanwhile.
    finished = max(datetime.datetime.now(datetime.UTC), beginning.moment + passed)
    return {
        "commit": beginning.commit,
        "dirty": None if beginning.changes is None else bool(beginning.changes),
        "device": describe(device),
        "device_kind": device.type,
        "instructions": _instructions(),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "sagan": sagan.__version__,
            "cuda": torch.version.cuda if on_gpu else None,
            "cudnn": torch.backends.cudnn.version() if on_gpu else None,
            "driver": driver() if on_gpu else None,
        },
        "flags": {
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "tf32": torch.backends.cuda.matmul.allow_tf32,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
        },
        "platform": platform.platform(),
        "started": beginning.moment.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
    }


def _instructions() -> Json:
    """What PyTorch's own kernels use, what the processor has for other libraries, and what the environment narrows."""
    has = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "torch": torch.backends.cpu.get_cpu_capability(),
        "cpu": [name for name in _INSTRUCTIONS if has.get(name)],
        "environment": {name: os.environ[name] for name in _NARROWING if name in os.environ},
    }
