"""How long a run took: by the wall, and its steps alone."""

from __future__ import annotations

import os
import time

import torch


class StepClock:
    """Seconds of a run, over all of its sessions.

    "wall" is all that passed while the run was at work. "step" is what its steps alone took: on a CPU the processor's
    time, which other work on the machine hardly changes; on a GPU the wall's, up to where the device was waited for.
    """

    def __init__(self, device: torch.device, seconds: dict[str, float]) -> None:
        self._clock = time.perf_counter if device.type == "cuda" else time.process_time
        self._steps = seconds["step"]
        self._began = time.perf_counter() - seconds["wall"]
        self._started = self._clock()

    def start(self) -> None:
        """Steps begin again."""
        self._started = self._clock()

    def stop(self) -> None:
        """What comes next is no step."""
        self._steps += self._clock() - self._started

    def read(self) -> dict[str, float]:
        return {"wall": time.perf_counter() - self._began, "step": self._steps}


def machine_load() -> float:
    """Processes that want a core, for each core, over the last minute: above 1 they wait for each other."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)
