"""One run, from its plan to `run.json`: resumable at any moment, and the same bytes however often it was."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from sagan.code.extensions import keep_with_run, load_extension
from sagan.data.conditions import class_labels
from sagan.data.prepared import PreparedDataset
from sagan.errors import UserError, first_line
from sagan.plan import Run
from sagan.progress import progress
from sagan.store.paths import Paths
from sagan.store.reading import read_run
from sagan.store.records import Json, canonical, file_digest, write_json
from sagan.store.tensors import save_tensors
from sagan.store.types import RunRecord
from sagan.training.checkpoints import delete_checkpoints, load_checkpoint, save_checkpoint
from sagan.training.clock import StepClock
from sagan.training.devices import device_for
from sagan.training.diagnostics import diagnostics, mean_score, weights_finite
from sagan.training.engine import Session
from sagan.training.locks import exclusive
from sagan.training.log import RunLog
from sagan.training.processes import Processes, joined
from sagan.training.provenance import now, provenance


class Interrupted(Exception):
    """SIGTERM or SIGINT came: a checkpoint is written, and running again goes on from it."""


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


@dataclass
class _Position:
    """What a checkpoint says beside the state."""

    log_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"wall": 0.0, "step": 0.0})
    processes: list[int] = field(default_factory=list)  # how many there were, in each session


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
    data = Data(images, labels, held_out)
    with joined() as processes:
        if not processes.is_first:
            return _assist(run, data, paths, processes)
        with exclusive(paths.state(run.key) / "lock", run.key):
            processes.wait()
            if (record := read_run(run.key, paths).record) is None:
                with _device(run) as device, _errors_explained(run):
                    record = _train(run, data, paths, device, processes)
            processes.wait()
    # The folder with the lock in it: all that it held is now in the run's own.
    shutil.rmtree(paths.state(run.key), ignore_errors=True)
    return record


def train_on(run: Run, dataset: PreparedDataset, paths: Paths) -> RunRecord:
    """`train` on a prepared dataset's training split, with the labels that the variant is given.

    Planning has seen that the dataset has them.
    """
    images, labels = dataset.split("train")
    condition = run.config["variant"]["condition"]
    given = condition and class_labels(labels, dataset.manifest, condition)
    return train(run, images, paths, given, held_out=dataset.split("test")[0])


def _device(run: Run):
    return device_for(run.execution, run.threads)


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


def _assist(run: Run, data: Data, paths: Paths, processes: Processes) -> RunRecord:
    """What every process but the first does: its part of each step, and no writing."""
    processes.wait()  # until the first one holds the run's lock
    if (record := read_run(run.key, paths).record) is None:
        with _device(run) as device, _errors_explained(run):
            session, position = _session(run, data, paths, device, processes)
            _carry_out(run, session, data, paths, None, position)
    processes.wait()  # until the first one has written everything
    return record or read_run(run.key, paths).record


def _own_code(run: Run, paths: Paths) -> ModuleType | None:
    extension = run.typed.variant.extension
    if extension is None:
        return None
    return load_extension(paths.root / extension.file, f"{paths.params}: variants.{run.variant}.extension.file")


def _session(
    run: Run, data: Data, paths: Paths, device: torch.device, processes: Processes
) -> tuple[Session, _Position]:
    """As the last checkpoint left it; at the beginning where there is none, or the run's folder lacks what it had."""
    training = run.config["training"]
    if training["batch_size"] % (processes.count * training["accumulate"]):
        raise UserError(
            f"{run.key}: training.batch_size = {training['batch_size']} does not divide into {processes.count} "
            f"processes x training.accumulate = {training['accumulate']}; start a number of processes that does"
        )
    own, graphs = _own_code(run, paths), run.execution["cuda_graph"]
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


def _train(run: Run, data: Data, paths: Paths, device: torch.device, processes: Processes) -> RunRecord:
    started = now()
    folder, training = paths.run(run.key), run.config["training"]
    # Files of a torn copy must not stand for what is made now.
    (folder / "run.json").unlink(missing_ok=True)
    session, position = _session(run, data, paths, device, processes)
    if session.done == 0:
        shutil.rmtree(folder, ignore_errors=True)
        delete_checkpoints(paths.state(run.key))
        if (extension := session.config.variant.extension) is not None:
            keep_with_run(paths.root / extension.file, folder, paths)
        _save_snapshot(session, folder)
    log = RunLog(folder / "log.jsonl", position.log_bytes)
    diverged_at = _carry_out(run, session, data, paths, log, position)
    log.close()
    if diverged_at is None:
        _save_network(session, session.generator_state(), folder / "generator.safetensors")
        _save_network(session, session.discriminator_state(), folder / "discriminator.safetensors")
    images, wall = session.done * training["batch_size"], position.seconds["wall"]
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
        seconds=round(wall, 3),
        step_seconds=round(position.seconds["step"], 3),
        images_per_second=round(images / wall, 1),
        parameters={
            "generator": _parameter_count(session.trainer.generator),
            "discriminator": _parameter_count(session.trainer.discriminator),
        },
        files={
            path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
        provenance=provenance(device, started) | {"processes": position.processes},
    )
    write_json(folder / "run.json", record.content())
    return record


def _carry_out(
    run: Run, session: Session, data: Data, paths: Paths, log: RunLog | None, position: _Position
) -> int | None:
    """Step to the end of the budget; returns the step of divergence, or None. Without a log, nothing is written."""
    training, execution = run.config["training"], run.execution
    steps, batch_size = training["steps"], training["batch_size"]
    processes = session.trainer.processes
    stop, clock = _StopSignal(), StepClock(session.trainer.device, position.seconds)
    shown = progress(run.key, steps, session.done, batch_size, shown=log is not None)
    with stop, shown as update:
        for scalars in session.steps():
            step = session.done
            is_asked = processes.any(stop.asked)
            is_checkpoint = step % execution["checkpoint_every"] == 0 or is_asked
            is_logged = step % execution["log_every"] == 0 or step == steps or session.at_snapshot
            if not (is_logged or is_checkpoint):
                continue
            if is_logged:
                processes.mean_(list(scalars.values()))
            bad = processes.earliest(int(session.bad_step))
            diverged = bad >= 0 or not weights_finite(session.trainer)
            # By now the device has done what was asked of it.
            clock.stop()
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
                if is_asked:
                    processes.wait()  # torchrun gives the rest little time once one has left
                    raise Interrupted(f"{run.key}: stopped at step {step} of {steps}; run it again to go on")
            clock.start()
    return None


def _scores(session: Session, data: Data) -> dict[str, Tensor]:
    """What the discriminator says of images that it was trained on, and of others: does it memorise?"""
    if data.held_out is None:
        return {}
    images = {"score_train": data.images, "score_held_out": data.held_out}
    return {name: mean_score(session.trainer, side) for name, side in images.items()}


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


def _save_snapshot(session: Session, folder: Path) -> None:
    _save_network(session, session.generator_state(), _snapshot(folder, session.done))


def _snapshot(folder: Path, step: int) -> Path:
    return folder / "snapshots" / f"{step:06d}.safetensors"


def _save_network(session: Session, state: dict[str, Tensor], path: Path) -> None:
    """Plain weights with what is needed to build the network around them."""
    save_tensors(path, state, {"config": canonical(session.config.networks())})


def _parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
