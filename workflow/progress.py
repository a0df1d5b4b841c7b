"""One live line while Snakemake works: runs done of planned, time to go, jobs now."""

from __future__ import annotations

import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Collection, Mapping
from datetime import timedelta
from statistics import median

from sagan.plan import Plan
from sagan.plan.costs import Costs
from sagan.plan.listing import missing
from sagan.store.folders import last_step
from sagan.store.locks import is_locked, lock_of
from sagan.store.paths import Paths

_INTERVAL_TERMINAL, _INTERVAL_PLAIN = 1.0, 30.0
# A training's own pace tells nothing before it was watched for so long.
_TELLING_SECONDS = 20.0
# Finished jobs' records are read again so often.
_LEARNING_SECONDS = 15.0


class LiveLine:
    """In place on a terminal, a plain line now and then otherwise."""

    def __init__(self, plan: Plan, paths: Paths) -> None:
        self._plan, self._paths = plan, paths
        self._runs, self._references, self._evaluations = map(set, missing(plan, paths))
        self._total = len(self._runs) + len(self._references) + len(self._evaluations)
        self._costs, self._learnt, self._most_at_once = Costs(plan, paths), time.monotonic(), 0
        self._seen: dict[str, tuple[float, int]] = {}  # when a training had first a step, and which
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
        self._runs = {key for key in self._runs if not (paths.run(key) / "run.json").exists()}
        self._references = {key for key in self._references if not (paths.reference(key) / "reference.json").exists()}
        self._evaluations = {key for key in self._evaluations if not (paths.evaluation(key) / "metrics.json").exists()}
        left = self._runs | self._references | self._evaluations
        steps = {key: last_step(key, paths) for key in self._runs if paths.run(key).exists()}
        places = (paths.run, paths.evaluation, paths.reference)
        now = sorted(key for key in left if any(is_locked(lock_of(place(key))) for place in places))
        line = f"runs: {len(plan.runs) - len(self._runs)}/{len(plan.runs)} trained, "
        line += f"{self._total - len(left)}/{self._total} jobs{self._to_go(left, steps, now)}; "
        doing = [self._doing(key, steps) for key in sorted(now, key=lambda key: key not in self._runs)]
        line += ", ".join(doing) or "waiting for jobs to start"
        return line if width is None else textwrap.shorten(line, width, placeholder=" …", break_on_hyphens=False)

    def _doing(self, key: str, steps: Mapping[str, int]) -> str:
        if key in self._runs:
            run = self._plan.runs[key]
            return f"train {run.variant} s{run.seed} at {steps.get(key, 0)}/{run.config['training']['steps']}"
        if key in self._evaluations:
            run = self._plan.runs[self._plan.evaluations[key].run]
            return f"measure {run.variant} s{run.seed}"
        return f"reference {self._plan.references[key].dataset}"

    def _to_go(self, left: Collection[str], steps: Mapping[str, int], now: Collection[str]) -> str:
        """Time until all is done, by as many jobs at once as there were: "at least" where some kind is unknown.

        A training at work goes on at its own pace, others as records of their kind say, or like those at work.
        """
        self._most_at_once = max(self._most_at_once, len(now))
        if time.monotonic() - self._learnt > _LEARNING_SECONDS:
            self._costs, self._learnt = Costs(self._plan, self._paths), time.monotonic()
        self._seen = {key: seen for key, seen in self._seen.items() if key in now}
        paces = {key: pace for key in now if (pace := self._pace(key, steps.get(key, 0)))}
        costs = []
        for key in left:
            cost = None if key in paces else self._costs.seconds(key, steps.get(key, 0))
            if cost is None and key in self._runs and paces:
                pace = paces.get(key, median(paces.values()))
                cost = pace * (self._plan.runs[key].config["training"]["steps"] - steps.get(key, 0))
            costs.append(cost)
        known = [cost for cost in costs if cost is not None]
        if not known or not self._most_at_once:
            return ""
        seconds = max(sum(known) / min(self._most_at_once, len(left)), *known)
        return f", {'at least ' if None in costs else ''}{timedelta(seconds=round(seconds))} to go"

    def _pace(self, key: str, step: int) -> float | None:
        """Seconds a step of a training at work, since it was seen to take steps."""
        now = time.monotonic()
        if step == 0:
            return None
        first, from_step = self._seen.setdefault(key, (now, step))
        if step < from_step:  # it went on from a checkpoint before what its log said
            first, from_step = self._seen[key] = now, step
        return (now - first) / (step - from_step) if step > from_step and now - first >= _TELLING_SECONDS else None

    def _watch(self) -> None:
        terminal = sys.stderr.isatty()
        while not self._stop.wait(_INTERVAL_TERMINAL if terminal else _INTERVAL_PLAIN):
            line = f"\r\033[K{self.line(shutil.get_terminal_size().columns - 1)}" if terminal else self.line()
            print(line, end="" if terminal else "\n", file=sys.stderr, flush=True)
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
