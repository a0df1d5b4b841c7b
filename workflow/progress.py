"""What a launch says: one live line while Snakemake works, and in the end how it went."""

import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from sagan.plan import Plan
from sagan.plan.listing import Costs, missing
from sagan.store.locks import is_locked, lock_of
from sagan.store.paths import Paths
from sagan.store.reading import last_checkpoint, last_step, read_run, was_stopped
from workflow.jobs import Jobs

_INTERVAL_TERMINAL, _INTERVAL_PLAIN = 1.0, 30.0
# Records, and logs of what is at work, are read again so often.
_LEARNING_SECONDS = 15.0
# Of the summary.
_SHOWN_LINES, _SHOWN_FAILURES = 5, 10


class LiveLine:
    """Runs done of planned, time to go, jobs now: in place on a terminal, a plain line now and then otherwise."""

    def __init__(self, plan: Plan, paths: Paths) -> None:
        self._plan, self._paths = plan, paths
        self._left = {key: plan.jobs[key] for key in missing(plan, paths)}
        self._total = len(self._left)
        self._costs, self._learnt, self._most_at_once = Costs(plan, paths), time.monotonic(), 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def line(self, width: int | None = None) -> str:
        """What has come of the plan by now, in so many characters at most."""
        plan, paths = self._plan, self._paths
        for key, job in list(self._left.items()):
            if (job.record.folder(paths, key) / job.record.file).exists():
                del self._left[key]
        untrained = self._left.keys() & plan.runs.keys()
        steps = {key: last_step(key, paths) for key in untrained if paths.run(key).exists()}
        now = [key for key, job in self._left.items() if is_locked(lock_of(job.record.folder(paths, key)))]
        line = f"runs: {len(plan.runs) - len(untrained)}/{len(plan.runs)} trained, "
        line += f"{self._total - len(self._left)}/{self._total} jobs{self._to_go(steps, len(now))}; "
        line += ", ".join(self._doing(key, steps) for key in now) or "waiting for jobs to start"
        return line if width is None else textwrap.shorten(line, width, placeholder=" …", break_on_hyphens=False)

    def _doing(self, key: str, steps: Mapping[str, int]) -> str:
        if (run := self._plan.runs.get(key)) is not None:
            return f"train {run.variant} s{run.seed} at {steps.get(key, 0)}/{run.config['training']['steps']}"
        if key in self._plan.evaluations:
            run = self._plan.runs[self._plan.evaluations[key].run]
            return f"measure {run.variant} s{run.seed}"
        return f"reference {self._plan.references[key].dataset}"

    def _to_go(self, steps: Mapping[str, int], at_once: int) -> str:
        """Time until all is done, by as many jobs at once as there were: "at least" where some kind is unknown."""
        self._most_at_once = max(self._most_at_once, at_once)
        if time.monotonic() - self._learnt > _LEARNING_SECONDS:
            self._costs, self._learnt = Costs(self._plan, self._paths), time.monotonic()
        costs = [self._costs.seconds(key, steps.get(key, 0)) for key in self._left]
        known = [cost for cost in costs if cost is not None]
        if not known or not self._most_at_once:
            return ""
        seconds = max(sum(known) / min(self._most_at_once, len(costs)), *known)
        return f", {'at least ' if None in costs else ''}{timedelta(seconds=round(seconds))} to go"

    def _watch(self) -> None:
        terminal = sys.stderr.isatty()
        while not self._stop.wait(_INTERVAL_TERMINAL if terminal else _INTERVAL_PLAIN):
            line = f"\r\033[K{self.line(shutil.get_terminal_size().columns - 1)}" if terminal else self.line()
            print(line, end="" if terminal else "\n", file=sys.stderr, flush=True)
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def summary(plan: Plan, paths: Paths, jobs: Jobs, status: int) -> int:
    """Say how it went; where something is missing, show why and how to go on. Records alone tell what is there.

    `status` is Snakemake's. Returns 0 where everything is there, or the rest was stopped because its time was over.
    """
    records = [record for key in plan.runs if (record := read_run(key, paths).record)]
    diverged = [record for record in records if record.status == "diverged"]
    absent = missing(plan, paths)
    # Of a measurement whose process was killed, the log of its run tells, which is there.
    runs = {key: plan.evaluations[key].run for key in absent if key in plan.evaluations}
    noted = {key: run for key, run in runs.items() if run not in absent and paths.log(run).exists()}
    noted |= {key: key for key in absent if paths.log(key).exists()}
    stopped = [key for key, job in noted.items() if was_stopped(job, paths)]
    failed = [key for key in noted if key not in stopped]
    counts = f"{len(records) - len(diverged)} finished, {len(diverged)} diverged, {len(failed)} failed"
    counts += f", {len(stopped)} stopped by a signal" if stopped else ""
    print(f"runs: {counts}, {len(absent)} jobs not done")
    for record in diverged:
        print(f"  diverged: {record.key} ({record.reason})")
    for key in stopped[:_SHOWN_FAILURES]:
        step = last_checkpoint(key, paths)
        anew = ", which begins anew" if key in plan.runs and not step else ""  # others keep finished parts
        print(f"  stopped{f' at step {step}' if step else ''}: {key}{anew}")
    for key in failed[:_SHOWN_FAILURES]:
        _show(f"failed: {key}, log", paths.log(noted[key]))
    if len(failed) > _SHOWN_FAILURES:
        print(f"  and {len(failed) - _SHOWN_FAILURES} more; `python -m sagan plan` lists them")
    if absent:
        if not (noted or jobs.was_stopped):
            # No job says why: the end of what was written last does, a batch's log or Snakemake's own.
            logs = [log for log in jobs.folder.glob("*.log") if log.stat().st_size]
            told = max(logs, key=lambda log: log.stat().st_mtime_ns, default=paths.log("snakemake"))
            _show(f"Snakemake left with status {status};", told)
        print("  `dvc repro` goes on from here: what is finished stays, what was interrupted resumes")
    return 1 if failed or (absent and not jobs.is_over) else 0


def _show(what: str, log: Path) -> None:
    print(f"  {what} {log}, which ends:")
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]:
        print(f"    {line}")
