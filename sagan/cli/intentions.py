"""What a verb would do, in words, for `--dry-run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sagan.plan import Evaluation, Plan, Reference, Run
from sagan.plan.listing import missing
from sagan.store.folders import last_checkpoint, run_state
from sagan.store.paths import Paths
from sagan.store.reading import read_evaluation, read_reference, read_run
from sagan.store.reports import measured_in_report


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


def would_make(plan: Plan, keys: Sequence[str], paths: Paths) -> Iterator[str]:
    """What `make` would do for runs and references."""
    evaluations = [evaluation for evaluation in plan.evaluations.values() if evaluation.run in keys]
    needed = {e.reference for e in evaluations if read_evaluation(e.key, paths).record is None}
    references = [key for key in plan.references if key in keys or key in needed]
    yield from (would_make_reference(plan.references[key], paths) for key in references)
    for key in keys:
        if key in plan.runs:
            yield would_train(plan.runs[key], paths)
            yield from (would_evaluate(evaluation, paths) for evaluation in evaluations if evaluation.run == key)


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
