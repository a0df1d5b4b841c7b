"""Several results in one process: runs are trained, by turns where that pays, and measured as each ends."""

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from sagan.code.fingerprint import code_base
from sagan.data import load
from sagan.data.prepared import PreparedDataset
from sagan.errors import UserError, explained
from sagan.metrics.evaluate import evaluate
from sagan.metrics.reference import make_reference
from sagan.names import one_line
from sagan.plan import Evaluation, Plan, Reference, Run, check_code
from sagan.plan.listing import is_there
from sagan.store.locks import is_locked, lock_of
from sagan.store.paths import Paths
from sagan.store.reading import GO_ON_LATER
from sagan.store.types import RunRecord
from sagan.training.devices import GPU_OF_PARENT, device_for, usable_gpus
from sagan.training.graphs import CaptureFailed
from sagan.training.loop import Data, Interrupted, train, trained
from sagan.training.stopping import StopSignal

_FAILED, _REFUSED = 1, 2
# As a process that was killed: the workflow makes each of its keys once more, by itself.
_BROKEN = 70
_LOOK_SECONDS = 0.2


def train_alone(run: Run, paths: Paths) -> int:
    """One run in this process, or in those that torchrun started.

    Returns:
        What the process leaves with: 75 where a signal stopped it, else 0.

    Raises:
        UserError: the code or the data have changed since the plan was made, or it cannot be trained.
    """
    code_base.cache_clear()  # What has been hashed before this process imported it may be other code by now.
    check_code(run, paths)
    first = os.environ.get("RANK", "0") == "0"  # torchrun's number of this process
    if first:
        is_there(run, paths)
    try:
        record = train(run, Data.of(run, _dataset(run, paths, load)), paths)
    except Interrupted as interrupted:
        print(f"sagan: {interrupted}", file=sys.stderr)
        return GO_ON_LATER
    if first:
        _say_trained(record)
    return 0


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
        self._load = cache(load)  # read and verified once
        self._failed: set[str] = set()
        code_base.cache_clear()  # as in train_alone

    def make(self, keys: Sequence[str]) -> int:
        """Train runs and measure them, each in all the ways that the plan asks for; make references and evaluations.

        Returns:
            0 where all is there then, 75 where a signal stopped it, 1 where something failed, 2 where all that failed
            did so by a mistake that a user can mend.
        """
        plan = self._plan
        runs = [plan.runs[key] for key in dict.fromkeys(keys) if key in plan.runs]
        needed = {e.reference for run in runs for e in self._evaluations(run) if not is_there(e, self._paths)}
        with self._stop:
            for key in sorted({*needed, *(key for key in keys if key in plan.references)}):
                # Another process may be at it: there is more to do here before that one is needed.
                if key in keys or not is_locked(lock_of(self._paths.reference(key))):
                    self._one(plan.references[key])
            with suppress(Interrupted):  # while it waited for a GPU
                self._all(runs)
            for evaluation in (plan.evaluations[key] for key in keys if key in plan.evaluations):
                self._one(evaluation)
        return GO_ON_LATER if self._stop.asked else self.status

    def _evaluations(self, run: Run) -> list[Evaluation]:
        return [evaluation for evaluation in self._plan.evaluations.values() if evaluation.run == run.key]

    def _all(self, runs: Sequence[Run]) -> None:
        wanted: dict[int | None, list[Run]] = {}
        for run in runs:
            with self._noted(run.key):
                if len(runs) > 1 and run.typed.variant.extension is not None:
                    self._apart(run)
                elif is_there(run, self._paths):
                    self._all_measured(run)
                else:
                    asked = self._together or run.execution["together"]
                    check_code(run, self._paths)
                    wanted.setdefault(None if asked == "auto" else asked, []).append(run)
        left = sum(map(len, wanted.values()))
        with self._gpu(runs if left > 1 else []) as gpu, ThreadPoolExecutor(1) as beside:
            for width, those in wanted.items():
                for run, outcome in trained(those, self._data, self._paths, self._stop, width):
                    left -= 1
                    with self._noted(run.key):
                        if isinstance(outcome, Exception):
                            raise outcome
                        _say_trained(outcome)
                        if left and gpu is not None:
                            # Half a minute of a core, for which the GPU need not wait.
                            beside.submit(self._apart, run, gpu)
                        else:
                            self._all_measured(run)
                    if isinstance(outcome, CaptureFailed):
                        raise SystemExit(_BROKEN)

    @contextmanager
    def _gpu(self, runs: Sequence[Run]) -> Iterator[int | None]:
        """Which one these runs have, held until the block ends; None where they have none."""
        of_gpu = [run for run in runs if run.execution["device"] != "cpu"]
        index = None
        with ExitStack() as held:
            if of_gpu and usable_gpus():
                with self._stop.at_once(Interrupted()):
                    index = held.enter_context(device_for(of_gpu[0].execution, of_gpu[0].threads)).index
            yield index

    def _data(self, run: Run) -> Data:
        return Data.of(run, _dataset(run, self._paths, self._load))

    def _apart(self, run: Run, gpu: int | None = None) -> None:
        """In a process of its own, perhaps on this one's `gpu`: own code may change what others compute with."""
        with self._noted(run.key):
            specs: list[Run | Evaluation] = [run, *self._evaluations(run)]
            if self._stop.asked or all(is_there(spec, self._paths) for spec in specs):
                return
            command = [sys.executable, "-m", "sagan", "make", run.key, "--plan", str(self._plan_file)]
            shared = {} if gpu is None else {GPU_OF_PARENT: str(gpu)}
            # It holds the GPU's lock too (`training.devices`), should this process be killed.
            with subprocess.Popen(command, env=os.environ | shared, close_fds=False) as process:
                while process.poll() is None and not self._stop.asked:
                    time.sleep(_LOOK_SECONDS)
                process.terminate()
            if process.returncode and process.returncode != GO_ON_LATER:
                self._worst(process.returncode)

    def _all_measured(self, run: Run) -> None:
        for evaluation in self._evaluations(run):
            self._one(evaluation)

    def _one(self, spec: Reference | Evaluation) -> None:
        """Makes a result that is not there; before an evaluation its reference."""
        if self._stop.asked or spec.key in self._failed or is_there(spec, self._paths):
            return
        if isinstance(spec, Evaluation):
            self._one(self._plan.references[spec.reference])
            if self._stop.asked or spec.reference in self._failed:
                return
        # A GPU first, then the result's lock, as everywhere: two processes might wait for each other otherwise.
        on_device = device_for(spec.execution, spec.threads)
        with self._noted(spec.key), self._stop.at_once(Interrupted()), on_device:
            print(self._made(spec), flush=True)

    def _made(self, spec: Reference | Evaluation) -> str:
        """Makes a result; says what came of it."""
        check_code(spec, self._paths)
        if isinstance(spec, Evaluation):
            measured = evaluate(spec, self._paths)
            fid = measured.metrics.get("fid")
            shown = one_line(f", {fid.name}: {fid.status if fid.value is None else f'{fid.value:.3f}'}") if fid else ""
            return f"{spec.key}: {measured.status}{shown}"
        real = make_reference(spec, _dataset(spec, self._paths, self._load), self._paths)
        accuracy = "" if real.accuracy is None else f", held-out accuracy {real.accuracy:.4f}"
        floor = "not measurable" if real.floor.fid is None else f"{real.floor.fid:.3f}"
        return f"{spec.key}: {real.real_count} images{accuracy}; FID between real images {floor}"

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
            code, told = _REFUSED if line else _FAILED, line or "".join(traceback.format_exception(error)).rstrip()
            self._failed.add(key)
            self._worst(code)
        print(f"sagan: {told}", file=sys.stderr, flush=True)
        with suppress(OSError):  # a full disk ends nothing else either
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(f"{told}\nmake left with exit code {code}\n", encoding="utf-8")

    def _worst(self, code: int) -> None:
        """Of the exit codes: that of a process that was killed counts most, then a failure that nobody explained."""
        ranks = {_FAILED: 1, _REFUSED: 2, 0: 3}
        self.status = min(self.status, code, key=lambda one: ranks.get(one, 0))


def _dataset(spec: Run | Reference, paths: Paths, read: Callable[[Path], PreparedDataset]) -> PreparedDataset:
    folder = paths.prepared(spec.dataset, spec.resolution)
    dataset = read(folder)
    if dataset.manifest["digest"] != spec.dataset_digest:
        raise UserError(f"{folder}: the dataset has changed since the plan was made; plan again")
    return dataset


def _say_trained(run: RunRecord) -> None:
    print(f"{run.key}: {run.status} after {run.steps} steps, {run.images_per_second} images/s", flush=True)
