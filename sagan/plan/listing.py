"""What of a plan is there: what is missing, what is invalid and moved away; and its list for people."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sagan.plan.costs import Costs
from sagan.plan.types import Evaluation, Plan, Reference, Run
from sagan.store.paths import Paths
from sagan.store.reading import (
    last_step,
    read_evaluation,
    read_reference,
    read_result,
    run_state,
    set_aside,
    size_of,
)


def is_there(job: Run | Reference | Evaluation, paths: Paths) -> bool:
    """Whether a result is there; an invalid one is set aside, which is said."""
    there = read_result(job.record, job.key, paths).record is not None
    if (place := set_aside(job.record, job.key, paths, verify=not isinstance(job, Run))) is not None:
        print(f"sagan: {job.key}: its folder is invalid; set aside in {place}", file=sys.stderr)
    return there


def missing(plan: Plan, paths: Paths) -> list[str]:
    """Keys of the runs, references and evaluations that are not there."""
    return [key for key, job in plan.jobs.items() if read_result(job.record, key, paths).record is None]


def set_aside_invalid(plan: Plan, paths: Paths) -> dict[str, Path]:
    """Move away results whose records are none, or are not true of their files; where each went, by its key."""
    moved = {key: set_aside(job.record, key, paths) for key, job in plan.jobs.items()}
    return {key: place for key, place in moved.items() if place is not None}


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
