"""Several results in one process: runs are trained, by turns where that pays, and measured as each ends.

What is there is passed over, what fails leaves the rest alone, and what is stopped goes on the next time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from sagan.code.fingerprint import code_base
from sagan.data import load
from sagan.data.prepared import PreparedDataset
from sagan.errors import UserError, explained
from sagan.metrics.evaluate import evaluate
from sagan.metrics.reference import make_reference
from sagan.plan import Evaluation, Plan, Reference, Run, check_code
from sagan.store.folders import (
    GO_ON_LATER,
    set_aside_spoilt_evaluation,
    set_aside_spoilt_reference,
    set_aside_torn,
)
from sagan.store.locks import is_locked, lock_of
from sagan.store.paths import Paths
from sagan.store.reading import read_evaluation, read_reference, read_run
from sagan.store.types import EvaluationRecord, ReferenceRecord, RunRecord
from sagan.training.devices import GPU_OF_PARENT, device_for, usable_gpus
from sagan.training.loop import Data, Interrupted, Job, trained
from sagan.training.stopping import StopSignal

_FAILED, _REFUSED = 1, 2
_LOOK_SECONDS = 0.2


class Making:
    """What a plan's keys stand for, made one after another; `status` is what the process leaves with.

    Args:
        plan_file: the plan on disk, for processes that this one starts.
        together: how many runs take turns; None for what each run's `execution.together` says.
    """

    def __init__(self, plan: Plan, plan_file: Path, paths: Paths, together: int | None = None) -> None:
        self.status = 0
        self._plan, self._plan_file, self._paths, self._together = plan, plan_file, paths, together
        self._stop = StopSignal()
        self._datasets: dict[Path, PreparedDataset] = {}
        self._failed: set[str] = set()
        # What has been hashed before this process imported it may be other code by now.
        code_base.cache_clear()

    def make(self, keys: Sequence[str]) -> int:
        """Train runs and measure them, each in all the ways that the plan asks for, and make references.

        Returns:
            0 where all is there then, 75 where a signal stopped it, 1 where something failed, 2 where all that failed
            did so by a mistake that a user can mend.
        """
        plan = self._plan
        runs = [plan.runs[key] for key in dict.fromkeys(keys) if key in plan.runs]
        needed = {e.reference for run in runs for e in self._evaluations(run) if not self._there(e)}
        with self._stop:
            for key in sorted({*needed, *(key for key in keys if key in plan.references)}):
                # Another process may be at it: there is more to do here before that one is needed.
                if key in keys or not is_locked(lock_of(self._paths.reference(key))):
                    self._reference(plan.references[key])
            self._all(runs)
        return GO_ON_LATER if self._stop.asked else self.status

    def _evaluations(self, run: Run) -> list[Evaluation]:
        return [evaluation for evaluation in self._plan.evaluations.values() if evaluation.run == run.key]

    def _all(self, runs: Sequence[Run]) -> None:
        jobs: dict[int | None, list[Job]] = {}
        for run in runs:
            with self._noted(run.key):
                if len(runs) > 1 and run.typed.variant.extension is not None:
                    self._apart(run)
                elif self._there(run):
                    self._measured(run)
                else:
                    own = check_code(run, self._paths)
                    job = Job(run, lambda run=run: Data.of(run, self._dataset(run)), own)
                    jobs.setdefault(self._width(run), []).append(job)
        left = sum(map(len, jobs.values()))
        with self._gpu(runs if left > 1 else []) as gpu, ThreadPoolExecutor(1) as beside:
            for width, those in jobs.items():
                for run, outcome in trained(those, self._paths, self._stop, width):
                    left -= 1
                    with self._noted(run.key):
                        if isinstance(outcome, Exception):
                            raise outcome
                        _say_trained(run, outcome)
                    if not isinstance(outcome, Exception):
                        # Half a minute of a core, for which the GPU need not wait.
                        beside.submit(self._apart, run, gpu) if left and gpu is not None else self._measured(run)

    @contextmanager
    def _gpu(self, runs: Sequence[Run]) -> Iterator[int | None]:
        """Which one these runs have, held until the block ends; None where they have none."""
        of_gpu = [run for run in runs if run.execution["device"] != "cpu"]
        if not of_gpu or not usable_gpus():
            yield None
            return
        with device_for(of_gpu[0].execution, of_gpu[0].threads) as device:
            yield device.index

    def _width(self, run: Run) -> int | None:
        if self._together is not None:
            return self._together
        asked = run.execution["together"]
        return None if asked == "auto" else asked

    def _apart(self, run: Run, gpu: int | None = None) -> None:
        """In a process of its own: own code may change what others compute with.

        Args:
            gpu: that of this process, for the other one to measure on beside the trainings here.
        """
        if self._stop.asked or (self._there(run) and all(map(self._there, self._evaluations(run)))):
            return
        command = [sys.executable, "-m", "sagan", "make", run.key, "--plan", str(self._plan_file)]
        shared = {} if gpu is None else {GPU_OF_PARENT: str(gpu)}
        with self._noted(run.key), subprocess.Popen(command, env=os.environ | shared) as process:
            while process.poll() is None and not self._stop.asked:
                time.sleep(_LOOK_SECONDS)
            process.terminate()
        if process.returncode and process.returncode != GO_ON_LATER:
            self.status = _worse(self.status, process.returncode)

    def _measured(self, run: Run) -> None:
        for evaluation in self._evaluations(run):
            if self._there(evaluation):
                continue
            self._reference(self._plan.references[evaluation.reference])
            if not (self._stop.asked or evaluation.reference in self._failed):
                self._evaluation(evaluation)

    def _evaluation(self, evaluation: Evaluation) -> None:
        with self._noted(evaluation.key):
            check_code(evaluation, self._paths)
            with self._stop.at_once(Interrupted):
                _say_measured(evaluate(evaluation, self._paths))

    def _reference(self, reference: Reference) -> None:
        if self._there(reference) or reference.key in self._failed or self._stop.asked:
            return
        with self._noted(reference.key):
            check_code(reference, self._paths)
            with self._stop.at_once(Interrupted):
                _say_real(make_reference(reference, self._dataset(reference), self._paths))

    def _there(self, spec: Run | Reference | Evaluation) -> bool:
        """Whether a result is there; a folder that is not whole is moved away."""
        key, paths = spec.key, self._paths
        if isinstance(spec, Run):
            record, moved = read_run(key, paths).record, set_aside_torn(key, paths, verify=False)
        elif isinstance(spec, Reference):
            record, moved = read_reference(key, paths).record, set_aside_spoilt_reference(key, paths)
        else:
            record, moved = read_evaluation(key, paths).record, set_aside_spoilt_evaluation(key, paths)
        if moved is not None:
            print(f"sagan: {key}: its folder was not whole and is now {moved}", file=sys.stderr)
        return record is not None

    def _dataset(self, spec: Run | Reference) -> PreparedDataset:
        """Read and verified once in this process.

        Raises:
            UserError: it is another one than the plan's.
        """
        folder = self._paths.prepared(spec.dataset, spec.resolution)
        if folder not in self._datasets:
            dataset = load(folder)
            self._datasets[folder] = dataset
        if self._datasets[folder].manifest["digest"] != spec.dataset_digest:
            raise UserError(f"{folder}: the dataset has changed since the plan was made; plan again")
        return self._datasets[folder]

    @contextmanager
    def _noted(self, key: str) -> Iterator[None]:
        """What ends the work on one key ends nothing else; its log says what it was."""
        log = self._paths.log(key)
        log.unlink(missing_ok=True)
        try:
            yield
            return
        except Interrupted as interrupted:
            code, told = GO_ON_LATER, str(interrupted) or f"{key}: stopped; run it again to go on"
        except Exception as error:
            line = explained(error) if isinstance(error, UserError | OSError) else None
            code, told = _REFUSED, line
            if line is None:
                code, told = _FAILED, "".join(traceback.format_exception(error)).rstrip()
            self._failed.add(key)
            self.status = _worse(self.status, code)
        print(f"sagan: {told}", file=sys.stderr, flush=True)
        with suppress(OSError):  # a full disk ends nothing else either
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(f"{told}\nmake left with exit code {code}\n", encoding="utf-8")


def _worse(one: int, other: int) -> int:
    """Of two exit codes: a failure that nobody explained counts most."""
    return min(code for code in (one, other) if code) if one or other else 0


def _say_trained(run: Run, record: RunRecord) -> None:
    print(f"{run.key}: {record.status} after {record.steps} steps, {record.images_per_second} images/s", flush=True)


def _say_measured(record: EvaluationRecord) -> None:
    fid = record.metrics.get("fid")
    shown = f", {fid.name}: {fid.status if fid.value is None else f'{fid.value:.3f}'}" if fid else ""
    print(f"{record.key}: {record.status}{shown}", flush=True)


def _say_real(record: ReferenceRecord) -> None:
    accuracy = "" if record.accuracy is None else f", held-out accuracy {record.accuracy:.4f}"
    floor = "not measurable" if record.floor.fid is None else f"{record.floor.fid:.3f}"
    print(f"{record.key}: {record.real_count} images{accuracy}; FID between real images {floor}", flush=True)
