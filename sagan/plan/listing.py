"""What of a plan is there, missing, or invalid and moved away; what is left costs; and what no suite asks for."""

import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import median, median_low
from typing import Any

from sagan.errors import UserError
from sagan.params import Params
from sagan.plan.types import Evaluation, Plan, Reference, Run
from sagan.store.locks import is_locked, lock_of
from sagan.store.paths import Paths
from sagan.store.reading import (
    all_records,
    dataset_of,
    last_step,
    read_evaluation,
    read_log,
    read_reference,
    read_result,
    run_state,
    set_aside,
    size_of,
)
from sagan.store.records import canonical
from sagan.store.types import EvaluationRecord, LogLine, RunRecord

# Where so many times a training's own seconds have passed, it did not only share the machine: it was stopped.
_PAUSED = 10


def is_there(job: Run | Reference | Evaluation, paths: Paths) -> bool:
    """Whether a result is there; an invalid one is set aside, which is said."""
    if (place := set_aside(job.record, job.key, paths, verify=not isinstance(job, Run))) is not None:
        print(f"sagan: {job.key}: its folder is invalid; set aside in {place}", file=sys.stderr)
    return read_result(job.record, job.key, paths).record is not None


def missing(plan: Plan, paths: Paths) -> list[str]:
    """Keys of the runs, references and evaluations that are not there."""
    return [key for key, job in plan.jobs.items() if read_result(job.record, key, paths).record is None]


def set_aside_invalid(plan: Plan, paths: Paths) -> dict[str, Path]:
    """Move away results whose records are none, or are not true of their files; where each went, by its key."""
    moved = {key: set_aside(job.record, key, paths) for key, job in plan.jobs.items()}
    return {key: place for key, place in moved.items() if place is not None}


class Costs:
    """Seconds that a plan's jobs take, by the runs and evaluations on disk, other plans' among them.

    A run that has begun is estimated by its own log, others by runs of the same recipe, else by those of the same
    backbone, width and image size; a measurement by those against the same reference. Where nothing of the kind has
    been done, nothing is said.
    """

    def __init__(self, plan: Plan, paths: Paths) -> None:
        self._plan = plan
        records = all_records(RunRecord, paths)
        paces: dict[str, tuple[Mapping[str, Any], float]] = {
            run.key: (run.config, _steady(run) or run.seconds / run.steps) for run in records if run.steps
        }
        for key in plan.runs.keys() - {run.key for run in records}:
            lines = pairwise(read_log(key, paths, tail=True))
            if found := [_pace(a, b) for a, b in lines if b.step > a.step and b.time > a.time]:
                paces[key] = (plan.runs[key].config, median_low(found))
        # Of a step by a run's key and by recipe, of an image by the networks' shape, of a measurement by reference.
        took: dict[Any, list[float]] = defaultdict(list)
        for key, (config, per_step) in paces.items():
            with suppress(KeyError):  # of a record that was copied in and is of something else
                per_image, recipe = per_step / config["training"]["batch_size"], _recipe(config)
                took[_shape(config)].append(per_image)
                took[key].append(per_step)
                took[recipe].append(per_step)
        for evaluation in all_records(EvaluationRecord, paths):
            if evaluation.generated_images and evaluation.seconds is not None:
                took[evaluation.reference].append(evaluation.seconds)
        self._usual = {of: median(seconds) for of, seconds in took.items()}

    def seconds(self, key: str, from_step: int = 0) -> float | None:
        """Estimated seconds of one job of the plan; for a run, from a step on."""
        if key not in self._plan.runs:
            evaluation = self._plan.evaluations.get(key)
            return None if evaluation is None else self._usual.get(evaluation.reference)
        config = self._plan.runs[key].config
        training, per_step = config["training"], self._usual.get(key, self._usual.get(_recipe(config)))
        if per_step is None and (per_image := self._usual.get(_shape(config))) is not None:
            per_step = per_image * training["batch_size"]
        return None if per_step is None else per_step * (training["steps"] - from_step)


def _pace(a: LogLine, b: LogLine) -> float:
    """Seconds a step between two lines, by the clock, as runs share the machine; a pause between them is none."""
    return min(b.time - a.time, _PAUSED * (b.seconds - a.seconds)) / (b.step - a.step)


def _steady(run: RunRecord) -> float | None:
    """Seconds a step by the clock, without the first ones; those of a CPU were counted for all threads together."""
    if not run.steady_steps or run.steady_seconds is None:
        return None
    told = run.provenance
    return run.steady_seconds / run.steady_steps / (told.threads if told.device_kind == "cpu" else 1)


def _recipe(config: Mapping[str, Any]) -> str:
    """All that a step's time depends on; its budget and its seed are not of it."""
    return canonical([config["variant"], config["image"], config["training"]["batch_size"]])


