"""Runs that take turns in one process, step by step: each has the bytes that it has alone.

On a CPU that saves the start of a process; on a GPU small networks overlap, since each run has its own stream.
"""

import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing

import torch
import torch.distributed as dist

from sagan.plan import Run
from sagan.store.paths import Paths
from sagan.store.reading import read_run
from sagan.store.types import RunRecord
from sagan.training.devices import device_for, set_numerics
from sagan.training.graphs import CaptureFailed
from sagan.training.processes import ALONE, Processes, joined
from sagan.training.stopping import StopSignal
from sagan.training.turns import Data, Interrupted, UnderWay

_PATIENCE_SECONDS = 0.5
# One more run takes turns on a GPU where steps a second grow by so much.
_GAIN = 1.1
# A run's first steps load libraries and record its graph; then so long is measured.
_SETTLING_STEPS, _MEASURED_SECONDS = 30, 3.0
# One more must leave so many times what each takes of the device's memory.
_MEMORY = 2.0
_MOST = 32


def train(run: Run, data: Data, paths: Paths) -> RunRecord:
    """Train a run, or go on with it, or return at once what it has left in `run.json`.

    Raises:
        Interrupted: by a signal, after a checkpoint.
    """
    if not dist.is_torchelastic_launched() and (record := read_run(run.key, paths).record) is not None:
        return record
    with joined() as processes, StopSignal() as stop:
        for _, outcome in trained([run], lambda _: data, paths, stop, processes=processes):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
    raise Interrupted(f"{run.key}: stopped before its first step")


def trained(
    runs: Sequence[Run],
    read: Callable[[Run], Data],
    paths: Paths,
    stop: StopSignal,
    together: int | None = 1,
    processes: Processes = ALONE,
) -> Iterator[tuple[Run, RunRecord | Exception]]:
    """Train runs, each with its record, or the exception that ended it, as soon as it ends.

    Once `stop` is asked, those under way end with `Interrupted` behind a checkpoint, and no others begin. After a
    `CaptureFailed` the others end where they are, at their last checkpoints.

    Args:
        read: gives a run's data, once it has its device.
        together: how many take turns; None for what `Width` finds.
    """
    waiting, width = list(runs), Width(together)
    active: list[tuple[UnderWay, Generator[bool, None, RunRecord]]] = []
    try:
        while active or (waiting and not stop.asked):
            while waiting and len(active) < width.now and not stop.asked:
                one = UnderWay(waiting.pop(0), paths, stop, processes, shares=together != 1)
                active.append((one, _on_its_device(one, read)))
            went_on = False
            for one, turns in list(active):
                one.beside = max(one.beside, len(active))
                try:
                    if next(turns):
                        went_on = True
                        width.stepped(one.device, len(active))
                    continue
                except StopIteration as end:
                    outcome = end.value
                except Exception as error:
                    # Its frames hold the run's tensors.
                    traceback.clear_frames(error.__traceback__)
                    outcome = error
                active.remove((one, turns))
                began = time.perf_counter()
                yield one.run, outcome
                if isinstance(outcome, CaptureFailed):
                    return  # nothing more can be done on this device in this process
                width.waited(time.perf_counter() - began)
                went_on = True
            if not went_on:
                time.sleep(_PATIENCE_SECONDS)
    finally:
        for _, turns in active:
            turns.close()  # gives back its lock and its device


def _on_its_device(one: UnderWay, read: Callable[[Run], Data]) -> Generator[bool, None, RunRecord]:
    """A run's turns, each with what of torch's global settings is the run's own, on its device and its stream."""
    run, training = one.run, one.run.config["training"]
    with ExitStack() as held:
        with one.stop.at_once(Interrupted(f"{run.key}: stopped before its first step; run it again to go on")):
            one.device = held.enter_context(device_for(run.execution, run.threads))
        # A run by itself stays on the stream that everything else is on.
        stream = torch.cuda.Stream(one.device) if one.device.type == "cuda" and one.shares else None
        with closing(one.turns(read(run))) as turns:
            while True:
                torch.set_num_threads(run.threads)
                set_numerics(training["deterministic"], training["precision"])
                try:
                    with torch.cuda.stream(stream):
                        went_on = next(turns)
                except StopIteration as end:
                    return end.value
                yield went_on


class Width:
    """`now` runs take turns: as many as asked; without that one on a CPU, and on a GPU as many as make all faster."""

    def __init__(self, asked: int | None) -> None:
        self.now = 1 if asked is None else asked
        self._tries = asked is None
        self._best = 0.0
        self._restart()

    def _restart(self) -> None:
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
        free, whole = torch.cuda.mem_get_info(device)
        pays, has_room = rate >= _GAIN * self._best, free >= _MEMORY * (whole - free) / active
        self._tries = pays and has_room and self.now < _MOST
        self._best = rate
        if self._tries:
            self.now += 1
        elif not pays:
            self.now -= 1
        self._restart()
