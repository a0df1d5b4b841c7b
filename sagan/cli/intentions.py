"""What a verb would do, in words, for `--dry-run`."""

from __future__ import annotations

from collections.abc import Iterator

from sagan.metrics.codes import lacking
from sagan.plan import Evaluation, Plan, Reference, Run
from sagan.plan.listing import missing
from sagan.store.folders import last_checkpoint, run_state
from sagan.store.paths import Paths
from sagan.store.reading import read_evaluation, read_reference, read_run
from sagan.store.reports import measured_in_report
from sagan.store.types import EvaluationRecord, RealFigures


def would_train(run: Run, paths: Paths) -> str:
    if read_run(run.key, paths).record:
        return f"{run.key}: {run_state(run.key, paths)}, nothing to do"
    step, steps = last_checkpoint(run.key, paths), run.config["training"]["steps"]
    return f"{run.key}: would train from step {step} to {steps} on {run.dataset}, into {paths.run(run.key)}"


def would_make_reference(reference: Reference, paths: Paths) -> str:
    folder = paths.reference(reference.key)
    if read_reference(reference.key, paths).record:
        return f"{reference.key}: made, nothing to do"
    return f"{reference.key}: would measure {reference.dataset} ({reference.split}), into {folder}"


def would_evaluate(evaluation: Evaluation, paths: Paths) -> str:
    folder = paths.evaluation(evaluation.key)
    if read_evaluation(evaluation.key, paths).record:
        return f"{evaluation.key}: measured, nothing to do"
    lacking = [] if read_run(evaluation.run, paths).record else [f"run {evaluation.run}"]
    if read_reference(evaluation.reference, paths).record is None:
        lacking.append(f"reference {evaluation.reference}")
    after = f", once there is {' and '.join(lacking)}" if lacking else ""
    return f"{evaluation.key}: would measure {evaluation.run}, into {folder}{after}"


def would_add(key: str, record: EvaluationRecord | RealFigures | None) -> str:
    """Of `--add`, to `metrics.json` or to `other_split` of a reference."""
    if record is None:
        return f"{key}: not measured yet, so there is nothing to add to"
    names = lacking(record.content())
    return f"{key}: would add {', '.join(names)}" if names else f"{key}: lacks no metric, nothing to do"


def would_report(plan: Plan, paths: Paths) -> Iterator[str]:
    unmeasured = set(missing(plan, paths)[2])
    for suite, cells in plan.suites.items():
        measured = sum(cell.evaluation not in unmeasured for cell in cells)
        folder = paths.report(suite)
        is_kept = measured == 0 and measured_in_report(folder)
        does = "would be made anew of its tables, beside" if is_kept else "would be written from"
        yield f"{folder}: {does} {measured} of {len(cells)} measurements"


def would_track(plan: Plan, paths: Paths, uri: str) -> str:
    absent = set(missing(plan, paths)[0])
    return f"mlflow: would send what {uri} does not have of {len(plan.runs) - len(absent)} runs that are there"
