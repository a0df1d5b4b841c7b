"""One run, from its plan to `run.json`: resumable at any moment, and the same bytes however often it was."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType

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
from sagan.training.engine import Session
from sagan.training.log import RunLog, StepClock, diagnostics, mean_score
from sagan.training.processes import ALONE, Processes
from sagan.training.provenance import Beginning, provenance
from sagan.training.step import Trainer
from sagan.training.stopping import StopSignal


class Interrupted(Exception):
    """A signal came: a checkpoint is written, and running again goes on from it."""


@dataclass(frozen=True)
class Data:
    """What a run is trained on, and held-out images: the discriminator's score of both is logged."""

    images: np.ndarray  # the training split, uint8 [N, C, R, R]
    labels: np.ndarray | None = None  # each image's class, int64 [N], where the variant is conditional
    held_out: np.ndarray | None = None  # uint8 [M, C, R, R]

    @classmethod
    def of(cls, run: Run, dataset: PreparedDataset) -> Data:
        """A prepared dataset's training split, with the labels that the variant is given; planning saw it has them."""
        images, labels = dataset.split("train")
        condition = run.config["variant"]["condition"]
        given = condition and class_labels(labels, dataset.manifest, condition)
        return cls(images, given, dataset.split("test")[0])


@dataclass(eq=False)
class UnderWay:
    """A run that is carried out turn by turn, a step each, so that several can share a process."""

    run: Run
    paths: Paths
    stop: StopSignal  # says when to write a checkpoint and leave
    processes: Processes = ALONE  # those that share every batch: all do their part, the first alone writes
    shares: bool = False  # whether other runs may take turns in this process
    beside: int = 1  # how many did at most, this one among them
    device: torch.device = field(init=False)

    def __post_init__(self) -> None:
        self.folder, self.state = self.paths.run(self.run.key), self.paths.state(self.run.key)

    def turns(self, data: Data) -> Generator[bool, None, RunRecord]:
        """Train the run, or go on with it, or see that it is there; returns what `run.json` holds.

        Yields:
            True behind a step, False where there was nothing to do but to wait for another process.

        Raises:
            Interrupted: by a signal, after a checkpoint.
        """
        key, processes, lock = self.run.key, self.processes, None
        if processes.is_first:
            for lock in waited_for(lock_of(self.folder), key):
                if lock is None:
                    if self.stop.asked:
                        raise Interrupted(f"{key}: stopped while another process has it")
                    yield False
        try:
            processes.wait()  # until the first one holds the run's lock
            if read_run(key, self.paths).record is None:
                with self._errors_explained():
                    yield from self._train(data)
            processes.wait()  # until the first one has written everything
            if processes.is_first:
                shutil.rmtree(self.state, ignore_errors=True)
            return read_run(key, self.paths).record
        finally:
            if lock is not None:
                release(lock)

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """What a setting causes and can mend, in one line that names it."""
        key, training = self.run.key, self.run.config["training"]
        try:
            yield
        except torch.OutOfMemoryError:
            raise UserError(
                f"{key}: out of GPU memory with {self.beside} runs at once (execution.together) and "
                f"execution.cuda_graph = {str(self.run.execution['cuda_graph']).lower()}: fewer runs, or false, leave "
                f"the run what it is; lower training.batch_size = {training['batch_size']}, or raise "
                f"training.accumulate = {training['accumulate']}, for another run that needs less"
            ) from None
        except Exception as error:
            if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
                raise UserError(
                    f"{key}: out of memory; lower training.batch_size = {training['batch_size']} or the networks' "
                    "width in params.yaml"
                ) from None
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            raise UserError(
                f"{key}: training.compile = true: {first_line(error)}; install a C++ compiler, or say false"
            ) from None

    def _train(self, data: Data) -> Iterator[bool]:
        beginning, run, folder = Beginning(), self.run, self.folder
        if self.processes.is_first:
            # Files of a torn copy must not stand for what is made now.
            (folder / "run.json").unlink(missing_ok=True)
        # Own code as the very bytes that the plan's code was hashed over.
        own = None if run.typed.variant.extension is None else load_extension(check_code(run, self.paths))
        session, saved = self._session(data, own)
        if not self.processes.is_first:
            yield from self._steps(session, data, saved, None)
            return
        if session.done == 0:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(self.state, ignore_errors=True)
            if own is not None:
                keep_with_run(own.__sources__, folder)
            self._save_snapshot(session)
        log = RunLog(folder / "log.jsonl", saved["log_bytes"])
        diverged_at = yield from self._steps(session, data, saved, log)
        log.close()
        if diverged_at is None:
            _save_network(session, session.generator_state(), folder / "generator.safetensors")
            _save_network(session, session.discriminator_state(), folder / "discriminator.safetensors")
        images, seconds = session.done * run.config["training"]["batch_size"], saved["seconds"]
        networks = {"generator": session.trainer.generator, "discriminator": session.trainer.discriminator}
        # Of all of a CPU's threads together.
        each = 1 if self.device.type == "cuda" else run.threads
        record = RunRecord(
            **asdict(run),
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
            provenance=provenance(self.device, beginning) | {"processes": saved["processes"], "together": self.beside},
        )
        write_json(folder / "run.json", record.content())

    def _session(self, data: Data, own: ModuleType | None) -> tuple[Session, Json]:
        """As the last checkpoint left it, with what that says beside the state; else at the beginning."""
        run, training, processes = self.run, self.run.config["training"], self.processes
        if training["batch_size"] % (processes.count * training["accumulate"]):
            raise UserError(
                f"{run.key}: training.batch_size = {training['batch_size']} does not divide into {processes.count} "
                f"processes x training.accumulate = {training['accumulate']}; start a number of processes that does"
            )
        graphs = run.execution["cuda_graph"]
        session = Session(run.typed, data.images, self.device, data.labels, processes, graphs, run.key, own)
        checkpoint = load_checkpoint(self.state, self.device)
        lacking = checkpoint and self._lacking(checkpoint[1])
        if lacking and processes.is_first:
            at = f"it starts at step 0 and not at its checkpoint of step {checkpoint[1]['step']}"
            print(f"{run.key}: {lacking}, so {at}", file=sys.stderr)
        # All decide alike, and before the first one clears anything away.
        if processes.any(checkpoint is None or lacking is not None):
            return session, {"log_bytes": 0, "seconds": {}, "processes": [processes.count]}
        tensors, saved = checkpoint
        session.load_state(tensors, saved["step"])
        return session, saved | {"processes": sorted({*saved["processes"], processes.count})}

    def _lacking(self, saved: Json) -> str | None:
        """What the run's folder has not that was there when a checkpoint was saved; None where all is there."""
        due = [self._snapshot(step) for step in self.run.config["training"]["snapshots"] if step <= saved["step"]]
        if missing := [path for path in due if not path.exists()]:
            return f"{missing[0]} is missing"
        log = self.folder / "log.jsonl"
        return None if log.exists() and log.stat().st_size >= saved["log_bytes"] else f"{log} lacks lines"

    def _steps(
        self, session: Session, data: Data, saved: Json, log: RunLog | None
    ) -> Generator[bool, None, int | None]:
        """Step to the end of the budget, with `saved` kept up to date; returns the step of divergence, or None."""
        run, trainer, execution, processes = self.run, session.trainer, self.run.execution, self.processes
        steps, batch_size = run.config["training"]["steps"], run.config["training"]["batch_size"]
        clock, saved_at = StepClock(self.device, saved["seconds"]), time.monotonic()
        shown = progress(run.key, steps, session.done, batch_size, shown=log is not None, alone=not self.shares)
        with shown as update:
            clock.begin()
            for scalars in session.steps():
                step, every = session.done, execution["checkpoint_every"]
                is_late = time.monotonic() - saved_at >= execution["checkpoint_seconds"]
                is_asked, is_late = processes.any(self.stop.asked), processes.any(is_late)
                saves = is_asked or is_late or (every is not None and step % every == 0)
                logs = step % execution["log_every"] == 0 or step == steps or session.at_snapshot
                if logs:
                    processes.mean_(list(scalars.values()))
                if logs or saves:
                    bad = processes.earliest(int(session.bad_step))
                    diverged = bad >= 0 or not weights_finite(trainer)
                # `int(bad_step)` has waited for the device.
                clock.stop()
                if logs or saves:
                    clock.waited(step)
                    saved["seconds"] = clock.read()
                if logs:
                    if log is not None:
                        scalars = scalars | diagnostics(trainer)
                        if session.at_snapshot and not diverged and data.held_out is not None:
                            # Does the discriminator know the images that it was trained on?
                            scalars["score_train"] = mean_score(trainer, data.images)
                            scalars["score_held_out"] = mean_score(trainer, data.held_out)
                        log.add(step, step * batch_size, saved["seconds"], scalars)
                    if diverged:
                        return bad if bad >= 0 else step
                    update(step)
                    if session.at_snapshot and log is not None:
                        self._save_snapshot(session)
                if saves and step < steps:
                    # A run ends as diverged at a logged step, whatever the clock; a checkpoint knows no `bad_step`.
                    if log is not None and not diverged:
                        saved.update(seconds=clock.read(), log_bytes=log.size())
                        save_checkpoint(self.state, step, session.state(), saved)
                    saved_at = time.monotonic()
                    if is_asked:
                        processes.wait()  # torchrun gives the rest little time once one has left
                        raise Interrupted(f"{run.key}: stopped at step {step} of {steps}; run it again to go on")
                clock.end()
                yield True
                clock.begin()
        return None

    def _save_snapshot(self, session: Session) -> None:
        _save_network(session, session.generator_state(), self._snapshot(session.done))

    def _snapshot(self, step: int) -> Path:
        return self.folder / "snapshots" / f"{step:06d}.safetensors"


def weights_finite(trainer: Trainer) -> Tensor:
    """Whether every weight of both networks is finite, as a boolean scalar on the device."""
    weights = [*trainer.generator.parameters(), *trainer.discriminator.parameters()]
    return torch.stack(torch._foreach_norm(weights)).isfinite().all()


def _save_network(session: Session, state: dict[str, Tensor], path: Path) -> None:
    """Plain weights with what is needed to build the network around them."""
    save_tensors(path, state, {"config": canonical(session.config.networks())})
