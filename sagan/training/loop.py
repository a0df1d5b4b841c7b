"""One run, from its plan to `run.json`: resumable at any moment, and the same bytes however often it was."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sagan.errors import UserError, first_line
from sagan.nn.spectral import folded_state
from sagan.paths import Paths
from sagan.plan import Run
from sagan.progress import progress
from sagan.records import Json, canonical, file_digest, write_json
from sagan.states import run_record
from sagan.tensors import save_tensors
from sagan.training.batches import Noise, RealBatches
from sagan.training.checkpoints import delete_checkpoints, load_checkpoint, save_checkpoint
from sagan.training.devices import device_for
from sagan.training.locks import exclusive
from sagan.training.log import RunLog
from sagan.training.numerics import set_numerics
from sagan.training.processes import Processes, joined
from sagan.training.provenance import now, provenance
from sagan.training.step import Trainer

_STANDING_BATCH_SIZE = 128


class Interrupted(Exception):
    """SIGTERM or SIGINT came: a checkpoint is written, and running again goes on from it."""


@dataclass
class _Position:
    """How far a run has come."""

    step: int = 0
    seconds: float = 0.0
    log_bytes: int = 0
    processes: list[int] = field(default_factory=list)  # how many there were, in each session


def train(run: Run, images: np.ndarray, paths: Paths, labels: np.ndarray | None = None) -> Json:
    """Train a run, or go on with it, or return at once what it has left.

    Args:
        images: the training split, uint8 [N, C, R, R].
        labels: each image's class, int64 [N], where the variant is conditional.

    Returns:
        The content of `run.json`; its status is "finished" or "diverged".

    Raises:
        Interrupted: by a signal, after a checkpoint.
    """
    with joined() as processes:
        if not processes.is_first:
            return _assist(run, images, labels, paths, processes)
        with exclusive(paths.state(run.key) / "lock", run.key):
            processes.wait()
            if (record := run_record(run.key, paths)) is None:
                with device_for(run.execution) as device, _errors_explained(run):
                    record = _train(run, images, labels, paths, device, processes)
            processes.wait()
    # The folder with the lock in it: all that it held is now in the run's own.
    shutil.rmtree(paths.state(run.key), ignore_errors=True)
    return record


@contextmanager
def _errors_explained(run: Run) -> Iterator[None]:
    """What a setting causes and can mend, in one line that names it."""
    training, execution = run.config["training"], run.execution
    try:
        yield
    except torch.OutOfMemoryError:
        raise UserError(
            f"{run.key}: out of GPU memory with execution.jobs_per_gpu = {execution['jobs_per_gpu']} and "
            f"execution.cuda_graph = {str(execution['cuda_graph']).lower()}: fewer jobs, or false, leave the run what "
            f"it is; lower training.batch_size = {training['batch_size']}, or raise training.accumulate = "
            f"{training['accumulate']}, for another run that needs less"
        ) from None
    except Exception as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        raise UserError(
            f"{run.key}: training.compile = true: {first_line(error)}; install a C++ compiler, or say false"
        ) from None


def _assist(run: Run, images: np.ndarray, labels: np.ndarray | None, paths: Paths, processes: Processes) -> Json:
    """What every process but the first does: its part of each step, and no writing."""
    processes.wait()  # until the first one holds the run's lock
    if (record := run_record(run.key, paths)) is None:
        with device_for(run.execution) as device, _errors_explained(run):
            trainer, position = _trainer(run, labels, paths, device, processes)
            _loop(run, images, labels, paths, trainer, None, position)
    processes.wait()  # until the first one has written everything
    return record or run_record(run.key, paths)


def _trainer(
    run: Run, labels: np.ndarray | None, paths: Paths, device: torch.device, processes: Processes
) -> tuple[Trainer, _Position]:
    """As the last checkpoint left it; at the beginning where there is none, or the run's folder lacks what it had."""
    training = run.config["training"]
    parts = processes.count * training["accumulate"]
    if training["batch_size"] % parts:
        raise UserError(
            f"{run.key}: training.batch_size = {training['batch_size']} does not divide into {processes.count} "
            f"processes x training.accumulate = {training['accumulate']}; start a number of processes that does"
        )
    set_numerics(training)
    trainer = Trainer(run.config, device, labels, processes, run.execution["cuda_graph"], run.key)
    checkpoint = load_checkpoint(paths.state(run.key), device)
    lacking = checkpoint and _lacking(paths.run(run.key), training["snapshots"], checkpoint[1])
    if lacking and processes.is_first:
        step = checkpoint[1]["step"]
        print(f"{run.key}: {lacking}, so it starts at step 0 and not at its checkpoint of step {step}", file=sys.stderr)
    # All decide alike, and before the first one clears anything away.
    if processes.any(checkpoint is None or lacking is not None):
        return trainer, _Position(processes=[processes.count])
    tensors, saved = checkpoint
    trainer.load_state(tensors)
    counts = sorted({*saved["processes"], processes.count})
    return trainer, _Position(saved["step"], saved["seconds"], saved["log_bytes"], counts)


def _lacking(folder: Path, snapshots: Sequence[int], saved: Json) -> str | None:
    """What a run's folder has not that was there when a checkpoint was saved; None where all is there."""
    due = [_snapshot(folder, step) for step in snapshots if step <= saved["step"]]
    if missing := [path for path in due if not path.exists()]:
        return f"{missing[0]} is missing"
    log = folder / "log.jsonl"
    return None if log.exists() and log.stat().st_size >= saved["log_bytes"] else f"{log} lacks lines"


