"""One live line while Snakemake works: runs done of planned, time to go, jobs now."""

from __future__ import annotations

import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Collection, Mapping
from datetime import timedelta

from sagan.plan import Plan
from sagan.plan.listing import Costs, missing
from sagan.store.locks import is_locked, lock_of
from sagan.store.paths import Paths
from sagan.store.reading import last_step

_INTERVAL_TERMINAL, _INTERVAL_PLAIN = 1.0, 30.0
# Records, and logs of what is at work, are read again so often.
_LEARNING_SECONDS = 15.0


class LiveLine:
    """In place on a terminal, a plain line now and then otherwise."""

    def __init__(self, plan: Plan, paths: Paths) -> None:
        self._plan, self._paths = plan, paths
        self._left = missing(plan, paths)
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
        records = {key: job.record for key, job in plan.jobs.items()}
        self._left = [key for key in self._left if not (records[key].folder(paths, key) / records[key].file).exists()]
        untrained = [key for key in self._left if key in plan.runs]
        steps = {key: last_step(key, paths) for key in untrained if paths.run(key).exists()}
        now = [key for key in self._left if is_locked(lock_of(records[key].folder(paths, key)))]
        line = f"runs: {len(plan.runs) - len(untrained)}/{len(plan.runs)} trained, "
        line += f"{self._total - len(self._left)}/{self._total} jobs{self._to_go(self._left, steps, now)}; "
        doing = [self._doing(key, steps) for key in now]
        line += ", ".join(doing) or "waiting for jobs to start"
        return line if width is None else textwrap.shorten(line, width, placeholder=" …", break_on_hyphens=False)

    def _doing(self, key: str, steps: Mapping[str, int]) -> str:
        if (run := self._plan.runs.get(key)) is not None:
            return f"train {run.variant} s{run.seed} at {steps.get(key, 0)}/{run.config['training']['steps']}"
        if key in self._plan.evaluations:
            run = self._plan.runs[self._plan.evaluations[key].run]
            return f"measure {run.variant} s{run.seed}"
        return f"reference {self._plan.references[key].dataset}"

    def _to_go(self, left: Collection[str], steps: Mapping[str, int], now: Collection[str]) -> str:
        """Time until all is done, by as many jobs at once as there were: "at least" where some kind is unknown."""
        self._most_at_once = max(self._most_at_once, len(now))
        if time.monotonic() - self._learnt > _LEARNING_SECONDS:
            self._costs, self._learnt = Costs(self._plan, self._paths), time.monotonic()
        costs = [self._costs.seconds(key, steps.get(key, 0)) for key in left]
        known = [cost for cost in costs if cost is not None]
        if not known or not self._most_at_once:
            return ""
        seconds = max(sum(known) / min(self._most_at_once, len(left)), *known)
        return f", {'at least ' if None in costs else ''}{timedelta(seconds=round(seconds))} to go"

    def _watch(self) -> None:
        terminal = sys.stderr.isatty()
        while not self._stop.wait(_INTERVAL_TERMINAL if terminal else _INTERVAL_PLAIN):
            line = f"\r\033[K{self.line(shutil.get_terminal_size().columns - 1)}" if terminal else self.line()
            print(line, end="" if terminal else "\n", file=sys.stderr, flush=True)
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
