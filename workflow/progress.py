"""One live line while Snakemake works: runs done of planned, jobs now, time to go."""

from __future__ import annotations

import shutil
import sys
import threading
import time

from sagan.costs import Costs
from sagan.paths import Paths
from sagan.plan import Plan
from sagan.states import is_locked, last_step, missing

_INTERVAL_TERMINAL, _INTERVAL_PLAIN = 1.0, 30.0


class LiveLine:
    """In place on a terminal, a plain line now and then otherwise."""

    def __init__(self, plan: Plan, paths: Paths) -> None:
        self._plan, self._paths = plan, paths
        self._runs, self._references, self._evaluations = map(set, missing(plan, paths))
        self._total = len(self._runs) + len(self._references) + len(self._evaluations)
        costs = Costs(plan, paths)
        self._weights = {key: costs.seconds(key) or 1.0 for key in self._runs | self._references | self._evaluations}
        self._before = {key: last_step(key, paths) for key in self._runs}
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def line(self) -> str:
        """What has come of the plan by now."""
        plan, paths = self._plan, self._paths
        self._runs = {key for key in self._runs if not (paths.run(key) / "run.json").exists()}
        self._references = {key for key in self._references if not (paths.reference(key) / "reference.json").exists()}
        self._evaluations = {key for key in self._evaluations if not (paths.evaluation(key) / "metrics.json").exists()}
        left = self._runs | self._references | self._evaluations
        steps = {key: last_step(key, paths) for key in self._runs if paths.run(key).exists()}
        now = [key for key in left if is_locked(paths.state(key) / "lock")]
        to_do = sum(self._weights.values())
        to_go = sum(self._weights[key] * (1 - self._share(key, steps)) for key in left)
        eta = _clock((time.monotonic() - self._began) * to_go / (to_do - to_go)) if to_do - to_go > 0 else "unknown"
        doing = ", ".join(sorted(self._doing(key, steps) for key in now)) or "waiting for jobs to start"
        trained = len(plan.runs) - len(self._runs)
        return (
            f"runs: {trained} of {len(plan.runs)} trained, {self._total - len(left)} of {self._total} jobs done, "
            f"{eta} to go; now {len(now)}: {doing}"
        )

    def _share(self, key: str, steps: dict[str, int]) -> float:
        """How much of a training has been done since the start."""
        if key not in steps:
            return 0.0
        total = self._plan.runs[key].config["training"]["steps"] - self._before[key]
        return max(0, steps[key] - self._before[key]) / max(total, 1)

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
            line = self.line()
            if terminal:
                line = f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}"
            print(line, end="" if terminal else "\n", file=sys.stderr, flush=True)
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
