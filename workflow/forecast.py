"""How long a launch still takes: by what the same kind of job took, and by the cores and GPUs that there are."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from statistics import median

from sagan.plan import Plan
from sagan.plan.costs import Costs
from sagan.store.paths import Paths

# A training's own pace tells nothing before it was watched for so long.
_TELLING_SECONDS = 20.0
# Finished jobs' records are read again no more often than this.
_LEARNING_SECONDS = 10.0


class Forecast:
    """Seconds to go for the jobs of a plan.

    A training at work goes on at its own pace. Other jobs take what records say of their kind (`sagan.plan.costs`),
    those of this launch among them, times how much slower or faster than their records the trainings at work are. A
    kind that was never done, such as the first measurement, has no known cost.
    """

    def __init__(self, plan: Plan, paths: Paths, cores: int | None, gpus: int) -> None:
        """`cores` is None on a cluster, where as many jobs are assumed at work as there are now."""
        self._plan, self._paths, self._cores, self._gpus = plan, paths, cores, gpus
        self._seen: dict[str, tuple[float, int]] = {}  # when a training had first a step, and which
        self._costs, self._learnt, self._left = Costs(plan, paths), time.monotonic(), -1

    def seconds(
        self, left: Collection[str], steps: Mapping[str, int], at_work: Collection[str]
    ) -> tuple[float, bool] | None:
        """Seconds until all is done, and whether they are a lower bound; None where nothing is known.

        Args:
            left: keys of what is not there yet.
            steps: of trainings, how far they are, those among them that were stopped and wait.
            at_work: keys of jobs at work now.
        """
        self._learn(len(left))
        self._seen = {key: seen for key, seen in self._seen.items() if key in at_work}
        paces = {key: pace for key in at_work if key in steps and (pace := self._pace(key, steps[key]))}
        usual = {key: cost for key in left if (cost := self._costs.seconds(key))}
        ratio = median([paces[key] * self._steps(key) / usual[key] for key in paces if key in usual] or [1.0])
        known = {key: ratio * cost for key, cost in usual.items()}
        known |= {key: pace * self._steps(key) for key, pace in paces.items()}
        whole = {key: known.get(key, self._like(key, known)) for key in left}
        to_go = [cost * self._share(key, steps) for key, cost in whole.items() if cost is not None]
        if not to_go:
            return None
        # Those that take turns are each slower than by themselves, and together faster.
        together = max(1, min(len(left), max(self._slots(left) if self._cores else 0, len(at_work))))
        return max(sum(to_go) / together, *to_go), len(to_go) < len(left)

    def _learn(self, left: int) -> None:
        now = time.monotonic()
        if left != self._left and now - self._learnt >= _LEARNING_SECONDS:
            self._costs, self._learnt, self._left = Costs(self._plan, self._paths), now, left

    def _pace(self, key: str, step: int) -> float | None:
        """Seconds a step of a training, since it was seen to take steps."""
        now = time.monotonic()
        if step == 0:
            return None
        first, from_step = self._seen.setdefault(key, (now, step))
        if step < from_step:  # it went on from a checkpoint before what its log said
            first, from_step = self._seen[key] = now, step
        return (now - first) / (step - from_step) if step > from_step and now - first >= _TELLING_SECONDS else None

    def _like(self, key: str, known: Mapping[str, float]) -> float | None:
        """What jobs of the same kind take, where nothing closer is known; None for the first of a kind."""
        if key in self._plan.runs:
            per_step = [cost / self._steps(other) for other, cost in known.items() if other in self._plan.runs]
            return median(per_step) * self._steps(key) if per_step else None
        others = [cost for other, cost in known.items() if other in self._plan.evaluations]
        return median(others) if others and key in self._plan.evaluations else None

    def _steps(self, key: str) -> int:
        return self._plan.runs[key].config["training"]["steps"]

    def _share(self, key: str, steps: Mapping[str, int]) -> float:
        """How much of a job is still to be done."""
        return 1 - steps.get(key, 0) / self._steps(key) if key in self._plan.runs else 1.0

    def _slots(self, left: Collection[str]) -> int:
        """Jobs of the kinds that are left that this machine does at a time."""
        jobs = [self._plan.job(key) for key in left]
        slots = self._cores // max(job.threads for job in jobs)
        executions = [job.execution for job in jobs]
        if self._gpus and all(execution["device"] != "cpu" for execution in executions):
            slots = min(slots, self._gpus)
        return slots