def _train(
    run: Run, images: np.ndarray, labels: np.ndarray | None, paths: Paths, device: torch.device, processes: Processes
) -> Json:
    started = now()
    folder, training = paths.run(run.key), run.config["training"]
    # Files of a torn copy must not stand for what is made now.
    (folder / "run.json").unlink(missing_ok=True)
    trainer, position = _trainer(run, labels, paths, device, processes)
    if position.step == 0:
        shutil.rmtree(folder, ignore_errors=True)
        delete_checkpoints(paths.state(run.key))
        _save_snapshot(trainer, run, folder, 0)
    log = RunLog(folder / "log.jsonl", position.log_bytes)
    diverged_at = _loop(run, images, labels, paths, trainer, log, position)
    log.close()
    if diverged_at is None:
        _save_network(_measured_state(trainer, run), folder / "generator.safetensors", run.config)
        _save_network(folded_state(trainer.discriminator), folder / "discriminator.safetensors", run.config)
    record = {
        "key": run.key,
        "variant": run.variant,
        "seed": run.seed,
        "dataset": run.dataset,
        "dataset_digest": run.dataset_digest,
        "code": run.code,
        "config": run.config,
        "execution": run.execution,
        "status": "finished" if diverged_at is None else "diverged",
        "diverged_at": diverged_at,
        "reason": None if diverged_at is None else f"a loss or weight was not finite at step {diverged_at}",
        "steps": position.step,
        "images": position.step * training["batch_size"],
        "seconds": round(position.seconds, 3),
        "images_per_second": round(position.step * training["batch_size"] / position.seconds, 1),
        "parameters": {
            "generator": _parameter_count(trainer.generator),
            "discriminator": _parameter_count(trainer.discriminator),
        },
        "files": {
            path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
        "provenance": provenance(device, started) | {"processes": position.processes},
    }
    write_json(folder / "run.json", record)
    return record


def _loop(
    run: Run,
    images: np.ndarray,
    labels: np.ndarray | None,
    paths: Paths,
    trainer: Trainer,
    log: RunLog | None,
    position: _Position,
) -> int | None:
    """Step to the end of the budget; returns the step of divergence, or None. Without a log, nothing is written."""
    training, execution = run.config["training"], run.execution
    steps, batch_size = training["steps"], training["batch_size"]
    device, processes = trainer.device, trainer.processes
    real = RealBatches(images, batch_size, run.seed, training["horizontal_flip"], device, labels)
    noise = Noise(batch_size, trainer.generator.z_dim, run.seed, "z", device)
    # The first step whose losses are not finite, kept on the device: looking costs nothing there.
    bad_step = torch.full((), -1, device=device)
    stop = _StopSignal()
    began = time.perf_counter() - position.seconds
    with stop, progress(run.key, steps, position.step, batch_size, shown=log is not None) as update:
        while position.step < steps:
            step = position.step + 1
            scalars = trainer.step(step, real, noise)
            finite = torch.isfinite(scalars["loss_d"] + scalars["loss_g"])
            bad_step = torch.where(finite | (bad_step >= 0), bad_step, step)
            position.step = step

            is_asked = processes.any(stop.asked)
            is_snapshot = step in training["snapshots"]
            is_checkpoint = step % execution["checkpoint_every"] == 0 or is_asked
            is_logged = step % execution["log_every"] == 0 or step == steps
            if is_logged:
                processes.mean_(list(scalars.values()))
            if is_logged or is_snapshot or is_checkpoint:
                bad = processes.earliest(int(bad_step))
                diverged = bad >= 0 or not trainer.weights_finite()
                # By now the device has done what was asked of it.
                position.seconds = time.perf_counter() - began
                if is_logged and log is not None:
                    log.add(step, step * batch_size, position.seconds, scalars | trainer.diagnostics())
                if diverged:
                    return bad if bad >= 0 else step
                update(step)
            if is_snapshot and log is not None:
                _save_snapshot(trainer, run, paths.run(run.key), step)
            if is_checkpoint and step < steps:
                if log is not None:
                    record = {"seconds": position.seconds, "log_bytes": log.size(), "processes": position.processes}
                    save_checkpoint(paths.state(run.key), step, trainer.state(), record)
                if is_asked:
                    processes.wait()  # torchrun gives the rest little time once one has left
                    raise Interrupted(f"{run.key}: stopped at step {step} of {steps}; run it again to go on")
    return None


class _StopSignal:
    """While it is entered, SIGTERM and SIGINT only set `asked`, so that a step is never cut in two."""

    def __enter__(self) -> _StopSignal:
        self.asked = False
        self._previous = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        self.asked = True


def _save_snapshot(trainer: Trainer, run: Run, folder: Path, step: int) -> None:
    _save_network(_measured_state(trainer, run), _snapshot(folder, step), run.config)


def _snapshot(folder: Path, step: int) -> Path:
    return folder / "snapshots" / f"{step:06d}.safetensors"


def _measured_state(trainer: Trainer, run: Run) -> dict[str, Tensor]:
    noise = Noise(_STANDING_BATCH_SIZE, trainer.generator.z_dim, run.seed, "standing statistics", trainer.device)
    return trainer.ema.measured_state(noise)


def _save_network(state: dict[str, Tensor], path: Path, config: Json) -> None:
    """Plain weights with what is needed to build the network around them."""
    save_tensors(path, state, {"config": canonical({"variant": config["variant"], "image": config["image"]})})


def _parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
