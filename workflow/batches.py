"""What is missing, packed into batches: runs with their measurements, one process each.

Whole seeds come first, so that answers come early. A batch takes some minutes by the estimates, every core or GPU gets
several, and they become smaller towards the end, so that none is waited for long.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from statistics import median

from sagan.plan import Plan, Run
from sagan.plan.costs import Costs
from sagan.plan.listing import missing
from sagan.store.folders import last_step
from sagan.store.paths import Paths

# A process imports PyTorch for 5 s of a core: what is packed is worth it, and no batch is waited for long.
LEAST_SECONDS, MOST_SECONDS = 45.0, 600.0
# Of all that is left, a batch is one part in so many for each core or GPU.
_PARTS = 1.5
# Runs of a batch on a GPU that finds out by itself how many should take turns.
_AUTO_TOGETHER = 8
_MOST_KEYS = 200


@dataclass(frozen=True)
class Batch:
    """Keys for one process.

    Attributes:
        keys: of runs, each to be trained and measured as far as it is not, and of references.
        threads: of the process.
        gpus: how many it takes of this machine's.
    """

    keys: list[str]
    threads: int
    gpus: int


@dataclass(frozen=True)
class _Work:
    """A key with what is known of it. `alone`: it shares a batch with nothing."""

    key: str
    threads: int
    on_gpu: bool
    seconds: float | None
    together: int = 1
    alone: bool = False


def batches(
    plan: Plan, paths: Paths, cores: int | None, gpus: int, most_seconds: float, alone: Collection[str] = ()
) -> list[Batch]:
    """What is missing of a plan, in batches, the first ones to be begun first.

    Args:
        cores: None on a cluster, where a batch is as long as it may be and one of unknown length a single run.
        alone: runs that each get a batch by themselves, behind all others.
    """
    work, costs = _missing(plan, paths, alone), Costs(plan, paths)
    work = [dataclasses.replace(one, seconds=_seconds(one.key, plan, paths, costs)) for one in work]
    packed = []
    for threads, on_gpu in dict.fromkeys((one.threads, one.on_gpu and gpus > 0) for one in work):
        those = [one for one in work if (one.threads, one.on_gpu and gpus > 0) == (threads, on_gpu)]
        slots = None if cores is None else gpus if on_gpu else max(1, cores // threads)
        packed += [Batch(keys, threads, int(on_gpu)) for keys in _packed(those, slots, on_gpu, most_seconds)]
    return packed


def _missing(plan: Plan, paths: Paths, alone: Collection[str]) -> list[_Work]:
    untrained, unmade, unmeasured = map(set, missing(plan, paths))
    asked = {plan.evaluations[key].run for key in unmeasured}
    runs = [run for run in plan.runs.values() if run.key in untrained or run.key in asked]
    # Within a seed, what only has to be measured is cheap.
    runs.sort(key=lambda run: (run.key in alone, run.seed, run.key in untrained))
    needed = {plan.evaluations[key].reference for key in unmeasured}
    work = [
        _Work(reference.key, reference.threads, reference.execution["device"] != "cpu", None)
        for reference in plan.references.values()
        if reference.key in unmade - needed
    ]
    for run in runs:
        threads = [run.threads] if run.key in untrained else []
        threads += [plan.evaluations[key].threads for key in unmeasured if plan.evaluations[key].run == run.key]
        own = run.config["variant"].get("extension") is not None
        on_gpu, together = run.execution["device"] != "cpu", run.execution["together"]
        together = _AUTO_TOGETHER if together == "auto" else together
        work.append(_Work(run.key, max(threads), on_gpu, None, together, own or run.key in alone))
    return work


def _seconds(key: str, plan: Plan, paths: Paths, costs: Costs) -> float | None:
    """What is left of a run with its measurements takes; None where nothing like it was done."""
    if key not in plan.runs:
        return costs.seconds(key)
    untrained, _, unmeasured = missing(_only(plan, plan.runs[key]), paths)
    parts = [costs.seconds(key, last_step(key, paths)) for key in untrained]
    parts += [costs.seconds(key) for key in unmeasured]
    return None if None in parts else sum(parts)


def _only(plan: Plan, run: Run) -> Plan:
    evaluations = {key: evaluation for key, evaluation in plan.evaluations.items() if evaluation.run == run.key}
    return Plan({run.key: run}, {}, evaluations, {})


def _packed(work: list[_Work], slots: int | None, on_gpu: bool, most: float) -> Iterator[list[str]]:
    known = [one.seconds for one in work if one.seconds is not None]
    if known:
        usual, least = median(known), LEAST_SECONDS
    else:
        # As many as there are stand for how long they take.
        usual, least, most = 1.0, 1.0, 1.0 if slots is None else math.inf
    costs = {one.key: usual if one.seconds is None else one.seconds for one in work}
    left, todo = sum(costs.values()), list(work)
    while todo:
        wanted = most if slots is None else min(most, max(least, left / (_PARTS * slots)))
        first = todo.pop(0)
        keys, seconds = [first.key], costs[first.key]
        # Those that take turns on a GPU belong into one process; but no GPU is to be without work.
        fewest = min(first.together, math.ceil((1 + len(todo)) / slots)) if on_gpu and slots else 1
        while todo and not (first.alone or todo[0].alone) and len(keys) < _MOST_KEYS:
            further = costs[todo[0].key]
            if len(keys) >= fewest and seconds + further / 2 > wanted:
                break
            keys.append(todo.pop(0).key)
            seconds += further
        left -= seconds
        yield keys
