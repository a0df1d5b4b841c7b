"""Runs that take turns in one process, step by step: each has the bytes that it has alone.

On a CPU that saves the start of a process; on a GPU small networks overlap, since each run has its own stream.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist

from sagan.code.extensions import Sources
from sagan.data.prepared import PreparedDataset
from sagan.plan import Run
from sagan.store.paths import Paths
from sagan.store.reading import read_run
from sagan.store.types import RunRecord
from sagan.training.devices import device_for
from sagan.training.numerics import set_numerics
from sagan.training.processes import ALONE, Processes, joined
from sagan.training.stopping import StopSignal
from sagan.training.turns import Data, Interrupted, Turns, Under, turns
from sagan.training.width import Width

__all__ = ["Data", "Interrupted", "Job", "train", "train_on", "trained"]

_PATIENCE_SECONDS = 0.5


def train(
    run: Run,
    images: np.ndarray,
    paths: Paths,
    labels: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
    own: Sources | None = None,
) -> RunRecord:
    """Train a run, or go on with it, or return at once what it has left.

    Args:
        images, labels, held_out: as `Data` has them.
        own: the sources of its extension as they were checked; None to read them.

    Returns:
        What `run.json` holds; its status is "finished" or "diverged".

    Raises:
        Interrupted: by a signal, after a checkpoint.
    """
    if not dist.is_torchelastic_launched() and (record := read_run(run.key, paths).record) is not None:
        return record
    data = Data(images, labels, held_out)
    with joined() as processes, StopSignal() as stop:
        for _, outcome in trained([Job(run, lambda: data, own)], paths, stop, processes=processes):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
    raise Interrupted(f"{run.key}: stopped before its first step")


def train_on(run: Run, dataset: PreparedDataset, paths: Paths, own: Sources | None = None) -> RunRecord:
    """`train` on a prepared dataset's training split, with the labels that the variant is given."""
    data = Data.of(run, dataset)
    return train(run, data.images, paths, data.labels, data.held_out, own)


@dataclass(frozen=True)
class Job:
    """A run to be trained, what reads its data, and the sources of its extension as they were checked."""

    run: Run
    data: Callable[[], Data]
    own: Sources | None = None


def trained(
    jobs: list[Job], paths: Paths, stop: StopSignal, together: int | None = 1, processes: Processes = ALONE
) -> Iterator[tuple[Run, RunRecord | Exception]]:
    """Train runs, each with its record, or the exception that ended it, as soon as it ends.

    Once `stop` is asked, those under way end with `Interrupted` behind a checkpoint, and no others begin.

    Args:
        together: how many take turns; None for what `Width` finds.
    """
    waiting, active, width = list(jobs), [], Width(together)
    try:
        while active or (waiting and not stop.asked):
            while waiting and len(active) < width.now and not stop.asked:
                active.append(_UnderWay(waiting.pop(0), paths, Under(stop, processes, shares=together != 1)))
            went_on = False
            for one in list(active):
                one.under.beside = max(one.under.beside, len(active))
                try:
                    if one.turn():
                        went_on = True
                        width.stepped(one.under.device, len(active))
                    continue
                except StopIteration as end:
                    outcome = end.value
                except Exception as error:
                    # Its frames hold the run's tensors.
                    traceback.clear_frames(error.__traceback__)
                    outcome = error
                active.remove(one)
                one.close()
                yield one.run, outcome
                width.restart()
                went_on = True
            if not went_on:
                time.sleep(_PATIENCE_SECONDS)
    finally:
        for one in active:
            one.close()


class _UnderWay:
    """A run between two turns: what of torch's global settings is its own, its device and its stream."""

    def __init__(self, job: Job, paths: Paths, under: Under) -> None:
        self.run, self.under = job.run, under
        self._job, self._paths = job, paths
        self._held = ExitStack()
        self._turns: Turns | None = None
        self._stream: torch.cuda.Stream | None = None

    def turn(self) -> bool:
        if self._turns is None:
            self._begin()
        training = self.run.config["training"]
        torch.set_num_threads(training["threads"])
        set_numerics(training["deterministic"], training["precision"])
        with torch.cuda.stream(self._stream):
            return next(self._turns)

    def _begin(self) -> None:
        device = self._held.enter_context(device_for(self.run.execution, self.run.threads))
        self.under.device, self.under.own = device, self._job.own
        # A run by itself stays on the stream that everything else is on.
        if device.type == "cuda" and self.under.shares:
            self._stream = torch.cuda.Stream(device)
        self._turns = turns(self.run, self._job.data(), self._paths, self.under)

    def close(self) -> None:
        """Give back its lock and its device."""
        if self._turns is not None:
            self._turns.close()  # type: ignore[attr-defined]
        self._held.close()
