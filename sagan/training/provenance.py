"""What is needed to repeat a result, beyond its configuration."""

from __future__ import annotations

import datetime
import platform
import subprocess

import torch

import sagan
from sagan.code.fingerprint import PACKAGE
from sagan.store.records import Json
from sagan.training.devices import describe


def provenance(device: torch.device, started: datetime.datetime) -> Json:
    """Commit, device, threads, versions, flags and times (UTC)."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None
        if (status := _git("status", "--porcelain", "--", "sagan", "params.yaml")) is None
        else bool(status),
        "device": describe(device),
        "device_kind": device.type,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "sagan": sagan.__version__,
            "cuda": torch.version.cuda if device.type == "cuda" else None,
            "cudnn": torch.backends.cudnn.version() if device.type == "cuda" else None,
            "driver": _driver() if device.type == "cuda" else None,
        },
        "flags": {
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "tf32": torch.backends.cuda.matmul.allow_tf32,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
        },
        "platform": platform.platform(),
        "started": started.isoformat(timespec="seconds"),
        "finished": now().isoformat(timespec="seconds"),
    }


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _driver() -> str | None:
    """The version of NVIDIA's driver."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    return _answer(command)


def _git(*arguments: str) -> str | None:
    """Git's answer about the code's own folder; None where it is not a checkout."""
    return _answer(["git", "-C", str(PACKAGE.parent), *arguments])


def _answer(command: list[str]) -> str | None:
    """What a program prints; None where it is not there or fails."""
    try:
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
