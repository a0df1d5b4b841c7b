"""One run, from its plan to `run.json`: resumable at any moment, and the same bytes however often it was.

It is carried out turn by turn, a step each, so that several runs can share a process (`sagan.training.loop`).
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sagan.code.extensions import keep_with_run, load_extension
from sagan.data.prepared import PreparedDataset, class_labels
from sagan.errors import UserError, first_line
from sagan.plan import Run, check_code
from sagan.progress import progress
from sagan.store.locks import lock_of, release, waited_for
from sagan.store.paths import Paths
from sagan.store.reading import read_run
from sagan.store.records import Json, canonical, kept_files, write_json
from sagan.store.tensors import save_tensors
from sagan.store.types import RunRecord
from sagan.training.checkpoints import load_checkpoint, save_checkpoint
from sagan.training.clock import Seconds, StepClock
from sagan.training.diagnostics import diagnostics, mean_score, weights_finite
from sagan.training.engine import Session
from sagan.training.log import RunLog
from sagan.training.processes import ALONE, Processes
from sagan.training.provenance import Beginning, provenance
from sagan.training.stopping import StopSignal

# What a turn comes to: False where there was nothing to be done but to wait for another process.
Turns = Generator[bool, None, Any]
_CPU = torch.device("cpu")


class Interrupted(Exception):
    """A signal came: a checkpoint is written, and running again goes on from it."""


@dataclass(frozen=True)
class Data:
    """What a run is trained on.

    Attributes:
        images: the training split, uint8 [N, C, R, R].
        labels: each image's class, int64 [N], where the variant is conditional.
        held_out: images that it is not trained on, uint8 [M, C, R, R]: the discriminator's score of them is logged.
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    held_out: np.ndarray | None = None

    @classmethod
    def of(cls, run: Run, dataset: PreparedDataset) -> Data:
        """A prepared dataset's training split, with the labels that the variant is given.

        Planning has seen that the dataset has them.
        """
        images, labels = dataset.split("train")
        condition = run.config["variant"]["condition"]
        given = condition and class_labels(labels, dataset.manifest, condition)
        return cls(images, given, dataset.split("test")[0])


@dataclass
class _Position:
    """What a checkpoint says beside the state."""

    log_bytes: int = 0
    seconds: Seconds = field(default_factory=dict)
    processes: list[int] = field(default_factory=list)  # how many there were, in each session


@dataclass
class Under:
    """How a run is carried out.

    Attributes:
        stop: says when to write a checkpoint and leave.
        processes: those that share every batch.
        device: which it computes on.
        shares: whether other runs may take turns in this process.
        beside: how many did at most, this one among them.
    """

    stop: StopSignal
    processes: Processes = ALONE
    device: torch.device = _CPU
    shares: bool = False
    beside: int = 1


def turns(run: Run, data: Data, paths: Paths, under: Under) -> Turns:
    """Train a run, or go on with it, or see that it is there.

    Yields:
        At each turn, which is a step.

    Returns:
        What `run.json` holds; its status is "finished" or "diverged".

    Raises:
        Interrupted: by a signal, after a checkpoint.
    """
    processes, lock = under.processes, None
    if processes.is_first:
        for lock in waited_for(lock_of(paths.run(run.key)), run.key):
            if lock is None:
                if under.stop.asked:
                    raise Interrupted(f"{run.key}: stopped while another process has it")
                yield False
    try:
        processes.wait()  # until the first one holds the run's lock
        if (record := read_run(run.key, paths).record) is None:
            with _errors_explained(run, under):
                record = yield from _train(run, data, paths, under)
        processes.wait()  # until the first one has written everything
        if processes.is_first:
            shutil.rmtree(paths.state(run.key), ignore_errors=True)
        return record or read_run(run.key, paths).record
    finally:
        if lock is not None:
            release(lock)


