"""How many runs take turns on a GPU: as many as make all of them together faster, found by trying one more."""

from __future__ import annotations

import time

import torch

# Steps a second must grow by so much for one more run.
_GAIN = 1.1
# A run's first steps load libraries and record its graph; then so long is measured.
_SETTLING_STEPS, _MEASURED_SECONDS = 30, 3.0
# One more must leave so many times what each takes of the device's memory.
_MEMORY = 2.0
_MOST = 32


class Width:
    """`now` runs take turns. What they are told to be, or, where that is None, one on a CPU and on a GPU what pays."""

    def __init__(self, asked: int | None) -> None:
        self.now = 1 if asked is None else asked
        self._tries = asked is None
        self._best = 0.0
        self.restart()

    def restart(self) -> None:
        """More or fewer take turns now: what was measured before does not count."""
        self._steps, self._since = 0, None

    def waited(self, seconds: float) -> None:
        """So long no run took a step. That one ends and the next begins counts: short runs do so all the time."""
        if self._since is not None:
            self._since += seconds

    def stepped(self, device: torch.device, active: int) -> None:
        """One of so many active runs has done a step."""
        if not self._tries or device.type != "cuda" or active < self.now:
            return
        self._steps += 1
        if self._since is None:
            if self._steps >= _SETTLING_STEPS * active:
                self._steps, self._since = 0, time.perf_counter()
            return
        seconds = time.perf_counter() - self._since
        if seconds < _MEASURED_SECONDS:
            return
        rate = self._steps / seconds
        if rate >= _GAIN * self._best and self.now < _MOST and _has_room(device, active):
            self._best, self.now = rate, self.now + 1
        else:
            self._tries = False
            self.now = self.now - 1 if rate < _GAIN * self._best else self.now
        self.restart()


def _has_room(device: torch.device, active: int) -> bool:
    free, whole = torch.cuda.mem_get_info(device)
    return free >= _MEMORY * (whole - free) / active
