"""How a launch went: what finished, diverged and failed, why, and the command that goes on."""

from __future__ import annotations

from pathlib import Path

from sagan.plan import Plan
from sagan.plan.listing import missing
from sagan.store.paths import Paths
from sagan.store.reading import last_checkpoint, read_run, was_stopped
from workflow.jobs import Jobs

_SHOWN_LINES, _SHOWN_FAILURES = 5, 10


def summary(plan: Plan, paths: Paths, jobs: Jobs, status: int) -> int:
    """Say how it went; where something is missing, show why and how to go on. Records alone tell what is there.

    Args:
        status: Snakemake's exit status.

    Returns:
        The exit status: 0 where everything is there, or the rest was stopped because its time was over.
    """
    records = {key: read_run(key, paths).record for key in plan.runs}
    diverged = [key for key, record in records.items() if record and record.status == "diverged"]
    finished = sum(record is not None for record in records.values()) - len(diverged)
    absent = missing(plan, paths)
    # Of a measurement whose process was killed, the log of its run tells, which is there.
    runs = {key: plan.evaluations[key].run for key in absent if key in plan.evaluations}
    noted = {key: run for key, run in runs.items() if run not in absent and paths.log(run).exists()}
    noted |= {key: key for key in absent if paths.log(key).exists()}
    stopped = [key for key, job in noted.items() if was_stopped(job, paths)]
    failed = [key for key in noted if key not in stopped]
    counts = f"{finished} finished, {len(diverged)} diverged, {len(failed)} failed"
    counts += f", {len(stopped)} stopped by a signal" if stopped else ""
    print(f"runs: {counts}, {len(absent)} jobs not done")
    for key in diverged:
        print(f"  diverged: {key} ({records[key].reason})")
    for key in stopped[:_SHOWN_FAILURES]:
        step = last_checkpoint(key, paths)
        print(f"  stopped at step {step}: {key}" if step else f"  stopped: {key}, which begins anew")
    for key in failed[:_SHOWN_FAILURES]:
        _show(f"failed: {key}, log", paths.log(noted[key]))
    if len(failed) > _SHOWN_FAILURES:
        print(f"  and {len(failed) - _SHOWN_FAILURES} more; `python -m sagan plan` lists them")
    if absent:
        if not (noted or jobs.was_stopped):
            # No job says why: the end of what was written last does, a batch's log or Snakemake's own.
            logs = sorted(jobs.folder.glob("*.log"), key=lambda log: log.stat().st_mtime_ns)
            told = next((log for log in reversed(logs) if log.stat().st_size), paths.log("snakemake"))
            _show(f"Snakemake left with status {status};", told)
        print("  `dvc repro` goes on from here: what is finished stays, what was interrupted resumes")
    return 1 if failed or (absent and not jobs.is_over) else 0


def _show(what: str, log: Path) -> None:
    print(f"  {what} {log}, which ends:")
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]:
        print(f"    {line}")