@contextmanager
def _errors_explained(run: Run, under: Under) -> Iterator[None]:
    """What a setting causes and can mend, in one line that names it."""
    training, execution = run.config["training"], run.execution
    try:
        yield
    except torch.OutOfMemoryError:
        raise UserError(
            f"{run.key}: out of GPU memory with {under.beside} runs at once (execution.together) and "
            f"execution.cuda_graph = {str(execution['cuda_graph']).lower()}: fewer runs, or false, leave the run what "
            f"it is; lower training.batch_size = {training['batch_size']}, or raise training.accumulate = "
            f"{training['accumulate']}, for another run that needs less"
        ) from None
    except Exception as error:
        if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
            raise UserError(
                f"{run.key}: out of memory; lower training.batch_size = {training['batch_size']} or the networks' "
                "width in params.yaml"
            ) from None
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        raise UserError(
            f"{run.key}: training.compile = true: {first_line(error)}; install a C++ compiler, or say false"
        ) from None


def _own_code(run: Run, paths: Paths) -> ModuleType | None:
    """A run's extension: the very bytes that the plan's code was hashed over."""
    return None if run.typed.variant.extension is None else load_extension(check_code(run, paths))


def _session(
    run: Run, data: Data, paths: Paths, under: Under, own: ModuleType | None = None
) -> tuple[Session, _Position]:
    """As the last checkpoint left it; at the beginning where there is none, or the run's folder lacks what it had."""
    training, device, processes = run.config["training"], under.device, under.processes
    if training["batch_size"] % (processes.count * training["accumulate"]):
        raise UserError(
            f"{run.key}: training.batch_size = {training['batch_size']} does not divide into {processes.count} "
            f"processes x training.accumulate = {training['accumulate']}; start a number of processes that does"
        )
    graphs = run.execution["cuda_graph"]
    session = Session(run.typed, data.images, device, data.labels, processes, graphs, run.key, own)
    checkpoint = load_checkpoint(paths.state(run.key), device)
    lacking = checkpoint and _lacking(paths.run(run.key), training["snapshots"], checkpoint[1])
    if lacking and processes.is_first:
        step = checkpoint[1]["step"]
        print(f"{run.key}: {lacking}, so it starts at step 0 and not at its checkpoint of step {step}", file=sys.stderr)
    # All decide alike, and before the first one clears anything away.
    if processes.any(checkpoint is None or lacking is not None):
        return session, _Position(processes=[processes.count])
    tensors, saved = checkpoint
    session.load_state(tensors, saved["step"])
    counts = sorted({*saved["processes"], processes.count})
    return session, _Position(saved["log_bytes"], saved["seconds"], counts)


def _lacking(folder: Path, snapshots: Sequence[int], saved: Json) -> str | None:
    """What a run's folder has not that was there when a checkpoint was saved; None where all is there."""
    due = [_snapshot(folder, step) for step in snapshots if step <= saved["step"]]
    if missing := [path for path in due if not path.exists()]:
        return f"{missing[0]} is missing"
    log = folder / "log.jsonl"
    return None if log.exists() and log.stat().st_size >= saved["log_bytes"] else f"{log} lacks lines"


def _train(run: Run, data: Data, paths: Paths, under: Under) -> Turns:
    """Of several processes, all but the first do their part of each step and write nothing, and return None."""
    beginning = Beginning()
    folder, training, writes = paths.run(run.key), run.config["training"], under.processes.is_first
    if writes:
        # Files of a torn copy must not stand for what is made now.
        (folder / "run.json").unlink(missing_ok=True)
    own = _own_code(run, paths)
    session, position = _session(run, data, paths, under, own)
    if not writes:
        yield from _carry_out(run, session, data, paths, None, position, under)
        return None
    if session.done == 0:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(paths.state(run.key), ignore_errors=True)
        if own is not None:
            keep_with_run(own.__sources__, folder)
        _save_snapshot(session, folder)
    log = RunLog(folder / "log.jsonl", position.log_bytes)
    diverged_at = yield from _carry_out(run, session, data, paths, log, position, under)
    log.close()
    if diverged_at is None:
        _save_network(session, session.generator_state(), folder / "generator.safetensors")
        _save_network(session, session.discriminator_state(), folder / "discriminator.safetensors")
    images, seconds = session.done * training["batch_size"], position.seconds
    networks = {"generator": session.trainer.generator, "discriminator": session.trainer.discriminator}
    # Of all of a CPU's threads together.
    each = 1 if under.device.type == "cuda" else training["threads"]
    record = RunRecord(
        key=run.key,
        variant=run.variant,
        seed=run.seed,
        dataset=run.dataset,
        dataset_digest=run.dataset_digest,
        code=run.code,
        config=run.config,
        execution=run.execution,
        status="finished" if diverged_at is None else "diverged",
        diverged_at=diverged_at,
        reason=None if diverged_at is None else f"a loss or weight was not finite at step {diverged_at}",
        steps=session.done,
        images=images,
        seconds=round(seconds["wall"], 3),
        step_seconds=round(seconds["step"], 3),
        steady_seconds=round(seconds["steady"], 3),
        steady_steps=seconds["steady_steps"],
        images_per_second=round(each * images / seconds["step"], 1),
        parameters={role: sum(p.numel() for p in network.parameters()) for role, network in networks.items()},
        files=kept_files(folder),
        provenance=provenance(under.device, beginning) | {"processes": position.processes, "together": under.beside},
    )
    write_json(folder / "run.json", record.content())
    return record