def _shape(config: Mapping[str, Any]) -> tuple[str, int, int]:
    """Backbone, side and width."""
    return config["variant"]["backbone"], config["image"]["resolution"], config["variant"]["generator"]["width"]


def plan_lines(plan: Plan, paths: Paths) -> Iterator[str]:
    """A line for each run of each suite with its state and cost, and what the suite takes on disk."""
    costs = Costs(plan, paths)
    for suite, cells in plan.suites.items():
        yield f"suite {suite}: {len(cells)} runs"
        left = []
        for cell in cells:
            state = run_state(cell.run, paths)
            unmeasured = [key for key in cell.evaluations if read_evaluation(key, paths).record is None]
            parts = [costs.seconds(key) for key in unmeasured]
            if not state.startswith(("finished", "diverged")):
                parts.append(costs.seconds(cell.run, last_step(cell.run, paths)))
            left.append(None if None in parts else sum(filter(None, parts)))
            cost = ", cost unknown" if None in parts else f", about {_clock(left[-1])} to go" if left[-1] else ""
            done, asked = len(cell.evaluations) - len(unmeasured), len(cell.evaluations)
            measured = f", measured in {done} of {asked} feature spaces" if unmeasured else ", measured"
            keys = ", ".join([cell.evaluation, *(f"{name} {key}" for name, key in cell.also.items())])
            names = f", is {' and '.join(cell.aliases)} too" if cell.aliases else ""
            yield f"  {cell.run}  {state}{measured if done else ''}{cost}{names}  (evaluation {keys})"
        seconds, unknown = sum(filter(None, left)), left.count(None)
        to_do = [f"{_clock(seconds)} of one job after another"] if seconds else []
        if unknown:
            runs = f"{unknown} run{'s' if unknown > 1 else ''}"
            to_do.append(f"{runs} of unknown cost (none like them has been done here)")
        yield f"  {suite_size(plan, suite, paths) / 1e6:.1f} MB on disk; to do: {' and '.join(to_do) or 'nothing'}"
    for key in plan.references:
        yield f"reference {key}  {'made' if read_reference(key, paths).record else 'missing'}"


def _clock(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{max(seconds, 60) / 60:.0f} min"


def suite_size(plan: Plan, suite: str, paths: Paths) -> int:
    """Bytes of a suite's runs, evaluations and references, each once."""
    jobs = plan.jobs
    keys = {key for cell in plan.suites[suite] for key in (cell.run, *cell.evaluations)}
    keys |= {plan.evaluations[key].reference for key in keys & plan.evaluations.keys()}
    return sum(size_of(jobs[key].record.folder(paths, key)) for key in keys)


def prune_results(params: Params, paths: Paths, plan_of: Callable[[str], Plan], delete: bool) -> Iterator[str]:
    """What each suite takes on disk; then results that no suite asks for, deleted where `delete` says so.

    What experiments left for others (state/shared) and torn folders that were set aside are such results too.
    Where a suite cannot be planned, its keys are not known, and all results on its dataset are kept.
    `plan_of` gives the plan of a suite, with the seeds that it asks for now.
    """
    wanted, unknown, total = set(), {}, 0
    for suite, spec in params.suites.items():
        try:
            plan = plan_of(suite)
        except UserError as error:
            unknown[spec.dataset] = unknown.get(spec.dataset, error)
            continue
        wanted |= {*plan.runs, *plan.references, *plan.evaluations}
        yield f"suite {suite}  {suite_size(plan, suite, paths) / 1e6:.1f} MB"
    for dataset, why in unknown.items():
        yield f"kept: all results on {dataset}, since not all of its suites can be planned ({why})"
    rooms = [room for of in (paths, paths.pool) for room in (of.run(""), of.reference(""), of.evaluation(""))]
    folders = [folder for room in rooms for folder in sorted(room.glob("*")) if folder.is_dir()]
    for folder in [*folders, *sorted((paths.root / "state" / "torn").glob("*"))]:
        # One without a record may be of any dataset, and so may one of a dataset that has another name now.
        kept = folder.name in wanted or (unknown and dataset_of(folder) not in params.datasets.keys() - unknown.keys())
        if folder.parent.name != "torn" and (kept or _is_busy(folder)):
            continue
        size = size_of(folder)
        total += size
        yield f"{'deleted' if delete else 'unasked'} {folder}  {size / 1e6:.1f} MB"
        if delete:
            folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)
    how = "" if delete or not total else "; `python -m sagan prune --yes` deletes them"
    yield f"{total / 1e6:.1f} MB in all{how}"


def _is_busy(folder: Path) -> bool:
    """Whether a job works on a result; an evaluation's run is in use as long as the evaluation is made."""
    of_evaluations = (folder.parent.parent / "evaluations").glob(f".{folder.name}.*.lock*")
    locks = {lock_of(folder), *(lock.with_name(lock.name.removesuffix(".soft")) for lock in of_evaluations)}
    return any(map(is_locked, locks))
