"""What of a plan is there: the state of every run, and results that nothing asks for any more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from sagan.errors import UserError
from sagan.params import Params
from sagan.paths import Paths
from sagan.plan import Plan, make_plan
from sagan.records import read_json


def run_record(key: str, paths: Paths) -> dict | None:
    """`run.json` of a run whose files are all there with their sizes; a torn copy is not believed.

    A light copy, as `workflow.portion` packs it, names under `left_behind` the weights that it does without.
    """
    folder = paths.run(key)
    try:
        record = read_json(folder / "run.json")
        kept = {n: entry for n, entry in record["files"].items() if n not in record.get("left_behind", [])}
        whole = all((folder / name).stat().st_size == entry["bytes"] for name, entry in kept.items())
    except (OSError, ValueError, KeyError):
        return None
    return record if whole and record["key"] == key else None


def set_aside_torn(key: str, paths: Paths) -> Path | None:
    """Move away a folder that says it is finished but is not whole; returns where it went."""
    folder = paths.run(key)
    if not (folder / "run.json").exists() or run_record(key, paths) is not None:
        return None
    if is_locked(paths.state(key) / "lock"):
        return None
    place = paths.root / "state" / "torn" / f"{key}-{time.time_ns()}"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, place)
    return place


def run_state(key: str, paths: Paths) -> str:
    """ "finished", "diverged at step N", "training at step N", "stopped at step N", or "missing"."""
    if (record := run_record(key, paths)) is not None:
        return "finished" if record["status"] == "finished" else f"diverged at step {record['diverged_at']}"
    steps = [int(path.stem) for path in paths.state(key).glob("*.json")]
    if is_locked(paths.state(key) / "lock"):
        return f"training, past step {max(steps, default=0)}"
    return f"stopped at step {max(steps)}" if steps else "missing"


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
    """A line for each run of each suite, and a summary."""
    for suite, cells in plan.suites.items():
        yield f"suite {suite}: {len(cells)} runs"
        for cell in cells:
            measured = (paths.evaluation(cell.evaluation) / "metrics.json").exists()
            state = run_state(cell.run, paths)
            yield f"  {cell.run}  {state}{', measured' if measured else ''}  (evaluation {cell.evaluation})"
    for key in plan.references:
        there = (paths.reference(key) / "reference.json").exists()
        yield f"reference {key}  {'made' if there else 'missing'}"


def prune_results(params: Params, paths: Paths, delete: bool) -> Iterator[str]:
    """Results under keys that no suite asks for, with their sizes; deleted where `delete` says so.

    Raises:
        UserError: a dataset is not prepared, so that its suites' keys are not known.
    """
    try:
        plan = make_plan(params, paths, list(params.suites))
    except UserError as error:
        raise UserError(f"cannot tell what is asked for: {error}") from None
    wanted = {
        paths.root / "results" / "runs": set(plan.runs),
        paths.root / "results" / "references": set(plan.references),
        paths.root / "results" / "evaluations": set(plan.evaluations),
    }
    total = 0
    for room, keys in wanted.items():
        for folder in sorted(room.iterdir()) if room.exists() else []:
            if folder.name in keys or is_locked(paths.state(folder.name) / "lock"):
                continue
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            total += size
            yield f"{'deleted' if delete else 'unasked'} {folder}  {size / 1e6:.1f} MB"
            if delete:
                shutil.rmtree(folder)
    yield f"{total / 1e6:.1f} MB in all" + (
        "" if delete or not total else "; `python -m sagan prune --yes` deletes them"
    )
