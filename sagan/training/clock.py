"""How long a run took: by the wall, and its steps alone."""

from __future__ import annotations

import time

import torch

Seconds = dict[str, float]


class StepClock:
    """Seconds of a run's turns, over all of its sessions; what passes between turns is not the run's.

    "wall" is all of its turns. "step" is what its steps alone took: on a CPU the processor's time, which other work on
    the machine and a pause of the process hardly change; on a GPU the wall's, up to where the device was waited for.
    "steady" is that of "steady_steps" steps, all but the first ones of each session: those load libraries and record
    graphs.
    """

    def __init__(self, device: torch.device, seconds: Seconds) -> None:
        self._clock = time.perf_counter if device.type == "cuda" else time.process_time
        self._seconds = {"wall": 0.0, "step": 0.0, "steady": 0.0, "steady_steps": 0} | seconds
        self._began = self._started = None
        self._counted: tuple[int, float] | None = None  # steps and seconds where the device was last waited for

    def begin(self) -> None:
        """A turn begins, with a step."""
        self._began, self._started = time.perf_counter(), self._clock()

    def stop(self) -> None:
        """What comes next in this turn is no step."""
        self._seconds["step"] += self._clock() - self._started

    def waited(self, done: int) -> None:
        """By now the device has done what was asked of it, `done` steps in all; called behind `stop`."""
        if self._counted is not None:
            self._seconds["steady_steps"] += done - self._counted[0]
            self._seconds["steady"] += self._seconds["step"] - self._counted[1]
        self._counted = done, self._seconds["step"]

    def end(self) -> None:
        """The turn is over."""
        self._seconds["wall"] += time.perf_counter() - self._began
        self._began = None

    def read(self) -> Seconds:
        under_way = 0.0 if self._began is None else time.perf_counter() - self._began
        return self._seconds | {"wall": self._seconds["wall"] + under_way}
