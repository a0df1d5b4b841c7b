"""Runs that take turns in one process, step by step: each has the bytes that it has alone.

On a CPU that saves the start of a process; on a GPU small networks overlap, since each run has its own stream.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist

from sagan.data.prepared import PreparedDataset
from sagan.plan import Run
from sagan.store.paths import Paths
from sagan.store.reading import read_run
from sagan.store.types import RunRecord
from sagan.training.devices import device_for
from sagan.training.graphs import CaptureFailed
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
) -> RunRecord:
    """Train a run, or go on with it, or return at once what it has left.

    Args:
        images, labels, held_out: as `Data` has them.

    Returns:
        What `run.json` holds; its status is "finished" or "diverged".

    Raises:
        Interrupted: by a signal, after a checkpoint.
    """
    if not dist.is_torchelastic_launched() and (record := read_run(run.key, paths).record) is not None:
        return record
    data = Data(images, labels, held_out)
    with joined() as processes, StopSignal() as stop:
        for _, outcome in trained([Job(run, lambda: data)], paths, stop, processes=processes):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
    raise Interrupted(f"{run.key}: stopped before its first step")


def train_on(run: Run, dataset: PreparedDataset, paths: Paths) -> RunRecord:
    """`train` on a prepared dataset's training split, with the labels that the variant is given."""
    data = Data.of(run, dataset)
    return train(run, data.images, paths, data.labels, data.held_out)


@dataclass(frozen=True)
class Job:
    """A run to be trained, and what reads its data."""

    run: Run
    data: Callable[[], Data]


def trained(
    jobs: list[Job], paths: Paths, stop: StopSignal, together: int | None = 1, processes: Processes = ALONE
) -> Iterator[tuple[Run, RunRecord | Exception]]:
    """Train runs, each with its record, or the exception that ended it, as soon as it ends.

    Once `stop` is asked, those under way end with `Interrupted` behind a checkpoint, and no others begin.

    After a `CaptureFailed` the others end where they are, at their last checkpoints.

    Args:
        together: how many take turns; None for what `Width` finds.
    """
    waiting, width = list(jobs), Width(together)
    active: list[tuple[Run, Under, Turns]] = []
    try:
        while active or (waiting and not stop.asked):
            while waiting and len(active) < width.now and not stop.asked:
                job, under = waiting.pop(0), Under(stop, processes, shares=together != 1)
                active.append((job.run, under, _on_its_device(job, paths, under)))
            went_on = False
            for one in list(active):
                run, under, steps = one
                under.beside = max(under.beside, len(active))
                try:
                    if next(steps):
                        went_on = True
                        width.stepped(under.device, len(active))
                    continue
                except StopIteration as end:
                    outcome = end.value
                except Exception as error:
                    # Its frames hold the run's tensors.
                    traceback.clear_frames(error.__traceback__)
                    outcome = error
                active.remove(one)
                began = time.perf_counter()
                yield run, outcome
                if isinstance(outcome, CaptureFailed):
                    return  # nothing more can be done on this device in this process
                width.waited(time.perf_counter() - began)
                went_on = True
            if not went_on:
                time.sleep(_PATIENCE_SECONDS)
    finally:
        for _, _, steps in active:
            steps.close()  # gives back its lock and its device


def _on_its_device(job: Job, paths: Paths, under: Under) -> Turns:
    """`turns` of a job, each with what of torch's global settings is the run's own, on its device and its stream."""
    training = job.run.config["training"]
    with ExitStack() as held:
        with under.stop.at_once(Interrupted(f"{job.run.key}: stopped before its first step; run it again to go on")):
            under.device = device = held.enter_context(device_for(job.run.execution, job.run.threads))
        # A run by itself stays on the stream that everything else is on.
        stream = torch.cuda.Stream(device) if device.type == "cuda" and under.shares else None
        with closing(turns(job.run, job.data(), paths, under)) as steps:
            while True:
                torch.set_num_threads(training["threads"])
                set_numerics(training["deterministic"], training["precision"])
                try:
                    with torch.cuda.stream(stream):
                        went_on = next(steps)
                except StopIteration as end:
                    return end.value
                yield went_on
