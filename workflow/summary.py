"""How a launch went: what finished, diverged and failed, and the command that goes on."""

from __future__ import annotations

from sagan.plan import Plan
from sagan.plan.listing import missing
from sagan.store.folders import last_checkpoint, was_stopped
from sagan.store.paths import Paths
from sagan.store.reading import read_run

_SHOWN_LINES, _SHOWN_FAILURES = 5, 10


def log_stamps(plan: Plan, paths: Paths) -> dict[str, tuple[int, int]]:
    """What tells a job's log of one launch from that of an earlier one, whatever the clock does."""
    stamps = {}
    for key in (*plan.runs, *plan.references, *plan.evaluations):
        path = paths.log(key)
        if path.exists():
            stamps[key] = (path.stat().st_mtime_ns, path.stat().st_size)
    return stamps


def summary(plan: Plan, paths: Paths, status: int, before: dict[str, tuple[int, int]]) -> int:
    """Say how it went; where something is missing, show why and how to go on.

    Args:
        status: Snakemake's exit status.
        before: `log_stamps` from before it started.

    Returns:
        The exit status: 0 where everything is there.
    """
    records = {key: read_run(key, paths).record for key in plan.runs}
    diverged = [key for key, record in records.items() if record and record.status == "diverged"]
    finished = sum(record is not None for record in records.values()) - len(diverged)
    absent = [key for keys in missing(plan, paths) for key in keys]
    stamps = log_stamps(plan, paths)
    ended = [key for key in absent if key in stamps and stamps[key] != before.get(key)]
    stopped = [key for key in ended if was_stopped(key, paths)]
    failed = [key for key in ended if key not in stopped]
    counts = f"{finished} finished, {len(diverged)} diverged, {len(failed)} failed"
    counts += f", {len(stopped)} stopped by a signal" if stopped else ""
    print(f"runs: {counts}, {len(absent)} jobs not done")
    for key in diverged:
        print(f"  diverged: {key} ({records[key].reason})")
    for key in stopped[:_SHOWN_FAILURES]:
        step = last_checkpoint(key, paths)
        print(f"  stopped at step {step}: {key}" if step else f"  stopped: {key}, which begins anew")
    for key in failed[:_SHOWN_FAILURES]:
        print(f"  failed: {key}, log {paths.log(key)}, which ends:")
        lines = paths.log(key).read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]
        for line in lines:
            print(f"    {line}")
        if not lines or "left with exit code" not in lines[-1]:
            print("    (it did not fail by itself: the reason is in state/logs/snakemake.log)")
    if len(failed) > _SHOWN_FAILURES:
        print(f"  and {len(failed) - _SHOWN_FAILURES} more; `python -m sagan plan` lists them")
    if absent:
        if not ended:
            print(f"  Snakemake left with status {status}; its own log is state/logs/snakemake.log")
        print("  `dvc repro` goes on from here: what is finished stays, what was interrupted resumes")
    return 1 if absent else 0
