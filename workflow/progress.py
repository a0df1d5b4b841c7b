"""One live line while Snakemake works: runs done of planned, jobs now, time to go."""

from __future__ import annotations

import shutil
import sys
import threading
from datetime import timedelta

from sagan.plan import Plan
from sagan.plan.listing import missing
from sagan.store.folders import last_step
from sagan.store.locks import is_locked, lock_of
from sagan.store.paths import Paths
from workflow.forecast import Forecast

_INTERVAL_TERMINAL, _INTERVAL_PLAIN = 1.0, 30.0


class LiveLine:
    """In place on a terminal, a plain line now and then otherwise."""

    def __init__(self, plan: Plan, paths: Paths, cores: int | None, gpus: int) -> None:
        self._plan, self._paths = plan, paths
        self._runs, self._references, self._evaluations = map(set, missing(plan, paths))
        self._total = len(self._runs) + len(self._references) + len(self._evaluations)
        self._forecast = Forecast(plan, paths, cores, gpus)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def line(self, width: int | None = None) -> str:
        """What has come of the plan by now, in so many characters: with the steps of as many jobs as fit in."""
        plan, paths = self._plan, self._paths
        self._runs = {key for key in self._runs if not (paths.run(key) / "run.json").exists()}
        self._references = {key for key in self._references if not (paths.reference(key) / "reference.json").exists()}
        self._evaluations = {key for key in self._evaluations if not (paths.evaluation(key) / "metrics.json").exists()}
        left = self._runs | self._references | self._evaluations
        steps = {key: last_step(key, paths) for key in self._runs if paths.run(key).exists()}
        now = [
            key
            for key in left
            if any(is_locked(lock_of(place(key))) for place in (paths.run, paths.evaluation, paths.reference))
        ]
        forecast = self._forecast.seconds(left, steps, now) if left else None
        eta = f", {'at least ' if forecast[1] else ''}{timedelta(seconds=round(forecast[0]))} to go" if forecast else ""
        doing = [self._doing(key, steps) for key in sorted(now, key=lambda key: (key not in self._runs, key))]
        runs, jobs = (len(plan.runs) - len(self._runs), len(plan.runs)), (self._total - len(left), self._total)
        line = f"runs: {runs[0]} of {runs[1]} trained, {jobs[0]} of {jobs[1]} jobs done{eta}; "
        line += f"now {len(now)}: {', '.join(doing)}" if doing else "waiting for jobs to start"
        if width is None or len(line) <= width:
            return line
        return _fitting(f"{runs[0]}/{runs[1]} trained, {jobs[0]}/{jobs[1]} jobs{eta}; ", doing, width)

    def _doing(self, key: str, steps: dict[str, int]) -> str:
        if key in self._runs:
            run = self._plan.runs[key]
            return f"train {run.variant} s{run.seed} at {steps.get(key, 0)}/{run.config['training']['steps']}"
        if key in self._evaluations:
            run = self._plan.runs[self._plan.evaluations[key].run]
            return f"measure {run.variant} s{run.seed}"
        return f"reference {self._plan.references[key].dataset}"

    def _watch(self) -> None:
        terminal = sys.stderr.isatty()
        while not self._stop.wait(_INTERVAL_TERMINAL if terminal else _INTERVAL_PLAIN):
            line = f"\r\033[K{self.line(shutil.get_terminal_size().columns - 1)}" if terminal else self.line()
            print(line, end="" if terminal else "\n", file=sys.stderr, flush=True)
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _fitting(head: str, doing: list[str], width: int) -> str:
    """The head, then as many of the jobs as fit in, then how many more there are."""
    for shown in range(len(doing), 0, -1):
        more = f", {len(doing) - shown} more" if shown < len(doing) else ""
        if len(line := f"{head}{', '.join(doing[:shown])}{more}") <= width:
            return line
    return f"{head}{', '.join(doing)}"[:width]
