"""One run, from its plan to `run.json`: resumable at any moment, and the same bytes however often it was."""

from __future__ import annotations

import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sagan.errors import UserError
from sagan.nn.spectral import folded_state
from sagan.paths import Paths
from sagan.plan import Run
from sagan.records import Json, canonical, file_digest, write_json
from sagan.states import run_record
from sagan.tensors import save_tensors
from sagan.training.batches import Noise, RealBatches
from sagan.training.checkpoints import load_checkpoint, save_checkpoint
from sagan.training.devices import device_for
from sagan.training.locks import exclusive
from sagan.training.log import RunLog
from sagan.training.progress import progress
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
    with exclusive(paths.state(run.key) / "lock", run.key):
        if (record := run_record(run.key, paths)) is not None:
            return record
        with device_for(run.execution) as device:
            record = _train(run, images, labels, paths, device)
    # The folder with the lock in it: all that it held is now in the run's own.
    shutil.rmtree(paths.state(run.key), ignore_errors=True)
    return record


def _train(run: Run, images: np.ndarray, labels: np.ndarray | None, paths: Paths, device: torch.device) -> Json:
    started = now()
    folder, training = paths.run(run.key), run.config["training"]
    # Files of a torn copy must not stand for what is made now.
    (folder / "run.json").unlink(missing_ok=True)
    trainer = Trainer(run.config, device, labels)
    position = _Position()
    if (checkpoint := load_checkpoint(paths.state(run.key), device)) is not None:
        tensors, saved = checkpoint
        trainer.load_state(tensors)
        position = _Position(saved["step"], saved["seconds"], saved["log_bytes"])
    elif folder.exists():
        shutil.rmtree(folder)
    log = RunLog(folder / "log.jsonl", position.log_bytes)
    if position.step == 0:
        _save_snapshot(trainer, run, folder, 0)
    diverged_at = _loop(run, images, labels, paths, device, trainer, log, position)
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
        "provenance": provenance(device, started),
    }
    write_json(folder / "run.json", record)
    return record


def _loop(
    run: Run,
    images: np.ndarray,
    labels: np.ndarray | None,
    paths: Paths,
    device: torch.device,
    trainer: Trainer,
    log: RunLog,
    position: _Position,
) -> int | None:
    """Step to the end of the budget; returns the step of divergence, or None."""
    training, execution = run.config["training"], run.config["training"] | run.execution
    steps, batch_size = training["steps"], training["batch_size"]
    real = RealBatches(images, batch_size, run.seed, training["horizontal_flip"], device, labels)
    noise = Noise(batch_size, trainer.generator.z_dim, run.seed, "z", device)
    # The first step whose losses are not finite, kept on the device: looking costs nothing there.
    bad_step = torch.full((), -1, device=device)
    stop = _StopSignal()
    began = time.perf_counter() - position.seconds
    with stop, progress(run.key, steps, position.step, batch_size) as update:
        while position.step < steps:
            step = position.step + 1
            try:
                scalars = trainer.step(step, real, noise)
            except torch.OutOfMemoryError:
                raise UserError(
                    f"{run.key}: out of GPU memory at training.batch_size = {batch_size} with "
                    f"execution.jobs_per_gpu = {execution['jobs_per_gpu']}; lower one of them"
                ) from None
            finite = torch.isfinite(scalars["loss_d"] + scalars["loss_g"])
            bad_step = torch.where(finite | (bad_step >= 0), bad_step, step)
            position.step = step
            position.seconds = time.perf_counter() - began

            is_snapshot = step in training["snapshots"]
            is_checkpoint = step % execution["checkpoint_every"] == 0 or stop.asked
            is_logged = step % execution["log_every"] == 0 or step == steps
            if is_logged:
                log.add(step, step * batch_size, position.seconds, scalars | trainer.diagnostics())
            if is_logged or is_snapshot or is_checkpoint:
                if (bad := int(bad_step)) >= 0 or not trainer.weights_finite():
                    return bad if bad >= 0 else step
                update(step)
            if is_snapshot:
                _save_snapshot(trainer, run, paths.run(run.key), step)
            if is_checkpoint and step < steps:
                log.flush()
                record = {"seconds": position.seconds, "log_bytes": log.size()}
                save_checkpoint(paths.state(run.key), step, trainer.state(), record)
                if stop.asked:
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
    _save_network(_measured_state(trainer, run), folder / "snapshots" / f"{step:06d}.safetensors", run.config)


def _measured_state(trainer: Trainer, run: Run) -> dict[str, Tensor]:
    device = next(trainer.ema.network.parameters()).device
    noise = Noise(_STANDING_BATCH_SIZE, trainer.generator.z_dim, run.seed, "standing statistics", device)
    return trainer.ema.measured_state(noise)


def _save_network(state: dict[str, Tensor], path: Path, config: Json) -> None:
    """Plain weights with what is needed to build the network around them."""
    save_tensors(path, state, {"config": canonical({"variant": config["variant"], "image": config["image"]})})


def _parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
