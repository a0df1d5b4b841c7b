"""How a launch went: what finished, diverged and failed, why, and the command that goes on."""

from __future__ import annotations

from pathlib import Path

from sagan.plan import Plan
from sagan.plan.listing import missing
from sagan.store.folders import last_checkpoint, was_stopped
from sagan.store.paths import Paths
from sagan.store.reading import read_run
from workflow.jobs import Jobs

_SHOWN_LINES, _SHOWN_FAILURES = 5, 10


def log_stamps(plan: Plan, paths: Paths) -> dict[str, tuple[int, int]]:
    """What tells a job's log of one launch from that of an earlier one, whatever the clock does."""
    stamps = {}
    for key in (*plan.runs, *plan.references, *plan.evaluations):
        path = paths.log(key)
        if path.exists():
            stamps[key] = (path.stat().st_mtime_ns, path.stat().st_size)
    return stamps


def summary(
    plan: Plan, paths: Paths, jobs: Jobs, status: int, before: dict[str, tuple[int, int]], in_time: bool = False
) -> int:
    """Say how it went; where something is missing, show why and how to go on. Records alone tell what is there.

    Args:
        jobs: the last ones.
        status: Snakemake's exit status.
        before: `log_stamps` from before they started.
        in_time: whether the launch had a time limit, so that what that stopped is in order.

    Returns:
        The exit status: 0 where everything is there.
    """
    records = {key: read_run(key, paths).record for key in plan.runs}
    diverged = [key for key, record in records.items() if record and record.status == "diverged"]
    finished = sum(record is not None for record in records.values()) - len(diverged)
    absent = [key for keys in missing(plan, paths) for key in keys]
    stamps = log_stamps(plan, paths)
    noted = [key for key in absent if key in stamps and stamps[key] != before.get(key)]
    stopped = [key for key in noted if was_stopped(key, paths)]
    failed = [key for key in noted if key not in stopped]
    # Of these nothing could be said any more when their process ended.
    lost = [key for key in absent if key not in noted and jobs.died(_job(key, plan))]
    counts = f"{finished} finished, {len(diverged)} diverged, {len(failed) + len(lost)} failed"
    counts += f", {len(stopped)} stopped by a signal" if stopped else ""
    print(f"runs: {counts}, {len(absent)} jobs not done")
    for key in diverged:
        print(f"  diverged: {key} ({records[key].reason})")
    for key in stopped[:_SHOWN_FAILURES]:
        step = last_checkpoint(key, paths)
        print(f"  stopped at step {step}: {key}" if step else f"  stopped: {key}, which begins anew")
    for key in failed[:_SHOWN_FAILURES]:
        _show(key, paths.log(key))
    for key in lost[: _SHOWN_FAILURES - len(failed)]:
        _show(key, jobs.log_of(_job(key, plan)))
    if (more := len(failed) + len(lost) - _SHOWN_FAILURES) > 0:
        print(f"  and {more} more; `python -m sagan plan` lists them")
    if absent:
        if not (noted or lost or jobs.was_stopped):
            _explain_snakemake(jobs, paths, status)
        print("  `dvc repro` goes on from here: what is finished stays, what was interrupted resumes")
    return 1 if failed or lost or (absent and not (in_time and jobs.was_stopped)) else 0


def _job(key: str, plan: Plan) -> str:
    """The key whose batch makes a result: a measurement is made with its run."""
    return plan.evaluations[key].run if key in plan.evaluations else key


def _show(key: str, log: Path) -> None:
    print(f"  failed: {key}, log {log}, which ends:")
    for line in _ending(log):
        print(f"    {line}")


def _ending(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]


def _explain_snakemake(jobs: Jobs, paths: Paths, status: int) -> None:
    """No job says why: the end of what was written last does, a batch's log or Snakemake's own."""
    logs = sorted(jobs.folder.glob("*.log"), key=lambda log: log.stat().st_mtime_ns)
    told = next((log for log in reversed(logs) if _ending(log)), paths.log("snakemake"))
    print(f"  Snakemake left with status {status}; {told} ends:")
    for line in _ending(told):
        print(f"    {line}")
