"""What of a plan is there: the state of every run, and results that nothing asks for any more."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from sagan.analysis.seeds import planned
from sagan.costs import Costs
from sagan.errors import UserError
from sagan.params import Params
from sagan.paths import Paths
from sagan.plan import Cell, Plan
from sagan.records import read_json
from sagan.store.reading import Found, dataset_of, last_logged_step, read_evaluation, read_reference, read_run

# What a job leaves with when a signal stopped it behind a checkpoint (EX_TEMPFAIL of sysexits.h). A cluster's scheduler
# takes it as "put it back in the queue".
GO_ON_LATER = 75
# That, and how the shell names SIGINT and SIGTERM where a job leaves at once: none of these is a failure.
_STOPPED = (GO_ON_LATER, 130, 143)


def missing(plan: Plan, paths: Paths) -> tuple[list[str], list[str], list[str]]:
    """Keys of the runs, references and evaluations that are not there."""
    runs = [key for key in plan.runs if read_run(key, paths).record is None]
    references = [key for key in plan.references if read_reference(key, paths).record is None]
    evaluations = [key for key in plan.evaluations if read_evaluation(key, paths).record is None]
    return runs, references, evaluations


def measured_in_report(folder: Path) -> int:
    """How many measured runs the report in a folder is of; 0 where there is none."""
    summary = folder / "summary.json"
    if not summary.exists():
        return 0
    return sum(value for name, value in read_json(summary).items() if name.endswith(".measured"))


def set_aside_torn(key: str, paths: Paths, verify: bool = True) -> Path | None:
    """Move away a folder that says it is finished but is not whole; returns where it went.

    Args:
        verify: check the files' bytes against the digests in the record too: a copy from elsewhere that broke off
            may have the right sizes.
    """
    folder = paths.run(key)
    if not (folder / "run.json").exists() or is_locked(paths.state(key) / "lock"):
        return None
    if read_run(key, paths, verify).state == "there":
        return None
    return _set_aside(folder, paths)


def set_aside_spoilt(plan: Plan, paths: Paths) -> dict[str, Path]:
    """Move away references and measurements whose records are none; where each went, by its key."""
    moved = {}
    for key in plan.references:
        if (place := set_aside_spoilt_reference(key, paths)) is not None:
            moved[key] = place
    for key in plan.evaluations:
        if (place := set_aside_spoilt_evaluation(key, paths)) is not None:
            moved[key] = place
    return moved


def set_aside_spoilt_reference(key: str, paths: Paths) -> Path | None:
    """Move away a reference whose `reference.json` is no record; returns where it went."""
    return _set_aside_spoilt(read_reference(key, paths), paths.reference(key), paths)


def set_aside_spoilt_evaluation(key: str, paths: Paths) -> Path | None:
    """Move away a measurement whose `metrics.json` is no record; returns where it went."""
    return _set_aside_spoilt(read_evaluation(key, paths), paths.evaluation(key), paths)


def _set_aside_spoilt(found: Found, folder: Path, paths: Paths) -> Path | None:
    if found.state != "spoilt" or is_locked(paths.state(folder.name) / "lock"):
        return None
    return _set_aside(folder, paths)


def _set_aside(folder: Path, paths: Paths) -> Path:
    place = paths.root / "state" / "torn" / f"{folder.name}-{time.time_ns()}"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, place)
    return place


def last_checkpoint(key: str, paths: Paths) -> int:
    """The step that a run would resume from; 0 where there is no checkpoint."""
    return max((int(path.stem) for path in paths.state(key).glob("*.json")), default=0)


def last_step(key: str, paths: Paths) -> int:
    """The last step that an unfinished run has logged or has a checkpoint of; 0 where there is none."""
    return max(last_checkpoint(key, paths), last_logged_step(key, paths))


def run_state(key: str, paths: Paths) -> str:
    """ "finished", "diverged at step N", "training at step N", "stopped at step N", "failed ...", or "missing"."""
    if (record := read_run(key, paths).record) is not None:
        return "finished" if record.status == "finished" else f"diverged at step {record.diverged_at}"
    if is_locked(paths.state(key) / "lock"):
        return f"training at step {last_step(key, paths)}"
    checkpoint = last_checkpoint(key, paths)
    if (code := _exit_code(key, paths)) is not None and code not in _STOPPED:
        return f"failed past step {checkpoint} (exit code {code}, state/logs/{key}.log)"
    return f"stopped at step {checkpoint}" if checkpoint else "missing"


def was_stopped(key: str, paths: Paths) -> bool:
    """Whether a signal ended a job's last attempt, rather than a fault of its own."""
    return _exit_code(key, paths) in _STOPPED


def _exit_code(key: str, paths: Paths) -> int | None:
    """How a job left that did not end well: the last line that the workflow adds to its log."""
    try:
        lines = (paths.root / "state" / "logs" / f"{key}.log").read_text(errors="replace").splitlines()
    except OSError:
        return None
    found = re.fullmatch(r"\w+ left with exit code (\d+)", lines[-1]) if lines else None
    return int(found[1]) if found else None


def is_locked(path: Path) -> bool:
    """Whether a living process holds a lock."""
    if not path.exists():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True


