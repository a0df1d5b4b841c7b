"""The run's own log: one JSON object a logged step, written a beat late so that the loop never waits."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import torch
from torch import Tensor

from sagan.records import finite_or_none


class RunLog:
    """Appends to `log.jsonl`.

    `add` takes scalars that are still being computed on the device and writes the entry *before*
    it; `flush` writes the last one. On a GPU the values have then long been there.
    """

    def __init__(self, path: Path, size: int) -> None:
        """Go on after the first `size` bytes: what a killed process wrote past its checkpoint is cut off."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, size)
        self._file = path.open("a", encoding="utf-8")
        self._pending: tuple[dict[str, float], list[str], Tensor] | None = None

    def add(self, step: int, images: int, seconds: float, scalars: dict[str, Tensor]) -> None:
        """Note the scalars of a step."""
        self.flush()
        counters = {"step": step, "images": images, "seconds": round(seconds, 3), "time": round(time.time(), 3)}
        self._pending = (counters, list(scalars), torch.stack(list(scalars.values())).detach())

    def flush(self) -> None:
        """Write what is pending, through to the file."""
        if self._pending is not None:
            counters, names, values = self._pending
            entry = counters | dict(zip(names, map(finite_or_none, values.tolist()), strict=True))
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()
            self._pending = None

    def size(self) -> int:
        """Bytes written, once flushed."""
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self.flush()
        self._file.close()
