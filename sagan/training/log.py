"""The run's own log: one JSON object a logged step, on the disk before the next step begins."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import torch
from torch import Tensor

from sagan.store.records import finite_or_none


class RunLog:
    """Appends to `log.jsonl`."""

    def __init__(self, path: Path, size: int) -> None:
        """Go on after the first `size` bytes: what a killed process wrote past its checkpoint is cut off."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, size)
        self._file = path.open("a", encoding="utf-8")

    def add(self, step: int, images: int, seconds: dict[str, float], scalars: dict[str, Tensor]) -> None:
        """Write the scalars of a step; waits for the device, once for all of them.

        Args:
            seconds: as `StepClock.read` gives them.
        """
        counters = {"step": step, "images": images, "seconds": round(seconds["wall"], 3)}
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        counters |= {"step_seconds": round(seconds["step"], 3), "load": round(load, 2), "time": round(time.time(), 3)}
        values = torch.stack(list(scalars.values())).tolist()
        entry = counters | dict(zip(scalars, map(finite_or_none, values), strict=True))
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def size(self) -> int:
        """Bytes written, once a failure of power would not take them."""
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()