def plan_lines(plan: Plan, paths: Paths) -> Iterator[str]:
    """A line for each run of each suite with its state and cost, and what the suite takes on disk."""
    costs = Costs(plan, paths)
    counted: set[str] = set()
    for suite, cells in plan.suites.items():
        yield f"suite {suite}: {len(cells)} runs"
        seconds, unknown = 0.0, 0
        for cell in cells:
            state = run_state(cell.run, paths)
            unmeasured = [key for key in cell.evaluations if read_evaluation(key, paths).record is None]
            todo = _cost(cell, state, unmeasured, costs, paths)
            if cell.evaluation not in counted:
                seconds, unknown = seconds + (todo or 0.0), unknown + (todo is None)
            counted.add(cell.evaluation)
            cost = "" if todo == 0 else f", about {_clock(todo)} to go" if todo else ", cost unknown"
            keys = ", ".join([cell.evaluation, *(f"{name} {key}" for name, key in cell.also.items())])
            yield f"  {cell.run}  {state}{_measured(cell, unmeasured)}{cost}  (evaluation {keys})"
        to_do = [f"{_clock(seconds)} of one job after another"] if seconds else []
        to_do += (
            [f"{unknown} run{'s' if unknown > 1 else ''} of unknown cost (none like them has been done here)"]
            if unknown
            else []
        )
        yield f"  {_suite_size(plan, suite, paths) / 1e6:.1f} MB on disk; to do: {' and '.join(to_do) or 'nothing'}"
    for key in plan.references:
        yield f"reference {key}  {'made' if read_reference(key, paths).record else 'missing'}"


def _measured(cell: Cell, unmeasured: list[str]) -> str:
    done, asked = len(cell.evaluations) - len(unmeasured), len(cell.evaluations)
    if not done:
        return ""
    return ", measured" if done == asked else f", measured in {done} of {asked} feature spaces"


def _cost(cell: Cell, state: str, unmeasured: list[str], costs: Costs, paths: Paths) -> float | None:
    """Seconds that a cell still takes; None where nothing like it has been done."""
    parts = []
    if not state.startswith(("finished", "diverged")):
        parts.append(costs.seconds(cell.run, last_step(cell.run, paths)))
    parts += [costs.seconds(key) for key in unmeasured]
    return None if None in parts else sum(parts)


def _clock(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{max(seconds, 60) / 60:.0f} min"


def _suite_size(plan: Plan, suite: str, paths: Paths) -> int:
    """Bytes of a suite's runs, evaluations and references, each once."""
    cells = plan.suites[suite]
    evaluations = {key for cell in cells for key in cell.evaluations}
    references = {plan.evaluations[key].reference for key in evaluations}
    folders = [paths.run(key) for key in {cell.run for cell in cells}]
    folders += [paths.evaluation(key) for key in evaluations] + [paths.reference(key) for key in references]
    return sum(map(_size, folders))


def _size(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def prune_results(params: Params, paths: Paths, delete: bool) -> Iterator[str]:
    """What each suite takes on disk; then results that no suite asks for, deleted where `delete` says so.

    What experiments left for others (state/shared) and torn folders that were set aside are such results too.
    Where a dataset is not prepared, the keys of its suites are not known, and all results on it are kept.
    """
    wanted: set[str] = set()
    unknown: set[str] = set()
    for suite, spec in params.suites.items():
        try:
            plan = planned(params, paths, [suite])
        except UserError:
            unknown.add(spec.dataset)
            continue
        wanted |= {*plan.runs, *plan.references, *plan.evaluations}
        yield f"suite {suite}  {_suite_size(plan, suite, paths) / 1e6:.1f} MB"
    if unknown:
        yield f"kept: results on {', '.join(sorted(unknown))} (not prepared, so it is not known what is asked for)"
    total = 0
    for folder, is_result in _prunable(paths):
        if is_result and (folder.name in wanted or _is_busy(folder.name, paths) or _may_be_of(folder, unknown)):
            continue
        size = _size(folder)
        total += size
        yield f"{'deleted' if delete else 'unasked'} {folder}  {size / 1e6:.1f} MB"
        if delete:
            shutil.rmtree(folder)
    yield f"{total / 1e6:.1f} MB in all" + (
        "" if delete or not total else "; `python -m sagan prune --yes` deletes them"
    )


def _prunable(paths: Paths) -> Iterator[tuple[Path, bool]]:
    """Folders that may be deleted, and whether they are results under a key."""
    for root in (paths.root, paths.root / "state" / "shared"):
        for room in ("runs", "references", "evaluations"):
            yield from ((folder, True) for folder in sorted((root / "results" / room).glob("*")) if folder.is_dir())
    yield from ((folder, False) for folder in sorted((paths.root / "state" / "torn").glob("*")))


def _may_be_of(folder: Path, datasets: set[str]) -> bool:
    """Whether a result is of one of these datasets; one without a record may be of any."""
    dataset = dataset_of(folder)
    return bool(datasets) if dataset is None else dataset in datasets


def _is_busy(name: str, paths: Paths) -> bool:
    """Whether a job works on a result; an evaluation's run is in use as long as the evaluation is made."""
    locks = (paths.root / "state").glob(f"{name}*/lock")
    return any(is_locked(lock) for lock in locks)