def _carry_out(
    run: Run, session: Session, data: Data, paths: Paths, log: RunLog | None, position: _Position, under: Under
) -> Turns:
    """Step to the end of the budget; returns the step of divergence, or None. Without a log, nothing is written."""
    training, execution, processes = run.config["training"], run.execution, under.processes
    steps, batch_size = training["steps"], training["batch_size"]
    clock, saved_at = StepClock(under.device, position.seconds), time.monotonic()
    shown = progress(run.key, steps, session.done, batch_size, shown=log is not None, alone=not under.shares)
    with shown as update:
        clock.begin()
        for scalars in session.steps():
            step = session.done
            is_late = time.monotonic() - saved_at >= execution["checkpoint_seconds"]
            is_asked, is_late = processes.any(under.stop.asked), processes.any(is_late)
            is_due = execution["checkpoint_every"] is not None and step % execution["checkpoint_every"] == 0
            is_checkpoint = is_late or is_due or is_asked
            is_logged = step % execution["log_every"] == 0 or step == steps or session.at_snapshot
            if is_logged or is_checkpoint:
                if is_logged:
                    processes.mean_(list(scalars.values()))
                bad = processes.earliest(int(session.bad_step))
                diverged = bad >= 0 or not weights_finite(session.trainer)
                # By now the device has done what was asked of it.
                clock.stop()
                clock.waited(step)
                position.seconds = clock.read()
                if is_logged and log is not None:
                    scores = _scores(session, data) if session.at_snapshot and not diverged else {}
                    log.add(step, step * batch_size, position.seconds, scalars | diagnostics(session.trainer) | scores)
                if diverged:
                    return bad if bad >= 0 else step
                update(step)
                if session.at_snapshot and log is not None:
                    _save_snapshot(session, paths.run(run.key))
                if is_checkpoint and step < steps:
                    if log is not None:
                        saved = {"seconds": clock.read(), "log_bytes": log.size(), "processes": position.processes}
                        save_checkpoint(paths.state(run.key), step, session.state(), saved)
                    saved_at = time.monotonic()
                    if is_asked:
                        processes.wait()  # torchrun gives the rest little time once one has left
                        raise Interrupted(f"{run.key}: stopped at step {step} of {steps}; run it again to go on")
            else:
                clock.stop()
            clock.end()
            yield True
            clock.begin()
    return None


def _scores(session: Session, data: Data) -> dict[str, Tensor]:
    """What the discriminator says of images that it was trained on, and of others: does it memorise?"""
    if data.held_out is None:
        return {}
    images = {"score_train": data.images, "score_held_out": data.held_out}
    return {name: mean_score(session.trainer, side) for name, side in images.items()}


def _save_snapshot(session: Session, folder: Path) -> None:
    _save_network(session, session.generator_state(), _snapshot(folder, session.done))


def _snapshot(folder: Path, step: int) -> Path:
    return folder / "snapshots" / f"{step:06d}.safetensors"


def _save_network(session: Session, state: dict[str, Tensor], path: Path) -> None:
    """Plain weights with what is needed to build the network around them."""
    save_tensors(path, state, {"config": canonical(session.config.networks())})
